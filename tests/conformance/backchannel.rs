//! The plan of back-channel logout.

use gatepass::Error;
use gatepass::client::{LogoutAnswer, LogoutToken};
use serde_json::json;

use crate::support::{Backend, EVENT, Key, Token, code};
use crate::{damage, remove};

/// The status with which a token is answered, and why.
fn answer(outcome: Result<LogoutToken, Error>) -> (u16, &'static str) {
    let status = match &outcome {
        Ok(_) => LogoutAnswer::ACCEPTED.status,
        Err(error) => LogoutAnswer::refused(error).status,
    };
    (status, code(outcome))
}

fn edited(edit: impl FnOnce(&mut Token)) -> (u16, &'static str) {
    answer(Backend::new().check(edit))
}

#[test]
fn oidcc_client_test_rp_backchannel_rpinitlogout() {
    let mut backend = Backend::new();
    let token = backend.check(|_| {}).unwrap();
    // Exactly 200, and the session of the ID token is the one that ends.
    assert_eq!(LogoutAnswer::ACCEPTED.status, 200);
    assert!(token.ends("https://as.example", "user-1", Some("session-1")));
}

#[test]
fn oidcc_client_test_rp_backchannel_rpinitlogout_alg_none() {
    let outcome = edited(|token| {
        token.header.set("alg", json!("none"));
    });
    assert_eq!(outcome, (400, "alg_not_allowed"));
}

#[test]
fn oidcc_client_test_rp_backchannel_rpinitlogout_no_event() {
    assert_eq!(edited(remove("events")), (400, "claim_missing"));
}

#[test]
fn oidcc_client_test_rp_backchannel_rpinitlogout_with_nonce() {
    let outcome = edited(|token| {
        token.claims.set("nonce", json!("n-0S6_WzA2Mj"));
    });
    assert_eq!(outcome, (400, "claim_invalid"));
}

#[test]
fn oidcc_client_test_rp_backchannel_rpinitlogout_wrong_alg() {
    // Registered is RS256, and the provider has a key for ES256 too.
    let mut backend = Backend::with(json!({"algorithms": "RS256"}));
    backend.net.idps[0].keys.push(Key::new("r1", "RS256", 0));
    assert_eq!(answer(backend.check(|_| {})), (400, "alg_not_allowed"));
    backend.net.idps[0].signs_with = 1;
    assert_eq!(answer(backend.check(|_| {})), (200, "accepted"));
}

#[test]
fn oidcc_client_test_rp_backchannel_rpinitlogout_wrong_aud() {
    assert_eq!(edited(damage("aud")), (400, "audience_mismatch"));
}

#[test]
fn oidcc_client_test_rp_backchannel_rpinitlogout_wrong_event() {
    let outcome = edited(|token| {
        let other = format!("{EVENT}1");
        token.claims.set("events", json!({other: {}}));
    });
    assert_eq!(outcome, (400, "claim_missing"));
}

#[test]
fn oidcc_client_test_rp_backchannel_rpinitlogout_wrong_iss() {
    assert_eq!(edited(damage("iss")), (400, "issuer_mismatch"));
}
