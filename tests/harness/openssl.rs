//! `openssl s_client`: what a server presents, as another implementation of TLS sees it.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

/// What came of a handshake.
#[derive(Debug)]
pub struct Presented {
    /// All that `s_client` says.
    pub text: String,
}

impl Presented {
    /// Whether the certificate is good for whom it was asked for.
    pub fn is_verified(&self) -> bool {
        self.text.contains("Verify return code: 0 (ok)")
    }

    /// The protocol that was agreed upon.
    pub fn alpn(&self) -> Option<&str> {
        self.text.lines().find_map(|line| line.strip_prefix("ALPN protocol: "))
    }

    /// The server's certificate in PEM.
    pub fn certificate(&self) -> Option<&str> {
        let start = self.text.find("-----BEGIN CERTIFICATE-----")?;
        let length = self.text[start..].find("-----END CERTIFICATE-----")?;
        Some(&self.text[start..start + length])
    }
}

/// Shakes hands with a server, as a client that wants to reach `name`, and leaves.
#[track_caller]
pub fn connect(server: SocketAddr, name: Option<&str>, ca_file: &Path, options: &[&str]) -> Presented {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &server.to_string(), "-CAfile"]).arg(ca_file).args(options);
    match name {
        Some(name) => command.args(["-servername", name, "-verify_hostname", name]),
        None => command.arg("-noservername"),
    };
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.unwrap_or_else(|error| panic!("openssl does not start: {error}"));
    // Q at the beginning of a line ends it.
    let _ = child.stdin.take().expect("stdin is piped").write_all(b"Q\n");
    let output = child.wait_with_output().expect("openssl ends");
    Presented { text: String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned() }
}
