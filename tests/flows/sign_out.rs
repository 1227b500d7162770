//! Signing out.

use std::fmt::Debug;

use gatepass::client::{Client, Completion, PendingLogouts, Refresh, SignOut, SignOutOptions};
use gatepass::error::Phase;
use gatepass::flow::{Event, Flow, Reports as _, Step};
use gatepass::http::{Purpose, Unreachable, form};
use gatepass::time::Lifetime;
use serde_json::json;

use crate::support::{Reply, World, code, code_at, options};

#[test]
fn lgo_16_the_url_carries_the_hint_the_client_and_the_page_to_return_to() {
    let mut world = World::with(json!({
        "postLogoutRedirectUri": "https://app.example/bye?x=1",
    }));
    let url = world.begin().unwrap();
    let callback = world.agree(&url);
    world.finish(&callback).unwrap();
    let url = world.sign_out().unwrap().unwrap();
    let (place, query) = url.split_once('?').unwrap();
    assert_eq!(place, "https://as.example/logout");
    let parameters = form::decode(query).unwrap();
    let names: Vec<_> = parameters.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "id_token_hint",
            "client_id",
            "post_logout_redirect_uri",
            "state"
        ]
    );
    assert_eq!(parameters[0].1.split('.').count(), 3);
    assert_eq!(parameters[1].1, "spa");
    assert_eq!(parameters[2].1, "https://app.example/bye?x=1");
    assert_eq!(parameters[3].1.len(), 43);
}

/// Signs in and out; the URL at which the user comes back.
fn left(given: serde_json::Value) -> (World, String) {
    let mut world = World::with(json!({"postLogoutRedirectUri": "https://app.example/bye"}));
    world.sign_in().unwrap();
    let signed_out = world.sign_out_with(given).unwrap();
    let url = signed_out.url.unwrap().expose().clone();
    let state = parameter(&url, "state").unwrap();
    (world, format!("https://app.example/bye?state={state}"))
}

fn parameter(url: &str, name: &str) -> Option<String> {
    let parameters = form::decode(url.split_once('?').unwrap().1).unwrap();
    form::once(&parameters, name).unwrap().map(String::from)
}

#[test]
fn lgo_16_the_state_is_checked_at_the_return() {
    let (mut world, url) = left(json!({"returnTo": "/start?x=1"}));
    assert_eq!(
        world.come_back(&url).unwrap().as_deref(),
        Some("/start?x=1")
    );
    // Once.
    assert_eq!(code(world.come_back(&url)), "logout_unknown");
    let (mut world, url) = left(json!({}));
    assert_eq!(world.come_back(&url).unwrap(), None);
}

#[test]
fn lgo_16_a_return_without_the_state_has_a_code_of_its_own() {
    let (mut world, url) = left(json!({"returnTo": "/start"}));
    let error = world.come_back("https://app.example/bye").unwrap_err();
    assert_eq!(error.code(), "logout_state_missing");
    assert_eq!(error.phase(), Some(Phase::SignOut));
    // Nobody else's visit uses it up.
    for other in ["x", "", "%20"] {
        let other = format!("https://app.example/bye?state={other}");
        assert_eq!(code(world.come_back(&other)), "logout_state_mismatch");
    }
    let twice = format!("{url}&state=x");
    assert_eq!(
        code_at(world.come_back(&twice)),
        ("param_invalid", "state".into())
    );
    assert_eq!(
        code(world.come_back(&url.replace('?', "#"))),
        "response_mode_mismatch"
    );
    assert!(world.come_back(&url).is_ok());
}

#[test]
fn lgo_16_a_return_to_another_place_or_too_late_is_unknown() {
    let (mut world, url) = left(json!({}));
    let elsewhere = url.replace("/bye", "/cb");
    assert_eq!(code(world.come_back(&elsewhere)), "logout_unknown");
    let (mut world, url) = left(json!({}));
    world.net.pass(600);
    assert!(world.come_back(&url).is_ok());
    let (mut world, url) = left(json!({}));
    world.net.pass(601);
    assert_eq!(code(world.come_back(&url)), "logout_unknown");
    let mut other = World::with(json!({"postLogoutRedirectUri": "https://app.example/bye"}));
    assert_eq!(code(other.come_back(&url)), "logout_unknown");
}

#[test]
fn several_sign_outs_wait_side_by_side() {
    let (mut world, first) = left(json!({"returnTo": "/one"}));
    world.sign_in().unwrap();
    let second = world.sign_out_with(json!({"returnTo": "/two"})).unwrap();
    let state = parameter(second.url.unwrap().expose(), "state").unwrap();
    let second = format!("https://app.example/bye?state={state}");
    assert_ne!(first, second);
    assert_eq!(world.come_back(&first).unwrap().as_deref(), Some("/one"));
    assert_eq!(world.come_back(&second).unwrap().as_deref(), Some("/two"));
}

#[test]
fn hints_and_languages_go_along() {
    let mut world = World::new();
    world.sign_in().unwrap();
    let given = json!({"logoutHint": "a@example.com", "uiLocales": ["de-CH", "en"]});
    let signed_out = world.sign_out_with(given).unwrap();
    let url = signed_out.url.unwrap().expose().clone();
    assert_eq!(
        parameter(&url, "logout_hint").as_deref(),
        Some("a@example.com")
    );
    assert_eq!(parameter(&url, "ui_locales").as_deref(), Some("de-CH en"));
    // Without a page to return to nobody brings a state back.
    assert_eq!(parameter(&url, "state"), None);
    assert!(signed_out.logout.is_none());
}

#[test]
fn options_that_are_wrong_are_refused_before_anything_ends() {
    let mut world = World::new();
    world.sign_in().unwrap();
    for (given, at) in [
        (json!({"returnTo": "//evil.example"}), "returnTo"),
        (json!({"returnTo": "https://evil.example"}), "returnTo"),
        (
            json!({"returnTo": format!("/{}", "x".repeat(8192))}),
            "returnTo",
        ),
        (json!({"revoke": "no"}), "revoke"),
        (json!({"uiLocales": []}), "uiLocales"),
        (json!({"logoutHint": 1}), "logoutHint"),
        (json!({"state": "x"}), "state"),
    ] {
        let outcome = code_at(world.sign_out_with(given));
        assert_eq!(outcome, ("config_invalid", at.into()));
    }
    assert!(world.client.session().is_some());
}

/// The tokens that were to be ended, in order, with what was told about them.
fn ended(world: &World) -> Vec<(String, String)> {
    let revocations = world.net.sent.iter();
    revocations
        .filter(|sent| sent.purpose == Purpose::Revocation)
        .map(|sent| {
            assert_eq!(sent.field("client_id").as_deref(), Some("spa"));
            assert!(!sent.url.contains('?'));
            let field = |name| sent.field(name).unwrap();
            (field("token_type_hint"), field("token"))
        })
        .collect()
}

#[test]
fn both_tokens_end_at_the_provider_the_refresh_token_first() {
    let mut world = World::new();
    world.sign_in().unwrap();
    let signed_out = world.sign_out_with(json!({})).unwrap();
    assert_eq!(signed_out.revoked, ["refresh_token", "access_token"]);
    assert!(signed_out.revocation_failure.is_none());
    let ended = ended(&world);
    assert_eq!(ended[0].0, "refresh_token");
    assert!(ended[0].1.starts_with("refresh-S3CRET"));
    assert_eq!(ended[1].0, "access_token");
    assert!(ended[1].1.starts_with("access-S3CRET"));
}

#[test]
fn tokens_stay_where_the_program_or_the_provider_does_not_end_them() {
    let mut world = World::new();
    world.sign_in().unwrap();
    world.sign_out_with(json!({"revoke": false})).unwrap();
    assert!(ended(&world).is_empty());
    let mut world = World::new();
    world.idp().metadata["revocation_endpoint"] = json!(null);
    world.sign_in().unwrap();
    let signed_out = world.sign_out_with(json!({})).unwrap();
    assert!(ended(&world).is_empty());
    assert!(signed_out.url.is_some() && signed_out.revocation_failure.is_none());
}

#[test]
fn a_session_without_a_refresh_token_ends_its_access_token() {
    let mut world = World::new();
    world.idp().edit_response = Some(Box::new(|response| {
        response.remove("refresh_token");
    }));
    world.sign_in().unwrap();
    let signed_out = world.sign_out_with(json!({})).unwrap();
    assert_eq!(signed_out.revoked, ["access_token"]);
}

/// A renewal whose request was answered; the answer has not come yet.
fn renewing(world: &mut World) -> (Refresh, Event) {
    world.sign_in().unwrap();
    answered(world)
}

/// The same of whoever is signed in.
fn answered(world: &mut World) -> (Refresh, Event) {
    let mut refresh = Refresh::new(&world.client);
    let step = world
        .net
        .step(&mut refresh, &mut world.client, Event::Start);
    let Ok(Step::Send(request)) = step else {
        panic!("{step:?}");
    };
    let answer = world.net.answer(&request);
    (refresh, answer)
}

/// Steps what came too late to its end.
fn goes_on<F>(world: &mut World, flow: &mut F, mut event: Event) -> &'static str
where
    F: Flow<Shared = Client> + Debug,
    F::Output: Debug,
{
    loop {
        match world.net.step(flow, &mut world.client, event) {
            Ok(Step::Send(request)) => event = world.net.answer(&request),
            Ok(step) => panic!("{step:?}"),
            Err(error) => return error.code(),
        }
    }
}

#[test]
fn tokens_that_come_after_a_sign_out_end_too() {
    let mut world = World::new();
    let (mut refresh, answer) = renewing(&mut world);
    world.sign_out_with(json!({})).unwrap();
    let before = ended(&world);
    assert_eq!(goes_on(&mut world, &mut refresh, answer), "login_required");
    let ended = ended(&world);
    let (known, new) = ended.split_at(before.len());
    let hints: Vec<_> = new.iter().map(|(hint, _)| hint.as_str()).collect();
    assert_eq!(hints, ["refresh_token", "access_token"]);
    assert!(new.iter().all(|token| !known.contains(token)));
    assert!(world.client.session().is_none());
    assert!(world.client.take_alerts().is_empty());
}

#[test]
fn a_sign_in_that_was_under_way_at_a_sign_out_comes_to_nothing() {
    // After so many answers somebody signs out; what had come by then ends.
    for (answers, given, tokens) in [
        (0, json!({}), 0),
        (1, json!({}), 2),
        (1, json!({"revoke": false}), 0),
    ] {
        let mut world = World::new();
        let url = world.begin().unwrap();
        let callback = world.agree(&url);
        let now = world.net.now;
        let mut flow = Completion::new(&callback, &mut world.logins, &world.client, now).unwrap();
        let mut event = Event::Start;
        for _ in 0..=answers {
            let step = world.net.step(&mut flow, &mut world.client, event);
            let Ok(Step::Send(request)) = step else {
                panic!("{step:?}");
            };
            event = world.net.answer(&request);
        }
        world.sign_out_with(given).unwrap();
        assert_eq!(goes_on(&mut world, &mut flow, event), "login_required");
        assert_eq!(ended(&world).len(), tokens, "{answers}");
        assert!(world.client.session().is_none());
    }
}

#[test]
fn tokens_whose_signature_was_being_checked_at_a_sign_out_end() {
    let mut world = World::new();
    let url = world.begin().unwrap();
    let callback = world.agree(&url);
    let now = world.net.now;
    let mut flow = Completion::new(&callback, &mut world.logins, &world.client, now).unwrap();
    let mut event = Event::Start;
    while let Step::Send(request) = world.net.step(&mut flow, &mut world.client, event).unwrap() {
        event = world.net.answer(&request);
    }
    world.sign_out_with(json!({})).unwrap();
    let event = Event::Signature(true);
    assert_eq!(goes_on(&mut world, &mut flow, event), "login_required");
    let hints: Vec<_> = ended(&world).into_iter().map(|(hint, _)| hint).collect();
    assert_eq!(hints, ["refresh_token", "access_token"]);
}

#[test]
fn tokens_that_come_after_a_sign_out_live_on_where_the_others_do() {
    let mut world = World::new();
    let (mut refresh, answer) = renewing(&mut world);
    world.sign_out_with(json!({"revoke": false})).unwrap();
    assert_eq!(goes_on(&mut world, &mut refresh, answer), "login_required");
    assert!(ended(&world).is_empty());
}

#[test]
fn a_sign_out_during_a_renewal_that_fails_ends_nothing_more() {
    for reply in [
        Reply::none(Unreachable::Network),
        Reply::json(json!({"error": "invalid_grant"})).with_status(400),
        Reply::html(),
    ] {
        let mut world = World::new();
        world.sign_in().unwrap();
        world.idp().reply(Purpose::Refresh, reply);
        let (mut refresh, answer) = answered(&mut world);
        world.sign_out_with(json!({})).unwrap();
        let before = ended(&world).len();
        assert_eq!(goes_on(&mut world, &mut refresh, answer), "login_required");
        assert_eq!(ended(&world).len(), before);
    }
}

#[test]
fn tokens_that_came_too_late_and_do_not_end_are_an_alert() {
    let mut world = World::new();
    let (mut refresh, answer) = renewing(&mut world);
    world.sign_out_with(json!({})).unwrap();
    world.idp().always(Purpose::Revocation, Reply::status(503));
    assert_eq!(goes_on(&mut world, &mut refresh, answer), "login_required");
    let alerts = world.client.take_alerts();
    let alerts: Vec<_> = alerts.iter().map(|it| (it.code(), it.phase())).collect();
    assert_eq!(alerts, [("upstream_status", Some(Phase::SignOut))]);
}

#[test]
fn a_kind_of_token_that_cannot_be_ended_is_understood() {
    let unsupported = json!({"error": "unsupported_token_type"});
    // An access token that ends by itself soon is no failure.
    let mut world = World::new();
    world.sign_in().unwrap();
    world.idp().reply(Purpose::Revocation, Reply::body(""));
    let reply = Reply::json(&unsupported).with_status(400);
    world.idp().reply(Purpose::Revocation, reply.clone());
    let signed_out = world.sign_out_with(json!({})).unwrap();
    assert_eq!(signed_out.revoked, ["refresh_token"]);
    assert!(signed_out.revocation_failure.is_none());
    // A refresh token that lives on is one.
    let mut world = World::new();
    world.sign_in().unwrap();
    world.idp().reply(Purpose::Revocation, reply);
    let signed_out = world.sign_out_with(json!({})).unwrap();
    assert_eq!(signed_out.revoked, ["access_token"]);
    let failure = signed_out.revocation_failure.unwrap();
    assert_eq!(failure.code(), "server_error_response");
    assert_eq!(failure.phase(), Some(Phase::SignOut));
    assert!(signed_out.url.is_some());
}

#[test]
fn a_revocation_that_fails_stops_nothing() {
    for (reply, expected, asked) in [
        (Reply::none(Unreachable::Network), "upstream_unreachable", 1),
        (Reply::none(Unreachable::Timeout), "upstream_timeout", 1),
        (Reply::status(503), "upstream_status", 2),
        (Reply::status(302), "redirect_refused", 2),
        (Reply::status(204), "upstream_status", 2),
        (
            Reply::json(json!({"error": "invalid_client"})).with_status(401),
            "server_error_response",
            2,
        ),
    ] {
        let mut world = World::new();
        world.sign_in().unwrap();
        world.idp().always(Purpose::Revocation, reply);
        let signed_out = world.sign_out_with(json!({})).unwrap();
        assert!(signed_out.url.is_some() && signed_out.revoked.is_empty());
        let failure = signed_out.revocation_failure.unwrap();
        assert_eq!(failure.code(), expected);
        assert_eq!(ended(&world).len(), asked, "{expected}");
        assert!(world.client.session().is_none());
    }
}

#[test]
fn revocations_take_three_seconds_in_all() {
    let mut world = World::new();
    world.sign_in().unwrap();
    world.net.latency = Lifetime::from_seconds(2);
    world.net.clear();
    world.sign_out_with(json!({})).unwrap();
    let timeouts: Vec<_> = world.net.sent.iter().map(|sent| sent.timeout).collect();
    assert_eq!(
        timeouts,
        [Lifetime::from_seconds(3), Lifetime::from_seconds(1)]
    );
    let mut world = World::new();
    world.sign_in().unwrap();
    world.net.latency = Lifetime::from_seconds(3);
    let signed_out = world.sign_out_with(json!({})).unwrap();
    assert_eq!(ended(&world).len(), 1);
    let failure = signed_out.revocation_failure.unwrap();
    assert_eq!(failure.code(), "upstream_timeout");
    assert_eq!(signed_out.revoked, ["refresh_token"]);
}

#[test]
fn the_tokens_that_another_tab_renewed_are_the_ones_that_end() {
    let mut world = World::new();
    world.sign_in().unwrap();
    let (options, entropy) = (SignOutOptions::default(), world.entropy());
    let mut flow = SignOut::new(&mut world.client, options, entropy);
    assert!(world.client.session().is_none());
    // What the other tab stored.
    world.sign_in().unwrap();
    flow.take(world.client.session().unwrap());
    world.client.forget_session();
    world.net.run(&mut flow, &mut world.client).unwrap();
    let ended = ended(&world);
    assert_eq!(ended.len(), 2);
    assert!(ended[0].1.starts_with("refresh-S3CRET-6"), "{ended:?}");
}

#[test]
fn what_waits_for_a_return_holds_no_token() {
    let (world, _) = left(json!({"returnTo": "/start"}));
    let text = world.logouts.to_json();
    world.net.assert_silent(&text);
    assert!(!text.contains("eyJ"));
    assert_eq!(PendingLogouts::read(Some(&text)).to_json(), text);
}

/// Someone signed in, with the name of the session at the provider.
fn with_sid(more: serde_json::Value) -> World {
    let mut world = World::with(more);
    world
        .sign_in_with_id_token(|token| {
            token.claims.set("sid", json!("session-1"));
        })
        .unwrap();
    world
}

const FRAME: &str = "https://app.example/frame?iss=https%3A%2F%2Fas.example&sid=session-1";

#[test]
fn lgo_14_a_frame_that_names_this_session_ends_it() {
    let mut world = with_sid(json!({}));
    assert!(world.client.frontchannel_logout(FRAME));
    assert!(world.client.session().is_none());
    // And once more changes nothing.
    assert!(!world.client.frontchannel_logout(FRAME));
}

#[test]
fn lgo_14_a_frame_that_names_something_else_changes_nothing() {
    let mut world = with_sid(json!({}));
    for url in [
        FRAME.replace("as.example", "other.example"),
        FRAME.replace("as.example", "as.example%2F"),
        FRAME.replace("session-1", "session-2"),
        FRAME.replace("session-1", ""),
        FRAME.replace("&sid=session-1", ""),
        FRAME.replace("iss=https%3A%2F%2Fas.example&", ""),
        FRAME.replace("sid=", "state="),
        format!("{FRAME}&sid=session-1"),
        format!("{FRAME}&iss=x"),
        format!("{FRAME}&x=%zz"),
        FRAME.replace('?', "#"),
        "https://app.example/frame".into(),
        String::new(),
    ] {
        assert!(!world.client.frontchannel_logout(&url), "{url}");
        assert!(world.client.session().is_some(), "{url}");
    }
}

#[test]
fn lgo_14_a_bare_frame_is_believed_only_by_choice() {
    let choice = json!({"frontchannelLogoutSessionRequired": false});
    let mut world = with_sid(choice);
    // One without the other is never right.
    assert!(!world.client.frontchannel_logout("/frame?sid=session-1"));
    assert!(
        world
            .client
            .frontchannel_logout("https://app.example/frame")
    );
    assert!(world.client.session().is_none());
}

#[test]
fn lgo_14_a_session_that_has_no_name_is_not_ended_by_one() {
    let mut world = World::new();
    world.sign_in().unwrap();
    assert!(!world.client.frontchannel_logout(FRAME));
    assert!(world.client.session().is_some());
}

#[test]
fn lgo_15_where_no_session_can_be_seen_a_frame_does_nothing() {
    let mut world = World::new();
    assert!(!world.client.frontchannel_logout(FRAME));
}

#[test]
fn without_a_page_to_return_to_the_provider_keeps_the_user() {
    let mut world = World::new();
    world.sign_in().unwrap();
    let url = world.sign_out().unwrap().unwrap();
    assert!(!url.contains("post_logout_redirect_uri"));
}

#[test]
fn a_query_of_the_end_session_endpoint_stays() {
    let mut world = World::new();
    world.idp().metadata["end_session_endpoint"] = json!("https://as.example/logout?tenant=1");
    world.sign_in().unwrap();
    let url = world.sign_out().unwrap().unwrap();
    assert!(url.starts_with("https://as.example/logout?tenant=1&id_token_hint="));
}

#[test]
fn the_session_is_gone_at_once() {
    let mut world = World::new();
    world.sign_in().unwrap();
    let (options, entropy) = (SignOutOptions::default(), world.entropy());
    let _flow = SignOut::new(&mut world.client, options, entropy);
    assert!(world.client.session().is_none());
}

#[test]
fn signing_out_works_while_the_provider_is_down() {
    let mut world = World::new();
    world.sign_in().unwrap();
    world.net.pass(48 * 3600);
    world
        .idp()
        .always(Purpose::Discovery, Reply::none(Unreachable::Network));
    assert!(world.sign_out().unwrap().is_some());
    assert!(world.client.session().is_none());
}

#[test]
fn signing_out_without_a_session_needs_no_hint() {
    let mut world = World::new();
    let url = world.sign_out().unwrap().unwrap();
    assert_eq!(url, "https://as.example/logout?client_id=spa");
}

#[test]
fn a_provider_without_the_endpoint_gives_no_url() {
    let mut world = World::new();
    world.idp().metadata["end_session_endpoint"] = json!(null);
    world.sign_in().unwrap();
    assert_eq!(world.sign_out().unwrap(), None);
    assert!(world.client.session().is_none());
}

#[test]
fn rfr_18_signing_out_during_a_refresh_drops_its_answer() {
    let mut world = World::new();
    let (mut refresh, answer) = renewing(&mut world);
    world.sign_out().unwrap();
    assert_eq!(goes_on(&mut world, &mut refresh, answer), "login_required");
    assert!(world.client.session().is_none());
}

#[test]
fn the_way_back_has_another_name_where_the_provider_has_one() {
    let uri = "https://app.example/bye";
    let given = json!({
        "postLogoutRedirectUri": uri,
        "postLogoutRedirectParameter": "logout_uri",
    });
    let mut world = World::with(given);
    world.sign_in().unwrap();
    let url = world.sign_out().unwrap().unwrap();
    assert!(url.contains("&logout_uri=https%3A%2F%2Fapp.example%2Fbye&state="));
    assert!(!url.contains("post_logout_redirect_uri"));
    for name in ["state", "redirect_uri", ""] {
        let given = options(&json!({
            "issuer": "https://as.example",
            "clientId": "spa",
            "postLogoutRedirectParameter": name,
        }));
        let refused = code_at(Client::from_options(&given));
        assert_eq!(
            refused,
            ("config_invalid", "postLogoutRedirectParameter".into())
        );
    }
}

#[test]
fn rfr_24_a_revocation_carries_the_token_in_its_body_and_tells_its_answers_apart() {
    let answered = |reply: Option<Reply>| {
        let mut world = World::new();
        world.sign_in().unwrap();
        if let Some(reply) = reply {
            world.idp().always(Purpose::Revocation, reply);
        }
        let signed_out = world.sign_out_with(json!({})).unwrap();
        for sent in world.net.sent.iter() {
            if sent.purpose == Purpose::Revocation {
                assert_eq!(sent.url, "https://as.example/revoke");
                assert!(sent.field("token").unwrap().len() > 8);
            }
        }
        let failure = signed_out.revocation_failure;
        (
            signed_out.revoked.len(),
            failure.map(|error| (error.code(), error.retryable())),
        )
    };
    let refusal = |error: &str| Reply::json(json!({"error": error})).with_status(400);
    // RFC 7009 section 2.2: also for a token that nobody knows any more.
    assert_eq!(answered(None), (2, None));
    assert_eq!(answered(Some(Reply::body(""))), (2, None));
    let unavailable = Reply::body("").with_status(503);
    assert_eq!(
        answered(Some(unavailable)),
        (0, Some(("upstream_status", true)))
    );
    // Section 2.2.1: that an access token cannot be ended is understood, a refresh token's is told.
    assert_eq!(
        answered(Some(refusal("unsupported_token_type"))),
        (0, Some(("server_error_response", false)))
    );
}

#[test]
fn a_sign_out_elsewhere_ends_the_session_of_the_same_user() {
    for (subject, goes_on) in [
        (Some("user-1"), false),
        (None, false),
        (Some("user-2"), true),
        (Some("User-1"), true),
    ] {
        let mut world = World::new();
        world.sign_in().unwrap();
        assert_eq!(world.client.signed_out_elsewhere(subject), !goes_on);
        assert_eq!(world.client.session().is_some(), goes_on, "{subject:?}");
    }
    assert!(!World::new().client.signed_out_elsewhere(None));
}
