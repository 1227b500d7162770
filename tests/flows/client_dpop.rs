//! Tokens that are bound to the client's key (RFC 9449), from the client's side.

use gatepass::client::machine::DeviceStart;
use gatepass::client::{Completion, DpopKey, Prove};
use gatepass::flow::{Event, Flow, Reports as _, Step};
use gatepass::http::Purpose;
use gatepass::jose::rust_crypto::PrivateKey;
use gatepass::jose::{KeyName, TokenNames};
use gatepass::secret::Secret;
use serde_json::{Value, json};

use crate::support::{
    DpopWorld, Key, Members, Reply, World, code, code_at, from_base64url, options, thumbprint,
};

/// The client's key in the world of the guard, too.
fn key() -> Key {
    Key::new("client", "ES256", 77)
}

fn bind(world: &mut World, key: &Key) {
    let public = DpopKey::new(&options(&key.bare_jwk()), TokenNames::new([5; 32])).unwrap();
    world.client.set_dpop_key(Some(public));
    let private = PrivateKey::from_jwk(&options(&key.private_jwk()), None).unwrap();
    world.net.signing_keys = vec![(KeyName::DpopProof, private)];
}

fn world_with(more: Value) -> World {
    let mut world = World::with(more);
    bind(&mut world, &key());
    world.idp().binds = true;
    world
}

fn world() -> World {
    world_with(json!({"dpop": true}))
}

/// The claims of a proof for a request to an API.
fn proof_for(world: &mut World, method: &str, url: &str) -> Value {
    let token = Secret::new(String::from("access"));
    let mut flow = Prove::new(method, url, &token);
    let proof = world.net.run(&mut flow, &mut world.client).unwrap();
    let claims = proof.expose().split('.').nth(1).unwrap();
    serde_json::from_slice(&from_base64url(claims)).unwrap()
}

fn nonces(world: &mut World) -> Vec<Value> {
    let proofs = std::mem::take(&mut world.idp().proofs);
    proofs
        .iter()
        .map(|claims| claims["nonce"].clone())
        .collect()
}

#[test]
fn a_sign_in_and_its_refreshes_are_bound_to_one_key() {
    let mut world = world();
    world.sign_in().unwrap();
    world.net.pass(250);
    // DPP-33: the provider refuses a refresh under another key, and so does the client itself.
    world.refresh().unwrap();
    assert_eq!(world.idp().proofs.len(), 2);
    bind(&mut world, &Key::new("client", "ES256", 78));
    assert_eq!(code(world.refresh()), "key_unsuitable");
    assert_eq!(world.idp().proofs.len(), 2);
    assert!(world.client.session().is_some());
    bind(&mut world, &key());
    world.refresh().unwrap();
}

#[test]
fn dpp_34_the_code_is_bound_by_dpop_jkt_unless_that_is_switched_off() {
    let mut world = world();
    let url = world.begin().unwrap();
    let parameter = format!("&dpop_jkt={}", thumbprint(&key()));
    assert!(url.contains(&parameter), "{url}");
    // A code that was stolen cannot be exchanged with another key.
    let callback = world.agree(&url);
    bind(&mut world, &Key::new("client", "ES256", 78));
    assert_eq!(code(world.finish(&callback)), "server_error_response");

    let mut world = world_with(json!({"dpop": {"bindCode": false}}));
    assert!(!world.begin().unwrap().contains("dpop_jkt"));
    world.sign_in().unwrap();
    assert!(!World::new().begin().unwrap().contains("dpop_jkt"));
}

#[test]
fn dpp_32_a_bearer_token_in_place_of_a_bound_one_is_refused() {
    let mut world = world();
    world.idp().edit_response = Some(Box::new(|response: &mut Members| {
        response.set("token_type", json!("Bearer"));
    }));
    assert_eq!(code(world.sign_in()), "token_type_unsupported");
    assert!(world.client.session().is_none());
    // And the reverse: nobody asked for one.
    let mut world = World::new();
    world.idp().edit_response = Some(Box::new(|response: &mut Members| {
        response.set("token_type", json!("DPoP"));
    }));
    assert_eq!(code(world.sign_in()), "token_type_unsupported");
}

#[test]
fn the_type_of_a_bound_token_is_compared_without_case() {
    let mut world = world();
    world.idp().edit_response = Some(Box::new(|response: &mut Members| {
        response.set("token_type", json!("dpop"));
    }));
    assert_eq!(code(world.sign_in()), "accepted");
}

#[test]
fn a_refresh_that_is_downgraded_keeps_the_session_and_not_the_token() {
    let mut world = world();
    world.sign_in().unwrap();
    world.idp().reply(
        Purpose::Refresh,
        Reply::json(r#"{"access_token":"x","token_type":"Bearer"}"#),
    );
    assert_eq!(code(world.refresh()), "token_type_unsupported");
    assert!(
        !world
            .client
            .session()
            .unwrap()
            .access_token()
            .unwrap()
            .ct_eq("x")
    );
}

#[test]
fn a_nonce_that_the_provider_demands_is_learnt_and_the_request_repeated_once() {
    let mut world = world();
    world.idp().dpop_nonce = Some("n-1".into());
    world.sign_in().unwrap();
    assert_eq!(nonces(&mut world), [Value::Null, json!("n-1")]);
    // The code was sent twice and used once.
    assert_eq!(world.net.count(Purpose::Token), 2);

    // DPP-27: what an answer brings is used next time.
    world.refresh().unwrap();
    assert_eq!(nonces(&mut world), [json!("n-1")]);
    world.idp().dpop_nonce = Some("n-2".into());
    world.refresh().unwrap();
    assert_eq!(nonces(&mut world), [json!("n-1"), json!("n-2")]);
}

#[test]
fn dpp_27_a_nonce_of_a_good_answer_is_used_next_time() {
    let mut world = world();
    world.sign_in().unwrap();
    world.idp().proofs.clear();
    let tokens = r#"{"access_token":"a","token_type":"DPoP","refresh_token":"r","expires_in":9}"#;
    let reply = Reply::json(tokens).with_header("dpop-nonce", "n-9");
    world.idp().reply(Purpose::Refresh, reply);
    world.refresh().unwrap();
    let refused = Reply::json(r#"{"error":"invalid_request"}"#).with_status(400);
    world.idp().always(Purpose::Refresh, refused);
    assert_eq!(code(world.refresh()), "server_error_response");
    let sent = world.net.sent.last().unwrap().dpop.clone().unwrap();
    let claims = from_base64url(sent.split('.').nth(1).unwrap());
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["nonce"], "n-9");
}

#[test]
fn a_provider_that_always_wants_another_nonce_is_asked_twice() {
    let mut world = world();
    world.sign_in().unwrap();
    world.net.clear();
    let demand = || Reply::json(r#"{"error":"use_dpop_nonce"}"#).with_status(400);
    world.idp().always(
        Purpose::Refresh,
        demand().with_header("dpop-nonce", "again"),
    );
    let error = world.refresh().unwrap_err();
    assert_eq!(error.code(), "server_error_response");
    let told = error.details().unwrap().error.as_deref();
    assert_eq!(told, Some("use_dpop_nonce"));
    assert_eq!(world.net.count(Purpose::Refresh), 2);
    assert!(world.client.session().is_some());
    // One that names none is not asked again at all.
    world.net.clear();
    world.idp().always(Purpose::Refresh, demand());
    assert!(world.refresh().is_err());
    assert_eq!(world.net.count(Purpose::Refresh), 1);
}

#[test]
fn dpp_28_nonces_belong_to_origins_and_are_few() {
    let mut world = world();
    world.client.learn_nonce("https://api.example/a?b", "rs");
    world.client.learn_nonce("https://as.example/token", "as");
    let nonce = |world: &mut World, url: &str| proof_for(world, "GET", url)["nonce"].clone();
    assert_eq!(nonce(&mut world, "https://API.example:443/x"), "rs");
    assert_eq!(nonce(&mut world, "https://api.example:444/"), Value::Null);
    world.sign_in().unwrap();
    assert_eq!(nonces(&mut world), [json!("as")]);
    for index in 0..16 {
        let url = format!("https://api-{index}.example/");
        world.client.learn_nonce(&url, "n");
    }
    assert_eq!(nonce(&mut world, "https://api.example/"), Value::Null);
    assert_eq!(nonce(&mut world, "https://api-0.example/"), "n");
}

#[test]
fn what_cannot_be_a_nonce_is_not_sent_back() {
    let mut world = world();
    for text in [
        "",
        "a b",
        "a\"b",
        "a\\b",
        "a\nb",
        "\u{e9}",
        &"n".repeat(1025),
    ] {
        world.client.learn_nonce("https://api.example/", text);
        let claims = proof_for(&mut world, "GET", "https://api.example/");
        assert_eq!(claims["nonce"], Value::Null, "{text:?}");
    }
    world.client.learn_nonce("not a url", "n");
}

#[test]
fn dpp_30_each_proof_has_a_name_of_128_bits_and_the_time_of_its_own() {
    let mut world = world();
    world.idp().dpop_nonce = Some("n-1".into());
    world.net.latency = gatepass::time::Lifetime::from_seconds(2);
    world.sign_in().unwrap();
    let mut made: Vec<_> = world.idp().proofs.clone();
    // The retry comes later and says so.
    let seconds = |claims: &Value| claims["iat"].as_i64().unwrap();
    assert_eq!(seconds(&made[1]) - seconds(&made[0]), 2);
    for _ in 0..50 {
        made.push(proof_for(&mut world, "GET", "https://api.example/"));
    }
    let mut names: Vec<_> = made
        .iter()
        .map(|claims| claims["jti"].as_str().unwrap().to_owned())
        .collect();
    assert!(names.iter().all(|name| from_base64url(name).len() == 16));
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), made.len());
}

#[test]
fn a_proof_names_the_method_the_url_and_the_token_and_nothing_of_the_query() {
    let mut world = world();
    let claims = proof_for(&mut world, "PUT", "https://api.example/items?secret=1#x");
    assert_eq!(claims["htm"], "PUT");
    assert_eq!(claims["htu"], "https://api.example/items");
    assert_eq!(claims["iat"], world.net.now.seconds());
    let digest = {
        use sha2::Digest as _;
        crate::support::base64url(sha2::Sha256::digest("access"))
    };
    assert_eq!(claims["ath"], json!(digest));
}

#[test]
fn our_own_guard_accepts_what_the_client_proves() {
    let mut client = world();
    let mut api = DpopWorld::with(
        json!({"dpop": "require", "dpopNonce": "a secret that all isolates share"}),
    );
    let token = Secret::new(api.bound());
    let prove = |client: &mut World, method: &str, url: &str| {
        let mut flow = Prove::new(method, url, &token);
        let proof = client.net.run(&mut flow, &mut client.client).unwrap();
        proof.expose().clone()
    };
    let url = "https://api.example/items";
    // The guard demands a nonce; the client learns it.
    let proof = prove(&mut client, "GET", url);
    let refused = api.send(token.expose(), Some(&proof)).unwrap_err();
    assert_eq!(refused.error().code(), "use_dpop_nonce");
    client.client.learn_nonce(url, &api.nonce.clone().unwrap());
    let proof = prove(&mut client, "GET", url);
    api.send(token.expose(), Some(&proof)).unwrap();
    // Once, and for this request alone.
    let refused = api.send(token.expose(), Some(&proof)).unwrap_err();
    assert_eq!(refused.error().code(), "dpop_replayed");
    let other = prove(&mut client, "POST", url);
    let refused = api.send(token.expose(), Some(&other)).unwrap_err();
    assert_eq!(refused.error().code(), "dpop_invalid");
}

#[test]
fn a_provider_that_does_not_take_our_algorithm_is_told_before_the_page_leaves() {
    let mut world = world();
    world.idp().metadata["dpop_signing_alg_values_supported"] = json!(["RS256"]);
    assert_eq!(
        code_at(world.begin()),
        (
            "metadata_invalid",
            "dpop_signing_alg_values_supported".into()
        )
    );
    let mut world = self::world();
    world.idp().metadata["dpop_signing_alg_values_supported"] = json!(["RS256", "ES256"]);
    assert_eq!(code(world.begin()), "accepted");
    let mut world = World::new();
    world.idp().metadata["dpop_signing_alg_values_supported"] = json!(["RS256"]);
    assert_eq!(code(world.begin()), "accepted");
}

#[test]
fn without_its_key_a_client_asks_nobody() {
    let mut world = world();
    world.sign_in().unwrap();
    world.net.clear();
    world.client.set_dpop_key(None);
    assert_eq!(code(world.begin()), "key_unsuitable");
    assert_eq!(code(world.refresh()), "key_unsuitable");
    assert_eq!(world.net.count(Purpose::Refresh), 0);
    // Nor does one whose host does not have the private part.
    bind(&mut world, &key());
    world.net.signing_keys.clear();
    assert_eq!(code(world.refresh()), "key_unsuitable");
    assert_eq!(world.net.count(Purpose::Refresh), 0);
    assert!(world.client.session().is_some());
}

#[test]
fn only_a_p_256_key_is_taken() {
    for (alg, seed) in [("ES384", 7), ("EdDSA", 7), ("RS256", 0)] {
        let jwk = options(&Key::new("k", alg, seed).bare_jwk());
        let error = DpopKey::new(&jwk, TokenNames::new([5; 32])).unwrap_err();
        assert_eq!(error.code(), "key_unsuitable", "{alg}");
    }
}

#[test]
fn a_session_is_good_only_with_the_key_that_it_is_bound_to() {
    let mut bound = world();
    bound.sign_in().unwrap();
    assert!(bound.client.holds_session_key());
    let text = {
        let client = &bound.client;
        let session = client.session().unwrap();
        session.to_json(client.config(), client.provider().issuer())
    };
    let restore = |world: &mut World| {
        let client = &world.client;
        let issuer = client.provider().issuer();
        let session = gatepass::client::Session::read(text.expose(), client.config(), issuer);
        world.client.restore_session(session.unwrap());
        world.client.holds_session_key()
    };
    let mut same = world();
    assert!(restore(&mut same));
    bind(&mut same, &Key::new("client", "ES256", 78));
    assert!(!same.client.holds_session_key());
    assert!(!restore(&mut World::new()));
}

#[test]
fn a_signature_comes_when_it_was_asked_for() {
    let mut world = world();
    let token = Secret::new(String::from("access"));
    let mut flow = Prove::new("GET", "https://api.example/", &token);
    let now = world.net.now;
    let step = flow.step(&mut world.client, now, Event::Start);
    assert!(matches!(step, Ok(Step::Sign(_))));
    let error = flow
        .step(&mut world.client, now, Event::Woke)
        .err()
        .unwrap();
    assert_eq!(error.code(), "flow_misused");
    assert!(world.client.take_alerts().is_empty());
}

#[test]
fn a_pushed_request_carries_a_proof() {
    // RFC 9449 section 10.1: the code is bound by it.
    let mut world = world_with(json!({"dpop": true, "par": "require"}));
    world.idp().dpop_nonce = Some("par-nonce".into());
    world.sign_in().unwrap();
    let pushed = world.net.count(Purpose::PushedRequest);
    assert_eq!(pushed, 2);
    assert_eq!(world.idp().proofs[1]["htu"], "https://as.example/par");
    // The nonce that was learnt there serves the token endpoint of the same origin.
    assert_eq!(
        nonces(&mut world),
        [Value::Null, json!("par-nonce"), json!("par-nonce")]
    );
}

#[test]
fn userinfo_is_asked_for_with_a_proof_for_the_token() {
    let mut world = world();
    world.sign_in().unwrap();
    world.idp().user.set("sub", json!("user-1"));
    world.idp().dpop_nonce = Some("me-nonce".into());
    world.idp().proofs.clear();
    assert_eq!(world.userinfo().unwrap()["sub"], "user-1");
    // Asked once more, with the nonce that was demanded.
    assert_eq!(nonces(&mut world), [Value::Null, json!("me-nonce")]);
    let sent = world.net.sent.last().unwrap();
    assert!(sent.authorization.as_deref().unwrap().starts_with("DPoP "));
    // DPP-27: one that comes with a good answer is that of the next question.
    let user = Reply::json(json!({"sub": "user-1"})).with_header("dpop-nonce", "next");
    world.idp().reply(Purpose::UserInfo, user);
    world.userinfo().unwrap();
    world.idp().dpop_nonce = Some("next".into());
    world.idp().proofs.clear();
    world.userinfo().unwrap();
    assert_eq!(nonces(&mut world), [json!("next")]);
    // A provider that is never content is not asked for ever.
    let refusal = Reply::body("")
        .with_status(401)
        .with_header("www-authenticate", "DPoP error=\"use_dpop_nonce\"")
        .with_header("dpop-nonce", "another");
    world.idp().always(Purpose::UserInfo, refusal);
    world.net.clear();
    assert_eq!(code(world.userinfo()), "server_error_response");
    assert_eq!(world.net.count(Purpose::UserInfo), 2);
}

#[test]
fn a_sign_in_whose_key_is_gone_when_its_tokens_come_ends_them() {
    let mut world = world();
    let url = world.begin().unwrap();
    let callback = world.agree(&url);
    let now = world.net.now;
    let mut flow = Completion::new(&callback, &mut world.logins, &world.client, now).unwrap();
    let mut event = Event::Start;
    let error = loop {
        event = match world.net.step(&mut flow, &mut world.client, event) {
            Ok(Step::Send(request)) => {
                let answer = world.net.answer(&request);
                if request.purpose == Purpose::Token {
                    // Somebody signed out in another tab.
                    world.client.set_dpop_key(None);
                }
                answer
            }
            Ok(Step::Sign(request)) => world.net.sign(&request),
            Ok(step) => panic!("{step:?}"),
            Err(error) => break error,
        };
    };
    assert_eq!(error.code(), "login_required");
    assert!(world.client.session().is_none());
}

#[test]
fn what_machines_are_granted_is_bound_too() {
    let mut world = world();
    world.idp().dpop_nonce = Some("machine-nonce".into());
    world.granted(json!({})).unwrap();
    assert_eq!(nonces(&mut world), [Value::Null, json!("machine-nonce")]);
    assert_eq!(world.net.count(Purpose::Token), 2);
    // Without a key nothing is sent, and a bearer token is no bound one.
    world.client.set_dpop_key(None);
    assert_eq!(code(world.granted(json!({"scope": "x"}))), "key_unsuitable");
    assert_eq!(world.net.count(Purpose::Token), 2);
    bind(&mut world, &key());
    world.idp().reply(
        Purpose::Token,
        Reply::json(r#"{"access_token":"x","token_type":"Bearer"}"#),
    );
    let refused = world.granted(json!({"scope": "y"}));
    assert_eq!(code(refused), "token_type_unsupported");
}

#[test]
fn a_grant_whose_server_failed_is_asked_for_again_with_another_proof() {
    let mut world = world();
    let unavailable = || Reply::body("").with_status(503);
    world.idp().reply(Purpose::Token, unavailable());
    world.granted(json!({})).unwrap();
    let sent: Vec<_> = world
        .net
        .sent
        .iter()
        .filter(|sent| sent.dpop.is_some())
        .collect();
    assert_eq!(sent.len(), 2);
    assert_ne!(sent[0].dpop, sent[1].dpop);
}

#[test]
fn a_device_login_is_bound_to_the_key() {
    let mut world = world();
    let seed = world.seed();
    let mut flow = DeviceStart::new(&options(&json!({})), &world.client, seed).unwrap();
    let mut login = world.net.run(&mut flow, &mut world.client).unwrap();
    world.net.run(&mut login, &mut world.client).unwrap();
    assert!(world.client.holds_session_key());
    let session = world.client.session().unwrap();
    let text = session.to_json(world.client.config(), world.client.provider().issuer());
    let stored: Value = serde_json::from_str(text.expose()).unwrap();
    assert_eq!(stored["jkt"], thumbprint(&key()));
    world.refresh().unwrap();
}

#[test]
fn what_ends_tokens_takes_no_proof() {
    let mut world = world();
    world.sign_in().unwrap();
    world.sign_out().unwrap();
    let ended: Vec<_> = world
        .net
        .sent
        .iter()
        .filter(|sent| sent.purpose == Purpose::Revocation)
        .collect();
    assert_eq!(ended.len(), 2);
    assert!(ended.iter().all(|sent| sent.dpop.is_none()));
}
