//! The words for who may publish and play, as `[publish]`, `[auth]`, `[hooks]` and `[[apps]]` say it together.

use std::fmt::Display;

use crate::config::{AppPattern, Auth, Config, Hls, Hooks, Publish};

/// Who may do what everybody may do who reaches the port.
pub(super) const ANYBODY: &str = "anybody";

/// What a stream's app can have rules of its own for.
pub(super) struct Rules {
    publish: Publish,
    pub(super) hls: Hls,
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

/// What `who` says of most apps, and behind it what it says otherwise for some: of two patterns the narrower one counts.
fn for_each_app(config: &Config, who: impl Fn(&Rules) -> String) -> String {
    let (mut said, others) = by_app(config, who);
    for (apps, here) in others {
        said.push_str(&format!("; {apps}: {here}"));
    }
    said
}

/// What `of` says of apps that no entry names but by `*`, and of those for which it says something else.
pub(super) fn by_app<T: PartialEq>(config: &Config, of: impl Fn(&Rules) -> T) -> (T, Vec<(String, T)>) {
    let all = "*".parse::<AppPattern>().ok();
    let everywhere = of(&Rules::of(config, |pattern| all.as_ref().is_some_and(|all| pattern.covers(all))));
    let mut said: Vec<(Vec<&AppPattern>, T)> = Vec::new();
    for apps in groups(config) {
        let here = of(&Rules::of(config, |pattern| apps.iter().any(|apps| pattern.covers(apps))));
        // Whoever is among these apps has been told by all lines that are about more of them.
        let mut wider = said.iter().filter(|(others, _)| covers(others, &apps)).peekable();
        let is_known = match wider.peek() {
            None => here == everywhere,
            Some(_) => wider.all(|(_, there)| *there == here),
        };
        if !is_known {
            said.push((apps, here));
        }
    }
    let named = |apps: Vec<&AppPattern>| apps.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
    (everywhere, said.into_iter().map(|(apps, here)| (named(apps), here)).collect())
}

/// The apps of each pattern, and those of two patterns at once where neither is a part of the other; the wider ones first.
fn groups(config: &Config) -> Vec<Vec<&AppPattern>> {
    let mut patterns: Vec<&AppPattern> = Vec::new();
    for rule in &config.apps {
        if !patterns.contains(&&rule.pattern) {
            patterns.push(&rule.pattern);
        }
    }
    let mut groups: Vec<Vec<&AppPattern>> = patterns.iter().map(|pattern| vec![*pattern]).collect();
    for (index, one) in patterns.iter().enumerate() {
        let cross = |other: &&&AppPattern| one.meets(other) && !one.covers(other) && !other.covers(one);
        groups.extend(patterns[index + 1..].iter().filter(cross).map(|other| vec![*one, *other]));
    }
    groups.sort_by_key(|apps| patterns.iter().filter(|pattern| covers(&[pattern], apps)).count());
    groups
}

/// Whether all apps of one group are among those of another.
fn covers(wide: &[&AppPattern], narrow: &[&AppPattern]) -> bool {
    wide.iter().all(|wide| narrow.iter().any(|narrow| wide.covers(narrow)))
}

impl Rules {
    /// What holds for apps that the entries match of which `is_for` says so.
    fn of(config: &Config, is_for: impl Fn(&AppPattern) -> bool) -> Self {
        let mut rules = Self {
            publish: config.publish.clone(),
            hls: config.hls.clone(),
            auth: config.auth.clone(),
            hooks: config.hooks.clone(),
        };
        for rule in config.apps.iter().filter(|rule| is_for(&rule.pattern)) {
            rules.publish.apply(&rule.publish);
            rules.hls.apply(&rule.hls);
            rules.auth.apply(&rule.auth);
            rules.hooks.apply(&rule.hooks);
        }
        rules
    }
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
