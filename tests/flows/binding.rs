//! Tokens that are bound to a client's certificate (RFC 8705), or to something unknown.

use gatepass::http::Purpose;
use serde_json::json;

use crate::support::{DpopWorld, code_at, thumbprint};

const HEX: &str = "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20";
const HASH: &str = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA";
const OTHER: &str = "BQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA";

/// The code and place for a token that is bound to [`HASH`], shown over a connection with this
/// certificate.
fn shown(certificate: Option<&str>) -> (&'static str, String) {
    let mut world = DpopWorld::with(json!({}));
    world.scheme = "Bearer";
    world.certificate = certificate.map(String::from);
    let token = world.confirmed(json!({"x5t#S256": HASH}));
    let sent = world.send(&token, None);
    code_at(sent.map_err(|refusal| refusal.error().clone()))
}

#[test]
fn dpp_36_a_token_is_good_over_the_connection_of_its_certificate() {
    for certificate in [HASH, HEX, &HEX.to_uppercase()] {
        assert_eq!(shown(Some(certificate)).0, "accepted", "{certificate}");
    }
}

#[test]
fn dpp_36_a_missing_or_different_certificate_is_refused() {
    let mismatch = ("binding_mismatch", "cnf.x5t#S256".to_owned());
    // Hosts write an empty text where there was no certificate or where it was not verified.
    for certificate in [None, Some(""), Some(OTHER)] {
        assert_eq!(shown(certificate), mismatch, "{certificate:?}");
    }
}

#[test]
fn dpp_36_what_is_no_hash_is_a_fault_of_the_program() {
    for certificate in ["x", &HASH[1..], &format!("{HASH}="), &HEX[2..], "CN=client"] {
        assert_eq!(
            shown(Some(certificate)),
            ("config_invalid", "certificateSha256".to_owned()),
            "{certificate}"
        );
    }
}

#[test]
fn a_certificate_beside_an_unbound_token_changes_nothing() {
    let mut world = DpopWorld::with(json!({}));
    world.scheme = "Bearer";
    world.certificate = Some(HASH.into());
    let token = world.world.good();
    assert!(world.send(&token, None).is_ok());
}

#[test]
fn a_token_that_is_bound_twice_needs_both() {
    let mut world = DpopWorld::new();
    let token = world.confirmed(json!({"jkt": thumbprint(&world.key), "x5t#S256": HASH}));
    let mut send = |certificate: Option<&str>| {
        world.certificate = certificate.map(String::from);
        let proof = world.proof(&token).sign(&world.key);
        world.send(&token, Some(&proof)).is_ok()
    };
    assert!(send(Some(HASH)));
    assert!(!send(None));
    assert!(!send(Some(OTHER)));
}

#[test]
fn a_token_that_is_bound_to_something_unknown_is_refused() {
    for cnf in [
        json!({}),
        json!({"kid": "k"}),
        json!({"jwk": {}}),
        json!({"jku": "https://x"}),
    ] {
        let mut world = DpopWorld::new();
        world.scheme = "Bearer";
        let token = world.confirmed(cnf.clone());
        let refusal = world.send(&token, None).unwrap_err();
        assert_eq!(refusal.error().code(), "binding_mismatch", "{cnf}");
        assert_eq!(refusal.error().at(), "cnf");
    }
    for cnf in [json!(null), json!("x"), json!([]), json!({"x5t#S256": 1})] {
        let mut world = DpopWorld::new();
        world.scheme = "Bearer";
        let token = world.confirmed(cnf.clone());
        let refusal = world.send(&token, None).unwrap_err();
        assert_eq!(refusal.error().code(), "claim_invalid", "{cnf}");
    }
}

#[test]
fn a_bound_opaque_token_is_not_shown_to_userinfo() {
    let introspection = json!({"clientId": "rs", "clientSecret": "S3CRET-of-rs", "userinfo": true});
    let mut world = DpopWorld::with(json!({"dpop": "accept", "introspection": introspection}));
    let jkt = thumbprint(&world.key);
    let token = world.world.opaque_with(|answer| {
        answer
            .set("scope", json!("openid"))
            .set("cnf", json!({"jkt": jkt}));
    });
    let proof = world.proof(&token).sign(&world.key);
    assert!(world.send(&token, Some(&proof)).is_ok());
    assert_eq!(world.world.net.count(Purpose::UserInfo), 0);
}

#[test]
fn an_opaque_token_is_bound_as_any_other() {
    let introspection = json!({"clientId": "rs", "clientSecret": "S3CRET-of-rs"});
    let mut world = DpopWorld::with(json!({"dpop": "accept", "introspection": introspection}));
    let jkt = thumbprint(&world.key);
    let token = world.world.opaque_with(|answer| {
        answer
            .set("cnf", json!({"jkt": jkt}))
            .set("token_type", json!("DPoP"))
            // Keycloak's.
            .set("typ", json!("DPoP"));
    });
    // Twice: what the provider said is kept, and bound all the same.
    for _ in 0..2 {
        let proof = world.proof(&token).sign(&world.key);
        world.scheme = "DPoP";
        assert!(world.send(&token, Some(&proof)).is_ok());
        let again = world.send(&token, Some(&proof)).unwrap_err();
        assert_eq!(again.error().code(), "dpop_replayed");
        world.scheme = "Bearer";
        let proof = world.proof(&token).sign(&world.key);
        let bearer = world.send(&token, Some(&proof)).unwrap_err();
        assert_eq!(bearer.error().code(), "binding_mismatch");
    }
    // One that is bound to a key is of that type, and the reverse.
    let unbound = world.world.opaque();
    world.scheme = "DPoP";
    let proof = world.proof(&unbound).sign(&world.key);
    let refusal = world.send(&unbound, Some(&proof)).unwrap_err();
    assert_eq!(refusal.error().code(), "binding_mismatch");
}
