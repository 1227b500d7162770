//! Tokens that are signed with a secret: only where one is given, and never beside keys.

use gatepass::guard::Guard;
use serde_json::{Value, json};

use crate::support::{GuardWorld, Key, Token, base64url, code_at, options};

const SECRET: &str = "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789ABCDEF";

/// A guard with this secret and these algorithms.
fn guarded(secret: &Value, algorithms: &Value) -> GuardWorld {
    GuardWorld::with(json!({"secret": secret, "algorithms": algorithms}))
}

fn configured(more: Value) -> (&'static str, String) {
    let mut given = json!({"issuer": "https://as.example", "audience": "api"});
    for (name, value) in more.as_object().unwrap() {
        given[name] = value.clone();
    }
    code_at(Guard::from_options(&options(&given)))
}

fn hmac(alg: &str, secret: &[u8], message: &[u8]) -> Vec<u8> {
    use ::hmac::{Hmac, KeyInit as _, Mac as _};
    macro_rules! mac {
        ($hash:ident) => {
            Hmac::<sha2::$hash>::new_from_slice(secret)
                .unwrap()
                .chain_update(message)
                .finalize()
                .into_bytes()
                .to_vec()
        };
    }
    match alg {
        "HS256" => mac!(Sha256),
        "HS384" => mac!(Sha384),
        _ => mac!(Sha512),
    }
}

fn signed(world: &GuardWorld, alg: &str, secret: &[u8], edit: impl FnOnce(&mut Token)) -> String {
    let mut token = world.token();
    token.header.set("alg", json!(alg));
    edit(&mut token);
    let signature = hmac(alg, secret, token.signing_input().as_bytes());
    token.with_signature(signature)
}

#[test]
fn a_token_that_was_signed_with_the_secret_is_accepted_and_nothing_is_fetched() {
    for alg in ["HS256", "HS384", "HS512"] {
        let mut world = guarded(&json!(SECRET), &json!([alg]));
        world.net.keep_secret(SECRET);
        let token = signed(&world, alg, SECRET.as_bytes(), |_| {});
        let principal = world.check(&token).unwrap();
        assert_eq!(principal.subject(), Some("user-1"));
        assert!(principal.checked()[1].ends_with(alg));
        assert!(world.net.sent.is_empty());
        assert_eq!(world.net.signature_checks, 1);
    }
}

#[test]
fn a_verdict_on_a_token_with_a_secret_needs_no_keys() {
    use gatepass::flow::Reports as _;
    use gatepass::guard::{BearerToken, Check, Need, Recall};
    let mut world = GuardWorld::with(json!({"secret": SECRET}));
    let token = signed(&world, "HS256", SECRET.as_bytes(), |_| {});
    let mut flow = Check::new(&world.guard, Ok(BearerToken::new(&token)), &Need::nothing());
    world.net.run(&mut flow, &mut world.guard).unwrap();
    let verdict = flow.verdict().unwrap();
    let now = world.net.now;
    assert_eq!(world.guard.recall(verdict, now), Recall::Holds);
    assert!(world.guard.take_alerts().is_empty());
    assert_eq!(world.guard.key_tally().stale, 0);
    world.net.pass(330);
    let now = world.net.now;
    assert_eq!(world.guard.recall(verdict, now), Recall::CheckAnew);
}

#[test]
fn bytes_are_a_secret_too() {
    let bytes: Vec<u8> = (100..132).collect();
    let given = json!({"base64url": base64url(&bytes)});
    let mut world = GuardWorld::with(json!({"secret": given}));
    let token = signed(&world, "HS256", &bytes, |_| {});
    assert_eq!(world.code(&token), "accepted");
}

#[test]
fn another_secret_or_message_is_signature_invalid() {
    let mut world = guarded(&json!(SECRET), &json!("HS256"));
    let other = SECRET.replace('0', "1");
    let token = signed(&world, "HS256", other.as_bytes(), |_| {});
    assert_eq!(world.code(&token), "signature_invalid");
    let good = signed(&world, "HS256", SECRET.as_bytes(), |_| {});
    let signature = good.rsplit('.').next().unwrap();
    let mut changed = world.token();
    changed.header.set("alg", json!("HS256"));
    changed.claims.set("sub", json!("root"));
    let forged = format!("{}.{signature}", changed.signing_input());
    assert_eq!(world.code(&forged), "signature_invalid");
}

#[test]
fn sig_22_a_signature_that_is_cut_or_empty_is_signature_invalid() {
    let mut world = guarded(&json!(SECRET), &json!("HS256"));
    let mut token = world.token();
    token.header.set("alg", json!("HS256"));
    let whole = hmac("HS256", SECRET.as_bytes(), token.signing_input().as_bytes());
    for length in [0, 1, 16, 31] {
        let token = token.with_signature(&whole[..length]);
        assert_eq!(world.code(&token), "signature_invalid", "{length}");
    }
    assert_eq!(world.net.signature_checks, 0);
    assert_eq!(world.code(&token.with_signature(&whole)), "accepted");
}

#[test]
fn hdr_12_an_algorithm_that_is_not_on_the_list_is_alg_not_allowed() {
    let mut world = guarded(&json!(SECRET), &json!(["HS256"]));
    for alg in ["HS384", "HS512", "none", "hs256"] {
        let token = signed(&world, alg, SECRET.as_bytes(), |_| {});
        assert_eq!(world.code(&token), "alg_not_allowed", "{alg}");
    }
    let asymmetric = world.good();
    assert_eq!(world.code(&asymmetric), "alg_not_allowed");
    // HS256 alone is the default.
    let mut usual = GuardWorld::with(json!({"secret": SECRET}));
    let token = signed(&usual, "HS512", SECRET.as_bytes(), |_| {});
    assert_eq!(usual.code(&token), "alg_not_allowed");
}

#[test]
fn a_key_that_the_token_names_does_not_matter() {
    let mut world = GuardWorld::with(json!({"secret": SECRET}));
    let token = signed(&world, "HS256", SECRET.as_bytes(), |token| {
        token.header.set("kid", json!("../../etc/passwd"));
    });
    assert_eq!(world.code(&token), "accepted");
}

#[test]
fn claims_are_checked_as_always() {
    let mut world = GuardWorld::with(json!({"secret": SECRET}));
    for (name, value, code) in [
        ("iss", json!("https://other.example"), "issuer_mismatch"),
        ("aud", json!("other"), "audience_mismatch"),
        ("exp", json!(1), "token_expired"),
        ("jti", json!(null), "claim_invalid"),
    ] {
        let token = signed(&world, "HS256", SECRET.as_bytes(), |token| {
            token.claims.set("iat", 0).set(name, value);
        });
        assert_eq!(world.code(&token), code);
    }
    let token = signed(&world, "HS256", SECRET.as_bytes(), |token| {
        token.header.set("typ", json!("JWT"));
    });
    assert_eq!(world.code(&token), "typ_mismatch");
}

#[test]
fn hdr_18_a_secret_shorter_than_the_hash_is_config_invalid() {
    let secret = |length: usize| "x".repeat(length);
    for (alg, length) in [("HS256", 32), ("HS384", 48), ("HS512", 64)] {
        let with = |length| configured(json!({"secret": secret(length), "algorithms": [alg]}));
        assert_eq!(with(length).0, "accepted");
        assert_eq!(with(length - 1), ("config_invalid", "secret".into()));
    }
    let both = configured(json!({"secret": secret(40), "algorithms": ["HS256", "HS512"]}));
    assert_eq!(both, ("config_invalid", "secret".into()));
    let bytes = configured(json!({"secret": {"base64url": base64url([7; 31])}}));
    assert_eq!(bytes, ("config_invalid", "secret".into()));
    assert_eq!(
        configured(json!({"secret": secret(1025)})),
        ("config_invalid", "secret".into())
    );
}

// HDR-17, CFG-06.
#[test]
fn hdr_17_cfg_06_cfg_10_a_secret_that_is_empty_or_not_there_is_config_invalid() {
    for secret in [
        json!(""),
        json!(null),
        json!(1),
        json!(false),
        json!([]),
        json!({}),
        json!({"base64url": ""}),
        json!({"base64url": null}),
        json!({"base64url": "a+b="}),
    ] {
        assert_eq!(
            configured(json!({"secret": secret})),
            ("config_invalid", "secret".into()),
            "{secret}"
        );
    }
    let unknown = configured(json!({"secret": {"base64": "AAAA"}}));
    assert_eq!(unknown, ("config_invalid", "base64".into()));
}

#[test]
fn hdr_19_a_secret_that_is_a_key_in_pem_der_or_jwk_is_config_invalid() {
    use base64::Engine as _;
    let standard = base64::engine::general_purpose::STANDARD;
    let jwk = Key::new("k1", "RS256", 0).jwk();
    let modulus = crate::support::from_base64url(jwk["n"].as_str().unwrap());
    let der = [
        [0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01, 0x00].as_slice(),
        &modulus,
        &[0x02, 0x03, 0x01, 0x00, 0x01],
    ]
    .concat();
    let body = standard.encode(&der);
    let pem = format!("-----BEGIN RSA PUBLIC KEY-----\n{body}\n-----END RSA PUBLIC KEY-----\n");
    let texts = [
        pem.clone(),
        pem.trim().into(),
        format!("\n{pem}"),
        pem.replace('\n', "\r\n"),
        format!("\u{200b}{pem}"),
        format!("\u{feff} {pem}"),
        format!("comment\n{pem}"),
        body,
        jwk.to_string(),
        format!("\u{200b} {jwk}\n"),
        json!({"keys": [jwk]}).to_string(),
        json!([jwk]).to_string(),
        format!("ssh-rsa {}", standard.encode([1; 64])),
    ];
    for text in texts {
        for secret in [json!(text), json!({"base64url": base64url(&text)})] {
            assert_eq!(
                configured(json!({"secret": secret})),
                ("config_invalid", "secret".into()),
                "{text}"
            );
        }
    }
    let short = [[0x30, 0x2a].as_slice(), &[5; 42]].concat();
    let middle = [[0x30, 0x81, 0x90].as_slice(), &[5; 0x90]].concat();
    for der in [der, short.clone(), middle] {
        assert_eq!(
            configured(json!({"secret": {"base64url": base64url(der)}})),
            ("config_invalid", "secret".into())
        );
    }
    // One byte more, and it is no DER.
    let longer = [short.as_slice(), &[5]].concat();
    assert_eq!(
        configured(json!({"secret": {"base64url": base64url(longer)}})).0,
        "accepted"
    );
}

// HDR-12, CFG-13.
#[test]
fn hdr_12_cfg_13_a_secret_stands_beside_no_keys() {
    for algorithms in [
        json!(["RS256"]),
        json!(["HS256", "RS256"]),
        json!(["HS256", "none"]),
        json!([]),
    ] {
        assert_eq!(
            configured(json!({"secret": SECRET, "algorithms": algorithms})),
            ("config_invalid", "algorithms".into()),
            "{algorithms}"
        );
    }
    let metadata = json!({"issuer": "https://as.example", "jwks_uri": "https://as.example/jwks"});
    for issuer in [
        metadata.clone(),
        json!([metadata]),
        json!(["https://as.example", "https://b.example"]),
    ] {
        assert_eq!(
            configured(json!({"secret": SECRET, "issuer": issuer})),
            ("config_invalid", "secret".into()),
            "{issuer}"
        );
    }
    let introspection = json!({"clientId": "rs", "clientSecret": "S3CRET-of-rs"});
    assert_eq!(
        configured(json!({"secret": SECRET, "introspection": introspection})),
        ("config_invalid", "secret".into())
    );
    // And no algorithm with a secret without one.
    assert_eq!(
        configured(json!({"algorithms": ["HS256"]})),
        ("config_invalid", "algorithms".into())
    );
}
