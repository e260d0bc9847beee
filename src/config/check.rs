//! What must hold between the keys of a configuration, and between a key and the role.
//!
//! Owns these rules; what a single key may be is said where the sections are declared. Runs once, after reading.

use ::config::{Value, ValueKind};

use super::apps::{AppEntry, AppRule};
use super::authorities::load_authorities;
use super::duration::format_duration;
use super::environment::variable;
use super::layer::Layer;
use super::mistake::Mistake;
use super::sections::{Drain, Dvr, DvrFormat, Hls, Play, Upstream};
use super::upstream::OriginAddress;

use super::{Config, Role};

/// Checks the sections, once they are read. `complete` says that no source is missing from them.
pub(super) fn sections(config: &Config, tree: &Layer, complete: bool, mistakes: &mut Vec<Mistake>) {
    drain(&config.drain, tree, mistakes);
    lag(&config.play, "", |key| tree.get("play", key), mistakes);
    cuts(&config.hls, "", |key| tree.get("hls", key), mistakes);
    recordings(config, &config.dvr, "", |key| tree.get("dvr", key), mistakes);
    node_address(config, tree, mistakes);
    certificates(config, tree, mistakes);
    upstream_tls(config, tree, mistakes);
    hook_authorities(config, tree, mistakes);
    match config.role {
        Role::Origin => {
            signed_peers(config, tree, mistakes);
            no_origins("origins", &config.upstream.origins, tree, mistakes);
            no_origins("backup_origins", &config.upstream.backup_origins, tree, mistakes);
            no_origins("shield", config.upstream.shield.as_slice(), tree, mistakes);
        }
        Role::Edge => {
            no_peers(config, tree, mistakes);
            if complete {
                some_origins(&config.upstream, tree, mistakes);
            }
        }
    }
}

/// Authorities that nobody asks are a mistake: somebody believes that nobody listens in. An edge that is to ask some has them.
fn upstream_tls(config: &Config, tree: &Layer, mistakes: &mut Vec<Mistake>) {
    let upstream = &config.upstream;
    match (tree.get("upstream", "ca_file"), &upstream.ca_file) {
        (Some(value), Some(_)) if !upstream.tls => {
            let message = "does nothing without TLS: set tls = true, too".to_owned();
            mistakes.push(Mistake::at(value, "upstream.ca_file", message));
        }
        (Some(value), Some(path)) => {
            if let Err(error) = load_authorities(Some(path)) {
                mistakes.push(Mistake::at(value, "upstream.ca_file", error.to_string()));
            }
        }
        // One that could not be read is the mistake.
        (Some(_), None) => {}
        (None, _) => {
            let asks_system = upstream.tls && config.role == Role::Edge;
            if let Some(value) = tree.get("upstream", "tls").filter(|_| asks_system)
                && let Err(error) = load_authorities(None)
            {
                mistakes.push(Mistake::at(value, "upstream.tls", format!("{error} as upstream.ca_file")));
            }
        }
    }
}

/// Hooks prove who they are by the authorities that there are beside the public ones.
fn hook_authorities(config: &Config, tree: &Layer, mistakes: &mut Vec<Mistake>) {
    if let (Some(value), Some(path)) = (tree.get("hooks", "ca_file"), &config.hooks.ca_file)
        && let Err(error) = load_authorities(Some(path))
    {
        mistakes.push(Mistake::at(value, "hooks.ca_file", error.to_string()));
    }
}

/// Whoever listens for TLS has a certificate to show, and each that is named can be used.
fn certificates(config: &Config, tree: &Layer, mistakes: &mut Vec<Mistake>) {
    let pairs = &config.tls.certificates;
    if let Some(value) = tree.get("tls", "certificates") {
        for (index, error) in pairs.iter().enumerate().filter_map(|(index, pair)| Some((index, pair.load().err()?))) {
            mistakes.push(Mistake::at(value, &format!("tls.certificates[{index}]"), error.to_string()));
        }
        // One that could not be read is the mistake, not that there is none.
        if !matches!(&value.kind, ValueKind::Array(items) if items.is_empty()) {
            return;
        }
    }
    let listeners =
        [("rtmp", &config.rtmp.tls_listen), ("http", &config.http.tls_listen), ("admin", &config.admin.tls_listen)];
    for (section, addresses) in listeners {
        if let Some(value) = tree.get(section, "tls_listen").filter(|_| !addresses.is_empty()) {
            let message = "TLS needs a certificate: set certificates under [tls]".to_owned();
            mistakes.push(Mistake::at(value, &format!("{section}.tls_listen"), message));
        }
    }
}

/// Checks one entry of `[[apps]]`, as if it alone lay over the sections.
pub(super) fn app(config: &Config, entry: &AppEntry, rule: &AppRule, mistakes: &mut Vec<Mistake>) {
    let prefix = format!("{}.", entry.path);
    let mut play = config.play.clone();
    play.apply(&rule.play);
    lag(&play, &prefix, |key| entry.get("play", key), mistakes);
    let mut hls = config.hls.clone();
    hls.apply(&rule.hls);
    cuts(&hls, &prefix, |key| entry.get("hls", key), mistakes);
    for key in ["path", "m3u8_file", "ts_file", "memory_bytes", "cache_bytes"] {
        if let Some(value) = entry.get("hls", key) {
            let message = "holds for the process as a whole: set it under [hls]".to_owned();
            mistakes.push(Mistake::at(value, &format!("{prefix}hls.{key}"), message));
        }
    }
    let mut dvr = config.dvr.clone();
    dvr.apply(&rule.dvr);
    recordings(config, &dvr, &prefix, |key| entry.get("dvr", key), mistakes);
    if let Some(value) = entry.get("hooks", "ca_file") {
        let message = "holds for the process as a whole: set it under [hooks]".to_owned();
        mistakes.push(Mistake::at(value, &format!("{prefix}hooks.ca_file"), message));
    }
    for key in ["max_bytes", "min_free"] {
        if let Some(value) = entry.get("dvr", key) {
            let message = "holds for all recordings of the process together: set it under [dvr]".to_owned();
            mistakes.push(Mistake::at(value, &format!("{prefix}dvr.{key}"), message));
        }
    }
}

/// A playlist of less than three segments plays nowhere, and segments cannot be longer than players are told they are.
fn cuts<'v>(hls: &Hls, prefix: &str, found: impl Fn(&str) -> Option<&'v Value>, mistakes: &mut Vec<Mistake>) {
    let mut check = |keys: &[&str], holds: bool, message: String| {
        let set = keys.iter().find_map(|key| Some((*key, found(key)?)));
        if let Some((key, value)) = set.filter(|_| !holds) {
            mistakes.push(Mistake::at(value, &format!("{prefix}hls.{key}"), message));
        }
    };
    let (fragment, window) = (format_duration(hls.fragment), format_duration(hls.window));
    let message = format!("window must be three times fragment at least: they are {window:?} and {fragment:?}");
    check(&["window", "fragment"], hls.window >= hls.fragment * 3, message);
    let message = format!("aof_ratio must not be less than td_ratio: they are {} and {}", hls.aof_ratio, hls.td_ratio);
    check(&["aof_ratio", "td_ratio"], hls.aof_ratio >= hls.td_ratio, message);
}

/// A recording's name must not say that it is something else, and an edge records nothing.
fn recordings<'v>(
    config: &Config,
    dvr: &Dvr,
    prefix: &str,
    found: impl Fn(&str) -> Option<&'v Value>,
    mistakes: &mut Vec<Mistake>,
) {
    if let Some(value) = found("enabled").filter(|_| dvr.enabled && config.role == Role::Edge) {
        let message = "an edge records nothing; origins record what is published to them".to_owned();
        mistakes.push(Mistake::at(value, &format!("{prefix}dvr.enabled"), message));
    }
    let expected = match dvr.format {
        DvrFormat::Flv => "flv",
        DvrFormat::Fmp4 => "mp4",
    };
    let set = [("path", found("path")), ("format", found("format"))];
    let Some((key, value)) = set.into_iter().find_map(|(key, value)| Some((key, value?))) else { return };
    if dvr.path.extension().is_some_and(|extension| extension != expected) {
        let message =
            format!("the path \"{}\" does not end in .{expected}, as recordings in {} do", dvr.path, dvr.format);
        mistakes.push(Mistake::at(value, &format!("{prefix}dvr.{key}"), message));
    }
}

/// What is to come later must not come earlier. Only where one of the times is set: else it is wrong elsewhere.
fn drain(drain: &Drain, tree: &Layer, mistakes: &mut Vec<Mistake>) {
    let keys = ["propagation_delay", "soft_timeout", "window", "hard_timeout"];
    let Some((key, value)) = keys.into_iter().find_map(|key| Some((key, tree.get("drain", key)?))) else { return };
    let released = drain.soft_timeout + drain.window;
    if drain.propagation_delay <= drain.soft_timeout && released <= drain.hard_timeout {
        return;
    }
    let message = format!(
        "must hold: propagation_delay <= soft_timeout <= soft_timeout + window <= hard_timeout; they are {:?} <= {:?} <= \
         {:?} <= {:?}",
        format_duration(drain.propagation_delay),
        format_duration(drain.soft_timeout),
        format_duration(released),
        format_duration(drain.hard_timeout)
    );
    mistakes.push(Mistake::at(value, &format!("drain.{key}"), message));
}

/// A player must be able to jump before it is closed. Only where one of the two is set: else it is wrong elsewhere.
fn lag<'v>(play: &Play, prefix: &str, found: impl Fn(&str) -> Option<&'v Value>, mistakes: &mut Vec<Mistake>) {
    let set = [("hard_lag", found("hard_lag")), ("queue_length", found("queue_length"))];
    let Some((key, value)) = set.into_iter().find_map(|(key, value)| Some((key, value?))) else { return };
    if play.hard_lag >= play.queue_length {
        return;
    }
    let (queue_length, hard_lag) = (format_duration(play.queue_length), format_duration(play.hard_lag));
    let message =
        format!("hard_lag must not be shorter than queue_length: they are \"{hard_lag}\" and \"{queue_length}\"");
    mistakes.push(Mistake::at(value, &format!("{prefix}play.{key}"), message));
}

fn no_origins(key: &str, found: &[OriginAddress], tree: &Layer, mistakes: &mut Vec<Mistake>) {
    if let Some(value) = tree.get("upstream", key)
        && !found.is_empty()
    {
        let message = "an origin pulls from nobody; origins are what an edge pulls from".to_owned();
        mistakes.push(Mistake::at(value, &format!("upstream.{key}"), message));
    }
}

/// Origins trust each other's word, so each has to prove who it is. A key that could not be read is a mistake of its own.
fn signed_peers(config: &Config, tree: &Layer, mistakes: &mut Vec<Mistake>) {
    let has_key =
        config.cluster.key.is_some() || ["key", "key_file"].iter().any(|key| tree.get("cluster", key).is_some());
    if let Some(value) = tree.get("cluster", "peers")
        && !config.cluster.peers.is_empty()
        && !has_key
    {
        let message =
            "peers must know each other by a key: set cluster.key or cluster.key_file, the same for all of them";
        mistakes.push(Mistake::at(value, "cluster.peers", message.to_owned()));
    }
}

fn no_peers(config: &Config, tree: &Layer, mistakes: &mut Vec<Mistake>) {
    if let Some(value) = tree.get("cluster", "peers")
        && !config.cluster.peers.is_empty()
    {
        let message = "an edge has no peers; peers are the origins that share their names with an origin".to_owned();
        mistakes.push(Mistake::at(value, "cluster.peers", message));
    }
}

fn node_address(config: &Config, tree: &Layer, mistakes: &mut Vec<Mistake>) {
    if let (Some(value), Some(OriginAddress::Service(_))) = (tree.get("node", "address"), &config.node.address) {
        let message = "expected one host and port, such as \"origin-0.example:1935\", not an SRV name".to_owned();
        mistakes.push(Mistake::at(value, "node.address", message));
    }
}

/// Where the list could not be read, that is the mistake, not that it is missing.
fn some_origins(upstream: &Upstream, tree: &Layer, mistakes: &mut Vec<Mistake>) {
    let found = tree.get("upstream", "origins");
    let unread = found.is_some_and(|value| !matches!(&value.kind, ValueKind::Array(items) if items.is_empty()));
    if unread || !upstream.origins.is_empty() {
        return;
    }
    let message = format!(
        "missing: an edge needs an origin to pull from; set origins = [\"origin.example:1935\"] under [upstream] in a \
         configuration file, or {}=origin.example:1935",
        variable("upstream", "origins")
    );
    let source = found.and_then(Value::origin).map(str::to_owned);
    mistakes.push(Mistake { source, key: Some("upstream.origins".to_owned()), message });
}
