//! Signing in by FedCM: what the browser is asked for, and the rules for the token that it hands over.

use gatepass::Error;
use gatepass::client::{Attach, Completion, FedCmRequest, SignedIn, fedcm_error};
use gatepass::error::Phase;
use gatepass::http::Purpose;
use gatepass::secret::Secret;
use serde_json::{Value, json};

use crate::support::{Reply, Token, World, code, code_at, options};

const CONFIG: &str = "https://as.example/fedcm.json";

fn request(world: &mut World, given: Value) -> Result<FedCmRequest, Error> {
    let entropy = world.entropy();
    FedCmRequest::new(&options(&given), &world.client, &entropy)
}

/// What stands in a request, as JSON.
fn identity(request: &FedCmRequest) -> Value {
    serde_json::from_str(&request.to_json()).unwrap()
}

/// A token of the provider for this request, with the nonce that went out.
fn token(world: &mut World, request: &FedCmRequest, edit: impl FnOnce(&mut Token)) -> String {
    let nonce = identity(request)["providers"][0]["params"]["nonce"].clone();
    let now = world.net.now.seconds();
    let mut token = Token::by(world.idp().key(), "JWT");
    token
        .claims
        .set("iss", json!("https://as.example"))
        .set("aud", json!("spa"))
        .set("sub", json!("user-1"))
        .set("iat", now)
        .set("exp", now + 300)
        .set("nonce", nonce);
    edit(&mut token);
    let text = token.sign(world.idp().key());
    world.net.keep_secret(&text);
    text
}

fn complete(world: &mut World, request: FedCmRequest, token: &str) -> Result<SignedIn, Error> {
    let mut flow = Completion::fedcm(Secret::new(token.into()), request);
    world.net.assert_silent(&format!("{flow:?}"));
    world.net.run(&mut flow, &mut world.client)
}

fn sign_in(world: &mut World, edit: impl FnOnce(&mut Token)) -> Result<SignedIn, Error> {
    let asked = request(world, json!({"configUrl": CONFIG})).unwrap();
    let token = token(world, &asked, edit);
    complete(world, asked, &token)
}

#[test]
fn brw_17_a_request_has_a_fresh_nonce_in_params_and_beside_them() {
    let mut world = World::new();
    let asked = request(
        &mut world,
        json!({
            "configUrl": CONFIG, "mode": "active", "context": "continue", "loginHint": "alice",
            "domainHint": "example.com", "params": {"tenant": "one"},
        }),
    );
    let asked = identity(&asked.unwrap());
    let provider = &asked["providers"][0];
    let nonce = provider["nonce"].as_str().unwrap();
    assert_eq!(nonce.len(), 43);
    assert_eq!(
        asked,
        json!({
            "providers": [{
                "configURL": CONFIG, "clientId": "spa", "nonce": nonce, "loginHint": "alice",
                "domainHint": "example.com", "params": {"nonce": nonce, "tenant": "one"},
            }],
            "mode": "active", "context": "continue",
        })
    );
    let next = request(&mut world, json!({"configUrl": CONFIG})).unwrap();
    assert_ne!(identity(&next)["providers"][0]["nonce"], nonce);
    // What nobody asked for is not there.
    assert_eq!(identity(&next)["mode"], Value::Null);
}

#[test]
fn a_request_that_could_switch_a_check_off_is_config_invalid() {
    let mut world = World::new();
    for (given, at) in [
        (json!({}), "configUrl"),
        (json!({"configUrl": "/fedcm.json"}), "configUrl"),
        (
            json!({"configUrl": CONFIG, "params": {"nonce": "x"}}),
            "params",
        ),
        (json!({"configUrl": CONFIG, "params": {"a": 1}}), "params"),
        (json!({"configUrl": CONFIG, "mode": "button"}), "mode"),
        (json!({"configUrl": CONFIG, "context": "buy"}), "context"),
        (json!({"configUrl": CONFIG, "nonce": "x"}), "nonce"),
    ] {
        let refused = request(&mut world, given);
        assert_eq!(code_at(refused), ("config_invalid", at.into()));
    }
    let plain = request(
        &mut world,
        json!({"configUrl": "http://as.example/fedcm.json"}),
    );
    assert_eq!(code_at(plain), ("url_insecure", "configUrl".into()));
}

#[test]
fn brw_17_a_token_with_the_nonce_of_its_request_signs_in() {
    let mut world = World::new();
    let done = sign_in(&mut world, |_| {}).unwrap();
    assert_eq!(
        done.id_token_checked,
        [
            "signature ES256",
            "iss",
            "aud",
            "exp",
            "iat",
            "nonce",
            "sub"
        ]
    );
    let session = world.client.session().unwrap();
    assert_eq!(
        session.user().unwrap().string("sub").unwrap(),
        Some("user-1")
    );
    assert_eq!(session.fedcm(), Some(CONFIG));
}

#[test]
fn brw_17_a_token_without_the_nonce_or_with_another_is_nonce_mismatch() {
    let refused = |edit: fn(&mut Token)| {
        let mut world = World::new();
        let result = sign_in(&mut world, edit);
        assert_eq!(
            result.as_ref().err().and_then(Error::phase),
            Some(Phase::IdToken)
        );
        assert!(world.client.session().is_none());
        code(result)
    };
    assert_eq!(
        refused(|token| {
            token.claims.remove("nonce");
        }),
        "nonce_mismatch"
    );
    assert_eq!(
        refused(|token| {
            token.claims.set("nonce", json!("x"));
        }),
        "nonce_mismatch"
    );
}

#[test]
fn a_token_of_another_request_is_nonce_mismatch() {
    let mut world = World::new();
    let first = request(&mut world, json!({"configUrl": CONFIG})).unwrap();
    let token = token(&mut world, &first, |_| {});
    let second = request(&mut world, json!({"configUrl": CONFIG})).unwrap();
    assert_eq!(code(complete(&mut world, second, &token)), "nonce_mismatch");
}

#[test]
fn a_token_whose_key_could_not_be_had_can_be_tried_again() {
    let mut world = World::new();
    let request = request(&mut world, json!({"configUrl": CONFIG})).unwrap();
    let text = token(&mut world, &request, |_| {});
    world.idp().reply(Purpose::Keys, Reply::status(503));
    let again = FedCmRequest::read(&request.to_json()).unwrap();
    let error = complete(&mut world, request, &text).unwrap_err();
    assert_eq!(
        (error.code(), error.retryable()),
        ("keys_unavailable", true)
    );
    world.net.pass(60);
    assert_eq!(code(complete(&mut world, again, &text)), "accepted");
}

#[test]
fn the_other_rules_of_id_tokens_hold() {
    let refused = |edit: fn(&mut Token)| code(sign_in(&mut World::new(), edit));
    assert_eq!(
        refused(|token| {
            token.claims.set("iss", json!("https://evil.example"));
        }),
        "issuer_mismatch"
    );
    assert_eq!(
        refused(|token| {
            token.claims.set("aud", json!("other"));
        }),
        "audience_mismatch"
    );
    assert_eq!(
        refused(|token| {
            token.claims.set("exp", 1);
        }),
        "token_expired"
    );
    assert_eq!(
        refused(|token| {
            token.claims.remove("sub");
        }),
        "claim_missing"
    );
    assert_eq!(
        refused(|token| {
            token.header.set("typ", json!("at+jwt"));
        }),
        "typ_mismatch"
    );
    // It was issued with an access token that did not come along.
    assert_eq!(
        refused(|token| {
            token.claims.set("at_hash", json!("x"));
        }),
        "hash_mismatch"
    );
    let mut world = World::new();
    let asked = request(&mut world, json!({"configUrl": CONFIG})).unwrap();
    assert_eq!(
        code(complete(&mut world, asked, "no-token-S3CRET")),
        "token_malformed"
    );
}

#[test]
fn a_session_of_fedcm_has_a_user_and_nothing_for_an_api() {
    let mut world = World::new();
    sign_in(&mut world, |_| {}).unwrap();
    let session = world.client.session().unwrap();
    let now = world.net.now;
    let attach = session.attach(world.client.config(), now);
    assert!(matches!(attach, Attach::LoginRequired));
    assert!(session.access_token().is_none() && session.access_token_alive(now).is_none());
    assert!(!session.can_refresh());
    assert!(session.renewal_in(world.client.config(), now).is_none());
    assert_eq!(code(world.refresh()), "login_required");
    assert_eq!(code(world.userinfo()), "login_required");
    assert!(world.client.session().unwrap().user().is_some());
}

#[test]
fn a_stored_session_of_fedcm_reads_the_same() {
    let mut world = World::new();
    sign_in(&mut world, |_| {}).unwrap();
    let (config, issuer) = (world.client.config(), world.client.provider().issuer());
    let session = world.client.session().unwrap();
    // EXPOSE: the text is what is tested.
    let text = session.to_json(config, issuer).expose().clone();
    let read = gatepass::client::Session::read(&text, config, issuer).unwrap();
    assert_eq!(read.fedcm(), Some(CONFIG));
    assert_eq!(read.user().unwrap().string("sub").unwrap(), Some("user-1"));
    assert!(read.access_token().is_none());
}

#[test]
fn signing_out_revokes_nothing_that_is_not_there_and_names_the_user() {
    let mut world = World::new();
    sign_in(&mut world, |_| {}).unwrap();
    let done = world.sign_out_with(json!({})).unwrap();
    assert!(done.revoked.is_empty() && done.revocation_failure.is_none());
    assert!(done.url.unwrap().expose().contains("id_token_hint="));
    assert!(world.client.session().is_none());
}

#[test]
fn a_request_is_read_back_as_it_was_and_nothing_else_is_one() {
    let mut world = World::new();
    let asked = request(&mut world, json!({"configUrl": CONFIG})).unwrap();
    let text = asked.to_json();
    assert_eq!(FedCmRequest::read(&text).unwrap().to_json(), text);
    for other in ["", "{}", "[]", r#"{"providers":[{"configURL":"x"}]}"#] {
        assert_eq!(code(FedCmRequest::read(other)), "flow_misused");
    }
}

#[test]
fn brw_18_what_the_browser_says_becomes_a_code() {
    let told = |name: &str, of: Option<&str>| fedcm_error(name, of).code();
    for name in ["NetworkError", "AbortError", "IdentityCredentialError"] {
        assert_eq!(told(name, None), "fedcm_dismissed");
    }
    for name in ["NotAllowedError", "TypeError", "SecurityError", ""] {
        assert_eq!(told(name, None), "fedcm_unavailable");
    }
    let refused = fedcm_error("IdentityCredentialError", Some("access_denied\n\u{202e}"));
    assert_eq!(refused.code(), "server_error_response");
    let said = refused.details().unwrap().error.as_deref();
    assert_eq!(said, Some("access_denied"));
    assert_eq!(refused.phase(), Some(Phase::SignIn));
}
