//! What one sign-in asks for, and whether the answer holds it.

use gatepass::client::{SignIn, SignInOptions};
use gatepass::http::form;
use serde_json::{Value, json};

use crate::support::{World, code, code_at, options};

fn parameter(url: &str, name: &str) -> Option<String> {
    let parameters = form::decode(url.split_once('?').unwrap().1).unwrap();
    form::once(&parameters, name).unwrap().map(String::from)
}

/// The outcome of a sign-in with these options whose ID token has this claim.
fn with_claim(given: Value, name: &'static str, value: Option<Value>) -> (&'static str, String) {
    let mut world = World::new();
    world.idp().edit_id_token = Some(Box::new(move |token| {
        match &value {
            Some(value) => token.claims.set(name, value),
            None => token.claims.remove(name),
        };
    }));
    let url = world.begin_with(given).unwrap();
    let callback = world.agree(&url);
    let result = world.finish(&callback);
    assert_eq!(result.is_ok(), world.client.session().is_some());
    code_at(result)
}

#[test]
fn every_option_becomes_its_parameter() {
    let mut world = World::new();
    let url = world
        .begin_with(json!({
            "prompt": "login consent",
            "loginHint": "a@b.example",
            "display": "popup",
            "uiLocales": ["de-CH", "de"],
            "acrValues": "silver gold",
            "claims": {"userinfo": {"email": null}, "id_token": {"auth_time": {"essential": true}}},
            "maxAge": 60,
        }))
        .unwrap();
    for (name, value) in [
        ("prompt", "login consent"),
        ("login_hint", "a@b.example"),
        ("display", "popup"),
        ("ui_locales", "de-CH de"),
        ("acr_values", "silver gold"),
        (
            "claims",
            r#"{"id_token":{"auth_time":{"essential":true}},"userinfo":{"email":null}}"#,
        ),
        ("max_age", "60"),
    ] {
        assert_eq!(parameter(&url, name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(parameter(&url, "id_token_hint"), None);
}

#[test]
fn values_of_the_wrong_type_are_config_invalid_at_the_option() {
    for (name, value) in [
        ("acrValues", json!([])),
        ("acrValues", json!([""])),
        ("uiLocales", json!(1)),
        ("claims", json!("{}")),
        ("claims", json!({"access_token": {}})),
        ("claims", json!({"id_token": "acr"})),
        ("claims", json!({"id_token": {"acr": {"essential": true}}})),
        ("display", json!("")),
        ("idTokenHint", json!("eyJ")),
        ("authorizationDetails", json!([])),
        ("authorizationDetails", json!({"type": "a"})),
        ("authorizationDetails", json!([{"typ": "a"}])),
        ("authorizationDetails", json!([{"type": 1}])),
        ("mode", json!("window")),
    ] {
        let refused = World::new().begin_with(json!({ name: value }));
        assert_eq!(code_at(refused), ("config_invalid", name.into()), "{value}");
    }
}

#[test]
fn what_is_checked_cannot_come_in_by_the_side() {
    for name in [
        "authorization_details",
        "id_token_hint",
        "response_mode",
        "request",
    ] {
        let refused = World::new().begin_with(json!({"authorizationParams": {name: "x"}}));
        assert_eq!(code_at(refused), ("config_invalid", name.into()));
    }
}

// 12. acr.

#[test]
fn oid_27_a_sign_in_of_another_acr_is_acr_insufficient() {
    let asked = || json!({"acrValues": ["mfa", "hwk"]});
    for acr in [json!("mfa"), json!("hwk")] {
        assert_eq!(with_claim(asked(), "acr", Some(acr)).0, "accepted");
    }
    for acr in [
        None,
        Some(json!("pwd")),
        Some(json!("MFA")),
        Some(json!("mfa hwk")),
    ] {
        assert_eq!(
            with_claim(asked(), "acr", acr),
            ("acr_insufficient", "acr".into())
        );
    }
    assert_eq!(
        with_claim(asked(), "acr", Some(json!(1))),
        ("claim_invalid", "acr".into())
    );
}

#[test]
fn oid_27_an_essential_acr_is_a_condition_and_a_voluntary_one_is_not() {
    let claims = |acr: Value| json!({"claims": {"id_token": {"acr": acr}}});
    let value = claims(json!({"essential": true, "value": "mfa"}));
    let values = claims(json!({"essential": true, "values": ["mfa", "hwk"]}));
    for asked in [&value, &values] {
        let outcome = |acr: Option<Value>| with_claim(asked.clone(), "acr", acr).0;
        assert_eq!(outcome(Some(json!("mfa"))), "accepted");
        assert_eq!(outcome(Some(json!("pwd"))), "acr_insufficient");
        assert_eq!(outcome(None), "acr_insufficient");
    }
    let voluntary = claims(json!({"values": ["mfa"]}));
    assert_eq!(with_claim(voluntary, "acr", None).0, "accepted");
    assert_eq!(with_claim(json!({}), "acr", Some(json!("x"))).0, "accepted");
    let unchecked = json!({"authorizationParams": {"acr_values": "mfa"}});
    assert_eq!(with_claim(unchecked, "acr", None).0, "accepted");
}

// Who signs in.

#[test]
fn a_request_for_one_user_takes_no_other() {
    let asked = || json!({"claims": {"id_token": {"sub": {"value": "user-1"}}}});
    assert_eq!(
        with_claim(asked(), "sub", Some(json!("user-1"))).0,
        "accepted"
    );
    for other in ["user-2", "USER-1", "user-1 "] {
        assert_eq!(
            with_claim(asked(), "sub", Some(json!(other))),
            ("claim_invalid", "sub".into())
        );
    }
}

#[test]
fn the_hint_names_who_is_signed_in_and_only_that_user_can_sign_in() {
    for (subject, expected) in [("user-1", "accepted"), ("user-2", "claim_invalid")] {
        let mut world = World::new();
        world.sign_in().unwrap();
        let url = world.begin_with(json!({"idTokenHint": true})).unwrap();
        assert!(parameter(&url, "id_token_hint").unwrap().starts_with("eyJ"));
        world.idp().subject = subject.into();
        let callback = world.agree(&url);
        assert_eq!(code(world.finish(&callback)), expected);
    }
}

#[test]
fn without_a_session_there_is_no_hint() {
    let mut world = World::new();
    let url = world.begin_with(json!({"idTokenHint": true})).unwrap();
    assert_eq!(parameter(&url, "id_token_hint"), None);
    let callback = world.agree(&url);
    world.finish(&callback).unwrap();
}

// c_hash and s_hash.

#[track_caller]
fn assert_hash_is_checked(name: &'static str) {
    assert_eq!(
        with_claim(json!({}), name, Some(json!("AAAAAAAAAAAAAAAAAAAAAA"))),
        ("hash_mismatch", name.into())
    );
    assert_eq!(
        with_claim(json!({}), name, Some(json!(1))),
        ("claim_invalid", name.into())
    );
}

#[test]
fn oid_21_another_hash_of_the_code_is_hash_mismatch() {
    assert_hash_is_checked("c_hash");
}

#[test]
fn oid_22_another_hash_of_the_state_is_hash_mismatch() {
    assert_hash_is_checked("s_hash");
}

#[test]
fn right_hashes_of_code_and_state_are_checked_where_they_are() {
    // The right ones: ES256 goes with SHA-256.
    let mut world = World::new();
    let url = world.begin().unwrap();
    let callback = world.agree(&url);
    let answer = form::decode(callback.split_once('?').unwrap().1).unwrap();
    let get = |name: &str| form::once(&answer, name).unwrap().unwrap().to_owned();
    let hash = |text: &str| crate::support::at_hash("ES256", text);
    let (c_hash, s_hash) = (hash(&get("code")), hash(&get("state")));
    world.idp().edit_id_token = Some(Box::new(move |token| {
        token
            .claims
            .set("c_hash", json!(c_hash))
            .set("s_hash", json!(s_hash));
    }));
    let signed_in = world.finish(&callback).unwrap();
    assert!(signed_in.id_token_checked.contains(&"c_hash"));
    assert!(signed_in.id_token_checked.contains(&"s_hash"));
}

// RFC 9396.

fn payment() -> Value {
    json!([{"type": "payment", "actions": ["initiate"], "instructedAmount": {"currency": "EUR", "amount": "123.50"}}])
}

/// The outcome of a sign-in that asks for a payment and is answered so.
fn granted(answer: Option<Value>) -> (&'static str, String) {
    let mut world = World::new();
    world.idp().edit_response = Some(Box::new(move |response| {
        if let Some(answer) = &answer {
            response.set("authorization_details", answer);
        }
    }));
    let url = world
        .begin_with(json!({"authorizationDetails": payment()}))
        .unwrap();
    let callback = world.agree(&url);
    code_at(world.finish(&callback))
}

#[test]
fn req_20_authorization_details_are_sent_as_json_and_what_was_granted_is_told() {
    let mut world = World::new();
    let enriched = json!([{"type": "payment", "account": "DE1", "amount": 1}]);
    let answer = enriched.clone();
    world.idp().edit_response = Some(Box::new(move |response| {
        response.set("authorization_details", &answer);
    }));
    let url = world
        .begin_with(json!({"authorizationDetails": payment()}))
        .unwrap();
    let sent = parameter(&url, "authorization_details").unwrap();
    assert_eq!(serde_json::from_str::<Value>(&sent).unwrap(), payment());
    let callback = world.agree(&url);
    world.finish(&callback).unwrap();
    let told = world.client.session().unwrap().authorization_details();
    let told: Value = serde_json::from_str(&told.unwrap().to_json()).unwrap();
    assert_eq!(told, enriched);

    // A refresh that does not say otherwise leaves them as they are (section 7).
    world.idp().edit_response = None;
    world.refresh().unwrap();
    assert!(
        world
            .client
            .session()
            .unwrap()
            .authorization_details()
            .is_some()
    );
}

#[test]
fn req_20_an_answer_without_details_of_the_types_asked_for_is_response_malformed() {
    assert_eq!(granted(Some(payment())).0, "accepted");
    for answer in [
        None,
        Some(json!({})),
        Some(json!("payment")),
        Some(json!([{"type": 1}])),
        Some(json!([{}])),
        Some(json!([1])),
        Some(json!([{"type": "admin"}])),
        Some(json!([{"type": "payment"}, {"type": "admin"}])),
    ] {
        assert_eq!(
            granted(answer.clone()),
            ("response_malformed", "authorization_details".into()),
            "{answer:?}"
        );
    }
}

// Where the application goes on.

#[test]
fn cbk_43_an_absolute_return_to_is_of_the_own_origin_and_comes_back_as_a_path() {
    for (given, back) in [
        ("https://app.example/a?b#c", "/a?b#c"),
        ("https://APP.example:443/a", "/a"),
        ("https://app.example", "/"),
        // Behind the path a backslash leads nowhere else.
        ("/a?b=\\c#\\d", "/a?b=\\c#\\d"),
    ] {
        let mut world = World::new();
        let url = world.begin_with(json!({"returnTo": given})).unwrap();
        let callback = world.agree(&url);
        let signed_in = world.finish(&callback).unwrap();
        assert_eq!(signed_in.return_to.as_deref(), Some(back));
    }
    for given in [
        "http://app.example/",
        "https://app.example:444/",
        "https://app.example.evil/",
        "https://app.example//evil.example",
        "https://app.example?x",
        "/a\\b?c",
        "/\\evil.example",
        "https://evil.example/https://app.example/",
    ] {
        assert_eq!(
            code_at(World::new().begin_with(json!({"returnTo": given}))),
            ("config_invalid", "returnTo".into()),
            "{given}"
        );
    }
}

// Popups and frames.

#[test]
fn the_state_says_whose_callback_it_is() {
    for (mode, end) in [("popup", ".popup"), ("silent", ".frame")] {
        let mut world = World::with(json!({"redirectUri": "https://as.example/cb"}));
        let url = world.begin_with(json!({"mode": mode})).unwrap();
        let state = parameter(&url, "state").unwrap();
        assert_eq!(state.len(), 43 + end.len());
        assert!(state.ends_with(end));
        // The end is no way to another login: the state is compared as a whole.
        let callback = world.agree(&url);
        for other in [".frame", ".popup", ""] {
            if other != end {
                let moved = callback.replace(end, other);
                assert_eq!(code(world.finish(&moved)), "state_mismatch");
            }
        }
        world.finish(&callback).unwrap();
    }
    let url = World::new()
        .begin_with(json!({"mode": "redirect"}))
        .unwrap();
    assert_eq!(parameter(&url, "state").unwrap().len(), 43);
}

#[test]
fn a_window_needs_a_callback_that_its_page_can_read() {
    let unreadable = [
        "form_post",
        "form_post.jwt",
        "query.jwt",
        "fragment.jwt",
        "jwt",
    ];
    for response_mode in unreadable {
        for mode in ["popup", "silent"] {
            let mut world = World::with(
                json!({"responseMode": response_mode, "redirectUri": "https://as.example/cb"}),
            );
            assert_eq!(
                code_at(world.begin_with(json!({"mode": mode}))),
                ("config_invalid", "responseMode".into())
            );
        }
    }
}

#[test]
fn silent_sign_in_asks_for_nothing_to_be_shown() {
    let mut world = World::with(json!({
        "redirectUri": "https://as.example/cb",
        "authorizationParams": {"prompt": "login"},
    }));
    let url = world.begin_with(json!({"mode": "silent"})).unwrap();
    assert_eq!(parameter(&url, "prompt").as_deref(), Some("none"));
    assert_eq!(
        code_at(world.begin_with(json!({"mode": "silent", "prompt": "login"}))),
        ("config_invalid", "prompt".into())
    );
}

#[test]
fn silent_sign_in_is_for_one_site() {
    let outcome = |page: &str, site: Value| {
        let mut given = json!({"redirectUri": format!("{page}/cb")});
        if !site.is_null() {
            given["site"] = site;
        }
        let mut world = World::with(given);
        world.idp().metadata["authorization_endpoint"] =
            json!("https://login.corp.example/authorize");
        code(world.begin_with(json!({"mode": "silent"})))
    };
    for page in [
        "https://login.corp.example",
        "https://login.corp.example:8443",
    ] {
        assert_eq!(outcome(page, json!(null)), "accepted", "{page}");
    }
    for page in [
        "https://app.corp.example",
        "https://corp.example",
        "https://login.corp.example.evil.example",
    ] {
        assert_eq!(outcome(page, json!(null)), "silent_unavailable", "{page}");
    }
    for page in ["https://app.corp.example", "https://corp.example"] {
        assert_eq!(outcome(page, json!("corp.example")), "accepted", "{page}");
    }
    for page in [
        "https://evilcorp.example",
        "https://corp.example.evil.example",
        "http://localhost",
    ] {
        assert_eq!(
            outcome(page, json!("corp.example")),
            "silent_unavailable",
            "{page}"
        );
    }
}

#[test]
fn a_site_is_a_domain() {
    for site in [
        "example",
        "",
        ".example.com",
        "a..b",
        "https://a.example",
        "A.example",
        "0.1",
        "a.example/",
    ] {
        let given = json!({"issuer": "https://as.example", "clientId": "a", "site": site});
        let read = gatepass::client::Client::from_options(&options(&given));
        assert_eq!(code_at(read), ("config_invalid", "site".into()), "{site}");
    }
}

#[test]
fn a_provider_that_needs_the_user_says_login_required() {
    for error in [
        "login_required",
        "interaction_required",
        "consent_required",
        "account_selection_required",
    ] {
        let mut world = World::new();
        let url = world.begin_with(json!({"prompt": "none"})).unwrap();
        let state = parameter(&url, "state").unwrap();
        let callback =
            format!("https://app.example/cb?error={error}&state={state}&iss=https://as.example");
        let refused = world.finish(&callback).unwrap_err();
        assert_eq!(refused.code(), "login_required");
        assert_eq!(refused.details().unwrap().error.as_deref(), Some(error));
    }
}

// The length of the URL.

#[test]
fn req_17_a_long_url_is_known_as_one() {
    let is_long = |length: usize| {
        let mut world = World::new();
        let given = json!({"loginHint": "a".repeat(length)});
        let given = SignInOptions::from_options(&options(&given)).unwrap();
        let mut flow = SignIn::new(given, world.entropy());
        world
            .net
            .run(&mut flow, &mut world.client)
            .unwrap()
            .is_long()
    };
    assert!(!is_long(7000));
    assert!(is_long(8000));
}

// What the API does not have.

#[test]
fn req_03_04_neither_verifier_nor_method_can_be_given() {
    for name in [
        "codeVerifier",
        "code_verifier",
        "codeChallengeMethod",
        "pkce",
    ] {
        let refused = World::new().begin_with(json!({name: "plain"}));
        assert_eq!(code_at(refused), ("config_invalid", name.into()));
    }
    for name in ["code_challenge", "code_challenge_method"] {
        let refused = World::new().begin_with(json!({"authorizationParams": {name: "plain"}}));
        assert_eq!(code_at(refused), ("config_invalid", name.into()));
    }
    let url = World::new().begin().unwrap();
    assert_eq!(
        parameter(&url, "code_challenge_method").as_deref(),
        Some("S256")
    );
}

// What nobody asked for.

#[test]
fn cbk_08_a_sign_in_that_somebody_else_began_is_flow_unknown() {
    // OpenID Connect Core section 4: a third party may ask for a sign-in, but brings no code.
    let mut world = World::new();
    for callback in [
        "https://app.example/cb?code=stolen&state=chosen&iss=https://as.example",
        "https://app.example/cb?iss=https%3A%2F%2Fas.example&code=x&state=y&target_link_uri=%2Fa",
    ] {
        assert_eq!(code(world.finish(callback)), "flow_unknown");
    }
    let callback = "https://app.example/cb?iss=https%3A%2F%2Fas.example&login_hint=a";
    assert_eq!(code(world.finish(callback)), "state_missing");
}

#[test]
fn cbk_41_a_state_is_looked_up_and_never_believed() {
    // Nothing in a state is signed or read: the right form alone is worth nothing.
    let mut world = World::new();
    let url = world.begin().unwrap();
    let state = parameter(&url, "state").unwrap();
    for forged in [
        "A".repeat(43),
        format!("{state}A"),
        format!("{state}.popup"),
        state[1..].to_owned(),
    ] {
        let callback =
            format!("https://app.example/cb?code=c&state={forged}&iss=https://as.example");
        assert_eq!(code(world.finish(&callback)), "state_mismatch");
    }
}

#[test]
fn an_answer_without_an_access_token_is_malformed_whatever_its_id_token_says() {
    let mut world = World::new();
    world.idp().edit_response = Some(Box::new(|response| {
        response.remove("access_token");
    }));
    assert_eq!(
        code_at(world.sign_in()),
        ("response_malformed", "access_token".into())
    );
}

#[test]
fn oid_36_two_providers_users_with_one_address_stay_two() {
    let user = |issuer: &str| {
        let mut world = World::with(json!({"issuer": issuer, "scope": "openid email"}));
        world.idp().edit_id_token = Some(Box::new(|token| {
            token.claims.set("email", json!("a@b.example"));
        }));
        world.sign_in().unwrap();
        let user = world.client.session().unwrap().user().unwrap();
        let text = |name| user.string(name).unwrap().unwrap().to_owned();
        (text("iss"), text("sub"), text("email"))
    };
    let (one, other) = (user("https://as.example"), user("https://other.example"));
    assert_eq!((&one.1, &one.2), (&other.1, &other.2));
    assert_ne!((one.0, one.1), (other.0, other.1));
}
