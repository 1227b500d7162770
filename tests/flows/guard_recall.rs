//! For how long a verdict holds.

use gatepass::flow::Event;
use gatepass::guard::{BearerToken, Check, Need, Recall, Verdict};
use gatepass::http::{Purpose, Unreachable};
use serde_json::{Value, json};

use crate::support::{GuardWorld, Key, Reply, options};

/// The verdict on a token that is accepted now.
fn verdict_on(world: &mut GuardWorld, token: &str) -> Option<Verdict> {
    let mut flow = Check::new(&world.guard, Ok(BearerToken::new(token)), &Need::nothing());
    assert!(flow.verdict().is_none());
    world.net.run(&mut flow, &mut world.guard).unwrap();
    flow.verdict()
}

/// The same for a request with this need.
fn verdict_for(world: &mut GuardWorld, token: &str, need: Value) -> Option<Verdict> {
    let need = Need::from_options(&options(&need)).unwrap();
    let mut flow = Check::new(&world.guard, Ok(BearerToken::new(token)), &need);
    world.net.run(&mut flow, &mut world.guard).unwrap();
    flow.verdict()
}

/// A guard and the verdict on a good token.
fn remembered() -> (GuardWorld, Verdict) {
    let mut world = GuardWorld::new();
    let token = world.edited(|token| {
        token.claims.set("exp", 1_800_000_000 + 100_000);
    });
    let verdict = verdict_on(&mut world, &token).unwrap();
    (world, verdict)
}

fn holds(world: &mut GuardWorld, verdict: Verdict) -> bool {
    world.guard.recall(verdict, world.net.now) == Recall::Holds
}

#[test]
fn a_verdict_holds_as_long_as_nothing_changes() {
    let (mut world, verdict) = remembered();
    assert!(holds(&mut world, verdict));
    world.net.pass(600);
    assert!(holds(&mut world, verdict));
}

#[test]
fn a_verdict_ends_with_the_token_and_its_tolerance() {
    let mut world = GuardWorld::new();
    let token = world.edited(|token| {
        token.claims.set("exp", 1_800_000_100);
    });
    let verdict = verdict_on(&mut world, &token).unwrap();
    world.net.pass(129);
    assert!(holds(&mut world, verdict));
    world.net.pass(1);
    assert!(!holds(&mut world, verdict));
    assert_eq!(world.code(&token), "token_expired");
}

#[test]
fn a_verdict_does_not_hold_before_nbf_and_iat() {
    for name in ["nbf", "iat"] {
        let mut world = GuardWorld::new();
        let token = world.edited(|token| {
            token.claims.set(name, 1_800_000_020);
        });
        let verdict = verdict_on(&mut world, &token).unwrap();
        assert!(holds(&mut world, verdict), "{name}");
        // Half an hour before, as after a clock that was wrong; the keys are of that time.
        world.net.set_back(1800);
        let other = world.good();
        assert_eq!(world.code(&other), "accepted");
        assert!(!holds(&mut world, verdict), "{name}");
    }
}

#[test]
fn key_53_a_verdict_ends_when_the_keys_are_due() {
    let (mut world, verdict) = remembered();
    world.net.pass(601);
    assert!(!holds(&mut world, verdict));
    // The same keys again: it holds again.
    let token = world.good();
    assert_eq!(world.code(&token), "accepted");
    assert!(holds(&mut world, verdict));
}

#[test]
fn a_verdict_ends_for_good_when_its_key_is_withdrawn() {
    let (mut world, verdict) = remembered();
    world.idp().rotate_to(Key::new("k2", "ES256", 9));
    world.net.pass(601);
    let token = world.good();
    assert_eq!(world.code(&token), "accepted");
    assert!(!holds(&mut world, verdict));
}

#[test]
fn a_new_key_beside_the_old_one_ends_no_verdict() {
    let (mut world, verdict) = remembered();
    world.idp().keys.push(Key::new("k2", "ES256", 9));
    world.net.pass(601);
    let token = world.good();
    assert_eq!(world.code(&token), "accepted");
    assert!(holds(&mut world, verdict));
}

#[test]
fn another_key_of_the_same_name_ends_verdicts() {
    let (mut world, verdict) = remembered();
    world.idp().rotate_to(Key::new("k1", "ES256", 9));
    world.net.pass(601);
    let token = world.good();
    assert_eq!(world.code(&token), "accepted");
    assert!(!holds(&mut world, verdict));
}

#[test]
fn net_27_verdicts_hold_on_old_keys_while_the_endpoint_is_down() {
    let (mut world, verdict) = remembered();
    world
        .idp()
        .always(Purpose::Keys, Reply::none(Unreachable::Network));
    world.net.pass(3600);
    // Somebody has to try first.
    assert!(!holds(&mut world, verdict));
    let token = world.good();
    assert_eq!(world.code(&token), "accepted");
    assert!(holds(&mut world, verdict));
    world.net.pass(24 * 3600);
    assert!(!holds(&mut world, verdict));
}

#[test]
fn a_key_that_is_withdrawn_during_the_signature_check_leaves_no_verdict_that_holds() {
    let mut world = GuardWorld::new();
    let warm = world.good();
    assert_eq!(world.code(&warm), "accepted");
    let token = world.good();
    let mut flow = Check::new(&world.guard, Ok(BearerToken::new(&token)), &Need::nothing());
    let step = world.net.step(&mut flow, &mut world.guard, Event::Start);
    assert!(step.is_ok());
    // Meanwhile another request learns of new keys.
    world.idp().rotate_to(Key::new("k2", "ES256", 9));
    let other = world.good();
    assert_eq!(world.code(&other), "accepted");
    let step = world
        .net
        .step(&mut flow, &mut world.guard, Event::Signature(true));
    assert!(step.is_ok());
    let verdict = flow.verdict().unwrap();
    assert!(!holds(&mut world, verdict));
}

#[test]
fn a_token_that_is_bound_to_a_key_has_no_verdict() {
    let mut world = GuardWorld::new();
    let token = world.edited(|token| {
        token.claims.set("cnf", json!({"other": "x"}));
    });
    let mut flow = Check::new(&world.guard, Ok(BearerToken::new(&token)), &Need::nothing());
    let _ = world.net.run(&mut flow, &mut world.guard);
    assert!(flow.verdict().is_none());
}

#[test]
fn a_verdict_crosses_as_numbers_and_others_are_none() {
    let (mut world, verdict) = remembered();
    assert_eq!(Verdict::from_numbers(verdict.to_numbers()), Some(verdict));
    let [from, until, place, generation] = verdict.to_numbers();
    assert_eq!(Verdict::from_numbers([from, until, -1, generation]), None);
    assert_eq!(Verdict::from_numbers([from, until, place, -1]), None);
    let elsewhere = Verdict::from_numbers([from, until, place + 1, generation]).unwrap();
    assert!(!holds(&mut world, elsewhere));
}

#[test]
fn each_issuer_has_keys_of_its_own() {
    let mut world =
        GuardWorld::with(json!({"issuer": ["https://as.example", "https://b.example"]}));
    let token = world.good();
    let verdict = verdict_on(&mut world, &token).unwrap();
    // The other issuer's keys change.
    for key in [Key::new("k2", "ES256", 9), Key::new("k3", "ES256", 11)] {
        world.net.idps[1].rotate_to(key);
        let now = world.net.now;
        let idp = &world.net.idps[1];
        let other = idp.access_token(now).sign(idp.key());
        assert_eq!(world.code(&other), "accepted");
    }
    assert!(holds(&mut world, verdict));
}

#[test]
fn what_is_recalled_counts_as_accepted() {
    let (mut world, verdict) = remembered();
    assert!(holds(&mut world, verdict));
    assert_eq!(world.guard.tally().accepted(), 2);
    world.net.pass(200_000);
    assert!(!holds(&mut world, verdict));
    assert_eq!(world.guard.tally().accepted(), 2);
}

#[test]
fn a_verdict_ends_when_the_sign_in_is_too_old_for_the_need() {
    let mut world = GuardWorld::new();
    let token = world.edited(|token| {
        token.claims.set("auth_time", 1_800_000_000 - 500);
    });
    let strict = verdict_for(&mut world, &token, json!({"maxAge": 600})).unwrap();
    let usual = verdict_for(&mut world, &token, json!({})).unwrap();
    world.net.pass(130);
    assert!(holds(&mut world, strict));
    world.net.pass(1);
    assert!(!holds(&mut world, strict));
    assert!(holds(&mut world, usual));
    let refusal = world.needing(&token, json!({"maxAge": 600})).unwrap_err();
    assert_eq!(refusal.error().code(), "authentication_insufficient");
}

#[test]
fn a_verdict_ends_when_the_token_is_older_than_the_guard_allows() {
    let mut world = GuardWorld::with(json!({"maxTokenAge": 60}));
    let token = world.good();
    let verdict = verdict_on(&mut world, &token).unwrap();
    world.net.pass(90);
    assert!(holds(&mut world, verdict));
    world.net.pass(1);
    assert!(!holds(&mut world, verdict));
    assert_eq!(world.code(&token), "token_too_old");
}

#[test]
fn an_auth_time_that_nobody_asks_for_may_be_anything() {
    let mut world = GuardWorld::new();
    let token = world.edited(|token| {
        token.claims.set("auth_time", json!("yesterday"));
    });
    let verdict = verdict_on(&mut world, &token).unwrap();
    assert!(holds(&mut world, verdict));
}
