//! The basic plan: the code flow and its ID token.

use gatepass::http::{Purpose, form};
use serde_json::json;

use crate::support::{Idp, Key, World, code_at};
use crate::{damage, refused, remove, world};

/// A provider that signs with RS256.
fn rs256(key: Key) -> World {
    let mut world = world();
    let user = world.idp().user.clone();
    let mut idp = Idp::with_key("https://as.example", key);
    idp.user = user;
    world.net.idps = vec![idp];
    world
}

#[test]
fn oidcc_client_test() {
    let mut world = world();
    let signed_in = world.sign_in().unwrap();
    assert!(signed_in.id_token_checked.contains(&"nonce"));
    assert_eq!(world.userinfo().unwrap()["sub"], "user-1");
}

#[test]
fn oidcc_client_test_invalid_iss() {
    let outcome = refused(&mut world(), damage("iss"));
    assert_eq!(outcome.0, "issuer_mismatch");
}

#[test]
fn oidcc_client_test_missing_sub() {
    let outcome = refused(&mut world(), remove("sub"));
    assert_eq!(outcome, ("claim_missing", "sub".into()));
}

#[test]
fn oidcc_client_test_invalid_aud() {
    let outcome = refused(&mut world(), damage("aud"));
    assert_eq!(outcome.0, "audience_mismatch");
}

#[test]
fn oidcc_client_test_missing_aud() {
    let outcome = refused(&mut world(), remove("aud"));
    assert_eq!(outcome, ("claim_missing", "aud".into()));
}

#[test]
fn oidcc_client_test_missing_iat() {
    let outcome = refused(&mut world(), remove("iat"));
    assert_eq!(outcome, ("claim_missing", "iat".into()));
}

#[test]
fn oidcc_client_test_nonce_invalid() {
    let outcome = refused(&mut world(), damage("nonce"));
    assert_eq!(outcome.0, "nonce_mismatch");
}

#[test]
fn oidcc_client_test_invalid_athash() {
    // The module is for tokens of the front channel; in the code flow the same hash is checked.
    let outcome = refused(&mut world(), damage("at_hash"));
    assert_eq!(outcome.0, "hash_mismatch");
}

#[test]
fn oidcc_client_test_idtoken_sig_rs256() {
    let mut world = rs256(Key::new("r1", "RS256", 0));
    let signed_in = world.sign_in().unwrap();
    assert_eq!(signed_in.id_token_checked[0], "signature RS256");
}

#[test]
fn oidcc_client_test_idtoken_sig_none() {
    // The suite lets a client that was registered so accept it. Nothing registers this one so.
    let outcome = refused(&mut world(), |token| {
        token.header.set("alg", json!("none")).remove("kid");
    });
    assert_eq!(outcome.0, "alg_not_allowed");
}

#[test]
fn oidcc_client_test_kid_absent_single_jwks() {
    let mut world = rs256(Key::new("", "RS256", 0).unnamed());
    world.sign_in().unwrap();
    assert_eq!(world.userinfo().unwrap()["sub"], "user-1");
}

#[test]
fn oidcc_client_test_kid_absent_multiple_jwks() {
    // Refusing or trying all is left to the client. Which key is meant must be said.
    let mut world = rs256(Key::new("", "RS256", 0).unnamed());
    world.idp().keys.push(Key::new("", "RS256", 1).unnamed());
    let outcome = refused(&mut world, |_| {});
    assert_eq!(outcome.0, "key_ambiguous");
}

/// A sign-in with an ID token whose signature does not fit.
fn damaged_signature(mut world: World, algorithm: &'static str) -> &'static str {
    let other = if algorithm == "RS256" {
        Key::new("x", "RS256", 1)
    } else {
        Key::new("x", "ES256", 77)
    };
    world.idp().edit_id_token = None;
    let url = world.begin().unwrap();
    let callback = world.agree(&url);
    let parameters = form::decode(url.split_once('?').unwrap().1).unwrap();
    let nonce = form::once(&parameters, "nonce").unwrap().unwrap();
    let mut token = crate::support::Token::by(world.idp().key(), "JWT");
    let now = world.net.now.seconds();
    token
        .claims
        .set("iss", json!("https://as.example"))
        .set("aud", json!("spa"))
        .set("sub", json!("user-1"))
        .set("nonce", json!(nonce))
        .set("iat", now)
        .set("exp", now + 300);
    // Signed by somebody else under the name of the provider's key.
    world.idp().raw_id_token = Some(token.sign(&other));
    let outcome = crate::support::code(world.finish(&callback));
    crate::assert_nothing_goes_on(&mut world);
    outcome
}

#[test]
fn oidcc_client_test_invalid_sig_rs256() {
    let world = rs256(Key::new("r1", "RS256", 0));
    assert_eq!(damaged_signature(world, "RS256"), "signature_invalid");
}

#[test]
fn oidcc_client_test_invalid_sig_es256() {
    assert_eq!(damaged_signature(world(), "ES256"), "signature_invalid");
}

#[test]
fn oidcc_client_test_invalid_sig_hs256() {
    // A page has no secret, so no signature of this kind is right.
    let outcome = refused(&mut world(), |token| {
        token.header.set("alg", json!("HS256")).remove("kid");
    });
    assert_eq!(outcome.0, "alg_not_allowed");
}

#[test]
fn oidcc_client_test_client_secret_basic() {
    // Only client_secret_basic is taken. Id and secret are form-encoded before they are joined.
    let auth = json!({"method": "client_secret_basic", "clientSecret": "s:S3CRET %+"});
    let mut world = World::with(json!({"clientAuth": auth}));
    world.idp().metadata["token_endpoint_auth_methods_supported"] = json!(["client_secret_basic"]);
    world.sign_in().unwrap();
    let mut sent = world.net.sent.iter();
    let sent = sent.find(|sent| sent.purpose == Purpose::Token).unwrap();
    // spa:s%3AS3CRET+%25%2B
    assert_eq!(
        sent.authorization.as_deref(),
        Some("Basic c3BhOnMlM0FTM0NSRVQrJTI1JTJC")
    );
    assert_eq!(sent.field("client_secret"), None);
    // What the provider does not take is not tried.
    let auth = json!({"method": "client_secret_post", "clientSecret": "S3CRET-of-the-client"});
    let mut world = World::with(json!({"clientAuth": auth}));
    world.idp().metadata["token_endpoint_auth_methods_supported"] = json!(["client_secret_basic"]);
    assert_eq!(code_at(world.sign_in()).0, "config_invalid");
    assert_eq!(world.net.count(Purpose::Token), 0);
}

#[test]
fn oidcc_client_test_form_post_error() {
    let mut world = World::with(json!({"responseMode": "form_post"}));
    let asked = json!({"maxAge": 0, "prompt": "none"});
    let url = world.begin_with(asked).unwrap();
    let query = form::decode(url.split_once('?').unwrap().1).unwrap();
    for (name, value) in [
        ("response_mode", "form_post"),
        ("max_age", "0"),
        ("prompt", "none"),
    ] {
        assert_eq!(form::once(&query, name), Ok(Some(value)));
    }
    let state = form::once(&query, "state").unwrap().unwrap();
    let posted = format!(
        "https://app.example/cb\nerror=login_required&state={state}&iss=https%3A%2F%2Fas.example"
    );
    let refused = world.finish(&posted).unwrap_err();
    assert_eq!(refused.code(), "login_required");
    let details = refused.details().unwrap();
    assert_eq!(details.error.as_deref(), Some("login_required"));
    assert_eq!(world.net.count(Purpose::Token), 0);
}
