//! Tokens that are made here: what is signed verifies with the public key, under every algorithm.

use std::sync::Arc;

use gatepass::ErrorKind;
use gatepass::flow::Event;
use gatepass::http::json::Object;
use gatepass::jose::rust_crypto::{self, PrivateKey};
use gatepass::jose::{
    Algorithm, Algorithms, KeyName, SigningKey, UnsignedToken, Unverified, VerificationKey,
};
use serde_json::json;

use super::support::{Key, options};

fn unsigned(algorithm: Algorithm) -> UnsignedToken {
    let key = SigningKey::new(KeyName::ClientAssertion, algorithm, Some("k1".into()));
    let claims = options(&json!({"iss": "me", "exp": 2_000_000_000}));
    UnsignedToken::new(&key, "JWT", Object::new(), claims)
}

#[test]
fn what_is_signed_verifies_under_every_algorithm() {
    for name in [
        "ES256", "ES384", "ES512", "EdDSA", "Ed25519", "RS256", "RS384", "RS512", "PS256", "PS384",
        "PS512",
    ] {
        let key = Key::new("k1", name, 7);
        let algorithm = Algorithm::from_name(name).unwrap();
        let private = PrivateKey::from_jwk(&options(&key.private_jwk()), None).unwrap();
        let token = unsigned(algorithm);
        let signature = private.sign(&token.request(), [5; 32]).unwrap();
        let signed = Event::Signed(signature).into_signed(token).unwrap();

        let public = Arc::new(VerificationKey::read(&options(&key.jwk())).unwrap());
        let read = Unverified::parse(signed.expose(), 10_000, &Algorithms::all()).unwrap();
        assert_eq!(read.header().key_id(), Some("k1"));
        assert!(read.header().is_type("JWT"));
        let check = read.check(&public).unwrap();
        assert!(rust_crypto::verify(&check), "{name}");
    }
}

#[test]
fn a_key_is_for_one_algorithm() {
    let jwk = options(&Key::new("k1", "RS256", 0).private_jwk());
    let key = PrivateKey::from_jwk(&jwk, Some(Algorithm::Rs256)).unwrap();
    assert_eq!(key.algorithm(), Algorithm::Rs256);
    let request = unsigned(Algorithm::Ps256).request();
    let error = key.sign(&request, [5; 32]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::KeyUnsuitable);
    assert!(PrivateKey::from_jwk(&jwk, Some(Algorithm::Ps256)).is_err());
    assert!(PrivateKey::from_jwk(&jwk, Some(Algorithm::Es256)).is_err());
}

#[test]
fn a_private_key_without_its_private_members_is_none() {
    for name in ["ES256", "EdDSA", "PS256"] {
        let public = options(&Key::new("k1", name, 7).jwk());
        assert!(PrivateKey::from_jwk(&public, None).is_err(), "{name}");
    }
}

#[test]
fn a_key_in_pem_signs_as_the_same_key_in_a_jwk() {
    // Both are ES256 and Ed25519 signatures without randomness, so they are the same bytes.
    for (name, pem) in [("ES256", P256_PEM), ("EdDSA", ED25519_PEM)] {
        let algorithm = Algorithm::from_name(name).unwrap();
        let jwk = options(&Key::new("k1", name, 7).private_jwk());
        let request = unsigned(algorithm).request();
        let sign = |key: PrivateKey| key.sign(&request, [5; 32]).unwrap();
        assert_eq!(
            sign(PrivateKey::from_pkcs8_pem(pem, algorithm).unwrap()),
            sign(PrivateKey::from_jwk(&jwk, None).unwrap()),
            "{name}"
        );
        for other in [Algorithm::Es384, Algorithm::Rs256, Algorithm::Hs256] {
            let error = PrivateKey::from_pkcs8_pem(pem, other).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::KeyUnsuitable);
        }
    }
}

/// The test's key of seed 7 once more.
const P256_PEM: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgBwcHBwcHBwcHBwcH
BwcHBwcHBwcHBwcHBwcHBwcHBwehRANCAAQeGFMv1HVMAvMEHZx1zrM7g//YGsfO
T+iCzLHJi8WJbqRsMRxOL/QN2Wo2U+bkVEXTLf5Ibs7XXHqQxqGIgcCj
-----END PRIVATE KEY-----
";
const ED25519_PEM: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH
-----END PRIVATE KEY-----
";

#[test]
fn a_key_shows_nothing_of_itself() {
    let jwk = Key::new("k1", "ES256", 7).private_jwk();
    let key = PrivateKey::from_jwk(&options(&jwk), None).unwrap();
    assert_eq!(format!("{key:?}"), "PrivateKey(ES256, [redacted])");
}

#[test]
fn a_token_that_nobody_signs_has_a_code() {
    let token = || unsigned(Algorithm::Es256);
    let kind = |event: Event| event.into_signed(token()).unwrap_err().kind();
    assert_eq!(kind(Event::SignFailed), ErrorKind::KeyUnsuitable);
    assert_eq!(kind(Event::Signed(vec![1; 63])), ErrorKind::KeyUnsuitable);
    assert_eq!(kind(Event::Woke), ErrorKind::FlowMisused);
}
