//! What a configuration opens to whom: each port with what is served there.
//!
//! Owns the sentences. They follow from the settings alone; nothing is bound and nobody is asked. Whoever adds a way in,
//! or a lock on one, says so here.

use super::listen::ListenAddress;
use super::{Config, Role};

/// One thing that is served at one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposure {
    /// Where it listens.
    pub address: ListenAddress,
    /// What is spoken there.
    pub protocol: &'static str,
    /// What can be done there.
    pub what: &'static str,
    /// Who may do it.
    pub who: String,
}

/// Who may do what everybody may do who reaches the port.
const ANYBODY: &str = "anybody";

/// Everything that a process with this configuration serves, in the order of its ports.
pub fn exposures(config: &Config) -> Vec<Exposure> {
    let mut all = Vec::new();
    let mut open = |address: &ListenAddress, protocol, what, who: String| {
        all.push(Exposure { address: *address, protocol, what, who });
    };
    for (address, protocol) in each(&config.rtmp.listen, "RTMP", &config.rtmp.tls_listen, "RTMPS") {
        open(address, protocol, "publish", publishers(config));
        open(address, protocol, "play", ANYBODY.to_owned());
        open(address, protocol, "pull as another server", servers(config));
        if !config.cluster.peers.is_empty() {
            open(address, protocol, "ask for names as another origin", "servers that sign with cluster.key".to_owned());
        }
    }
    for (address, protocol) in each(&config.http.listen, "HTTP", &config.http.tls_listen, "HTTPS") {
        open(address, protocol, "play as FLV, over HTTP and WebSocket", pages(config));
        if config.has_hls() {
            open(address, protocol, "play as HLS", hls(config));
        }
    }
    for (address, protocol) in each(&config.admin.listen, "HTTP", &config.admin.tls_listen, "HTTPS") {
        open(address, protocol, "health and metrics", ANYBODY.to_owned());
        open(address, protocol, "look at the API", lookers(config).to_owned());
        open(address, protocol, "change something by the API", changers(config).to_owned());
    }
    all
}

/// Every address with what is spoken there, in plain text and over TLS.
fn each<'a>(
    plain: &'a [ListenAddress],
    protocol: &'static str,
    tls: &'a [ListenAddress],
    protocol_over_tls: &'static str,
) -> impl Iterator<Item = (&'a ListenAddress, &'static str)> {
    let plain = plain.iter().map(move |address| (address, protocol));
    plain.chain(tls.iter().map(move |address| (address, protocol_over_tls)))
}

/// Who may look at the API.
fn lookers(config: &Config) -> &'static str {
    match (&config.admin.edit_auth, &config.admin.view_auth) {
        (None, None) => ANYBODY,
        (Some(_), None) => "who has admin.edit_auth",
        (None, Some(_)) => "who has admin.view_auth",
        (Some(_), Some(_)) => "who has admin.view_auth or admin.edit_auth",
    }
}

/// Who may change something by the API.
fn changers(config: &Config) -> &'static str {
    if config.admin.edit_auth.is_some() { "who has admin.edit_auth" } else { "clients on this host" }
}

/// Who may publish: what the section says, and what differs for some apps.
fn publishers(config: &Config) -> String {
    let differs =
        |rule: &&super::apps::AppRule| rule.publish.enabled.is_some_and(|enabled| enabled != config.publish.enabled);
    let apps: Vec<String> = config.apps.iter().filter(differs).map(|rule| rule.pattern.to_string()).collect();
    match (config.publish.enabled, apps.is_empty()) {
        (true, true) => ANYBODY.to_owned(),
        (true, false) => format!("{ANYBODY}, but nobody to {}", apps.join(", ")),
        (false, true) => "nobody".to_owned(),
        (false, false) => format!("{ANYBODY}, but only to {}", apps.join(", ")),
    }
}

/// Whom a server takes for another server.
fn servers(config: &Config) -> String {
    match (config.cluster.key.is_some(), config.role) {
        (true, Role::Origin) => format!("{ANYBODY}; told of other origins who signs with cluster.key"),
        (true, Role::Edge) | (false, _) => ANYBODY.to_owned(),
    }
}

/// Who may play over HTTP. Browsers hold pages to it; programs that are none say nothing of a page.
fn pages(config: &Config) -> String {
    let origins = &config.http.cors_origins;
    match (origins.is_empty(), origins.iter().any(|origin| origin == "*")) {
        (_, true) => format!("{ANYBODY}, and every web page"),
        (true, false) => format!("{ANYBODY}, and of web pages only its own"),
        (false, false) => format!("{ANYBODY}, and of web pages those of {}", origins.join(", ")),
    }
}

fn hls(config: &Config) -> String {
    let differs = |rule: &&super::apps::AppRule| rule.hls.enabled.is_some_and(|enabled| enabled != config.hls.enabled);
    let apps: Vec<String> = config.apps.iter().filter(differs).map(|rule| rule.pattern.to_string()).collect();
    match (config.hls.enabled, apps.is_empty()) {
        (_, true) => pages(config),
        (true, false) => format!("{}; not {}", pages(config), apps.join(", ")),
        (false, false) => format!("{}; only {}", pages(config), apps.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::load_text;
    use super::*;

    fn who(role: Role, text: &str, what: &str) -> Option<String> {
        let config = load_text(role, "test.toml", text).unwrap();
        exposures(&config).into_iter().find(|exposure| exposure.what == what).map(|exposure| exposure.who)
    }

    const EDGE: &str = "upstream.origins = \"origin\"\n";

    #[test]
    fn an_edge_takes_no_publishers_unless_an_app_says_otherwise() {
        assert_eq!(who(Role::Origin, "", "publish").unwrap(), "anybody");
        assert_eq!(who(Role::Edge, EDGE, "publish").unwrap(), "nobody");
        let studio = format!("{EDGE}[[apps]]\nmatch = \"studio*\"\npublish.enabled = true\n");
        assert_eq!(who(Role::Edge, &studio, "publish").unwrap(), "anybody, but only to studio*");
        let closed = "[[apps]]\nmatch = \"vod\"\npublish.enabled = false\n";
        assert_eq!(who(Role::Origin, closed, "publish").unwrap(), "anybody, but nobody to vod");
    }

    #[test]
    fn every_address_is_told_with_all_that_is_served_there() {
        let text = "[rtmp]\nlisten = [\":1\", \"127.0.0.1:2\"]\n[hls]\nenabled = false\n";
        let config = load_text(Role::Origin, "test.toml", text).unwrap();
        let at = |port| exposures(&config).into_iter().filter(|exposure| exposure.address.port() == port).count();
        assert_eq!((at(1), at(2), at(8080), at(1985)), (3, 3, 1, 3));
    }

    #[test]
    fn the_api_is_open_to_who_has_a_login_once_there_is_one() {
        let (look, change) = ("look at the API", "change something by the API");
        let both = |text: &str| (who(Role::Origin, text, look).unwrap(), who(Role::Origin, text, change).unwrap());
        let said = |look: &str, change: &str| (look.to_owned(), change.to_owned());
        assert_eq!(both(""), said("anybody", "clients on this host"));
        let edit = "[admin]\nedit_auth = \"admin:a long password\"\n";
        assert_eq!(both(edit), said("who has admin.edit_auth", "who has admin.edit_auth"));
        let view = "[admin]\nview_auth = \"viewer:another password\"\n";
        assert_eq!(both(view), said("who has admin.view_auth", "clients on this host"));
    }

    #[test]
    fn web_pages_are_named_where_not_all_may_play() {
        let what = "play as FLV, over HTTP and WebSocket";
        assert_eq!(who(Role::Origin, "", what).unwrap(), "anybody, and every web page");
        let some = "http.cors_origins = [\"https://a.example\"]\n";
        assert_eq!(who(Role::Origin, some, what).unwrap(), "anybody, and of web pages those of https://a.example");
        assert_eq!(
            who(Role::Origin, "http.cors_origins = []\n", what).unwrap(),
            "anybody, and of web pages only its own"
        );
    }
}
