//! The authorities that upstreams prove by who they are, as their file has them now.
//!
//! Owns what is read of the file, and when it is read again. Connecting asks here each time, so authorities that are replaced, or
//! named by a reload, count for the next connection. Nothing is ever connected to without a proof that is wanted.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use crate::net::tls::{ClientTls, ClientTlsError};

/// How long the file counts as what it was.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The authorities in use.
#[derive(Debug, Default)]
pub(super) struct Trust {
    loaded: Mutex<Option<Loaded>>,
}

#[derive(Debug)]
struct Loaded {
    ca_file: Option<PathBuf>,
    /// When the file was changed, and its length.
    version: Option<(SystemTime, u64)>,
    looked_at: Instant,
    tls: ClientTls,
}

impl Trust {
    /// What to speak TLS with, believing the authorities in `ca_file`, or those that the system knows. A file that has become
    /// useless changes nothing but the log.
    pub(super) fn current(&self, ca_file: Option<&Path>) -> Result<ClientTls, ClientTlsError> {
        let mut loaded = self.loaded.lock();
        let now = Instant::now();
        let known = loaded.as_mut().filter(|known| known.ca_file.as_deref() == ca_file);
        if let Some(known) = &known
            && now < known.looked_at + LOOK_EVERY
        {
            return Ok(known.tls.clone());
        }
        let version = ca_file.and_then(|path| version(path).ok());
        match known {
            Some(known) => {
                known.looked_at = now;
                if known.version != version {
                    known.version = version;
                    match ClientTls::new(ca_file) {
                        Ok(tls) => known.tls = tls,
                        Err(error) => {
                            tracing::error!(%error, "the new upstream.ca_file cannot be used; what it held stays");
                        }
                    }
                }
                Ok(known.tls.clone())
            }
            None => {
                let tls = ClientTls::new(ca_file)?;
                let ca_file = ca_file.map(Path::to_owned);
                *loaded = Some(Loaded { ca_file, version, looked_at: now, tls: tls.clone() });
                Ok(tls)
            }
        }
    }
}

fn version(path: &Path) -> io::Result<(SystemTime, u64)> {
    let metadata = std::fs::metadata(path)?;
    Ok((metadata.modified()?, metadata.len()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn authority() -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        rcgen::CertificateParams::new(["a.example".to_owned()]).unwrap().self_signed(&key).unwrap().pem()
    }

    /// Has it look again at once.
    fn age(trust: &Trust) {
        trust.loaded.lock().as_mut().unwrap().looked_at -= LOOK_EVERY;
    }

    #[test]
    fn a_file_is_read_again_when_it_has_changed_and_stays_in_use_when_it_has_become_useless() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca.pem");
        let trust = Trust::default();
        assert!(trust.current(Some(&file)).is_err());
        fs::write(&file, authority()).unwrap();
        let first = trust.current(Some(&file)).unwrap();
        age(&trust);
        assert!(trust.current(Some(&file)).unwrap().is(&first));
        fs::write(&file, "nothing").unwrap();
        age(&trust);
        assert!(trust.current(Some(&file)).unwrap().is(&first));
        fs::write(&file, authority() + &authority()).unwrap();
        age(&trust);
        assert!(!trust.current(Some(&file)).unwrap().is(&first));
    }

    #[test]
    fn another_file_counts_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let [one, other] = ["1.pem", "2.pem"].map(|name| directory.path().join(name));
        fs::write(&one, authority()).unwrap();
        let trust = Trust::default();
        trust.current(Some(&one)).unwrap();
        assert!(trust.current(Some(&other)).is_err(), "nobody is believed by the old file");
    }
}
