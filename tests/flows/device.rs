//! Signing in on a device without a browser (RFC 8628).

use gatepass::Error;
use gatepass::client::SignedIn;
use gatepass::client::machine::{DeviceLogin, DeviceStart};
use gatepass::flow::{Event, Step};
use gatepass::http::{Purpose, Unreachable};
use serde_json::{Value, json};

use crate::support::{Key, Members, Reply, World, code, code_at, options};

const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

fn start_with(world: &mut World, given: Value) -> Result<DeviceLogin, Error> {
    let seed = world.seed();
    let mut flow = DeviceStart::new(&options(&given), &world.client, seed)?;
    world.net.run(&mut flow, &mut world.client)
}

fn start(world: &mut World) -> Result<DeviceLogin, Error> {
    start_with(world, json!({}))
}

fn finish(world: &mut World, mut login: DeviceLogin) -> Result<SignedIn, Error> {
    world.net.run(&mut login, &mut world.client)
}

/// The outcome of a start with one change to the answer.
fn started(edit: impl FnOnce(&mut Members)) -> (&'static str, String) {
    let mut world = World::new();
    let mut answer = world.idp().device_authorization();
    edit(&mut answer);
    world
        .idp()
        .reply(Purpose::DeviceAuthorization, Reply::json(answer));
    code_at(start(&mut world))
}

fn refusal(error: &str) -> Reply {
    Reply::json(json!({"error": error})).with_status(400)
}

/// How long the device waited each time when the provider answered so before it said yes.
fn waits(replies: Vec<Reply>) -> Vec<u32> {
    let mut world = World::new();
    let login = start(&mut world).unwrap();
    for reply in replies {
        world.idp().reply(Purpose::Token, reply);
    }
    finish(&mut world, login).unwrap();
    world
        .net
        .slept
        .iter()
        .map(|pause| pause.whole_seconds())
        .collect()
}

#[test]
fn the_code_of_a_device_is_not_sent_before_the_keys_are_there() {
    let mut world = World::new();
    let login = start_with(&mut world, json!({"scope": "openid"})).unwrap();
    world.idp().reply(Purpose::Keys, Reply::status(503));
    finish(&mut world, login).unwrap();
    let purposes: Vec<_> = world.net.sent.iter().map(|sent| sent.purpose).collect();
    let last = purposes.len() - 3;
    assert_eq!(
        purposes[last..],
        [Purpose::Keys, Purpose::Keys, Purpose::Token]
    );
    // Twice as long after the failure.
    let slept = world.net.slept.iter().map(|pause| pause.whole_seconds());
    assert_eq!(slept.collect::<Vec<_>>(), [5, 10]);
    // Without openid nobody knows that there will be an ID token.
    let mut world = World::new();
    let login = start_with(&mut world, json!({"scope": "read"})).unwrap();
    world.net.clear();
    finish(&mut world, login).unwrap();
    assert_eq!(world.net.sent[0].purpose, Purpose::Token);
}

#[test]
fn a_device_login_that_somebody_signed_out_of_comes_to_nothing() {
    // While it waits nothing more is asked; what was granted ends.
    for is_asked in [false, true] {
        let mut world = World::new();
        let mut login = start_with(&mut world, json!({"scope": "openid"})).unwrap();
        let mut event = Event::Start;
        let mut late = loop {
            let step = world.net.step(&mut login, &mut world.client, event);
            event = match step.unwrap() {
                Step::Sleep(_) if !is_asked => break Event::Woke,
                Step::Sleep(_) => Event::Woke,
                Step::Send(request) => {
                    let answer = world.net.answer(&request);
                    if request.purpose == Purpose::Token {
                        break answer;
                    }
                    answer
                }
                step => panic!("{step:?}"),
            };
        };
        world.sign_out_with(json!({})).unwrap();
        let error = loop {
            match world.net.step(&mut login, &mut world.client, late) {
                Ok(Step::Send(request)) => late = world.net.answer(&request),
                Ok(step) => panic!("{step:?}"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.code(), "login_required");
        assert!(world.client.session().is_none());
        let ended = world.net.count(Purpose::Revocation);
        assert_eq!(ended, if is_asked { 2 } else { 0 });
    }
}

#[test]
fn a_device_login_makes_a_session() {
    let mut world = World::new();
    let login = start_with(&mut world, json!({"scope": "openid email"})).unwrap();
    assert_eq!(login.prompt().user_code, "WDJB-MJHT");
    assert_eq!(
        login.prompt().verification_uri.as_str(),
        "https://as.example/activate"
    );
    let sent = world.net.sent.last().unwrap();
    assert_eq!(
        sent.body.as_deref(),
        Some("scope=openid+email&client_id=spa")
    );

    world
        .idp()
        .reply(Purpose::Token, refusal("authorization_pending"));
    let signed_in = finish(&mut world, login).unwrap();
    assert!(signed_in.id_token_checked.contains(&"iss"));
    let session = world.client.session().unwrap();
    assert_eq!(
        session.user().unwrap().string("sub").unwrap(),
        Some("user-1")
    );
    assert_eq!(session.scope(), "openid email");
    let polls = world
        .net
        .sent
        .iter()
        .filter(|sent| sent.purpose == Purpose::Token);
    for poll in polls {
        assert_eq!(poll.field("grant_type").as_deref(), Some(DEVICE_CODE));
        assert!(poll.field("device_code").is_some());
    }
    // And goes on as every other session does.
    world.net.pass(250);
    world.refresh().unwrap();
}

#[test]
fn the_prompt_has_what_a_user_needs() {
    let mut world = World::new();
    let mut answer = world.idp().device_authorization();
    let complete = "https://as.example/activate?user_code=WDJB-MJHT";
    answer.set("verification_uri_complete", json!(complete));
    world
        .idp()
        .reply(Purpose::DeviceAuthorization, Reply::json(answer));
    let login = start(&mut world).unwrap();
    let prompt: Value = serde_json::from_str(&login.prompt().to_json()).unwrap();
    assert_eq!(
        prompt,
        json!({
            "userCode": "WDJB-MJHT",
            "verificationUri": "https://as.example/activate",
            "verificationUriComplete": complete,
            "expiresAt": world.net.now.seconds() + 600,
        })
    );
}

#[test]
fn dev_02_a_place_to_go_that_is_not_https_is_refused() {
    for url in [
        "http://as.example/activate",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "https://as.example/\\u001b[31m",
    ] {
        for name in ["verification_uri", "verification_uri_complete"] {
            let outcome = started(|answer| {
                answer.set(name, format!("\"{url}\""));
            });
            assert_eq!(outcome, ("url_insecure", name.into()), "{url}");
        }
    }
    let outcome = started(|answer| {
        answer.remove("verification_uri");
    });
    assert_eq!(outcome, ("response_malformed", "verification_uri".into()));
    // As in the drafts, and at Google.
    let outcome = started(|answer| {
        answer
            .remove("verification_uri")
            .set("verification_url", json!("https://as.example/device"));
    });
    assert_eq!(outcome.0, "accepted");
}

#[test]
fn dev_04_an_interval_is_a_number_and_at_least_a_second() {
    let first_wait = |interval: &str| {
        let mut world = World::new();
        let mut answer = world.idp().device_authorization();
        answer.set("interval", interval);
        world
            .idp()
            .reply(Purpose::DeviceAuthorization, Reply::json(answer));
        let login = start(&mut world).unwrap();
        finish(&mut world, login).unwrap();
        world.net.slept[0].millis()
    };
    assert_eq!(first_wait("0"), 1000);
    assert_eq!(first_wait("0.5"), 1000);
    assert_eq!(first_wait("2.5"), 2500);
    assert_eq!(first_wait("10"), 10_000);
    for interval in ["-1", "1e400", "\"5\"", "null", "true", "{}"] {
        let outcome = started(|answer| {
            answer.set("interval", interval);
        });
        assert_eq!(outcome.0, "response_malformed", "{interval}");
    }
    let mut world = World::new();
    let mut answer = world.idp().device_authorization();
    answer.remove("interval");
    world
        .idp()
        .reply(Purpose::DeviceAuthorization, Reply::json(answer));
    let login = start(&mut world).unwrap();
    finish(&mut world, login).unwrap();
    assert_eq!(world.net.slept[0].millis(), 5000);
}

#[test]
fn what_is_missing_from_the_start_is_malformed() {
    for name in ["device_code", "user_code", "expires_in"] {
        let outcome = started(|answer| {
            answer.remove(name);
        });
        assert_eq!(outcome, ("response_malformed", name.into()));
        for value in ["\"\"", "null", "{}"] {
            let outcome = started(|answer| {
                answer.set(name, value);
            });
            assert_eq!(outcome, ("response_malformed", name.into()), "{value}");
        }
    }
    for seconds in ["0", "-1"] {
        let outcome = started(|answer| {
            answer.set("expires_in", seconds);
        });
        assert_eq!(outcome, ("response_malformed", "expires_in".into()));
    }
}

#[test]
fn dev_05_pending_goes_on_at_the_same_interval() {
    let pending = || refusal("authorization_pending");
    assert_eq!(waits(vec![]), [5]);
    assert_eq!(waits(vec![pending(), pending(), pending()]), [5, 5, 5, 5]);
}

#[test]
fn dev_06_slow_down_is_five_seconds_more_from_then_on() {
    let slow = || refusal("slow_down");
    let pending = || refusal("authorization_pending");
    assert_eq!(
        waits(vec![slow(), pending(), slow(), pending()]),
        [5, 10, 10, 15, 15]
    );
}

#[test]
fn dev_07_a_network_that_fails_is_asked_half_as_often_each_time() {
    let none = |cause| Reply::none(cause);
    let timeout = || none(Unreachable::Timeout);
    assert_eq!(
        waits(vec![timeout(), none(Unreachable::Network), timeout()]),
        [5, 10, 20, 40]
    );
    assert_eq!(
        waits(vec![Reply::status(503), refusal("authorization_pending")]),
        [5, 10, 10]
    );
    let words = Reply::json(json!({"error": "temporarily_unavailable"})).with_status(503);
    assert_eq!(
        waits(vec![words, refusal("authorization_pending")]),
        [5, 10, 10]
    );
    // Longer where the provider says so.
    let later = Reply::status(429).with_header("retry-after", "45");
    assert_eq!(
        waits(vec![later, refusal("authorization_pending")]),
        [5, 45, 10]
    );
}

#[test]
fn dev_08_a_clock_that_is_set_while_it_waits_does_not_end_it() {
    let mut world = World::new();
    let mut login = start(&mut world).unwrap();
    let step = world.net.step(&mut login, &mut world.client, Event::Start);
    assert!(matches!(step, Ok(Step::Sleep(_))));
    world.net.pass(5 * 3600);
    world
        .idp()
        .reply(Purpose::Token, refusal("authorization_pending"));
    login.begin_anew();
    finish(&mut world, login).unwrap();
    assert_eq!(world.net.count(Purpose::Token), 2);
}

#[test]
fn a_pause_that_was_broken_off_takes_nothing_from_the_life_of_the_code() {
    let mut world = World::new();
    let mut login = start(&mut world).unwrap();
    for _ in 0..1000 {
        let step = world.net.step(&mut login, &mut world.client, Event::Start);
        assert!(matches!(step, Ok(Step::Sleep(_))));
        login.begin_anew();
    }
    finish(&mut world, login).unwrap();
    assert_eq!(world.net.count(Purpose::Token), 1);
}

#[test]
fn polling_does_not_outlive_the_code() {
    let mut world = World::new();
    let login = start(&mut world).unwrap();
    world
        .idp()
        .always(Purpose::Token, refusal("authorization_pending"));
    let begun = world.net.now;
    let mut login = login;
    let mut event = Event::Start;
    let error = loop {
        event = match world.net.step(&mut login, &mut world.client, event) {
            Ok(Step::Send(request)) => world.net.answer(&request),
            Ok(Step::Sleep(pause)) => {
                world.net.now = world.net.now.after(pause);
                Event::Woke
            }
            Ok(_) => panic!("no other step"),
            Err(error) => break error,
        };
    };
    assert_eq!(error.code(), "flow_expired");
    assert!(world.net.now.since(begun).whole_seconds() < 600);
    assert_eq!(world.net.count(Purpose::Token), 119);
}

#[test]
fn a_refusal_ends_it_with_its_code() {
    for (reply, expected) in [
        (refusal("access_denied"), "server_error_response"),
        (refusal("expired_token"), "flow_expired"),
        (refusal("invalid_grant"), "server_error_response"),
        (
            refusal("invalid_client").with_status(401),
            "server_error_response",
        ),
        (Reply::none(Unreachable::Redirected), "redirect_refused"),
        (Reply::status(404), "upstream_status"),
        (Reply::html(), "response_malformed"),
    ] {
        let mut world = World::new();
        let login = start(&mut world).unwrap();
        world.idp().always(Purpose::Token, reply);
        assert_eq!(code(finish(&mut world, login)), expected);
        assert_eq!(world.net.count(Purpose::Token), 1);
        assert!(world.client.session().is_none());
    }
}

#[test]
fn a_start_that_is_refused_has_its_code() {
    for (reply, expected) in [
        (refusal("invalid_scope"), "server_error_response"),
        (refusal("unauthorized_client"), "server_error_response"),
        (Reply::status(404), "upstream_status"),
        (Reply::html(), "response_malformed"),
        (Reply::none(Unreachable::Redirected), "redirect_refused"),
    ] {
        let mut world = World::new();
        world.idp().always(Purpose::DeviceAuthorization, reply);
        assert_eq!(code(start(&mut world)), expected);
    }
    // Nothing is used up by asking for a code.
    let mut world = World::new();
    world.idp().reply(
        Purpose::DeviceAuthorization,
        Reply::none(Unreachable::Network),
    );
    world
        .idp()
        .reply(Purpose::DeviceAuthorization, Reply::status(503));
    assert!(start(&mut world).is_ok());
    let mut world = World::new();
    world
        .idp()
        .metadata
        .as_object_mut()
        .unwrap()
        .remove("device_authorization_endpoint");
    let outcome = code_at(start(&mut world));
    assert_eq!(
        outcome,
        ("metadata_invalid", "device_authorization_endpoint".into())
    );
}

#[test]
fn dev_11_a_code_to_show_has_no_control_characters() {
    let mut world = World::new();
    let mut answer = world.idp().device_authorization();
    answer.set("user_code", "\"\\u001b[31mAB\\u0007-\\u202eCD\\r\\n\"");
    world
        .idp()
        .reply(Purpose::DeviceAuthorization, Reply::json(answer));
    let login = start(&mut world).unwrap();
    assert_eq!(login.prompt().user_code, "[31mAB-CD");
    let outcome = started(|answer| {
        answer.set("user_code", "\"\\u001b\\u0007\"");
    });
    assert_eq!(outcome, ("response_malformed", "user_code".into()));
}

#[test]
fn dev_12_neither_code_is_printed() {
    let mut world = World::new();
    let login = start(&mut world).unwrap();
    let text = format!("{login:?} {:?}", login.prompt());
    assert_eq!(text, "DeviceLogin([redacted]) DevicePrompt([redacted])");
    world.net.assert_silent(&login.prompt().to_json());
    world.idp().reply(Purpose::Token, refusal("access_denied"));
    let error = finish(&mut world, login).unwrap_err();
    world
        .net
        .assert_silent(&format!("{error} {error:?} {:?}", error.details()));
}

#[test]
fn dev_13_tokens_of_a_device_are_checked_as_those_of_every_sign_in() {
    let outcome = |edit: fn(&mut Members)| {
        let mut world = World::new();
        world.idp().edit_response = Some(Box::new(edit));
        let login = start(&mut world).unwrap();
        let outcome = code_at(finish(&mut world, login));
        assert_eq!(world.client.session().is_some(), outcome.0 == "accepted");
        outcome
    };
    let remove_id_token = |response: &mut Members| {
        response.remove("id_token");
    };
    assert_eq!(
        outcome(remove_id_token),
        ("claim_missing", "id_token".into())
    );
    let mac = |response: &mut Members| {
        response.set("token_type", json!("mac"));
    };
    assert_eq!(outcome(mac).0, "token_type_unsupported");
    let negative = |response: &mut Members| {
        response.set("expires_in", -1);
    };
    assert_eq!(
        outcome(negative),
        ("response_malformed", "expires_in".into())
    );
    let broken = |response: &mut Members| {
        response.set("id_token", json!("x.y.z"));
    };
    assert_eq!(outcome(broken).0, "token_malformed");

    let claims = |edit: fn(&mut Members)| {
        let mut world = World::new();
        world.idp().edit_id_token = Some(Box::new(move |token| edit(&mut token.claims)));
        let login = start(&mut world).unwrap();
        code(finish(&mut world, login))
    };
    assert_eq!(
        claims(|claims| {
            claims.set("aud", json!("other"));
        }),
        "audience_mismatch"
    );
    assert_eq!(
        claims(|claims| {
            claims.set("iss", json!("https://evil.example"));
        }),
        "issuer_mismatch"
    );
    // No nonce was sent.
    assert_eq!(
        claims(|claims| {
            claims.set("nonce", json!("of someone else"));
        }),
        "nonce_mismatch"
    );
}

#[test]
fn a_signature_of_someone_else_is_refused() {
    let mut world = World::new();
    let login = start(&mut world).unwrap();
    let published = world.idp().jwks();
    world.idp().always(Purpose::Keys, Reply::json(published));
    world.idp().rotate_to(Key::new("k1", "ES256", 8));
    assert_eq!(code(finish(&mut world, login)), "signature_invalid");
    assert!(world.client.session().is_none());
}
