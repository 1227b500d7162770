//! The configuration plan: metadata and keys.

use gatepass::http::Purpose;
use serde_json::json;

use crate::support::{Key, code_at};
use crate::world;

#[test]
fn oidcc_client_test_discovery_openid_config() {
    let mut world = world();
    world.begin().unwrap();
    let first = &world.net.sent[0];
    assert_eq!(first.purpose, Purpose::Discovery);
    assert_eq!(
        first.url,
        "https://as.example/.well-known/openid-configuration"
    );
}

#[test]
fn oidcc_client_test_discovery_jwks_uri_keys() {
    let mut world = world();
    world.idp().metadata["jwks_uri"] = json!("https://as.example/p3k9/keys-of-today");
    world.sign_in().unwrap();
    let keys = world.net.sent.iter();
    let keys: Vec<_> = keys.filter(|sent| sent.purpose == Purpose::Keys).collect();
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0].url, "https://as.example/p3k9/keys-of-today");
}

#[test]
fn oidcc_client_test_discovery_issuer_mismatch() {
    let mut world = world();
    world.idp().metadata["issuer"] = json!("https://as.exampleINVALID");
    let outcome = code_at(world.begin());
    assert_eq!(outcome, ("metadata_invalid", "issuer".into()));
    // Nobody is sent anywhere.
    assert!(!world.logins.to_json().contains("verifier"));
}

#[test]
fn oidcc_client_test_signing_key_rotation() {
    let mut world = world();
    world.sign_in().unwrap();
    world.net.pass(60);
    world.idp().rotate_to(Key::new("k2", "ES256", 21));
    world.net.clear();
    world.sign_in().unwrap();
    assert_eq!(world.net.count(Purpose::Keys), 1);
    assert_eq!(world.userinfo().unwrap()["sub"], "user-1");
}

#[test]
fn oidcc_client_test_signing_key_rotation_just_before_signing() {
    let mut world = world();
    // Keys are known from a sign-in of before; they change while the user is at the provider.
    world.sign_in().unwrap();
    world.net.pass(60);
    let url = world.begin().unwrap();
    let callback = world.agree(&url);
    world.idp().rotate_to(Key::new("k2", "ES256", 21));
    world.net.clear();
    world.finish(&callback).unwrap();
    assert_eq!(world.net.count(Purpose::Keys), 1);
}
