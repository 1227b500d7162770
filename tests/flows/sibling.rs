//! Clients of many users at one provider: what one learns the others know, and nothing else.

use gatepass::client::Attach;
use gatepass::client::machine::Renewal;
use serde_json::json;

use crate::support::{World, code};

/// Has the world go on with another client, as a server's next request does.
fn next_request(world: &mut World, renewal: Renewal) {
    let sibling = world.client.sibling(renewal, [7; 32]);
    let before = core::mem::replace(&mut world.client, sibling);
    world.client.learn_from(before);
}

#[test]
fn a_sibling_signs_in_without_asking_for_what_is_known() {
    let mut world = World::new();
    world.sign_in().unwrap();
    let asked = world.net.sent.len();
    next_request(&mut world, Renewal::Early);
    assert!(world.client.session().is_none());
    world.sign_in().unwrap();
    // The exchange alone: neither metadata nor keys.
    assert_eq!(world.net.sent.len(), asked + 1);
}

#[test]
fn what_a_sibling_learnt_is_known_afterwards() {
    let mut world = World::new();
    let parent = world.client.sibling(Renewal::Early, [1; 32]);
    world.sign_in().unwrap();
    let asked = world.net.sent.len();
    let child = core::mem::replace(&mut world.client, parent);
    assert!(world.client.provider().metadata().is_none());
    world.client.learn_from(child);
    assert!(world.client.provider().metadata().is_some());
    assert!(world.client.session().is_none());
    world.sign_in().unwrap();
    assert_eq!(world.net.sent.len(), asked + 1);
}

#[test]
fn what_is_older_does_not_replace_what_is_newer() {
    let mut world = World::new();
    let ignorant = world.client.sibling(Renewal::Early, [1; 32]);
    world.sign_in().unwrap();
    world.client.learn_from(ignorant);
    assert!(world.client.provider().metadata().is_some());
    let asked = world.net.sent.len();
    world.sign_in().unwrap();
    assert_eq!(world.net.sent.len(), asked + 1);
}

#[test]
fn a_sibling_that_renews_late_uses_an_access_token_to_its_end() {
    let mut world = World::new();
    world.sign_in().unwrap();
    let config = |world: &World, renewal| world.client.sibling(renewal, [1; 32]).config().clone();
    let (early, late) = (
        config(&world, Renewal::Early),
        config(&world, Renewal::Late),
    );
    let session = world.client.session().unwrap();
    for (seconds, is_early, is_late) in [(0, true, true), (299, false, true), (300, false, false)] {
        let life = gatepass::time::Lifetime::from_seconds(seconds);
        let then = world.net.now.after(life);
        let has_token = |config| matches!(session.attach(config, then), Attach::Token(_));
        assert_eq!(
            (has_token(&early), has_token(&late)),
            (is_early, is_late),
            "{seconds}"
        );
    }
}

#[test]
fn a_sibling_has_nothing_that_was_granted_to_the_other() {
    let mut world = World::with(json!({
        "clientAuth": {"method": "client_secret_basic", "clientSecret": "machine-S3CRET"},
    }));
    world.granted(json!({"scope": "read"})).unwrap();
    let asked = world.net.sent.len();
    next_request(&mut world, Renewal::Early);
    world.granted(json!({"scope": "read"})).unwrap();
    assert_eq!(world.net.sent.len(), asked + 1);
    assert_eq!(code(world.refresh()), "login_required");
}
