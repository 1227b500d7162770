//! The token endpoint: what is sent and what is read.

use gatepass::client::Attach;
use gatepass::error::Phase;
use gatepass::http::{Method, Purpose, Unreachable};
use gatepass::time::Lifetime;
use serde_json::json;

use crate::support::{Members, Reply, Sent, World, code, code_at};

/// The outcome of a sign-in whose token endpoint answers so.
fn with_reply(reply: Reply) -> (&'static str, String) {
    let mut world = World::new();
    world.idp().always(Purpose::Token, reply);
    let result = world.sign_in();
    if let Err(error) = &result {
        assert_eq!(error.phase(), Some(Phase::Exchange));
    }
    // A code is good for one try: nothing is sent again.
    assert_eq!(world.net.count(Purpose::Token), 1);
    assert!(world.client.session().is_none());
    code_at(result)
}

/// The outcome of a sign-in whose token response was changed, without `openid`.
fn edited(edit: impl Fn(&mut Members) + 'static) -> (&'static str, String) {
    let mut world = World::with(json!({"scope": "read"}));
    world.idp().edit_response = Some(Box::new(edit));
    code_at(world.sign_in())
}

/// The same for one member that gets another value.
fn member(name: &'static str, value: &'static str) -> (&'static str, String) {
    edited(move |response| {
        response.set(name, value);
    })
}

fn token_request(world: &World) -> &Sent {
    let mut sent = world.net.sent.iter();
    sent.find(|sent| sent.purpose == Purpose::Token).unwrap()
}

#[test]
fn tok_08_a_refusal_in_a_header_is_read_like_one_in_the_body() {
    let refused = |header: &str, body: &str| {
        let mut world = World::new();
        let reply = Reply::body(body).of_type("text/html").with_status(401);
        let reply = reply.with_header("www-authenticate", header);
        world.idp().always(Purpose::Token, reply);
        let error = world.sign_in().unwrap_err();
        let details = error.details().unwrap().clone();
        (error.code(), details.error, details.error_description)
    };
    let header = r#"Basic realm="as", error="invalid_client", error_description="no such client""#;
    assert_eq!(
        refused(header, "<html>"),
        (
            "server_error_response",
            Some("invalid_client".into()),
            Some("no such client".into())
        )
    );
    // What says nothing of an error, or cannot be read, is a status and no more.
    for header in ["Basic realm=\"as\"", "Bearer error=\"", ""] {
        assert_eq!(refused(header, "<html>"), ("upstream_status", None, None));
    }
}

#[test]
fn net_38_the_clock_of_the_provider_does_not_set_ours() {
    assert!(!gatepass::http::HttpResponse::HEADERS.contains(&"date"));
    let mut world = World::new();
    let keys = Reply::json(world.idp().jwks());
    let late = keys.with_header("date", "Thu, 01 Jan 2099 00:00:00 GMT");
    world.idp().always(Purpose::Keys, late);
    world.sign_in().unwrap();
    let expires_at = world.client.session().unwrap().expires_at().unwrap();
    assert_eq!(expires_at.since(world.net.now).millis(), 300_000);
}

#[test]
fn tok_36_the_request_is_a_form_with_exactly_these_fields() {
    let mut world = World::with(json!({"resource": ["https://api.example/"]}));
    let url = world.begin().unwrap();
    let callback = world.agree(&url);
    world.finish(&callback).unwrap();
    let sent = token_request(&world);
    assert_eq!(sent.method, Method::Post);
    assert_eq!(sent.url, "https://as.example/token");
    assert_eq!(sent.accept, "application/json");
    assert_eq!(sent.timeout, Lifetime::from_seconds(10));
    let form = sent.form();
    let names: Vec<_> = form.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "grant_type",
            "code",
            "redirect_uri",
            "code_verifier",
            "resource",
            "client_id"
        ]
    );
    assert_eq!(
        sent.field("grant_type").as_deref(),
        Some("authorization_code")
    );
    assert!(callback.contains(&format!("code={}", sent.field("code").unwrap())));
    assert_eq!(
        sent.field("redirect_uri").as_deref(),
        Some("https://app.example/cb")
    );
    assert_eq!(
        sent.field("resource").as_deref(),
        Some("https://api.example/")
    );
}

#[test]
fn req_35_a_public_client_names_itself_in_the_body() {
    let mut world = World::new();
    world.sign_in().unwrap();
    let sent = token_request(&world);
    assert_eq!(sent.field("client_id").as_deref(), Some("spa"));
    assert_eq!(sent.field("client_secret"), None);
}

#[test]
fn tok_02_an_answer_that_is_no_json_object_is_malformed() {
    assert_eq!(
        with_reply(Reply::html()),
        ("response_malformed", "content-type".into())
    );
    assert_eq!(
        with_reply(Reply::body("access_token=x").of_type("text/plain")),
        ("response_malformed", "content-type".into())
    );
    for body in ["", "{\"access_token\":\"x\"", "[]", "null", "\"x\""] {
        assert_eq!(
            with_reply(Reply::json(body)),
            ("response_malformed", "body".into()),
            "{body}"
        );
    }
}

#[test]
fn tok_03_json_under_another_media_type_is_malformed() {
    let body = r#"{"access_token":"x","token_type":"Bearer"}"#;
    for media_type in ["text/plain", "text/json", "application/foo+json", ""] {
        assert_eq!(
            with_reply(Reply::body(body).of_type(media_type)),
            ("response_malformed", "content-type".into()),
            "{media_type}"
        );
    }
    assert_eq!(
        with_reply(Reply::body(body)),
        ("response_malformed", "content-type".into())
    );
}

#[test]
fn tok_04_parameters_of_the_media_type_do_not_matter() {
    for media_type in ["application/json; charset=utf-8", "Application/JSON ;x=y"] {
        let mut world = World::with(json!({"scope": "read"}));
        let body = r#"{"access_token":"x","token_type":"Bearer"}"#;
        let reply = Reply::body(body).of_type(media_type);
        world.idp().always(Purpose::Token, reply);
        assert_eq!(code(world.sign_in()), "accepted", "{media_type}");
    }
}

#[test]
fn tok_06_a_redirect_is_refused_and_nothing_is_sent_again() {
    for status in [301, 302, 303, 307, 308] {
        let reply = Reply::status(status).with_header("location", "https://evil.example/");
        assert_eq!(with_reply(reply).0, "redirect_refused", "{status}");
    }
    // A page's fetch tells of a redirect without its status.
    assert_eq!(
        with_reply(Reply::none(Unreachable::Redirected)).0,
        "redirect_refused"
    );
}

#[test]
fn tok_07_an_oauth_error_is_server_error_response_with_its_code() {
    for error in [
        "invalid_grant",
        "invalid_client",
        "invalid_request",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "invalid_target",
        "use_dpop_nonce",
        "x_unknown",
    ] {
        for status in [400, 401] {
            let mut world = World::new();
            let body = json!({"error": error, "error_description": "why", "error_uri": "x"});
            let reply = Reply::json(body).with_status(status);
            world.idp().always(Purpose::Token, reply);
            let refused = world.sign_in().unwrap_err();
            assert_eq!(refused.code(), "server_error_response");
            let details = refused.details().unwrap();
            assert_eq!(details.status, Some(status));
            assert_eq!(details.error.as_deref(), Some(error));
            assert_eq!(details.error_description.as_deref(), Some("why"));
            assert!(!refused.retryable());
        }
    }
}

#[test]
fn tok_09_a_page_of_a_failing_provider_is_not_repeated() {
    for status in [400, 403, 404, 500, 502, 504] {
        let mut world = World::new();
        let page = Reply::body("<h1>secret-of-the-page</h1>").of_type("text/html");
        world.idp().always(Purpose::Token, page.with_status(status));
        let error = world.sign_in().unwrap_err();
        assert_eq!(error.code(), "upstream_status");
        assert_eq!(error.details().unwrap().status, Some(status));
        let shown = format!("{error} {error:?} {:?}", error.details());
        assert!(!shown.contains("secret-of-the-page"));
    }
}

#[test]
fn tok_10_a_provider_that_is_busy_is_retryable() {
    for status in [429, 500, 502, 503, 504] {
        let mut world = World::new();
        world.idp().always(Purpose::Token, Reply::status(status));
        let error = world.sign_in().unwrap_err();
        assert_eq!((error.code(), error.retryable()), ("upstream_status", true));
        // The same in the words of OAuth.
        let mut world = World::new();
        let words = Reply::json(json!({"error": "temporarily_unavailable"})).with_status(status);
        world.idp().always(Purpose::Token, words);
        let error = world.sign_in().unwrap_err();
        assert_eq!(
            (error.code(), error.retryable()),
            ("server_error_response", true)
        );
    }
    let mut world = World::new();
    world.idp().always(Purpose::Token, Reply::status(404));
    assert!(!world.sign_in().unwrap_err().retryable());
}

#[test]
fn tok_11_a_code_is_never_sent_twice() {
    // `with_reply` counts the requests.
    for status in [500, 502, 504] {
        assert_eq!(with_reply(Reply::status(status)).0, "upstream_status");
    }
    assert_eq!(
        with_reply(Reply::none(Unreachable::Network)).0,
        "upstream_unreachable"
    );
}

#[test]
fn other_statuses_than_200_are_no_answer() {
    for status in [201, 202, 204, 206, 304] {
        let reply = Reply::json(r#"{"access_token":"x","token_type":"Bearer"}"#);
        assert_eq!(
            with_reply(reply.with_status(status)).0,
            "upstream_status",
            "{status}"
        );
    }
}

// TOK-12, TOK-13.
#[test]
fn tok_12_13_an_error_with_status_200_is_malformed() {
    assert_eq!(
        with_reply(Reply::json(r#"{"error":"invalid_grant"}"#)),
        ("response_malformed", "error".into())
    );
    assert_eq!(
        member("error", "\"x\""),
        ("response_malformed", "error".into())
    );
    assert_eq!(
        member("error", "null"),
        ("response_malformed", "error".into())
    );
}

#[test]
fn tok_14_an_error_that_is_no_string_is_malformed() {
    for body in [r#"{"error":1}"#, r#"{"error":""}"#, r#"{"error":null}"#] {
        assert_eq!(
            with_reply(Reply::json(body).with_status(400)),
            ("response_malformed", "error".into()),
            "{body}"
        );
    }
    let body = r#"{"error":"x","error_description":[1]}"#;
    assert_eq!(
        with_reply(Reply::json(body).with_status(400)),
        ("response_malformed", "error_description".into())
    );
}

#[test]
fn tok_15_an_access_token_is_printable_ascii() {
    let missing = edited(|response| {
        response.remove("access_token");
    });
    assert_eq!(missing, ("response_malformed", "access_token".into()));
    for value in [
        "\"\"",
        "1",
        "null",
        "{}",
        r#""a\nb""#,
        "\"\u{e9}\"",
        r#""a\u0000""#,
        r#""a\u007f""#,
    ] {
        assert_eq!(
            member("access_token", value),
            ("response_malformed", "access_token".into()),
            "{value}"
        );
    }
    let long = edited(|response| {
        response.set("access_token", json!("x".repeat(1_000_000)));
    });
    assert_eq!(long, ("response_malformed", "access_token".into()));
}

#[test]
fn a_token_type_is_compared_without_case() {
    for value in ["\"bearer\"", "\"BEARER\"", "\"bEARER\""] {
        assert_eq!(member("token_type", value).0, "accepted", "{value}");
    }
}

#[test]
fn a_token_type_that_cannot_be_used_is_token_type_unsupported() {
    for value in ["\"DPoP\"", "\"N_A\"", "\"mac\"", "\"\"", "\"Bearer \""] {
        assert_eq!(member("token_type", value).0, "token_type_unsupported");
    }
    for value in ["null", "1", "[\"Bearer\"]"] {
        assert_eq!(
            member("token_type", value),
            ("response_malformed", "token_type".into())
        );
    }
    let missing = edited(|response| {
        response.remove("token_type");
    });
    assert_eq!(missing, ("response_malformed", "token_type".into()));
}

/// Until when a token of such an `expires_in` lives, in seconds from now.
fn lives(expires_in: &'static str) -> Option<i64> {
    let mut world = World::with(json!({"scope": "read"}));
    world.idp().edit_response = Some(Box::new(move |response| {
        response.set("expires_in", expires_in);
    }));
    world.sign_in().unwrap();
    let ends = world.client.session().unwrap().expires_at()?;
    Some(ends.since(world.net.now).millis() / 1000)
}

#[test]
fn tok_19_digits_in_a_string_are_seconds() {
    assert_eq!(lives("\"3600\""), Some(3600));
}

#[test]
fn tok_21_an_expires_in_that_is_no_number_of_seconds_is_malformed() {
    for value in ["-1", "null", "{}", "true", "\"\"", "\"1h\"", "\"-1\"", "[]"] {
        assert_eq!(
            member("expires_in", value),
            ("response_malformed", "expires_in".into()),
            "{value}"
        );
    }
    assert_eq!(
        member("expires_in", "1e400"),
        ("response_malformed", "body".into())
    );
}

#[test]
fn tok_22_an_expires_in_of_zero_is_over_at_once() {
    assert_eq!(lives("0"), Some(0));
    let mut world = World::with(json!({"scope": "read"}));
    world.idp().edit_response = Some(Box::new(|response| {
        response.set("expires_in", 0).remove("refresh_token");
    }));
    world.sign_in().unwrap();
    let (session, config) = (world.client.session().unwrap(), world.client.config());
    assert!(matches!(
        session.attach(config, world.net.now),
        Attach::LoginRequired
    ));
}

#[test]
fn tok_23_a_life_without_end_is_capped_at_ten_years() {
    let ten_years = Some(10 * 366 * 24 * 3600);
    for value in [
        "1e300",
        "9007199254740992",
        "4000000000",
        "\"99999999999999999999\"",
    ] {
        assert_eq!(lives(value), ten_years, "{value}");
    }
}

#[test]
fn tok_24_fractions_of_a_second_are_cut() {
    assert_eq!(lives("3600.9"), Some(3600));
}

#[test]
fn tok_25_an_answer_without_expires_in_is_accepted_with_an_unknown_end() {
    let mut world = World::with(json!({"scope": "read"}));
    world.idp().edit_response = Some(Box::new(|response| {
        response.remove("expires_in");
    }));
    world.sign_in().unwrap();
    assert_eq!(world.client.session().unwrap().expires_at(), None);
}

#[test]
fn tok_26_a_scope_is_a_string() {
    for value in ["[\"read\"]", "1", "null"] {
        assert_eq!(
            member("scope", value),
            ("response_malformed", "scope".into())
        );
    }
}

#[test]
fn no_scope_in_the_answer_means_the_one_that_was_asked_for() {
    let scope_after = |answer: Option<&'static str>| {
        let mut world = World::with(json!({"scope": "read write"}));
        world.idp().edit_response = Some(Box::new(move |response| {
            if let Some(scope) = answer {
                response.set("scope", json!(scope));
            }
        }));
        world.sign_in().unwrap();
        world.client.session().unwrap().scope().to_owned()
    };
    assert_eq!(scope_after(None), "read write");
    assert_eq!(scope_after(Some("read")), "read");
}

#[test]
fn tok_28_a_refresh_token_is_printable_ascii() {
    for value in ["\"\"", "1", "null", "\"a\u{e9}\""] {
        assert_eq!(
            member("refresh_token", value),
            ("response_malformed", "refresh_token".into())
        );
    }
}

#[test]
fn tok_29_a_missing_id_token_is_claim_missing_where_openid_was_asked() {
    let mut world = World::new();
    world.idp().edit_response = Some(Box::new(|response| {
        response.remove("id_token");
    }));
    assert_eq!(
        code_at(world.sign_in()),
        ("claim_missing", "id_token".into())
    );
    assert!(world.client.session().is_none());
}

#[test]
fn an_id_token_is_not_asked_for_without_openid() {
    let mut world = World::with(json!({"scope": "read"}));
    let signed_in = world.sign_in().unwrap();
    assert!(signed_in.id_token_checked.is_empty());
    assert!(world.client.session().unwrap().user().is_none());
    assert_eq!(world.net.count(Purpose::Keys), 0);
}

#[test]
fn tok_30_an_id_token_is_a_signed_token() {
    let mut world = World::new();
    world.idp().raw_id_token = Some("x.y.z-not-a-token".into());
    assert_eq!(code(world.sign_in()), "token_malformed");
    for value in ["null", "1", "\"\""] {
        let mut world = World::new();
        world.idp().edit_response = Some(Box::new(move |response| {
            response.set("id_token", value);
        }));
        assert_eq!(
            code_at(world.sign_in()),
            ("response_malformed", "id_token".into())
        );
    }
}

#[test]
fn tok_31_a_member_that_stands_twice_is_malformed() {
    for name in ["access_token", "id_token", "x"] {
        let twice = edited(move |response| {
            response.set(name, json!("a")).add(name, json!("b"));
        });
        assert_eq!(twice, ("response_malformed", "body".into()), "{name}");
    }
}

#[test]
fn tok_32_a_body_is_utf8_without_byte_order_mark() {
    let body = br#"{"access_token":"x","token_type":"Bearer","x":"?"}"#;
    let mut broken = body.to_vec();
    let place = broken.iter().position(|byte| *byte == b'?').unwrap();
    broken[place] = 0xff;
    let marked = [b"\xef\xbb\xbf".as_slice(), body].concat();
    for body in [broken, marked] {
        assert_eq!(
            with_reply(Reply::body(body).of_type("application/json")),
            ("response_malformed", "body".into())
        );
    }
}

#[test]
fn tok_33_a_member_named_proto_is_inert() {
    assert_eq!(
        member("__proto__", r#"{"access_token":"other"}"#).0,
        "accepted"
    );
}

#[test]
fn tok_34_an_answer_beyond_one_mib_is_too_large() {
    let large = format!(
        r#"{{"access_token":"x","token_type":"Bearer","x":"{}"}}"#,
        "x".repeat(1024 * 1024)
    );
    assert_eq!(with_reply(Reply::json(large)).0, "response_too_large");
    assert_eq!(
        with_reply(Reply::none(Unreachable::TooLarge)).0,
        "response_too_large"
    );
}

#[test]
fn tok_35_a_slow_endpoint_is_upstream_timeout() {
    assert_eq!(
        with_reply(Reply::none(Unreachable::Timeout)).0,
        "upstream_timeout"
    );
}

#[test]
fn unknown_members_of_the_answer_are_ignored() {
    assert_eq!(member("x", "{\"y\":[1,null]}").0, "accepted");
}
