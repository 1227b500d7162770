//! What many, large, interrupted and misleading inputs do to a guard: nothing.

use gatepass::flow::{Event, Step};
use gatepass::guard::{BearerToken, Check, Need};
use gatepass::http::Purpose;
use serde_json::{Value, json};

use crate::support::{GuardWorld, Reply};

#[test]
fn net_38_the_date_of_an_answer_sets_no_clock() {
    let mut world = GuardWorld::new();
    let keys = Reply::json(world.idp().jwks());
    let keys = keys.with_header("date", "Fri, 01 Jan 2100 00:00:00 GMT");
    world.idp().always(Purpose::Keys, keys);
    let metadata = Reply::json(&world.idp().metadata);
    let metadata = metadata.with_header("date", "Thu, 01 Jan 1970 00:00:00 GMT");
    world.idp().always(Purpose::Discovery, metadata);
    let good = world.good();
    assert_eq!(world.code(&good), "accepted");
    world.net.pass(331);
    assert_eq!(world.code(&good), "token_expired");
}

#[test]
fn net_41_no_address_that_a_token_names_is_asked() {
    for issuer in [
        "https://169.254.169.254",
        "https://2852039166",
        "https://[::1]",
        "https://10.0.0.1",
        "https://as.example@10.0.0.1",
        "http://localhost",
    ] {
        let mut world = GuardWorld::new();
        let token = world.edited(|token| {
            token.claims.set("iss", json!(issuer));
            token.header.set("jku", json!("https://10.0.0.1/keys"));
        });
        assert_eq!(world.code(&token), "issuer_mismatch", "{issuer}");
        assert!(world.net.sent.is_empty());
    }
}

#[test]
fn cch_09_each_of_a_thousand_issuers_is_found_by_its_own_name() {
    let issuers: Vec<String> = (0..1000)
        .map(|index| format!("https://as{index}.example"))
        .collect();
    let mut world = GuardWorld::with(json!({"issuer": issuers}));
    for index in [0, 1, 9, 10, 499, 500, 998, 999] {
        let idp = &world.net.idps[index];
        let token = idp.access_token(world.net.now).sign(idp.key());
        let principal = world.check(&token).unwrap();
        assert_eq!(principal.issuer(), issuers[index]);
    }
    for issuer in [
        "https://as1000.example",
        "https://as1.example/",
        "https://as",
        "",
    ] {
        let token = world.edited(|token| {
            token.claims.set("iss", json!(issuer));
        });
        assert_ne!(world.code(&token), "accepted", "{issuer}");
    }
    // Metadata and keys of eight, and of no other.
    assert_eq!(world.net.sent.len(), 16);
}

#[test]
fn cch_12_what_is_too_large_is_refused_before_it_is_looked_up() {
    let mut world = GuardWorld::new();
    let large = "x".repeat(100_000);
    for (edit, code) in [
        (json!({"kid": large}), "token_too_large"),
        (
            json!({"iss": format!("https://{large}")}),
            "token_too_large",
        ),
        (json!({"scope": "a ".repeat(5_000)}), "accepted"),
        (json!({"scope": "a ".repeat(10_000)}), "token_too_large"),
    ] {
        let token = world.edited(|token| {
            for (name, value) in edit.as_object().unwrap() {
                let members = match name.as_str() {
                    "kid" => &mut token.header,
                    _ => &mut token.claims,
                };
                members.set(name, value);
            }
        });
        let before = world.net.sent.len();
        assert_eq!(world.code(&token), code);
        assert!(code == "accepted" || world.net.sent.len() == before);
    }
}

/// A check of this token, begun, and the step at which it waits.
fn begun(world: &mut GuardWorld, token: &str) -> Check {
    let mut flow = Check::new(&world.guard, Ok(BearerToken::new(token)), &Need::nothing());
    let step = world.net.step(&mut flow, &mut world.guard, Event::Start);
    assert!(matches!(step, Ok(Step::Send(_) | Step::Verify(_))));
    flow
}

#[test]
fn wsm_11_a_check_that_is_given_up_leaves_nothing_behind() {
    // While metadata is fetched, while keys are fetched, while a signature is checked.
    for rounds in 0..3 {
        let mut world = GuardWorld::new();
        let token = world.good();
        let mut flow = Check::new(&world.guard, Ok(BearerToken::new(&token)), &Need::nothing());
        let mut event = Event::Start;
        for _ in 0..=rounds {
            event = match world.net.step(&mut flow, &mut world.guard, event) {
                Ok(Step::Send(request)) => world.net.answer(&request),
                Ok(Step::Verify(_)) => break,
                _ => panic!("it waits"),
            };
        }
        drop(flow);
        assert_eq!(world.code(&token), "accepted", "{rounds}");
    }
    // Questions that nobody waits for any more free their places.
    let mut world = GuardWorld::introspecting(json!({"concurrency": 1}));
    let token = world.opaque();
    drop(begun(&mut world, &token));
    world.net.pass(60);
    assert_eq!(world.code(&token), "accepted");
}

#[test]
fn wsm_10_checks_that_overlap_do_not_disturb_each_other() {
    let mut world = GuardWorld::new();
    let tokens: Vec<String> = (0..10)
        .map(|index| {
            world.edited(|token| {
                token.claims.set("sub", json!(format!("user-{index}")));
            })
        })
        .collect();
    let mut flows: Vec<(Check, Event)> = tokens
        .iter()
        .map(|token| {
            let token = Ok(BearerToken::new(token));
            let flow = Check::new(&world.guard, token, &Need::nothing());
            (flow, Event::Start)
        })
        .collect();
    let mut subjects: Vec<Value> = Vec::new();
    // One step of each in turn, until all are done.
    while !flows.is_empty() {
        let mut waiting = Vec::new();
        for (mut flow, event) in flows {
            match world.net.step(&mut flow, &mut world.guard, event) {
                Ok(Step::Send(request)) => {
                    let event = world.net.answer(&request);
                    waiting.push((flow, event));
                }
                Ok(Step::Verify(check)) => {
                    let fits = gatepass::jose::rust_crypto::verify(&check);
                    waiting.push((flow, Event::Signature(fits)));
                }
                Ok(Step::Done(principal)) => subjects.push(json!(principal.subject())),
                _ => panic!("a check of a good token"),
            }
        }
        flows = waiting;
    }
    let expected: Vec<Value> = (0..10)
        .map(|index| json!(format!("user-{index}")))
        .collect();
    assert_eq!(subjects, expected);
}
