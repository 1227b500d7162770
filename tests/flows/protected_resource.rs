//! What an API says of itself, from a client's side (RFC 9728).

use gatepass::client::machine::DiscoverResource;
use gatepass::http::Purpose;
use serde_json::{Value, json};

use crate::support::Idp;
use crate::support::{Net, Reply, code_at, options};

/// An API whose metadata is this document, and what comes of asking for it.
fn ask(resource: &str, reply: Reply) -> (Net, Result<Value, gatepass::Error>) {
    let mut net = Net::new(vec![Idp::new("https://api.example")]);
    net.idps[0].always(Purpose::Discovery, reply);
    let mut flow =
        DiscoverResource::from_options(&options(&json!({"resource": resource}))).unwrap();
    let found = net.run(&mut flow, &mut ()).map(|found| {
        let text = gatepass::http::json::Value::from(found.to_object()).to_json();
        serde_json::from_str(&text).unwrap()
    });
    (net, found)
}

fn document(more: Value) -> Reply {
    let mut document = json!({
        "resource": "https://api.example/mcp",
        "authorization_servers": ["https://as.example"],
    });
    for (name, value) in more.as_object().unwrap() {
        document[name] = value.clone();
    }
    Reply::json(document)
}

fn outcome(more: Value) -> (&'static str, String) {
    code_at(ask("https://api.example/mcp", document(more)).1)
}

#[test]
fn an_api_names_its_servers_at_the_place_of_the_specification() {
    for (resource, place) in [
        ("https://api.example/mcp", "/mcp"),
        ("https://api.example/mcp?tenant=1", "/mcp?tenant=1"),
        ("https://api.example/", ""),
        ("https://api.example", ""),
        ("https://api.example/?tenant=1", "?tenant=1"),
        ("https://api.example?tenant=1", "?tenant=1"),
        ("https://api.example//", "//"),
    ] {
        let (net, found) = ask(resource, document(json!({"resource": resource})));
        let found = found.unwrap();
        assert_eq!(found["resource"], resource);
        assert_eq!(found["authorizationServers"], json!(["https://as.example"]));
        assert_eq!(found["requiresDpop"], false);
        let url = format!("https://api.example/.well-known/oauth-protected-resource{place}");
        assert_eq!(net.sent[0].url, url);
        assert_eq!(net.sent.len(), 1);
    }
    let more = json!({"scopes_supported": ["a"], "dpop_bound_access_tokens_required": true});
    let found = ask("https://api.example/mcp", document(more)).1.unwrap();
    assert_eq!(found["scopesSupported"], json!(["a"]));
    assert_eq!(found["requiresDpop"], true);
}

#[test]
fn req_23_metadata_of_another_resource_is_metadata_invalid() {
    for resource in [
        json!("https://api.example/mcp/"),
        json!("https://API.example/mcp"),
        json!("https://api.example"),
        json!("https://other.example/mcp"),
        json!(1),
        Value::Null,
    ] {
        let refused = outcome(json!({"resource": resource}));
        assert_eq!(refused, ("metadata_invalid", "resource".into()));
    }
}

#[test]
fn req_24_servers_that_are_none_or_not_https_are_metadata_invalid() {
    for servers in [
        json!([]),
        json!(["http://as.example"]),
        json!(["https://as.example", "javascript:alert(1)"]),
        json!("https://as.example"),
        json!([1]),
        json!({}),
        Value::Null,
        json!(vec!["https://as.example"; 33]),
    ] {
        let refused = outcome(json!({"authorization_servers": servers}));
        assert_eq!(
            refused,
            ("metadata_invalid", "authorization_servers".into())
        );
    }
}

#[test]
fn what_is_no_document_has_the_codes_of_every_answer() {
    let code = |reply: Reply| code_at(ask("https://api.example", reply).1).0;
    assert_eq!(code(Reply::body("<html>")), "response_malformed");
    assert_eq!(code(Reply::json(json!([]))), "response_malformed");
    assert_eq!(code(Reply::body("").with_status(404)), "upstream_status");
    let moved = Reply::body("").with_status(302);
    assert_eq!(code(moved), "redirect_refused");
}

#[test]
fn the_resource_is_a_secure_url() {
    for (given, expected) in [
        (json!({}), "config_invalid"),
        (json!({"resource": "urn:api"}), "config_invalid"),
        (
            json!({"resource": "https://api.example/#f"}),
            "config_invalid",
        ),
        (
            json!({"resource": "https://api.example/a/../b"}),
            "config_invalid",
        ),
        (json!({"resource": "http://api.example"}), "url_insecure"),
        (json!({"resource": "http://127.0.0.1:1"}), "url_insecure"),
    ] {
        let refused = code_at(DiscoverResource::from_options(&options(&given)));
        assert_eq!(refused, (expected, "resource".into()), "{given}");
    }
    let given = json!({"resource": "http://127.0.0.1:1", "dangerouslyAllowHttpLoopback": true});
    assert!(DiscoverResource::from_options(&options(&given)).is_ok());
}
