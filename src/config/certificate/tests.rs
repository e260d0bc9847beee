use std::fs;

use ::config::Map;
use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::*;

/// A directory with a pair for these names.
fn directory(names: &[&str]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let (cert, key) = pair(names);
    fs::write(directory.path().join(CERT_NAME), cert).unwrap();
    fs::write(directory.path().join(KEY_NAME), key).unwrap();
    directory
}

fn pair(names: &[&str]) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let cert = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    (cert.pem(), key.serialize_pem())
}

fn loaded(names: &[&str]) -> LoadedCertificate {
    CertificatePair::in_directory(directory(names).path()).load().unwrap()
}

fn error_of(directory: &TempDir) -> String {
    let error = CertificatePair::in_directory(directory.path()).load().unwrap_err().to_string();
    error.replace(&format!("{}/", directory.path().display()), "")
}

fn read_value(value: &Value) -> Result<CertificatePair, String> {
    let mut mistakes = Vec::new();
    Pair::read(value, "key", &mut mistakes)
        .ok_or_else(|| mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

#[test]
fn a_pair_is_loaded_with_its_names_and_its_time() {
    let credentials = loaded(&["Live.Example", "*.live.example"]);
    assert_eq!(credentials.names, ["live.example", "*.live.example"]);
    assert!(credentials.not_before < credentials.not_after);
}

#[test]
fn a_name_is_matched_whole_and_a_star_stands_for_one_label() {
    let credentials = loaded(&["live.example", "*.live.example"]);
    for name in ["live.example", "a.live.example"] {
        assert!(credentials.is_for(name), "{name}");
    }
    for name in ["example", "other.example", "a.b.live.example", "xlive.example", ""] {
        assert!(!credentials.is_for(name), "{name}");
    }
}

#[test]
fn a_missing_file_and_one_that_holds_something_else_are_named() {
    let pair = directory(&["a.example"]);
    fs::write(pair.path().join(KEY_NAME), "no key").unwrap();
    assert!(error_of(&pair).starts_with("tls.key: holds no private key in PEM"), "{}", error_of(&pair));
    fs::write(pair.path().join(CERT_NAME), "").unwrap();
    assert_eq!(error_of(&pair), "tls.crt: holds no certificate in PEM");
    fs::remove_file(pair.path().join(CERT_NAME)).unwrap();
    assert!(error_of(&pair).starts_with("tls.crt: cannot be read: "), "{}", error_of(&pair));
}

#[test]
fn a_key_of_another_certificate_is_told_from_a_bad_key() {
    let (pair, other) = (directory(&["a.example"]), directory(&["a.example"]));
    fs::copy(other.path().join(KEY_NAME), pair.path().join(KEY_NAME)).unwrap();
    assert_eq!(error_of(&pair), format!("tls.key: is not the key of the certificate in {}", "tls.crt"));
}

#[test]
fn the_digest_changes_with_either_file() {
    let pair = directory(&["a.example"]);
    let files = CertificatePair::in_directory(pair.path());
    let before = files.digest().unwrap();
    assert_eq!(files.load().unwrap().digest, before);
    let key = fs::read_to_string(&files.key_file).unwrap();
    fs::write(&files.key_file, format!("{key}\n")).unwrap();
    assert_ne!(files.digest().unwrap(), before);
}

#[test]
fn a_directory_and_two_files_are_read_and_written() {
    let in_directory = read_value(&Value::from("/etc/tls")).unwrap();
    assert_eq!(in_directory.key_file, Path::new("/etc/tls/tls.key"));
    assert_eq!(Pair::write(&in_directory), "\"/etc/tls\"");
    let table: Map<String, Value> =
        [("cert_file", "a.pem"), ("key_file", "b.pem")].map(|(key, path)| (key.to_owned(), Value::from(path))).into();
    let files = read_value(&Value::from(table)).unwrap();
    assert_eq!((files.cert_file.to_str(), files.key_file.to_str()), (Some("a.pem"), Some("b.pem")));
    assert_eq!(Pair::write(&files), "{ cert_file = \"a.pem\", key_file = \"b.pem\" }");
}

#[test]
fn half_a_pair_and_what_is_none_are_mistakes() {
    let table: Map<String, Value> = [("cert_file".to_owned(), Value::from("a.pem"))].into();
    assert_eq!(read_value(&Value::from(table)), Err("key.key_file: expected the path of a file".to_owned()));
    assert!(read_value(&Value::from(3_i64)).unwrap_err().starts_with("key: expected a directory that holds tls.crt"));
    assert!(read_value(&Value::from("")).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_content_panics(cert: Vec<u8>, key: Vec<u8>) {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(CERT_NAME), cert).unwrap();
        fs::write(directory.path().join(KEY_NAME), key).unwrap();
        prop_assert!(CertificatePair::in_directory(directory.path()).load().is_err());
    }
}
