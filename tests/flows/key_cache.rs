//! When keys are fetched, for how long they serve, and what a broken key endpoint does.

use gatepass::flow::{Event, Step};
use gatepass::guard::{BearerToken, Check, Need};
use gatepass::http::{Method, Purpose, Unreachable};
use serde_json::{Value, json};

use crate::support::{GuardWorld, Key, Reply, code};

fn fetches(world: &GuardWorld) -> usize {
    world.net.count(Purpose::Keys)
}

/// The code for a good token of this moment.
fn good(world: &mut GuardWorld) -> &'static str {
    let token = world.good();
    world.code(&token)
}

/// The code for a token that names a key which does not exist.
fn unknown(world: &mut GuardWorld, name: &str) -> &'static str {
    let token = world.edited(|token| {
        token.header.set("kid", json!(name));
    });
    world.code(&token)
}

/// A guard that has the keys of its provider.
fn warm() -> GuardWorld {
    let mut world = GuardWorld::new();
    assert_eq!(good(&mut world), "accepted");
    world.net.clear();
    world
}

/// The code for the first token while the key endpoint answers so.
fn cold_with(reply: Reply) -> &'static str {
    let mut world = GuardWorld::new();
    world.idp().always(Purpose::Keys, reply);
    good(&mut world)
}

#[test]
fn net_40_keys_are_fetched_with_a_get_for_json() {
    let mut world = GuardWorld::with(json!({"timeout": 3}));
    good(&mut world);
    let sent = &world.net.sent[1];
    assert_eq!((sent.method, sent.purpose), (Method::Get, Purpose::Keys));
    assert_eq!(sent.url, "https://as.example/jwks");
    assert_eq!(sent.accept, "application/json");
    assert_eq!(sent.timeout.millis(), 3000);
    assert!(sent.body.is_none());
}

#[test]
fn cch_18_keys_are_fetched_once_for_many_tokens() {
    let mut world = warm();
    for _ in 0..20 {
        assert_eq!(good(&mut world), "accepted");
    }
    assert!(world.net.sent.is_empty());
    assert_eq!(world.net.signature_checks, 20);
}

#[test]
fn unknown_kid_fetches_once_then_cools_down() {
    let mut world = warm();
    assert_eq!(unknown(&mut world, "a"), "key_not_found");
    assert_eq!(fetches(&world), 1);
    for name in ["a", "b", "c"] {
        assert_eq!(unknown(&mut world, name), "key_not_found");
    }
    assert_eq!(fetches(&world), 1);
}

#[test]
fn key_02_an_unknown_kid_in_the_cool_down_fetches_nothing() {
    let mut world = warm();
    unknown(&mut world, "a");
    world.net.clear();
    world.net.pass(29);
    assert_eq!(unknown(&mut world, "b"), "key_not_found");
    assert!(world.net.sent.is_empty());
}

#[test]
fn key_03_after_the_cool_down_a_new_key_is_found_with_one_fetch() {
    let mut world = warm();
    unknown(&mut world, "a");
    world.net.clear();
    world.idp().rotate_to(Key::new("k2", "ES256", 9));
    assert_eq!(good(&mut world), "key_not_found");
    assert_eq!(fetches(&world), 0);
    world.net.pass(30);
    assert_eq!(good(&mut world), "accepted");
    assert_eq!(fetches(&world), 1);
}

// KEY-04, CCH-20.
#[test]
fn key_04_cch_20_the_cool_down_is_one_for_all_names() {
    let mut world = warm();
    for index in 0..100 {
        assert_eq!(unknown(&mut world, &format!("x{index}")), "key_not_found");
    }
    assert_eq!(fetches(&world), 1);
    world.net.pass(30);
    for index in 0..100 {
        assert_eq!(unknown(&mut world, &format!("y{index}")), "key_not_found");
    }
    assert_eq!(fetches(&world), 2);
}

#[test]
fn an_unknown_kid_as_the_first_token_fetches_once() {
    let mut world = GuardWorld::new();
    assert_eq!(unknown(&mut world, "a"), "key_not_found");
    assert_eq!(fetches(&world), 1);
    assert_eq!(unknown(&mut world, "b"), "key_not_found");
    assert_eq!(fetches(&world), 1);
}

#[test]
fn cch_19_an_attack_does_not_hide_a_new_key_longer_than_the_cool_down() {
    let mut world = warm();
    for second in 0..31 {
        unknown(&mut world, &format!("x{second}"));
        if second == 5 {
            world.idp().rotate_to(Key::new("k2", "ES256", 9));
        }
        world.net.pass(1);
    }
    assert_eq!(good(&mut world), "accepted");
}

#[test]
fn wsm_24_a_rotation_is_followed_at_once() {
    let mut world = warm();
    world.idp().rotate_to(Key::new("k2", "ES256", 9));
    assert_eq!(good(&mut world), "accepted");
    assert_eq!(fetches(&world), 1);
}

#[test]
fn key_48_an_empty_set_is_key_not_found() {
    let mut world = GuardWorld::new();
    let token = world.good();
    world.idp().keys.clear();
    assert_eq!(world.code(&token), "key_not_found");
    assert_eq!(fetches(&world), 1);
}

#[test]
fn key_50_a_set_of_more_than_a_hundred_keys_is_jwks_invalid() {
    let keys = |count: usize| {
        let good = Key::new("k1", "ES256", 7).jwk();
        let mut keys = vec![json!({"kty": "FOO"}); count - 1];
        keys.push(good);
        Reply::json(json!({"keys": keys}))
    };
    assert_eq!(cold_with(keys(1000)), "jwks_invalid");
    assert_eq!(cold_with(keys(101)), "jwks_invalid");
    assert_eq!(cold_with(keys(100)), "accepted");
}

#[test]
fn key_53_a_key_that_was_withdrawn_ends_within_ten_minutes() {
    let mut world = warm();
    let old = world.idp().key().clone();
    world.idp().rotate_to(Key::new("k2", "ES256", 9));
    let withdrawn = |world: &mut GuardWorld| {
        let mut token = world.token();
        token.header.set("kid", json!("k1"));
        let token = token.sign(&old);
        world.code(&token)
    };
    world.net.pass(600);
    assert_eq!(withdrawn(&mut world), "accepted");
    world.net.pass(1);
    assert_eq!(withdrawn(&mut world), "key_not_found");
}

/// Whether a set with this header serves for exactly so many seconds.
fn is_fresh_for(cache_control: &str, seconds: u32) -> bool {
    let fetches_after = |age: u32| {
        let mut world = GuardWorld::new();
        world.idp().cache_control = Some(cache_control.into());
        good(&mut world);
        world.net.pass(age);
        good(&mut world);
        fetches(&world)
    };
    fetches_after(seconds) == 1 && fetches_after(seconds + 1) == 2
}

#[test]
fn net_36_the_age_of_a_set_is_what_the_answer_says_within_bounds() {
    for (value, seconds) in [
        ("max-age=900", 900),
        ("public, Max-Age=120", 120),
        // At least a minute,
        ("no-store", 60),
        ("no-cache", 60),
        ("max-age=0", 60),
        ("max-age=900, no-store", 60),
        // at most a day,
        ("max-age=1000000000", 24 * 3600),
        ("max-age=99999999999999999999", 24 * 3600),
        // and ten minutes where it says nothing.
        ("public", 600),
        ("", 600),
        ("max-age=", 600),
        ("max-age=-1", 600),
        ("max-age=abc", 600),
    ] {
        assert!(is_fresh_for(value, seconds), "{value}");
    }
}

#[test]
fn net_37_a_clock_that_was_set_back_does_not_keep_keys_for_ever() {
    let mut world = warm();
    world.net.set_back(3600);
    assert_eq!(good(&mut world), "accepted");
    assert_eq!(fetches(&world), 1);
    // From then on they are as fresh as they are.
    assert_eq!(good(&mut world), "accepted");
    assert_eq!(fetches(&world), 1);
}

#[test]
fn net_37_a_clock_that_was_set_back_does_not_prolong_a_cool_down() {
    let mut world = warm();
    unknown(&mut world, "a");
    world.net.set_back(3600);
    good(&mut world);
    world.net.clear();
    world.idp().rotate_to(Key::new("k2", "ES256", 9));
    assert_eq!(good(&mut world), "accepted");
}

#[test]
fn net_37_a_clock_that_jumps_ahead_causes_one_fetch() {
    let mut world = warm();
    world.net.pass(3600);
    for _ in 0..3 {
        assert_eq!(good(&mut world), "accepted");
    }
    assert_eq!(fetches(&world), 1);
}

// NET-16, NET-17.
#[test]
fn net_16_17_a_redirect_of_the_key_endpoint_is_redirect_refused() {
    for status in [301, 302, 303, 307, 308] {
        let reply = Reply::status(status).with_header("location", "https://as.example/keys");
        assert_eq!(cold_with(reply), "redirect_refused", "{status}");
    }
    assert_eq!(
        cold_with(Reply::none(Unreachable::Redirected)),
        "redirect_refused"
    );
}

/// Answers that are no key set.
fn bad_sets() -> Vec<Reply> {
    let jwks = json!({"keys": [Key::new("k1", "ES256", 7).jwk()]}).to_string();
    vec![
        Reply::html(),
        Reply::json(""),
        Reply::json(&jwks[..jwks.len() - 3]),
        Reply::json("[]"),
        Reply::json("null"),
        Reply::json("{}"),
        Reply::json(r#"{"keys":{}}"#),
        Reply::json(r#"{"keys":null}"#),
        Reply::json(r#"{"keys":[],"keys":[]}"#),
        Reply::body(jwks.clone()).of_type("text/html"),
        Reply::body(jwks.clone()).of_type("text/plain"),
        Reply::body(jwks),
    ]
}

// NET-18, NET-22.
#[test]
fn net_18_22_what_is_no_key_set_is_jwks_invalid() {
    for reply in bad_sets() {
        assert_eq!(cold_with(reply), "jwks_invalid");
    }
}

#[test]
fn net_18_keys_that_are_there_are_kept_when_the_new_set_is_bad() {
    for reply in bad_sets() {
        let mut world = warm();
        world.net.pass(3600);
        world.idp().always(Purpose::Keys, reply);
        assert_eq!(good(&mut world), "accepted");
        assert_eq!(fetches(&world), 1);
    }
}

#[test]
fn net_19_other_statuses_than_200_are_keys_unavailable() {
    for status in [201, 204, 206, 304, 400, 404, 410, 500, 503] {
        let jwks = json!({"keys": [Key::new("k1", "ES256", 7).jwk()]});
        let reply = Reply::json(jwks).with_status(status);
        assert_eq!(cold_with(reply), "keys_unavailable", "{status}");
    }
}

#[test]
fn net_21_both_media_types_of_key_sets_are_accepted() {
    for media_type in [
        "application/jwk-set+json",
        "application/json; charset=utf-8",
        "Application/JWK-Set+JSON",
    ] {
        let jwks = json!({"keys": [Key::new("k1", "ES256", 7).jwk()]}).to_string();
        assert_eq!(
            cold_with(Reply::body(jwks).of_type(media_type)),
            "accepted",
            "{media_type}"
        );
    }
}

#[test]
fn net_23_a_set_beyond_512_kib_is_response_too_large() {
    let filled = |length: usize| {
        let jwks = json!({"keys": [Key::new("k1", "ES256", 7).jwk()], "x": ""}).to_string();
        let fill = "x".repeat(length - jwks.len());
        Reply::json(jwks.replace("\"x\":\"\"", &format!("\"x\":\"{fill}\"")))
    };
    assert_eq!(cold_with(filled(512 * 1024 + 1)), "response_too_large");
    assert_eq!(cold_with(filled(512 * 1024)), "accepted");
    assert_eq!(
        cold_with(Reply::none(Unreachable::TooLarge)),
        "response_too_large"
    );
}

// NET-25, NET-26.
#[test]
fn net_25_26_a_slow_endpoint_and_none_are_told_apart() {
    assert_eq!(
        cold_with(Reply::none(Unreachable::Timeout)),
        "upstream_timeout"
    );
    assert_eq!(
        cold_with(Reply::none(Unreachable::Network)),
        "keys_unavailable"
    );
}

#[test]
fn net_27_old_keys_serve_on_for_a_day_while_the_endpoint_is_down() {
    // Their own time and a day.
    for seconds in [3600, 12 * 3600, 24 * 3600, 24 * 3600 + 600] {
        let mut world = warm();
        world.net.pass(seconds);
        world
            .idp()
            .always(Purpose::Keys, Reply::none(Unreachable::Network));
        assert_eq!(good(&mut world), "accepted", "{seconds}");
        assert_eq!(fetches(&world), 1);
    }
}

#[test]
fn net_27_keys_that_the_provider_lets_live_for_a_day_serve_on_for_another_one() {
    let mut world = GuardWorld::new();
    world.idp().cache_control = Some("max-age=86400".into());
    good(&mut world);
    world
        .idp()
        .always(Purpose::Keys, Reply::none(Unreachable::Network));
    for (seconds, outcome) in [
        (86_400, "accepted"),
        (3600, "accepted"),
        (22 * 3600, "accepted"),
        (3600, "accepted"),
        (1, "keys_unavailable"),
    ] {
        world.net.pass(seconds);
        assert_eq!(good(&mut world), outcome, "{seconds}");
    }
}

// NET-27, KEY-53.
#[test]
fn net_27_key_53_old_keys_do_not_serve_longer_than_a_day() {
    let mut world = warm();
    world.net.pass(24 * 3600 + 601);
    world
        .idp()
        .always(Purpose::Keys, Reply::none(Unreachable::Network));
    assert_eq!(good(&mut world), "keys_unavailable");
    // They are not used either while the endpoint is given its pause.
    assert_eq!(good(&mut world), "keys_unavailable");
    assert_eq!(fetches(&world), 1);
}

#[test]
fn net_30_a_thousand_requests_during_the_pause_make_one_fetch() {
    let mut world = GuardWorld::new();
    world.idp().always(Purpose::Keys, Reply::status(503));
    let token = world.good();
    for _ in 0..1000 {
        assert_eq!(code(world.check(&token)), "keys_unavailable");
    }
    assert_eq!(fetches(&world), 1);
}

/// In which seconds of the first five minutes something is asked, while it fails.
fn attempts(purpose: Purpose) -> Vec<u32> {
    let mut world = GuardWorld::with(json!({"clockTolerance": 300}));
    world.idp().always(purpose, Reply::status(503));
    let token = world.edited(|token| {
        token.claims.set("exp", 1_800_001_000);
    });
    let mut seconds = Vec::new();
    for second in 0..300 {
        let before = world.net.count(purpose);
        assert!(world.check(&token).is_err());
        if world.net.count(purpose) > before {
            seconds.push(second);
        }
        world.net.pass(1);
    }
    seconds
}

#[test]
fn net_30_the_pause_doubles_up_to_a_minute() {
    let doubling = [0, 1, 3, 7, 15, 31, 63, 123, 183, 243];
    assert_eq!(attempts(Purpose::Keys), doubling);
    assert_eq!(attempts(Purpose::Discovery), doubling);
}

#[test]
fn net_30_the_pause_ends_with_a_good_answer() {
    let mut world = GuardWorld::new();
    world.idp().always(Purpose::Keys, Reply::status(503));
    for _ in 0..5 {
        assert_eq!(good(&mut world), "keys_unavailable");
        world.net.pass(60);
    }
    world.idp().recover(Purpose::Keys);
    assert_eq!(good(&mut world), "accepted");
    // The next failure begins with a second again.
    world.net.pass(3600);
    world.idp().always(Purpose::Keys, Reply::status(503));
    good(&mut world);
    world.net.pass(1);
    good(&mut world);
    assert!(world.guard.take_renewal(world.net.now).is_some());
}

#[test]
fn net_30_a_thousand_requests_make_one_discovery_while_the_provider_is_down() {
    for (reply, expected) in [
        (Reply::none(Unreachable::Network), "upstream_unreachable"),
        (Reply::status(500), "upstream_status"),
        (Reply::html(), "response_malformed"),
    ] {
        let mut world = GuardWorld::new();
        world.idp().always(Purpose::Discovery, reply);
        let token = world.good();
        for _ in 0..1000 {
            assert_eq!(code(world.check(&token)), expected);
        }
        assert_eq!(world.net.sent.len(), 1);
        world.idp().recover(Purpose::Discovery);
        world.net.pass(1);
        assert_eq!(code(world.check(&token)), "accepted");
    }
}

#[test]
fn net_30_old_metadata_serves_on_without_asking_at_every_request() {
    let mut world = warm();
    world.net.pass(25 * 3600);
    world.idp().always(Purpose::Discovery, Reply::status(503));
    for _ in 0..10 {
        assert_eq!(good(&mut world), "accepted");
    }
    assert_eq!(world.net.count(Purpose::Discovery), 1);
}

#[test]
fn a_guard_refuses_what_it_can_before_it_asks_anybody() {
    let mut world = GuardWorld::new();
    for token in ["", "a.b.c", "x"] {
        assert_eq!(world.code(token), "token_malformed");
    }
    assert!(world.header(None).is_err());
    assert!(world.net.sent.is_empty());
}

#[test]
fn net_34_an_older_answer_does_not_replace_a_newer_set() {
    let mut world = warm();
    world.net.pass(3600);
    // Two checks ask for the keys; the answer to the first comes last.
    let token = world.good();
    let begin = |world: &mut GuardWorld| {
        let mut check = Check::new(&world.guard, Ok(BearerToken::new(&token)), &Need::nothing());
        let step = world.net.step(&mut check, &mut world.guard, Event::Start);
        let Ok(Step::Send(request)) = step else {
            panic!("nothing was sent");
        };
        (check, request)
    };
    let (mut first, first_request) = begin(&mut world);
    let old = world.net.answer(&first_request);
    world.net.pass(1);
    let (mut second, second_request) = begin(&mut world);
    world.idp().keys.push(Key::new("k2", "ES256", 9));
    let new = world.net.answer(&second_request);
    let _ = world.net.step(&mut second, &mut world.guard, new);
    let _ = world.net.step(&mut first, &mut world.guard, old);
    world.net.clear();
    world.idp().signs_with = 1;
    assert_eq!(good(&mut world), "accepted");
    assert_eq!(fetches(&world), 0);
}

#[test]
fn a_failed_fetch_beside_a_good_one_keeps_the_good_one() {
    let mut world = GuardWorld::new();
    let token = world.good();
    let mut check = Check::new(&world.guard, Ok(BearerToken::new(&token)), &Need::nothing());
    let mut event = Event::Start;
    for _ in 0..2 {
        let step = world.net.step(&mut check, &mut world.guard, event);
        let Ok(Step::Send(request)) = step else {
            panic!("nothing was sent");
        };
        event = world.net.answer(&request);
    }
    assert_eq!(good(&mut world), "accepted");
    let failed = Event::Unreachable(Unreachable::Network);
    let step = world.net.step(&mut check, &mut world.guard, failed);
    // The keys of the other check are there.
    assert!(matches!(step, Ok(Step::Verify(_))));
}

#[test]
fn a_metadata_document_without_jwks_uri_is_metadata_invalid() {
    let mut world = GuardWorld::new();
    world.idp().metadata["jwks_uri"] = Value::Null;
    assert_eq!(good(&mut world), "metadata_invalid");
}

/// Begins a check up to the request that it sends, or its code.
fn begun(world: &mut GuardWorld, token: &str) -> Result<(Check, Event), &'static str> {
    let mut check = Check::new(&world.guard, Ok(BearerToken::new(token)), &Need::nothing());
    match world.net.step(&mut check, &mut world.guard, Event::Start) {
        Ok(Step::Send(request)) => {
            let answer = world.net.answer(&request);
            Ok((check, answer))
        }
        Ok(_) => Err("nothing was sent"),
        Err(error) => Err(error.code()),
    }
}

#[test]
fn net_30_those_who_waited_for_one_answer_prolong_no_pause() {
    for purpose in [Purpose::Keys, Purpose::Discovery] {
        let mut world = GuardWorld::new();
        if purpose == Purpose::Keys {
            assert_eq!(good(&mut world), "accepted");
            world.net.pass(48 * 3600);
            // The metadata is there again, and the keys are spent.
            world
                .idp()
                .always(Purpose::Keys, Reply::none(Unreachable::Network));
            assert_ne!(good(&mut world), "accepted");
            world.net.pass(2);
        } else {
            world
                .idp()
                .always(Purpose::Discovery, Reply::none(Unreachable::Network));
        }
        let token = world.good();
        let waiting: Vec<_> = (0..20)
            .map(|_| begun(&mut world, &token).unwrap())
            .collect();
        world.net.pass(1);
        for (mut check, answer) in waiting {
            let error = world.net.step(&mut check, &mut world.guard, answer);
            let error = error.unwrap_err();
            let left = error.details().unwrap().retry_after.unwrap();
            assert!((1..=2).contains(&left), "{left}");
        }
        world.idp().recover(purpose);
        world.net.pass(2);
        assert_eq!(good(&mut world), "accepted", "{purpose:?}");
    }
}

/// What many tokens by a new key get who come before the first answer is there.
fn rotated(world: &mut GuardWorld, many: usize) -> Vec<&'static str> {
    world.idp().rotate_to(Key::new("k2", "ES256", 9));
    let token = world.good();
    let begun: Vec<_> = (0..many).map(|_| begun(world, &token)).collect();
    begun
        .into_iter()
        .map(|begun| {
            let (mut check, answer) = match begun {
                Ok(begun) => begun,
                Err(code) => return code,
            };
            match world.net.step(&mut check, &mut world.guard, answer) {
                Ok(Step::Verify(_)) => "found",
                Ok(_) => "another step",
                Err(error) => error.code(),
            }
        })
        .collect()
}

#[test]
fn cch_19_after_a_rotation_those_who_come_together_get_through_together() {
    let mut world = warm();
    // Where each asks for itself, so many are let ask, and nobody else is told that there is no such key.
    let codes = rotated(&mut world, 20);
    assert_eq!(codes[..16], ["found"; 16]);
    assert_eq!(codes[16..], ["keys_unavailable"; 4]);
    assert_eq!(unknown(&mut world, "x"), "key_not_found");

    let mut world = warm();
    world.guard = core::mem::replace(&mut world.guard, GuardWorld::new().guard).sharing_answers();
    assert_eq!(rotated(&mut world, 200), ["found"; 200]);
    world.net.clear();
    assert_eq!(unknown(&mut world, "x"), "key_not_found");
    assert!(world.net.sent.is_empty());
}

#[test]
fn cch_19_a_request_that_was_dropped_takes_its_search_along() {
    let mut world = warm();
    let invented = world.edited(|token| {
        token.header.set("kid", json!("x"));
    });
    for _ in 0..10 {
        drop(begun(&mut world, &invented));
        world.net.pass(30);
    }
    world.idp().rotate_to(Key::new("k2", "ES256", 9));
    drop(begun(&mut world, &invented));
    assert_eq!(good(&mut world), "accepted");
}

#[test]
fn cch_19_a_search_that_failed_tells_nobody_that_there_is_no_such_key() {
    let mut world = warm();
    world.idp().rotate_to(Key::new("k2", "ES256", 9));
    world.idp().always(Purpose::Keys, Reply::status(503));
    for _ in 0..3 {
        assert_eq!(good(&mut world), "keys_unavailable");
    }
    assert_eq!(fetches(&world), 1);
    world.idp().recover(Purpose::Keys);
    world.net.pass(1);
    assert_eq!(good(&mut world), "accepted");
}

#[test]
fn net_37_where_answers_are_shared_a_clock_that_was_set_back_hides_no_key() {
    let mut world = warm();
    world.guard = GuardWorld::new().guard.sharing_answers();
    assert_eq!(good(&mut world), "accepted");
    world.net.set_back(3600);
    assert_eq!(good(&mut world), "accepted");
}

#[test]
fn keys_that_are_fresh_wait_for_no_metadata() {
    let day = 24 * 3600;
    let mut world = GuardWorld::new();
    world.idp().cache_control = Some("max-age=86400".into());
    assert_eq!(good(&mut world), "accepted");
    world.net.pass(day - 3600);
    assert_eq!(unknown(&mut world, "x"), "key_not_found");
    world.net.clear();
    // The metadata is old now, and the keys are an hour old.
    world.net.pass(2 * 3600);
    assert_eq!(good(&mut world), "accepted");
    assert!(world.net.sent.is_empty());
    // Who needs keys asks where they are.
    assert_eq!(unknown(&mut world, "y"), "key_not_found");
    assert_eq!(world.net.count(Purpose::Discovery), 1);
}
