//! `[auth]`: who may publish and play.

use std::path::PathBuf;

use crate::config::form::{List, Optional, Switch, Written};
use crate::config::hook_url::HookUrl;
use crate::config::network::Network;
use crate::config::public_key::{PublicKey, PublicKeyFile};
use crate::config::secret::{Hidden, Secret, SecretFile};
use crate::config::section::section;
use crate::config::web_host::HostPattern;

/// The shortest key that is taken, in bytes: fewer could be guessed.
const MIN_KEY_BYTES: usize = 16;
/// The same for the key of a form that is taken over from another server, with the keys that its users have.
const MIN_MD5_KEY_BYTES: usize = 8;

section! {
    /// Who may publish and play. A server of the cluster that has proved to be one always may.
    "auth" Auth AuthPatch {
        /// Whether what follows is asked of publishers.
        publish: bool as Switch = true,
        /// Where publishers may come from; from anywhere if empty.
        publish_allow: Vec<Network> as List<Written<Network>> = Vec::new(),
        /// Where they may not come from, even if `publish_allow` says so.
        publish_deny: Vec<Network> as List<Written<Network>> = Vec::new(),
        /// What signs the URLs that publishers need; they need none if no key of any form is set.
        publish_key: Option<Secret> as Optional<Hidden<MIN_KEY_BYTES>> = None,
        /// The file that holds `publish_key` instead.
        publish_key_file: Option<PathBuf> as Optional<SecretFile> = None,
        /// What signs the JSON Web Tokens of publishers by HS256.
        publish_jwt_key: Option<Secret> as Optional<Hidden<MIN_KEY_BYTES>> = None,
        /// The file that holds `publish_jwt_key` instead.
        publish_jwt_key_file: Option<PathBuf> as Optional<SecretFile> = None,
        /// What verifies those that are signed by RS256 or ES256.
        publish_jwt_public_keys: Vec<PublicKey> as List<PublicKeyFile> = Vec::new(),
        /// What makes the tokens of publishers in xiu's form.
        publish_md5_key: Option<Secret> as Optional<Hidden<MIN_MD5_KEY_BYTES>> = None,
        /// The file that holds `publish_md5_key` instead.
        publish_md5_key_file: Option<PathBuf> as Optional<SecretFile> = None,
        /// Who is asked about each publisher that has passed all of this.
        publish_callback: Option<HookUrl> as Optional<Written<HookUrl>> = None,
        /// Whether what follows is asked of players.
        play: bool as Switch = true,
        /// Where players may come from; from anywhere if empty.
        play_allow: Vec<Network> as List<Written<Network>> = Vec::new(),
        /// Where they may not come from, even if `play_allow` says so.
        play_deny: Vec<Network> as List<Written<Network>> = Vec::new(),
        /// The sites whose pages may play; any, and players without a page, if empty.
        play_referers: Vec<HostPattern> as List<Written<HostPattern>> = Vec::new(),
        /// What signs the URLs that players need; they need none if no key of any form is set.
        play_key: Option<Secret> as Optional<Hidden<MIN_KEY_BYTES>> = None,
        /// The file that holds `play_key` instead.
        play_key_file: Option<PathBuf> as Optional<SecretFile> = None,
        /// What signs the JSON Web Tokens of players by HS256.
        play_jwt_key: Option<Secret> as Optional<Hidden<MIN_KEY_BYTES>> = None,
        /// The file that holds `play_jwt_key` instead.
        play_jwt_key_file: Option<PathBuf> as Optional<SecretFile> = None,
        /// What verifies those that are signed by RS256 or ES256.
        play_jwt_public_keys: Vec<PublicKey> as List<PublicKeyFile> = Vec::new(),
        /// What makes the tokens of players in xiu's form.
        play_md5_key: Option<Secret> as Optional<Hidden<MIN_MD5_KEY_BYTES>> = None,
        /// The file that holds `play_md5_key` instead.
        play_md5_key_file: Option<PathBuf> as Optional<SecretFile> = None,
        /// Who is asked about each player that has passed all of this.
        play_callback: Option<HookUrl> as Optional<Written<HookUrl>> = None,
        /// Whether a session ends with the URL or token that it began with.
        end_at_expiry: bool as Switch = false,
    }
}
