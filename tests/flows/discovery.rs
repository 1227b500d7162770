//! How metadata is found, refused and kept.

use gatepass::client::Client;
use gatepass::http::{Method, Purpose, Unreachable};
use gatepass::time::Lifetime;
use serde_json::{Value, json};

use crate::support::{Reply, World, code, code_at, options};

fn urls(world: &World) -> Vec<&str> {
    world
        .net
        .sent
        .iter()
        .map(|sent| sent.url.as_str())
        .collect()
}

/// What a sign-in says when discovery is answered so.
fn with_reply(reply: Reply) -> (&'static str, String) {
    let mut world = World::new();
    world.idp().always(Purpose::Discovery, reply);
    let outcome = code_at(world.begin());
    assert!(world.client.provider().metadata().is_none());
    outcome
}

#[test]
fn net_04_openid_appends_the_well_known_path() {
    let mut world = World::with(json!({"issuer": "https://as.example/tenant/a"}));
    world.begin().unwrap();
    assert_eq!(
        urls(&world),
        ["https://as.example/tenant/a/.well-known/openid-configuration"]
    );
}

#[test]
fn net_04_oauth_inserts_it_where_the_first_place_has_nothing() {
    let mut world = World::with(json!({"issuer": "https://as.example/tenant/a"}));
    world.idp().reply(Purpose::Discovery, Reply::status(404));
    world.begin().unwrap();
    assert_eq!(
        urls(&world),
        [
            "https://as.example/tenant/a/.well-known/openid-configuration",
            "https://as.example/.well-known/oauth-authorization-server/tenant/a",
        ]
    );
}

#[test]
fn net_05_one_slash_at_the_end_of_the_issuer_is_left_out_of_the_url() {
    let mut world = World::with(json!({"issuer": "https://as.example/t/"}));
    world.idp().reply(Purpose::Discovery, Reply::status(404));
    world.begin().unwrap();
    assert_eq!(
        urls(&world),
        [
            "https://as.example/t/.well-known/openid-configuration",
            "https://as.example/.well-known/oauth-authorization-server/t",
        ]
    );
}

#[test]
fn only_not_found_leads_to_the_second_place() {
    for status in [400, 401, 403, 410, 500, 503] {
        let mut world = World::new();
        world
            .idp()
            .always(Purpose::Discovery, Reply::status(status));
        assert_eq!(code(world.begin()), "upstream_status", "{status}");
        assert_eq!(world.net.sent.len(), 1, "{status}");
    }
}

#[test]
fn not_found_at_both_places_is_the_answer() {
    let mut world = World::new();
    world.idp().always(Purpose::Discovery, Reply::status(404));
    let error = world.begin().unwrap_err();
    assert_eq!(error.code(), "upstream_status");
    assert_eq!(error.details().unwrap().status, Some(404));
    assert!(!error.retryable());
    assert_eq!(world.net.sent.len(), 2);
}

#[test]
fn net_40_the_request_is_a_get_for_json_with_the_configured_timeout() {
    let mut world = World::with(json!({"timeout": 2.5}));
    world.begin().unwrap();
    let sent = &world.net.sent[0];
    assert_eq!(sent.method, Method::Get);
    assert_eq!(sent.purpose, Purpose::Discovery);
    assert_eq!(sent.accept, "application/json");
    assert!(sent.body.is_none());
    assert_eq!(sent.timeout, Lifetime::from_millis(2500));
}

#[test]
fn net_06_another_issuer_in_the_metadata_is_refused_and_nothing_of_it_used() {
    let mut world = World::new();
    world.idp().metadata["issuer"] = json!("https://as.exampleINVALID");
    assert_eq!(
        code_at(world.begin()),
        ("metadata_invalid", "issuer".into())
    );
    assert!(world.client.provider().metadata().is_none());
}

#[test]
fn net_07_the_issuer_is_compared_letter_by_letter() {
    for issuer in [
        json!("https://as.example/"),
        json!("https://AS.example"),
        json!("https://as.example:443"),
        json!(null),
        json!(1),
        json!(["https://as.example"]),
    ] {
        let mut world = World::new();
        world.idp().metadata["issuer"] = issuer.clone();
        assert_eq!(
            code_at(world.begin()),
            ("metadata_invalid", "issuer".into()),
            "{issuer}"
        );
    }
}

#[test]
fn net_09_endpoints_that_are_not_https_are_refused() {
    for name in [
        "authorization_endpoint",
        "token_endpoint",
        "jwks_uri",
        "end_session_endpoint",
    ] {
        for url in [
            "http://as.example/x",
            "javascript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
        ] {
            let mut world = World::new();
            world.idp().metadata[name] = json!(url);
            assert_eq!(
                code_at(world.begin()),
                ("url_insecure", name.into()),
                "{url}"
            );
        }
    }
}

#[test]
fn net_10_an_endpoint_is_missed_when_it_is_needed() {
    let without = |name: &str| {
        let mut world = World::new();
        world.idp().metadata[name] = Value::Null;
        world
    };
    let mut world = without("authorization_endpoint");
    assert_eq!(
        code_at(world.begin()),
        ("metadata_invalid", "authorization_endpoint".into())
    );
    let mut world = without("token_endpoint");
    assert_eq!(
        code_at(world.sign_in()),
        ("metadata_invalid", "token_endpoint".into())
    );
    let mut world = without("jwks_uri");
    assert_eq!(
        code_at(world.sign_in()),
        ("metadata_invalid", "jwks_uri".into())
    );
    let mut world = without("end_session_endpoint");
    world.sign_in().unwrap();
    assert_eq!(world.sign_out().unwrap(), None);
}

#[test]
fn net_12_a_media_type_that_is_not_json_is_malformed() {
    let document = json!({"issuer": "https://as.example"}).to_string();
    for media_type in ["text/plain", "text/html", "application/jwk-set+json", ""] {
        let reply = Reply::body(document.clone()).of_type(media_type);
        assert_eq!(
            with_reply(reply),
            ("response_malformed", "content-type".into()),
            "{media_type}"
        );
    }
    assert_eq!(with_reply(Reply::body(document)).0, "response_malformed");
}

#[test]
fn a_page_in_place_of_metadata_is_malformed() {
    assert_eq!(
        with_reply(Reply::html()),
        ("response_malformed", "content-type".into())
    );
    for body in ["<html>", "", "{", "[]", "null", "\"x\""] {
        assert_eq!(
            with_reply(Reply::json(body)),
            ("response_malformed", "body".into()),
            "{body}"
        );
    }
}

#[test]
fn net_13_metadata_beyond_512_kib_is_too_large() {
    let document = |length: usize| {
        let start = r#"{"issuer":"https://as.example","authorization_endpoint":"https://as.example/authorize","x":""#;
        let fill = length - start.len() - 2;
        Reply::json(format!("{start}{}\"}}", "x".repeat(fill)))
    };
    assert_eq!(with_reply(document(512 * 1024 + 1)).0, "response_too_large");
    let mut world = World::new();
    world.idp().always(Purpose::Discovery, document(512 * 1024));
    assert_eq!(code(world.begin()), "accepted");
    // The reader stopped at the limit.
    assert_eq!(
        with_reply(Reply::none(Unreachable::TooLarge)).0,
        "response_too_large"
    );
}

#[test]
fn net_14_unknown_members_are_ignored_and_null_is_absent() {
    let mut world = World::new();
    world.idp().metadata["x"] = json!({"y": [1]});
    world.idp().metadata["end_session_endpoint"] = json!(null);
    assert_eq!(code(world.sign_in()), "accepted");
}

#[test]
fn members_of_the_wrong_type_are_not_absent() {
    for (name, value) in [
        ("token_endpoint", json!(1)),
        ("code_challenge_methods_supported", json!("S256")),
        ("code_challenge_methods_supported", json!(["S256", 1])),
        (
            "authorization_response_iss_parameter_supported",
            json!("true"),
        ),
        ("id_token_signing_alg_values_supported", json!({})),
    ] {
        let mut world = World::new();
        world.idp().metadata[name] = value;
        assert_eq!(code_at(world.begin()), ("metadata_invalid", name.into()));
    }
}

#[test]
fn net_15_signed_metadata_is_not_used() {
    let mut world = World::new();
    world.idp().metadata["signed_metadata"] = json!("e30.eyJpc3N1ZXIiOiJodHRwczovL2V2aWwifQ.");
    assert_eq!(code(world.sign_in()), "accepted");
}

#[test]
fn a_redirect_is_refused_whatever_its_status() {
    for status in [301, 302, 303, 307, 308] {
        assert_eq!(with_reply(Reply::status(status)).0, "redirect_refused");
    }
    assert_eq!(
        with_reply(Reply::none(Unreachable::Redirected)).0,
        "redirect_refused"
    );
}

#[test]
fn a_provider_that_is_slow_or_down_is_told_apart() {
    assert_eq!(
        with_reply(Reply::none(Unreachable::Timeout)).0,
        "upstream_timeout"
    );
    assert_eq!(
        with_reply(Reply::none(Unreachable::Network)).0,
        "upstream_unreachable"
    );
}

#[test]
fn cch_17_duplicate_members_of_metadata_are_malformed() {
    let body = r#"{"issuer":"https://as.example","issuer":"https://as.example"}"#;
    assert_eq!(
        with_reply(Reply::json(body)),
        ("response_malformed", "body".into())
    );
}

#[test]
fn a_sign_in_can_be_retried_when_the_provider_is_back() {
    let mut world = World::new();
    world.idp().reply(Purpose::Discovery, Reply::status(503));
    let error = world.begin().unwrap_err();
    assert!(error.retryable());
    assert_eq!(code(world.sign_in()), "accepted");
}

#[test]
fn metadata_is_fetched_once_a_day() {
    let mut world = World::new();
    world.begin().unwrap();
    world.net.pass(24 * 3600);
    world.begin().unwrap();
    assert_eq!(world.net.count(Purpose::Discovery), 1);
    world.net.pass(1);
    world.begin().unwrap();
    assert_eq!(world.net.count(Purpose::Discovery), 2);
}

#[test]
fn old_metadata_serves_on_while_the_provider_is_down() {
    for reply in [
        Reply::status(503),
        Reply::none(Unreachable::Network),
        Reply::none(Unreachable::Timeout),
    ] {
        let mut world = World::new();
        world.begin().unwrap();
        world.net.pass(48 * 3600);
        world.idp().always(Purpose::Discovery, reply);
        assert_eq!(code(world.begin()), "accepted");
        assert_eq!(world.net.count(Purpose::Discovery), 2);
    }
}

#[test]
fn old_metadata_does_not_serve_on_when_the_new_one_is_bad() {
    let mut world = World::new();
    world.begin().unwrap();
    world.net.pass(48 * 3600);
    world.idp().metadata["issuer"] = json!("https://evil.example");
    assert_eq!(code(world.begin()), "metadata_invalid");
}

#[test]
fn old_metadata_serves_on_whatever_answers_in_its_place() {
    for reply in [
        Reply::status(403),
        Reply::status(404),
        Reply::status(302),
        Reply::body("<h1>Maintenance</h1>").of_type("text/html"),
        Reply::none(Unreachable::Redirected),
        Reply::none(Unreachable::TooLarge),
    ] {
        let mut world = World::new();
        world.begin().unwrap();
        world.net.pass(48 * 3600);
        world.idp().always(Purpose::Discovery, reply);
        assert_eq!(code(world.begin()), "accepted");
    }
}

#[test]
fn net_37_metadata_does_not_stay_fresh_for_ever_when_the_clock_is_set_back() {
    let mut world = World::new();
    world.begin().unwrap();
    world.net.set_back(3600);
    world.begin().unwrap();
    assert_eq!(world.net.count(Purpose::Discovery), 2);
}

#[test]
fn a_metadata_document_in_the_options_replaces_discovery() {
    let metadata = World::new().idp().metadata.clone();
    let mut world = World::with(json!({"issuer": metadata}));
    assert_eq!(code(world.sign_in()), "accepted");
    world.net.pass(365 * 24 * 3600);
    assert_eq!(code(world.sign_in()), "accepted");
    assert_eq!(world.net.count(Purpose::Discovery), 0);
}

#[test]
fn net_01_an_http_issuer_is_insecure() {
    for issuer in ["http://as.example", "http://127.0.0.1:8000"] {
        let given = json!({"issuer": issuer, "clientId": "spa"});
        assert_eq!(
            code_at(Client::from_options(&options(&given))),
            ("url_insecure", "issuer".into())
        );
    }
}

#[test]
fn net_01_http_on_demand_is_for_this_machine_alone() {
    let with = |issuer: &str| {
        let given = json!({
            "issuer": issuer, "clientId": "spa", "dangerouslyAllowHttpLoopback": true,
        });
        code_at(Client::from_options(&options(&given))).0
    };
    for issuer in [
        "http://127.0.0.1:8000",
        "http://localhost",
        "http://[::1]:1/t",
    ] {
        assert_eq!(with(issuer), "accepted", "{issuer}");
    }
    for issuer in [
        "http://as.example",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "http://127.1",
        "http://2130706433",
        "http://169.254.169.254",
        "http://10.0.0.1",
    ] {
        assert_eq!(with(issuer), "url_insecure", "{issuer}");
    }
}

// NET-02, NET-03.
#[test]
fn net_02_03_an_issuer_has_no_query_no_fragment_and_no_userinfo() {
    for issuer in [
        "https://as.example?x=1",
        "https://as.example?",
        "https://as.example/#f",
        "https://as.example#",
        "https://user:pw@as.example",
        "as.example",
        "",
    ] {
        let given = json!({"issuer": issuer, "clientId": "spa"});
        assert_eq!(
            code_at(Client::from_options(&options(&given))),
            ("config_invalid", "issuer".into()),
            "{issuer}"
        );
    }
}

#[test]
fn the_endpoints_come_from_the_metadata_and_are_not_guessed() {
    let mut world = World::new();
    world.idp().metadata["jwks_uri"] = json!("https://as.example/x7Gh/keys");
    world.idp().metadata["token_endpoint"] = json!("https://as.example/x7Gh/t?tenant=1");
    world.sign_in().unwrap();
    assert_eq!(
        urls(&world)[1..],
        [
            "https://as.example/x7Gh/keys",
            "https://as.example/x7Gh/t?tenant=1"
        ]
    );
}
