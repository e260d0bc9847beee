//! Node-Media-Server (npm's package node-media-server) as a foreign server.

use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use super::process::Process;
use super::server::free_address;
use super::{tools, wait_until};

/// A running Node-Media-Server; killed when dropped.
pub struct NodeMediaServer {
    /// Where it takes RTMP.
    pub rtmp: SocketAddr,
    _process: Process,
    _directory: TempDir,
}

impl NodeMediaServer {
    /// Starts it on free ports.
    #[track_caller]
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let [rtmp, http] = [free_address(), free_address()];
        let config = json!({
            "bind": rtmp.ip().to_string(),
            "rtmp": { "port": rtmp.port() },
            "http": { "port": http.port() },
            "store": { "path": directory.path() },
        });
        let package = tools::node_package("node-media-server");
        let script = format!("new (require({}))(JSON.parse(process.argv[1])).run()", json!(package));
        let mut command = Command::new("node");
        command.args(["-e", &script, &config.to_string()]).current_dir(directory.path());
        let process = Process::spawn("Node-Media-Server", &mut command);
        wait_until("Node-Media-Server listens", || [rtmp, http].iter().all(|port| TcpStream::connect(port).is_ok()));
        Self { rtmp, _process: process, _directory: directory }
    }
}
