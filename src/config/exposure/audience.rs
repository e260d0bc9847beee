//! The words for who may publish and play, as `[publish]`, `[auth]`, `[hooks]` and `[[apps]]` say it together.

use std::fmt::Display;

use crate::config::{Auth, Config, Hooks, Publish};

/// Who may do what everybody may do who reaches the port.
pub(super) const ANYBODY: &str = "anybody";

/// What a stream's app can have rules of its own for.
struct Rules {
    publish: Publish,
    auth: Auth,
    hooks: Hooks,
}

/// Who may publish over RTMP.
pub(super) fn publishers(config: &Config) -> String {
    for_each_app(config, |rules| {
        if !rules.publish.enabled {
            return "nobody".to_owned();
        }
        let auth = &rules.auth;
        let shown = Shown {
            signed: auth.publish_key.is_some(),
            json_web_token: auth.publish_jwt_key.is_some() || !auth.publish_jwt_public_keys.is_empty(),
            md5: auth.publish_md5_key.is_some(),
        };
        let mut said = Sentence::default();
        if auth.publish {
            said.begin(&shown);
            said.places("from", &auth.publish_allow);
            said.places("not from", &auth.publish_deny);
        }
        said.asked("hooks.on_connect", !rules.hooks.on_connect.is_empty());
        said.asked("auth.publish_callback", auth.publish && auth.publish_callback.is_some());
        said.asked("hooks.on_publish", !rules.hooks.on_publish.is_empty());
        said.finish()
    })
}

/// Who may play over RTMP.
pub(super) fn players(config: &Config) -> String {
    for_each_app(config, |rules| player(rules, true))
}

/// Who may play over HTTP. Browsers hold pages to what the server says of them; programs that are none say nothing of a page.
pub(super) fn viewers(config: &Config) -> String {
    let who = for_each_app(config, |rules| player(rules, false));
    let origins = &config.http.cors_origins;
    match (origins.is_empty(), origins.iter().any(|origin| origin == "*")) {
        (_, true) => format!("{who}; on every web page"),
        (true, false) => format!("{who}; on no web page but its own"),
        (false, false) => format!("{who}; on web pages of {}", origins.join(", ")),
    }
}

fn player(rules: &Rules, over_rtmp: bool) -> String {
    let auth = &rules.auth;
    let shown = Shown {
        signed: auth.play_key.is_some(),
        json_web_token: auth.play_jwt_key.is_some() || !auth.play_jwt_public_keys.is_empty(),
        md5: auth.play_md5_key.is_some(),
    };
    let mut said = Sentence::default();
    if auth.play {
        said.begin(&shown);
        said.places("from", &auth.play_allow);
        said.places("not from", &auth.play_deny);
        said.places("sent by pages of", &auth.play_referers);
    }
    said.asked("hooks.on_connect", over_rtmp && !rules.hooks.on_connect.is_empty());
    said.asked("auth.play_callback", auth.play && auth.play_callback.is_some());
    said.asked("hooks.on_play", !rules.hooks.on_play.is_empty());
    said.finish()
}

/// What `who` says of the sections, and behind it what it says otherwise for some apps.
fn for_each_app(config: &Config, who: impl Fn(&Rules) -> String) -> String {
    let sections = || Rules { publish: config.publish.clone(), auth: config.auth.clone(), hooks: config.hooks.clone() };
    let everywhere = who(&sections());
    let mut said = everywhere.clone();
    for rule in &config.apps {
        let mut rules = sections();
        rules.publish.apply(&rule.publish);
        rules.auth.apply(&rule.auth);
        rules.hooks.apply(&rule.hooks);
        let here = who(&rules);
        if here != everywhere {
            said.push_str(&format!("; {}: {here}", rule.pattern));
        }
    }
    said
}

/// The forms of what a client may show, any of which is enough.
struct Shown {
    signed: bool,
    json_web_token: bool,
    md5: bool,
}

/// One sentence, in the order in which a client is looked at.
#[derive(Default)]
struct Sentence {
    who: Option<String>,
    conditions: Vec<String>,
    asked: Vec<&'static str>,
}

impl Sentence {
    fn begin(&mut self, shown: &Shown) {
        let forms = [
            (shown.signed, "a signed URL"),
            (shown.json_web_token, "a JSON Web Token"),
            (shown.md5, "a token in xiu's form"),
        ];
        let forms: Vec<&str> = forms.into_iter().filter_map(|(is_taken, form)| is_taken.then_some(form)).collect();
        self.who = (!forms.is_empty()).then(|| format!("who shows {}", forms.join(" or ")));
    }

    fn places(&mut self, how: &str, places: &[impl Display]) {
        if !places.is_empty() {
            let places: Vec<String> = places.iter().map(ToString::to_string).collect();
            self.conditions.push(format!("{how} {}", places.join(" ")));
        }
    }

    fn asked(&mut self, key: &'static str, is_asked: bool) {
        if is_asked {
            self.asked.push(key);
        }
    }

    fn finish(self) -> String {
        let mut parts = vec![self.who.unwrap_or_else(|| ANYBODY.to_owned())];
        parts.extend(self.conditions);
        if !self.asked.is_empty() {
            let verb = if self.asked.len() == 1 { "says" } else { "say" };
            parts.push(format!("if {} {verb} so", self.asked.join(" and ")));
        }
        parts.join(", ")
    }
}
