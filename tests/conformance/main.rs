//! The relying-party modules of the OpenID conformance suite, re-created against a provider made of
//! values that does what each module's provider does.
//!
//! One test for each module, named as the module; README.md lists all of them, also those that are
//! out of scope, with the reason, and `the_list` compares it with what stands here. A module that
//! must be refused is one after which nothing more is sent: the suite waits for a request that must
//! not come, here none is made. The suite itself is not run: it needs a server of its own.

#![cfg(all(
    not(target_arch = "wasm32"),
    feature = "backend",
    feature = "client",
    feature = "guard",
    feature = "rust-crypto"
))]
// Clippy allows these in tests; here the helpers of tests are functions of their own.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]

mod backchannel;
mod basic;
mod claims;
mod config;
mod fapi2;
mod logout;
mod refresh;
#[allow(dead_code, unused_imports)] // What the tests of flows need besides.
#[path = "../flows/support/mod.rs"]
mod support;
mod the_list;

use gatepass::http::Purpose;

use support::{Token, World, code_at};

/// A world whose provider knows something of its user.
fn world() -> World {
    let mut world = World::new();
    let user = &mut world.idp().user;
    user.set("sub", serde_json::json!("user-1"));
    world
}

/// The code and place with which a sign-in with this ID token is refused, and that nothing was sent
/// afterwards.
#[track_caller]
fn refused(world: &mut World, edit: impl Fn(&mut Token) + 'static) -> (&'static str, String) {
    let outcome = code_at(world.sign_in_with_id_token(edit));
    assert_nothing_goes_on(world);
    outcome
}

/// There is no session, and no request came after the ID token but for keys.
#[track_caller]
fn assert_nothing_goes_on(world: &mut World) {
    assert!(world.client.session().is_none());
    let token = world
        .net
        .sent
        .iter()
        .position(|sent| sent.purpose == Purpose::Token);
    let after = &world.net.sent[token.map_or(0, |token| token + 1)..];
    assert!(after.iter().all(|sent| sent.purpose == Purpose::Keys));
    assert_eq!(support::code(world.userinfo()), "login_required");
    assert_eq!(world.net.count(Purpose::UserInfo), 0);
}

/// A claim with a 1 behind it, as the suite damages them.
fn damage(name: &'static str) -> impl Fn(&mut Token) {
    move |token| {
        let damaged = token.claims.text(name).unwrap() + "1";
        token.claims.set(name, serde_json::json!(damaged));
    }
}

/// Takes a claim away.
fn remove(name: &'static str) -> impl Fn(&mut Token) {
    move |token| {
        token.claims.remove(name);
    }
}
