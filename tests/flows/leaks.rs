//! What can be printed holds no token, no code, no verifier.
//!
//! The driver looks at every step of every test; here is proved that it looks, and what is outside
//! of flows.

use gatepass::ErrorKind;
use gatepass::client::machine::{DeviceStart, Grant};
use gatepass::client::{Attach, CodeVerifier, Completion};
use gatepass::flow::{Event, Step};
use gatepass::guard::BearerToken;
use gatepass::http::{Purpose, Unreachable};
use serde_json::json;

use crate::support::{GuardWorld, Net, Reply, World, code, options};

#[test]
#[should_panic(expected = "stands in")]
fn the_driver_sees_a_secret_that_is_printed() {
    let mut net = Net::new(Vec::new());
    net.keep_secret("access-S3CRET-1");
    net.assert_silent("Bearer access-S3CRET-1");
}

#[test]
#[should_panic(expected = "stands in")]
fn the_driver_knows_the_tokens_of_a_sign_in() {
    let mut world = World::new();
    world.sign_in().unwrap();
    let session = world.client.session().unwrap();
    let Attach::Token(token) = session.attach(world.client.config(), world.net.now) else {
        panic!("no token");
    };
    // EXPOSE: this is what must not happen.
    world.net.assert_silent(token.expose());
}

#[test]
#[should_panic(expected = "stands in")]
fn the_driver_knows_the_verifier_of_a_sign_in() {
    let mut world = World::new();
    world.begin().unwrap();
    world.net.assert_silent(&world.logins.to_json());
}

#[test]
#[should_panic(expected = "stands in")]
fn the_driver_knows_the_code_of_a_callback() {
    let mut world = World::new();
    let url = world.begin().unwrap();
    let callback = world.agree(&url);
    world.finish(&callback).unwrap();
    world.net.assert_silent(&callback);
}

#[test]
fn tok_39_no_error_of_a_sign_in_repeats_what_came() {
    // Whatever the answer, the driver has looked at error, details, flow and client.
    for purpose in [Purpose::Discovery, Purpose::Token, Purpose::Keys] {
        for reply in [
            Reply::none(Unreachable::Network),
            Reply::none(Unreachable::Timeout),
            Reply::none(Unreachable::Redirected),
            Reply::none(Unreachable::TooLarge),
            Reply::status(302),
            Reply::status(400),
            Reply::status(500),
            Reply::html(),
            Reply::json("{"),
            Reply::json("{}"),
            Reply::json(r#"{"error":"invalid_grant"}"#).with_status(400),
        ] {
            let mut world = World::new();
            world.idp().always(purpose, reply);
            assert_ne!(code(world.sign_in()), "accepted");
        }
    }
}

#[test]
fn tok_39_what_a_provider_echoes_of_a_request_is_not_repeated() {
    let mut world = World::new();
    let url = world.begin().unwrap();
    let waiting: serde_json::Value = serde_json::from_str(&world.logins.to_json()).unwrap();
    let verifier = waiting["waiting"][0]["verifier"].as_str().unwrap();
    let callback = world.agree(&url);
    let (_, code) = callback.split_once("code=").unwrap();
    let code = code.split('&').next().unwrap();
    let refusal = json!({
        "error": "invalid_grant",
        "error_description": format!("no code {code}, with {verifier}"),
    });
    world
        .idp()
        .reply(Purpose::Token, Reply::json(refusal).with_status(400));
    // The driver has looked at all of it.
    let error = world.finish(&callback).unwrap_err();
    assert_eq!(
        error.details().unwrap().error_description.as_deref(),
        Some("no code ..., with ...")
    );
}

/// A refusal that repeats these, and what is left of it in an error.
fn repeating(values: &[&str]) -> (Reply, String) {
    let said = |values: &[&str]| format!("not good: {}.", values.join(", "));
    let body = json!({"error": "invalid_request", "error_description": said(values)});
    // As PHP writes a slash and .NET a plus sign.
    let body = body.to_string().replace('/', "\\/").replace('+', "\\u002B");
    let reply = Reply::body(body).of_type("application/json");
    (reply.with_status(400), said(&vec!["..."; values.len()]))
}

fn description<T: std::fmt::Debug>(result: Result<T, gatepass::Error>) -> String {
    let error = result.unwrap_err();
    let details = error.details().unwrap();
    details.error_description.clone().unwrap()
}

#[test]
fn tok_39_a_machine_s_secret_is_not_repeated_however_it_was_sent() {
    const SECRET: &str = "S3CRET/of+a \"machine\"";
    for method in [
        "client_secret_post",
        "client_secret_basic",
        "client_secret_basic_raw",
    ] {
        let auth = json!({"method": method, "clientSecret": SECRET});
        let mut world = World::with(json!({"clientAuth": auth, "clientId": "machine"}));
        world.net.keep_secret(SECRET);
        let (reply, left) = repeating(&[SECRET, SECRET]);
        world.idp().always(Purpose::Token, reply);
        assert_eq!(description(world.granted(json!({}))), left, "{method}");
    }
}

#[test]
fn tok_39_a_token_that_is_exchanged_is_not_repeated_however_much_is_sent() {
    const TOKEN: &str = "subject-S3CRET/1";
    for length in [20, 70_000] {
        let mut world = World::new();
        let given = json!({
            "subjectToken": TOKEN, "subjectTokenType": "access_token",
            "actorToken": "x".repeat(length), "actorTokenType": "access_token",
        });
        let grant = Grant::token_exchange(&options(&given), &world.client).unwrap();
        let (reply, left) = repeating(&[TOKEN]);
        world.idp().always(Purpose::Token, reply);
        assert_eq!(description(world.tokens_of(grant)), left, "{length}");
    }
}

#[test]
fn tok_39_the_code_of_a_device_is_not_repeated() {
    let mut world = World::new();
    let mut answer = world.idp().device_authorization();
    answer.set("device_code", json!("device-S3CRET/x"));
    world
        .idp()
        .reply(Purpose::DeviceAuthorization, Reply::json(answer));
    let mut start = DeviceStart::new(&options(&json!({})), &world.client, [1; 32]).unwrap();
    let mut login = world.net.run(&mut start, &mut world.client).unwrap();
    let (reply, left) = repeating(&["device-S3CRET/x"]);
    world.idp().always(Purpose::Token, reply);
    let refused = world.net.run(&mut login, &mut world.client);
    assert_eq!(description(refused), left);
}

#[test]
fn tok_39_an_access_token_that_userinfo_repeats_is_not() {
    let mut world = World::new();
    world.sign_in().unwrap();
    let session = world.client.session().unwrap();
    let Attach::Token(token) = session.attach(world.client.config(), world.net.now) else {
        panic!("no token");
    };
    let said = format!(
        r#"Bearer error="invalid_token", error_description="{} is over""#,
        token.expose()
    );
    let reply = Reply::status(401).with_header("www-authenticate", &said);
    world.idp().always(Purpose::UserInfo, reply);
    assert_eq!(description(world.userinfo()), "... is over");
}

#[test]
fn tok_39_a_page_that_repeats_a_request_does_not_show_its_secrets() {
    // A word of letters alone looks like any other.
    const SECRET: &str = "correcthorsebattery";
    let auth = json!({"method": "client_secret_post", "clientSecret": SECRET});
    let mut world = World::with(json!({"clientAuth": auth, "clientId": "machine"}));
    world.net.keep_secret(SECRET);
    for status in [200, 502] {
        let page = Reply::body(format!("<h1>Bad gateway</h1> for {SECRET} here"));
        let page = page.of_type("text/html").with_status(status);
        world.idp().always(Purpose::Token, page);
        let error = world.granted(json!({})).unwrap_err();
        let snippet = error.details().unwrap().snippet.clone().unwrap();
        assert_eq!(snippet, "Bad gateway for ... here", "{status}");
    }
}

#[test]
fn tok_39_a_token_that_the_introspection_endpoint_repeats_is_not() {
    // A word of letters alone looks like any other.
    const SECRET: &str = "correcthorsebattery";
    let introspection = json!({"clientId": "rs", "clientSecret": SECRET});
    let mut world = GuardWorld::with(json!({"introspection": introspection}));
    let token = world.opaque_with(|_| {});
    world.net.keep_secret(&token);
    world.net.keep_secret(SECRET);
    let page = Reply::body(format!("<h1>Bad gateway</h1> for {SECRET} here"));
    let page = page.of_type("text/html").with_status(502);
    let page = page.with_header("x-request-id", &format!("of {token}"));
    world.idp().always(Purpose::Introspection, page);
    let error = world.check(&token).unwrap_err();
    let details = error.details().unwrap();
    assert_eq!(details.snippet.as_deref(), Some("Bad gateway for ... here"));
    assert_eq!(details.request_id.as_deref(), Some("of ..."));
}

#[test]
fn tok_39_a_token_response_that_is_refused_is_not_repeated() {
    for (name, value) in [
        ("token_type", json!("mac")),
        ("expires_in", json!({})),
        ("scope", json!(1)),
        ("refresh_token", json!(1)),
        ("id_token", json!("x.y.z")),
        ("error", json!("x")),
    ] {
        let mut world = World::new();
        world.idp().edit_response = Some(Box::new(move |response| {
            response.set(name, &value);
        }));
        assert_ne!(code(world.sign_in()), "accepted", "{name}");
    }
}

#[test]
fn an_error_of_the_callback_does_not_repeat_its_code() {
    let mut world = World::new();
    let url = world.begin().unwrap();
    let callback = world.agree(&url);
    let code_value = callback.split("code=").nth(1).unwrap();
    let code_value = code_value.split('&').next().unwrap();
    world.net.keep_secret(code_value);
    for changed in [
        callback.replace("state=", "xstate="),
        callback.replace("state=", "state=x"),
        callback.replace("iss=", "iss=x"),
        format!("{callback}&code={code_value}"),
        callback.replace('?', "#"),
        format!("{callback}&x=%zz"),
    ] {
        let mut logins = world.logins.clone();
        let now = world.net.now;
        match Completion::new(&changed, &mut logins, &world.client, now) {
            Err(error) => world.net.assert_silent(&format!("{error} {error:?}")),
            Ok(mut flow) => {
                let result = world.net.step(&mut flow, &mut world.client, Event::Start);
                assert_ne!(code(result), "accepted");
            }
        }
    }
}

#[test]
fn what_waits_for_a_callback_prints_no_verifier() {
    let mut world = World::new();
    world.begin().unwrap();
    let shown = format!("{:?}", world.logins);
    world.net.assert_silent(&shown);
    assert!(shown.contains("redacted"));
}

#[test]
fn a_session_prints_nothing_of_its_tokens_and_claims() {
    let mut world = World::new();
    world.sign_in().unwrap();
    let shown = format!("{:?} {:?}", world.client, world.client.session());
    world.net.assert_silent(&shown);
    assert!(!shown.contains("user-1"));
    assert!(shown.contains("redacted"));
}

#[test]
fn a_principal_prints_no_token() {
    let mut world = GuardWorld::new();
    let token = world.good();
    world.net.keep_secret(&token);
    let principal = world.check(&token).unwrap();
    world
        .net
        .assert_silent(&format!("{principal:?} {}", principal.to_json()));
}

#[test]
fn secrets_of_the_public_types_are_redacted() {
    let verifier = CodeVerifier::read(&"v".repeat(43)).unwrap();
    assert!(!format!("{verifier:?}").contains("vvv"));
    let token = BearerToken::new("eyJ-token");
    assert!(!format!("{token:?}").contains("eyJ"));
    let mut form = gatepass::http::form::Form::new();
    form.push("code", "S3CRET");
    assert!(!format!("{form:?}").contains("S3CRET"));
    // EXPOSE: the test looks into it.
    assert!(form.into_body().expose().contains("S3CRET"));
}

#[test]
fn leak_04_no_hint_and_no_code_has_room_for_input() {
    for kind in ErrorKind::ALL {
        let error = gatepass::Error::from(*kind);
        assert_eq!(
            format!("{error}"),
            format!("{}: {}", kind.code(), kind.hint())
        );
        assert_eq!(format!("{error:?}"), format!("Error({error})"));
    }
}

#[test]
fn leak_06_a_request_prints_no_query() {
    let mut world = World::new();
    world.idp().metadata["jwks_uri"] = json!("https://as.example/jwks?api-key=S3CRET");
    let url = world.begin().unwrap();
    let callback = world.agree(&url);
    let now = world.net.now;
    let mut flow = Completion::new(&callback, &mut world.logins, &world.client, now).unwrap();
    let step = world.net.step(&mut flow, &mut world.client, Event::Start);
    let Ok(Step::Send(request)) = step else {
        panic!("nothing was sent");
    };
    assert_eq!(request.url.query(), Some("api-key=S3CRET"));
    assert_eq!(format!("{request:?}"), "GET https://as.example/jwks");
}

#[test]
fn leak_10_a_refused_token_differs_by_the_signature_check_alone() {
    // What a client is told is the same to the letter, and the work differs by one check at most.
    let mut world = GuardWorld::new();
    let good = world.good();
    assert_eq!(world.code(&good), "accepted");
    let mut told = Vec::new();
    for (edit, checks, expected) in [
        ("kid", 0, "key_not_found"),
        ("alg", 0, "alg_not_allowed"),
        ("iss", 0, "issuer_mismatch"),
        ("signature", 1, "signature_invalid"),
    ] {
        let mut token = world.token();
        match edit {
            "kid" => token.header.set("kid", json!("unknown")),
            "alg" => token.header.set("alg", json!("none")),
            "iss" => token.claims.set("iss", json!("https://other.example")),
            _ => token.header.set("typ", json!("at+jwt")),
        };
        let token = match edit {
            "signature" => token.with_signature([0; 64]),
            _ => token.sign(world.net.idps[0].key()),
        };
        world.net.clear();
        let refusal = world.refusal(&token);
        assert_eq!(refusal.error().code(), expected);
        assert_eq!(world.net.signature_checks, checks, "{edit}");
        told.push(format!("{} {:?}", refusal.status(), refusal.challenge()));
    }
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
}
