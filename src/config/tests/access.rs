//! `[auth]` and `[hooks]`: app by app, and what is said of wrong values.

use super::*;

#[test]
fn rules_of_an_app_lie_over_those_of_all() {
    let config = load_text(
        Role::Edge,
        "upstream.origins = \"a\"\n[auth]\nplay_allow = [\"10.0.0.0/8\"]\nend_at_expiry = true\n[hooks]\non_play = \"http://a/\"\n\
         [[apps]]\nmatch = \"public/*\"\nauth.play_allow = []\nhooks.on_play = []\nhooks.fail = \"open\"\n",
    );
    let config = config.unwrap();
    let (live, public) = (config.auth_for("live"), config.auth_for("public/x"));
    assert_eq!((live.play_allow.len(), public.play_allow.len()), (1, 0));
    assert!(live.end_at_expiry && public.end_at_expiry);
    let (live, public) = (config.hooks_for("live"), config.hooks_for("public/x"));
    assert_eq!((live.on_play.len(), public.on_play.len()), (1, 0));
    assert_eq!((live.fail, public.fail), (HookFailure::Closed, HookFailure::Open));
}

#[test]
fn wrong_values_are_named() {
    let found = lines(load_text(
        Role::Origin,
        "[auth]\nplay_deny = [\"10.0.0.0/33\"]\nplay_jwt_public_keys = \"/nonexistent/key.pem\"\npublish_key = \"short\"\n\
         play_referers = \"https://a/\"\n[hooks]\non_play = [\"http://a/\", \"ftp://a/\"]\nfail = \"ajar\"\nretries = 11\n",
    ));
    for expected in [
        "auth.publish_key: expected a string of at least 16 bytes, found 5 of them",
        "auth.play_deny[0]: expected a network such as",
        "auth.play_referers: expected a host",
        "auth.play_jwt_public_keys: /nonexistent/key.pem cannot be read",
        "hooks.on_play[1]: expected a URL",
        "hooks.retries: expected a whole number from 0 to 10, found 11",
        "hooks.fail: expected \"open\" or \"closed\"",
    ] {
        assert!(found.iter().any(|line| line.starts_with(&format!("test.toml: {expected}"))), "{expected}: {found:#?}");
    }
    assert_eq!(found.len(), 7);
}
