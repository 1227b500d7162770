//! UserInfo and claims.

use gatepass::http::form;
use serde_json::json;

use crate::support::{World, code_at};
use crate::world;

#[test]
fn oidcc_client_test_userinfo_bearer_header() {
    let mut world = world();
    world.sign_in().unwrap();
    world.net.clear();
    world.userinfo().unwrap();
    let sent = &world.net.sent[0];
    let header = sent.authorization.as_deref().unwrap();
    assert!(header.starts_with("Bearer "));
    // And in no parameter.
    assert!(sent.body.is_none() && !sent.url.contains('?'));
}

#[test]
fn oidcc_client_test_userinfo_invalid_sub() {
    let mut world = world();
    world.sign_in().unwrap();
    world.idp().user.set("sub", json!("user-1invalid"));
    let outcome = code_at(world.userinfo());
    assert_eq!(outcome, ("claim_invalid", "sub".into()));
}

#[test]
fn oidcc_client_test_userinfo_signed() {
    let mut world = world();
    world.sign_in().unwrap();
    world.idp().sign_user = Some(Box::new(|_| {}));
    assert_eq!(world.userinfo().unwrap()["sub"], "user-1");
    for (name, code) in [("iss", "issuer_mismatch"), ("aud", "audience_mismatch")] {
        world.idp().sign_user = Some(Box::new(move |token| crate::damage(name)(token)));
        assert_eq!(code_at(world.userinfo()).0, code);
    }
}

#[test]
fn oidcc_client_test_scope_userinfo_claims() {
    let scope = "openid profile email phone address";
    let mut world = World::with(json!({"scope": scope}));
    let url = world.begin().unwrap();
    let parameters = form::decode(url.split_once('?').unwrap().1).unwrap();
    assert_eq!(form::once(&parameters, "scope").unwrap(), Some(scope));
    let callback = world.agree(&url);
    world.finish(&callback).unwrap();
    // The provider gives less than was asked for.
    let user = &mut world.idp().user;
    user.set("sub", json!("user-1")).set("name", json!("A"));
    let user = world.userinfo().unwrap();
    assert_eq!(user, json!({"sub": "user-1", "name": "A"}));
}

/// Claims that stand elsewhere are handed on and not followed.
fn claims_elsewhere(source: serde_json::Value) {
    let mut world = world();
    world.sign_in().unwrap();
    let names = json!({"address": "src1"});
    let sources = json!({"src1": source});
    let user = &mut world.idp().user;
    user.set("_claim_names", &names)
        .set("_claim_sources", &sources);
    world.net.clear();
    let user = world.userinfo().unwrap();
    assert_eq!(
        (&user["_claim_names"], &user["_claim_sources"]),
        (&names, &sources)
    );
    assert_eq!(world.net.sent.len(), 1);
}

#[test]
fn oidcc_client_test_aggregated_claims() {
    claims_elsewhere(json!({"JWT": "eyJhbGciOiJub25lIn0.e30."}));
}

#[test]
fn oidcc_client_test_distributed_claims() {
    claims_elsewhere(json!({"endpoint": "https://other.example/claims", "access_token": "x"}));
}
