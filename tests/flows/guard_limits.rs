//! What many, large, interrupted and misleading inputs do to a guard: nothing.

use gatepass::flow::{Event, Step};
use gatepass::guard::{BearerToken, Check, Guard, Need};
use gatepass::http::Purpose;
use serde_json::{Value, json};

use crate::support::{GuardWorld, Key, Reply, options};

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

/// What becomes of a token with a claim like this, and of its header with so many letters more.
fn with_limits(limits: Value, claim: Value, letters: usize) -> &'static str {
    let mut world = GuardWorld::with(json!({"limits": limits}));
    let token = world.edited(|token| {
        token.claims.set("x", claim);
        token.header.set("x", json!("x".repeat(letters)));
    });
    world.code(&token)
}

#[test]
fn a_token_may_be_larger_or_smaller_than_usual_where_the_program_says_so() {
    let long = |length: usize| json!("x".repeat(length));
    let code = |limits: Value, length: usize| with_limits(limits, long(length), 0);
    assert_eq!(code(json!({"maxTokenBytes": 65_536}), 40_000), "accepted");
    assert_eq!(
        code(json!({"maxTokenBytes": 65_536}), 60_000),
        "token_too_large"
    );
    assert_eq!(code(json!({"maxTokenBytes": 2048}), 400), "accepted");
    assert_eq!(
        code(json!({"maxTokenBytes": 2048}), 2000),
        "token_too_large"
    );
    assert_eq!(code(json!({}), 40_000), "token_too_large");
}

#[test]
fn a_header_may_be_larger_or_smaller_than_usual_where_the_program_says_so() {
    let code = |limits: Value, letters: usize| with_limits(limits, json!(1), letters);
    assert_eq!(code(json!({}), 4000), "token_too_large");
    assert_eq!(code(json!({"maxHeaderBytes": 8192}), 4000), "accepted");
    assert_eq!(code(json!({"maxHeaderBytes": 256}), 300), "token_too_large");
    assert_eq!(code(json!({"maxHeaderBytes": 256}), 10), "accepted");
}

#[test]
fn a_token_may_be_nested_deeper_or_less_than_usual_where_the_program_says_so() {
    let nested = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!([inner]));
    let code = |limits: Value, depth: usize| with_limits(limits, nested(depth), 0);
    // The claims set itself is one level.
    assert_eq!(code(json!({"maxJsonDepth": 128}), 127), "accepted");
    assert_eq!(code(json!({"maxJsonDepth": 128}), 128), "token_malformed");
    assert_eq!(code(json!({"maxJsonDepth": 4}), 3), "accepted");
    assert_eq!(code(json!({"maxJsonDepth": 4}), 4), "token_malformed");
    assert_eq!(code(json!({}), 64), "token_malformed");
}

#[test]
fn answers_may_be_larger_or_smaller_than_usual_where_the_program_says_so() {
    let code = |limits: Value, purpose: Purpose, bytes: usize| {
        let mut world = GuardWorld::with(json!({"limits": limits}));
        let good = world.good();
        let mut body = match purpose {
            Purpose::Keys => world.idp().jwks(),
            _ => world.idp().metadata.clone(),
        };
        body["x"] = json!("x".repeat(bytes));
        world.idp().always(purpose, Reply::json(body));
        world.code(&good)
    };
    let (keys, metadata) = (Purpose::Keys, Purpose::Discovery);
    const KIB: usize = 1024;
    assert_eq!(code(json!({}), keys, 511 * KIB), "accepted");
    assert_eq!(code(json!({}), keys, 512 * KIB), "response_too_large");
    assert_eq!(
        code(json!({"maxKeySetBytes": 1024 * KIB}), keys, 512 * KIB),
        "accepted"
    );
    assert_eq!(
        code(json!({"maxKeySetBytes": KIB}), keys, KIB),
        "response_too_large"
    );
    assert_eq!(code(json!({}), metadata, 1023 * KIB), "accepted");
    assert_eq!(code(json!({}), metadata, 1024 * KIB), "response_too_large");
    assert_eq!(
        code(
            json!({"maxMetadataBytes": 2048 * KIB}),
            metadata,
            1024 * KIB
        ),
        "accepted"
    );
    assert_eq!(
        code(json!({"maxMetadataBytes": KIB}), metadata, KIB),
        "response_too_large"
    );
}

#[test]
fn a_set_may_have_more_or_fewer_keys_than_usual_where_the_program_says_so() {
    let code = |limits: Value, count: usize| {
        let mut world = GuardWorld::with(json!({"limits": limits}));
        let good = world.good();
        let mut keys = vec![json!({"kty": "FOO"}); count - 1];
        keys.push(Key::new("k1", "ES256", 7).jwk());
        let reply = Reply::json(json!({"keys": keys}));
        world.idp().always(Purpose::Keys, reply);
        world.code(&good)
    };
    assert_eq!(code(json!({}), 101), "jwks_invalid");
    assert_eq!(code(json!({"maxKeys": 1000}), 1000), "accepted");
    assert_eq!(code(json!({"maxKeys": 1000}), 1001), "jwks_invalid");
    assert_eq!(code(json!({"maxKeys": 1}), 1), "accepted");
    assert_eq!(code(json!({"maxKeys": 1}), 2), "jwks_invalid");
}

#[test]
fn an_answer_about_a_token_may_be_larger_or_smaller_than_usual_where_the_program_says_so() {
    let code = |limits: Value, bytes: usize| {
        let mut world = GuardWorld::with(json!({
            "limits": limits,
            "introspection": {"clientId": "api", "clientSecret": "secret"},
        }));
        let answer = json!({"active": true, "sub": "alice", "aud": "api",
            "x": "x".repeat(bytes)});
        world
            .idp()
            .always(Purpose::Introspection, Reply::json(answer));
        world.code("opaque")
    };
    assert_eq!(code(json!({}), 1023 * 1024), "accepted");
    assert_eq!(code(json!({}), 1024 * 1024), "response_too_large");
    assert_eq!(
        code(json!({"maxAnswerBytes": 2_097_152}), 1024 * 1024),
        "accepted"
    );
    assert_eq!(
        code(json!({"maxAnswerBytes": 1024}), 1024),
        "response_too_large"
    );
    // A token that nobody may send is not asked about.
    let limits = json!({"maxTokenBytes": 1024});
    let mut world = GuardWorld::with(json!({
        "limits": limits,
        "introspection": {"clientId": "api", "clientSecret": "secret"},
    }));
    assert_eq!(world.code(&"x".repeat(1025)), "token_too_large");
    assert!(world.net.sent.is_empty());
}

#[test]
fn a_limit_out_of_its_range_is_config_invalid_by_its_name() {
    for (name, least, most) in [
        ("maxTokenBytes", 1024, 65_536),
        ("maxHeaderBytes", 256, 16_384),
        ("maxJsonDepth", 4, 128),
        ("maxKeys", 1, 1000),
        ("maxKeySetBytes", 1024, 4_194_304),
        ("maxMetadataBytes", 1024, 4_194_304),
        ("maxAnswerBytes", 1024, 4_194_304),
    ] {
        let code = |value: Value| {
            let given = json!({
                "issuer": "https://as.example",
                "audience": "https://api.example",
                "limits": {name: value},
            });
            match Guard::from_options(&options(&given)) {
                Ok(_) => ("accepted", String::new()),
                Err(error) => (error.code(), error.at().to_owned()),
            }
        };
        for value in [json!(least), json!(most)] {
            assert_eq!(code(value).0, "accepted", "{name}");
        }
        for value in [
            json!(least - 1),
            json!(most + 1),
            json!(-1),
            json!("9"),
            json!(5000.5),
        ] {
            assert_eq!(code(value), ("config_invalid", name.to_owned()), "{name}");
        }
    }
    for limits in [json!({"maxBytes": 2048}), json!(5000), json!(null)] {
        let given = json!({
            "issuer": "https://as.example",
            "audience": "https://api.example",
            "limits": limits,
        });
        let error = Guard::from_options(&options(&given)).unwrap_err();
        assert_eq!(error.code(), "config_invalid");
    }
}
