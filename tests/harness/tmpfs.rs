//! A small disk of its own for a test, so that it can be full or read-only. Mounting takes root, or sudo without a password.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::geteuid;
use tempfile::TempDir;

/// A mounted tmpfs; gone when dropped.
pub struct Tmpfs {
    directory: TempDir,
}

impl Tmpfs {
    /// Mounts one of so many mebibytes.
    #[track_caller]
    pub fn mount(mebibytes: u32) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().display().to_string();
        system(&["mount", "-t", "tmpfs", "-o", &format!("size={mebibytes}m,mode=0777"), "rillcast-test", &path]);
        Self { directory }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Fills it up but for so many bytes. Deleting the file that is returned frees them again.
    #[track_caller]
    pub fn fill(&self, left: usize) -> PathBuf {
        let path = self.path().join("filling");
        let mut file = OpenOptions::new().create(true).append(true).open(&path).expect("a file can be made");
        while file.write_all(&[0; 4_096]).is_ok() {}
        let length = fs::metadata(&path).expect("it is there").len();
        file.set_len(length.saturating_sub(left as u64)).expect("it can be made shorter");
        path
    }

    /// Takes no more writes, or takes them again.
    #[track_caller]
    pub fn set_read_only(&self, read_only: bool) {
        let option = if read_only { "remount,ro" } else { "remount,rw" };
        system(&["mount", "-o", option, &self.path().display().to_string()]);
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        system(&["umount", "-l", &self.path().display().to_string()]);
    }
}

#[track_caller]
fn system(words: &[&str]) {
    let mut command = if geteuid().is_root() { Command::new(words[0]) } else { Command::new("sudo") };
    if geteuid().is_root() {
        command.args(&words[1..]);
    } else {
        command.arg("-n").args(words);
    }
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
