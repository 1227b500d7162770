//! Renewing the tokens.

use gatepass::client::{Attach, Refresh};
use gatepass::error::Phase;
use gatepass::flow::{Event, Reports as _, Step};
use gatepass::http::{Method, Purpose, Unreachable};
use gatepass::time::Lifetime;
use gatepass::{Error, ErrorKind};
use serde_json::{Value, json};

use crate::support::{Key, Members, Reply, World, code, code_at};

/// Someone who signed in a while ago.
fn signed_in() -> World {
    signed_in_with(json!({}))
}

fn signed_in_with(options: Value) -> World {
    let mut world = World::with(options);
    world.sign_in().unwrap();
    world.net.pass(250);
    world.net.clear();
    world
}

fn access_token(world: &World) -> String {
    let session = world.client.session().unwrap();
    match session.attach(world.client.config(), world.net.now) {
        // EXPOSE: the test compares it.
        Attach::Token(token) => token.expose().clone(),
        other => panic!("no token: {other:?}"),
    }
}

/// The refresh token that is sent next.
fn refresh_token_sent(world: &mut World) -> String {
    world.net.clear();
    let _ = world.refresh();
    let mut sent = world.net.sent.iter();
    let sent = sent.find(|sent| sent.purpose == Purpose::Refresh).unwrap();
    sent.field("refresh_token").unwrap()
}

/// The outcome of a refresh whose ID token has other claims, and whether the session is there.
fn claims(edit: impl Fn(&mut Members) + 'static) -> (&'static str, String, bool) {
    let mut world = signed_in();
    world.idp().edit_id_token = Some(Box::new(move |token| edit(&mut token.claims)));
    let (code, at) = code_at(world.refresh());
    (code, at, world.client.session().is_some())
}

#[test]
fn the_request_is_a_form_with_exactly_these_fields() {
    let mut world = signed_in_with(json!({"resource": "https://api.example/"}));
    world.refresh().unwrap();
    let sent = &world.net.sent[0];
    assert_eq!(
        (sent.method, sent.purpose),
        (Method::Post, Purpose::Refresh)
    );
    assert_eq!(sent.url, "https://as.example/token");
    assert_eq!(sent.accept, "application/json");
    let form = sent.form();
    let names: Vec<_> = form.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        ["grant_type", "refresh_token", "resource", "client_id"]
    );
    assert_eq!(form[0].1, "refresh_token");
    assert_eq!(form[3].1, "spa");
}

#[test]
fn a_refresh_gives_a_new_access_token() {
    let mut world = signed_in();
    world.refresh().unwrap();
    let first = access_token(&world);
    world.refresh().unwrap();
    assert_ne!(access_token(&world), first);
}

#[test]
fn rfr_04_a_rotated_refresh_token_replaces_the_old_one() {
    let mut world = signed_in();
    let first = refresh_token_sent(&mut world);
    let second = refresh_token_sent(&mut world);
    assert_ne!(first, second);
    assert!(world.client.session().is_some());
}

#[test]
fn rfr_05_without_a_new_refresh_token_the_old_one_is_kept() {
    let mut world = signed_in();
    world.idp().rotates = false;
    let first = refresh_token_sent(&mut world);
    assert_eq!(refresh_token_sent(&mut world), first);
}

#[test]
fn rfr_06_invalid_grant_ends_the_session_after_one_request() {
    let mut world = signed_in();
    let refused = Reply::json(r#"{"error":"invalid_grant"}"#).with_status(400);
    world.idp().always(Purpose::Refresh, refused);
    let error = world.refresh().unwrap_err();
    assert_eq!(error.code(), "server_error_response");
    assert_eq!(error.phase(), Some(Phase::Refresh));
    assert!(world.client.session().is_none());
    assert_eq!(code(world.refresh()), "login_required");
    assert_eq!(world.net.count(Purpose::Refresh), 1);
}

#[test]
fn other_errors_of_the_provider_keep_the_session() {
    for (status, body) in [
        (400, r#"{"error":"invalid_request"}"#),
        (400, r#"{"error":"temporarily_unavailable"}"#),
        (401, r#"{"error":"invalid_client"}"#),
        (400, r#"{"error":1}"#),
        (200, r#"{"error":"invalid_grant"}"#),
        // Who is busy has not looked.
        (429, r#"{"error":"invalid_grant"}"#),
        (503, r#"{"error":"invalid_grant"}"#),
        (200, r#"{"access_token":"x"}"#),
    ] {
        let mut world = signed_in();
        world
            .idp()
            .reply(Purpose::Refresh, Reply::json(body).with_status(status));
        assert!(world.refresh().is_err(), "{body}");
        assert!(world.client.session().is_some(), "{body}");
        assert_eq!(code(world.refresh()), "accepted", "{body}");
    }
}

#[test]
fn a_network_that_fails_keeps_the_session() {
    for (reply, expected) in [
        (Reply::none(Unreachable::Network), "upstream_unreachable"),
        (Reply::none(Unreachable::Timeout), "upstream_timeout"),
        (Reply::none(Unreachable::Redirected), "redirect_refused"),
        (Reply::none(Unreachable::TooLarge), "response_too_large"),
        (Reply::status(503), "upstream_status"),
        (Reply::status(302), "redirect_refused"),
        (Reply::html(), "response_malformed"),
    ] {
        let mut world = signed_in();
        world.idp().reply(Purpose::Refresh, reply);
        assert_eq!(code(world.refresh()), expected);
        // TOK-11: nothing was sent again by itself.
        assert_eq!(world.net.count(Purpose::Refresh), 1);
        assert_eq!(code(world.refresh()), "accepted");
    }
}

#[test]
fn without_a_session_there_is_nothing_to_renew() {
    let mut world = World::new();
    assert_eq!(code(world.refresh()), "login_required");
    assert_eq!(world.net.count(Purpose::Refresh), 0);
}

#[test]
fn without_a_refresh_token_somebody_has_to_sign_in() {
    let mut world = World::new();
    world.idp().edit_response = Some(Box::new(|response| {
        response.remove("refresh_token");
    }));
    world.sign_in().unwrap();
    assert_eq!(code(world.refresh()), "login_required");
    assert_eq!(world.net.count(Purpose::Refresh), 0);
    assert!(world.client.session().is_some());
}

#[test]
fn an_answer_without_an_id_token_keeps_the_user() {
    let mut world = signed_in();
    world.idp().edit_response = Some(Box::new(|response| {
        response.remove("id_token");
    }));
    world.refresh().unwrap();
    let user = world.client.session().unwrap().user().unwrap();
    assert_eq!(user.string("sub").unwrap(), Some("user-1"));
}

#[test]
fn a_scope_stays_unless_the_answer_names_another() {
    let mut world = signed_in_with(json!({"scope": "openid read"}));
    world.refresh().unwrap();
    assert_eq!(world.client.session().unwrap().scope(), "openid read");
    world.idp().edit_response = Some(Box::new(|response| {
        response.set("scope", json!("openid"));
    }));
    world.refresh().unwrap();
    assert_eq!(world.client.session().unwrap().scope(), "openid");
}

#[test]
fn a_refreshed_id_token_of_the_same_user_is_accepted() {
    assert_eq!(claims(|_| {}), ("accepted", String::new(), true));
}

// OID-29, RFR-19.
#[test]
fn oid_29_rfr_19_another_sub_is_claim_invalid_and_ends_the_session() {
    let other = claims(|claims| {
        claims.set("sub", json!("user-11"));
    });
    assert_eq!(other, ("claim_invalid", "sub".into(), false));
}

#[test]
fn oid_39_a_sub_is_compared_letter_by_letter() {
    let other = claims(|claims| {
        claims.set("sub", json!("User-1"));
    });
    assert_eq!(other, ("claim_invalid", "sub".into(), false));
}

#[test]
fn oid_28_another_iss_is_issuer_mismatch_and_ends_the_session() {
    let other = claims(|claims| {
        claims.set("iss", json!("https://as.example1"));
    });
    assert_eq!(other, ("issuer_mismatch", String::new(), false));
}

#[test]
fn oid_28_another_aud_is_refused_and_ends_the_session() {
    let other = claims(|claims| {
        claims.set("aud", json!(["spa1"]));
    });
    assert_eq!(other, ("audience_mismatch", String::new(), false));
    let mut world = signed_in_with(json!({"trustedAudiences": ["other"]}));
    world.idp().edit_id_token = Some(Box::new(|token| {
        token
            .claims
            .set("aud", json!(["other", "spa"]))
            .set("azp", json!("spa"));
    }));
    assert_eq!(code_at(world.refresh()), ("claim_invalid", "aud".into()));
    assert!(world.client.session().is_none());
}

#[test]
fn the_same_audience_in_another_form_is_accepted() {
    let array = claims(|claims| {
        claims.set("aud", json!(["spa"]));
    });
    assert_eq!(array.0, "accepted");
}

#[test]
fn oid_28_another_auth_time_is_claim_invalid() {
    let other = claims(|claims| {
        claims.set("auth_time", 1_800_000_100);
    });
    assert_eq!(other, ("claim_invalid", "auth_time".into(), false));
    let absent = claims(|claims| {
        claims.remove("auth_time");
    });
    assert_eq!(absent.0, "accepted");
}

#[test]
fn oid_28_a_nonce_is_that_of_the_sign_in_where_there_is_one() {
    let other = claims(|claims| {
        claims.set("nonce", json!("x"));
    });
    assert_eq!(other, ("nonce_mismatch", String::new(), false));
    let mut world = signed_in();
    let user = world.client.session().unwrap().user().unwrap();
    let nonce = user.string("nonce").unwrap().unwrap().to_owned();
    world.idp().edit_id_token = Some(Box::new(move |token| {
        token.claims.set("nonce", json!(nonce));
    }));
    assert_eq!(code(world.refresh()), "accepted");
}

#[test]
fn a_nonce_may_come_back_after_a_refresh_without_one() {
    let mut world = signed_in();
    let user = world.client.session().unwrap().user().unwrap();
    let nonce = user.string("nonce").unwrap().unwrap().to_owned();
    world.refresh().unwrap();
    world.idp().edit_id_token = Some(Box::new(move |token| {
        token.claims.set("nonce", json!(nonce));
    }));
    assert_eq!(code(world.refresh()), "accepted");
    world.idp().edit_id_token = Some(Box::new(|token| {
        token.claims.set("nonce", json!("x"));
    }));
    assert_eq!(code(world.refresh()), "nonce_mismatch");
}

/// What the alerts since the last look say.
fn alerts(world: &mut World) -> Vec<&'static str> {
    let alerts = world.client.take_alerts();
    alerts.iter().map(Error::code).collect()
}

#[test]
fn rfr_20_a_clock_that_went_wrong_since_the_sign_in_does_not_end_the_session() {
    for (jump, alert) in [
        (24 * 3600, "token_expired"),
        (-24 * 3600, "issued_in_future"),
    ] {
        let mut world = signed_in();
        let there = world.net.now;
        world.idp().edit_id_token = Some(Box::new(move |token| {
            token
                .claims
                .set("iat", there.seconds())
                .set("exp", there.seconds() + 300);
        }));
        let here = there.millis() + jump * 1000;
        world.net.now = gatepass::time::Timestamp::from_millis(here).unwrap();
        let first = refresh_token_sent(&mut world);
        assert_eq!(alerts(&mut world), [alert]);
        let session = world.client.session().unwrap();
        assert_eq!(
            session.user().unwrap().string("sub").unwrap(),
            Some("user-1")
        );
        // The new tokens are used, and live as long as the provider said.
        assert!(access_token(&world).starts_with("access-S3CRET-"));
        assert_ne!(refresh_token_sent(&mut world), first);
    }
}

#[test]
fn rfr_19_another_user_is_refused_also_when_the_clock_is_wrong() {
    let other = claims(|claims| {
        claims
            .remove("auth_time")
            .set("sub", json!("user-2"))
            .set("iat", 1_700_000_000)
            .set("exp", 1_700_000_300);
    });
    assert_eq!(other, ("claim_invalid", "sub".into(), false));
}

#[test]
fn keys_that_cannot_be_fetched_do_not_cost_the_rotated_refresh_token() {
    let mut world = signed_in();
    // A new key signs, and nobody can fetch it.
    world.net.pass(3600);
    world.idp().rotate_to(Key::new("k2", "ES256", 77));
    world
        .idp()
        .always(Purpose::Keys, Reply::none(Unreachable::Network));
    let first = refresh_token_sent(&mut world);
    assert_eq!(alerts(&mut world), ["keys_unavailable"]);
    world.idp().recover(Purpose::Keys);
    world.net.pass(3600);
    assert_ne!(refresh_token_sent(&mut world), first);
    assert_eq!(alerts(&mut world), [""; 0]);
    let user = world.client.session().unwrap().user().unwrap();
    assert_eq!(user.string("sub").unwrap(), Some("user-1"));
}

#[test]
fn a_key_that_cannot_be_had_does_not_cost_the_rotated_refresh_token() {
    let unfit = |edit: fn(&mut Value)| {
        let mut jwk = Key::new("k2", "ES256", 77).jwk();
        edit(&mut jwk);
        json!([jwk])
    };
    for (keys, alert) in [
        (json!([Key::new("k9", "ES256", 99).jwk()]), "key_not_found"),
        (json!("none"), "jwks_invalid"),
        (unfit(|jwk| jwk["use"] = json!("enc")), "key_unsuitable"),
        (
            json!([
                Key::new("k2", "ES256", 77).jwk(),
                Key::new("k2", "ES256", 78).jwk()
            ]),
            "key_ambiguous",
        ),
    ] {
        let mut world = signed_in();
        world.net.pass(3600);
        world.idp().rotate_to(Key::new("k2", "ES256", 77));
        let reply = Reply::json(json!({ "keys": keys }));
        world.idp().always(Purpose::Keys, reply);
        let first = refresh_token_sent(&mut world);
        assert_eq!(alerts(&mut world), [alert]);
        let user = world.client.session().unwrap().user().unwrap();
        assert_eq!(user.string("sub").unwrap(), Some("user-1"));
        world.idp().recover(Purpose::Keys);
        world.net.pass(3600);
        assert_ne!(refresh_token_sent(&mut world), first, "{alert}");
        assert_eq!(alerts(&mut world), [""; 0]);
    }
}

#[test]
fn a_page_instead_of_the_keys_does_not_cost_the_rotated_refresh_token() {
    let mut world = signed_in();
    world.net.pass(3600);
    world.idp().rotate_to(Key::new("k2", "ES256", 77));
    world.idp().always(Purpose::Keys, Reply::html());
    let first = refresh_token_sent(&mut world);
    assert_eq!(alerts(&mut world), ["jwks_invalid"]);
    assert_ne!(refresh_token_sent(&mut world), first);
}

#[test]
fn a_key_that_was_changed_just_now_does_not_cost_the_rotated_refresh_token() {
    let mut world = signed_in();
    // An unknown name was looked for a moment ago, so the set is not fetched again at once.
    world.idp().rotate_to(Key::new("k2", "ES256", 77));
    let first = refresh_token_sent(&mut world);
    assert_eq!(alerts(&mut world), [""; 0]);
    world.net.pass(5);
    world.idp().rotate_to(Key::new("k3", "ES256", 78));
    let second = refresh_token_sent(&mut world);
    assert_eq!(alerts(&mut world), ["key_not_found"]);
    let third = refresh_token_sent(&mut world);
    assert!(first != second && second != third);
}

#[test]
fn a_key_that_the_host_refuses_does_not_cost_the_rotated_refresh_token() {
    for kind in [ErrorKind::KeyUnsuitable, ErrorKind::UnsupportedHost] {
        let mut world = signed_in();
        let mut flow = Refresh::new(&world.client);
        let mut event = Event::Start;
        loop {
            event = match world.net.step(&mut flow, &mut world.client, event).unwrap() {
                Step::Send(request) => world.net.answer(&request),
                Step::Verify(_) => Event::CheckFailed(kind.into()),
                Step::Done(()) => break,
                step => panic!("{step:?}"),
            };
        }
        assert_eq!(alerts(&mut world), [Error::from(kind).code()]);
        assert!(access_token(&world).starts_with("access-S3CRET-"));
    }
}

#[test]
fn an_algorithm_that_the_metadata_does_not_name_does_not_cost_the_rotated_refresh_token() {
    let mut world = World::new();
    world.idp().metadata["id_token_signing_alg_values_supported"] = json!(["ES256"]);
    world.sign_in().unwrap();
    world.idp().rotate_to(Key::new("k2", "ES384", 77));
    let first = refresh_token_sent(&mut world);
    assert_eq!(alerts(&mut world), ["alg_not_allowed"]);
    assert_ne!(refresh_token_sent(&mut world), first);
}

// The answer came from the provider, so the token that was sent is used up; whose the new ones are
// nobody knows.
#[test]
fn an_id_token_that_is_forged_or_none_ends_the_session() {
    for (id_token, expected) in [
        (None, "signature_invalid"),
        (Some("x.y"), "token_malformed"),
        (Some("e30.e30.e30"), "token_malformed"),
    ] {
        let mut world = signed_in();
        world.idp().edit_response = Some(Box::new(move |response| {
            let token = response.text("id_token").unwrap();
            let signed = token.rsplit_once('.').unwrap().0;
            let forged = format!("{signed}.{}", crate::support::base64url([7; 64]));
            let token = id_token.unwrap_or(&forged);
            response.set("id_token", json!(token));
        }));
        let sent = world.net.count(Purpose::Refresh);
        assert_eq!(code(world.refresh()), expected);
        assert!(world.client.session().is_none());
        assert_eq!(code(world.refresh()), "login_required");
        assert_eq!(world.net.count(Purpose::Refresh), sent + 1);
    }
}

#[test]
fn keys_that_will_be_needed_are_fetched_before_the_refresh_token_is_sent() {
    let mut world = signed_in();
    world.net.pass(3600);
    world.net.clear();
    world.refresh().unwrap();
    let sent: Vec<_> = world.net.sent.iter().map(|sent| sent.purpose).collect();
    assert_eq!(sent, [Purpose::Keys, Purpose::Refresh]);
    // Where nobody knows the user no ID token is waited for.
    let mut world = signed_in_with(json!({"scope": "read"}));
    world.net.pass(3600);
    world.net.clear();
    world.refresh().unwrap();
    assert_eq!(world.net.count(Purpose::Keys), 0);
}

#[test]
fn a_refresh_token_that_was_read_too_long_ago_is_not_sent() {
    let mut world = signed_in();
    let sent = world.net.count(Purpose::Refresh);
    let deadline = world.net.now.after(Lifetime::from_seconds(2));
    let mut late = Refresh::new(&world.client).sent_before(deadline);
    world.net.pass(3);
    let step = world.net.step(&mut late, &mut world.client, Event::Start);
    assert_eq!(code(step), "flow_expired");
    assert_eq!(world.net.count(Purpose::Refresh), sent);
    assert!(world.client.session().is_some());
    // What was sent in time is read whenever it comes.
    let deadline = world.net.now.after(Lifetime::from_seconds(2));
    let mut slow = Refresh::new(&world.client).sent_before(deadline);
    let Ok(Step::Send(request)) = world.net.step(&mut slow, &mut world.client, Event::Start) else {
        panic!("nothing was sent");
    };
    // Whoever sends it looks at the clock once more, and may have slept until then.
    assert_eq!(request.send_by, Some(deadline));
    let mut asleep = Refresh::new(&world.client).sent_before(deadline);
    let _ = world.net.step(&mut asleep, &mut world.client, Event::Start);
    let unsent = Event::Unreachable(Unreachable::Late);
    let step = world.net.step(&mut asleep, &mut world.client, unsent);
    assert_eq!(code(step), "flow_expired");
    assert!(world.client.session().is_some());
    world.net.pass(9);
    let answer = world.net.answer(&request);
    let done = world.net.step(&mut slow, &mut world.client, answer);
    assert!(matches!(done, Ok(Step::Done(()) | Step::Verify(_))));
}

#[test]
fn a_sign_in_during_a_refresh_drops_its_answer() {
    let mut world = signed_in();
    let mut refresh = Refresh::new(&world.client);
    let Ok(Step::Send(request)) = world
        .net
        .step(&mut refresh, &mut world.client, Event::Start)
    else {
        panic!("nothing was sent");
    };
    let answer = world.net.answer(&request);
    world.idp().subject = "user-2".into();
    world.sign_in().unwrap();
    let late = world.net.step(&mut refresh, &mut world.client, answer);
    assert_eq!(code(late), "login_required");
    let user = world.client.session().unwrap().user().unwrap();
    assert_eq!(user.string("sub").unwrap(), Some("user-2"));
}

#[test]
fn a_refresh_that_lost_a_race_does_not_end_the_renewed_session() {
    let mut world = signed_in();
    let mut slow = Refresh::new(&world.client);
    let Ok(Step::Send(request)) = world.net.step(&mut slow, &mut world.client, Event::Start) else {
        panic!("nothing was sent");
    };
    // Another one is faster and gets the rotated token; the old one is refused.
    world.refresh().unwrap();
    let answer = world.net.answer(&request);
    let late = world.net.step(&mut slow, &mut world.client, answer);
    assert_eq!(code(late), "server_error_response");
    assert!(world.client.session().is_some());
    assert_eq!(code(world.refresh()), "accepted");
}

#[test]
fn when_it_is_worth_asking_again_is_told() {
    let busy = || Reply::status(503).with_header("retry-after", "30");
    let told = |error: &Error| {
        assert_eq!(error.code(), "upstream_status");
        error.details().unwrap().retry_after
    };
    let mut world = signed_in();
    world.idp().reply(Purpose::Refresh, busy());
    assert_eq!(told(&world.refresh().unwrap_err()), Some(30));
    assert!(world.client.session().is_some());

    let mut world = World::new();
    let url = world.begin().unwrap();
    let callback = world.agree(&url);
    world.idp().reply(Purpose::Token, busy());
    assert_eq!(told(&world.finish(&callback).unwrap_err()), Some(30));
}
