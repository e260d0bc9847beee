//! nginx with its RTMP module as a foreign server that makes HLS of what is published to it.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use tempfile::TempDir;

use super::process::Process;
use super::server::free_address;
use super::wait_until;

const MODULE: &str = "/usr/lib/nginx/modules/ngx_rtmp_module.so";

/// A running nginx whose application `live` is to be had as HLS at `/live/STREAM.m3u8`; killed when dropped.
pub struct NginxHls {
    /// Where it takes RTMP.
    pub rtmp: SocketAddr,
    /// Where it serves HTTP.
    pub http: SocketAddr,
    _process: Process,
    directory: TempDir,
}

impl NginxHls {
    /// Starts nginx, with segments of one second.
    #[track_caller]
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (rtmp, http) = (free_address(), free_address());
        let at = directory.path().display();
        let config = format!(
            "load_module {MODULE};\nuser root;\ndaemon off;\nmaster_process off;\npid {at}/nginx.pid;\n\
             error_log stderr warn;\nevents {{}}\n\
             rtmp {{ server {{ listen {rtmp}; application live {{ live on; hls on; hls_path {at}/www/live; \
             hls_fragment 1s; hls_playlist_length 10s; }} }} }}\n\
             http {{ access_log {at}/access.log; client_body_temp_path {at}/t1; proxy_temp_path {at}/t2; \
             fastcgi_temp_path {at}/t3; uwsgi_temp_path {at}/t4; scgi_temp_path {at}/t5; \
             server {{ listen {http}; root {at}/www; }} }}\n"
        );
        let file = directory.path().join("nginx.conf");
        fs::create_dir_all(directory.path().join("www/live")).expect("the folder is made");
        fs::write(&file, config).expect("nginx.conf is written");
        // Outside of a login shell, Debian's PATH may lack sbin.
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-p").arg(directory.path()).args(["-e", "stderr"]).arg("-c").arg(&file);
        let process = Process::spawn("nginx", &mut command);
        wait_until("nginx listens", || TcpStream::connect(rtmp).is_ok() && TcpStream::connect(http).is_ok());
        Self { rtmp, http, _process: process, directory }
    }

    /// The paths that were asked for so far, each as often as it was.
    #[track_caller]
    pub fn asked(&self) -> Vec<String> {
        let log = fs::read_to_string(self.directory.path().join("access.log")).expect("nginx writes a log");
        log.lines().filter_map(|line| Some(line.split('"').nth(1)?.split(' ').nth(1)?.to_owned())).collect()
    }
}
