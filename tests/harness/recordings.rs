//! The recordings of an origin, as its admin port shows them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::http::{self, Response};
use super::server::Server;
use super::wait_for;

/// A recording in the list.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// Where its file is.
    pub path: PathBuf,
    /// Whether it is no longer being written.
    pub is_complete: bool,
    /// How long it plays.
    pub duration_ms: u64,
    /// How large it is.
    pub bytes: u64,
    /// All that is said of it.
    pub entry: Value,
}

impl From<Value> for Listed {
    fn from(entry: Value) -> Self {
        let text =
            |name: &str| entry[name].as_str().unwrap_or_else(|| panic!("{name} is missing in {entry}")).to_owned();
        let number = |name: &str| entry[name].as_u64().unwrap_or_else(|| panic!("{name} is missing in {entry}"));
        Self {
            id: text("id"),
            path: text("path").into(),
            is_complete: entry["state"] == "complete",
            duration_ms: number("duration_ms"),
            bytes: number("bytes"),
            entry,
        }
    }
}

/// Settings that record every stream below `directory`, and these lines.
pub fn config(directory: &Path, lines: &str) -> String {
    format!("[dvr]\nenabled = true\npath = \"{}/[app]/[stream].[timestamp]\"\n{lines}\n", directory.display())
}

/// An origin that records into a directory of its own, with these lines of `[dvr]`.
#[track_caller]
pub fn origin(lines: &str) -> (Server, TempDir) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    (Server::origin_on_fixed_ports(&config(directory.path(), lines)), directory)
}

/// What the list has, the oldest first.
#[track_caller]
pub fn list(server: &Server) -> Vec<Listed> {
    ask(server, "?count=1000")
}

/// What the list has for a query, the oldest first.
#[track_caller]
pub fn ask(server: &Server, query: &str) -> Vec<Listed> {
    let answer = server.admin(&format!("/api/v1/recordings{query}"));
    assert_eq!(answer.head.status, 200, "{}", answer.text());
    let body = answer.json();
    assert_eq!(body["code"], 0);
    let recordings = body["recordings"].as_array().expect("recordings is an array").clone();
    recordings.into_iter().rev().map(Listed::from).collect()
}

/// Waits until so many recordings are complete and none is being written, and gives them, the oldest first.
#[track_caller]
pub fn wait_for_complete(server: &Server, count: usize) -> Vec<Listed> {
    wait_for(&format!("{count} recordings are complete"), || {
        let all = list(server);
        (all.len() == count && all.iter().all(|one| one.is_complete)).then_some(all)
    })
}

/// One request for a recording.
#[track_caller]
pub fn request(server: &Server, method: &str, id: &str, rest: &str) -> Response {
    http::request(server.admin, method, &format!("/api/v1/recordings/{id}{rest}"))
}

/// All files below a directory, sorted.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("a directory can be read") {
            let path = entry.expect("a directory can be read").path();
            if path.is_dir() { directories.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}
