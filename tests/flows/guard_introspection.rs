//! Opaque tokens: what is asked, what an answer must say, and what is never believed.

use gatepass::flow::Reports as _;
use gatepass::guard::Guard;
use gatepass::http::{Method, Purpose, Unreachable};
use gatepass::time::Lifetime;
use serde_json::{Value, json};

use crate::support::{GuardWorld, Key, Members, Reply, code, code_at, options};

/// The code for a token about which the provider says something else, and the status.
fn answered(edit: impl FnOnce(&mut Members)) -> (&'static str, u16) {
    let mut world = GuardWorld::introspecting(json!({}));
    let token = world.opaque_with(edit);
    outcome(&mut world, &token)
}

fn outcome(world: &mut GuardWorld, token: &str) -> (&'static str, u16) {
    match world.header(Some(&format!("Bearer {token}"))) {
        Ok(_) => ("accepted", 200),
        Err(refusal) => (refusal.error().code(), refusal.status()),
    }
}

/// The refusal when the provider answers so.
fn replied(reply: Reply) -> (&'static str, u16, Option<String>) {
    let mut world = GuardWorld::introspecting(json!({}));
    let token = world.opaque();
    world.idp().always(Purpose::Introspection, reply);
    let refusal = world.refusal(&token);
    let challenge = refusal.challenge().map(String::from);
    (refusal.error().code(), refusal.status(), challenge)
}

#[test]
fn int_01_an_active_token_is_accepted() {
    let mut world = GuardWorld::introspecting(json!({}));
    let token = world.opaque();
    let principal = world.check(&token).unwrap();
    assert_eq!(principal.subject(), Some("user-1"));
    assert_eq!(principal.issuer(), "https://as.example");
    assert_eq!(principal.client_id(), Some("spa"));
    assert_eq!(principal.audience(), ["api"]);
    assert_eq!(principal.scopes(), ["read", "write"]);
    let ends = principal.expires_at().unwrap();
    assert_eq!(ends.since(world.net.now), Lifetime::from_seconds(300));
    assert_eq!(principal.checked(), ["active", "iss", "aud", "exp", "iat"]);
    assert_eq!(world.net.count(Purpose::Keys), 0);
}

#[test]
fn int_01_what_an_answer_leaves_out_the_principal_leaves_out() {
    let mut world = GuardWorld::introspecting(json!({}));
    let token = world.opaque_with(|answer| {
        for name in [
            "iss",
            "sub",
            "client_id",
            "token_type",
            "iat",
            "exp",
            "scope",
        ] {
            answer.remove(name);
        }
    });
    let principal = world.check(&token).unwrap();
    assert_eq!(principal.issuer(), "https://as.example");
    assert_eq!(
        (
            principal.subject(),
            principal.client_id(),
            principal.expires_at()
        ),
        (None, None, None)
    );
    assert!(principal.scopes().is_empty());
    let text: Value = serde_json::from_str(&principal.to_json()).unwrap();
    for name in ["subject", "clientId", "expiresAt"] {
        assert!(text.get(name).is_none(), "{name}");
    }
}

#[test]
fn int_02_a_token_that_is_not_active_is_refused_and_not_asked_about_for_ten_seconds() {
    let mut world = GuardWorld::introspecting(json!({}));
    let token = "unknown-S3CRET-token";
    for _ in 0..3 {
        let refusal = world.refusal(token);
        assert_eq!(
            (refusal.error().code(), refusal.status()),
            ("token_inactive", 401)
        );
        assert!(refusal.challenge().unwrap().contains("invalid_token"));
    }
    world.net.pass(9);
    assert_eq!(code(world.check(token)), "token_inactive");
    assert_eq!(world.net.count(Purpose::Introspection), 1);
    world.net.pass(1);
    assert_eq!(code(world.check(token)), "token_inactive");
    assert_eq!(world.net.count(Purpose::Introspection), 2);
}

#[test]
fn int_03_active_is_a_boolean_and_nothing_else() {
    for value in ["\"true\"", "1", "null", "[]", "{}", "\"false\"", "0"] {
        let got = answered(|answer| {
            answer.set("active", value);
        });
        assert_eq!(got, ("response_malformed", 503), "{value}");
    }
    let got = answered(|answer| {
        answer.remove("active");
    });
    assert_eq!(got, ("response_malformed", 503));
}

#[test]
fn int_04_two_members_active_are_malformed() {
    for (first, second) in [(false, true), (true, false), (true, true)] {
        let got = answered(|answer| {
            answer.set("active", first).add("active", second);
        });
        assert_eq!(got, ("response_malformed", 503));
    }
    let got = answered(|answer| {
        answer.add("sub", json!("other"));
    });
    assert_eq!(got, ("response_malformed", 503));
}

#[test]
fn int_05_what_is_no_answer_is_503_and_never_the_users_fault() {
    for (reply, expected) in [
        (Reply::html(), "response_malformed"),
        (Reply::status(204), "upstream_status"),
        (Reply::json(""), "response_malformed"),
        (Reply::status(500), "upstream_status"),
        (Reply::status(502), "upstream_status"),
        (Reply::json("[]"), "response_malformed"),
        (Reply::json(r#"{"active":true"#), "response_malformed"),
        (Reply::body(r#"{"active":true}"#), "response_malformed"),
        (
            Reply::json(r#"{"active":true}"#).with_status(201),
            "upstream_status",
        ),
        (Reply::none(Unreachable::Network), "upstream_unreachable"),
        (Reply::none(Unreachable::TooLarge), "response_too_large"),
    ] {
        assert_eq!(replied(reply), (expected, 503, None));
    }
}

#[test]
fn int_05_a_failure_is_remembered_for_no_token() {
    let mut world = GuardWorld::introspecting(json!({}));
    let token = world.opaque();
    world
        .idp()
        .reply(Purpose::Introspection, Reply::status(502));
    assert_eq!(code(world.check(&token)), "upstream_status");
    assert_eq!(code(world.check(&token)), "accepted");
}

#[test]
fn int_06_our_own_credentials_refused_is_503_and_the_operator_is_told() {
    for status in [401, 403] {
        let mut world = GuardWorld::introspecting(json!({}));
        let token = world.opaque();
        let body = Reply::json(json!({"error": "invalid_client"})).with_status(status);
        world.idp().always(Purpose::Introspection, body);
        let refusal = world.refusal(&token);
        assert_eq!(refusal.error().code(), "credentials_refused");
        assert_eq!((refusal.status(), refusal.challenge()), (503, None));
        let details = refusal.error().details().unwrap();
        assert_eq!(details.status, Some(status));
        let alerts = world.guard.take_alerts();
        assert_eq!(alerts.len(), 1);
        assert_eq!(alerts[0].code(), "credentials_refused");
        // They are not shown again at once, which might lock us out. A 403 may be about the token.
        assert_eq!(world.refusal(&token).error().code(), "credentials_refused");
        let asked = if status == 401 { 1 } else { 2 };
        assert_eq!(world.net.count(Purpose::Introspection), asked);
        assert!(world.guard.take_alerts().is_empty());
        world.idp().recover(Purpose::Introspection);
        world.net.pass(1);
        assert_eq!(code(world.check(&token)), "accepted");
    }
}

#[test]
fn int_07_a_redirect_is_refused() {
    for status in [301, 302, 303, 307, 308] {
        assert_eq!(
            replied(Reply::status(status)),
            ("redirect_refused", 503, None)
        );
    }
    let redirected = Reply::none(Unreachable::Redirected);
    assert_eq!(replied(redirected), ("redirect_refused", 503, None));
}

#[test]
fn int_08_no_answer_within_five_seconds_is_a_timeout() {
    let timeout = Reply::none(Unreachable::Timeout);
    assert_eq!(replied(timeout), ("upstream_timeout", 503, None));
    let mut world = GuardWorld::introspecting(json!({}));
    let token = world.opaque();
    world.check(&token).unwrap();
    assert_eq!(
        world.net.sent.last().unwrap().timeout,
        Lifetime::from_seconds(5)
    );
}

#[test]
fn int_09_an_active_token_whose_exp_is_past_is_expired() {
    let ends = |offset: i64| {
        answered(move |answer| {
            answer.set("exp", 1_800_000_000 + offset).remove("iat");
        })
    };
    assert_eq!(ends(-31), ("token_expired", 401));
    assert_eq!(ends(-30), ("token_expired", 401));
    assert_eq!(ends(-29).0, "accepted");
    assert_eq!(ends(1).0, "accepted");
}

#[test]
fn int_10_a_token_that_is_not_valid_yet_is_refused() {
    let begins = |name: &'static str, offset: i64| {
        answered(move |answer| {
            answer.set(name, 1_800_000_000 + offset);
        })
    };
    assert_eq!(begins("nbf", 31), ("token_not_active", 401));
    assert_eq!(begins("iat", 31), ("issued_in_future", 401));
    assert_eq!(begins("nbf", 29).0, "accepted");
    // Also without an end.
    let got = answered(|answer| {
        answer.remove("exp").set("nbf", 1_800_000_031);
    });
    assert_eq!(got, ("token_not_active", 401));
}

#[test]
fn int_11_another_issuer_is_refused() {
    for issuer in ["https://other.example", "https://as.example/", ""] {
        let got = answered(|answer| {
            answer.set("iss", json!(issuer));
        });
        assert_eq!(got, ("issuer_mismatch", 401), "{issuer}");
    }
}

#[test]
fn int_12_another_audience_is_refused() {
    for audience in [
        json!("other"),
        json!([]),
        json!(["a", "b"]),
        json!("API"),
        json!(""),
    ] {
        let got = answered(|answer| {
            answer.set("aud", &audience);
        });
        assert_eq!(got, ("audience_mismatch", 401), "{audience}");
    }
    let got = answered(|answer| {
        answer.set("aud", json!(["other", "api"]));
    });
    assert_eq!(got.0, "accepted");
}

#[test]
fn int_12_an_answer_without_audience_is_refused_unless_that_is_allowed() {
    let edit = |answer: &mut Members| {
        answer.remove("aud");
    };
    assert_eq!(answered(edit), ("claim_missing", 401));
    let allowed = json!({"dangerouslyAllowMissingAudience": true});
    let mut world = GuardWorld::introspecting(allowed);
    let token = world.opaque_with(edit);
    let principal = world.check(&token).unwrap();
    assert!(principal.audience().is_empty());
    assert!(!principal.checked().contains(&"aud"));
    // One that is there is still checked.
    let other = world.opaque_with(|answer| {
        answer.set("aud", json!("other"));
    });
    assert_eq!(code(world.check(&other)), "audience_mismatch");
}

#[test]
fn int_13_members_of_the_wrong_type_are_malformed_answers() {
    for (name, values) in [
        (
            "exp",
            &[
                "\"1800000300\"",
                "-1",
                "1e400",
                "null",
                "true",
                "[]",
                "1e300",
            ][..],
        ),
        ("nbf", &["\"1\"", "-1", "null"]),
        ("iat", &["\"1\"", "-1", "{}"]),
        ("scope", &["[\"read\"]", "1", "null"]),
        ("sub", &["1", "null", "[]"]),
        ("client_id", &["1", "null"]),
        ("iss", &["1", "[\"https://as.example\"]"]),
        ("aud", &["1", "null", "[\"api\",1]", "{}"]),
        ("token_type", &["1", "null"]),
    ] {
        for value in values {
            let got = answered(|answer| {
                answer.set(name, value);
            });
            assert_eq!(got, ("response_malformed", 503), "{name}: {value}");
        }
    }
}

#[test]
fn int_13_dates_may_have_fractions_as_one_provider_sends_them() {
    let got = answered(|answer| {
        answer
            .set("exp", "1800003600.652694")
            .set("iat", "1800000000.000001");
    });
    assert_eq!(got.0, "accepted");
}

#[test]
fn int_14_a_scope_that_is_missing_is_forbidden() {
    let mut world = GuardWorld::introspecting(json!({}));
    let token = world.opaque();
    assert!(world.scoped(&token, &["read"]).is_ok());
    let refusal = world.scoped(&token, &["admin"]).unwrap_err();
    assert_eq!(
        (refusal.error().code(), refusal.status()),
        ("scope_insufficient", 403)
    );
    let none = world.opaque_with(|answer| {
        answer.remove("scope");
    });
    assert_eq!(world.scoped(&none, &["read"]).unwrap_err().status(), 403);
}

#[test]
fn int_15_a_bound_token_without_its_proof_is_refused() {
    for (name, value) in [
        ("token_type", json!("DPoP")),
        ("token_type", json!("dpop")),
        (
            "cnf",
            json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}),
        ),
        (
            "cnf",
            json!({"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}),
        ),
        ("cnf", json!({})),
        ("cnf", json!(null)),
    ] {
        let got = answered(|answer| {
            answer.set(name, &value);
        });
        assert_eq!(got, ("binding_mismatch", 401), "{name}: {value}");
    }
}

#[test]
fn another_kind_of_token_opens_nothing() {
    for (name, value) in [
        ("token_type", json!("refresh_token")),
        ("token_type", json!("N_A")),
        ("token_type", json!("")),
        ("token_use", json!("refresh_token")),
        ("token_use", json!("id")),
        ("token_use", json!(1)),
        ("typ", json!("Refresh")),
        ("typ", json!("ID")),
        ("typ", json!("DPoP")),
        ("typ", json!(null)),
    ] {
        let got = answered(|answer| {
            answer.set(name, &value);
        });
        assert_eq!(got, ("typ_mismatch", 401), "{name}: {value}");
    }
    for (name, value) in [
        ("token_type", "bearer"),
        ("token_type", "access_token"),
        ("token_use", "access_token"),
        ("typ", "Bearer"),
        ("typ", "at+jwt"),
    ] {
        let got = answered(|answer| {
            answer.set(name, json!(value));
        });
        assert_eq!(got.0, "accepted", "{name}: {value}");
    }
}

#[test]
fn int_16_a_token_travels_in_the_body_of_a_post_and_nowhere_else() {
    let mut world = GuardWorld::introspecting(json!({}));
    let token = world.opaque();
    world.check(&token).unwrap();
    let sent = world.net.sent.last().unwrap();
    assert_eq!(sent.purpose, Purpose::Introspection);
    assert_eq!(sent.method, Method::Post);
    assert_eq!(sent.url, "https://as.example/introspect");
    assert_eq!(sent.accept, "application/json");
    assert_eq!(
        sent.form(),
        [
            ("token".into(), token),
            ("token_type_hint".into(), "access_token".into())
        ]
    );
}

#[test]
fn int_17_id_and_secret_are_encoded_before_they_are_joined() {
    let header = |more: Value| {
        let mut world = GuardWorld::introspecting(more);
        let token = world.opaque();
        world.check(&token).unwrap();
        let sent = world.net.sent.pop().unwrap();
        (
            sent.authorization.clone().unwrap_or_default(),
            sent.form().len(),
        )
    };
    let odd = json!({"clientId": "a:b %+\u{e9}", "clientSecret": "s:% +\u{20ac}"});
    assert_eq!(
        header(odd),
        (
            "Basic YSUzQWIrJTI1JTJCJUMzJUE5OnMlM0ElMjUrJTJCJUUyJTgyJUFD".into(),
            2
        )
    );
    let raw = json!({"auth": "client_secret_basic_raw", "clientSecret": "s:% +"});
    assert_eq!(header(raw), ("Basic cnM6czolICs=".into(), 2));
    let post = json!({"auth": "client_secret_post"});
    assert_eq!(header(post), (String::new(), 4));
}

#[test]
fn int_18_a_bearer_token_may_open_the_endpoint() {
    let mut world = GuardWorld::with(json!({
        "introspection": {"auth": "bearer", "bearerToken": "S3CRET-of-ours"},
    }));
    world.net.keep_secret("S3CRET-of-ours");
    let token = world.opaque();
    world.check(&token).unwrap();
    let sent = world.net.sent.last().unwrap();
    assert_eq!(sent.authorization.as_deref(), Some("Bearer S3CRET-of-ours"));
    assert_eq!(sent.form().len(), 2);
}

#[test]
fn int_19_what_cannot_be_a_token_is_refused_before_anybody_is_asked() {
    let long = "a".repeat(16 * 1024 + 1);
    for (token, expected) in [
        (long.as_str(), "token_too_large"),
        ("a b", "token_malformed"),
        ("caf\u{e9}", "token_malformed"),
        ("", "token_malformed"),
        ("a\r\nb", "token_malformed"),
        ("a\0b", "token_malformed"),
    ] {
        let mut world = GuardWorld::introspecting(json!({}));
        assert_eq!(code(world.check(token)), expected);
        assert!(world.net.sent.is_empty());
    }
    let mut world = GuardWorld::introspecting(json!({}));
    let longest = "a".repeat(16 * 1024);
    assert_eq!(code(world.check(&longest)), "token_inactive");
}

#[test]
fn int_20_where_all_tokens_are_asked_about_nothing_in_one_is_believed() {
    let mut world = GuardWorld::introspecting(json!({"tokens": "all"}));
    // Signed by nobody, and full of promises.
    let mut token = world.token();
    token
        .claims
        .set("scope", json!("admin"))
        .set("sub", json!("root"));
    let forged = token.with_signature([7; 64]);
    assert_eq!(code(world.check(&forged)), "token_inactive");
    let mut answer = Members::default();
    answer
        .set("active", true)
        .set("aud", json!("api"))
        .set("sub", json!("user-1"));
    let good = world.good();
    world.idp().opaque.insert(good.clone(), answer);
    let principal = world.check(&good).unwrap();
    assert_eq!(principal.subject(), Some("user-1"));
    assert!(principal.scopes().is_empty());
    assert_eq!(principal.client_id(), None);
    assert_eq!(world.net.signature_checks, 0);
}

#[test]
fn int_20_a_signed_token_is_judged_by_its_signature_and_never_asked_about() {
    let mut world = GuardWorld::introspecting(json!({}));
    let good = world.good();
    assert_eq!(world.code(&good), "accepted");
    let forged = world.token().with_signature([7; 64]);
    let foreign = world.token().sign(&Key::new("k9", "ES256", 99));
    let expired = world.edited(|token| {
        token.claims.set("exp", 0);
    });
    for token in [&forged, &foreign, &expired] {
        // Even where the provider would call it active.
        let mut answer = Members::default();
        answer.set("active", true).set("aud", json!("api"));
        world.idp().opaque.insert(token.clone(), answer);
    }
    assert_eq!(world.code(&forged), "signature_invalid");
    assert_eq!(world.code(&foreign), "signature_invalid");
    assert_eq!(world.code(&expired), "token_expired");
    assert_eq!(world.code("eyJhbGciOiJub25lIn0.e30."), "alg_not_allowed");
    assert_eq!(world.net.count(Purpose::Introspection), 0);
}

#[test]
fn a_guard_without_introspection_asks_about_nothing() {
    let mut world = GuardWorld::new();
    let token = world.opaque();
    assert_eq!(code(world.check(&token)), "token_malformed");
    assert!(world.net.sent.is_empty());
    assert!(world.guard.introspection_tally().is_none());
}

#[test]
fn an_endpoint_that_is_configured_needs_no_discovery() {
    let endpoint = json!({"endpoint": "https://as.example/introspect"});
    let mut world = GuardWorld::introspecting(endpoint);
    world.idp().always(Purpose::Discovery, Reply::status(500));
    let token = world.opaque();
    assert_eq!(code(world.check(&token)), "accepted");
    assert_eq!(world.net.sent.len(), 1);
}

#[test]
fn a_provider_that_names_no_endpoint_is_503() {
    let mut world = GuardWorld::introspecting(json!({}));
    let token = world.opaque();
    let metadata = world.idp().metadata.as_object_mut().unwrap();
    metadata.remove("introspection_endpoint");
    let refusal = world.refusal(&token);
    assert_eq!(
        (
            refusal.error().code(),
            refusal.error().at(),
            refusal.status()
        ),
        ("metadata_invalid", "introspection_endpoint", 503)
    );
    // Its place is given back, however often that comes up.
    for _ in 0..50 {
        assert_eq!(world.refusal(&token).error().code(), "metadata_invalid");
    }
}

#[test]
fn of_several_issuers_one_is_asked_by_name() {
    let issuers = json!(["https://a.example", "https://b.example"]);
    let mut world = GuardWorld::introspecting_with(
        json!({"issuer": "https://b.example"}),
        json!({"issuer": issuers}),
    );
    let now = world.net.now;
    let token = world.net.idps[1].opaque_token(now);
    assert_eq!(world.check(&token).unwrap().issuer(), "https://b.example");
    // The signed tokens of the other one are accepted beside it.
    let idp = &world.net.idps[0];
    let signed = idp.access_token(now).sign(idp.key());
    assert_eq!(world.code(&signed), "accepted");
    for (more, at) in [
        (json!({}), "issuer"),
        (json!({"issuer": "https://c.example"}), "issuer"),
    ] {
        let mut introspection = json!({"clientId": "rs", "clientSecret": "x"});
        for (name, value) in more.as_object().unwrap() {
            introspection[name] = value.clone();
        }
        let given = json!({"issuer": issuers, "audience": "api", "introspection": introspection});
        let result = Guard::from_options(&options(&given));
        assert_eq!(code_at(result), ("config_invalid", at.into()));
    }
}

#[test]
fn userinfo_is_added_where_its_subject_is_the_tokens() {
    let mut world = GuardWorld::introspecting(json!({"userinfo": true}));
    let token = world.opaque_with(|answer| {
        answer.set("scope", json!("openid read"));
    });
    world
        .idp()
        .user
        .set("sub", json!("user-1"))
        .set("name", json!("Ada"))
        .set("client_id", json!("evil"))
        .set("scope", json!("admin"))
        .set("cnf", json!({}))
        .set("jti", json!("x"));
    let principal = world.check(&token).unwrap();
    let claims = principal.claims();
    assert_eq!(claims.string("name").unwrap(), Some("Ada"));
    // Nothing that decides comes from there, and nothing that is there is replaced.
    assert_eq!(principal.client_id(), Some("spa"));
    assert_eq!(principal.scopes(), ["openid", "read"]);
    assert_eq!(claims.string("jti").unwrap(), None);
    assert!(claims.as_object().get("cnf").is_none());
    let sent = world.net.sent.last().unwrap();
    assert_eq!(
        (sent.purpose, sent.method),
        (Purpose::UserInfo, Method::Get)
    );
    assert_eq!(sent.authorization, Some(format!("Bearer {token}")));
    // It is kept with the answer.
    world.check(&token).unwrap();
    assert_eq!(world.net.count(Purpose::UserInfo), 1);
}

#[test]
fn userinfo_of_another_or_of_no_subject_is_refused() {
    for subject in [
        json!("user-2"),
        json!(""),
        json!(1),
        json!(null),
        Value::Bool(true),
    ] {
        let mut world = GuardWorld::introspecting(json!({"userinfo": true}));
        let token = world.opaque_with(|answer| {
            answer.set("scope", json!("openid"));
        });
        world.idp().user.set("sub", &subject);
        assert_eq!(
            outcome(&mut world, &token),
            ("response_malformed", 503),
            "{subject}"
        );
    }
    let mut world = GuardWorld::introspecting(json!({"userinfo": true}));
    let token = world.opaque_with(|answer| {
        answer.set("scope", json!("openid")).remove("sub");
    });
    assert_eq!(outcome(&mut world, &token), ("response_malformed", 503));
}

#[test]
fn userinfo_that_fails_fails_the_check_and_is_not_asked_for_without_openid() {
    let mut world = GuardWorld::introspecting(json!({"userinfo": true}));
    let token = world.opaque_with(|answer| {
        answer.set("scope", json!("openid"));
    });
    world.idp().always(Purpose::UserInfo, Reply::status(401));
    assert_eq!(outcome(&mut world, &token), ("upstream_status", 503));
    let plain = world.opaque();
    assert_eq!(outcome(&mut world, &plain).0, "accepted");
    assert_eq!(world.net.count(Purpose::UserInfo), 1);
    // A token that is no good here is not shown to anybody else.
    let other = world.opaque_with(|answer| {
        answer
            .set("scope", json!("openid"))
            .set("aud", json!("other"));
    });
    assert_eq!(outcome(&mut world, &other).0, "audience_mismatch");
    assert_eq!(world.net.count(Purpose::UserInfo), 1);
}

#[test]
fn cfg_13_options_of_introspection_are_known_typed_and_complete() {
    let good = json!({"clientId": "rs", "clientSecret": "x"});
    let result = |introspection: Value| {
        let given = json!({
            "issuer": "https://as.example", "audience": "api", "introspection": introspection,
        });
        code_at(Guard::from_options(&options(&given)))
    };
    assert_eq!(result(good.clone()).0, "accepted");
    for (introspection, at) in [
        (json!({}), "clientId"),
        (json!({"clientId": "rs"}), "clientSecret"),
        (json!(true), "introspection"),
        (json!(null), "introspection"),
    ] {
        assert_eq!(result(introspection), ("config_invalid", at.into()));
    }
    for (name, value) in [
        ("client_id", json!("rs")),
        ("auth", json!("none")),
        ("auth", json!("tls_client_auth")),
        // A key and a secret are two ways.
        ("clientSecret", json!("")),
        ("tokens", json!("jwt")),
        ("tokens", json!(1)),
        ("endpoint", json!("/introspect")),
        ("endpoint", json!("https://as.example/i#f")),
        ("concurrency", json!(0)),
        ("concurrency", json!(1025)),
        ("concurrency", json!(1.5)),
        ("jwtResponse", json!("true")),
        ("userinfo", json!(1)),
        ("dangerouslyAllowMissingAudience", json!("yes")),
        ("cache", json!(false)),
        ("issuer", json!("https://other.example")),
    ] {
        let mut given = good.clone();
        given[name] = value.clone();
        assert_eq!(
            result(given),
            ("config_invalid", name.into()),
            "{name}: {value}"
        );
    }
    let mut insecure = good.clone();
    insecure["endpoint"] = json!("http://as.example/introspect");
    assert_eq!(result(insecure), ("url_insecure", "endpoint".into()));
    for (name, value) in [
        ("ttl", json!(3601)),
        ("ttl", json!(-1)),
        ("ttl", json!("60")),
        ("negativeTtl", json!(601)),
        ("maxEntries", json!(0)),
        ("maxEntries", json!(1_000_001)),
        ("noCacheScopes", json!(1)),
        ("max", json!(1)),
    ] {
        let mut given = good.clone();
        given["cache"] = json!({name: value});
        assert_eq!(
            result(given),
            ("config_invalid", name.into()),
            "{name}: {value}"
        );
    }
}
