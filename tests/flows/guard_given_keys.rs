//! Keys that the program gives with its issuer: nothing is fetched, and no other key is trusted.

use gatepass::flow::Reports as _;
use gatepass::guard::{BearerToken, Check, Guard, Need, Recall};
use serde_json::{Value, json};

use crate::support::{GuardWorld, Key, code_at, options};

/// A guard that was given these keys of its issuer.
fn given(keys: &[Value]) -> GuardWorld {
    GuardWorld::with(json!({"issuer": issuer(&json!({"keys": keys}))}))
}

fn issuer(jwks: &Value) -> Value {
    json!({"issuer": "https://as.example", "jwks": jwks})
}

/// The public key of the issuer's usual tokens.
fn usual() -> Value {
    GuardWorld::new().idp().key().jwk()
}

#[test]
fn a_token_is_checked_with_them_and_nothing_is_fetched() {
    let mut world = given(&[usual()]);
    let token = world.good();
    assert_eq!(world.check(&token).unwrap().subject(), Some("user-1"));
    assert_eq!(world.code(&token), "accepted");
    assert!(world.net.sent.is_empty());
}

#[test]
fn they_go_before_the_address_of_others() {
    let mut document = issuer(&json!({"keys": [usual()]}));
    document["jwks_uri"] = json!("https://as.example/jwks");
    let mut world = GuardWorld::with(json!({"issuer": document}));
    let token = world.good();
    assert_eq!(world.code(&token), "accepted");
    world.net.pass(7 * 24 * 3600);
    let token = world.good();
    assert_eq!(world.code(&token), "accepted");
    assert!(world.net.sent.is_empty());
}

#[test]
fn a_key_that_was_not_given_is_key_not_found_and_not_looked_for() {
    let mut world = given(&[usual()]);
    let token = world.edited(|token| {
        token.header.set("kid", json!("another"));
    });
    for _ in 0..3 {
        assert_eq!(world.code(&token), "key_not_found");
        world.net.pass(60);
    }
    assert!(world.net.sent.is_empty());
}

#[test]
fn a_signature_by_another_key_of_the_same_name_is_signature_invalid() {
    let mut world = given(&[usual()]);
    let name = world.idp().key().jwk()["kid"].as_str().unwrap().to_owned();
    let other = Key::new(name.leak(), "ES256", 9);
    let token = world.token().sign(&other);
    assert_eq!(world.code(&token), "signature_invalid");
}

#[test]
fn a_token_without_a_name_is_tried_with_each_that_fits() {
    let mut world = given(&[Key::new("a", "ES256", 7).jwk(), usual()]);
    let token = world.edited(|token| {
        token.header.remove("kid");
    });
    assert_eq!(world.code(&token), "accepted");
}

#[test]
fn each_issuer_has_its_own() {
    let (mut a, mut b) = (usual(), Key::new("b", "ES256", 8).jwk());
    a["use"] = json!("sig");
    b["use"] = json!("sig");
    let mut world = GuardWorld::with(json!({"issuer": [
        issuer(&json!({"keys": [a]})),
        {"issuer": "https://b.example", "jwks": {"keys": [b]}},
    ]}));
    let token = world.good();
    assert_eq!(world.code(&token), "accepted");
    // What one issuer signed in the name of the other is worth nothing.
    let token = world.edited(|token| {
        token.claims.set("iss", json!("https://b.example"));
    });
    assert_eq!(world.code(&token), "key_not_found");
}

#[test]
fn a_verdict_holds_without_a_word_of_old_keys() {
    let mut world = given(&[usual()]);
    let token = world.good();
    let mut flow = Check::new(&world.guard, Ok(BearerToken::new(&token)), &Need::nothing());
    world.net.run(&mut flow, &mut world.guard).unwrap();
    let verdict = flow.verdict().unwrap();
    let now = world.net.now;
    assert_eq!(world.guard.recall(verdict, now), Recall::Holds);
    assert!(world.guard.take_alerts().is_empty());
    assert_eq!(world.guard.key_tally().stale, 0);
    assert!(!world.guard.wants_renewal());
}

#[test]
fn a_shared_cache_is_asked_for_nothing_and_given_nothing() {
    let mut world = given(&[usual()]);
    world.guard.share_keys();
    let token = world.good();
    assert_eq!(world.code(&token), "accepted");
    assert!(world.guard.take_shared_keys().is_empty());
}

#[test]
fn no_key_that_can_verify_is_config_invalid() {
    let mut weak = usual();
    weak["use"] = json!("enc");
    for jwks in [
        json!(null),
        json!("https://as.example/jwks"),
        json!([usual()]),
        json!({}),
        json!({"keys": usual()}),
        json!({"keys": []}),
        json!({"keys": [weak]}),
        json!({"keys": [{"kty": "oct", "k": "AAAA"}]}),
    ] {
        let given = json!({"issuer": issuer(&jwks), "audience": "api"});
        assert_eq!(
            code_at(Guard::from_options(&options(&given))),
            ("config_invalid", "jwks".into()),
            "{jwks}"
        );
    }
}

#[test]
fn a_secret_stands_not_beside_them() {
    let given = json!({
        "issuer": issuer(&json!({"keys": [usual()]})),
        "audience": "api",
        "secret": "0123456789abcdef0123456789ABCDEF",
    });
    assert_eq!(
        code_at(Guard::from_options(&options(&given))),
        ("config_invalid", "secret".into())
    );
}

#[test]
fn what_else_the_provider_is_asked_for_needs_its_metadata() {
    // The document stands in place of discovery, as any does.
    let given = json!({
        "issuer": issuer(&json!({"keys": [usual()]})),
        "audience": "api",
        "introspection": {"clientId": "rs", "clientSecret": "S3CRET-of-rs"},
    });
    let mut world = GuardWorld::with(given);
    assert_eq!(world.code("opaque-token"), "metadata_invalid");
    let token = world.good();
    assert_eq!(world.code(&token), "accepted");
    assert!(world.net.sent.is_empty());
}
