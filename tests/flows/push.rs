//! Pushed authorization requests (RFC 9126).

use gatepass::error::Phase;
use gatepass::http::{Purpose, Unreachable, form};
use serde_json::{Value, json};

use crate::support::{Reply, World, code, code_at};

fn requiring(client: Value) -> World {
    let mut world = World::with(client);
    world.idp().metadata["require_pushed_authorization_requests"] = json!(true);
    world
}

/// The outcome of a sign-in whose pushed request is answered so.
#[track_caller]
fn answered(reply: Reply) -> (&'static str, String) {
    let mut world = World::with(json!({"par": "require"}));
    world.idp().reply(Purpose::PushedRequest, reply);
    let error = world.begin().unwrap_err();
    assert_eq!(error.phase(), Some(Phase::SignIn));
    assert!(world.logins.to_json().contains("\"waiting\":[]"));
    code_at::<()>(Err(error))
}

fn created(body: Value) -> Reply {
    Reply::json(body).with_status(201)
}

#[test]
fn req_25_the_browser_carries_the_client_and_the_reference_alone() {
    let mut world = World::with(json!({"par": "require"}));
    let url = world
        .begin_with(json!({"loginHint": "a@b.example"}))
        .unwrap();
    assert_eq!(
        url,
        "https://as.example/authorize?client_id=spa&request_uri=urn%3Aietf%3Aparams%3Aoauth%3Arequest_uri%3A1"
    );
    let callback = world.agree(&url);
    world.finish(&callback).unwrap();
}

#[test]
fn what_would_stand_in_the_url_is_pushed() {
    let mut direct = World::with(json!({"resource": ["https://a.example", "https://b.example"]}));
    let mut pushing = World::with(
        json!({"par": "require", "resource": ["https://a.example", "https://b.example"]}),
    );
    let url = direct.begin_with(json!({"maxAge": 60})).unwrap();
    pushing.begin_with(json!({"maxAge": 60})).unwrap();
    let sent = pushing.net.sent.last().unwrap();
    assert_eq!(sent.purpose, Purpose::PushedRequest);
    assert_eq!(sent.url, "https://as.example/par");
    assert_eq!(
        sent.form(),
        form::decode(url.split_once('?').unwrap().1).unwrap()
    );
}

#[test]
fn requests_are_pushed_where_the_provider_requires_it() {
    let mut world = requiring(json!({}));
    assert!(world.begin().unwrap().contains("request_uri="));
    let mut world = World::new();
    assert!(!world.begin().unwrap().contains("request_uri="));
    assert_eq!(world.net.count(Purpose::PushedRequest), 0);
}

#[test]
fn req_27_where_it_is_required_and_off_no_request_is_made() {
    let mut world = requiring(json!({"par": "off"}));
    assert_eq!(code_at(world.begin()), ("config_invalid", "par".into()));
    let mut world = World::with(json!({"par": "off"}));
    assert!(world.begin().unwrap().contains("code_challenge="));
}

#[test]
fn pushing_is_never_left_out_silently() {
    for mut world in [requiring(json!({})), World::with(json!({"par": "require"}))] {
        world.idp().metadata["pushed_authorization_request_endpoint"] = json!(null);
        assert_eq!(
            code_at(world.begin()),
            (
                "metadata_invalid",
                "pushed_authorization_request_endpoint".into()
            )
        );
    }
    for cause in [Unreachable::Network, Unreachable::Timeout] {
        let mut world = requiring(json!({}));
        world
            .idp()
            .reply(Purpose::PushedRequest, Reply::none(cause));
        let error = world.begin().unwrap_err();
        assert!(error.retryable());
        assert_eq!(world.net.count(Purpose::PushedRequest), 1);
    }
}

#[test]
fn req_26_an_answer_that_is_no_reference_is_response_malformed() {
    let good = json!({"request_uri": "urn:x:1", "expires_in": 60});
    assert_eq!(
        answered(Reply::json(&good)),
        ("response_malformed", "status".into())
    );
    for (body, at) in [
        (json!({"expires_in": 60}), "request_uri"),
        (json!({"request_uri": 1, "expires_in": 60}), "request_uri"),
        (json!({"request_uri": "", "expires_in": 60}), "request_uri"),
        (
            json!({"request_uri": "urn:x 1", "expires_in": 60}),
            "request_uri",
        ),
        (
            json!({"request_uri": "a".repeat(2049), "expires_in": 60}),
            "request_uri",
        ),
        (json!({"request_uri": "urn:x:1"}), "expires_in"),
        (
            json!({"request_uri": "urn:x:1", "expires_in": 0}),
            "expires_in",
        ),
        (
            json!({"request_uri": "urn:x:1", "expires_in": -1}),
            "expires_in",
        ),
        (
            json!({"request_uri": "urn:x:1", "expires_in": "60"}),
            "expires_in",
        ),
    ] {
        assert_eq!(
            answered(created(body.clone())),
            ("response_malformed", at.into()),
            "{body}"
        );
    }
    assert_eq!(
        answered(Reply::html().with_status(201)),
        ("response_malformed", "content-type".into())
    );
    assert_eq!(
        answered(Reply::json("{").with_status(201)),
        ("response_malformed", "body".into())
    );
}

#[test]
fn req_28_a_refusal_is_told_as_the_provider_told_it() {
    let mut world = World::with(json!({"par": "require"}));
    let refusal = json!({"error": "invalid_request", "error_description": "no redirect_uri"});
    let reply = Reply::json(refusal).with_status(400);
    world.idp().reply(Purpose::PushedRequest, reply);
    let error = world.begin().unwrap_err();
    assert_eq!(error.code(), "server_error_response");
    let details = error.details().unwrap();
    assert_eq!(details.error.as_deref(), Some("invalid_request"));
    assert_eq!(
        details.error_description.as_deref(),
        Some("no redirect_uri")
    );

    for status in [429, 500, 503] {
        assert_eq!(answered(Reply::status(status)).0, "upstream_status");
    }
    assert_eq!(answered(Reply::status(302)).0, "redirect_refused");
}

#[test]
fn a_reference_stands_for_one_request_and_its_callback_for_one_login() {
    let mut world = World::with(json!({"par": "require"}));
    let first = world.begin().unwrap();
    let second = world.begin().unwrap();
    assert_ne!(first, second);
    let callback = world.agree(&second);
    world.finish(&callback).unwrap();
    assert_eq!(code(world.finish(&callback)), "flow_reused");
    let callback = world.agree(&first);
    world.finish(&callback).unwrap();
}

#[test]
fn the_life_of_a_reference_is_known() {
    use gatepass::client::{SignIn, SignInOptions};
    let mut world = World::with(json!({"par": "require"}));
    for (given, seconds) in [(json!(90), 90), (json!(1e9), 86_400)] {
        let reply = created(json!({"request_uri": "urn:x:1", "expires_in": given}));
        world.idp().reply(Purpose::PushedRequest, reply);
        let mut flow = SignIn::new(SignInOptions::default(), world.entropy());
        let request = world.net.run(&mut flow, &mut world.client).unwrap();
        assert_eq!(request.lifetime.unwrap().millis(), seconds * 1000);
    }
}
