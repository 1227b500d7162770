//! Signed authorization requests (RFC 9101).

use std::sync::Arc;

use gatepass::http::{Purpose, form};
use gatepass::jose::rust_crypto::{self, PrivateKey};
use gatepass::jose::{Algorithm, Algorithms, KeyName, Unverified, VerificationKey};
use serde_json::{Value, json};

use crate::support::{Key, World, code_at, from_base64url, options};

/// A client whose requests are signed, with its key.
fn signing(more: Value) -> (World, Key) {
    let mut given = json!({"requestObject": {}});
    for (name, value) in more.as_object().unwrap() {
        given[name] = value.clone();
    }
    let mut world = World::with(given);
    let key = Key::new("request-1", "ES256", 21);
    let private = PrivateKey::from_jwk(&options(&key.private_jwk()), None).unwrap();
    world.net.signing_keys = vec![(KeyName::RequestObject, private)];
    assert!(world.client.lacks_request_key());
    world
        .client
        .set_request_key(Algorithm::Es256, Some("request-1".into()))
        .unwrap();
    assert!(!world.client.lacks_request_key());
    (world, key)
}

/// The parameters of a URL.
fn parameters(url: &str) -> Vec<(String, String)> {
    form::decode(url.split_once('?').unwrap().1).unwrap()
}

/// Header and claims of the request object among some parameters, after its signature was checked.
fn object(parameters: &[(String, String)], key: &Key) -> (Value, Value) {
    let object = form::once(parameters, "request").unwrap().unwrap();
    let public = Arc::new(VerificationKey::read(&options(&key.jwk())).unwrap());
    let read = Unverified::parse(object, 64_000, &Algorithms::all()).unwrap();
    assert!(rust_crypto::verify(&read.check(&public).unwrap()));
    let mut parts = object.split('.').map(from_base64url);
    let mut next = || serde_json::from_slice(&parts.next().unwrap()).unwrap();
    (next(), next())
}

#[test]
fn req_29_a_request_object_says_who_asks_whom_until_when_and_is_no_assertion() {
    let (mut world, key) = signing(json!({}));
    let url = world.begin().unwrap();
    let (header, claims) = object(&parameters(&url), &key);
    assert_eq!(
        header,
        json!({"alg": "ES256", "typ": "oauth-authz-req+jwt", "kid": "request-1"})
    );
    let now = world.net.now.seconds();
    assert_eq!(claims["iss"], "spa");
    assert_eq!(claims["client_id"], "spa");
    assert_eq!(claims["aud"], "https://as.example");
    assert_eq!(claims["iat"], now);
    assert_eq!(claims["nbf"], now);
    assert_eq!(claims["exp"], now + 300);
    assert_eq!(claims.get("sub"), None);
    // The provider reads it, and the sign-in goes on as every other one.
    let callback = world.agree(&url);
    world.finish(&callback).unwrap();
}

#[test]
fn req_30_what_is_asked_for_stands_in_the_object_and_nothing_nests() {
    let more = json!({
        "resource": ["https://a.example", "https://b.example"],
        "authorizationParams": {"ui_locales": "de"},
    });
    let (mut world, key) = signing(more);
    let mut plain = World::with(json!({
        "resource": ["https://a.example", "https://b.example"],
        "authorizationParams": {"ui_locales": "de"},
    }));
    let asked = json!({
        "maxAge": 60,
        "claims": {"id_token": {"email": {"essential": true}}},
        "authorizationDetails": [{"type": "payment"}],
    });
    let url = world.begin_with(asked.clone()).unwrap();
    let beside = parameters(&url);
    let names: Vec<_> = beside.iter().map(|(name, _)| name.as_str()).collect();
    // The two that OpenID Connect Core section 6.1 wants outside are there.
    assert_eq!(names, ["client_id", "response_type", "scope", "request"]);
    let (_, mut claims) = object(&beside, &key);
    for name in ["request", "request_uri"] {
        assert_eq!(claims.get(name), None);
    }
    assert_eq!(claims["max_age"], 60);
    assert_eq!(
        claims["claims"],
        json!({"id_token": {"email": {"essential": true}}})
    );
    assert_eq!(
        claims["authorization_details"],
        json!([{"type": "payment"}])
    );
    assert_eq!(
        claims["resource"],
        json!(["https://a.example", "https://b.example"])
    );
    // Every parameter of an unsigned request is there, and nothing else.
    let claims = claims.as_object_mut().unwrap();
    for name in ["iss", "aud", "iat", "nbf", "exp"] {
        claims.remove(name).unwrap();
    }
    let mut expected: Vec<_> = parameters(&plain.begin_with(asked).unwrap())
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    expected.sort();
    expected.dedup();
    let mut members: Vec<_> = claims.keys().cloned().collect();
    members.sort();
    assert_eq!(members, expected);
    for name in ["request", "request_uri"] {
        let given = json!({"authorizationParams": {name: "x"}});
        assert_eq!(
            code_at(world.begin_with(given)),
            ("config_invalid", name.into())
        );
    }
}

#[test]
fn a_signed_request_is_pushed_as_it_is() {
    let (mut world, key) = signing(json!({"par": "require"}));
    let url = world.begin().unwrap();
    let names: Vec<_> = parameters(&url).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["client_id", "request_uri"]);
    let sent = world.net.sent.last().unwrap();
    assert_eq!(sent.purpose, Purpose::PushedRequest);
    let pushed = sent.form();
    let names: Vec<_> = pushed.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["client_id", "request"]);
    assert_eq!(object(&pushed, &key).1["response_type"], "code");
    let callback = world.agree(&url);
    world.finish(&callback).unwrap();
}

#[test]
fn without_its_key_or_where_the_provider_takes_none_no_request_is_made() {
    let at = ("config_invalid", "requestObject".to_owned());
    let mut world = World::with(json!({"requestObject": {}}));
    assert_eq!(code_at(world.begin()), at);
    let rulings = [
        ("request_parameter_supported", json!(false)),
        (
            "request_object_signing_alg_values_supported",
            json!(["RS256"]),
        ),
    ];
    for (name, value) in rulings {
        let (mut world, _) = signing(json!({}));
        world.idp().metadata[name] = value;
        assert_eq!(code_at(world.begin()), at, "{name}");
    }
    let (mut world, _) = signing(json!({}));
    world.idp().metadata["request_parameter_supported"] = json!(true);
    world.idp().metadata["request_object_signing_alg_values_supported"] = json!(["ES256"]);
    assert!(world.begin().is_ok());
    // The host has no such key.
    world.net.signing_keys.clear();
    assert_eq!(code_at(world.begin()).0, "key_unsuitable");
}

#[test]
fn where_requests_must_be_signed_an_unsigned_one_is_not_made() {
    let mut world = World::new();
    world.idp().metadata["require_signed_request_object"] = json!(true);
    let refused = world.begin();
    assert_eq!(
        code_at(refused),
        ("config_invalid", "requestObject".to_owned())
    );
    let (mut world, _) = signing(json!({}));
    world.idp().metadata["require_signed_request_object"] = json!(true);
    assert!(world.begin().is_ok());
}

#[test]
fn a_key_for_requests_is_given_only_where_one_is_needed() {
    let mut world = World::new();
    let given = world.client.set_request_key(Algorithm::Es256, None);
    assert_eq!(code_at(given), ("config_invalid", "key".into()));
    let (mut world, _) = signing(json!({}));
    let given = world.client.set_request_key(Algorithm::Hs256, None);
    assert_eq!(code_at(given), ("config_invalid", "alg".into()));
}
