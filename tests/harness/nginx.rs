//! nginx with its RTMP module (Debian's packages nginx and libnginx-mod-rtmp) as a foreign server.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use tempfile::TempDir;

use super::process::Process;
use super::server::free_address;
use super::wait_until;

const MODULE: &str = "/usr/lib/nginx/modules/ngx_rtmp_module.so";

/// A running nginx; killed when dropped.
pub struct Nginx {
    /// Where it takes RTMP.
    pub rtmp: SocketAddr,
    _process: Process,
    _directory: TempDir,
}

impl Nginx {
    /// Starts nginx with an application `live`, and more of them as its configuration language writes them.
    #[track_caller]
    pub fn start(applications: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let rtmp = free_address();
        let at = directory.path().display();
        let config = format!(
            "load_module {MODULE};\ndaemon off;\nmaster_process off;\npid {at}/nginx.pid;\nerror_log stderr warn;\n\
             events {{}}\n\
             rtmp {{ server {{ listen {rtmp}; application live {{ live on; }} {applications} }} }}\n"
        );
        let file = directory.path().join("nginx.conf");
        fs::write(&file, config).expect("nginx.conf is written");
        // Outside of a login shell, Debian's PATH may lack sbin.
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-p").arg(directory.path()).args(["-e", "stderr"]).arg("-c").arg(&file);
        let process = Process::spawn("nginx", &mut command);
        wait_until("nginx listens", || TcpStream::connect(rtmp).is_ok());
        Self { rtmp, _process: process, _directory: directory }
    }
}
