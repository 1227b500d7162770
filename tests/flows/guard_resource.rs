//! What the API says of itself (RFC 9728), and what every challenge says.

use gatepass::guard::{Guard, ResourceMetadata};
use gatepass::http::{Purpose, Unreachable};
use serde_json::{Value, json};

use crate::support::{GuardWorld, Reply, code_at, options};

fn world(resource: &str, more: Value) -> GuardWorld {
    GuardWorld::with(json!({"resource": resource, "resourceMetadata": more}))
}

fn metadata(world: &GuardWorld) -> &ResourceMetadata {
    world.guard.config().resource.as_ref().unwrap()
}

const URL: &str = "https://api.example/.well-known/oauth-protected-resource/mcp";

#[test]
fn the_document_names_the_resource_and_its_issuers() {
    let world = GuardWorld::with(json!({
        "issuer": ["https://b.example", "https://a.example/t"],
        "resource": "https://api.example/mcp",
        "resourceMetadata": {
            "scopes_supported": ["read", "write"],
            "resource_name": "Files",
            "resource_name#de": "Dateien",
            "resource_documentation": "https://api.example/docs",
            "tls_client_certificate_bound_access_tokens": false,
        },
    }));
    let document: Value = serde_json::from_str(metadata(&world).document()).unwrap();
    assert_eq!(
        document,
        json!({
            "resource": "https://api.example/mcp",
            "authorization_servers": ["https://a.example/t", "https://b.example"],
            "bearer_methods_supported": ["header"],
            "scopes_supported": ["read", "write"],
            "resource_name": "Files",
            "resource_name#de": "Dateien",
            "resource_documentation": "https://api.example/docs",
            "tls_client_certificate_bound_access_tokens": false,
        })
    );
}

#[test]
fn the_well_known_path_stands_between_host_and_path() {
    for (resource, url) in [
        ("https://api.example/mcp", URL),
        (
            "https://api.example",
            "https://api.example/.well-known/oauth-protected-resource",
        ),
        (
            "https://api.example/",
            "https://api.example/.well-known/oauth-protected-resource",
        ),
        (
            "https://api.example:8443/a/b/",
            "https://api.example:8443/.well-known/oauth-protected-resource/a/b/",
        ),
    ] {
        assert_eq!(metadata(&world(resource, json!({}))).url(), url);
    }
}

#[test]
fn the_document_is_served_at_its_own_path_and_at_the_root() {
    let world = world("https://api.example/mcp", json!({}));
    let metadata = metadata(&world);
    for url in [
        URL,
        "https://api.example/.well-known/oauth-protected-resource",
        "http://10.0.0.1:8080/.well-known/oauth-protected-resource/mcp?x=1#y",
        "/.well-known/oauth-protected-resource/mcp",
    ] {
        let answer = metadata.answer("GET", url).unwrap();
        assert_eq!(answer.status, 200, "{url}");
        assert_eq!(answer.body.as_deref(), Some(metadata.document()));
        assert!(
            answer
                .headers
                .contains(&("content-type", "application/json"))
        );
        assert!(
            answer
                .headers
                .contains(&("access-control-allow-origin", "*"))
        );
    }
}

#[test]
fn rsr_24_every_other_path_is_somebody_elses() {
    let world = world("https://api.example/mcp", json!({}));
    for url in [
        "https://api.example/",
        "https://api.example",
        "https://api.example/mcp",
        "https://api.example/.well-known/oauth-protected-resource/",
        "https://api.example/.well-known/oauth-protected-resource/mcp/",
        "https://api.example/.well-known/oauth-protected-resource/other",
        "https://api.example/.well-known/oauth-protected-resource%2fmcp",
        "https://api.example//.well-known/oauth-protected-resource",
        "https://api.example/admin?/.well-known/oauth-protected-resource",
        "https://api.example/admin#/.well-known/oauth-protected-resource",
        "https://api.example/.WELL-KNOWN/oauth-protected-resource",
        "",
    ] {
        assert_eq!(metadata(&world).answer("GET", url), None, "{url}");
    }
}

// RSR-20, RSR-21.
#[test]
fn rsr_20_21_the_document_can_be_read_and_nothing_else() {
    let world = world("https://api.example/mcp", json!({}));
    let answer = |method| metadata(&world).answer(method, URL).unwrap();
    assert_eq!((answer("HEAD").status, answer("HEAD").body), (200, None));
    assert_eq!(
        (answer("OPTIONS").status, answer("OPTIONS").body),
        (204, None)
    );
    for method in ["POST", "PUT", "DELETE", "get", "X"] {
        assert_eq!((answer(method).status, answer(method).body), (405, None));
        assert!(
            answer(method)
                .headers
                .contains(&("allow", "GET, HEAD, OPTIONS"))
        );
    }
}

#[test]
fn rsr_15_every_challenge_says_where_the_metadata_is() {
    let mut world = world("https://api.example/mcp", json!({}));
    let tail = format!("resource_metadata=\"{URL}\"");
    let refusal = world.header(None).unwrap_err();
    assert_eq!(refusal.challenge(), Some(format!("Bearer {tail}").as_str()));
    let token = world.good();
    for refusal in [
        world.header(Some("Bearer x y")).unwrap_err(),
        world.header(Some("Bearer x")).unwrap_err(),
        world.scoped(&token, &["admin"]).unwrap_err(),
        world
            .needing(&token, json!({"roles": "admin"}))
            .unwrap_err(),
        world.needing(&token, json!({"acr": "mfa"})).unwrap_err(),
    ] {
        let challenge = refusal.challenge().unwrap();
        assert!(challenge.starts_with("Bearer error=\""), "{challenge}");
        assert!(challenge.ends_with(&format!(", {tail}")), "{challenge}");
    }
}

#[test]
fn rsr_01_a_realm_stands_first() {
    let mut world = GuardWorld::with(json!({"realm": "Our API"}));
    let refusal = world.header(None).unwrap_err();
    assert_eq!(refusal.challenge(), Some("Bearer realm=\"Our API\""));
    let refusal = world.header(Some("Bearer x y")).unwrap_err();
    assert_eq!(
        refusal.challenge(),
        Some("Bearer realm=\"Our API\", error=\"invalid_request\"")
    );
}

#[test]
fn a_refusal_that_no_token_would_help_says_when_to_ask_again() {
    let mut world = GuardWorld::with(json!({"realm": "x", "resource": "https://api.example"}));
    let header = format!("Bearer {}", world.good());
    world
        .idp()
        .always(Purpose::Keys, Reply::none(Unreachable::Network));
    let refusal = world.header(Some(&header)).unwrap_err();
    assert_eq!((refusal.status(), refusal.challenge()), (503, None));
    // When the provider is asked again.
    assert_eq!(refusal.retry_after(), Some(1));
    let text: Value = serde_json::from_str(&refusal.to_json()).unwrap();
    assert_eq!(text["retryAfter"], 1);
    let refusal = world.header(None).unwrap_err();
    assert_eq!(refusal.retry_after(), None);
}

// CFG-01, CFG-02.
#[test]
fn cfg_01_02_the_resource_is_an_https_url_and_its_members_are_known() {
    let configured = |more: Value| {
        let mut given = json!({"issuer": "https://as.example", "audience": "api"});
        for (name, value) in more.as_object().unwrap() {
            given[name] = value.clone();
        }
        code_at(Guard::from_options(&options(&given)))
    };
    for resource in [
        json!("api"),
        json!(""),
        json!(null),
        json!({}),
        json!("https://api.example/#x"),
        json!("https://api.example/?x=1"),
        json!("https://u@api.example"),
        json!("urn:api"),
    ] {
        assert_eq!(
            configured(json!({"resource": resource})),
            ("config_invalid", "resource".into()),
            "{resource}"
        );
    }
    assert_eq!(
        configured(json!({"resource": "http://api.example"})),
        ("url_insecure", "resource".into())
    );
    for (name, value) in [
        ("resource", json!("https://evil.example")),
        ("authorization_servers", json!(["https://evil.example"])),
        ("bearer_methods_supported", json!(["query"])),
        ("signed_metadata", json!("x")),
        ("scope_supported", json!(["x"])),
        ("scopes_supported", json!("x")),
        ("scopes_supported", json!([])),
        ("scopes_supported", json!([1])),
        ("resource_name", json!("")),
        ("resource_name", json!(1)),
        ("jwks_uri", json!("/jwks")),
        ("dpop_bound_access_tokens_required", json!("yes")),
    ] {
        let (code, at) = configured(json!({
            "resource": "https://api.example", "resourceMetadata": {name: value},
        }));
        assert_eq!((code, at.as_str()), ("config_invalid", name), "{value}");
    }
    let alone = configured(json!({"resourceMetadata": {"resource_name": "x"}}));
    assert_eq!(alone, ("config_invalid", "resourceMetadata".into()));
    for realm in [
        json!(""),
        json!("a\"b"),
        json!("a\\b"),
        json!("a\r\nb"),
        json!("\u{e9}"),
        json!(1),
    ] {
        assert_eq!(
            configured(json!({"realm": realm})),
            ("config_invalid", "realm".into()),
            "{realm}"
        );
    }
}

#[test]
fn realm_and_metadata_stand_in_the_challenge_of_the_scheme_that_was_used() {
    let with = |dpop: &str| {
        GuardWorld::with(json!({
            "dpop": dpop, "dpopAlgorithms": "ES256", "realm": "x", "resource": "https://api.example/mcp",
        }))
    };
    let tail = format!("realm=\"x\", resource_metadata=\"{URL}\"");
    let refusal = with("accept").header(None).unwrap_err();
    assert_eq!(
        refusal.challenge(),
        Some(format!("Bearer {tail}, DPoP algs=\"ES256\"").as_str())
    );
    let refusal = with("require").header(None).unwrap_err();
    assert_eq!(
        refusal.challenge(),
        Some(format!("DPoP {tail}, algs=\"ES256\"").as_str())
    );
}
