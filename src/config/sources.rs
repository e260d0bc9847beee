//! Where a configuration comes from, kept so that it can be loaded again.
//!
//! Owns the order of the sources, and what is remembered of them: which source each value came from, and which files were
//! read. The command line makes [`Sources`] once; the server loads from them whenever something may have changed.

use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::layer::Layer;
use super::mistake::{ConfigError, Mistake};
use super::overlay::Overlay;
use super::provenance::Provenance;
use super::{Config, Role, environment, secret_file, source};

/// The most of a file that counts for its digest, in bytes. Bounds what is read of one that does not end.
const MAX_DIGESTED_BYTES: u64 = 16 << 20;

/// Files, directories and environment variables, in the order in which the later win.
#[derive(Clone)]
pub struct Sources {
    role: Role,
    paths: Vec<PathBuf>,
    environment: Vec<(String, String)>,
}

/// What came of loading.
#[derive(Debug)]
pub struct Attempt {
    /// The configuration, or every mistake in it.
    pub result: Result<Loaded, ConfigError>,
    /// Every file that was read or was to be read, secrets included.
    pub files: Vec<PathBuf>,
}

/// A complete and consistent configuration, and where it came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Where its values came from.
    pub provenance: Provenance,
}

/// What all files of some sources hold, as one value to compare with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stamp([u8; 32]);

impl Sources {
    /// The sources of a role: `paths` as [`load`](super::load) takes them, and the variables of `environment`, of which only
    /// settings are kept.
    pub fn new(role: Role, paths: &[PathBuf], environment: impl IntoIterator<Item = (String, String)>) -> Self {
        let environment = environment.into_iter().filter(|(name, _)| environment::is_setting(name)).collect();
        Self { role, paths: paths.to_vec(), environment }
    }

    /// The role that they are for.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The files and directories that were named.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Reads all of them as they are now, and lays `overlay` over them. Blocks.
    pub fn load(&self, overlay: Option<&Overlay>) -> Attempt {
        let mut mistakes = Vec::new();
        let mut layers = Vec::new();
        let files = source::files(&self.paths, &mut mistakes);
        for path in &files {
            layers.extend(source::read(path, &mut mistakes));
        }
        // A mistake without a key concerns a whole file, which may hold anything.
        let complete = mistakes.iter().all(|mistake| mistake.key.is_some());
        layers.push(environment::read(self.environment.iter().cloned(), &mut mistakes));
        if let Some(overlay) = overlay {
            secret_file::give_way(&mut layers, overlay.layer());
            layers.push(overlay.layer().clone());
        }

        assemble(self.role, layers, complete, files, mistakes)
    }

    /// What the files that the paths stand for hold now, and those of `others`. Blocks.
    pub fn stamp(&self, others: &[PathBuf]) -> Stamp {
        let mut files = source::files(&self.paths, &mut Vec::new());
        files.extend(others.iter().filter(|path| !files.contains(path)).cloned().collect::<Vec<_>>());
        let mut digest = Sha256::new();
        for path in files {
            digest.update(path.as_os_str().as_encoded_bytes());
            digest.update([0]);
            match content_digest(&path) {
                Some(content) => digest.update(content),
                None => digest.update(b"unreadable"),
            }
        }
        Stamp(digest.finalize().into())
    }

    /// The directories in which something changes when one of the files does: those that hold the files and directories
    /// that were named, those named themselves, and those that links lead to. Blocks.
    pub fn directories(&self, others: &[PathBuf]) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for path in self.paths.iter().chain(others) {
            let real = fs::canonicalize(path).ok();
            for path in [Some(path.clone()), real].into_iter().flatten() {
                if path.is_dir() {
                    found.push(path.clone());
                }
                found.extend(parent(&path));
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
    assemble(role, layers, complete, Vec::new(), mistakes).into_config()
}

/// Makes one configuration of its layers, which stand in `files`. `complete` says that none is missing.
fn assemble(
    role: Role,
    layers: Vec<Layer>,
    complete: bool,
    mut files: Vec<PathBuf>,
    mut mistakes: Vec<Mistake>,
) -> Attempt {
    let mut config = Config::defaults(role);
    let mut provenance = Provenance::default();
    match Layer::merge(layers) {
        Ok(mut tree) => {
            files.append(&mut secret_file::resolve(&mut tree, &mut mistakes));
            files.append(&mut secret_file::read_elsewhere(&tree));
            config.read(&tree, complete, &mut mistakes);
            provenance = Provenance::of(&tree);
        }
        Err(mistake) => mistakes.push(mistake),
    }
    let result = if mistakes.is_empty() { Ok(Loaded { config, provenance }) } else { Err(ConfigError { mistakes }) };
    Attempt { result, files }
}

/// The directory of a path, which for a bare name is the current one.
fn parent(path: &Path) -> Option<PathBuf> {
    let parent = path.parent()?;
    Some(if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.to_owned() })
}

fn content_digest(path: &Path) -> Option<[u8; 32]> {
    let mut content = Vec::new();
    File::open(path).ok()?.take(MAX_DIGESTED_BYTES).read_to_end(&mut content).ok()?;
    Some(Sha256::digest(&content).into())
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
