//! nginx with its RTMP module (Debian's packages nginx and libnginx-mod-rtmp) as a foreign server.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::process::Process;
use super::server::free_address;
use super::wait_until;

const MODULE: &str = "/usr/lib/nginx/modules/ngx_rtmp_module.so";

/// The configuration that is shipped for serving HLS, and what a test puts in the place of its directory and its port.
const HLS_CONFIG: &str = include_str!("../../conf/nginx-hls.conf");
const HLS_ROOT: &str = "/var/lib/rillcast/hls";
const HLS_LISTEN: &str = "listen 8088;";

/// A running nginx that serves HLS from a directory; killed when dropped.
pub struct HlsNginx {
    /// Where it takes HTTP.
    pub http: SocketAddr,
    _process: Process,
    _directory: TempDir,
}

impl HlsNginx {
    /// Starts nginx with the configuration that is shipped.
    #[track_caller]
    pub fn start(hls: &Path) -> Self {
        assert!(HLS_CONFIG.contains(HLS_ROOT) && HLS_CONFIG.contains(HLS_LISTEN), "conf/nginx-hls.conf has changed");
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (at, http) = (directory.path().display(), free_address());
        let server =
            HLS_CONFIG.replace(HLS_ROOT, &hls.display().to_string()).replace(HLS_LISTEN, &format!("listen {http};"));
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {at}/{kind};"))
            .join(" ");
        // The workers of a master that root has started are nobody's, who must not read the test's directory.
        let config = format!(
            "daemon off;\nmaster_process off;\npid {at}/nginx.pid;\nerror_log stderr warn;\nevents {{}}\n\
             http {{ access_log off; log_not_found off; {temporary}\n{server} }}\n"
        );
        let process = spawn(&directory, &config);
        wait_until("nginx listens", || TcpStream::connect(http).is_ok());
        Self { http, _process: process, _directory: directory }
    }
}

/// Starts nginx with a configuration.
#[track_caller]
fn spawn(directory: &TempDir, config: &str) -> Process {
    let file = directory.path().join("nginx.conf");
    fs::write(&file, config).expect("nginx.conf is written");
    // Outside of a login shell, Debian's PATH may lack sbin.
    let mut command = Command::new("/usr/sbin/nginx");
    command.arg("-p").arg(directory.path()).args(["-e", "stderr"]).arg("-c").arg(&file);
    Process::spawn("nginx", &mut command)
}

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
        let process = spawn(&directory, &config);
        wait_until("nginx listens", || TcpStream::connect(rtmp).is_ok());
        Self { rtmp, _process: process, _directory: directory }
    }
}
