//! Events that do not fit: every one is `flow_misused`, none is a panic, and none ends well.

use std::fmt::Debug;

use gatepass::client::{
    Completion, Refresh, SignIn, SignInOptions, SignOut, SignOutOptions, UserInfo,
};
use gatepass::flow::{Event, Flow, Step};
use gatepass::guard::{BearerToken, Check, Need};
use gatepass::http::{HttpResponse, Unreachable};
use gatepass::issuer::Discover;
use gatepass::jose::rust_crypto;
use serde_json::json;

use crate::support::{GuardWorld, Net, World, code};

/// What the flow waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Waits {
    Start,
    Answer,
    Signature,
    Nothing,
}

/// The events that do not fit.
fn unfit(waits: Waits) -> Vec<Event> {
    let mut events = Vec::new();
    if waits != Waits::Start {
        events.push(Event::Start);
    }
    if waits != Waits::Answer {
        events.push(Event::Answer(HttpResponse::new(
            200,
            Vec::new(),
            b"{}".to_vec(),
        )));
        events.push(Event::Unreachable(Unreachable::Network));
    }
    if waits != Waits::Signature {
        events.push(Event::Signature(true));
        events.push(Event::Signature(false));
        events.push(Event::CheckFailed(
            gatepass::ErrorKind::KeyUnsuitable.into(),
        ));
    }
    // No flow here waits for it; tests/flows/dpop.rs has the one that does.
    events.push(Event::Remembered(Some(true)));
    events
}

/// Takes a flow so many steps on its way.
fn advance<F>(flow: &mut F, shared: &mut F::Shared, net: &mut Net, steps: usize) -> Waits
where
    F: Flow + Debug,
    F::Shared: Debug,
{
    let mut event = Event::Start;
    let mut waits = Waits::Start;
    for _ in 0..steps {
        (event, waits) = match net.step(flow, shared, event).unwrap() {
            Step::Send(request) => (net.answer(&request), Waits::Answer),
            Step::Verify(check) => (
                Event::Signature(rust_crypto::verify(&check)),
                Waits::Signature,
            ),
            _ => return Waits::Nothing,
        };
    }
    waits
}

/// Interrupts a flow after each of its steps with each event that does not fit.
///
/// `make` gives a new flow each time; `run` steps it by the function that it is given.
fn interrupt<F>(steps: usize, make: impl Fn() -> (F, F::Shared, Net))
where
    F: Flow + Debug,
    F::Shared: Debug,
{
    for step in 0..=steps {
        let count = {
            let (mut flow, mut shared, mut net) = make();
            let waits = advance(&mut flow, &mut shared, &mut net, step);
            assert_eq!(waits == Waits::Nothing, step == steps, "step {step}");
            unfit(waits).len()
        };
        for index in 0..count {
            let (mut flow, mut shared, mut net) = make();
            let waits = advance(&mut flow, &mut shared, &mut net, step);
            let event = unfit(waits).swap_remove(index);
            let what = format!("{event:?} after step {step}");
            let result = net.step(&mut flow, &mut shared, event);
            assert_eq!(code(result), "flow_misused", "{what}");
            // What was interrupted does not go on: nothing makes an output of it any more.
            for waits in [Waits::Nothing, Waits::Start, Waits::Answer] {
                for event in unfit(waits) {
                    let again = net.step(&mut flow, &mut shared, event);
                    let is_begun = step > 0;
                    assert!(!matches!(again, Ok(Step::Done(_))) || !is_begun, "{what}");
                }
            }
        }
    }
}

#[test]
fn discovery_is_stepped_in_order() {
    interrupt(2, || {
        let world = World::new();
        let net = world.net;
        let provider = gatepass::issuer::Provider::new(
            world.client.provider().issuer().clone(),
            world.client.provider().transport(),
            world.client.provider().timeout(),
        );
        (Discover::new(), provider, net)
    });
}

#[test]
fn a_sign_in_is_stepped_in_order() {
    interrupt(2, || {
        let mut world = World::new();
        let flow = SignIn::new(SignInOptions::default(), world.entropy());
        (flow, world.client, world.net)
    });
}

#[test]
fn a_completion_is_stepped_in_order() {
    interrupt(4, || {
        let mut world = World::new();
        let url = world.begin().unwrap();
        let callback = world.agree(&url);
        let now = world.net.now;
        let flow = Completion::new(&callback, &mut world.logins, &world.client, now).unwrap();
        (flow, world.client, world.net)
    });
}

#[test]
fn a_refresh_is_stepped_in_order() {
    interrupt(3, || {
        let mut world = World::new();
        world.sign_in().unwrap();
        (Refresh::new(&world.client), world.client, world.net)
    });
}

#[test]
fn signing_out_is_stepped_in_order() {
    interrupt(2, || {
        let mut world = World::new();
        let (options, entropy) = (SignOutOptions::default(), world.entropy());
        let flow = SignOut::new(&mut world.client, options, entropy);
        (flow, world.client, world.net)
    });
}

#[test]
fn ending_the_tokens_is_stepped_in_order() {
    interrupt(3, || {
        let mut world = World::new();
        world.sign_in().unwrap();
        let (options, entropy) = (SignOutOptions::default(), world.entropy());
        let flow = SignOut::new(&mut world.client, options, entropy);
        (flow, world.client, world.net)
    });
}

#[test]
fn asking_for_the_user_is_stepped_in_order() {
    interrupt(3, || {
        let mut world = World::new();
        world.sign_in().unwrap();
        world.idp().user.set("sub", json!("user-1"));
        world.idp().sign_user = Some(Box::new(|_| {}));
        (UserInfo::new(&world.client), world.client, world.net)
    });
}

#[test]
fn a_check_is_stepped_in_order() {
    interrupt(4, || {
        let world = GuardWorld::new();
        let token = BearerToken::new(&world.good());
        let flow = Check::new(&world.guard, Ok(token), &Need::nothing());
        (flow, world.guard, world.net)
    });
}

#[test]
fn a_flow_that_failed_is_over() {
    let mut world = World::new();
    let url = world.begin().unwrap();
    let callback = world.agree(&url);
    let now = world.net.now;
    let mut flow = Completion::new(&callback, &mut world.logins, &world.client, now).unwrap();
    advance(&mut flow, &mut world.client, &mut world.net, 1);
    let failed = Event::Unreachable(Unreachable::Network);
    let result = world.net.step(&mut flow, &mut world.client, failed);
    assert_eq!(code(result), "keys_unavailable");
    let again = world.net.step(&mut flow, &mut world.client, Event::Start);
    assert_eq!(code(again), "flow_misused");
}

#[test]
fn a_signature_that_was_refused_cannot_be_answered_again() {
    let mut world = GuardWorld::new();
    let token = BearerToken::new(&world.good());
    let mut flow = Check::new(&world.guard, Ok(token), &Need::nothing());
    let waits = advance(&mut flow, &mut world.guard, &mut world.net, 3);
    assert_eq!(waits, Waits::Signature);
    let refused = world
        .net
        .step(&mut flow, &mut world.guard, Event::Signature(false));
    assert_eq!(code(refused), "signature_invalid");
    let again = world
        .net
        .step(&mut flow, &mut world.guard, Event::Signature(true));
    assert_eq!(code(again), "flow_misused");
    assert_eq!(world.guard.tally().accepted(), 0);
}
