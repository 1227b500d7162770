//! The refresh-token plan.

use gatepass::client::Attach;
use gatepass::http::Purpose;

use crate::support::{World, code_at};
use crate::{damage, world};

fn access_token(world: &World) -> String {
    let session = world.client.session().unwrap();
    match session.attach(world.client.config(), world.net.now) {
        // EXPOSE: the test compares it.
        Attach::Token(token) => token.expose().clone(),
        _ => panic!("no token"),
    }
}

#[test]
fn oidcc_client_test_refresh_token() {
    let mut world = world();
    world.sign_in().unwrap();
    let (first, scope) = (
        access_token(&world),
        world.client.session().unwrap().scope().to_owned(),
    );
    world.refresh().unwrap();
    let second = access_token(&world);
    assert_ne!(first, second);
    assert_eq!(world.client.session().unwrap().scope(), scope);
    world.userinfo().unwrap();
    let asked = world.net.sent.last().unwrap();
    assert_eq!(asked.purpose, Purpose::UserInfo);
    assert_eq!(asked.authorization, Some(format!("Bearer {second}")));
}

/// A refresh whose ID token is of someone else; its tokens are used by nobody.
fn refused_refresh(name: &'static str) -> (&'static str, String) {
    let mut world = world();
    world.sign_in().unwrap();
    world.idp().edit_id_token = Some(Box::new(move |token| damage(name)(token)));
    let outcome = code_at(world.refresh());
    assert!(world.client.session().is_none());
    assert_eq!(code_at(world.userinfo()).0, "login_required");
    assert_eq!(world.net.count(Purpose::UserInfo), 0);
    outcome
}

#[test]
fn oidcc_client_test_refresh_token_invalid_issuer() {
    assert_eq!(refused_refresh("iss").0, "issuer_mismatch");
}

#[test]
fn oidcc_client_test_refresh_token_invalid_sub() {
    assert_eq!(refused_refresh("sub"), ("claim_invalid", "sub".into()));
}
