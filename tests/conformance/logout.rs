//! The plans of RP-initiated and of front-channel logout.

use gatepass::http::form;
use serde_json::json;

use crate::support::{World, code};

const BYE: &str = "https://app.example/bye";

/// Someone who signed in with a named session and left; the parameters that the provider saw.
fn left() -> (World, Vec<(String, String)>) {
    let mut world = World::with(json!({"postLogoutRedirectUri": BYE}));
    let with_session = |token: &mut crate::support::Token| {
        token.claims.set("sid", json!("session-1"));
    };
    world.sign_in_with_id_token(with_session).unwrap();
    let url = world.sign_out().unwrap().unwrap();
    let (endpoint, query) = url.split_once('?').unwrap();
    assert_eq!(endpoint, "https://as.example/logout");
    (world, form::decode(query).unwrap())
}

fn parameter(parameters: &[(String, String)], name: &str) -> String {
    form::once(parameters, name).unwrap().unwrap().to_owned()
}

#[test]
fn oidcc_client_test_rp_init_logout() {
    let (mut world, sent) = left();
    assert_eq!(parameter(&sent, "id_token_hint").split('.').count(), 3);
    assert_eq!(parameter(&sent, "post_logout_redirect_uri"), BYE);
    let back = format!("{BYE}?state={}", parameter(&sent, "state"));
    assert!(world.come_back(&back).is_ok());
    assert!(world.client.session().is_none());
}

#[test]
fn oidcc_client_test_rp_init_logout_no_state() {
    let (mut world, _) = left();
    assert_eq!(code(world.come_back(BYE)), "logout_state_missing");
    assert!(world.client.session().is_none());
}

#[test]
fn oidcc_client_test_rp_init_logout_other_state() {
    let (mut world, sent) = left();
    let back = format!("{BYE}?state={}1", parameter(&sent, "state"));
    assert_eq!(code(world.come_back(&back)), "logout_state_mismatch");
    assert!(world.client.session().is_none());
}

const FRAME: &str = "https://app.example/frame?iss=https%3A%2F%2Fas.example&sid=session-1";

#[test]
fn oidcc_client_test_rp_frontchannel_opinitlogout() {
    let mut world = World::new();
    let with_session = |token: &mut crate::support::Token| {
        token.claims.set("sid", json!("session-1"));
    };
    world.sign_in_with_id_token(with_session).unwrap();
    assert!(world.client.frontchannel_logout(FRAME));
    assert!(world.client.session().is_none());
}

#[test]
fn oidcc_client_test_rp_frontchannel_rpinitlogout() {
    let (mut world, sent) = left();
    // The frame comes while the user is at the provider: there is nothing left to end.
    assert!(!world.client.frontchannel_logout(FRAME));
    let back = format!("{BYE}?state={}", parameter(&sent, "state"));
    assert!(world.come_back(&back).is_ok());
}
