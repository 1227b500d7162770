//! The request: its header, its issuer, its scopes, and what a refusal says.

use gatepass::error::Phase;
use gatepass::guard::{BearerToken, Check, Guard, Need, Refusal};
use gatepass::http::{Purpose, Unreachable};
use serde_json::{Value, json};

use crate::support::{GuardWorld, Key, Reply, code_at, options};

/// The refusal of a request with this header.
fn refusal(header: Option<&str>) -> Refusal {
    let mut world = GuardWorld::new();
    let refusal = world.header(header).unwrap_err();
    // What the header alone rules out costs nobody a request.
    assert!(world.net.sent.is_empty());
    refusal
}

const INVALID_TOKEN: &str = "Bearer error=\"invalid_token\", \
     error_description=\"The access token is not valid for this request\"";

// RSR-01, RSR-02.
#[test]
fn rsr_01_02_a_request_without_a_bearer_token_gets_a_bare_challenge() {
    for header in [
        None,
        Some(""),
        Some("Basic YTpi"),
        Some("DPoP abc"),
        Some("abc"),
    ] {
        let refusal = refusal(header);
        assert_eq!(refusal.error().code(), "credential_missing");
        assert_eq!(
            (refusal.status(), refusal.challenge()),
            (401, Some("Bearer"))
        );
    }
}

#[test]
fn rsr_03_the_scheme_is_compared_without_case() {
    for scheme in ["Bearer", "bearer", "BEARER", "BeArEr"] {
        let mut world = GuardWorld::new();
        let token = world.good();
        assert!(world.header(Some(&format!("{scheme} {token}"))).is_ok());
    }
}

// RSR-04, RSR-06.
#[test]
fn rsr_04_06_a_malformed_header_is_a_bad_request() {
    for header in [
        "Bearer",
        "Bearer ",
        "Bearer  x",
        "Bearer\tx",
        "Bearer x y",
        "Bearer x\u{e9}",
        "Bearer x!",
        "Bearer =x",
        "Bearer x;y",
    ] {
        let refusal = refusal(Some(header));
        assert_eq!(refusal.error().code(), "request_invalid", "{header}");
        assert_eq!(
            (refusal.status(), refusal.challenge()),
            (400, Some("Bearer error=\"invalid_request\""))
        );
    }
}

#[test]
fn rsr_07_two_headers_are_a_bad_request() {
    let mut world = GuardWorld::new();
    let token = world.good();
    let refusal = refusal(Some(&format!("Bearer {token}, Bearer {token}")));
    assert_eq!(refusal.error().code(), "credential_multiple");
    assert_eq!(
        (refusal.status(), refusal.challenge()),
        (400, Some("Bearer error=\"invalid_request\""))
    );
    assert!(world.header(Some(&format!("Bearer {token}"))).is_ok());
}

/// The refusals of tokens that are bad in every way there is, with their codes.
fn refusals() -> Vec<Refusal> {
    let mut world = GuardWorld::new();
    let good = world.good();
    let edited = |claim: &str, value: Value| {
        world.edited(|token| {
            token.claims.set(claim, value);
        })
    };
    let tokens = [
        "x".to_owned(),
        good + ".",
        "a".repeat(20_000),
        edited("exp", json!(0)),
        edited("aud", json!("other")),
        edited("iss", json!("https://other.example")),
        edited("sub", json!(1)),
        edited("nbf", json!(1_800_000_100)),
        edited("jti", json!(null)),
        world.edited(|token| {
            token.claims.remove("jti");
        }),
        world.token().with_signature([7; 64]),
        world.edited(|token| {
            token.header.set("kid", json!("other"));
        }),
        world.edited(|token| {
            token.header.set("typ", json!("JWT"));
        }),
        world.edited(|token| {
            token.header.set("crit", json!(["x"]));
        }),
        world.token().sign(&Key::new("k1", "ES256", 99)),
    ];
    tokens
        .iter()
        .map(|token| {
            let header = format!("Bearer {token}");
            world.header(Some(&header)).unwrap_err()
        })
        .collect()
}

// RSR-12, LEAK-02.
#[test]
fn rsr_12_leak_02_all_bad_tokens_get_one_answer() {
    let refusals = refusals();
    let mut codes: Vec<_> = refusals
        .iter()
        .map(|refusal| refusal.error().code())
        .collect();
    codes.sort_unstable();
    codes.dedup();
    assert!(codes.len() >= 12, "{codes:?}");
    for refusal in refusals {
        assert_eq!(refusal.status(), 401);
        assert_eq!(refusal.challenge(), Some(INVALID_TOKEN));
        assert_eq!(refusal.error().phase(), Some(Phase::Guard));
    }
}

#[test]
fn rsr_17_nothing_of_a_request_stands_in_a_challenge() {
    let mut world = GuardWorld::new();
    let token = world.edited(|token| {
        token
            .claims
            .set("iss", json!("https://evil.example\r\nSet-Cookie: x=\"1\""));
    });
    let refusal = world.header(Some(&format!("Bearer {token}"))).unwrap_err();
    assert_eq!(refusal.challenge(), Some(INVALID_TOKEN));
    assert!(!refusal.to_json().contains("evil"));
}

// RSR-13, CLM-48.
#[test]
fn rsr_13_clm_48_a_missing_scope_is_forbidden_and_all_are_named() {
    let mut world = GuardWorld::new();
    let with_scope = |world: &GuardWorld, scope: Value| {
        world.edited(|token| {
            token.claims.set("scope", scope);
        })
    };
    for scope in [
        json!("read"),
        json!(""),
        json!("readwrite"),
        json!("READ write"),
    ] {
        let token = with_scope(&world, scope);
        let refusal = world.scoped(&token, &["read", "write"]).unwrap_err();
        assert_eq!(refusal.error().code(), "scope_insufficient");
        assert_eq!(
            (refusal.status(), refusal.challenge()),
            (
                403,
                Some("Bearer error=\"insufficient_scope\", scope=\"read write\"")
            )
        );
    }
    let missing = world.edited(|token| {
        token.claims.remove("scope");
    });
    assert_eq!(world.scoped(&missing, &["read"]).unwrap_err().status(), 403);
    let enough = with_scope(&world, json!("admin write read"));
    assert!(world.scoped(&enough, &["read", "write"]).is_ok());
}

#[test]
fn scopes_of_the_guard_and_of_the_request_are_needed_together() {
    let mut world = GuardWorld::with(json!({"requiredScopes": ["api"]}));
    let token = world.edited(|token| {
        token.claims.set("scope", json!("api"));
    });
    assert!(world.scoped(&token, &[]).is_ok());
    assert!(world.scoped(&token, &["api"]).is_ok());
    let refusal = world.scoped(&token, &["write", "api"]).unwrap_err();
    assert_eq!(
        refusal.challenge(),
        Some("Bearer error=\"insufficient_scope\", scope=\"api write\"")
    );
    let other = world.edited(|token| {
        token.claims.set("scope", json!("write"));
    });
    assert_eq!(world.scoped(&other, &["write"]).unwrap_err().status(), 403);
}

#[test]
fn scopes_are_judged_after_the_token() {
    let mut world = GuardWorld::new();
    let token = world.edited(|token| {
        token.claims.set("scope", json!("")).set("exp", 0);
    });
    assert_eq!(world.scoped(&token, &["read"]).unwrap_err().status(), 401);
}

#[test]
fn what_no_token_would_help_is_503_without_a_challenge() {
    for (purpose, reply) in [
        (Purpose::Keys, Reply::none(Unreachable::Network)),
        (Purpose::Keys, Reply::none(Unreachable::Timeout)),
        (Purpose::Keys, Reply::status(500)),
        (Purpose::Keys, Reply::status(302)),
        (Purpose::Keys, Reply::html()),
        (Purpose::Discovery, Reply::none(Unreachable::Network)),
        (Purpose::Discovery, Reply::status(404)),
        (Purpose::Discovery, Reply::html()),
        (
            Purpose::Discovery,
            Reply::json(r#"{"issuer":"https://x.example"}"#),
        ),
    ] {
        let mut world = GuardWorld::new();
        world.idp().always(purpose, reply);
        let header = format!("Bearer {}", world.good());
        let refusal = world.header(Some(&header)).unwrap_err();
        assert_eq!(
            (refusal.status(), refusal.challenge()),
            (503, None),
            "{}",
            refusal.error()
        );
    }
}

#[test]
fn a_refusal_as_json_names_code_status_and_hint() {
    let text: Value = serde_json::from_str(&refusal(None).to_json()).unwrap();
    assert_eq!(text["code"], "credential_missing");
    assert_eq!(text["status"], 401);
    assert_eq!(text["challenge"], "Bearer");
    assert!(text["hint"].as_str().unwrap().len() > 20);
    assert!(text.get("at").is_none());
}

// CLM-33, RSR-30.
#[test]
fn clm_33_rsr_30_an_issuer_that_is_not_configured_causes_no_request() {
    let mut world = GuardWorld::with(json!({
        "issuer": ["https://a.example", "https://b.example"],
    }));
    let now = world.net.now;
    let attacker = crate::support::Idp::new("https://attacker.example");
    let token = attacker.access_token(now).sign(attacker.key());
    assert_eq!(world.code(&token), "issuer_mismatch");
    assert!(world.net.sent.is_empty());
}

#[test]
fn each_issuer_is_asked_for_its_own_keys_alone() {
    let mut world = GuardWorld::with(json!({
        "issuer": ["https://a.example", "https://b.example/t"],
    }));
    let now = world.net.now;
    let token = world.net.idps[1].access_token(now);
    let token = token.sign(world.net.idps[1].key());
    let principal = world.check(&token).unwrap();
    assert_eq!(principal.issuer(), "https://b.example/t");
    let urls: Vec<_> = world
        .net
        .sent
        .iter()
        .map(|sent| sent.url.as_str())
        .collect();
    assert_eq!(
        urls,
        [
            "https://b.example/t/.well-known/openid-configuration",
            "https://b.example/t/jwks"
        ]
    );
}

#[test]
fn one_issuer_that_is_down_does_not_hold_up_another() {
    let mut world = GuardWorld::with(json!({
        "issuer": ["https://a.example", "https://b.example"],
    }));
    let now = world.net.now;
    world.net.idps[0].always(Purpose::Keys, Reply::none(Unreachable::Network));
    for (index, expected) in [(0, "keys_unavailable"), (1, "accepted")] {
        let idp = &world.net.idps[index];
        let token = idp.access_token(now).sign(idp.key());
        assert_eq!(world.code(&token), expected);
    }
}

#[test]
fn a_guard_takes_a_metadata_document_in_place_of_discovery() {
    let metadata = GuardWorld::new().idp().metadata.clone();
    let mut world = GuardWorld::with(json!({"issuer": metadata}));
    let token = world.good();
    assert_eq!(world.code(&token), "accepted");
    assert_eq!(world.net.count(Purpose::Discovery), 0);
}

#[test]
fn the_tally_counts_outcomes_by_code() {
    let mut world = GuardWorld::new();
    let token = world.good();
    for _ in 0..3 {
        world.check(&token).unwrap();
    }
    let _ = world.check("x");
    let _ = world.check("y");
    let _ = world.header(None);
    let _ = world.scoped(&token, &["admin"]);
    let tally: Value = serde_json::from_str(&world.guard.tally().to_json()).unwrap();
    assert_eq!(
        tally,
        json!({
            "accepted": 3,
            "token_malformed": 2,
            "credential_missing": 1,
            "scope_insufficient": 1,
        })
    );
    assert_eq!(world.guard.tally().accepted(), 3);
}

// CFG-01, CFG-02, CFG-05.
#[test]
fn cfg_01_02_05_options_of_a_guard_are_known_typed_and_not_empty() {
    for (name, value) in [
        ("audiance", json!("x")),
        ("audience", json!("")),
        ("audience", json!([])),
        ("audience", json!([""])),
        ("audience", json!(null)),
        ("audience", json!(["api", 1])),
        ("issuer", json!([])),
        ("issuer", json!("")),
        ("issuer", json!(null)),
        ("issuer", json!(1)),
        ("issuer", json!(["https://a.example", "https://a.example"])),
        ("requiredScopes", json!([""])),
        ("requiredScopes", json!([])),
        ("requiredScopes", json!(["a b"])),
        ("requiredScopes", json!({})),
        ("timeout", json!(0)),
        ("timeout", json!("5")),
        ("timeout", json!(-1)),
        ("dangerouslyAllowHttpLoopback", json!("true")),
        ("dangerouslyAllowHttpLoopback", json!(1)),
    ] {
        let mut given = json!({"issuer": "https://as.example", "audience": "api"});
        given[name] = value.clone();
        assert_eq!(
            code_at(Guard::from_options(&options(&given))),
            ("config_invalid", name.into()),
            "{value}"
        );
    }
}

#[test]
fn cfg_05_an_audience_is_required() {
    let given = json!({"issuer": "https://as.example"});
    assert_eq!(
        code_at(Guard::from_options(&options(&given))),
        ("config_invalid", "audience".into())
    );
}

#[test]
fn cfg_14_two_guards_share_nothing() {
    let mut first = GuardWorld::new();
    let mut second = GuardWorld::with(json!({"audience": "other"}));
    let token = first.good();
    assert_eq!(first.code(&token), "accepted");
    assert_eq!(second.code(&token), "audience_mismatch");
    assert_eq!(second.net.count(Purpose::Keys), 1);
}

#[test]
fn a_need_has_scopes_that_can_be_granted() {
    for scope in ["", "a b", "a\"", "a\\", "\u{e9}"] {
        assert!(Need::of_scopes([scope]).is_none(), "{scope}");
    }
    let given = options(&json!({"scopes": "read"}));
    assert_eq!(Need::from_options(&given).unwrap().scope(), "read");
    let unknown = options(&json!({"scope": "read"}));
    assert_eq!(
        code_at(Need::from_options(&unknown)),
        ("config_invalid", "scope".into())
    );
}

#[test]
fn a_check_knows_its_need_before_and_after() {
    let world = GuardWorld::with(json!({"requiredScopes": "api"}));
    let need = Need::of_scopes(["read"]).unwrap();
    let check = Check::new(&world.guard, BearerToken::read(None), &need);
    assert_eq!(check.need().scope(), "api read");
}
