//! A client that registers itself (RFC 7591).

use gatepass::Error;
use gatepass::client::machine::{ClientRegistration, Register};
use gatepass::http::Purpose;
use serde_json::{Value, json};

use crate::support::{Idp, Net, Reply, code_at, options};

const SECRET: &str = "client-S3CRET-of-a-registration";
const TOKEN: &str = "registration-S3CRET-token";

/// A good answer with other or more members; `null` takes one away.
fn answer(more: Value) -> Reply {
    let mut answer = json!({
        "client_id": "made-1",
        "client_id_issued_at": 1_800_000_000,
        "client_secret": SECRET,
        "client_secret_expires_at": 0,
        "registration_access_token": TOKEN,
        "registration_client_uri": "https://as.example/reg/made-1",
        "redirect_uris": ["https://app.example/cb"],
        "token_endpoint_auth_method": "client_secret_basic",
    });
    for (name, value) in more.as_object().unwrap() {
        if value.is_null() {
            answer.as_object_mut().unwrap().remove(name);
        } else {
            answer[name] = value.clone();
        }
    }
    Reply::json(answer).with_status(201)
}

fn register(given: Value, reply: Reply) -> (Net, Result<ClientRegistration, Error>) {
    let mut net = Net::new(vec![Idp::new("https://as.example")]);
    net.keep_secret(SECRET);
    net.keep_secret(TOKEN);
    net.idps[0].metadata["registration_endpoint"] = json!("https://as.example/reg");
    net.idps[0].always(Purpose::Registration, reply);
    let mut all = json!({
        "issuer": "https://as.example",
        "metadata": {"redirect_uris": ["https://app.example/cb"]},
    });
    for (name, value) in given.as_object().unwrap() {
        all[name] = value.clone();
    }
    let registered = Register::from_options(&options(&all))
        .and_then(|(mut provider, mut flow)| net.run(&mut flow, &mut provider));
    (net, registered)
}

fn outcome(more: Value) -> (&'static str, String) {
    code_at(register(json!({}), answer(more)).1)
}

#[test]
fn req_41_what_is_asked_for_is_sent_as_json_and_what_was_registered_comes_back() {
    let given = json!({"initialAccessToken": "initial-S3CRET-token"});
    let (net, registered) = register(given, answer(json!({"x_more": [1]})));
    let sent = net.sent.last().unwrap();
    assert_eq!(sent.url, "https://as.example/reg");
    assert_eq!(sent.media_type, "application/json");
    assert_eq!(
        sent.authorization.as_deref(),
        Some("Bearer initial-S3CRET-token")
    );
    let body: Value = serde_json::from_str(sent.body.as_deref().unwrap()).unwrap();
    assert_eq!(body, json!({"redirect_uris": ["https://app.example/cb"]}));
    let registered = registered.unwrap();
    net.assert_silent(&format!("{registered:?}"));
    let text = registered.to_json();
    let read: Value = serde_json::from_str(text.expose()).unwrap();
    assert_eq!(
        read,
        json!({
            "clientId": "made-1",
            "clientIdIssuedAt": 1_800_000_000,
            "clientSecret": SECRET,
            "clientSecretExpiresAt": 0,
            "registrationAccessToken": TOKEN,
            "registrationClientUri": "https://as.example/reg/made-1",
            "metadata": {
                "redirect_uris": ["https://app.example/cb"],
                "token_endpoint_auth_method": "client_secret_basic",
                "x_more": [1],
            },
        })
    );
}

#[test]
fn a_public_client_gets_no_secret_and_some_providers_manage_nothing() {
    let none = json!({
        "client_secret": null,
        "client_secret_expires_at": null,
        "client_id_issued_at": null,
        "registration_access_token": null,
        "registration_client_uri": null,
        "token_endpoint_auth_method": "none",
    });
    let (net, registered) = register(json!({}), answer(none).with_status(200));
    let registered = registered.unwrap();
    assert_eq!(registered.client_id(), "made-1");
    assert!(registered.client_secret().is_none());
    assert_eq!(net.sent.last().unwrap().authorization, None);
}

#[test]
fn req_41_an_answer_without_what_it_must_have_is_malformed() {
    for (more, at) in [
        (json!({"client_id": null}), "client_id"),
        (json!({"client_id": ""}), "client_id"),
        (json!({"client_id": 1}), "client_id"),
        (json!({"client_id": "x".repeat(5000)}), "client_id"),
        (
            json!({"client_secret_expires_at": null}),
            "client_secret_expires_at",
        ),
        (
            json!({"client_secret_expires_at": "0"}),
            "client_secret_expires_at",
        ),
        (
            json!({"client_secret_expires_at": -1}),
            "client_secret_expires_at",
        ),
        (
            json!({"client_secret_expires_at": 1.5}),
            "client_secret_expires_at",
        ),
        (json!({"client_secret": ""}), "client_secret"),
        (json!({"client_secret": 7}), "client_secret"),
        // It is to show a secret and got none.
        (json!({"client_secret": null}), "client_secret"),
        (json!({"client_id_issued_at": "now"}), "client_id_issued_at"),
        (
            json!({"token_endpoint_auth_method": []}),
            "token_endpoint_auth_method",
        ),
        (
            json!({"registration_access_token": null}),
            "registration_access_token",
        ),
        (
            json!({"registration_access_token": {}}),
            "registration_access_token",
        ),
        (
            json!({"registration_client_uri": null}),
            "registration_client_uri",
        ),
        (
            json!({"registration_client_uri": "http://as.example/reg/1"}),
            "registration_client_uri",
        ),
        (
            json!({"registration_client_uri": "/reg/1"}),
            "registration_client_uri",
        ),
    ] {
        assert_eq!(
            outcome(more.clone()),
            ("response_malformed", at.into()),
            "{more}"
        );
    }
    for (reply, code, at) in [
        (Reply::json("[]"), "response_malformed", "body"),
        (Reply::json("{"), "response_malformed", "body"),
        (Reply::html(), "response_malformed", "content-type"),
        (Reply::status(302), "redirect_refused", ""),
        (Reply::status(500), "upstream_status", ""),
        (Reply::status(204), "upstream_status", ""),
    ] {
        assert_eq!(code_at(register(json!({}), reply).1), (code, at.into()));
    }
}

#[test]
fn req_41_a_refusal_is_told_by_its_code() {
    for error in [
        "invalid_redirect_uri",
        "invalid_client_metadata",
        "invalid_software_statement",
        "unapproved_software_statement",
    ] {
        let body = json!({"error": error, "error_description": "no"});
        let reply = Reply::json(body).with_status(400);
        let (_, registered) = register(json!({}), reply);
        let refusal = registered.unwrap_err();
        assert_eq!(refusal.code(), "server_error_response");
        assert_eq!(refusal.details().unwrap().error.as_deref(), Some(error));
    }
    // The token that registering needs is missing (RFC 6750).
    let challenge = r#"Bearer error="invalid_token""#;
    let reply = Reply::status(401).with_header("www-authenticate", challenge);
    let (_, registered) = register(json!({}), reply);
    let refusal = registered.unwrap_err();
    assert_eq!(
        refusal.details().unwrap().error.as_deref(),
        Some("invalid_token")
    );
}

#[test]
fn req_41_it_is_sent_once() {
    let (net, registered) = register(json!({}), Reply::status(503));
    assert_eq!(code_at(registered).0, "upstream_status");
    let sent = net
        .sent
        .iter()
        .filter(|sent| sent.purpose == Purpose::Registration);
    assert_eq!(sent.count(), 1);
}

#[test]
fn what_cannot_be_registered_is_refused_before_anything_is_sent() {
    let private = json!({"kty": "EC", "crv": "P-256", "x": "x", "y": "y", "d": "S3CRET"});
    let public = json!({"kty": "EC", "crv": "P-256", "x": "x", "y": "y"});
    let keys = |key: &Value| json!({"keys": [key]});
    for (given, at) in [
        (json!({"metadata": null}), "metadata"),
        (json!({"metadata": []}), "metadata"),
        (json!({"metadata": {"client_id": "mine"}}), "metadata"),
        (json!({"metadata": {"client_secret": "mine"}}), "metadata"),
        (
            json!({"metadata": {"redirect_uris": "https://app.example"}}),
            "redirect_uris",
        ),
        (
            json!({"metadata": {"redirect_uris": ["/cb"]}}),
            "redirect_uris",
        ),
        (
            json!({"metadata": {"redirect_uris": ["https://a.example/#x"]}}),
            "redirect_uris",
        ),
        (json!({"metadata": {"jwks": keys(&private)}}), "jwks"),
        (
            json!({"metadata": {"jwks": keys(&json!({"kty": "oct", "k": "S3CRET"}))}}),
            "jwks",
        ),
        (json!({"metadata": {"jwks": []}}), "jwks"),
        (
            json!({"metadata": {"jwks": keys(&public), "jwks_uri": "https://a.example/k"}}),
            "jwks",
        ),
        (json!({"initialAccessToken": "a b"}), "initialAccessToken"),
        (json!({"initialAccessToken": ""}), "initialAccessToken"),
        (json!({"timeout": 0}), "timeout"),
        (json!({"clientId": "x"}), "clientId"),
    ] {
        let (net, registered) = register(given.clone(), answer(json!({})));
        assert_eq!(
            code_at(registered),
            ("config_invalid", at.into()),
            "{given}"
        );
        assert!(net.sent.is_empty());
    }
    let (_, registered) = register(
        json!({"metadata": {"jwks": keys(&public)}}),
        answer(json!({})),
    );
    assert!(registered.is_ok());
}

#[test]
fn a_provider_that_registers_nobody_is_asked_nothing() {
    let mut net = Net::new(vec![Idp::new("https://as.example")]);
    let given = json!({"issuer": "https://as.example", "metadata": {}});
    let (mut provider, mut flow) = Register::from_options(&options(&given)).unwrap();
    let registered = net.run(&mut flow, &mut provider);
    let expected = ("metadata_invalid", "registration_endpoint".into());
    assert_eq!(code_at(registered), expected);
    assert_eq!(net.sent.len(), 1);
}
