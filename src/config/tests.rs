//! The configuration as a whole: sources over each other, and what is said about mistakes.

mod access;
mod manual;
mod mistakes;
mod precedence;
mod provenance;
mod secrets;

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;

/// A directory of configuration files with the given contents.
fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

/// Loads one file with this content.
fn load_text(role: Role, text: &str) -> Result<Config, ConfigError> {
    load_both(role, text, &[])
}

/// Loads one file with this content, and the variables over it.
fn load_both(role: Role, text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let directory = directory(&[("test.toml", text)]);
    load_path(role, &directory.path().join("test.toml"), variables)
}

fn load_path(role: Role, path: &Path, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let environment = variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    load(role, &[path.to_owned()], environment)
}

/// The lines of the error, without the directories of its files.
fn lines(result: Result<Config, ConfigError>) -> Vec<String> {
    let text = result.unwrap_err().to_string();
    text.lines().map(without_directory).collect()
}

fn without_directory(line: &str) -> String {
    match (line.starts_with('/'), line.split_once(": ")) {
        (true, Some((path, rest))) => {
            format!("{}: {rest}", PathBuf::from(path).file_name().unwrap().to_string_lossy())
        }
        _ => line.to_owned(),
    }
}
