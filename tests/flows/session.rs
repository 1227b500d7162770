//! What a session hands out, and when.

use gatepass::client::Attach;
use serde_json::json;

use crate::support::{World, code};

/// Someone who signed in with this `expires_in`.
fn signed_in(options: serde_json::Value, expires_in: Option<u32>, can_refresh: bool) -> World {
    let mut world = World::with(options);
    world.idp().edit_response = Some(Box::new(move |response| {
        match expires_in {
            Some(seconds) => response.set("expires_in", seconds),
            None => response.remove("expires_in"),
        };
        if !can_refresh {
            response.remove("refresh_token");
        }
    }));
    world.sign_in().unwrap();
    world
}

/// What the session says after so many seconds.
fn after(world: &World, seconds: i64) -> &'static str {
    let millis = world.net.now.millis() + seconds * 1000;
    let then = gatepass::time::Timestamp::from_millis(millis).unwrap();
    let session = world.client.session().unwrap();
    match session.attach(world.client.config(), then) {
        Attach::Token(_) => "token",
        Attach::Refresh => "refresh",
        Attach::LoginRequired => "login",
        _ => "new",
    }
}

#[test]
fn the_token_is_the_one_that_was_issued() {
    let world = signed_in(json!({}), Some(300), true);
    let session = world.client.session().unwrap();
    let Attach::Token(token) = session.attach(world.client.config(), world.net.now) else {
        panic!("no token");
    };
    // EXPOSE: the test compares it.
    assert!(token.expose().starts_with("access-S3CRET-"));
}

#[test]
fn a_token_is_renewed_a_minute_before_its_end() {
    let world = signed_in(json!({}), Some(300), true);
    assert_eq!(after(&world, 239), "token");
    assert_eq!(after(&world, 240), "refresh");
    assert_eq!(after(&world, 100_000), "refresh");
}

#[test]
fn the_skew_is_an_option() {
    let world = signed_in(json!({"refreshSkew": 0}), Some(300), true);
    assert_eq!(after(&world, 299), "token");
    assert_eq!(after(&world, 300), "refresh");
    let world = signed_in(json!({"refreshSkew": 100}), Some(300), true);
    assert_eq!(after(&world, 199), "token");
    assert_eq!(after(&world, 200), "refresh");
}

#[test]
fn rfr_22_a_short_token_is_not_renewed_before_half_of_its_life() {
    let world = signed_in(json!({}), Some(10), true);
    assert_eq!(after(&world, 4), "token");
    assert_eq!(after(&world, 5), "refresh");
    let world = signed_in(json!({"refreshSkew": 3600}), Some(300), true);
    assert_eq!(after(&world, 149), "token");
    assert_eq!(after(&world, 150), "refresh");
}

#[test]
fn a_token_that_cannot_be_renewed_is_used_to_its_end() {
    let world = signed_in(json!({}), Some(300), false);
    assert!(!world.client.session().unwrap().can_refresh());
    assert_eq!(after(&world, 299), "token");
    assert_eq!(after(&world, 300), "login");
}

#[test]
fn tok_25_a_token_of_unknown_life_is_used_until_the_api_refuses_it() {
    let world = signed_in(json!({}), None, true);
    assert_eq!(after(&world, 1_000_000), "token");
    assert_eq!(world.client.session().unwrap().expires_at(), None);
}

#[test]
fn tok_22_a_token_that_is_over_at_once_is_renewed() {
    let world = signed_in(json!({}), Some(0), true);
    assert_eq!(after(&world, 0), "refresh");
}

#[test]
fn rfr_20_a_clock_that_is_a_day_off_measures_lifetimes_right() {
    for off in [-24 * 3600_i64, 24 * 3600] {
        let mut world = World::with(json!({"scope": "read"}));
        let millis = world.net.now.millis() + off * 1000;
        world.net.now = gatepass::time::Timestamp::from_millis(millis).unwrap();
        world.sign_in().unwrap();
        assert_eq!(after(&world, 239), "token");
        assert_eq!(after(&world, 240), "refresh");
    }
}

#[test]
fn a_life_begins_when_the_answer_came() {
    let mut world = World::new();
    world.net.latency = gatepass::time::Lifetime::from_seconds(7);
    let begun = world.net.now;
    world.sign_in().unwrap();
    let ends = world.client.session().unwrap().expires_at().unwrap();
    // Discovery, exchange and keys took seven seconds each; the step after the last one counts.
    assert_eq!(ends.since(begun).millis() / 1000, 3 * 7 + 300);
}

#[test]
fn a_clock_that_was_set_back_does_not_end_a_session() {
    // It does not tell the token's age any more: renewing it measures anew.
    let mut world = signed_in(json!({"scope": "read"}), Some(300), true);
    assert_eq!(after(&world, -30), "token");
    assert_eq!(after(&world, -3600), "refresh");
    world.net.set_back(3600);
    world.refresh().unwrap();
    assert_eq!(after(&world, 239), "token");
    assert_eq!(after(&world, 240), "refresh");
    let world = signed_in(json!({}), Some(300), false);
    assert_eq!(after(&world, -3600), "token");
}

#[test]
fn rfr_21_a_session_says_how_long_it_can_be_left_alone() {
    let left = |world: &World, seconds: i64| {
        let millis = world.net.now.millis() + seconds * 1000;
        let then = gatepass::time::Timestamp::from_millis(millis).unwrap();
        let session = world.client.session().unwrap();
        let left = session.renewal_in(world.client.config(), then);
        left.map(|left| left.millis() / 1000)
    };
    let world = signed_in(json!({}), Some(300), true);
    assert_eq!(left(&world, 0), Some(240));
    assert_eq!(left(&world, 239), Some(1));
    // After a sleep of hours it is over and not negative.
    assert_eq!(left(&world, 100_000), Some(0));
    assert_eq!(left(&signed_in(json!({}), Some(10), true), 0), Some(5));
    assert_eq!(left(&signed_in(json!({}), None, true), 0), None);
    assert_eq!(left(&signed_in(json!({}), Some(300), false), 0), None);
}

#[test]
fn a_failed_sign_in_keeps_the_session_that_is_there() {
    let mut world = World::new();
    world.sign_in().unwrap();
    let failed = world.sign_in_with_id_token(|token| {
        token.claims.set("nonce", json!("x"));
    });
    assert_eq!(code(failed), "nonce_mismatch");
    assert!(world.client.session().is_some());
}

#[test]
fn forgetting_a_session_leaves_nothing() {
    let mut world = signed_in(json!({}), Some(300), true);
    world.client.forget_session();
    assert!(world.client.session().is_none());
}
