//! Keys that guards share: a second tier behind each one's own, which is never more than a help.

use gatepass::flow::{Event, Flow as _, Reports as _, Step};
use gatepass::guard::{BearerToken, Check, Guard, Need};
use gatepass::http::{Purpose, Unreachable};
use gatepass::time::Lifetime;
use serde_json::{Value, json};

use crate::support::{GuardWorld, Key, Reply, options};

/// A guard that shares its keys.
fn sharing() -> GuardWorld {
    let mut world = GuardWorld::new();
    world.guard.share_keys();
    world
}

/// Another isolate: a guard that knows nothing, in the same world.
fn restart(world: &mut GuardWorld) {
    let given = json!({"issuer": "https://as.example", "audience": "api"});
    world.guard = Guard::from_options(&options(&given)).unwrap();
    world.guard.share_keys();
    world.net.clear();
    world.net.loaded.clear();
}

/// Puts what was fetched where others find it.
fn put(world: &mut GuardWorld) -> usize {
    let all = world.guard.take_shared_keys();
    for keys in &all {
        assert!(keys.lifetime.millis() <= 2 * 24 * 3600 * 1000);
        world.net.shared.insert(keys.key.clone(), keys.text.clone());
        world.guard.note_put(keys, true, world.net.now);
    }
    all.len()
}

/// A world in which one isolate has fetched and shared the keys, and another one begins.
fn shared() -> GuardWorld {
    let mut world = sharing();
    assert_eq!(good(&mut world), "accepted");
    assert_eq!(put(&mut world), 1);
    restart(&mut world);
    world
}

fn good(world: &mut GuardWorld) -> &'static str {
    let token = world.good();
    world.code(&token)
}

fn renew(world: &mut GuardWorld) {
    if let Some(mut renewal) = world.guard.take_renewal(world.net.now) {
        let _ = world.net.run(&mut renewal, &mut world.guard);
    }
}

/// The entry of the one issuer.
fn entry(world: &GuardWorld) -> Value {
    let text = world.net.shared.values().next().unwrap();
    serde_json::from_str(text).unwrap()
}

/// Changes what stands in the cache.
fn edit(world: &mut GuardWorld, edit: impl FnOnce(&mut Value)) {
    let mut changed = entry(world);
    edit(&mut changed);
    for text in world.net.shared.values_mut() {
        *text = changed.to_string();
    }
}

fn alerts(world: &mut GuardWorld) -> Vec<&'static str> {
    let alerts = world.guard.take_alerts();
    alerts.iter().map(gatepass::Error::code).collect()
}

fn down(world: &mut GuardWorld) {
    for purpose in [Purpose::Keys, Purpose::Discovery] {
        let reply = Reply::none(Unreachable::Network);
        world.idp().always(purpose, reply);
    }
}

#[test]
fn a_cold_guard_takes_the_keys_that_another_one_fetched() {
    let mut world = shared();
    assert_eq!(good(&mut world), "accepted");
    assert!(world.net.sent.is_empty());
    assert_eq!(world.net.loaded.len(), 1);
    assert_eq!(world.guard.key_tally().shared_hits, 1);
    // What came from there is not put there again.
    assert_eq!(put(&mut world), 0);
}

#[test]
fn without_an_entry_keys_are_fetched_and_put() {
    let mut world = sharing();
    assert_eq!(good(&mut world), "accepted");
    assert_eq!(world.net.count(Purpose::Keys), 1);
    let tally = world.guard.key_tally();
    assert_eq!(
        (tally.shared_misses, tally.fetched, tally.failed),
        (1, 1, 0)
    );
    assert_eq!(put(&mut world), 1);
    assert_eq!(alerts(&mut world), [""; 0]);
    let key = world.net.shared.keys().next().unwrap();
    assert!(key.len() <= 64);
    assert!(
        key.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    );
}

#[test]
fn a_guard_that_shares_nothing_asks_for_nothing() {
    let mut world = GuardWorld::new();
    assert_eq!(good(&mut world), "accepted");
    assert!(world.net.loaded.is_empty());
    assert!(world.guard.take_shared_keys().is_empty());
}

#[test]
fn with_fresh_keys_of_its_own_nobody_asks() {
    let mut world = shared();
    for _ in 0..10 {
        world.net.pass(50);
        assert_eq!(good(&mut world), "accepted");
    }
    assert_eq!(world.net.loaded.len(), 1);
}

#[test]
fn an_unknown_kid_and_a_renewal_ask_the_provider_at_once() {
    let mut world = shared();
    assert_eq!(good(&mut world), "accepted");
    world.net.loaded.clear();
    // The key is newer than what is shared: only the provider knows it.
    world.idp().rotate_to(Key::new("k2", "ES256", 9));
    assert_eq!(good(&mut world), "accepted");
    assert_eq!(world.net.count(Purpose::Keys), 1);
    world.net.pass(500);
    assert_eq!(good(&mut world), "accepted");
    renew(&mut world);
    assert_eq!(world.net.count(Purpose::Keys), 2);
    assert!(world.net.loaded.is_empty());
    // The next one finds the new key.
    assert_eq!(put(&mut world), 1);
    restart(&mut world);
    assert_eq!(good(&mut world), "accepted");
    assert!(world.net.sent.is_empty());
}

#[test]
fn keys_whose_time_is_over_are_looked_for_before_they_are_fetched() {
    let mut world = shared();
    assert_eq!(good(&mut world), "accepted");
    world.net.pass(601);
    let now = world.net.now.millis();
    edit(&mut world, |entry| entry["fetchedAt"] = json!(now));
    assert_eq!(good(&mut world), "accepted");
    assert_eq!(world.net.loaded.len(), 2);
    assert!(world.net.sent.is_empty());
}

#[test]
fn a_guard_with_shared_keys_renews_them_and_finds_the_way_by_itself() {
    let mut world = shared();
    world.net.pass(490);
    assert_eq!(good(&mut world), "accepted");
    assert!(world.net.sent.is_empty());
    renew(&mut world);
    assert_eq!(world.net.count(Purpose::Discovery), 1);
    assert_eq!(world.net.count(Purpose::Keys), 1);
    assert_eq!(put(&mut world), 1);
    world.net.pass(490);
    assert_eq!(good(&mut world), "accepted");
}

#[test]
fn net_43_what_the_shared_cache_returns_in_place_of_keys_is_ignored() {
    let huge = "x".repeat(600 * 1024);
    let older = json!({"version": 0, "issuer": "https://as.example", "keys": []}).to_string();
    for text in [
        "",
        "garbage",
        "null",
        "[]",
        "{}",
        "{\"version\":1}",
        &older,
        &huge,
    ] {
        let mut world = sharing();
        world.net.shared_answer = Some(Ok(Some(text.into())));
        assert_eq!(good(&mut world), "accepted");
        assert_eq!(world.net.count(Purpose::Keys), 1);
        assert_eq!(alerts(&mut world), ["shared_cache_invalid"]);
        assert_eq!(world.guard.key_tally().shared_failures, 1);
    }
    // It throws, it does not answer, it returns more than is read.
    for (cause, code) in [
        (Unreachable::Network, "shared_cache_unavailable"),
        (Unreachable::Timeout, "shared_cache_unavailable"),
        (Unreachable::TooLarge, "shared_cache_invalid"),
    ] {
        let mut world = sharing();
        world.net.shared_answer = Some(Err(cause));
        assert_eq!(good(&mut world), "accepted");
        assert_eq!(world.net.count(Purpose::Keys), 1);
        assert_eq!(alerts(&mut world), [code]);
    }
}

#[test]
fn net_43_an_entry_is_good_for_its_issuer_and_its_version_only() {
    type Edit = fn(&mut Value);
    let edits: [(&str, Edit); 11] = [
        ("another issuer", |it| {
            it["issuer"] = json!("https://as.example/");
        }),
        ("no issuer", |it| it["issuer"] = Value::Null),
        ("a newer version", |it| it["version"] = json!(2)),
        ("no keys", |it| it["keys"] = json!({})),
        ("too many keys", |it| {
            it["keys"] = json!(vec![json!({}); 101])
        }),
        ("no time", |it| it["fetchedAt"] = json!("now")),
        ("time before all times", |it| it["fetchedAt"] = json!(-1)),
        ("from the future", |it| {
            it["fetchedAt"] = json!(1_800_000_000_000_i64 + 61_000);
        }),
        ("over since yesterday", |it| {
            it["fetchedAt"] = json!(1_800_000_000_000_i64 - 86_400_000 - 601_000);
        }),
        ("for ever", |it| it["maxAge"] = json!(86_401)),
        ("negative age", |it| it["maxAge"] = json!(-1)),
    ];
    for (name, change) in edits {
        let mut world = shared();
        edit(&mut world, change);
        assert_eq!(good(&mut world), "accepted", "{name}");
        assert_eq!(world.net.count(Purpose::Keys), 1, "{name}");
        assert_eq!(alerts(&mut world), ["shared_cache_invalid"], "{name}");
    }
}

#[test]
fn net_43_a_member_that_stands_twice_spoils_an_entry() {
    let mut world = shared();
    for text in world.net.shared.values_mut() {
        *text = text.replacen('{', "{\"version\":1,", 1);
    }
    assert_eq!(good(&mut world), "accepted");
    assert_eq!(world.net.count(Purpose::Keys), 1);
    assert_eq!(alerts(&mut world), ["shared_cache_invalid"]);
}

#[test]
fn keys_from_the_shared_cache_are_judged_like_those_of_the_network() {
    let mut world = shared();
    edit(&mut world, |entry| {
        // Named as the key that signs, but symmetric.
        entry["keys"] = json!([{"kty": "oct", "kid": "k1", "k": "AAAA"}]);
    });
    assert_eq!(good(&mut world), "key_unsuitable");
    assert!(world.net.sent.is_empty());
}

#[test]
fn an_entry_serves_no_longer_than_the_fetch_of_which_it_tells() {
    let mut world = shared();
    world.net.pass(599);
    assert_eq!(good(&mut world), "accepted");
    assert!(world.net.sent.is_empty());
    world.net.pass(2);
    assert_eq!(good(&mut world), "accepted");
    assert_eq!(world.net.count(Purpose::Keys), 1);
}

#[test]
fn a_clock_that_is_ahead_elsewhere_prolongs_nothing() {
    let mut world = shared();
    let ahead = world.net.now.after(Lifetime::from_seconds(59)).millis();
    edit(&mut world, |entry| entry["fetchedAt"] = json!(ahead));
    assert_eq!(good(&mut world), "accepted");
    // It ends when it says so, by our clock.
    world.net.pass(659);
    assert_eq!(good(&mut world), "accepted");
    assert!(world.net.sent.is_empty());
    world.net.pass(1);
    assert_eq!(good(&mut world), "accepted");
    assert_eq!(world.net.count(Purpose::Keys), 1);
}

#[test]
fn an_older_entry_does_not_replace_newer_keys() {
    let mut world = shared();
    let old = world.net.shared.clone();
    world.net.pass(10);
    world.idp().rotate_to(Key::new("k2", "ES256", 9));
    assert_eq!(good(&mut world), "accepted");
    world.net.shared = old;
    // The time of the newer keys is over, and the provider is down: they serve on.
    world.net.pass(601);
    down(&mut world);
    assert_eq!(good(&mut world), "accepted");
    assert_eq!(world.net.loaded.len(), 2);
}

#[test]
fn a_broken_cache_is_given_a_pause() {
    let mut world = sharing();
    world.net.shared_answer = Some(Err(Unreachable::Timeout));
    down(&mut world);
    for _ in 0..100 {
        assert_eq!(good(&mut world), "upstream_unreachable");
    }
    assert_eq!(world.net.loaded.len(), 1);
    world.net.pass(1);
    assert_eq!(good(&mut world), "upstream_unreachable");
    assert_eq!(world.net.loaded.len(), 2);
}

#[test]
fn a_put_that_fails_is_told_and_nothing_else() {
    let mut world = sharing();
    assert_eq!(good(&mut world), "accepted");
    let all = world.guard.take_shared_keys();
    world.guard.note_put(&all[0], false, world.net.now);
    assert_eq!(alerts(&mut world), ["shared_cache_unavailable"]);
    assert_eq!(world.guard.key_tally().shared_failures, 1);
    assert_eq!(good(&mut world), "accepted");
}

#[test]
fn a_cold_guard_serves_from_an_old_entry_while_the_provider_is_down() {
    let mut world = shared();
    down(&mut world);
    world.net.pass(3600);
    for _ in 0..10 {
        assert_eq!(good(&mut world), "accepted");
    }
    assert_eq!(alerts(&mut world), ["keys_stale"]);
    assert_eq!(world.guard.key_tally().stale, 10);
    // Neither cache nor provider is asked by each request.
    assert_eq!(world.net.loaded.len(), 1);
    assert_eq!(world.net.sent.len(), 1);
    // A day after its time it is over.
    world.net.pass(23 * 3600 + 601);
    restart(&mut world);
    assert_eq!(good(&mut world), "upstream_unreachable");
}

#[test]
fn net_27_isolates_come_and_go_for_an_hour_while_the_provider_is_down() {
    let mut world = shared();
    down(&mut world);
    for minute in 0..60 {
        world.net.pass(60);
        if minute % 5 == 0 {
            restart(&mut world);
        }
        assert_eq!(good(&mut world), "accepted");
        renew(&mut world);
    }
}

#[test]
fn when_the_provider_is_back_its_keys_are_fetched() {
    let mut world = shared();
    down(&mut world);
    world.net.pass(3600);
    assert_eq!(good(&mut world), "accepted");
    for purpose in [Purpose::Keys, Purpose::Discovery] {
        world.idp().recover(purpose);
    }
    world.idp().rotate_to(Key::new("k2", "ES256", 9));
    world.net.pass(60);
    world.net.clear();
    assert_eq!(good(&mut world), "accepted");
    assert_eq!(world.net.count(Purpose::Keys), 1);
    assert_eq!(put(&mut world), 1);
}

#[test]
fn what_is_not_public_never_goes_to_the_cache() {
    let mut world = sharing();
    world.idp().odd_keys = vec![
        json!({"kty": "oct", "kid": "shared", "k": "S3CRET-k"}),
        json!({"kty": "EC", "kid": "private", "crv": "P-256", "d": "S3CRET-d"}),
        json!("S3CRET-text"),
    ];
    assert_eq!(good(&mut world), "accepted");
    put(&mut world);
    let text = entry(&world).to_string();
    assert!(!text.contains("S3CRET"), "{text}");
    // Their names serve: a token that names one is told why.
    restart(&mut world);
    let token = world.edited(|token| {
        token.header.set("kid", json!("private"));
    });
    assert_eq!(world.code(&token), "key_unsuitable");
    assert!(world.net.sent.is_empty());
}

#[test]
fn each_issuer_has_an_entry_of_its_own() {
    let mut world =
        GuardWorld::with(json!({"issuer": ["https://as.example", "https://b.example"]}));
    world.guard.share_keys();
    assert_eq!(good(&mut world), "accepted");
    let other = &world.net.idps[1];
    let other = other.access_token(world.net.now).sign(other.key());
    assert_eq!(world.code(&other), "accepted");
    assert_eq!(put(&mut world), 2);
    assert_eq!(world.net.shared.len(), 2);
    // The entry of the one under the name of the other is none.
    let texts: Vec<String> = world.net.shared.values().rev().cloned().collect();
    for (entry, text) in world.net.shared.values_mut().zip(texts) {
        *entry = text;
    }
    restart(&mut world);
    assert_eq!(good(&mut world), "accepted");
    assert_eq!(alerts(&mut world), ["shared_cache_invalid"]);
}

#[test]
fn a_signed_answer_about_a_token_is_checked_with_shared_keys_too() {
    let mut world = GuardWorld::introspecting_with(
        json!({"jwtResponse": true, "cache": {"ttl": 0}}),
        json!({}),
    );
    world.guard.share_keys();
    world.idp().sign_answer = Some(Box::new(|_| {}));
    let token = world.opaque();
    assert_eq!(world.code(&token), "accepted");
    assert_eq!(world.net.loaded.len(), 1);
    assert_eq!(put(&mut world), 1);
}

#[test]
fn what_was_found_is_told_to_whoever_asked_only() {
    let mut world = sharing();
    let token = world.good();
    let mut flow = Check::new(&world.guard, Ok(BearerToken::new(&token)), &Need::nothing());
    let step = flow.step(&mut world.guard, world.net.now, Event::Loaded(Ok(None)));
    assert_eq!(step.err().unwrap().code(), "flow_misused");
    let mut flow = Check::new(&world.guard, Ok(BearerToken::new(&token)), &Need::nothing());
    let step = flow.step(&mut world.guard, world.net.now, Event::Start);
    assert!(matches!(step, Ok(Step::Load(_))));
    let step = flow.step(&mut world.guard, world.net.now, Event::Signature(true));
    assert_eq!(step.err().unwrap().code(), "flow_misused");
}
