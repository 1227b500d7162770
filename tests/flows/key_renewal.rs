//! Keys are renewed before they are due, and nobody waits for it.

use gatepass::flow::{Reports as _, Step};
use gatepass::guard::{BearerToken, Check, Need, Recall};
use gatepass::http::{Purpose, Unreachable};
use serde_json::json;

use crate::support::{GuardWorld, Key, Reply};

/// A guard that has keys for ten minutes.
fn warm() -> GuardWorld {
    let mut world = GuardWorld::new();
    good(&mut world);
    world.net.clear();
    world
}

#[track_caller]
fn good(world: &mut GuardWorld) {
    let token = world.good();
    assert_eq!(world.code(&token), "accepted");
}

fn fetches(world: &GuardWorld) -> usize {
    world.net.count(Purpose::Keys)
}

/// Runs what the last decision left to be done; says whether it left anything.
fn renew(world: &mut GuardWorld) -> bool {
    let Some(mut renewal) = world.guard.take_renewal(world.net.now) else {
        return false;
    };
    let _ = world.net.run(&mut renewal, &mut world.guard);
    true
}

#[test]
fn net_35_keys_are_renewed_at_four_fifths_of_their_age_and_no_request_waits() {
    let mut world = warm();
    world.net.pass(479);
    good(&mut world);
    assert!(!renew(&mut world));
    world.net.pass(1);
    good(&mut world);
    // The request was decided with the keys that were there.
    assert_eq!(fetches(&world), 0);
    assert!(renew(&mut world));
    assert_eq!(fetches(&world), 1);
    // They are new again: ten minutes after the first fetch nobody has to wait.
    world.net.pass(300);
    good(&mut world);
    assert!(!renew(&mut world));
    assert_eq!(fetches(&world), 1);
}

#[test]
fn net_35_the_age_is_what_the_answer_says() {
    let mut world = GuardWorld::new();
    world.idp().cache_control = Some("max-age=100".into());
    good(&mut world);
    world.net.pass(79);
    good(&mut world);
    assert!(!renew(&mut world));
    world.net.pass(1);
    good(&mut world);
    assert!(renew(&mut world));
}

#[test]
fn a_renewal_is_begun_once_for_many_requests() {
    let mut world = warm();
    world.net.pass(500);
    good(&mut world);
    assert!(world.guard.take_renewal(world.net.now).is_some());
    for _ in 0..1000 {
        good(&mut world);
        assert!(world.guard.take_renewal(world.net.now).is_none());
    }
}

#[test]
fn net_33_a_renewal_that_is_cut_off_is_begun_anew_after_its_time() {
    let mut world = warm();
    world.net.pass(500);
    good(&mut world);
    // The worker is stopped before the answer comes.
    assert!(world.guard.take_renewal(world.net.now).is_some());
    world.net.pass(4);
    good(&mut world);
    assert!(!renew(&mut world));
    world.net.pass(1);
    good(&mut world);
    assert!(renew(&mut world));
    assert_eq!(fetches(&world), 1);
}

#[test]
fn a_renewal_that_fails_changes_nothing_but_the_next_attempt() {
    let mut world = warm();
    world.idp().always(Purpose::Keys, Reply::status(503));
    world.net.pass(500);
    good(&mut world);
    assert!(renew(&mut world));
    good(&mut world);
    // The pause after a failure and the time of the first attempt are kept.
    assert!(!renew(&mut world));
    assert_eq!(fetches(&world), 1);
    world.net.pass(5);
    good(&mut world);
    assert!(renew(&mut world));
    assert_eq!(fetches(&world), 2);
}

#[test]
fn a_token_that_is_recalled_renews_keys_too() {
    let mut world = warm();
    let token = world.edited(|token| {
        token.claims.set("exp", 1_800_000_000 + 100_000);
    });
    let mut flow = Check::new(&world.guard, Ok(BearerToken::new(&token)), &Need::nothing());
    world.net.run(&mut flow, &mut world.guard).unwrap();
    let verdict = flow.verdict().unwrap();
    for _ in 0..50 {
        world.net.pass(120);
        let recalled = world.guard.recall(verdict, world.net.now);
        assert_eq!(recalled, Recall::Holds);
        renew(&mut world);
    }
    // A hundred minutes, at each tenth of which keys of ten minutes are renewed once or less.
    assert!((9..=13).contains(&fetches(&world)), "{}", fetches(&world));
}

#[test]
fn a_renewal_ends_the_verdicts_on_what_a_withdrawn_key_signed() {
    let mut world = warm();
    let token = world.edited(|token| {
        token.claims.set("exp", 1_800_000_000 + 100_000);
    });
    let mut flow = Check::new(&world.guard, Ok(BearerToken::new(&token)), &Need::nothing());
    world.net.run(&mut flow, &mut world.guard).unwrap();
    let verdict = flow.verdict().unwrap();
    world.net.pass(500);
    world.idp().rotate_to(Key::new("k2", "ES256", 9));
    // Until the renewal nobody knows.
    assert_eq!(world.guard.recall(verdict, world.net.now), Recall::Holds);
    assert!(renew(&mut world));
    assert_eq!(
        world.guard.recall(verdict, world.net.now),
        Recall::CheckAnew
    );
}

#[test]
fn net_34_a_renewal_that_was_asked_for_earlier_does_not_replace_a_newer_set() {
    let mut world = warm();
    world.net.pass(500);
    good(&mut world);
    let mut renewal = world.guard.take_renewal(world.net.now).unwrap();
    let step = world
        .net
        .step(&mut renewal, &mut world.guard, gatepass::flow::Event::Start);
    let Ok(Step::Send(request)) = step else {
        panic!("a renewal asks for keys");
    };
    let late = world.net.answer(&request);
    // Meanwhile the keys change and a token with the new one fetches them.
    world.net.pass(1);
    world.idp().rotate_to(Key::new("k2", "ES256", 9));
    good(&mut world);
    let step = world.net.step(&mut renewal, &mut world.guard, late);
    assert!(matches!(step, Ok(Step::Done(()))));
    // The new key is still the one that counts.
    world.net.clear();
    good(&mut world);
    assert_eq!(fetches(&world), 0);
}

#[test]
fn net_27_no_valid_token_is_refused_while_the_provider_is_down_for_an_hour() {
    let mut world = warm();
    for purpose in [Purpose::Keys, Purpose::Discovery] {
        world
            .idp()
            .always(purpose, Reply::none(Unreachable::Network));
    }
    for _ in 0..360 {
        world.net.pass(10);
        good(&mut world);
        renew(&mut world);
    }
    // It is asked again and again, but not by every request.
    assert!((30..100).contains(&fetches(&world)), "{}", fetches(&world));
    world.idp().recover(Purpose::Keys);
    world.net.pass(60);
    world.net.clear();
    good(&mut world);
    renew(&mut world);
    good(&mut world);
    assert_eq!(fetches(&world), 1);
}

#[test]
fn whoever_goes_on_with_old_keys_says_so_once_for_each_attempt_to_renew_them() {
    let mut world = warm();
    let alerts = |world: &mut GuardWorld| {
        let alerts = world.guard.take_alerts();
        alerts.iter().map(gatepass::Error::code).collect::<Vec<_>>()
    };
    world.idp().always(Purpose::Keys, Reply::status(503));
    for _ in 0..20 {
        good(&mut world);
    }
    assert_eq!(alerts(&mut world), [""; 0]);
    // Their time is over: the first attempt to fetch others fails.
    world.net.pass(601);
    for _ in 0..20 {
        good(&mut world);
    }
    assert_eq!(alerts(&mut world), ["keys_stale"]);
    world.net.pass(1);
    for _ in 0..20 {
        good(&mut world);
        renew(&mut world);
    }
    assert_eq!(alerts(&mut world), ["keys_stale"]);
    let tally = world.guard.key_tally();
    assert_eq!((tally.stale, tally.fetched, tally.failed), (40, 3, 2));
    world.idp().recover(Purpose::Keys);
    world.net.pass(60);
    good(&mut world);
    assert!(renew(&mut world));
    good(&mut world);
    assert_eq!(alerts(&mut world), [""; 0]);
    assert_eq!(world.guard.key_tally().stale, 41);
}

#[test]
fn after_a_failure_nobody_waits_for_an_endpoint_that_hangs_while_old_keys_serve() {
    let mut world = warm();
    world
        .idp()
        .always(Purpose::Keys, Reply::none(Unreachable::Timeout));
    // No request came while the keys were ageing: the first one after their time has to find out.
    world.net.pass(601);
    good(&mut world);
    assert_eq!(fetches(&world), 1);
    for _ in 0..300 {
        world.net.pass(2);
        let before = fetches(&world);
        good(&mut world);
        assert_eq!(fetches(&world), before, "a request waited");
        renew(&mut world);
    }
    // It is asked all the same, once a minute in the end.
    assert!((10..30).contains(&fetches(&world)), "{}", fetches(&world));
    world.idp().recover(Purpose::Keys);
    world.net.pass(60);
    good(&mut world);
    assert!(renew(&mut world));
    world.idp().rotate_to(Key::new("k2", "ES256", 9));
    good(&mut world);
}

#[test]
fn a_renewal_that_never_comes_is_made_up_for_by_a_request() {
    let mut world = warm();
    world.idp().always(Purpose::Keys, Reply::status(503));
    world.net.pass(601);
    good(&mut world);
    world.idp().recover(Purpose::Keys);
    world.net.clear();
    world.net.pass(2);
    // Nobody runs the renewal that this one asks for: some runtimes drop it.
    good(&mut world);
    world.net.pass(9);
    good(&mut world);
    assert_eq!(fetches(&world), 0);
    world.net.pass(1);
    good(&mut world);
    assert_eq!(fetches(&world), 1);
}

#[test]
fn key_53_a_failure_of_long_ago_lets_no_key_serve_on_that_was_withdrawn() {
    let mut world = warm();
    let token = world.edited(|token| {
        token.claims.set("exp", 1_800_000_000 + 100_000);
    });
    world.net.pass(500);
    world.idp().reply(Purpose::Keys, Reply::status(503));
    good(&mut world);
    assert!(renew(&mut world));
    world.net.pass(20 * 3600);
    world.idp().rotate_to(Key::new("k2", "ES256", 9));
    assert_eq!(world.code(&token), "key_not_found");
}

#[test]
fn a_renewal_that_does_not_find_the_way_leaves_nobody_waiting_either() {
    let mut world = GuardWorld::new();
    world.idp().cache_control = Some("max-age=86400".into());
    good(&mut world);
    for purpose in [Purpose::Keys, Purpose::Discovery] {
        world
            .idp()
            .always(purpose, Reply::none(Unreachable::Timeout));
    }
    // Metadata is looked at once a day.
    let sent = |world: &GuardWorld| world.net.sent.len();
    world.net.pass(24 * 3600 + 1);
    good(&mut world);
    for _ in 0..300 {
        world.net.pass(2);
        let before = sent(&world);
        good(&mut world);
        assert_eq!(sent(&world), before, "a request waited");
        renew(&mut world);
    }
    assert!(sent(&world) > 10, "{}", sent(&world));
}

#[test]
fn a_verdict_is_recalled_behind_a_renewal_too() {
    let mut world = warm();
    let token = world.edited(|token| {
        token.claims.set("exp", 1_800_000_000 + 100_000);
    });
    let mut flow = Check::new(&world.guard, Ok(BearerToken::new(&token)), &Need::nothing());
    world.net.run(&mut flow, &mut world.guard).unwrap();
    let verdict = flow.verdict().unwrap();
    let recall = |world: &mut GuardWorld| world.guard.recall(verdict, world.net.now);
    world.idp().always(Purpose::Keys, Reply::status(503));
    world.net.pass(601);
    // The time of the keys is over: somebody has to ask, and asks.
    assert_eq!(recall(&mut world), Recall::CheckAnew);
    good(&mut world);
    assert_eq!(recall(&mut world), Recall::Holds);
    world.net.pass(2);
    assert_eq!(recall(&mut world), Recall::CheckAnew);
    good(&mut world);
    assert_eq!(recall(&mut world), Recall::Holds);
    assert!(renew(&mut world));
    assert_eq!(recall(&mut world), Recall::Holds);
}

#[test]
fn old_keys_serve_on_for_a_day_and_no_longer() {
    let mut world = warm();
    world.idp().always(Purpose::Keys, Reply::status(503));
    world.net.pass(24 * 3600 + 600);
    good(&mut world);
    world.net.pass(1);
    let token = world.good();
    assert_eq!(world.code(&token), "keys_unavailable");
}

#[test]
fn a_token_that_is_recalled_with_old_keys_is_counted_too() {
    let mut world = warm();
    let token = world.edited(|token| {
        token.claims.set("exp", 1_800_000_000 + 100_000);
    });
    let mut flow = Check::new(&world.guard, Ok(BearerToken::new(&token)), &Need::nothing());
    world.net.run(&mut flow, &mut world.guard).unwrap();
    let verdict = flow.verdict().unwrap();
    world.idp().always(Purpose::Keys, Reply::status(503));
    world.net.pass(601);
    good(&mut world);
    let recalled = world.guard.recall(verdict, world.net.now);
    assert_eq!(recalled, Recall::Holds);
    assert_eq!(world.guard.key_tally().stale, 2);
}

#[test]
fn each_issuer_is_renewed_by_itself() {
    let mut world =
        GuardWorld::with(json!({"issuer": ["https://as.example", "https://b.example"]}));
    good(&mut world);
    world.net.pass(500);
    let idp = &world.net.idps[1];
    let other = idp.access_token(world.net.now).sign(idp.key());
    assert_eq!(world.code(&other), "accepted");
    assert!(!renew(&mut world));
    good(&mut world);
    world.net.clear();
    assert!(renew(&mut world));
    assert_eq!(world.net.sent[0].url, "https://as.example/jwks");
}

#[test]
fn net_30_guards_that_failed_together_do_not_come_back_together() {
    let ends = |seed: u32| {
        let mut world = GuardWorld::new();
        world.guard = world.guard.spread_by(seed);
        world
            .idp()
            .always(Purpose::Discovery, Reply::none(Unreachable::Network));
        let mut last = 0;
        for second in 0..120 {
            let token = world.good();
            let before = world.net.sent.len();
            assert!(world.check(&token).is_err());
            if world.net.sent.len() > before {
                last = second;
            }
            world.net.pass(1);
        }
        last
    };
    let mut all: Vec<u32> = (1..=8).map(|seed| ends(seed * 0x0123_4567)).collect();
    all.sort_unstable();
    all.dedup();
    assert!(all.len() >= 4, "{all:?}");
}
