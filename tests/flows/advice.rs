//! Errors name their likely cause, and what came in place of an answer, without repeating a secret.

use gatepass::error::Phase;
use gatepass::http::Purpose;
use gatepass::{Error, ErrorKind};
use serde_json::json;

use crate::support::{Reply, World};

/// The error of a sign-in at whose token endpoint this comes.
fn at_exchange(reply: Reply) -> Error {
    let mut world = World::new();
    world.idp().always(Purpose::Token, reply);
    world.sign_in().unwrap_err()
}

#[track_caller]
fn assert_advice(error: &Error, part: &str) {
    let advice = error.advice();
    assert!(advice.starts_with(error.hint()), "{advice}");
    assert!(advice.contains(part), "{advice}");
    // What is shown to people is the message too.
    assert!(error.to_string().ends_with(&advice));
}

#[test]
fn a_refused_code_names_the_redirect_uri_and_the_code() {
    let refused = Reply::json(json!({"error": "invalid_grant"})).with_status(400);
    let error = at_exchange(refused);
    assert_eq!(error.phase(), Some(Phase::Exchange));
    assert_advice(&error, "redirectUri is not the one of the sign-in");
}

#[test]
fn a_refused_refresh_says_to_sign_in_again() {
    let mut world = World::new();
    world.sign_in().unwrap();
    let refused = Reply::json(json!({"error": "invalid_grant"})).with_status(400);
    world.idp().always(Purpose::Refresh, refused);
    assert_advice(&world.refresh().unwrap_err(), "sign in again");
}

#[test]
fn other_refusals_name_what_to_look_at() {
    for (code, part) in [
        ("invalid_client", "a page is registered as a public client"),
        ("unauthorized_client", "allow the grant that it uses"),
        ("invalid_scope", "A scope is unknown"),
        ("invalid_target", "resource or audience"),
        (
            "invalid_request",
            "redirectUri is not registered letter by letter",
        ),
    ] {
        let refused = Reply::json(json!({"error": code})).with_status(400);
        assert_advice(&at_exchange(refused), part);
    }
    // What nobody knows is not guessed.
    let odd = at_exchange(Reply::json(json!({"error": "odd"})).with_status(400));
    assert_eq!(odd.advice(), odd.hint());
}

#[test]
fn a_refusal_in_the_callback_names_what_the_provider_wants() {
    for (code, part) in [
        ("login_required", "sign in without prompt none"),
        ("consent_required", "sign in without prompt none"),
        ("access_denied", "The user said no"),
    ] {
        let mut world = World::new();
        let url = world.begin().unwrap();
        let callback = world.agree(&url);
        let (place, query) = callback.split_once('?').unwrap();
        let rest = query.split_once('&').unwrap().1;
        let error = world.finish(&format!("{place}?error={code}&{rest}"));
        assert_advice(&error.unwrap_err(), part);
    }
}

#[test]
fn an_issuer_without_metadata_names_its_path() {
    let mut world = World::new();
    world.idp().always(Purpose::Discovery, Reply::status(404));
    let error = world.begin().unwrap_err();
    assert_eq!(error.details().unwrap().status, Some(404));
    assert_advice(&error, "check the issuer's path");
    // A provider that is down is not a wrong path.
    let mut world = World::new();
    world.idp().always(Purpose::Discovery, Reply::status(503));
    let error = world.begin().unwrap_err();
    assert_eq!(error.advice(), error.hint());
}

#[test]
fn a_clock_that_is_off_is_measured() {
    for (seconds, code, part) in [
        (-3600_i64, "token_expired", "3600 seconds ahead of"),
        (120, "issued_in_future", "120 seconds behind"),
    ] {
        let mut world = World::new();
        let error = world.sign_in_with_id_token(move |token| {
            let issued_at = 1_800_000_000 + seconds;
            token
                .claims
                .set("iat", issued_at)
                .set("exp", issued_at + 300);
        });
        let error = error.unwrap_err();
        assert_eq!(error.code(), code);
        let offset = error.details().unwrap().clock_offset.unwrap();
        assert_eq!(i64::from(offset), -seconds);
        assert_advice(&error, part);
    }
    // Another fault says nothing of the clock.
    let mut world = World::new();
    let error = world.sign_in_with_id_token(|token| {
        token.claims.set("aud", json!("other"));
    });
    assert_eq!(error.unwrap_err().details(), None);
}

#[test]
fn tok_08_a_refusal_in_a_challenge_is_read() {
    let challenge = r#"Bearer error="invalid_client", error_description="no""#;
    let reply = Reply::body("").with_status(401);
    let error = at_exchange(reply.with_header("www-authenticate", challenge));
    assert_eq!(error.kind(), ErrorKind::ServerErrorResponse);
    let details = error.details().unwrap();
    assert_eq!(details.status, Some(401));
    assert_eq!(details.error.as_deref(), Some("invalid_client"));
    assert_eq!(details.error_description.as_deref(), Some("no"));
    // A challenge that names no error, or cannot be read, tells no more than the status.
    for challenge in ["Basic realm=\"x\"", "Bearer error=\"x", ""] {
        let reply = Reply::status(401).with_header("www-authenticate", challenge);
        assert_eq!(at_exchange(reply).kind(), ErrorKind::UpstreamStatus);
    }
    // What the body says goes before.
    let reply = Reply::json(json!({"error": "invalid_grant"})).with_status(400);
    let error = at_exchange(reply.with_header("www-authenticate", r#"Bearer error="x""#));
    assert_eq!(
        error.details().unwrap().error.as_deref(),
        Some("invalid_grant")
    );
}

#[test]
fn a_page_in_place_of_an_answer_is_told_in_short() {
    let page = "<!doctype html><title>502 Bad Gateway</title><p>upstream down</p>";
    let of = |reply: Reply| {
        let error = at_exchange(reply);
        // The message has nothing of it.
        assert!(!error.to_string().contains("Gateway"));
        let details = error.details().unwrap().clone();
        (error.code(), details.status, details.snippet)
    };
    let shown = Some("502 Bad Gateway upstream down".to_owned());
    let down = Reply::body(page).of_type("text/html").with_status(502);
    assert_eq!(of(down), ("upstream_status", Some(502), shown.clone()));
    let wrong = Reply::body(page).of_type("text/html");
    assert_eq!(of(wrong), ("response_malformed", Some(200), shown));
}

#[test]
fn a_page_that_repeats_secrets_is_told_without_them() {
    // The driver of these tests fails when a code, a verifier or a token stands in the details.
    let mut world = World::new();
    let url = world.begin().unwrap();
    let callback = world.agree(&url);
    let code = callback.split("code=").nth(1).unwrap();
    let code = code.split('&').next().unwrap();
    world.net.keep_secret(code);
    let page = format!("<p>Bad code {code} at <a href='{callback}'>{callback}</a></p>");
    let reply = Reply::body(page).of_type("text/html").with_status(500);
    world.idp().always(Purpose::Token, reply);
    let error = world.finish(&callback).unwrap_err();
    let snippet = error.details().unwrap().snippet.clone().unwrap();
    assert!(snippet.starts_with("Bad code ... at "), "{snippet}");
    // Of JSON nothing is shown.
    let json = at_exchange(Reply::json(json!({"token": "abc"})).with_status(500));
    assert_eq!(json.details().unwrap().snippet, None);
}

#[test]
fn every_error_says_whether_to_try_again_and_in_which_phase() {
    for (purpose, phase) in [
        (Purpose::Discovery, Phase::Discovery),
        (Purpose::Token, Phase::Exchange),
        (Purpose::Keys, Phase::Keys),
    ] {
        for (status, retryable) in [(503, true), (429, true), (404, false)] {
            let mut world = World::new();
            world.idp().always(purpose, Reply::status(status));
            let error = world.sign_in().unwrap_err();
            assert_eq!(error.retryable(), retryable, "{purpose:?} {status}");
            assert_eq!(error.phase(), Some(phase), "{purpose:?}");
        }
    }
}
