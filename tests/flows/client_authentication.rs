//! How a client shows a provider who it is.

use std::sync::Arc;

use gatepass::Error;
use gatepass::client::Client;
use gatepass::flow::{Event, Flow as _, Step};
use gatepass::http::Purpose;
use gatepass::jose::rust_crypto::{self, PrivateKey};
use gatepass::jose::{Algorithm, Algorithms, KeyName, Unverified, VerificationKey};
use serde_json::{Value, json};

use crate::support::{GuardWorld, Key, Reply, Sent, World, code_at, from_base64url, options};

/// 32 bytes, as `client_secret_jwt` needs them.
const SECRET: &str = "S3CRET-of-32-bytes-for-this-test";

fn with(auth: Value) -> World {
    let mut world = World::with(json!({"clientAuth": auth, "clientId": "machine"}));
    world.net.keep_secret(SECRET);
    world
}

/// The token request of a client with this authentication.
fn sent_with(auth: Value) -> Sent {
    let mut world = with(auth);
    world.granted(json!({})).unwrap();
    sent_last(&world)
}

fn sent_last(world: &World) -> Sent {
    let sent = world.net.sent.iter().rev();
    let mut sent = sent.filter(|sent| sent.purpose == Purpose::Token);
    sent.next().unwrap().clone()
}

/// A client whose key signs.
fn with_key(alg: &'static str, more: Value) -> (World, Key) {
    let mut auth = json!({"method": "private_key_jwt"});
    for (name, value) in more.as_object().unwrap() {
        auth[name] = value.clone();
    }
    let mut world = with(auth);
    let key = Key::new("client-1", alg, 9);
    let algorithm = Algorithm::from_name(alg).unwrap();
    let private = PrivateKey::from_jwk(&options(&key.private_jwk()), None).unwrap();
    world.net.signing_keys = vec![(KeyName::ClientAssertion, private)];
    world
        .client
        .set_key(algorithm, Some("client-1".into()))
        .unwrap();
    (world, key)
}

/// Header and claims of a token.
fn parts(token: &str) -> (Value, Value) {
    let mut parts = token.split('.').map(from_base64url);
    let mut next = || serde_json::from_slice(&parts.next().unwrap()).unwrap();
    (next(), next())
}

fn refused(auth: Value) -> (&'static str, String) {
    let given = json!({"issuer": "https://as.example", "clientId": "m:1", "clientAuth": auth});
    code_at(Client::from_options(&options(&given)))
}

#[test]
fn req_35_a_public_client_names_itself_in_the_body_and_sends_no_header() {
    let mut world = World::new();
    world.granted(json!({})).unwrap();
    let sent = sent_last(&world);
    assert_eq!(sent.authorization, None);
    assert_eq!(
        sent.body.as_deref(),
        Some("grant_type=client_credentials&client_id=spa")
    );
}

#[test]
fn req_33_id_and_secret_are_encoded_before_they_are_joined() {
    let auth = json!({"method": "client_secret_basic", "clientSecret": ":%+ \u{fc}"});
    let given = json!({"clientId": "a:b", "clientAuth": auth});
    let mut world = World::with(given);
    world.granted(json!({})).unwrap();
    let sent = sent_last(&world);
    // a%3Ab:%3A%25%2B+%C3%BC
    assert_eq!(
        sent.authorization.as_deref(),
        Some("Basic YSUzQWI6JTNBJTI1JTJCKyVDMyVCQw==")
    );
    // RFC 6749 section 2.3: one way at a time.
    assert_eq!(sent.field("client_id"), None);
}

#[test]
fn raw_is_for_providers_that_do_not_decode() {
    let auth = json!({"method": "client_secret_basic_raw", "clientSecret": "s:% +"});
    let sent = sent_with(auth);
    // machine:s:% +
    assert_eq!(
        sent.authorization.as_deref(),
        Some("Basic bWFjaGluZTpzOiUgKw==")
    );
}

#[test]
fn a_secret_in_the_body_sends_no_header() {
    let sent = sent_with(json!({"method": "client_secret_post", "clientSecret": SECRET}));
    assert_eq!(sent.authorization, None);
    assert_eq!(sent.field("client_id").as_deref(), Some("machine"));
    assert_eq!(sent.field("client_secret").as_deref(), Some(SECRET));
}

#[test]
fn mutual_tls_sends_the_name_alone() {
    for method in ["tls_client_auth", "self_signed_tls_client_auth", "none"] {
        let sent = sent_with(json!({"method": method}));
        assert_eq!(sent.authorization, None);
        assert_eq!(
            sent.body.as_deref(),
            Some("grant_type=client_credentials&client_id=machine")
        );
    }
}

#[test]
fn req_31_an_assertion_is_about_the_client_for_the_issuer_for_a_minute() {
    for (more, typ) in [
        (json!({}), "JWT"),
        (
            json!({"assertionType": "client-authentication+jwt"}),
            "client-authentication+jwt",
        ),
    ] {
        let (mut world, key) = with_key("ES256", more);
        world.granted(json!({})).unwrap();
        let sent = sent_last(&world);
        assert_eq!(sent.authorization, None);
        assert_eq!(
            sent.field("client_assertion_type").as_deref(),
            Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
        );
        let assertion = sent.field("client_assertion").unwrap();
        let (header, claims) = parts(&assertion);
        assert_eq!(
            header,
            json!({"alg": "ES256", "typ": typ, "kid": "client-1"})
        );
        let now = world.net.now.seconds();
        assert_eq!(claims["iss"], "machine");
        assert_eq!(claims["sub"], "machine");
        assert_eq!(claims["aud"], "https://as.example");
        assert_eq!(claims["iat"], now);
        assert_eq!(claims["exp"], now + 60);
        assert_eq!(claims["jti"].as_str().unwrap().len(), 22);
        assert_eq!(claims.as_object().unwrap().len(), 6);

        let public = Arc::new(VerificationKey::read(&options(&key.jwk())).unwrap());
        let read = Unverified::parse(&assertion, 10_000, &Algorithms::all()).unwrap();
        assert!(rust_crypto::verify(&read.check(&public).unwrap()));
    }
}

#[test]
fn req_31_each_request_has_an_assertion_of_its_own() {
    let (mut world, _) = with_key("EdDSA", json!({}));
    let mut seen = Vec::new();
    for scope in ["a", "b"] {
        world.granted(json!({"scope": scope})).unwrap();
        let assertion = sent_last(&world).field("client_assertion").unwrap();
        seen.push(parts(&assertion).1["jti"].clone());
    }
    assert_ne!(seen[0], seen[1]);
}

#[test]
fn req_32_an_assertion_is_never_for_the_token_endpoint() {
    let (mut world, _) = with_key("PS256", json!({}));
    world.granted(json!({})).unwrap();
    let assertion = sent_last(&world).field("client_assertion").unwrap();
    let audience = parts(&assertion).1["aud"].clone();
    assert!(audience.is_string());
    assert_ne!(audience, world.idp().metadata["token_endpoint"]);
}

#[test]
fn a_secret_signs_an_assertion_with_hs256() {
    use hmac::{KeyInit as _, Mac as _};
    let sent = sent_with(json!({"method": "client_secret_jwt", "clientSecret": SECRET}));
    assert_eq!(
        (sent.authorization.as_deref(), sent.field("client_secret")),
        (None, None)
    );
    let assertion = sent.field("client_assertion").unwrap();
    assert_eq!(parts(&assertion).0, json!({"alg": "HS256", "typ": "JWT"}));
    let (message, signature) = assertion.rsplit_once('.').unwrap();
    let mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    let mac = mac.chain_update(message);
    assert!(mac.verify_slice(&from_base64url(signature)).is_ok());
}

#[test]
fn cfg_10_a_secret_that_is_missing_or_of_no_use_is_refused_by_name() {
    for (auth, at) in [
        (json!("client_secret_basic"), "clientAuth"),
        (json!({}), "method"),
        (json!({"method": "bearer"}), "method"),
        (json!({"method": "basic", "clientSecret": SECRET}), "method"),
        (json!({"method": "client_secret_basic"}), "clientSecret"),
        (
            json!({"method": "client_secret_basic", "clientSecret": ""}),
            "clientSecret",
        ),
        (
            json!({"method": "client_secret_post", "clientSecret": null}),
            "clientSecret",
        ),
        (
            json!({"method": "client_secret_jwt", "clientSecret": "too short"}),
            "clientSecret",
        ),
        (
            json!({"method": "private_key_jwt", "clientSecret": SECRET}),
            "clientSecret",
        ),
        (
            json!({"method": "none", "clientSecret": SECRET}),
            "clientSecret",
        ),
        (
            json!({"method": "private_key_jwt", "assertionType": "jwt"}),
            "assertionType",
        ),
        (
            json!({"method": "none", "assertionType": "JWT"}),
            "assertionType",
        ),
        (
            json!({"method": "client_secret_basic_raw", "clientSecret": SECRET}),
            "clientId",
        ),
        (json!({"method": "none", "secret": "x"}), "secret"),
    ] {
        assert_eq!(
            refused(auth.clone()),
            ("config_invalid", at.into()),
            "{auth}"
        );
    }
}

#[test]
fn a_key_is_given_only_where_one_is_needed() {
    let mut world = with(json!({"method": "client_secret_basic", "clientSecret": SECRET}));
    let given = world.client.set_key(Algorithm::Es256, None);
    assert_eq!(code_at(given), ("config_invalid", "key".into()));
    let (mut world, _) = with_key("ES256", json!({}));
    let given = world.client.set_key(Algorithm::Hs256, None);
    assert_eq!(code_at(given), ("config_invalid", "alg".into()));
}

#[test]
fn without_its_key_nothing_is_sent() {
    let mut world = with(json!({"method": "private_key_jwt"}));
    let refused: Result<String, Error> = world.granted(json!({}));
    assert_eq!(code_at(refused), ("config_invalid", "key".into()));
    // The host has another one than the core was told of.
    let (mut world, _) = with_key("ES256", json!({}));
    world.client.set_key(Algorithm::Es384, None).unwrap();
    assert_eq!(code_at(world.granted(json!({}))).0, "key_unsuitable");
    assert_eq!(world.net.count(Purpose::Token), 0);
}

#[test]
fn what_the_metadata_rules_out_is_not_tried() {
    let (mut world, _) = with_key("ES256", json!({}));
    world.idp().metadata["token_endpoint_auth_methods_supported"] = json!(["client_secret_basic"]);
    let refused = world.granted(json!({}));
    assert_eq!(code_at(refused), ("config_invalid", "method".into()));

    let (mut world, _) = with_key("ES256", json!({}));
    let metadata = &mut world.idp().metadata;
    metadata["token_endpoint_auth_methods_supported"] = json!(["private_key_jwt"]);
    metadata["token_endpoint_auth_signing_alg_values_supported"] = json!(["RS256"]);
    let refused = world.granted(json!({}));
    assert_eq!(code_at(refused), ("config_invalid", "alg".into()));
    assert_eq!(world.net.count(Purpose::Token), 0);

    let (mut world, _) = with_key("ES256", json!({}));
    let metadata = &mut world.idp().metadata;
    metadata["token_endpoint_auth_methods_supported"] = json!(["private_key_jwt"]);
    metadata["token_endpoint_auth_signing_alg_values_supported"] = json!(["RS256", "ES256"]);
    assert!(world.granted(json!({})).is_ok());
}

#[test]
fn a_guard_shows_itself_by_an_assertion_too() {
    let given = json!({"auth": "private_key_jwt", "clientId": "rs"});
    let mut world = GuardWorld::with(json!({"introspection": given}));
    let key = Key::new("rs-1", "RS256", 1);
    let private = PrivateKey::from_jwk(&options(&key.private_jwk()), None).unwrap();
    world.net.signing_keys = vec![(KeyName::ClientAssertion, private)];
    world
        .guard
        .set_key(Algorithm::Rs256, Some("rs-1".into()))
        .unwrap();
    assert!(world.guard.lacks_seed());
    world.guard.give_seed([4; 32]);
    assert!(!world.guard.lacks_seed());

    let token = world.opaque();
    assert_eq!(world.code(&token), "accepted");
    let sent = world.net.sent.iter();
    let sent = sent
        .rev()
        .find(|sent| sent.purpose == Purpose::Introspection)
        .unwrap();
    let assertion = sent.field("client_assertion").unwrap();
    let (header, claims) = parts(&assertion);
    assert_eq!(header["kid"], "rs-1");
    assert_eq!(
        (&claims["iss"], &claims["aud"]),
        (&json!("rs"), &json!("https://as.example"))
    );
    // A question that nobody signs frees its place.
    world.net.signing_keys.clear();
    for _ in 0..40 {
        let token = world.opaque();
        assert_eq!(world.code(&token), "key_unsuitable");
    }
}

#[test]
fn an_event_that_does_not_fit_is_misuse() {
    use gatepass::client::machine::{Grant, GrantRequest};
    let (mut world, _) = with_key("ES256", json!({}));
    let grant = Grant::client_credentials(&options(&json!({})), &world.client).unwrap();
    for event in [Event::Woke, Event::Signed(vec![0; 64]), Event::SignFailed] {
        let mut flow = GrantRequest::new(grant.clone(), [1; 32]);
        let step = flow.step(&mut world.client, world.net.now, event);
        assert_eq!(code_at(step).0, "flow_misused");
    }
    let mut flow = GrantRequest::new(grant, [1; 32]);
    let step = flow.step(&mut world.client, world.net.now, Event::Start);
    assert!(matches!(step, Ok(Step::Send(_))));
    let step = flow.step(&mut world.client, world.net.now, Event::Start);
    assert_eq!(code_at(step).0, "flow_misused");
}

/// What a server sends about its user, from the pushed request to the sign-out.
const OF_A_USER: [Purpose; 4] = [
    Purpose::PushedRequest,
    Purpose::Token,
    Purpose::Refresh,
    Purpose::Revocation,
];

/// All that a server sends in a sign-in with a pushed request, a refresh and a sign-out, by purpose.
fn sent_by(world: &mut World) -> Vec<Sent> {
    world.sign_in().unwrap();
    world.refresh().unwrap();
    world.sign_out().unwrap();
    let sent = &world.net.sent;
    let of = |purpose| sent.iter().filter(move |sent| sent.purpose == purpose);
    OF_A_USER.into_iter().flat_map(of).cloned().collect()
}

fn server(auth: Value) -> World {
    let mut world =
        World::with(json!({"clientAuth": auth, "clientId": "server", "par": "require"}));
    world.net.keep_secret(SECRET);
    world
}

#[test]
fn a_server_shows_its_secret_in_all_that_it_sends_about_its_user() {
    let mut world = server(json!({"method": "client_secret_basic", "clientSecret": SECRET}));
    let sent = sent_by(&mut world);
    // Both tokens are ended.
    assert_eq!(sent.len(), 5);
    for sent in &sent {
        let header = sent.authorization.as_deref().unwrap();
        // server:SECRET
        assert_eq!(
            header,
            "Basic c2VydmVyOlMzQ1JFVC1vZi0zMi1ieXRlcy1mb3ItdGhpcy10ZXN0"
        );
        // RFC 9126 section 2.1: a pushed request names its client as every other one does.
        let is_pushed = sent.purpose == Purpose::PushedRequest;
        assert_eq!(sent.field("client_id").is_some(), is_pushed);
    }
    let mut world = server(json!({"method": "client_secret_post", "clientSecret": SECRET}));
    for sent in sent_by(&mut world) {
        assert_eq!(sent.authorization, None);
        let named = |(name, _): &&(String, String)| name == "client_id";
        assert_eq!(sent.form().iter().filter(named).count(), 1);
        assert_eq!(sent.field("client_secret").as_deref(), Some(SECRET));
    }
}

#[test]
fn req_31_a_server_makes_an_assertion_for_each_request_about_its_user() {
    let mut world = server(json!({"method": "private_key_jwt"}));
    let key = Key::new("client-1", "ES256", 9);
    let private = PrivateKey::from_jwk(&options(&key.private_jwk()), None).unwrap();
    world.net.signing_keys = vec![(KeyName::ClientAssertion, private)];
    world.client.set_key(Algorithm::Es256, None).unwrap();
    assert!(world.client.lacks_seed());
    world.client.give_seed([8; 32]);
    assert!(!world.client.lacks_seed());
    let mut seen = Vec::new();
    for sent in sent_by(&mut world) {
        assert_eq!(sent.field("client_id").as_deref(), Some("server"));
        let (_, claims) = parts(&sent.field("client_assertion").unwrap());
        assert_eq!(
            (&claims["sub"], &claims["aud"]),
            (&json!("server"), &json!("https://as.example"))
        );
        seen.push(claims["jti"].to_string());
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 5);

    let mut world = server(json!({"method": "client_secret_jwt", "clientSecret": SECRET}));
    world.client.give_seed([8; 32]);
    for sent in sent_by(&mut world) {
        assert!(sent.field("client_assertion").is_some());
        assert_eq!(sent.field("client_secret"), None);
    }
}

#[test]
fn an_assertion_is_not_left_out_where_none_can_be_made() {
    let (mut world, _) = with_key("ES256", json!({}));
    let refused = world.sign_in();
    assert_eq!(code_at(refused), ("config_invalid", "method".into()));
    assert_eq!(world.net.count(Purpose::Token), 0);
}

#[test]
fn signing_out_goes_on_where_the_provider_does_not_know_us() {
    let auth = json!({"method": "client_secret_post", "clientSecret": SECRET});
    let mut world = World::with(json!({"clientAuth": auth, "clientId": "server"}));
    world.sign_in().unwrap();
    world.net.signing_keys.clear();
    let refusal = Reply::json(json!({"error": "invalid_client"})).with_status(401);
    world.idp().always(Purpose::Revocation, refusal);
    let signed_out = world.sign_out_with(json!({})).unwrap();
    assert!(signed_out.url.is_some());
    let failure = signed_out.revocation_failure.unwrap();
    assert_eq!(failure.code(), "server_error_response");
    assert_eq!(world.net.count(Purpose::Revocation), 2);
    assert!(world.client.session().is_none());
}
