//! The authorization response. Whatever is refused here is refused before a token is asked for.

use gatepass::Error;
use gatepass::client::{Completion, PendingLogins, SignedIn};
use gatepass::error::Phase;
use gatepass::http::{Purpose, Unreachable, form};
use serde_json::{Value, json};

use crate::support::{Key, Reply, World, code, code_at};

/// A world in which a user stands at the provider, and the callback that would be right.
fn at_the_provider() -> (World, String) {
    let mut world = World::new();
    let url = world.begin().unwrap();
    let callback = world.agree(&url);
    (world, callback)
}

/// The value of a parameter as it stands in the callback.
fn raw<'a>(callback: &'a str, name: &str) -> &'a str {
    let query = callback.split_once('?').unwrap().1;
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
        .unwrap()
}

/// The callback with the value of a parameter replaced.
fn with(callback: &str, name: &str, value: &str) -> String {
    let old = format!("{name}={}", raw(callback, name));
    callback.replace(&old, &format!("{name}={value}"))
}

/// The callback without a parameter.
fn without(callback: &str, name: &str) -> String {
    let old = format!("{name}={}", raw(callback, name));
    let (place, query) = callback.split_once('?').unwrap();
    let kept: Vec<_> = query.split('&').filter(|pair| *pair != old).collect();
    format!("{place}?{}", kept.join("&"))
}

/// The outcome of a callback that was changed. Where it is refused, no token is asked for.
fn changed(change: impl Fn(&str) -> String) -> (&'static str, String) {
    let (mut world, callback) = at_the_provider();
    let result = world.finish(&change(&callback));
    if let Err(error) = &result {
        assert_eq!(error.phase(), Some(Phase::Callback));
        assert_eq!(world.net.count(Purpose::Token), 0);
        assert!(world.client.session().is_none());
    }
    code_at(result)
}

fn refused(change: impl Fn(&str) -> String) -> &'static str {
    changed(change).0
}

#[test]
fn a_good_callback_signs_in_and_says_what_was_checked() {
    let (mut world, callback) = at_the_provider();
    let signed_in: SignedIn = world.finish(&callback).unwrap();
    assert_eq!(signed_in.callback_checked, ["state", "iss", "code"]);
    assert!(world.client.session().is_some());
}

#[test]
fn cbk_02_a_missing_state_is_state_missing() {
    assert_eq!(refused(|url| without(url, "state")), "state_missing");
}

#[test]
fn cbk_03_another_state_is_state_mismatch() {
    assert_eq!(refused(|url| with(url, "state", "wrong")), "state_mismatch");
    assert_eq!(refused(|url| with(url, "state", "")), "state_mismatch");
    let turned = |url: &str| {
        let state = raw(url, "state");
        let turned: String = state
            .chars()
            .map(|c| {
                if c.is_ascii_lowercase() {
                    c.to_ascii_uppercase()
                } else {
                    c.to_ascii_lowercase()
                }
            })
            .collect();
        with(url, "state", &turned)
    };
    assert_eq!(refused(turned), "state_mismatch");
    let spaced = |url: &str| with(url, "state", &format!("{}%20", raw(url, "state")));
    assert_eq!(refused(spaced), "state_mismatch");
}

#[test]
fn a_wrong_state_leaves_the_login_waiting() {
    let (mut world, callback) = at_the_provider();
    assert_eq!(
        code(world.finish(&with(&callback, "state", "wrong"))),
        "state_mismatch"
    );
    assert_eq!(code(world.finish(&callback)), "accepted");
}

#[test]
fn cbk_04_two_logins_wait_side_by_side_and_each_finishes_its_own() {
    let mut world = World::new();
    let first = world.begin_with(json!({"returnTo": "/first"})).unwrap();
    let second = world.begin_with(json!({"returnTo": "/second"})).unwrap();
    let (first, second) = (world.agree(&first), world.agree(&second));
    let crossed = with(&second, "code", raw(&first, "code"));
    assert_eq!(
        world.finish(&first).unwrap().return_to.as_deref(),
        Some("/first")
    );
    // The code of the one flow with the state of the other: the verifier does not fit.
    assert_eq!(code(world.finish(&crossed)), "server_error_response");
}

#[test]
fn a_code_of_another_flow_is_refused_by_its_verifier() {
    let mut world = World::new();
    let (first, second) = (world.begin().unwrap(), world.begin().unwrap());
    let (first, second) = (world.agree(&first), world.agree(&second));
    let crossed = with(&second, "code", raw(&first, "code"));
    let error = world.finish(&crossed).unwrap_err();
    assert_eq!(
        error.details().unwrap().error.as_deref(),
        Some("invalid_grant")
    );
}

#[test]
fn cbk_05_a_callback_that_was_used_is_flow_reused() {
    let (mut world, callback) = at_the_provider();
    world.finish(&callback).unwrap();
    assert_eq!(code(world.finish(&callback)), "flow_reused");
    assert_eq!(world.net.count(Purpose::Token), 1);
}

#[test]
fn cbk_05_a_used_callback_stays_used_after_storage() {
    let (mut world, callback) = at_the_provider();
    world.finish(&callback).unwrap();
    world.logins = PendingLogins::read(Some(&world.logins.to_json()));
    assert_eq!(code(world.finish(&callback)), "flow_reused");
}

#[test]
fn cbk_05_a_callback_whose_exchange_failed_is_used_too() {
    let (mut world, callback) = at_the_provider();
    world.idp().reply(Purpose::Token, Reply::status(500));
    assert_eq!(code(world.finish(&callback)), "upstream_status");
    assert_eq!(code(world.finish(&callback)), "flow_reused");
}

#[test]
fn a_login_that_was_given_back_can_be_finished() {
    let (mut world, callback) = at_the_provider();
    let failure = Reply::none(Unreachable::Network);
    world.idp().reply(Purpose::Token, failure);
    let now = world.net.now;
    let mut flow = Completion::new(&callback, &mut world.logins, &world.client, now).unwrap();
    assert_eq!(
        code(world.net.run(&mut flow, &mut world.client)),
        "upstream_unreachable"
    );
    world.logins.give_back(flow.login().unwrap(), now);
    assert_eq!(code(world.finish(&callback)), "accepted");
}

#[test]
fn cbk_06_a_login_older_than_ten_minutes_is_flow_expired() {
    let (mut world, callback) = at_the_provider();
    world.net.pass(601);
    assert_eq!(code(world.finish(&callback)), "flow_expired");
    assert_eq!(world.net.count(Purpose::Token), 0);
}

#[test]
fn a_login_of_ten_minutes_is_in_time() {
    let (mut world, callback) = at_the_provider();
    world.net.pass(600);
    assert_eq!(code(world.finish(&callback)), "accepted");
}

#[test]
fn cbk_07_a_callback_that_nobody_waits_for_is_flow_unknown() {
    let mut world = World::new();
    let callback = "https://app.example/cb?code=c&state=s&iss=https%3A%2F%2Fas.example";
    assert_eq!(code(world.finish(callback)), "flow_unknown");
    assert!(world.net.sent.is_empty());
}

#[test]
fn cbk_40_a_callback_of_another_browser_is_flow_unknown() {
    let (_attacker, callback) = at_the_provider();
    let mut victim = World::new();
    assert_eq!(code(victim.finish(&callback)), "flow_unknown");
}

#[test]
fn cbk_09_a_state_of_another_provider_is_state_mismatch() {
    let (world, callback) = at_the_provider();
    let mut other = World::with(json!({"issuer": "https://other.example"}));
    other.logins = world.logins;
    assert_eq!(code(other.finish(&callback)), "state_mismatch");
    assert!(other.net.sent.is_empty());
}

#[test]
fn cbk_09_a_state_of_another_client_is_state_mismatch() {
    let (world, callback) = at_the_provider();
    let mut other = World::with(json!({"clientId": "other"}));
    other.logins = world.logins;
    assert_eq!(code(other.finish(&callback)), "state_mismatch");
}

#[test]
fn a_callback_at_another_provider_leaves_the_login_waiting() {
    let (mut world, callback) = at_the_provider();
    let mut other = World::with(json!({"issuer": "https://other.example"}));
    other.logins = world.logins.clone();
    assert_eq!(code(other.finish(&callback)), "state_mismatch");
    world.logins = other.logins;
    assert_eq!(code(world.finish(&callback)), "accepted");
}

#[test]
fn cbk_11_a_missing_iss_is_iss_missing_where_the_provider_names_itself() {
    assert_eq!(refused(|url| without(url, "iss")), "iss_missing");
}

#[test]
fn a_missing_iss_is_fine_where_the_provider_does_not_name_itself() {
    for value in [json!(false), Value::Null] {
        let mut world = World::new();
        world.idp().metadata["authorization_response_iss_parameter_supported"] = value;
        let signed_in = world.sign_in().unwrap();
        assert_eq!(signed_in.callback_checked, ["state", "code"]);
    }
}

#[test]
fn cbk_12_another_iss_is_iss_mismatch() {
    for iss in [
        "https%3A%2F%2Fevil.example",
        "https%3A%2F%2Fas.example%2F",
        "https%3A%2F%2FAS.example",
        "",
    ] {
        assert_eq!(
            refused(|url| with(url, "iss", iss)),
            "iss_mismatch",
            "{iss}"
        );
    }
}

#[test]
fn cbk_12_an_unannounced_iss_is_compared_too() {
    let mut world = World::new();
    world.idp().metadata["authorization_response_iss_parameter_supported"] = json!(false);
    let url = world.begin().unwrap();
    let callback = world.agree(&url);
    let mixed = format!("{callback}&iss=https%3A%2F%2Fevil.example");
    assert_eq!(code(world.finish(&mixed)), "iss_mismatch");
    assert_eq!(world.net.count(Purpose::Token), 0);
}

#[test]
fn an_error_answer_is_checked_for_its_issuer_first() {
    let error = |url: &str| {
        with(&without(url, "code"), "iss", "https%3A%2F%2Fevil.example") + "&error=access_denied"
    };
    assert_eq!(refused(error), "iss_mismatch");
    let nameless = |url: &str| without(&without(url, "code"), "iss") + "&error=access_denied";
    assert_eq!(refused(nameless), "iss_missing");
}

#[test]
fn cbk_15_a_code_of_an_honest_provider_is_not_sent_to_the_attackers() {
    // The flow was begun at the attacker's provider; the callback names the honest one.
    let mut world = World::with(json!({"issuer": "https://attacker.example"}));
    let url = world.begin().unwrap();
    let callback = world.agree(&url);
    let mixed = with(&callback, "iss", "https%3A%2F%2Fas.example");
    assert_eq!(code(world.finish(&mixed)), "iss_mismatch");
    assert_eq!(world.net.count(Purpose::Token), 0);
}

#[test]
fn cbk_17_no_code_and_no_error_is_code_missing() {
    assert_eq!(refused(|url| without(url, "code")), "code_missing");
    assert_eq!(refused(|url| with(url, "code", "")), "code_missing");
}

#[test]
fn cbk_18_a_code_is_printable_ascii_and_not_endless() {
    for value in ["a%00b", "a%0Ab", "a%C3%A9", &"x".repeat(9000)] {
        assert_eq!(
            changed(|url| with(url, "code", value)),
            ("param_invalid", "code".into())
        );
    }
    let endless = "x".repeat(100_000);
    assert_eq!(
        changed(|url| with(url, "code", &endless)),
        ("param_invalid", "query".into())
    );
}

fn error_answer(error: &str) -> Result<SignedIn, Error> {
    let (mut world, callback) = at_the_provider();
    let result = world.finish(&format!("{}&{error}", without(&callback, "code")));
    assert_eq!(world.net.count(Purpose::Token), 0);
    result
}

#[test]
fn cbk_20_a_refusal_of_the_provider_is_server_error_response() {
    let error = error_answer("error=access_denied&error_description=not+today").unwrap_err();
    assert_eq!(error.code(), "server_error_response");
    assert_eq!(error.phase(), Some(Phase::Callback));
    let details = error.details().unwrap();
    assert_eq!(details.error.as_deref(), Some("access_denied"));
    assert_eq!(details.error_description.as_deref(), Some("not today"));
    assert_eq!(details.status, None);
}

#[test]
fn an_error_beside_a_code_is_an_error() {
    let (mut world, callback) = at_the_provider();
    let error = world.finish(&format!("{callback}&error=access_denied"));
    assert_eq!(code(error), "server_error_response");
}

#[test]
fn a_refusal_with_a_wrong_state_is_not_shown() {
    let change = |url: &str| with(&without(url, "code"), "state", "x") + "&error=access_denied";
    assert_eq!(refused(change), "state_mismatch");
}

#[test]
fn a_refusal_ends_the_login() {
    let (mut world, callback) = at_the_provider();
    let refusal = without(&callback, "code") + "&error=access_denied";
    assert_eq!(code(world.finish(&refusal)), "server_error_response");
    assert_eq!(code(world.finish(&callback)), "flow_reused");
}

#[test]
fn cbk_22_a_description_is_cut_cleaned_and_not_in_the_message() {
    let mut form = form::Form::new();
    form.push("error", "server_error");
    let text = format!("<script>\u{202e}\r\n\u{7}{}", "y".repeat(10_000));
    form.push("error_description", &text);
    let error = error_answer(form.encoded()).unwrap_err();
    let description = error.details().unwrap().error_description.clone().unwrap();
    assert!(description.starts_with("<script>yyy"));
    assert_eq!(description.chars().count(), 512);
    assert!(!format!("{error} {error:?}").contains("script"));
}

#[test]
fn cbk_24_an_unknown_or_empty_error_code_is_a_refusal() {
    for value in ["", "x_vendor", "%F0%9F%98%80"] {
        let error = error_answer(&format!("error={value}"));
        assert_eq!(code(error), "server_error_response", "{value}");
    }
}

#[test]
fn cbk_25_a_response_in_the_fragment_is_response_mode_mismatch() {
    assert_eq!(
        refused(|url| url.replace('?', "#")),
        "response_mode_mismatch"
    );
}

#[test]
fn a_fragment_without_a_response_does_not_matter() {
    for fragment in ["#", "#_=_", "#top", "#%zz"] {
        assert_eq!(refused(|url| format!("{url}{fragment}")), "accepted");
    }
}

#[test]
fn cbk_33_other_names_than_state_are_not_state() {
    for name in ["state[]", "STATE", "state%00", "st%61te%20"] {
        let change = |url: &str| url.replace("state=", &format!("{name}="));
        assert_eq!(refused(change), "state_missing", "{name}");
    }
}

#[test]
fn cbk_34_broken_encoding_is_param_invalid() {
    for tail in ["&x=%zz", "&x=%", "&x=%FF", "&%C3=1"] {
        assert_eq!(
            changed(|url| format!("{url}{tail}")),
            ("param_invalid", "query".into()),
            "{tail}"
        );
    }
}

#[test]
fn cbk_34_plus_is_a_space() {
    let (mut world, callback) = at_the_provider();
    // The provider knows no such code; what it was asked with is what counts.
    let _ = world.finish(&with(&callback, "code", "a+b%2Bc"));
    let sent = world
        .net
        .sent
        .iter()
        .find(|sent| sent.body.is_some())
        .unwrap();
    assert_eq!(sent.field("code").as_deref(), Some("a b+c"));
}

#[test]
fn a_parameter_that_stands_twice_is_param_invalid() {
    for name in ["state", "code", "iss"] {
        assert_eq!(
            changed(|url| format!("{url}&{name}={}", raw(url, name))),
            ("param_invalid", name.into())
        );
    }
    for name in ["error", "error_description"] {
        assert_eq!(
            changed(|url| format!("{url}&error=x&{name}=a&{name}=a")),
            ("param_invalid", name.into())
        );
    }
}

#[test]
fn an_unknown_parameter_is_ignored() {
    assert_eq!(
        refused(|url| format!("{url}&session_state=abc.def&scope=a&scope=b")),
        "accepted"
    );
}

#[test]
fn cbk_35_a_callback_at_another_place_is_flow_unknown() {
    for place in [
        "https://app.example/other",
        "https://app.example/cb/",
        "https://app.example/CB",
        "https://app.example:8443/cb",
        "http://app.example/cb",
        "https://evil.example/cb",
        "/cb",
        "",
    ] {
        let change = |url: &str| url.replace("https://app.example/cb", place);
        assert_eq!(refused(change), "flow_unknown", "{place}");
    }
    // What is behind it is most often a proxy, and not another browser.
    let mut world = World::new();
    let url = world.begin().unwrap();
    let callback = world.agree(&url).replace("app.example", "10.0.0.1");
    let error = world.finish(&callback).unwrap_err();
    assert_eq!(error.at(), "redirect_uri");
    assert!(error.hint().contains("redirectUri"), "{}", error.hint());
}

#[test]
fn a_callback_is_recognised_however_the_browser_writes_its_origin() {
    for (redirect_uri, place) in [
        ("https://app.example", "https://app.example/"),
        ("https://APP.example:443/cb", "https://app.example/cb"),
    ] {
        let mut world = World::with(json!({"redirectUri": redirect_uri}));
        let url = world.begin().unwrap();
        let callback = world.agree(&url).replace(redirect_uri, place);
        assert_eq!(code(world.finish(&callback)), "accepted", "{redirect_uri}");
    }
}

#[test]
fn brw_05_storage_that_was_tampered_with_is_no_login() {
    let (mut world, callback) = at_the_provider();
    let stored = world.logins.to_json();
    let read: Value = serde_json::from_str(&stored).unwrap();
    let edited = |edit: &dyn Fn(&mut Value)| {
        let mut value = read.clone();
        edit(&mut value["waiting"][0]);
        value.to_string()
    };
    for text in [
        "garbage".to_owned(),
        "{\"version\":2}".to_owned(),
        stored.replace("waiting", "__proto__"),
        // A nonce of the wrong type is not the absence of one: without a nonce the ID token
        // would not be checked.
        edited(&|login| login["nonce"] = json!(1)),
        edited(&|login| login["nonce"] = Value::Null),
        edited(&|login| {
            login.as_object_mut().unwrap().remove("nonce");
        }),
        edited(&|login| login["return_to"] = json!(["/x"])),
        edited(&|login| login["verifier"] = json!("short")),
        edited(&|login| login["max_age"] = json!("60")),
        edited(&|login| login["started_at"] = json!(-1)),
        edited(&|login| login["scope"] = Value::Null),
    ] {
        world.logins = PendingLogins::read(Some(&text));
        assert_eq!(code(world.finish(&callback)), "flow_unknown", "{text}");
    }
    world.logins = PendingLogins::read(Some(&edited(&|_| {})));
    assert_eq!(code(world.finish(&callback)), "accepted");
}

#[test]
fn brw_03_ten_logins_wait_and_the_oldest_goes() {
    let mut world = World::new();
    let urls: Vec<_> = (0..11).map(|_| world.begin().unwrap()).collect();
    let (first, second) = (world.agree(&urls[0]), world.agree(&urls[1]));
    assert_eq!(code(world.finish(&first)), "state_mismatch");
    assert_eq!(code(world.finish(&second)), "accepted");
}

#[test]
fn a_callback_that_needs_discovery_fetches_it_first() {
    let (mut world, callback) = at_the_provider();
    // The page was loaded anew: only storage is left.
    let mut page = World::new();
    page.logins = PendingLogins::read(Some(&world.logins.to_json()));
    page.net.idps = std::mem::take(&mut world.net.idps);
    assert_eq!(code(page.finish(&callback)), "accepted");
    let purposes: Vec<_> = page.net.sent.iter().map(|sent| sent.purpose).collect();
    assert_eq!(
        purposes,
        [Purpose::Discovery, Purpose::Keys, Purpose::Token]
    );
}

#[test]
fn a_code_is_not_sent_before_the_keys_are_there() {
    for reply in [Reply::none(Unreachable::Network), Reply::status(503)] {
        let (mut world, callback) = at_the_provider();
        world.idp().reply(Purpose::Keys, reply);
        let now = world.net.now;
        let mut flow = Completion::new(&callback, &mut world.logins, &world.client, now).unwrap();
        let error = world.net.run(&mut flow, &mut world.client).unwrap_err();
        assert_eq!(
            (error.code(), error.phase(), error.retryable()),
            ("keys_unavailable", Some(Phase::Keys), true)
        );
        // While the endpoint is given its pause, the code stays where it is as well.
        world.logins.give_back(flow.login().unwrap(), now);
        let mut flow = Completion::new(&callback, &mut world.logins, &world.client, now).unwrap();
        let error = world.net.run(&mut flow, &mut world.client).unwrap_err();
        assert_eq!(
            (error.code(), error.retryable()),
            ("keys_unavailable", true)
        );
        assert_eq!(world.net.count(Purpose::Token), 0);
        world.logins.give_back(flow.login().unwrap(), now);
        world.net.pass(60);
        assert_eq!(code(world.finish(&callback)), "accepted");
    }
}

#[test]
fn a_code_that_was_used_up_is_not_tried_again() {
    let mut world = World::new();
    world.sign_in().unwrap();
    // The key is a new one, and cannot be had once the tokens are there.
    world.idp().rotate_to(Key::new("k2", "ES256", 8));
    world.idp().always(Purpose::Keys, Reply::status(503));
    let url = world.begin().unwrap();
    let callback = world.agree(&url);
    let now = world.net.now;
    let mut flow = Completion::new(&callback, &mut world.logins, &world.client, now).unwrap();
    let error = world.net.run(&mut flow, &mut world.client).unwrap_err();
    assert_eq!(
        (error.code(), error.retryable()),
        ("keys_unavailable", false)
    );
    assert!(flow.login().is_none());
}
