//! A disk that a test can fill: a small file system that only one server sees, in a namespace of its own. Needs no root.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::ffmpeg::run;

/// A directory on which a server finds a file system of a fixed size.
pub struct SmallDisk {
    directory: PathBuf,
    bytes: u64,
}

impl SmallDisk {
    /// A disk of so many bytes, to be found at a directory that exists.
    pub fn new(directory: &Path, bytes: u64) -> Self {
        Self { directory: directory.to_owned(), bytes }
    }

    /// What stands before a command that is to find the disk.
    pub fn prefix(&self) -> Vec<String> {
        let script =
            format!("mount -t tmpfs -o size={} none '{}' && exec \"$0\" \"$@\"", self.bytes, self.directory.display());
        ["unshare", "--map-root-user", "--mount", "sh", "-c", &script].map(str::to_owned).to_vec()
    }

    /// Runs a shell command in the disk's directory, as the process that found it there sees it.
    #[track_caller]
    pub fn shell(&self, process: u32, script: &str) -> String {
        let mut command = Command::new("nsenter");
        command.args(["--user", "--mount", "--preserve-credentials", "--target", &process.to_string()]);
        command.args(["sh", "-c", &format!("cd '{}' && {script}", self.directory.display())]);
        run(command)
    }
}
