//! `[hooks]`: who is asked about clients, and told of them.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::duration::Span;
use crate::config::form::{List, Optional, Whole, Written, choice};
use crate::config::hook_url::HookUrl;
use crate::config::secret::SecretFile;
use crate::config::section::section;

choice! {
    /// What becomes of a client when a hook cannot be asked about it.
    HookFailure, "\"open\" or \"closed\"" {
        /// It is let in.
        Open = "open",
        /// It is refused.
        Closed = "closed",
    }
}

/// Any number of URLs, each of which is asked or told.
type Urls = List<Written<HookUrl>>;

section! {
    /// Who is asked about clients, and told of them, each by a POST. A server of the cluster that has proved to be one is no
    /// client.
    "hooks" Hooks HooksPatch {
        /// Asked when a client connects over RTMP.
        on_connect: Vec<HookUrl> as Urls = Vec::new(),
        /// Told when it has gone.
        on_close: Vec<HookUrl> as Urls = Vec::new(),
        /// Asked when a client publishes.
        on_publish: Vec<HookUrl> as Urls = Vec::new(),
        /// Told when it does not any more.
        on_unpublish: Vec<HookUrl> as Urls = Vec::new(),
        /// Asked when a client plays.
        on_play: Vec<HookUrl> as Urls = Vec::new(),
        /// Told when it does not any more.
        on_stop: Vec<HookUrl> as Urls = Vec::new(),
        /// Told of each segment of HLS.
        on_hls: Vec<HookUrl> as Urls = Vec::new(),
        /// Told of each recording that is complete.
        on_dvr: Vec<HookUrl> as Urls = Vec::new(),
        /// Told when an edge pulls a stream.
        on_pull: Vec<HookUrl> as Urls = Vec::new(),
        /// Told when it does not any more.
        on_pull_end: Vec<HookUrl> as Urls = Vec::new(),
        /// Told when an edge passes a publisher on to an origin.
        on_forward: Vec<HookUrl> as Urls = Vec::new(),
        /// How long one attempt may take; longer than zero.
        timeout: Duration as Span<1> = Duration::from_secs(5),
        /// How often it is tried again; at most 10.
        retries: u32 as Whole<0, 10> = 2,
        /// What becomes of a client when a hook cannot be asked about it.
        fail: HookFailure as Written<HookFailure> = HookFailure::Closed,
        /// How long the answer about a player holds for the next one that says the same; zero asks about each.
        cache: Duration as Span = Duration::ZERO,
        /// The file with the certificates of authorities that `https` is believed of, beside the public ones.
        ca_file: Option<PathBuf> as Optional<SecretFile> = None,
    }
}
