//! The authorization request.

use std::collections::BTreeSet;

use gatepass::client::{Client, SignIn, SignInOptions};
use gatepass::http::{Purpose, form};
use gatepass::random::Entropy;
use serde_json::json;

use crate::support::{World, code, code_at, options};

fn parameters(url: &str) -> Vec<(String, String)> {
    form::decode(url.split_once('?').unwrap().1).unwrap()
}

fn parameter(url: &str, name: &str) -> Option<String> {
    form::once(&parameters(url), name)
        .unwrap()
        .map(String::from)
}

#[test]
fn the_request_has_exactly_these_parameters_in_this_order() {
    let mut world = World::with(json!({
        "scope": "openid email",
        "resource": ["https://api.example/", "urn:x:y"],
        "audience": "api",
        "authorizationParams": {"ui_locales": "de", "prompt": "login"},
    }));
    let url = world
        .begin_with(json!({"maxAge": 60, "prompt": "consent", "loginHint": "a@b.example"}))
        .unwrap();
    assert!(url.starts_with("https://as.example/authorize?"));
    let parameters = parameters(&url);
    let names: Vec<_> = parameters.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "response_type",
            "client_id",
            "redirect_uri",
            "scope",
            "state",
            "nonce",
            "code_challenge",
            "code_challenge_method",
            "resource",
            "resource",
            "audience",
            "max_age",
            "prompt",
            "login_hint",
            "ui_locales",
        ]
    );
    let get = |name| parameter(&url, name).unwrap();
    assert_eq!(get("response_type"), "code");
    assert_eq!(get("client_id"), "spa");
    assert_eq!(get("redirect_uri"), "https://app.example/cb");
    assert_eq!(get("scope"), "openid email");
    assert_eq!(get("code_challenge_method"), "S256");
    assert_eq!(get("audience"), "api");
    assert_eq!(get("max_age"), "60");
    assert_eq!(get("prompt"), "consent");
    assert_eq!(get("login_hint"), "a@b.example");
    assert_eq!(get("ui_locales"), "de");
}

#[test]
fn req_09_the_response_type_is_code_and_cannot_be_another() {
    let mut world = World::new();
    let refused = world.begin_with(json!({"authorizationParams": {"response_type": "token"}}));
    assert_eq!(code_at(refused), ("config_invalid", "response_type".into()));
    let url = world.begin().unwrap();
    assert_eq!(parameter(&url, "response_type").as_deref(), Some("code"));
}

#[test]
fn req_07_state_nonce_and_challenge_have_43_characters_and_never_repeat() {
    let mut world = World::new();
    let mut seen = BTreeSet::new();
    for _ in 0..10 {
        let url = world.begin().unwrap();
        for name in ["state", "nonce", "code_challenge"] {
            let value = parameter(&url, name).unwrap();
            assert_eq!(value.len(), 43, "{name}");
            assert!(
                value
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'),
                "{name}"
            );
            assert!(seen.insert(value), "{name} stood in a request before");
        }
    }
    assert_eq!(seen.len(), 30);
}

#[test]
fn req_07_a_request_that_failed_leaves_its_values_unused() {
    let mut world = World::new();
    world.idp().metadata["authorization_endpoint"] = json!(null);
    assert_eq!(code(world.begin()), "metadata_invalid");
    assert!(world.logins.to_json().contains("\"waiting\":[]"));
}

#[test]
fn req_02_the_challenge_is_the_hash_of_the_verifier_that_is_sent_later() {
    // The example of RFC 7636 appendix B is a unit test of pkce.rs; this is the whole way.
    let mut world = World::new();
    let url = world.begin().unwrap();
    let callback = world.agree(&url);
    world.finish(&callback).unwrap();
    let sent = world
        .net
        .sent
        .iter()
        .find(|sent| sent.body.is_some())
        .unwrap();
    let verifier = sent.field("code_verifier").unwrap();
    assert_eq!(verifier.len(), 43);
    assert_eq!(
        parameter(&url, "code_challenge"),
        Some(gatepass::client::challenge(&verifier))
    );
}

#[test]
fn a_nonce_is_sent_with_openid() {
    for scope in ["openid", "email openid", "openid profile"] {
        let mut world = World::with(json!({"scope": scope}));
        let url = world.begin().unwrap();
        assert!(parameter(&url, "nonce").is_some(), "{scope}");
    }
}

#[test]
fn no_nonce_is_sent_without_openid() {
    for scope in ["read", "openid2", "OpenID"] {
        let mut world = World::with(json!({"scope": scope}));
        let url = world.begin().unwrap();
        assert_eq!(parameter(&url, "nonce"), None, "{scope}");
    }
}

#[test]
fn req_05_a_provider_that_rules_out_s256_gets_no_request() {
    for methods in [json!(["plain"]), json!([]), json!(["s256"])] {
        let mut world = World::new();
        world.idp().metadata["code_challenge_methods_supported"] = methods;
        assert_eq!(code(world.begin()), "pkce_unsupported");
    }
}

#[test]
fn req_06_a_provider_that_says_nothing_of_pkce_gets_s256_all_the_same() {
    let mut world = World::new();
    let metadata = world.idp().metadata.as_object_mut().unwrap();
    metadata.remove("code_challenge_methods_supported");
    let url = world.begin().unwrap();
    assert_eq!(
        parameter(&url, "code_challenge_method").as_deref(),
        Some("S256")
    );
}

#[test]
fn req_06_a_client_that_needs_it_said_refuses_a_provider_that_says_nothing_of_pkce() {
    let given = json!({"requirePkceSupport": true});
    let mut world = World::with(given.clone());
    assert!(world.begin().is_ok());
    let mut world = World::with(given);
    let metadata = world.idp().metadata.as_object_mut().unwrap();
    metadata.remove("code_challenge_methods_supported");
    assert_eq!(code(world.begin()), "pkce_unsupported");
    // Every request of it was about metadata: nobody was sent anywhere.
    assert_eq!(world.net.sent.len(), world.net.count(Purpose::Discovery));
}

#[test]
fn req_10_the_redirect_uri_is_sent_letter_by_letter() {
    for uri in [
        "https://app.example",
        "https://APP.example:443/a/../b?x=1",
        "http://127.0.0.1:8080/cb",
    ] {
        let mut world = World::with(json!({"redirectUri": uri}));
        let url = world.begin().unwrap();
        assert_eq!(parameter(&url, "redirect_uri").as_deref(), Some(uri));
    }
}

#[test]
fn req_11_a_redirect_uri_is_an_absolute_page_without_fragment() {
    for uri in [
        "https://app.example/cb#f",
        "/cb",
        "javascript:alert(1)",
        "data:text/html,x",
    ] {
        let given = json!({"issuer": "https://as.example", "clientId": "spa", "redirectUri": uri});
        assert_eq!(
            code_at(Client::from_options(&options(&given))),
            ("config_invalid", "redirectUri".into()),
            "{uri}"
        );
    }
}

#[test]
fn a_client_without_a_redirect_uri_cannot_sign_in() {
    let given = json!({"issuer": "https://as.example", "clientId": "spa"});
    let mut world = World::new();
    world.client = Client::from_options(&options(&given)).unwrap();
    assert_eq!(
        code_at(world.begin()),
        ("config_invalid", "redirectUri".into())
    );
}

#[test]
fn req_13_no_caller_overrides_what_carries_a_check() {
    let mut world = World::new();
    for name in [
        "client_id",
        "redirect_uri",
        "response_type",
        "response_mode",
        "scope",
        "state",
        "nonce",
        "code_challenge",
        "code_challenge_method",
        "max_age",
        "request",
        "request_uri",
        "client_secret",
    ] {
        let refused = world.begin_with(json!({"authorizationParams": {name: "x"}}));
        assert_eq!(code_at(refused), ("config_invalid", name.into()));
    }
    assert!(world.net.sent.is_empty());
}

#[test]
fn req_15_a_query_of_the_authorization_endpoint_stays() {
    let mut world = World::new();
    world.idp().metadata["authorization_endpoint"] = json!("https://as.example/authorize?t=a%20b");
    let url = world.begin().unwrap();
    assert!(url.starts_with("https://as.example/authorize?t=a%20b&response_type=code&"));
}

#[test]
fn req_16_values_are_form_encoded() {
    for (value, encoded) in [
        ("a b", "a+b"),
        ("a+b", "a%2Bb"),
        ("a&b", "a%26b"),
        ("100%", "100%25"),
        ("\u{e9}", "%C3%A9"),
        ("\u{1F600}", "%F0%9F%98%80"),
        ("a\nb", "a%0Ab"),
    ] {
        let mut world = World::new();
        let url = world.begin_with(json!({"loginHint": value})).unwrap();
        assert!(url.ends_with(&format!("&login_hint={encoded}")), "{url}");
    }
}

#[test]
fn req_19_resources_are_absolute_without_fragment() {
    for resource in ["api", "/api", "https://api.example/#x", "", ":x"] {
        let given =
            json!({"issuer": "https://as.example", "clientId": "spa", "resource": resource});
        assert_eq!(
            code_at(Client::from_options(&options(&given))),
            ("config_invalid", "resource".into()),
            "{resource}"
        );
    }
}

#[test]
fn cbk_43_return_to_stays_on_the_own_origin() {
    let mut world = World::new();
    for path in ["/", "/a?b#c", "/%2F/x"] {
        assert!(
            world.begin_with(json!({"returnTo": path})).is_ok(),
            "{path}"
        );
    }
    for path in [
        "",
        "a",
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "/\t/evil.example",
        "javascript:alert(1)",
    ] {
        assert_eq!(
            code_at(world.begin_with(json!({"returnTo": path}))),
            ("config_invalid", "returnTo".into()),
            "{path}"
        );
    }
}

#[test]
fn return_to_comes_back_with_the_completed_sign_in() {
    let mut world = World::new();
    let url = world
        .begin_with(json!({"returnTo": "/inbox?x=1#top"}))
        .unwrap();
    assert!(!url.contains("inbox"));
    let callback = world.agree(&url);
    let signed_in = world.finish(&callback).unwrap();
    assert_eq!(signed_in.return_to.as_deref(), Some("/inbox?x=1#top"));
}

#[test]
fn cfg_01_unknown_options_of_a_sign_in_are_refused() {
    let mut world = World::new();
    assert_eq!(
        code_at(world.begin_with(json!({"max_age": 1}))),
        ("config_invalid", "max_age".into())
    );
}

#[test]
fn cfg_02_a_max_age_is_whole_seconds() {
    let mut world = World::new();
    for max_age in [
        json!("60"),
        json!(-1),
        json!(1.5),
        json!(null),
        json!(1e300),
    ] {
        assert_eq!(
            code_at(world.begin_with(json!({"maxAge": max_age}))),
            ("config_invalid", "maxAge".into())
        );
    }
}

/// The outcome for a client with one more option.
fn option(name: &str, value: serde_json::Value) -> (&'static str, String) {
    let mut given = json!({"issuer": "https://as.example", "clientId": "spa"});
    given[name] = value;
    code_at(Client::from_options(&options(&given)))
}

#[test]
fn req_36_a_client_secret_is_config_invalid() {
    for name in ["clientSecret", "client_secret"] {
        assert_eq!(option(name, json!("x")), ("config_invalid", name.into()));
    }
}

// CFG-01, CFG-02, CFG-04.
#[test]
fn cfg_01_02_04_options_of_a_client_are_known_and_typed() {
    for (name, value) in [
        ("clientID", json!("x")),
        ("clientId", json!("")),
        ("clientId", json!(1)),
        ("clientId", json!(null)),
        ("scope", json!("")),
        ("scope", json!(["openid"])),
        ("scope", json!("openid  email")),
        ("redirectUri", json!(null)),
        ("audience", json!([])),
        ("trustedAudiences", json!([""])),
        ("authorizationParams", json!([])),
        ("refreshSkew", json!(3601)),
        ("refreshSkew", json!(-1)),
        ("refreshSkew", json!("60")),
        ("timeout", json!(0)),
        ("timeout", json!(121)),
        ("timeout", json!(true)),
        ("dangerouslyAllowHttpLoopback", json!("yes")),
    ] {
        assert_eq!(
            option(name, value.clone()),
            ("config_invalid", name.into()),
            "{value}"
        );
    }
    assert_eq!(option("scope", json!("openid email")).0, "accepted");
}

#[test]
fn cfg_12_a_tolerance_beyond_five_minutes_is_config_invalid() {
    assert_eq!(option("clockTolerance", json!(300)).0, "accepted");
    for value in [json!(300.001), json!(301), json!(-1), json!(1e300)] {
        assert_eq!(
            option("clockTolerance", value),
            ("config_invalid", "clockTolerance".into())
        );
    }
}

#[test]
fn a_generator_that_repeats_itself_makes_no_entropy() {
    assert!(Entropy::new([9; Entropy::BYTES]).is_none());
}

#[test]
fn one_flow_makes_one_request() {
    let mut world = World::new();
    let mut flow = SignIn::new(SignInOptions::default(), world.entropy());
    assert!(world.net.run(&mut flow, &mut world.client).is_ok());
    // The entropy is used up: the same values cannot stand behind a second request.
    assert_eq!(
        code(world.net.run(&mut flow, &mut world.client)),
        "flow_misused"
    );
}

#[test]
fn a_parameter_given_by_name_takes_the_place_of_its_option() {
    let mut world = World::with(serde_json::json!({
        "audience": "https://option.example",
        "resource": "https://option.example",
        "authorizationParams": { "audience": "https://given.example" },
    }));
    let url = world.begin().unwrap();
    let (_, query) = url.split_once('?').unwrap();
    let parameters = form::decode(query).unwrap();
    let of = |name: &str| -> Vec<&str> {
        let named = parameters.iter().filter(|(known, _)| known == name);
        named.map(|(_, value)| value.as_str()).collect()
    };
    assert_eq!(of("audience"), ["https://given.example"]);
    assert_eq!(of("resource"), ["https://option.example"]);
}

#[test]
fn req_04_plain_cannot_be_chosen() {
    for name in ["codeChallengeMethod", "pkce", "code_challenge_method"] {
        let given = options(&json!({
            "issuer": "https://as.example",
            "clientId": "spa",
            name: "plain",
        }));
        let refused = code_at(Client::from_options(&given));
        assert_eq!(refused, ("config_invalid", name.into()));
    }
    let mut world = World::new();
    let given = json!({"authorizationParams": {"code_challenge_method": "plain"}});
    assert_eq!(
        code_at(world.begin_with(given)),
        ("config_invalid", "code_challenge_method".into())
    );
    // Nor by a provider that offers both.
    world.idp().metadata["code_challenge_methods_supported"] = json!(["plain", "S256"]);
    assert!(
        world
            .begin()
            .unwrap()
            .contains("code_challenge_method=S256")
    );
}

#[test]
fn req_22_what_belongs_to_one_issuer_is_never_sent_to_another() {
    let auth = json!({"method": "client_secret_post", "clientSecret": "S3CRET-of-the-client"});
    // The metadata names another issuer from some day on.
    let mut world = World::with(json!({"clientAuth": auth}));
    world.net.keep_secret("S3CRET-of-the-client");
    world.idp().metadata["issuer"] = json!("https://other.example");
    world.idp().metadata["token_endpoint"] = json!("https://other.example/token");
    assert_eq!(
        code_at(world.granted(json!({}))),
        ("metadata_invalid", "issuer".into())
    );
    assert_eq!(world.net.count(Purpose::Token), 0);
    // A session of one issuer is none of a client of another one, whatever the store holds.
    let mut one = World::new();
    one.sign_in().unwrap();
    let session = one.client.session().unwrap();
    let stored = session.to_json(one.client.config(), one.client.provider().issuer());
    let other = World::with(json!({"issuer": "https://other.example"}));
    let (config, issuer) = (other.client.config(), other.client.provider().issuer());
    // EXPOSE: as a store hands it over.
    assert!(gatepass::client::Session::read(stored.expose(), config, issuer).is_none());
    let own = one.client.provider().issuer();
    assert!(gatepass::client::Session::read(stored.expose(), config, own).is_some());
    // And an issuer cannot be changed beside its metadata.
    let given = options(&json!({
        "issuer": {"issuer": "https://as.example", "token_endpoint": "http://other.example/token"},
        "clientId": "spa",
    }));
    let refused = code_at(Client::from_options(&given));
    assert_eq!(refused.0, "url_insecure");
}
