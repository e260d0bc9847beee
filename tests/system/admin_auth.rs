//! Who may use the admin port, as a whole process decides it.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::harness::server::Server;
use super::harness::{wait_for, wait_until};

/// What curl gets, as a status code, with these arguments.
#[track_caller]
fn curl(server: &Server, path: &str, arguments: &[&str]) -> u16 {
    let url = format!("http://{}{path}", server.admin);
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "30", "--output", "/dev/null", "--write-out", "%{http_code}"])
        .args(arguments)
        .arg(url)
        .output()
        .expect("curl runs");
    let code = String::from_utf8(output.stdout).expect("a number");
    code.parse().unwrap_or_else(|_| panic!("curl said {code:?} and {:?}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn curl_logs_in_with_a_password_in_clear_or_hashed_and_with_a_token() {
    let hashed = argon2_of("view-password");
    let server =
        Server::origin(&format!("[admin]\nedit_auth = \"admin:edit-password\"\nview_auth = \"viewer:{hashed}\"\n"));
    assert_eq!(curl(&server, "/api/v1/config", &[]), 401);
    assert_eq!(curl(&server, "/api/v1/config", &["--user", "viewer:view-password"]), 200);
    assert_eq!(curl(&server, "/api/v1/config", &["--user", "viewer:other"]), 401);
    assert_eq!(curl(&server, "/api/v1/config", &["--user", "admin:view-password"]), 401);
    assert_eq!(curl(&server, "/api/v1/streams", &["--header", "Authorization: Bearer view-password"]), 200);
    assert_eq!(curl(&server, "/api/v1/reload", &["--request", "POST", "--user", "viewer:view-password"]), 403);
    assert_eq!(curl(&server, "/api/v1/reload", &["--request", "POST", "--user", "admin:edit-password"]), 200);
    for open in ["/livez", "/readyz", "/startupz", "/metrics"] {
        assert_eq!(curl(&server, open, &[]), 200, "{open}");
    }
    let refusals = |reason| server.metrics().labelled("rillcast_admin_refusals_total", "reason", reason);
    assert_eq!((refusals("no_credentials"), refusals("wrong_credentials"), refusals("view_only")), (1.0, 2.0, 1.0));
}

/// A hash of a password, as the tool `argon2` writes it.
fn argon2_of(password: &str) -> String {
    use argon2::{Algorithm, Argon2, Params, Version};
    use base64ct::{Base64Unpadded, Encoding};
    const SALT: &[u8] = b"some random salt";
    let params = Params::new(4096, 3, 1, Some(32)).expect("parameters");
    let mut digest = [0; 32];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_into(password.as_bytes(), SALT, &mut digest).expect("it is hashed");
    let [salt, digest] = [SALT, &digest[..]].map(Base64Unpadded::encode_string);
    format!("$argon2id$v=19$m=4096,t=3,p=1${salt}${digest}")
}

#[test]
fn guessing_is_answered_with_a_time_to_wait() {
    let server = Server::origin("[admin]\nedit_auth = \"admin:edit-password\"\n");
    let mut statuses: Vec<u16> = Vec::new();
    for guess in 0..30 {
        let token = format!("Bearer guess-{guess}");
        let answer = server.ask_admin("GET", "/api/v1/config", &[("Authorization", token.as_str())], "");
        if answer.head.status == 429 {
            let wait: u64 = answer.head.header("retry-after").expect("it is said for how long").parse().unwrap();
            assert!((1..=60).contains(&wait), "{wait}");
        }
        statuses.push(answer.head.status);
    }
    assert_eq!((statuses[0], statuses[29]), (401, 429), "{statuses:?}");
    // From another address of this host nothing is in the way.
    assert_eq!(curl(&server, "/api/v1/config", &["--interface", "127.0.0.2", "--user", "admin:edit-password"]), 200);
    assert_eq!(server.admin("/readyz").head.status, 200);
}

#[test]
fn a_rotated_secret_file_holds_as_soon_as_it_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("edit-auth");
    fs::write(&file, "admin:first\n").unwrap();
    let server = Server::origin(&format!("[admin]\nedit_auth_file = {:?}\n", file.display().to_string()));
    assert_eq!(curl(&server, "/api/v1/config", &["--user", "admin:first"]), 200);
    let next = directory.path().join("next");
    fs::write(&next, "admin:second\n").unwrap();
    fs::rename(next, &file).unwrap();
    let is_noticed =
        |line: &Value| line["fields"]["changed"].as_str().is_some_and(|keys| keys.contains("admin.edit_auth"));
    wait_until("it is noticed", || server.log().iter().any(is_noticed));
    assert_eq!(curl(&server, "/api/v1/config", &["--user", "admin:second"]), 200);
    assert_eq!(curl(&server, "/api/v1/config", &["--user", "admin:first"]), 401);
}

#[test]
fn without_credentials_another_address_than_this_host_s_changes_nothing() {
    let Some(outside) = outside_address() else { return };
    let server = Server::origin(&format!("[admin]\nlisten = [\"127.0.0.1:0\", \"{outside}:0\"]\n"));
    let remote = wait_for("it listens there", || {
        let log = server.log();
        let addresses = log.iter().filter(|line| line["fields"]["message"] == "listening");
        let mut addresses = addresses.filter_map(|line| line["fields"]["address"].as_str());
        addresses.find(|address| address.starts_with(&outside))?.parse().ok()
    });
    let ask = |method, path| super::harness::http::send(remote, method, path, &[], "").head.status;
    assert_eq!(ask("GET", "/api/v1/config"), 200);
    for (method, path) in [
        ("POST", "/api/v1/reload"),
        ("PUT", "/api/v1/config"),
        ("DELETE", "/api/v1/config"),
        ("POST", "/api/v1/drain"),
        ("DELETE", "/api/v1/recordings/1"),
        ("PATCH", "/api/v1/anything"),
    ] {
        assert_eq!(ask(method, path), 403, "{method} {path}");
    }
    assert_eq!(server.ask_admin("POST", "/api/v1/reload", &[], "").head.status, 200);
}

/// An address of this host that is not its loopback, if it has one.
fn outside_address() -> Option<String> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: this only chooses a route.
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip().to_string()).filter(|address| !address.starts_with("127."))
}
