//! What UserInfo adds to an opaque token when its answer is signed (OpenID Connect Core 5.3.2).

use gatepass::flow::Reports as _;
use gatepass::http::Purpose;
use serde_json::json;

use crate::support::{GuardWorld, Key, Reply, Token};

/// A world whose provider signs what it says of the user, after this change, and a token for it.
fn world(edit: impl FnOnce(&mut Token)) -> (GuardWorld, String) {
    let mut world = GuardWorld::introspecting(json!({"userinfo": true}));
    let token = world.opaque_with(|answer| {
        answer.set("scope", json!("openid read"));
    });
    let mut user = said(&world);
    edit(&mut user);
    let text = user.sign(world.net.idps[0].key());
    answer(&mut world, &text);
    (world, token)
}

fn said(world: &GuardWorld) -> Token {
    let mut user = Token::by(world.net.idps[0].key(), "JWT");
    user.claims
        .set("iss", json!("https://as.example"))
        .set("aud", json!("spa"))
        .set("sub", json!("user-1"))
        .set("name", json!("Ada"));
    user
}

fn answer(world: &mut GuardWorld, text: &str) {
    let reply = Reply::body(text).of_type("application/jwt; charset=utf-8");
    world.idp().always(Purpose::UserInfo, reply);
}

/// The code and status with an answer that was changed before it was signed.
fn signed(edit: impl FnOnce(&mut Token)) -> (&'static str, u16) {
    let (mut world, token) = world(edit);
    outcome(&mut world, &token)
}

fn outcome(world: &mut GuardWorld, token: &str) -> (&'static str, u16) {
    match world.header(Some(&format!("Bearer {token}"))) {
        Ok(_) => ("accepted", 200),
        Err(refusal) => (refusal.error().code(), refusal.status()),
    }
}

#[test]
fn a_signed_answer_is_checked_and_added() {
    let (mut world, token) = world(|_| {});
    let principal = world.check(&token).unwrap();
    assert_eq!(principal.claims().string("name").unwrap(), Some("Ada"));
    assert_eq!(principal.audience(), ["api"]);
    assert_eq!(world.net.signature_checks, 1);
    let asked = world.net.sent.iter();
    let asked: Vec<_> = asked
        .filter(|sent| sent.purpose == Purpose::UserInfo)
        .collect();
    assert_eq!(asked[0].accept, "application/json, application/jwt");
    // It is kept with the answer about the token.
    world.check(&token).unwrap();
    assert_eq!(world.net.count(Purpose::UserInfo), 1);
}

#[test]
fn a_signed_answer_may_be_for_this_api_and_says_no_more_than_it_must() {
    assert_eq!(
        signed(|user| {
            user.claims.set("aud", json!(["other", "rs"]));
            user.header.remove("typ");
        }),
        ("accepted", 200)
    );
}

#[test]
fn a_signed_answer_of_another_issuer_or_for_another_client_is_refused() {
    for (issuer, audience, code) in [
        (json!("https://b.example"), json!("spa"), "issuer_mismatch"),
        (json!(null), json!("spa"), "claim_invalid"),
        (
            json!("https://as.example"),
            json!("other"),
            "audience_mismatch",
        ),
        (json!("https://as.example"), json!([]), "audience_mismatch"),
        (json!("https://as.example"), json!(7), "claim_invalid"),
    ] {
        let result = signed(|user| {
            user.claims.set("iss", &issuer).set("aud", &audience);
        });
        assert_eq!(result, (code, 503), "{issuer} {audience}");
    }
    for name in ["iss", "aud"] {
        let result = signed(|user| {
            user.claims.remove(name);
        });
        assert_eq!(result, ("claim_missing", 503), "{name}");
    }
}

#[test]
fn a_signed_answer_is_about_the_user_of_the_token_and_of_now() {
    let sub = signed(|user| {
        user.claims.set("sub", json!("user-2"));
    });
    assert_eq!(sub, ("response_malformed", 503));
    let old = signed(|user| {
        user.claims.set("exp", 1_700_000_000);
    });
    assert_eq!(old, ("token_expired", 503));
}

#[test]
fn another_kind_of_token_is_no_answer_of_userinfo() {
    for typ in ["at+jwt", "token-introspection+jwt", "logout+jwt"] {
        let result = signed(|user| {
            user.header.set("typ", json!(typ));
        });
        assert_eq!(result, ("typ_mismatch", 503), "{typ}");
    }
}

#[test]
fn a_signed_answer_with_a_bad_signature_or_none_is_refused() {
    let (mut world, token) = world(|_| {});
    let forged = said(&world).sign(&Key::new("k1", "ES256", 99));
    answer(&mut world, &forged);
    assert_eq!(outcome(&mut world, &token), ("signature_invalid", 503));
    world.net.pass(60);
    answer(&mut world, "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1c2VyLTEifQ.");
    assert_eq!(outcome(&mut world, &token), ("alg_not_allowed", 503));
    world.net.pass(60);
    answer(&mut world, "no token");
    assert_eq!(outcome(&mut world, &token), ("token_malformed", 503));
}

#[test]
fn nothing_that_userinfo_says_gives_roles_or_permissions() {
    let profile = json!({"base": "keycloak", "permissions": [["grants", "files"]]});
    let mut world =
        GuardWorld::introspecting_with(json!({"userinfo": true}), json!({"profile": profile}));
    let token = world.opaque_with(|answer| {
        answer.set("scope", json!("openid"));
    });
    world
        .idp()
        .user
        .set("sub", json!("user-1"))
        .set("realm_access", json!({"roles": ["admin"]}))
        .set("resource_access", json!({"api": {"roles": ["admin"]}}))
        .set("grants", json!({"files": ["write"]}))
        .set("groups", json!(["admin"]))
        .set("name", json!("Ada"));
    let principal = world.check(&token).unwrap();
    assert!(principal.roles().is_empty());
    assert!(principal.permissions().is_empty());
    assert!(principal.claims().as_object().get("groups").is_none());
    assert_eq!(principal.claims().string("name").unwrap(), Some("Ada"));
}

#[test]
fn s4_02_where_userinfo_is_optional_a_token_is_good_without_it_and_an_alert_says_so() {
    let told = |userinfo: serde_json::Value, reply: Reply| {
        let mut world = GuardWorld::introspecting(json!({"userinfo": userinfo}));
        let token = world.opaque_with(|answer| {
            answer.set("scope", json!("openid read"));
        });
        world.idp().always(Purpose::UserInfo, reply);
        let outcome = outcome(&mut world, &token);
        let alerts = world.guard.take_alerts();
        (
            outcome,
            alerts.iter().map(gatepass::Error::code).collect::<Vec<_>>(),
        )
    };
    let failing = || Reply::status(500);
    assert_eq!(told(json!(true), failing()).0, ("upstream_status", 503));
    let (outcome, alerts) = told(json!("optional"), failing());
    assert_eq!(outcome, ("accepted", 200));
    assert_eq!(alerts, ["upstream_status"]);
    // Who tells of somebody else is not to be believed in anything.
    let other = Reply::json(json!({"sub": "user-2", "name": "Eve"}));
    let (outcome, _) = told(json!("optional"), other);
    assert_eq!(outcome, ("response_malformed", 503));
}
