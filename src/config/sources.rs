//! Where a configuration comes from, kept so that it can be loaded again.
//!
//! Owns the order of the sources, and what is remembered of them: which source each value came from, and which files were
//! read. The command line makes [`Sources`] once; the server loads from them whenever something may have changed.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::files::{Files, Reading, Stamp};
use super::layer::Layer;
use super::mistake::{ConfigError, Mistake};
use super::overlay::Overlay;
use super::provenance::Provenance;
use super::{Config, Role, environment, secret_file, source};

/// Files, directories and environment variables, in the order in which the later win.
#[derive(Clone)]
pub struct Sources {
    role: Role,
    paths: Vec<PathBuf>,
    environment: Vec<(String, String)>,
    files: Files,
}

/// What came of loading.
#[derive(Debug)]
pub struct Attempt {
    /// The configuration, or every mistake in it.
    pub result: Result<Loaded, ConfigError>,
    /// What the files held that were read or were to be read, secrets included.
    pub stamp: Stamp,
}

/// A complete and consistent configuration, and where it came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Where its values came from.
    pub provenance: Provenance,
    /// What the files held that it was read from.
    pub stamp: Stamp,
}

impl Sources {
    /// The sources of a role: `paths` as [`load`](super::load) takes them, and the variables of `environment`, of which only
    /// settings are kept.
    pub fn new(role: Role, paths: &[PathBuf], environment: impl IntoIterator<Item = (String, String)>) -> Self {
        let environment = environment.into_iter().filter(|(name, _)| environment::is_setting(name)).collect();
        Self { role, paths: paths.to_vec(), environment, files: Files::default() }
    }

    /// The role that they are for.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The files and directories that were named.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Reads all of them as they are now, and lays `overlay` over them. What is no regular file is read by the first call
    /// only, and holds for ever what it held then. Blocks.
    pub fn load(&self, overlay: Option<&Overlay>) -> Attempt {
        let mut mistakes = Vec::new();
        let mut layers = Vec::new();
        let mut reading = self.files.reading();
        for path in source::files(&self.paths, &mut mistakes) {
            layers.extend(source::read(&path, &mut reading, &mut mistakes));
        }
        // A mistake without a key concerns a whole file, which may hold anything.
        let complete = mistakes.iter().all(|mistake| mistake.key.is_some());
        layers.push(environment::read(self.environment.iter().cloned(), &mut mistakes));
        if let Some(overlay) = overlay {
            secret_file::give_way(&mut layers, overlay.layer());
            layers.push(overlay.layer().clone());
        }
        let attempt = assemble(self.role, layers, complete, reading, mistakes);
        self.files.end_first();
        attempt
    }

    /// What the files that the paths stand for hold now, and those that were read for `last`. Blocks.
    pub fn stamp(&self, last: &Stamp) -> Stamp {
        let mut reading = self.files.reading();
        let named = source::files(&self.paths, &mut Vec::new());
        named.iter().map(PathBuf::as_path).chain(last.files()).for_each(|path| reading.note(path));
        reading.into_stamp()
    }

    /// The directories in which something changes when one of the files of `last` does: those that hold the files and
    /// directories that were named, those named themselves, and those that links lead to. Blocks.
    pub fn directories(&self, last: &Stamp) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let paths = self.paths.iter().map(PathBuf::as_path).chain(last.files());
        for path in paths.filter(|path| !self.files.is_kept(path)) {
            let real = fs::canonicalize(path).ok();
            for path in [Some(path.to_owned()), real].into_iter().flatten() {
                if path.is_dir() {
                    found.push(path.clone());
                }
                // What is there: the rest of what was no path at all is not to be named anywhere.
                found.extend(parent(&path).filter(|parent| parent.is_dir()));
            }
        }
        found.sort();
        found.dedup();
        found
    }
}

/// Does what [`load`](super::load) does with one file called `name` that holds `text`, and with nothing else.
pub(super) fn load_text(role: Role, name: &str, text: &str) -> Result<Config, ConfigError> {
    let mut mistakes = Vec::new();
    let layers: Vec<_> = source::parse(name, text, &mut mistakes).into_iter().collect();
    let complete = mistakes.iter().all(|mistake| mistake.key.is_some());
    assemble(role, layers, complete, Files::default().reading(), mistakes).into_config()
}

/// Makes one configuration of its layers, which came from `reading`. `complete` says that none is missing.
fn assemble(
    role: Role,
    layers: Vec<Layer>,
    complete: bool,
    mut reading: Reading,
    mut mistakes: Vec<Mistake>,
) -> Attempt {
    let mut config = Config::defaults(role);
    let mut provenance = Provenance::default();
    match Layer::merge(layers) {
        Ok(mut tree) => {
            secret_file::resolve(&mut tree, &mut reading, &mut mistakes);
            secret_file::read_elsewhere(&tree).iter().for_each(|path| reading.note(path));
            config.read(&tree, complete, &mut mistakes);
            provenance = Provenance::of(&tree);
        }
        Err(mistake) => mistakes.push(mistake),
    }
    let stamp = reading.into_stamp();
    let result = match mistakes.is_empty() {
        true => Ok(Loaded { config, provenance, stamp: stamp.clone() }),
        false => Err(ConfigError { mistakes }),
    };
    Attempt { result, stamp }
}

/// The directory of a path, which for a bare name is the current one.
fn parent(path: &Path) -> Option<PathBuf> {
    let parent = path.parent()?;
    Some(if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.to_owned() })
}

/// Without the environment, which may hold secrets.
impl fmt::Debug for Sources {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Sources");
        shown.field("role", &self.role).field("paths", &self.paths).finish_non_exhaustive()
    }
}

impl Attempt {
    /// A configuration that has no mistakes, or else all of them.
    pub fn into_config(self) -> Result<Config, ConfigError> {
        self.result.map(|loaded| loaded.config)
    }
}

impl From<Mistake> for ConfigError {
    fn from(mistake: Mistake) -> Self {
        Self { mistakes: vec![mistake] }
    }
}

#[cfg(test)]
mod tests;
