//! What flows tell of their checks: only what was passed, and nothing of what was looked at.

use gatepass::flow::Reports as _;
use gatepass::guard::Need;
use serde_json::json;

use crate::support::{GuardWorld, World};

fn subjects(world: &mut World) -> Vec<&'static str> {
    let reports = world.client.take_reports();
    reports.iter().map(|report| report.subject).collect()
}

#[test]
fn a_sign_in_reports_its_checks_in_order() {
    let mut world = World::new();
    world.sign_in().unwrap();
    let reports = world.client.take_reports();
    let told: Vec<_> = reports
        .iter()
        .map(|report| (report.subject, report.checks.as_slice()))
        .collect();
    assert_eq!(
        told[1..],
        [
            ("callback", ["state", "iss", "code"].as_slice()),
            (
                "token_response",
                &[
                    "access_token",
                    "token_type",
                    "expires_in",
                    "refresh_token",
                    "id_token"
                ]
            ),
            (
                "id_token",
                &[
                    "signature ES256",
                    "iss",
                    "aud",
                    "exp",
                    "iat",
                    "nonce",
                    "at_hash",
                    "sub"
                ]
            ),
        ]
    );
    assert_eq!(told[0].0, "metadata");
    // Reports are taken once.
    assert!(world.client.take_reports().is_empty());
}

#[test]
fn what_failed_is_not_reported_as_checked() {
    let mut world = World::new();
    let failed = world.sign_in_with_id_token(|token| {
        token.claims.set("nonce", json!("x"));
    });
    assert!(failed.is_err());
    assert_eq!(
        subjects(&mut world),
        ["metadata", "callback", "token_response"]
    );
    let mut world = World::new();
    world.idp().metadata["issuer"] = json!("https://evil.example");
    assert!(world.sign_in().is_err());
    assert!(subjects(&mut world).is_empty());
}

#[test]
fn a_refresh_reports_its_answer_and_its_id_token() {
    let mut world = World::new();
    world.sign_in().unwrap();
    world.client.take_reports();
    world.refresh().unwrap();
    assert_eq!(subjects(&mut world), ["token_response", "id_token"]);
}

#[test]
fn reports_that_nobody_takes_do_not_pile_up() {
    let mut world = World::new();
    world.sign_in().unwrap();
    for _ in 0..50 {
        world.refresh().unwrap();
    }
    assert!(world.client.take_reports().len() <= 16);
}

#[test]
fn a_principal_tells_what_was_checked_of_its_token() {
    let mut world = GuardWorld::new();
    let token = world.good();
    let plain = [
        "typ",
        "signature ES256",
        "iss",
        "aud",
        "exp",
        "sub",
        "client_id",
        "jti",
        "iat",
    ];
    assert_eq!(world.check(&token).unwrap().checked(), plain);
    let scoped = world.scoped(&token, &["read"]).unwrap();
    assert_eq!(scoped.checked()[..9], plain);
    assert_eq!(scoped.checked()[9..], ["scope"]);
    assert_eq!(Need::nothing().scope(), "");
}
