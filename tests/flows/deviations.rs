//! What real providers do otherwise than the specifications, or at their edges: as seen at Canaille
//! 0.3.6, Glewlwyd 2.7.5, Django OAuth Toolkit 3.4.1 and oidc-provider 9.13.3.

use gatepass::client::machine::DeviceStart;
use gatepass::http::Purpose;
use gatepass::time::Lifetime;
use serde_json::json;

use crate::support::{GuardWorld, Members, Reply, World, code, code_at, options};

const NOW: i64 = 1_800_000_000;

/// A sign-in whose ID token has claims as a provider writes them.
fn id_token(edit: impl Fn(&mut Members) + 'static) -> (&'static str, String) {
    let mut world = World::new();
    code_at(world.sign_in_with_id_token(move |token| edit(&mut token.claims)))
}

// Canaille.

#[test]
fn an_auth_time_with_a_fraction_is_a_date() {
    let mut world = World::new();
    world.idp().edit_id_token = Some(Box::new(|token| {
        token.claims.set("auth_time", "1799999999.606253");
    }));
    let url = world.begin_with(json!({"maxAge": 60})).unwrap();
    let callback = world.agree(&url);
    world.finish(&callback).unwrap();
}

#[test]
fn a_second_audience_without_azp_is_refused_even_when_it_is_trusted() {
    for trusted in [json!([]), json!(["rs"])] {
        let mut given = json!({});
        if trusted != json!([]) {
            given["trustedAudiences"] = trusted.clone();
        }
        let mut world = World::with(given);
        let expected = match trusted == json!([]) {
            true => "audience_mismatch",
            false => "azp_mismatch",
        };
        let refused = world.sign_in_with_id_token(|token| {
            token.claims.set("aud", json!(["spa", "rs"]));
        });
        assert_eq!(code(refused), expected);
    }
}

#[test]
fn an_offer_of_plain_and_none_changes_nothing() {
    let mut world = World::new();
    world.idp().metadata["code_challenge_methods_supported"] = json!(["plain", "S256"]);
    world.idp().metadata["id_token_signing_alg_values_supported"] = json!(["ES256", "none"]);
    let url = world.begin().unwrap();
    assert!(url.contains("code_challenge_method=S256"));
    let callback = world.agree(&url);
    world.finish(&callback).unwrap();
}

// Glewlwyd.

#[test]
fn an_auth_time_of_zero_and_a_scope_that_is_a_list_do_no_harm() {
    let outcome = id_token(|claims| {
        claims
            .set("auth_time", 0)
            .set("scope", json!(["openid", "read"]));
    });
    assert_eq!(outcome.0, "accepted");
    // Where it matters when the user signed in, 1970 is too long ago.
    let mut world = World::new();
    world.idp().edit_id_token = Some(Box::new(|token| {
        token.claims.set("auth_time", 0);
    }));
    let url = world.begin_with(json!({"maxAge": 60})).unwrap();
    let callback = world.agree(&url);
    assert_eq!(code(world.finish(&callback)), "auth_too_old");
}

#[test]
fn a_refusal_with_status_403_and_its_own_error_is_told() {
    let mut world = World::new();
    let url = world.begin().unwrap();
    let callback = world.agree(&url);
    let reply = Reply::json(json!({"error": "invalid_code"}))
        .with_status(403)
        .with_header("x-request-id", "req-\n7");
    world.idp().reply(Purpose::Token, reply);
    let error = world.finish(&callback).unwrap_err();
    assert_eq!(error.code(), "server_error_response");
    let details = error.details().unwrap();
    assert_eq!(details.error.as_deref(), Some("invalid_code"));
    assert_eq!(details.status, Some(403));
    assert_eq!(details.request_id.as_deref(), Some("req-7"));
}

/// What a refresh that is answered so, so many seconds after the sign-in, leaves of the session.
fn survives(reply: Reply, seconds: u32) -> bool {
    let mut world = World::new();
    world.sign_in().unwrap();
    world.net.pass(seconds);
    world.idp().reply(Purpose::Refresh, reply);
    assert_eq!(code(world.refresh()), "upstream_status");
    let survives = world.client.session().is_some();
    // What is left of it can be renewed.
    assert_eq!(world.refresh().is_ok(), survives);
    survives
}

#[test]
fn a_refusal_of_a_refresh_without_a_word_ends_a_session_whose_access_token_is_over() {
    let refused = || Reply::body("").with_status(400);
    assert!(survives(refused(), 299));
    assert!(!survives(refused(), 301));
}

#[test]
fn what_is_no_refusal_of_a_refresh_leaves_the_session_however_late() {
    for reply in [
        Reply::body("").with_status(403),
        Reply::body("").with_status(404),
        Reply::body("").with_status(503),
        Reply::body("<h1>Bad Request</h1>").with_status(400),
    ] {
        assert!(survives(reply, 3600));
    }
}

#[test]
fn a_token_answer_may_say_more_and_a_refreshed_one_less() {
    let mut world = World::new();
    world.idp().edit_response = Some(Box::new(|response| {
        response.set("iat", NOW);
    }));
    world.sign_in().unwrap();
    world.idp().edit_response = Some(Box::new(|response| {
        response.remove("id_token");
    }));
    world.refresh().unwrap();
    assert!(world.client.session().unwrap().user().is_some());
}

#[test]
fn endpoints_with_two_slashes_are_used_as_they_stand() {
    let mut world = World::with(json!({"issuer": "https://as.example/api/oidc"}));
    for (name, path) in [
        ("authorization_endpoint", "auth"),
        ("token_endpoint", "token"),
        ("jwks_uri", "jwks"),
    ] {
        world.idp().metadata[name] = json!(format!("https://as.example//api/oidc/{path}"));
    }
    world.idp().metadata["response_types_supported"] =
        json!(["code", "client_credentials", "refresh_token"]);
    let url = world.begin().unwrap();
    assert!(url.starts_with("https://as.example//api/oidc/auth?"));
    let callback = world.agree(&url);
    world.finish(&callback).unwrap();
}

// Django OAuth Toolkit.

#[test]
fn a_provider_that_does_not_name_itself_and_says_little_of_itself_will_do() {
    let mut world = World::with(json!({"issuer": "https://as.example/o"}));
    let metadata = world.idp().metadata.as_object_mut().unwrap();
    for name in [
        "authorization_response_iss_parameter_supported",
        "introspection_endpoint",
        "end_session_endpoint",
    ] {
        metadata.remove(name);
    }
    world.idp().subject = "1".into();
    let signed_in = world.sign_in().unwrap();
    assert_eq!(signed_in.callback_checked, ["state", "code"]);
    let user = world.client.session().unwrap().user().unwrap();
    assert_eq!(user.string("sub").unwrap(), Some("1"));
}

// oidc-provider.

#[test]
fn an_id_token_without_auth_time_and_at_hash_will_do_where_none_was_asked_for() {
    let outcome = id_token(|claims| {
        claims.remove("auth_time");
        claims.remove("at_hash");
    });
    assert_eq!(outcome.0, "accepted");
}

/// An access token of Canaille: `typ` is JWT, and it names neither client nor scope nor itself.
fn of_canaille(world: &GuardWorld) -> String {
    world.edited(|token| {
        token.header.set("typ", json!("JWT"));
        token
            .claims
            .set("aud", json!(["spa", "api"]))
            .remove("client_id")
            .remove("scope")
            .remove("jti");
    })
}

#[test]
fn an_access_token_that_nothing_tells_from_an_id_token_is_not_taken_as_one() {
    let mut world = GuardWorld::new();
    let token = of_canaille(&world);
    assert_eq!(code(world.check(&token)), "typ_mismatch");
    // Nor where JWT will do: then it must name its client. Its provider can be asked about it.
    let mut world = GuardWorld::with(json!({"profile": {"typ": "JWT"}}));
    let token = of_canaille(&world);
    assert_eq!(code(world.check(&token)), "claim_missing");
}

#[test]
fn an_answer_about_a_token_may_have_dates_with_fractions() {
    let mut world = GuardWorld::introspecting(json!({}));
    let token = world.opaque_with(|answer| {
        answer
            .set("iat", "1799999999.652694")
            .set("exp", "1800003600.652694");
    });
    assert_eq!(world.code(&token), "accepted");
}

#[test]
fn an_audience_that_is_the_scope_is_an_audience_as_it_stands() {
    // Glewlwyd writes the whole scope there.
    let mut world = GuardWorld::with(json!({"audience": "openid read"}));
    let token = world.edited(|token| {
        token.claims.set("aud", json!("openid read"));
    });
    assert_eq!(code(world.check(&token)), "accepted");
    let mut world = GuardWorld::with(json!({"audience": "openid"}));
    let token = world.edited(|token| {
        token.claims.set("aud", json!("openid read"));
    });
    assert_eq!(code(world.check(&token)), "audience_mismatch");
}

#[test]
fn a_refusal_of_a_client_without_a_word_is_told_by_its_status() {
    let mut world = World::new();
    let reply = Reply::body("").with_status(403);
    world.idp().always(Purpose::Token, reply);
    let error = world.granted(json!({})).unwrap_err();
    assert_eq!(error.code(), "upstream_status");
    assert_eq!(error.details().unwrap().status, Some(403));
    assert!(!error.retryable());
}

#[test]
fn a_refusal_with_or_without_a_description_is_a_refusal() {
    for description in [None, Some("grant request is invalid")] {
        let mut world = World::new();
        let mut body = json!({"error": "invalid_client"});
        if let Some(description) = description {
            body["error_description"] = json!(description);
        }
        let reply = Reply::json(body).with_status(401);
        world.idp().always(Purpose::Token, reply);
        let error = world.granted(json!({})).unwrap_err();
        assert_eq!(error.code(), "server_error_response");
        let told = error.details().unwrap().error_description.as_deref();
        assert_eq!(told, description);
    }
}

#[test]
fn a_token_that_nobody_knows_is_inactive_and_a_code_without_an_interval_is_asked_about_every_five_seconds()
 {
    let mut world = GuardWorld::introspecting(json!({}));
    assert_eq!(
        world.code("opaque-S3CRET-that-nobody-knows"),
        "token_inactive"
    );

    let mut world = World::new();
    let mut answer = world.idp().device_authorization();
    answer.remove("interval");
    world
        .idp()
        .reply(Purpose::DeviceAuthorization, Reply::json(answer));
    let seed = world.seed();
    let given = options(&json!({}));
    let mut flow = DeviceStart::new(&given, &world.client, seed).unwrap();
    let mut login = world.net.run(&mut flow, &mut world.client).unwrap();
    world.net.run(&mut login, &mut world.client).unwrap();
    assert_eq!(world.net.slept, [Lifetime::from_seconds(5)]);
}
