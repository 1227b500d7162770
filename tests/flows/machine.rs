//! Tokens for machines: client credentials, token exchange, JWT bearer, refresh tokens.

use gatepass::client::machine::{Grant, GrantRequest};
use gatepass::error::Phase;
use gatepass::flow::{Event, Flow as _, Step};
use gatepass::http::{Purpose, Unreachable};
use gatepass::time::Lifetime;
use serde_json::{Value, json};

use crate::support::{Reply, World, code, code_at, options};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const TYPE: &str = "urn:ietf:params:oauth:token-type:";

fn refusal(error: &str) -> Reply {
    Reply::json(json!({"error": error})).with_status(400)
}

fn exchange(world: &World, more: Value) -> Result<Grant, gatepass::Error> {
    let mut given = json!({"subjectToken": "subject-S3CRET", "subjectTokenType": "access_token"});
    for (name, value) in more.as_object().unwrap() {
        given[name] = value.clone();
    }
    Grant::token_exchange(&options(&given), &world.client)
}

/// What token exchange gives for this answer.
fn exchanged(world: &mut World, given: Value, answer: Value) -> (&'static str, String) {
    let grant = exchange(world, given).unwrap();
    world.idp().reply(Purpose::Token, Reply::json(answer));
    code_at(world.tokens_of(grant))
}

#[test]
fn the_request_is_a_form_with_exactly_these_fields() {
    let mut world = World::with(json!({"scope": "a b", "resource": ["https://api.example/"]}));
    world.granted(json!({})).unwrap();
    let sent = world.net.sent.last().unwrap();
    assert_eq!(sent.accept, "application/json");
    assert_eq!(
        sent.body.as_deref(),
        Some(
            "grant_type=client_credentials&resource=https%3A%2F%2Fapi.example%2F&scope=a+b&client_id=spa"
        )
    );
    // The scope of a user's sign-in is not asked for where nobody gave one.
    let mut world = World::new();
    world
        .granted(json!({"audience": ["x", "y"], "params": {"tenant": "t"}}))
        .unwrap();
    assert_eq!(
        world.net.sent.last().unwrap().body.as_deref(),
        Some("grant_type=client_credentials&audience=x&audience=y&tenant=t&client_id=spa")
    );
}

#[test]
fn rfr_23_a_token_is_kept_until_its_end_is_near() {
    let mut world = World::new();
    let first = world.granted(json!({})).unwrap();
    // 300 seconds less 60.
    world.net.pass(239);
    assert_eq!(world.granted(json!({})).unwrap(), first);
    assert_eq!(world.net.count(Purpose::Token), 1);
    world.net.pass(1);
    assert_ne!(world.granted(json!({})).unwrap(), first);
    assert_eq!(world.net.count(Purpose::Token), 2);
}

#[test]
fn rfr_22_a_short_life_is_used_to_its_half() {
    let mut world = World::new();
    world.idp().edit_response = Some(Box::new(|response| {
        response.set("expires_in", 10);
    }));
    let first = world.granted(json!({})).unwrap();
    world.net.pass(4);
    assert_eq!(world.granted(json!({})).unwrap(), first);
    world.net.pass(1);
    assert_ne!(world.granted(json!({})).unwrap(), first);
}

#[test]
fn tok_22_a_token_that_is_over_at_once_is_asked_for_at_each_use_and_not_more() {
    let mut world = World::new();
    world.idp().edit_response = Some(Box::new(|response| {
        response.set("expires_in", 0);
    }));
    let grant = Grant::client_credentials(&options(&json!({})), &world.client).unwrap();
    let mut flow = GrantRequest::new(grant.clone(), [1; 32]);
    world.net.run(&mut flow, &mut world.client).unwrap();
    assert!(world.client.granted(&grant, world.net.now).is_none());
    assert_eq!(world.net.count(Purpose::Token), 1);
}

#[test]
fn tok_25_a_token_without_a_known_end_is_used_until_it_is_refused() {
    let mut world = World::new();
    world.idp().edit_response = Some(Box::new(|response| {
        response.remove("expires_in");
    }));
    let first = world.granted(json!({})).unwrap();
    world.net.pass(100_000);
    assert_eq!(world.granted(json!({})).unwrap(), first);
    let grant = Grant::client_credentials(&options(&json!({})), &world.client).unwrap();
    // Of another token it says nothing.
    world.client.refused(&grant, "another");
    assert_eq!(world.granted(json!({})).unwrap(), first);
    world.client.refused(&grant, &first);
    assert_ne!(world.granted(json!({})).unwrap(), first);
}

#[test]
fn rfr_20_a_clock_that_is_set_back_does_not_prolong_a_life() {
    let mut world = World::new();
    let first = world.granted(json!({})).unwrap();
    // As far as clocks may differ.
    world.net.set_back(30);
    assert_eq!(world.granted(json!({})).unwrap(), first);
    // Beyond it nobody knows how old the token is: not while the provider is away either.
    world.net.set_back(86_400);
    let grant = Grant::client_credentials(&options(&json!({})), &world.client).unwrap();
    assert!(world.client.granted(&grant, world.net.now).is_none());
    assert!(world.client.granted_alive(&grant, world.net.now).is_none());
    let second = world.granted(json!({})).unwrap();
    assert_ne!(second, first);
    assert_eq!(world.granted(json!({})).unwrap(), second);
}

#[test]
fn rfr_17_each_scope_audience_and_resource_has_a_token_of_its_own() {
    let mut world = World::new();
    let first = world.granted(json!({"scope": "a b"})).unwrap();
    // A set has no order.
    assert_eq!(world.granted(json!({"scope": "b a"})).unwrap(), first);
    let mut seen = vec![first];
    for other in [
        json!({}),
        json!({"scope": "a"}),
        json!({"scope": "a b c"}),
        json!({"scope": "a b", "audience": "x"}),
        json!({"scope": "a b", "resource": "https://api.example"}),
        json!({"scope": "a b", "params": {"audience2": "x"}}),
    ] {
        let token = world.granted(other.clone()).unwrap();
        assert!(!seen.contains(&token), "{other}");
        seen.push(token);
    }
    assert_eq!(world.net.count(Purpose::Token), seen.len());
}

#[test]
fn rfr_17_servers_and_clients_have_keys_of_their_own() {
    let key = |given: Value| {
        let world = World::with(given);
        let grant = Grant::client_credentials(&options(&json!({})), &world.client).unwrap();
        grant.key().to_owned()
    };
    let usual = key(json!({}));
    assert_ne!(usual, key(json!({"clientId": "other"})));
    assert_ne!(usual, key(json!({"issuer": "https://other.example"})));
}

#[test]
fn a_flood_of_scopes_does_not_fill_the_memory() {
    // Stepped by hand: looking through everything printed for hundreds of tokens takes a minute.
    let metadata =
        json!({"issuer": "https://as.example", "token_endpoint": "https://as.example/t"});
    let mut world = World::with(json!({"issuer": metadata}));
    let now = world.net.now;
    let grant = |world: &World, number: i32| {
        let given = json!({"scope": format!("s{number}")});
        Grant::client_credentials(&options(&given), &world.client).unwrap()
    };
    for number in 0..=256 {
        let mut flow = GrantRequest::new(grant(&world, number), [1; 32]);
        let step = flow.step(&mut world.client, now, Event::Start);
        let Ok(Step::Send(request)) = step else {
            panic!("{step:?}");
        };
        let body = json!({"access_token": format!("t{number}"), "token_type": "Bearer"});
        let answer = Reply::json(body).into_answer(&request).unwrap();
        let step = flow.step(&mut world.client, now, Event::Answer(answer));
        assert!(matches!(step, Ok(Step::Done(None))));
    }
    // The oldest made room.
    assert!(world.client.granted(&grant(&world, 0), now).is_none());
    for number in 1..=256 {
        assert!(world.client.granted(&grant(&world, number), now).is_some());
    }
}

#[test]
fn a_refresh_token_that_should_not_be_there_is_not_kept() {
    let mut world = World::new();
    world.idp().edit_response = Some(Box::new(|response| {
        response.set("refresh_token", json!("refresh-S3CRET-of-a-machine"));
    }));
    world.granted(json!({})).unwrap();
    world.net.keep_secret("refresh-S3CRET-of-a-machine");
    assert_eq!(world.net.sent.len(), 2);
}

#[test]
fn tok_10_429_and_5xx_are_tried_twice_more_after_pauses_that_grow() {
    for status in [429, 500, 502, 503, 504] {
        let mut world = World::new();
        for _ in 0..2 {
            world.idp().reply(Purpose::Token, Reply::status(status));
        }
        assert!(world.granted(json!({})).is_ok(), "{status}");
        let pauses: Vec<_> = world.net.slept.iter().map(|pause| pause.millis()).collect();
        assert!((500..1000).contains(&pauses[0]), "{pauses:?}");
        assert!((1000..2000).contains(&pauses[1]), "{pauses:?}");

        // Some say the same in the words of OAuth.
        let mut world = World::new();
        let words = Reply::json(json!({"error": "temporarily_unavailable"})).with_status(status);
        world.idp().always(Purpose::Token, words);
        let error = world.granted(json!({})).unwrap_err();
        assert_eq!(error.code(), "server_error_response");
        assert!(error.retryable());
        assert_eq!(world.net.count(Purpose::Token), 3);

        let mut world = World::new();
        world.idp().always(Purpose::Token, Reply::status(status));
        let error = world.granted(json!({})).unwrap_err();
        assert_eq!(error.code(), "upstream_status");
        assert!(error.retryable());
        assert_eq!(error.phase(), Some(Phase::Exchange));
        assert_eq!(world.net.count(Purpose::Token), 3);
    }
}

#[test]
fn pauses_are_spread() {
    let mut pauses = Vec::new();
    let mut world = World::new();
    for number in 0..10 {
        world.idp().reply(Purpose::Token, Reply::status(503));
        world
            .granted(json!({"scope": format!("s{number}")}))
            .unwrap();
        pauses.push(world.net.slept.pop().unwrap().millis());
    }
    pauses.sort_unstable();
    pauses.dedup();
    assert!(pauses.len() > 7, "{pauses:?}");
}

#[test]
fn a_network_that_fails_is_tried_again_and_what_answers_wrong_is_not() {
    for cause in [Unreachable::Network, Unreachable::Timeout] {
        let mut world = World::new();
        world.idp().reply(Purpose::Token, Reply::none(cause));
        world.idp().reply(Purpose::Discovery, Reply::none(cause));
        assert!(world.granted(json!({})).is_ok());
        assert_eq!(world.net.slept.len(), 2);
    }
    for (reply, expected) in [
        (Reply::none(Unreachable::Redirected), "redirect_refused"),
        (Reply::none(Unreachable::TooLarge), "response_too_large"),
        (
            refusal("invalid_client").with_status(401),
            "server_error_response",
        ),
        (refusal("invalid_scope"), "server_error_response"),
        (Reply::status(404), "upstream_status"),
        (Reply::html(), "response_malformed"),
    ] {
        let mut world = World::new();
        world.idp().always(Purpose::Token, reply);
        assert_eq!(code(world.granted(json!({}))), expected);
        assert_eq!(world.net.count(Purpose::Token), 1);
        assert!(world.net.slept.is_empty());
    }
}

#[test]
fn tok_10_retry_after_is_honoured_where_the_metadata_cannot_be_had() {
    let busy = |status, seconds| Reply::status(status).with_header("retry-after", seconds);
    let mut world = World::new();
    world.idp().reply(Purpose::Discovery, busy(429, "3"));
    assert!(world.granted(json!({})).is_ok());
    assert_eq!(world.net.slept[0].whole_seconds(), 3);
    // Longer than anybody waits: it is told.
    let mut world = World::new();
    world.idp().always(Purpose::Discovery, busy(503, "60"));
    let error = world.granted(json!({})).unwrap_err();
    assert!(error.retryable());
    assert_eq!(error.details().unwrap().retry_after, Some(60));
    assert!(world.net.slept.is_empty());
}

#[test]
fn tok_10_retry_after_is_honoured_within_bounds() {
    let after = |value: &str| {
        let mut world = World::new();
        let reply = Reply::status(429).with_header("retry-after", value);
        world.idp().reply(Purpose::Token, reply);
        let outcome = world.granted(json!({}));
        let waited = world
            .net
            .slept
            .first()
            .copied()
            .map(Lifetime::whole_seconds);
        let error = outcome.err();
        let told = error.and_then(|error| error.details().unwrap().retry_after);
        (waited, told)
    };
    assert_eq!(after("7"), (Some(7), None));
    assert_eq!(after("30"), (Some(30), None));
    // Longer is for the program to decide, which is told no more than a day.
    assert_eq!(after("31"), (None, Some(31)));
    assert_eq!(after("1000000000"), (None, Some(86_400)));
    assert_eq!(after("99999999999999999999"), (None, Some(86_400)));
    // 2027-01-15T08:00:00Z is now.
    assert_eq!(after("Fri, 15 Jan 2027 08:00:20 GMT"), (Some(20), None));
    assert_eq!(after("Fri, 15 Jan 2027 09:00:00 GMT"), (None, Some(3600)));
    for nothing in ["-5", "", "soon", "Fri, 15 Jan 2020 08:00:00 GMT", "1.5"] {
        let (waited, told) = after(nothing);
        assert_eq!((waited, told), (Some(1), None), "{nothing}");
    }
}

#[test]
fn tok_11_what_may_be_used_up_is_sent_once() {
    let world = World::new();
    let refresh = json!({"refreshToken": "refresh-S3CRET"});
    let assertion = json!({"assertion": "assertion-S3CRET"});
    let grants = [
        Grant::refresh_token(&options(&refresh), &world.client).unwrap(),
        Grant::jwt_bearer(&options(&assertion), &world.client).unwrap(),
    ];
    for grant in grants {
        for reply in [
            Reply::status(500),
            Reply::status(503).with_header("retry-after", "1"),
            Reply::none(Unreachable::Network),
            Reply::none(Unreachable::Timeout),
        ] {
            let mut world = World::new();
            world.idp().always(Purpose::Token, reply);
            let error = world.tokens_of(grant.clone()).unwrap_err();
            assert!(error.retryable());
            assert_eq!(world.net.count(Purpose::Token), 1);
            assert!(world.net.slept.is_empty());
        }
    }
}

#[test]
fn token_exchange_sends_all_its_parameters() {
    let mut world = World::new();
    let given = json!({
        "actorToken": "actor-S3CRET",
        "actorTokenType": "jwt",
        "requestedTokenType": "access_token",
        "resource": ["https://a.example", "https://b.example"],
        "audience": ["x", "y"],
        "scope": "read",
        "params": {"extra": "1"},
    });
    let grant = exchange(&world, given).unwrap();
    let answer = json!({
        "access_token": "issued-S3CRET",
        "issued_token_type": format!("{TYPE}access_token"),
        "token_type": "Bearer",
        "expires_in": 60,
    });
    world.idp().reply(Purpose::Token, Reply::json(answer));
    let tokens = world.tokens_of(grant).unwrap();
    assert!(tokens.access_token().ct_eq("issued-S3CRET"));
    assert_eq!(tokens.scope(), Some("read"));
    assert_eq!(
        tokens.expires_at().unwrap().seconds(),
        world.net.now.seconds() + 60
    );
    let sent = world.net.sent.last().unwrap().form();
    let sent: Vec<_> = sent
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let (access_token, jwt) = (format!("{TYPE}access_token"), format!("{TYPE}jwt"));
    assert_eq!(
        sent,
        [
            ("grant_type", EXCHANGE),
            ("subject_token", "subject-S3CRET"),
            ("subject_token_type", access_token.as_str()),
            ("actor_token", "actor-S3CRET"),
            ("actor_token_type", jwt.as_str()),
            ("requested_token_type", access_token.as_str()),
            ("resource", "https://a.example"),
            ("resource", "https://b.example"),
            ("audience", "x"),
            ("audience", "y"),
            ("extra", "1"),
            ("scope", "read"),
            ("client_id", "spa"),
        ]
    );
}

#[test]
fn req_39_what_was_issued_is_named_and_is_what_was_asked_for() {
    let mut world = World::new();
    let answer = |issued: Value, token_type: &str| {
        let mut answer = json!({"access_token": "issued-S3CRET", "token_type": token_type});
        if !issued.is_null() {
            answer["issued_token_type"] = issued;
        }
        answer
    };
    let malformed = ("response_malformed", String::from("issued_token_type"));
    let accepted = ("accepted", String::new());
    for (requested, issued, token_type, expected) in [
        (json!({}), Value::Null, "Bearer", &malformed),
        (json!({}), json!(1), "Bearer", &malformed),
        (json!({}), json!(format!("{TYPE}jwt")), "N_A", &accepted),
        (
            json!({}),
            json!(format!("{TYPE}access_token")),
            "Bearer",
            &accepted,
        ),
        (
            json!({"requestedTokenType": "id_token"}),
            json!(format!("{TYPE}id_token")),
            "N_A",
            &accepted,
        ),
        (
            json!({"requestedTokenType": "id_token"}),
            json!(format!("{TYPE}access_token")),
            "Bearer",
            &malformed,
        ),
        (
            json!({"requestedTokenType": "urn:x:y"}),
            json!("urn:x:y"),
            "N_A",
            &accepted,
        ),
    ] {
        let outcome = exchanged(
            &mut world,
            requested.clone(),
            answer(issued.clone(), token_type),
        );
        assert_eq!(outcome, *expected, "{requested} {issued}");
    }
    let mac = answer(json!(format!("{TYPE}jwt")), "mac");
    assert_eq!(
        exchanged(&mut world, json!({}), mac).0,
        "token_type_unsupported"
    );
}

#[test]
fn req_39_types_stand_beside_their_tokens() {
    let world = World::new();
    let outcome = |given: Value| code_at(Grant::token_exchange(&options(&given), &world.client));
    for (given, at) in [
        (json!({"subjectTokenType": "jwt"}), "subjectToken"),
        (json!({"subjectToken": "x"}), "subjectTokenType"),
        (
            json!({"subjectToken": "x", "subjectTokenType": "bearer"}),
            "subjectTokenType",
        ),
        (
            json!({"subjectToken": "x", "subjectTokenType": "jwt", "actorToken": "y"}),
            "actorTokenType",
        ),
        (
            json!({"subjectToken": "x", "subjectTokenType": "jwt", "actorTokenType": "jwt"}),
            "actorToken",
        ),
        (
            json!({"subjectToken": "", "subjectTokenType": "jwt"}),
            "subjectToken",
        ),
        (
            json!({"subjectToken": "x", "subjectTokenType": "jwt", "resource": "api"}),
            "resource",
        ),
        (
            json!({"subjectToken": "x", "subjectTokenType": "jwt", "audiance": "y"}),
            "audiance",
        ),
    ] {
        assert_eq!(
            outcome(given.clone()),
            ("config_invalid", at.into()),
            "{given}"
        );
    }
}

#[test]
fn a_type_that_only_exchange_knows_is_of_no_use_elsewhere() {
    let mut world = World::new();
    world.idp().edit_response = Some(Box::new(|response| {
        response.set("token_type", json!("N_A"));
    }));
    assert_eq!(code(world.granted(json!({}))), "token_type_unsupported");
}

#[test]
fn jwt_bearer_and_refresh_send_what_they_are_given() {
    let mut world = World::with(json!({"scope": "openid", "resource": "https://api.example"}));
    for (grant, expected) in [
        (
            Grant::jwt_bearer(&options(&json!({"assertion": "a.b.c"})), &world.client).unwrap(),
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=a.b.c&client_id=spa",
        ),
        (
            Grant::refresh_token(
                &options(&json!({"refreshToken": "r", "scope": "a"})),
                &world.client,
            )
            .unwrap(),
            "grant_type=refresh_token&refresh_token=r&scope=a&client_id=spa",
        ),
    ] {
        let answer = json!({"access_token": "issued-S3CRET", "token_type": "bearer", "refresh_token": "next-S3CRET"});
        world.idp().reply(Purpose::Token, Reply::json(answer));
        let tokens = world.tokens_of(grant).unwrap();
        assert!(tokens.refresh_token().unwrap().ct_eq("next-S3CRET"));
        assert_eq!(
            world.net.sent.last().unwrap().body.as_deref(),
            Some(expected)
        );
        // EXPOSE: the test reads it.
        let text: Value = serde_json::from_str(tokens.to_json().expose()).unwrap();
        assert_eq!(text["accessToken"], "issued-S3CRET");
        assert_eq!(text["tokenType"], "Bearer");
        assert_eq!(text["refreshToken"], "next-S3CRET");
    }
}

#[test]
fn req_13_parameters_cannot_replace_what_is_an_option() {
    let world = World::new();
    for name in [
        "client_id",
        "client_secret",
        "client_assertion",
        "client_assertion_type",
        "scope",
        "grant_type",
        "resource",
        "audience",
        "assertion",
        "refresh_token",
        "subject_token",
        "actor_token_type",
        "requested_token_type",
    ] {
        let mut given = json!({"params": {}});
        given["params"][name] = json!("x");
        let outcome = code_at(Grant::client_credentials(&options(&given), &world.client));
        assert_eq!(outcome.0, "config_invalid", "{name}");
    }
}

#[test]
fn rfr_14_a_token_goes_to_the_origins_of_its_resources() {
    let world = World::with(json!({"allowedOrigins": "https://own.example"}));
    let grant = |given: Value| Grant::client_credentials(&options(&given), &world.client).unwrap();
    let own = grant(json!({}));
    assert!(own.allows("https://own.example/x") && !own.allows("https://other.example"));
    let resource = grant(json!({"resource": "https://api.example/v1"}));
    assert!(resource.allows("https://api.example/v1/x?y={}"));
    assert!(
        !resource.allows("https://own.example") && !resource.allows("https://api.example.evil")
    );
    let listed =
        grant(json!({"resource": "https://api.example", "allowedOrigins": "https://b.example"}));
    assert!(listed.allows("https://b.example/") && !listed.allows("https://api.example/"));
}

#[test]
fn tok_39_nothing_of_a_grant_is_printed() {
    let mut world = World::new();
    world.net.keep_secret("subject-S3CRET");
    let grant = exchange(&world, json!({})).unwrap();
    assert_eq!(format!("{grant:?}"), "Grant([redacted])");
    let answer = json!({"access_token": "issued-S3CRET", "token_type": "N_A", "issued_token_type": "urn:x:y"});
    world.idp().reply(Purpose::Token, Reply::json(answer));
    let tokens = world.tokens_of(grant).unwrap();
    world.net.keep_secret("issued-S3CRET");
    world
        .net
        .assert_silent(&format!("{tokens:?} {:?}", world.client));
}
