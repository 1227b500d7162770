//! Opaque tokens: what is remembered, for how long, and how much the provider is asked.

use gatepass::flow::{Event, Reports as _, Step};
use gatepass::guard::{BearerToken, Check, Need, Principal};
use gatepass::http::{HttpRequest, Purpose, Unreachable};
use gatepass::time::Lifetime;
use serde_json::{Value, json};

use crate::support::{GuardWorld, Reply, code};

/// Begins a check up to its first request.
fn begin(world: &mut GuardWorld, token: &str) -> (Check, Result<HttpRequest, &'static str>) {
    let mut flow = Check::new(&world.guard, Ok(BearerToken::new(token)), &Need::nothing());
    let step = world.net.step(&mut flow, &mut world.guard, Event::Start);
    let request = match step {
        Ok(Step::Send(request)) => Ok(request),
        Ok(_) => Err("accepted"),
        Err(error) => Err(error.code()),
    };
    (flow, request)
}

/// Ends a check with an answer.
fn end(world: &mut GuardWorld, flow: &mut Check, event: Event) -> Result<Principal, &'static str> {
    match world.net.step(flow, &mut world.guard, event) {
        Ok(Step::Done(principal)) => Ok(principal),
        Ok(_) => Err("another step"),
        Err(error) => Err(error.code()),
    }
}

/// A world that has its metadata.
fn ready(more: Value) -> GuardWorld {
    let mut world = GuardWorld::introspecting(more);
    let _ = world.check("warm-up");
    world.net.clear();
    world
}

#[test]
fn int_09_what_may_be_about_one_token_alone_refuses_no_other() {
    for reply in [
        Reply::status(400),
        Reply::status(403),
        Reply::status(414),
        Reply::status(302),
        Reply::body("<h1>Blocked</h1>").of_type("text/html"),
    ] {
        let mut world = ready(json!({}));
        let token = world.opaque();
        world.idp().always(Purpose::Introspection, reply);
        for odd in ["../../etc/passwd", "a", "b", "c", "d"] {
            assert_eq!(world.refusal(odd).status(), 503);
        }
        world.idp().recover(Purpose::Introspection);
        assert_eq!(code(world.check(&token)), "accepted");
    }
}

#[test]
fn int_22_nothing_of_a_token_is_kept() {
    // The driver looks for the token in everything that can be printed after each step, and the
    // type of the key has no room for one: it is the hash.
    let mut world = ready(json!({}));
    let token = world.opaque();
    world.check(&token).unwrap();
    world.check(&token).unwrap();
    world.net.assert_silent(&format!("{:?}", world.guard));
    assert_eq!(world.guard.introspection_tally().unwrap().cached(), 1);
}

#[test]
fn int_23_an_answer_serves_sixty_seconds() {
    let mut world = ready(json!({}));
    let token = world.opaque();
    for _ in 0..10 {
        assert_eq!(code(world.check(&token)), "accepted");
    }
    world.net.pass(59);
    assert_eq!(code(world.check(&token)), "accepted");
    assert_eq!(world.net.count(Purpose::Introspection), 1);
    world.net.pass(1);
    assert_eq!(code(world.check(&token)), "accepted");
    assert_eq!(world.net.count(Purpose::Introspection), 2);
}

#[test]
fn int_23_an_answer_never_serves_past_the_tokens_end() {
    let mut world = ready(json!({"cache": {"ttl": 3600}}));
    let token = world.opaque();
    assert_eq!(code(world.check(&token)), "accepted");
    world.net.pass(299);
    assert_eq!(code(world.check(&token)), "accepted");
    assert_eq!(world.net.count(Purpose::Introspection), 1);
    // At its end the provider is asked again, and whatever it says the date decides.
    world.net.pass(1);
    assert_eq!(code(world.check(&token)), "accepted");
    assert_eq!(world.net.count(Purpose::Introspection), 2);
    world.net.pass(30);
    assert_eq!(code(world.check(&token)), "token_expired");
    assert_eq!(world.net.count(Purpose::Introspection), 3);
}

#[test]
fn int_23_an_answer_is_judged_again_each_time() {
    let mut world = ready(json!({}));
    let token = world.opaque();
    assert_eq!(code(world.check(&token)), "accepted");
    assert!(world.scoped(&token, &["read"]).is_ok());
    assert!(world.scoped(&token, &["admin"]).is_err());
    assert_eq!(world.net.count(Purpose::Introspection), 1);
}

#[test]
fn int_23_the_cache_can_be_switched_off() {
    let mut world = ready(json!({"cache": {"ttl": 0}}));
    let token = world.opaque();
    for _ in 0..3 {
        assert_eq!(code(world.check(&token)), "accepted");
        assert_eq!(code(world.check("unknown-token")), "token_inactive");
    }
    assert_eq!(world.net.count(Purpose::Introspection), 6);
}

#[test]
fn int_23_a_clock_that_is_set_back_prolongs_nothing() {
    let mut world = ready(json!({}));
    world.net.pass(1000);
    let token = world.opaque();
    assert_eq!(code(world.check(&token)), "accepted");
    world.net.set_back(20);
    assert_eq!(code(world.check(&token)), "accepted");
    assert_eq!(world.net.count(Purpose::Introspection), 2);
}

#[test]
fn int_25_a_revoked_token_ends_at_the_latest_after_the_ttl() {
    let mut world = ready(json!({"cache": {"ttl": 20}}));
    world.net.latency = Lifetime::from_seconds(3);
    let token = world.opaque();
    assert_eq!(code(world.check(&token)), "accepted");
    // Revoked the moment that it was answered; the time runs from when it was asked.
    world.idp().opaque.clear();
    world.net.pass(16);
    assert_eq!(code(world.check(&token)), "accepted");
    world.net.pass(1);
    assert_eq!(code(world.check(&token)), "token_inactive");
}

#[test]
fn int_25_answers_with_certain_scopes_are_never_kept() {
    let mut world = ready(json!({"cache": {"noCacheScopes": ["admin", "pay"]}}));
    let admin = world.opaque_with(|answer| {
        answer.set("scope", json!("read admin"));
    });
    let plain = world.opaque();
    for _ in 0..3 {
        assert_eq!(code(world.check(&admin)), "accepted");
        assert_eq!(code(world.check(&plain)), "accepted");
    }
    assert_eq!(world.net.count(Purpose::Introspection), 4);
    world.idp().opaque.clear();
    assert_eq!(code(world.check(&admin)), "token_inactive");
    assert_eq!(code(world.check(&plain)), "accepted");
}

#[test]
fn int_26_a_flood_of_invented_tokens_pushes_out_no_good_answer() {
    let mut world = ready(json!({"cache": {"maxEntries": 10}}));
    let good: Vec<_> = (0..10).map(|_| world.opaque()).collect();
    for token in &good {
        assert_eq!(code(world.check(token)), "accepted");
    }
    for number in 0..1000 {
        assert_eq!(
            code(world.check(&format!("invented-{number}"))),
            "token_inactive"
        );
    }
    world.net.clear();
    for token in &good {
        assert_eq!(code(world.check(token)), "accepted");
    }
    assert!(world.net.sent.is_empty());
    // The last ones are remembered, each for itself; the bound is in the text of the cache.
    assert_eq!(code(world.check("invented-999")), "token_inactive");
    assert!(world.net.sent.is_empty());
    assert!(format!("{:?}", world.guard).contains("Cache(10 entries)"));
}

#[test]
fn what_is_no_good_here_is_remembered_apart_too() {
    let mut world = ready(json!({}));
    let other = world.opaque_with(|answer| {
        answer.set("aud", json!("other"));
    });
    let early = world.opaque_with(|answer| {
        answer.set("nbf", 1_800_000_040);
    });
    for _ in 0..3 {
        assert_eq!(code(world.check(&other)), "audience_mismatch");
    }
    assert_eq!(world.net.count(Purpose::Introspection), 1);
    // What waiting makes good is asked about again.
    assert_eq!(code(world.check(&early)), "token_not_active");
    world.net.pass(11);
    assert_eq!(code(world.check(&early)), "accepted");
}

#[test]
fn a_token_that_was_good_and_is_revoked_is_refused_at_once_when_that_is_known() {
    let mut world = ready(json!({}));
    let token = world.opaque();
    let (mut first, request) = begin(&mut world, &token);
    let (mut second, again) = begin(&mut world, &token);
    let early = world.net.answer(&request.unwrap());
    world.idp().opaque.clear();
    let late = world.net.answer(&again.unwrap());
    assert!(end(&mut world, &mut first, early).is_ok());
    assert_eq!(
        end(&mut world, &mut second, late).unwrap_err(),
        "token_inactive"
    );
    world.net.clear();
    assert_eq!(code(world.check(&token)), "token_inactive");
    assert!(world.net.sent.is_empty());
}

#[test]
fn int_27_no_more_than_sixteen_questions_are_under_way() {
    let mut world = ready(json!({}));
    let mut under_way: Vec<_> = (0..16)
        .map(|number| {
            let (flow, request) = begin(&mut world, &format!("invented-{number}"));
            (flow, request.unwrap())
        })
        .collect();
    let token = world.opaque();
    assert_eq!(
        begin(&mut world, &token).1.err(),
        Some("introspection_busy")
    );
    let refusal = world.refusal(&token);
    assert_eq!((refusal.status(), refusal.challenge()), (503, None));
    assert_eq!(refusal.retry_after(), Some(1));
    assert!(refusal.error().retryable());
    // One that ends makes room for one.
    let (mut flow, request) = under_way.pop().unwrap();
    let answer = world.net.answer(&request);
    assert_eq!(
        end(&mut world, &mut flow, answer).unwrap_err(),
        "token_inactive"
    );
    assert_eq!(code(world.check(&token)), "accepted");
    // What is known needs no room.
    let (_dropped, request) = begin(&mut world, "one-more");
    assert!(request.is_ok());
    assert_eq!(code(world.check(&token)), "accepted");
}

#[test]
fn int_27_requests_that_were_dropped_keep_no_place() {
    let mut world = ready(json!({"concurrency": 2}));
    for number in 0..2 {
        let (dropped, request) = begin(&mut world, &format!("invented-{number}"));
        assert!(request.is_ok());
        drop(dropped);
    }
    let token = world.opaque();
    assert_eq!(code(world.check(&token)), "introspection_busy");
    world.net.pass(11);
    assert_eq!(code(world.check(&token)), "accepted");
}

#[test]
fn int_27_a_provider_that_is_down_is_left_alone_for_a_while() {
    let mut world = ready(json!({}));
    let token = world.opaque();
    let good = world.opaque();
    world.check(&good).unwrap();
    world.net.clear();
    world
        .idp()
        .always(Purpose::Introspection, Reply::none(Unreachable::Timeout));
    for _ in 0..1000 {
        let refusal = world.refusal(&token);
        assert_eq!(refusal.error().code(), "upstream_timeout");
        assert_eq!((refusal.status(), refusal.retry_after()), (503, Some(1)));
    }
    assert_eq!(world.net.count(Purpose::Introspection), 3);
    let alerts = world.guard.take_alerts();
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0].code(), "upstream_timeout");
    // What is known serves on.
    assert_eq!(code(world.check(&good)), "accepted");
    // One question after each pause, which grows.
    world.net.pass(1);
    for _ in 0..10 {
        assert_eq!(world.refusal(&token).retry_after(), Some(2));
    }
    assert_eq!(world.net.count(Purpose::Introspection), 4);
    world.idp().recover(Purpose::Introspection);
    world.net.pass(2);
    assert_eq!(code(world.check(&token)), "accepted");
    world
        .idp()
        .reply(Purpose::Introspection, Reply::status(500));
    let other = world.opaque();
    assert_eq!(code(world.check(&other)), "upstream_status");
    assert_eq!(code(world.check(&other)), "accepted");
}

#[test]
fn int_31_each_request_gets_the_answer_to_its_own_question() {
    let mut world = ready(json!({}));
    let ada = world.opaque_with(|answer| {
        answer.set("sub", json!("ada"));
    });
    let bob = world.opaque_with(|answer| {
        answer.set("sub", json!("bob"));
    });
    // Asked in one order, answered in the other.
    let (mut first, for_ada) = begin(&mut world, &ada);
    let (mut second, for_bob) = begin(&mut world, &bob);
    let (mut third, again) = begin(&mut world, &ada);
    let bobs = world.net.answer(&for_bob.unwrap());
    let adas = world.net.answer(&for_ada.unwrap());
    let adas_again = world.net.answer(&again.unwrap());
    assert_eq!(
        end(&mut world, &mut second, bobs).unwrap().subject(),
        Some("bob")
    );
    assert_eq!(
        end(&mut world, &mut third, adas_again).unwrap().subject(),
        Some("ada")
    );
    assert_eq!(
        end(&mut world, &mut first, adas).unwrap().subject(),
        Some("ada")
    );
    for (token, subject) in [(&ada, "ada"), (&bob, "bob")] {
        assert_eq!(world.check(token).unwrap().subject(), Some(subject));
    }
    assert_eq!(world.net.count(Purpose::Introspection), 3);
}

#[test]
fn the_tally_counts_questions_and_what_needed_none() {
    let mut world = GuardWorld::introspecting(json!({}));
    world.net.latency = Lifetime::from_millis(40);
    let token = world.opaque();
    world.check(&token).unwrap();
    world.check(&token).unwrap();
    let _ = world.check("invented");
    let _ = world.check("invented");
    world
        .idp()
        .reply(Purpose::Introspection, Reply::status(500));
    let _ = world.check("another");
    let mut tally: Value = serde_json::from_str(&world.guard.tally_json()).unwrap();
    assert_eq!(tally["keys"]["fetched"], 0);
    tally.as_object_mut().unwrap().remove("keys");
    assert_eq!(
        tally,
        json!({
            "accepted": 2,
            "token_inactive": 2,
            "upstream_status": 1,
            "introspection": {
                "asked": 3, "failed": 1, "cached": 1, "cachedRefusals": 1, "durationMs": 120,
            },
        })
    );
}

#[test]
fn an_event_that_does_not_fit_is_an_error() {
    let mut world = ready(json!({}));
    let token = world.opaque();
    let (mut flow, request) = begin(&mut world, &token);
    assert!(request.is_ok());
    assert_eq!(
        end(&mut world, &mut flow, Event::Signature(true)).unwrap_err(),
        "flow_misused"
    );
    assert_eq!(
        end(&mut world, &mut flow, Event::Start).unwrap_err(),
        "flow_misused"
    );
    // Its place is free again.
    for _ in 0..20 {
        assert_eq!(code(world.check(&token)), "accepted");
    }
}

/// A world in which those who ask at the same time get one answer.
fn sharing(more: Value) -> GuardWorld {
    let mut world = ready(more);
    world.guard = core::mem::replace(&mut world.guard, GuardWorld::new().guard).sharing_answers();
    world
}

#[test]
fn those_who_ask_about_one_token_at_the_same_time_get_one_answer() {
    let mut world = sharing(json!({}));
    let (token, other) = (world.opaque(), "another-opaque-token");
    let (mut first, asked) = begin(&mut world, &token);
    let asked = asked.unwrap();
    let name = asked.shared_as.clone().unwrap();
    assert!(!name.contains(&token));
    let mut followers: Vec<_> = (0..100).map(|_| begin(&mut world, &token)).collect();
    for (_, request) in &followers {
        assert_eq!(request.as_ref().unwrap().shared_as.as_ref(), Some(&name));
    }
    // Another token has its own name, and there is a place for it.
    let (_, request) = begin(&mut world, other);
    assert_ne!(request.unwrap().shared_as, Some(name));
    let event = world.net.answer(&asked);
    let Event::Answer(response) = event else {
        panic!("an answer")
    };
    assert!(end(&mut world, &mut first, Event::Answer(response.clone())).is_ok());
    for (flow, _) in &mut followers {
        assert!(end(&mut world, flow, Event::Answer(response.clone())).is_ok());
    }
    let tally = world.guard.introspection_tally().unwrap();
    // The token, the other one and the warm-up.
    assert_eq!((tally.asked(), tally.failed()), (3, 0));
    assert_eq!(code(world.check(&token)), "accepted");
    assert_eq!(world.guard.introspection_tally().unwrap().cached(), 1);
}

#[test]
fn one_lost_answer_is_one_failure_however_many_waited_for_it() {
    let mut world = sharing(json!({}));
    let token = world.opaque();
    let (mut first, _) = begin(&mut world, &token);
    let mut followers: Vec<_> = (0..100).map(|_| begin(&mut world, &token).0).collect();
    let lost = || Event::Unreachable(Unreachable::Timeout);
    assert_eq!(
        end(&mut world, &mut first, lost()).unwrap_err(),
        "upstream_timeout"
    );
    for flow in &mut followers {
        assert_eq!(
            end(&mut world, flow, lost()).unwrap_err(),
            "upstream_timeout"
        );
    }
    assert_eq!(world.guard.introspection_tally().unwrap().failed(), 1);
    assert_eq!(code(world.check(&token)), "accepted");
}

#[test]
fn who_comes_after_the_answer_asks_anew() {
    let mut world = sharing(json!({"userinfo": true}));
    let token = world.opaque_with(|answer| {
        answer.set("scope", json!("openid read"));
    });
    let (mut first, asked) = begin(&mut world, &token);
    let event = world.net.answer(&asked.unwrap());
    let step = world.net.step(&mut first, &mut world.guard, event);
    let Ok(Step::Send(user)) = step else {
        panic!("the user is asked for")
    };
    assert_eq!(user.purpose, Purpose::UserInfo);
    let (_, second) = begin(&mut world, &token);
    assert!(second.is_ok());
    assert_eq!(world.guard.introspection_tally().unwrap().asked(), 3);
}

#[test]
fn where_answers_are_not_remembered_each_asks_for_itself() {
    let no_cache = json!({"cache": {"noCacheScopes": "pay"}, "concurrency": 1});
    let mut world = sharing(no_cache);
    let token = world.opaque();
    assert_eq!(begin(&mut world, &token).1.unwrap().shared_as, None);
    let mut world = sharing(json!({"cache": {"ttl": 0}, "concurrency": 1}));
    let token = world.opaque();
    let (_first, asked) = begin(&mut world, &token);
    assert_eq!(asked.unwrap().shared_as, None);
    let (_, second) = begin(&mut world, &token);
    assert_eq!(second.err(), Some("introspection_busy"));
}
