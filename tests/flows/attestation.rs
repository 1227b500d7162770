//! A client for which somebody vouches (draft-ietf-oauth-attestation-based-client-auth-10).

use std::sync::Arc;

use gatepass::http::Purpose;
use gatepass::jose::rust_crypto::{self, PrivateKey};
use gatepass::jose::{Algorithm, Algorithms, KeyName, Unverified, VerificationKey};
use serde_json::{Value, json};

use crate::support::{Key, Reply, Sent, World, code_at, from_base64url, options};

const ATTESTATION: &str = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJtYWNoaW5lIn0.S3CRET-vouched";

/// A client with an attestation and its key.
fn world() -> (World, Key) {
    let auth = json!({"method": "attest_jwt_client_auth", "attestation": ATTESTATION});
    let mut world = World::with(json!({"clientAuth": auth, "clientId": "machine"}));
    world.net.keep_secret(ATTESTATION);
    let key = Key::new("client-1", "ES256", 9);
    let private = PrivateKey::from_jwk(&options(&key.private_jwk()), None).unwrap();
    world.net.signing_keys = vec![(KeyName::ClientAssertion, private)];
    let algorithm = Algorithm::from_name("ES256").unwrap();
    world
        .client
        .set_key(algorithm, Some("client-1".into()))
        .unwrap();
    (world, key)
}

/// The claims of a request's proof, after its signature was checked.
fn proof(sent: &Sent, key: &Key) -> Value {
    let (attestation, proof) = sent.attestation.as_ref().unwrap();
    assert_eq!(attestation, ATTESTATION);
    let mut parts = proof.split('.').map(from_base64url);
    let mut next = || serde_json::from_slice::<Value>(&parts.next().unwrap()).unwrap();
    let (header, claims) = (next(), next());
    let typ = "oauth-client-attestation-pop+jwt";
    assert_eq!(header, json!({"alg": "ES256", "typ": typ}));
    let read = Unverified::parse(proof, 10_000, &Algorithms::all()).unwrap();
    let public = Arc::new(VerificationKey::read(&options(&key.jwk())).unwrap());
    assert!(rust_crypto::verify(&read.check(&public).unwrap()));
    claims
}

fn refusal(challenge: &str) -> Reply {
    Reply::json(json!({"error": "use_attestation_challenge"}))
        .with_status(400)
        .with_header("oauth-client-attestation-challenge", challenge)
}

fn asked(world: &World) -> Vec<Sent> {
    let sent = world.net.sent.iter();
    sent.filter(|sent| sent.purpose == Purpose::Token)
        .cloned()
        .collect()
}

#[test]
fn req_37_the_proof_is_for_this_issuer_now_and_once() {
    let (mut world, key) = world();
    let now = world.net.now.seconds();
    for scope in ["a", "b"] {
        world.granted(json!({"scope": scope})).unwrap();
    }
    let mut names = Vec::new();
    for sent in asked(&world) {
        // Who it is stands in the body, and nothing secret beside it.
        assert_eq!(sent.field("client_id").as_deref(), Some("machine"));
        assert_eq!(sent.field("client_assertion"), None);
        assert_eq!(sent.authorization, None);
        let mut claims = proof(&sent, &key);
        names.push(claims.as_object_mut().unwrap().remove("jti").unwrap());
        assert_eq!(claims, json!({"aud": "https://as.example", "iat": now}));
    }
    assert_eq!(names.len(), 2);
    assert_ne!(names[0], names[1]);
}

#[test]
fn req_37_a_challenge_is_met_once_and_kept_for_the_next_request() {
    let (mut world, key) = world();
    world.idp().reply(Purpose::Token, refusal("challenge-1"));
    world.granted(json!({"scope": "a"})).unwrap();
    world.granted(json!({"scope": "b"})).unwrap();
    let challenges: Vec<Value> = asked(&world)
        .iter()
        .map(|sent| proof(sent, &key)["challenge"].clone())
        .collect();
    assert_eq!(
        challenges,
        [Value::Null, json!("challenge-1"), json!("challenge-1")]
    );
}

#[test]
fn req_37_a_provider_that_always_wants_another_challenge_is_asked_twice() {
    let (mut world, _) = world();
    world.idp().always(Purpose::Token, refusal("challenge-1"));
    let error = world.granted(json!({})).unwrap_err();
    let details = error.details().unwrap();
    assert_eq!(details.error.as_deref(), Some("use_attestation_challenge"));
    assert_eq!(asked(&world).len(), 2);
}

#[test]
fn req_37_a_sign_in_meets_a_challenge_too() {
    let (mut world, key) = world();
    world.client.give_seed([5; 32]);
    world.idp().reply(Purpose::Token, refusal("challenge-2"));
    world.sign_in().unwrap();
    world.refresh().unwrap();
    let asked = asked(&world);
    assert_eq!(asked.len(), 2);
    assert_eq!(proof(&asked[1], &key)["challenge"], "challenge-2");
    let refresh = world
        .net
        .sent
        .iter()
        .find(|sent| sent.purpose == Purpose::Refresh);
    assert_eq!(proof(refresh.unwrap(), &key)["challenge"], "challenge-2");
}

#[test]
fn req_37_what_is_no_challenge_is_not_sent_back() {
    for challenge in ["", "a b", "\u{e9}", &"x".repeat(1025)] {
        let (mut world, key) = world();
        world.idp().reply(Purpose::Token, refusal(challenge));
        assert_eq!(code_at(world.granted(json!({}))).0, "server_error_response");
        world.granted(json!({})).unwrap();
        let asked = asked(&world);
        assert_eq!(proof(&asked[1], &key).get("challenge"), None);
    }
}

#[test]
fn a_provider_can_rule_it_out() {
    for (name, value, at) in [
        (
            "token_endpoint_auth_methods_supported",
            json!(["none"]),
            "method",
        ),
        (
            "client_attestation_pop_signing_alg_values_supported",
            json!(["ES384"]),
            "alg",
        ),
    ] {
        let (mut world, _) = world();
        world.idp().metadata[name] = value;
        let expected = ("config_invalid", at.into());
        assert_eq!(code_at(world.granted(json!({}))), expected);
        assert!(asked(&world).is_empty());
    }
    let (mut world, _) = world();
    let names = json!(["ES256"]);
    world.idp().metadata["client_attestation_pop_signing_alg_values_supported"] = names;
    world.granted(json!({})).unwrap();
}

#[test]
fn an_attestation_that_is_none_is_refused_by_name() {
    for (auth, at) in [
        (json!({}), "attestation"),
        (json!({"attestation": ""}), "attestation"),
        (json!({"attestation": "a.b"}), "attestation"),
        (json!({"attestation": "a.b.c.d"}), "attestation"),
        (json!({"attestation": "a..c"}), "attestation"),
        (json!({"attestation": "a.b.c\r\nx: y"}), "attestation"),
        (
            json!({"attestation": format!("a.b.{}", "c".repeat(17_000))}),
            "attestation",
        ),
        (
            json!({"attestation": ATTESTATION, "clientSecret": "S3CRET"}),
            "clientSecret",
        ),
        (
            json!({"attestation": ATTESTATION, "assertionType": "JWT"}),
            "assertionType",
        ),
        (
            json!({"method": "private_key_jwt", "attestation": ATTESTATION}),
            "attestation",
        ),
        (
            json!({"method": "none", "attestation": ATTESTATION}),
            "attestation",
        ),
    ] {
        let mut all = json!({"method": "attest_jwt_client_auth"});
        for (name, value) in auth.as_object().unwrap() {
            all[name] = value.clone();
        }
        let given = json!({"issuer": "https://as.example", "clientId": "m", "clientAuth": all});
        let read = gatepass::client::Client::from_options(&options(&given));
        assert_eq!(code_at(read), ("config_invalid", at.into()), "{auth}");
    }
}
