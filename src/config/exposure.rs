//! What a configuration opens to whom: each port with what is served there.
//!
//! Owns the sentences. They follow from the settings alone; nothing is bound and nobody is asked. Whoever adds a way in,
//! or a lock on one, says so here.

use super::listen::ListenAddress;
use super::{Config, Role};

use audience::{ANYBODY, by_app, players, publishers, viewers};

mod audience;

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

/// Everything that a process with this configuration serves, in the order of its ports.
pub fn exposures(config: &Config) -> Vec<Exposure> {
    let mut all = Vec::new();
    let mut open = |address: &ListenAddress, protocol, what, who: String| {
        all.push(Exposure { address: *address, protocol, what, who });
    };
    for (address, protocol) in each(&config.rtmp.listen, "RTMP", &config.rtmp.tls_listen, "RTMPS") {
        open(address, protocol, "publish", publishers(config));
        open(address, protocol, "play", players(config));
        open(address, protocol, "pull as another server", servers(config).to_owned());
        if !config.cluster.peers.is_empty() {
            open(address, protocol, "ask for names as another origin", "servers that sign with cluster.key".to_owned());
        }
    }
    for (address, protocol) in each(&config.http.listen, "HTTP", &config.http.tls_listen, "HTTPS") {
        open(address, protocol, "play as FLV, over HTTP and WebSocket", viewers(config));
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

/// Whom a server gives streams to as to another server. Who proves nothing plays.
fn servers(config: &Config) -> &'static str {
    match (config.cluster.key.is_some(), config.role) {
        (true, Role::Origin) => "who may play, and servers that sign with cluster.key; these are told of other origins",
        (true, Role::Edge) => "who may play, and servers that sign with cluster.key",
        (false, _) => "who may play",
    }
}

/// Who may play HLS, where that is not served of every app.
fn hls(config: &Config) -> String {
    let (is_served, others) = by_app(config, |rules| rules.hls.enabled);
    let apps = |served: bool| {
        let apps: Vec<String> =
            others.iter().filter(|(_, here)| *here == served).map(|(apps, _)| apps.clone()).collect();
        apps.join(", ")
    };
    let (served, not_served) = (apps(true), apps(false));
    let mut said = viewers(config);
    if !is_served {
        said.push_str(&format!("; only {served}"));
    }
    if !not_served.is_empty() {
        said.push_str(&format!("; not {not_served}"));
    }
    if is_served && !served.is_empty() {
        said.push_str(&format!(", but {served}"));
    }
    said
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
        assert_eq!(who(Role::Edge, &studio, "publish").unwrap(), "nobody; studio*: anybody");
        let closed = "[[apps]]\nmatch = \"vod\"\npublish.enabled = false\n";
        assert_eq!(who(Role::Origin, closed, "publish").unwrap(), "anybody; vod: nobody");
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
        assert_eq!(who(Role::Origin, "", what).unwrap(), "anybody; on every web page");
        let some = "http.cors_origins = [\"https://a.example\"]\n";
        assert_eq!(who(Role::Origin, some, what).unwrap(), "anybody; on web pages of https://a.example");
        assert_eq!(who(Role::Origin, "http.cors_origins = []\n", what).unwrap(), "anybody; on no web page but its own");
    }

    #[test]
    fn whoever_has_to_pass_something_is_named_by_it() {
        let key = "publish_key = \"0123456789abcdef\"\n";
        let publish = |text: &str| who(Role::Origin, &format!("[auth]\n{text}"), "publish").unwrap();
        assert_eq!(publish(key), "who shows a signed URL");
        assert_eq!(
            publish(&format!("{key}publish_md5_key = \"12345678\"\npublish_deny = [\"192.0.2.0/24\"]\n")),
            "who shows a signed URL or a token in xiu's form, not from 192.0.2.0/24"
        );
        assert_eq!(publish(&format!("{key}publish = false\n")), "anybody");
        assert_eq!(
            publish("publish_callback = \"http://a.example/\"\n[hooks]\non_publish = \"http://b.example/\"\n"),
            "anybody, if auth.publish_callback and hooks.on_publish say so"
        );
        let open = format!("{key}[[apps]]\nmatch = \"public/*\"\nauth.publish = false\n");
        assert_eq!(publish(&open), "who shows a signed URL; public/*: anybody");
    }

    #[test]
    fn entries_that_are_for_the_same_apps_are_taken_together() {
        const KEY: &str = "auth.play_key = \"0123456789abcdef\"\n";
        let play = |sections: &str, entries: &[(&str, &str)]| {
            let entry = |(pattern, what): &(&str, &str)| format!("[[apps]]\nmatch = {pattern:?}\n{what}\n");
            let text = format!("{sections}{}", entries.iter().map(entry).collect::<String>());
            who(Role::Origin, &text, "play").unwrap()
        };
        let (open, closed) = ("auth.play = false", "auth.play = true");
        let signed = "who shows a signed URL";
        assert_eq!(play("", &[("*", KEY), ("public/*", open)]), format!("{signed}; public/*: anybody"));
        assert_eq!(play("", &[("public/*", open), ("*", KEY)]), format!("{signed}; public/*: anybody"));
        // The later one wins wherever it holds.
        assert_eq!(play(KEY, &[("public/*", open), ("*", closed)]), signed);
        assert_eq!(play(KEY, &[("*", open), ("vip/*", closed)]), format!("anybody; vip/*: {signed}"));
        assert_eq!(play(KEY, &[("a/*", open), ("a/b*", closed)]), format!("{signed}; a/*: anybody; a/b*: {signed}"));
        assert_eq!(play(KEY, &[("a/b*", closed), ("a/*", open)]), format!("{signed}; a/*: anybody"));
        assert_eq!(play(KEY, &[("a", open), ("a", closed)]), signed);
    }

    #[test]
    fn apps_of_two_patterns_at_once_are_named_where_something_else_holds_for_them() {
        let play = |entries: &str| {
            let text = format!("[auth]\nplay_key = \"0123456789abcdef\"\n{entries}");
            who(Role::Origin, &text, "play").unwrap()
        };
        let entries = "[[apps]]\nmatch = \"a*\"\nauth.play = false\n[[apps]]\nmatch = \"*z\"\nauth.play_deny = \"192.0.2.0/24\"\n";
        let (signed, denied) = ("who shows a signed URL", "who shows a signed URL, not from 192.0.2.0/24");
        assert_eq!(play(entries), format!("{signed}; a*: anybody; *z: {denied}; a* and *z: anybody"));
        // Where both say the same there is nothing to add.
        let entries = "[[apps]]\nmatch = \"a*\"\nauth.play = false\n[[apps]]\nmatch = \"*z\"\nauth.play = false\n";
        assert_eq!(play(entries), format!("{signed}; a*: anybody; *z: anybody"));
    }

    #[test]
    fn hls_is_told_of_the_apps_that_it_is_served_of() {
        let hls = |text: &str| who(Role::Origin, text, "play as HLS").unwrap();
        let entry = |pattern: &str, is_on: bool| format!("[[apps]]\nmatch = {pattern:?}\nhls.enabled = {is_on}\n");
        let anybody = "anybody; on every web page";
        assert_eq!(hls(""), anybody);
        assert_eq!(hls(&entry("a*", false)), format!("{anybody}; not a*"));
        assert_eq!(hls(&(entry("*", false) + &entry("a*", true))), format!("{anybody}; only a*"));
        assert_eq!(hls(&(entry("a*", false) + &entry("ab", true))), format!("{anybody}; not a*, but ab"));
    }

    #[test]
    fn players_over_http_are_asked_what_those_over_rtmp_are_but_for_their_connection() {
        let text = "[auth]\nplay_referers = [\"a.example\"]\n[hooks]\non_connect = \"http://b.example/\"\n";
        let said = |what| who(Role::Origin, text, what).unwrap();
        assert_eq!(said("play"), "anybody, sent by pages of a.example, if hooks.on_connect says so");
        let over_http = "anybody, sent by pages of a.example; on every web page";
        assert_eq!(said("play as FLV, over HTTP and WebSocket"), over_http);
        assert_eq!(said("play as HLS"), over_http);
    }

    #[test]
    fn a_server_that_proves_to_be_one_passes_where_players_have_to_show_something() {
        let said = |text: &str| who(Role::Origin, text, "pull as another server").unwrap();
        assert_eq!(said(""), "who may play");
        assert!(said("[cluster]\nkey = \"0123456789abcdef\"\n").starts_with("who may play, and servers that sign"));
    }
}
