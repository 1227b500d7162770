//! The security profile of FAPI 2.0, as far as its client is ours: `private_key_jwt`, pushed
//! requests, and tokens that are bound to a key.

use gatepass::client::{DpopKey, Remedy, remedy};
use gatepass::http::Purpose;
use gatepass::jose::rust_crypto::PrivateKey;
use gatepass::jose::{Algorithm, KeyName, TokenNames};
use serde_json::{Value, json};

use crate::support::{Key, Token, World, code_at, options};
use crate::{assert_nothing_goes_on, damage, refused, remove};

/// A client of the profile, and a provider that takes no other requests than pushed ones.
fn world() -> World {
    world_with(json!({}))
}

/// The same with more options.
fn world_with(more: Value) -> World {
    let mut given = json!({
        "clientAuth": {"method": "private_key_jwt"},
        "dpop": true,
        "par": "require",
        "allowedOrigins": ["https://api.example"],
    });
    given
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let mut world = World::with(given);
    let (client, bound) = (Key::new("c1", "ES256", 31), Key::new("d1", "ES256", 32));
    let private = |key: &Key| PrivateKey::from_jwk(&options(&key.private_jwk()), None).unwrap();
    world.net.signing_keys = vec![
        (KeyName::ClientAssertion, private(&client)),
        (KeyName::DpopProof, private(&bound)),
    ];
    world.client.set_key(Algorithm::Es256, None).unwrap();
    world.client.give_seed([6; 32]);
    let public = DpopKey::new(&options(&bound.bare_jwk()), TokenNames::new([5; 32])).unwrap();
    world.client.set_dpop_key(Some(public));
    let idp = world.idp();
    idp.binds = true;
    idp.dpop_nonce = Some("nonce-1".into());
    idp.user.set("sub", json!("user-1"));
    for (name, value) in [
        ("require_pushed_authorization_requests", json!(true)),
        (
            "token_endpoint_auth_methods_supported",
            json!(["private_key_jwt"]),
        ),
        (
            "id_token_signing_alg_values_supported",
            json!(["PS256", "ES256"]),
        ),
        ("dpop_signing_alg_values_supported", json!(["ES256"])),
    ] {
        idp.metadata[name] = value;
    }
    world
}

/// The outcome of a sign-in whose callback was changed, and that no token was asked for.
#[track_caller]
fn with_callback(edit: impl FnOnce(String) -> String) -> (&'static str, String) {
    let mut world = world();
    let url = world.begin().unwrap();
    let callback = edit(world.agree(&url));
    let outcome = code_at(world.finish(&callback));
    assert_eq!(world.net.count(Purpose::Token), 0);
    assert!(world.client.session().is_none());
    outcome
}

/// A parameter of a URL, changed.
fn changed(url: &str, name: &str, change: impl Fn(&str) -> Option<String>) -> String {
    let (page, query) = url.split_once('?').unwrap();
    let pairs = query.split('&').filter_map(|pair| {
        let (known, value) = pair.split_once('=').unwrap();
        let value = match known == name {
            true => change(value)?,
            false => value.into(),
        };
        Some(format!("{known}={value}"))
    });
    format!("{page}?{}", pairs.collect::<Vec<_>>().join("&"))
}

#[test]
fn fapi2_security_profile_final_client_test_happy_path() {
    let mut world = world();
    let signed_in = world.sign_in().unwrap();
    assert!(signed_in.id_token_checked.contains(&"nonce"));
    assert_eq!(world.userinfo().unwrap()["sub"], "user-1");
    for purpose in [Purpose::PushedRequest, Purpose::Token] {
        let mut sent = world.net.sent.iter();
        let sent = sent.rfind(|sent| sent.purpose == purpose).unwrap();
        assert!(sent.dpop.is_some() && sent.field("client_assertion").is_some());
    }
}

#[test]
fn fapi2_security_profile_final_client_test_happy_path_no_dpop_nonce() {
    let mut world = world();
    world.idp().dpop_nonce = None;
    world.sign_in().unwrap();
    assert_eq!(world.userinfo().unwrap()["sub"], "user-1");
    assert!(
        world
            .idp()
            .proofs
            .iter()
            .all(|proof| proof["nonce"] == Value::Null)
    );
}

#[test]
fn fapi2_security_profile_final_client_test_discovery_issuer_mismatch() {
    let mut world = world();
    world.idp().metadata["issuer"] = json!("https://as.exampleINVALID");
    assert_eq!(
        code_at(world.begin()),
        ("metadata_invalid", "issuer".into())
    );
    assert_eq!(world.net.count(Purpose::PushedRequest), 0);
}

#[test]
fn fapi2_security_profile_final_client_test_ensure_authorization_response_with_invalid_missing_state_fails()
 {
    let outcome = with_callback(|url| changed(&url, "state", |_| None));
    assert_eq!(outcome.0, "state_missing");
}

#[test]
fn fapi2_security_profile_final_client_test_ensure_authorization_response_with_invalid_state_fails()
{
    let outcome = with_callback(|url| changed(&url, "state", |state| Some(format!("{state}1"))));
    assert_eq!(outcome.0, "state_mismatch");
}

#[test]
fn fapi2_security_profile_final_client_test_invalid_authorization_response_iss() {
    let outcome = with_callback(|url| changed(&url, "iss", |iss| Some(format!("{iss}1"))));
    assert_eq!(outcome.0, "iss_mismatch");
}

#[test]
fn fapi2_security_profile_final_client_test_remove_authorization_response_iss() {
    let outcome = with_callback(|url| changed(&url, "iss", |_| None));
    assert_eq!(outcome.0, "iss_missing");
}

#[test]
fn fapi2_security_profile_final_client_test_invalid_alternate_alg() {
    let mut world = world();
    world.idp().keys.push(Key::new("r1", "RS256", 0));
    world.idp().signs_with = 1;
    assert_eq!(code_at(world.sign_in()).0, "alg_not_allowed");
    assert_nothing_goes_on(&mut world);
}

#[test]
fn fapi2_security_profile_final_client_test_invalid_null_alg() {
    let outcome = refused(&mut world(), |token| {
        token.header.set("alg", json!("none"));
    });
    assert_eq!(outcome.0, "alg_not_allowed");
}

#[test]
fn fapi2_security_profile_final_client_test_invalid_aud() {
    assert_eq!(refused(&mut world(), damage("aud")).0, "audience_mismatch");
}

#[test]
fn fapi2_security_profile_final_client_test_invalid_secondary_aud() {
    let outcome = refused(&mut world(), |token| {
        token.claims.set("aud", json!(["spa", "spa1"]));
    });
    assert_eq!(outcome.0, "audience_mismatch");
}

#[test]
fn fapi2_security_profile_final_client_test_valid_aud_as_array() {
    let mut world = world();
    let signed_in = world.sign_in_with_id_token(|token| {
        token.claims.set("aud", json!(["spa"]));
    });
    assert!(signed_in.is_ok());
}

#[test]
fn fapi2_security_profile_final_client_test_invalid_expired_exp() {
    let mut world = world();
    let past = world.net.now.seconds() - 360;
    let outcome = refused(&mut world, move |token| {
        token.claims.set("exp", past);
    });
    assert_eq!(outcome.0, "token_expired");
}

#[test]
fn fapi2_security_profile_final_client_test_invalid_iss() {
    assert_eq!(refused(&mut world(), damage("iss")).0, "issuer_mismatch");
}

#[test]
fn fapi2_security_profile_final_client_test_invalid_nonce() {
    assert_eq!(refused(&mut world(), damage("nonce")).0, "nonce_mismatch");
}

#[test]
fn fapi2_security_profile_final_client_test_invalid_missing_nonce() {
    assert_eq!(refused(&mut world(), remove("nonce")).0, "nonce_mismatch");
}

#[test]
fn fapi2_security_profile_final_client_test_invalid_missing_aud() {
    let outcome = refused(&mut world(), remove("aud"));
    assert_eq!(outcome, ("claim_missing", "aud".into()));
}

#[test]
fn fapi2_security_profile_final_client_test_invalid_missing_exp() {
    let outcome = refused(&mut world(), remove("exp"));
    assert_eq!(outcome, ("claim_missing", "exp".into()));
}

#[test]
fn fapi2_security_profile_final_client_test_invalid_missing_iss() {
    let outcome = refused(&mut world(), remove("iss"));
    assert_eq!(outcome, ("claim_missing", "iss".into()));
}

#[test]
fn fapi2_security_profile_final_client_test_rs_dpop_auth_scheme_case_insensitivity() {
    let world = world();
    let challenge = "dPoP error=\"use_dpop_nonce\"";
    let config = world.client.config();
    assert_eq!(remedy(config, 401, Some(challenge)), Ok(Remedy::Prove));
}

#[test]
fn fapi2_security_profile_final_client_test_token_endpoint_response_without_expires_in() {
    let mut world = world();
    world.idp().edit_response = Some(Box::new(|response| {
        response.remove("expires_in");
    }));
    world.sign_in().unwrap();
    assert_eq!(world.client.session().unwrap().expires_at(), None);
}

#[test]
fn fapi2_security_profile_final_client_test_token_type_case_insensitivity() {
    let mut world = world();
    world.idp().edit_response = Some(Box::new(|response| {
        response.set("token_type", json!("dpOp"));
    }));
    world.sign_in().unwrap();
}

/// The outcome of a sign-in whose response was to be signed (JARM), and was changed before or after
/// it was; no token was asked for.
#[track_caller]
fn with_signed_callback(
    edit: impl Fn(&mut Token) + 'static,
    change: impl FnOnce(String) -> String,
) -> (&'static str, String) {
    let mut world = world_with(json!({"responseMode": "jwt"}));
    world.idp().edit_authorization = Some(Box::new(edit));
    let url = world.begin().unwrap();
    let callback = change(world.agree(&url));
    let outcome = code_at(world.finish(&callback));
    assert_eq!(world.net.count(Purpose::Token), 0);
    assert!(world.client.session().is_none());
    outcome
}

#[track_caller]
fn with_response(edit: impl Fn(&mut Token) + 'static) -> (&'static str, String) {
    with_signed_callback(edit, |callback| callback)
}

#[test]
fn a_signed_response_of_the_profile_goes_through() {
    let mut world = world_with(json!({"responseMode": "jwt"}));
    world.sign_in().unwrap();
}

#[test]
fn fapi2_security_profile_final_client_test_ensure_jarm_signature_is_not_none() {
    let outcome = with_response(|token| {
        token.header.set("alg", json!("none"));
    });
    assert_eq!(outcome.0, "alg_not_allowed");
}

#[test]
fn fapi2_security_profile_final_client_test_ensure_jarm_with_expired_exp_fails() {
    let past = world().net.now.seconds() - 360;
    let outcome = with_response(move |token| {
        token.claims.set("exp", past);
    });
    assert_eq!(outcome.0, "token_expired");
}

#[test]
fn fapi2_security_profile_final_client_test_ensure_jarm_with_invalid_aud_fails() {
    assert_eq!(with_response(damage("aud")).0, "audience_mismatch");
}

#[test]
fn fapi2_security_profile_final_client_test_ensure_jarm_with_invalid_iss_fails() {
    assert_eq!(with_response(damage("iss")).0, "issuer_mismatch");
}

#[test]
fn fapi2_security_profile_final_client_test_ensure_jarm_with_invalid_sig_fails() {
    let outcome = with_signed_callback(
        |_| {},
        |url| {
            let (signed, signature) = url.rsplit_once('.').unwrap();
            let other = if signature.starts_with('A') { "B" } else { "A" };
            format!("{signed}.{other}{}", &signature[1..])
        },
    );
    assert_eq!(outcome.0, "signature_invalid");
}

#[test]
fn fapi2_security_profile_final_client_test_ensure_jarm_without_aud_fails() {
    let outcome = with_response(remove("aud"));
    assert_eq!(outcome, ("claim_missing", "aud".into()));
}

#[test]
fn fapi2_security_profile_final_client_test_ensure_jarm_without_exp_fails() {
    let outcome = with_response(remove("exp"));
    assert_eq!(outcome, ("claim_missing", "exp".into()));
}

#[test]
fn fapi2_security_profile_final_client_test_ensure_jarm_without_iss_fails() {
    let outcome = with_response(remove("iss"));
    assert_eq!(outcome, ("claim_missing", "iss".into()));
}
