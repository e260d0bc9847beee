//! Where `make tools` puts what Debian does not carry.

use std::path::{Path, PathBuf};

/// A file below the folder of the tools.
#[track_caller]
fn tool(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools").join(path);
    assert!(path.exists(), "{} is missing: run `make tools`", path.display());
    path
}

/// An ffmpeg that speaks enhanced RTMP.
#[track_caller]
pub fn enhanced_ffmpeg() -> PathBuf {
    tool("bin/ffmpeg-enhanced")
}

/// The folder of a package of npm's.
#[track_caller]
pub fn node_package(name: &str) -> PathBuf {
    tool("node_modules").join(name)
}

/// The Python that the tools of Python's belong to.
#[track_caller]
pub fn python() -> PathBuf {
    tool("bin/python")
}

/// What checks Prometheus's rules.
#[track_caller]
pub fn promtool() -> PathBuf {
    tool("bin/promtool")
}

/// Where tests leave what people may want to look at.
pub fn results() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/results")
}
