//! What the provider says of the user (OpenID Connect Core section 5.3).

use gatepass::ErrorKind;
use gatepass::client::{PendingLogins, UserInfo};
use gatepass::error::Phase;
use gatepass::flow::{Event, Step};
use gatepass::http::{Method, Purpose, Unreachable};
use serde_json::json;

use crate::support::{Key, Reply, Token, World, code, code_at};

/// Someone signed in, and the provider knows more of them.
fn world(more: serde_json::Value) -> World {
    let mut world = World::with(more);
    world.sign_in().unwrap();
    world
        .idp()
        .user
        .set("sub", json!("user-1"))
        .set("email", json!("a@example.com"));
    world
}

fn signed(edit: impl Fn(&mut Token) + 'static) -> World {
    let mut world = world(json!({}));
    world.idp().sign_user = Some(Box::new(edit));
    world
}

fn refused(edit: impl Fn(&mut Token) + 'static) -> (&'static str, String) {
    code_at(signed(edit).userinfo())
}

#[test]
fn the_claims_of_an_answer_are_those_of_the_user() {
    let mut world = world(json!({}));
    let user = world.userinfo().unwrap();
    assert_eq!(user, json!({"sub": "user-1", "email": "a@example.com"}));
    // What the ID token said stays.
    let kept = world.client.session().unwrap().user().unwrap();
    assert_eq!(kept.string("email").unwrap(), None);
}

#[test]
fn oid_34_the_token_goes_in_the_header_and_nowhere_else() {
    let mut world = world(json!({}));
    world.net.clear();
    world.userinfo().unwrap();
    let sent = &world.net.sent[0];
    assert_eq!(
        (sent.purpose, sent.method),
        (Purpose::UserInfo, Method::Get)
    );
    assert_eq!(sent.url, "https://as.example/me");
    assert_eq!(sent.body, None);
    assert_eq!(sent.accept, "application/json, application/jwt");
    let header = sent.authorization.as_deref().unwrap();
    assert!(header.starts_with("Bearer access-S3CRET-"));
}

#[test]
fn oid_30_an_answer_without_its_subject_is_refused() {
    let mut world = world(json!({}));
    world.idp().user.remove("sub");
    assert_eq!(code_at(world.userinfo()), ("claim_missing", "sub".into()));
}

#[test]
fn oid_31_an_answer_about_someone_else_is_refused() {
    for sub in [json!("user-2"), json!("user-1invalid"), json!("")] {
        let mut world = world(json!({}));
        world.idp().user.set("sub", &sub);
        let refused = ("claim_invalid", "sub".to_owned());
        assert_eq!(code_at(world.userinfo()), refused, "{sub}");
        // The session goes on: it is the answer that is wrong.
        assert!(world.client.session().is_some());
    }
}

#[test]
fn oid_39_the_subject_is_compared_letter_by_letter() {
    for sub in [
        json!("User-1"),
        json!("user-1 "),
        json!("us\u{435}r-1"),
        json!(1),
        json!(["user-1"]),
    ] {
        let mut world = world(json!({}));
        world.idp().user.set("sub", &sub);
        assert_eq!(code(world.userinfo()), "claim_invalid", "{sub}");
    }
    // A member that stands twice has no value.
    let mut world = world(json!({}));
    world.idp().user.add("sub", json!("user-2"));
    assert_eq!(
        code_at(world.userinfo()),
        ("response_malformed", "body".into())
    );
}

#[test]
fn oid_32_form_and_media_type_must_fit() {
    let malformed = |reply: Reply, more: serde_json::Value| {
        let mut world = world(more);
        world.idp().always(Purpose::UserInfo, reply);
        code(world.userinfo())
    };
    let object = json!({"sub": "user-1"});
    // JSON that says it is signed, something signed that says it is JSON, and neither.
    let as_jwt = Reply::json(&object).of_type("application/jwt");
    assert_eq!(malformed(as_jwt, json!({})), "response_malformed");
    let key = Key::new("k1", "ES256", 7);
    let as_json = Reply::body(Token::by(&key, "JWT").sign(&key)).of_type("application/json");
    assert_eq!(malformed(as_json, json!({})), "response_malformed");
    for content_type in ["text/html", "text/plain", "application/jose", ""] {
        let reply = Reply::json(&object).of_type(content_type);
        assert_eq!(
            malformed(reply, json!({})),
            "response_malformed",
            "{content_type}"
        );
    }
    // Where signed answers were agreed upon, JSON is none.
    let agreed = json!({"userinfoSignedResponseAlg": "ES256"});
    assert_eq!(
        malformed(Reply::json(&object), agreed),
        "response_malformed"
    );
}

#[test]
fn a_signed_answer_is_read_as_one_in_json_is() {
    let mut world = signed(|_| {});
    world.net.clear();
    let user = world.userinfo().unwrap();
    assert_eq!(
        (&user["sub"], &user["email"]),
        (&json!("user-1"), &json!("a@example.com"))
    );
    assert_eq!(world.net.signature_checks, 1);
}

#[test]
fn oid_33_a_signed_answer_is_of_this_provider_for_this_client() {
    let set = |name: &'static str, value: serde_json::Value| {
        refused(move |token| {
            token.claims.set(name, &value);
        })
    };
    let remove = |name: &'static str| {
        refused(move |token| {
            token.claims.remove(name);
        })
    };
    assert_eq!(
        set("iss", json!("https://as.example/")).0,
        "issuer_mismatch"
    );
    assert_eq!(set("aud", json!("spa1")).0, "audience_mismatch");
    assert_eq!(set("aud", json!(["other"])).0, "audience_mismatch");
    assert_eq!(set("aud", json!(["other", "spa"])).0, "accepted");
    assert_eq!(remove("iss"), ("claim_missing", "iss".into()));
    assert_eq!(remove("aud"), ("claim_missing", "aud".into()));
    assert_eq!(set("sub", json!("user-2")), ("claim_invalid", "sub".into()));
}

#[test]
fn the_dates_of_a_signed_answer_are_checked_where_they_are() {
    let set = |name: &'static str, seconds: i64| {
        refused(move |token| {
            token.claims.set(name, 1_800_000_000 + seconds);
        })
        .0
    };
    assert_eq!(set("exp", -31), "token_expired");
    assert_eq!(set("exp", 60), "accepted");
    assert_eq!(set("nbf", 31), "token_not_active");
    assert_eq!(set("iat", 31), "issued_in_future");
}

#[test]
fn a_signed_answer_needs_a_signature_of_the_provider() {
    let mut world = world(json!({}));
    let mut token = Token::by(world.idp().key(), "JWT");
    token
        .claims
        .set("iss", json!("https://as.example"))
        .set("aud", json!("spa"))
        .set("sub", json!("user-1"));
    // Under the name of the provider's key, by another one.
    let forged = token.sign(&Key::new("k1", "ES256", 11));
    let reply = Reply::body(forged).of_type("application/jwt");
    world.idp().always(Purpose::UserInfo, reply);
    assert_eq!(code(world.userinfo()), "signature_invalid");

    let none = refused(|token| {
        token.header.set("alg", json!("none"));
    });
    assert_eq!(none.0, "alg_not_allowed");
    let hmac = refused(|token| {
        token.header.set("alg", json!("HS256"));
    });
    assert_eq!(hmac.0, "alg_not_allowed");
}

#[test]
fn another_token_of_the_provider_is_no_answer() {
    for typ in ["at+jwt", "logout+jwt", "token-introspection+jwt"] {
        let refused = refused(move |token| {
            token.header.set("typ", json!(typ));
        });
        assert_eq!(refused.0, "typ_mismatch", "{typ}");
    }
    let untyped = refused(|token| {
        token.header.remove("typ");
    });
    assert_eq!(untyped.0, "accepted");
}

#[test]
fn an_algorithm_that_was_agreed_upon_is_the_only_one() {
    let outcome = |alg: &str| {
        let mut world = world(json!({"userinfoSignedResponseAlg": alg}));
        world.idp().sign_user = Some(Box::new(|_| {}));
        world.net.clear();
        let code = code(world.userinfo());
        (code, world.net.sent[0].accept)
    };
    assert_eq!(outcome("ES256"), ("accepted", "application/jwt"));
    assert_eq!(outcome("RS256"), ("alg_not_allowed", "application/jwt"));
}

#[test]
fn a_key_that_is_new_is_fetched_once() {
    let mut world = signed(|_| {});
    let now = world.net.now;
    world.net.pass(60);
    assert!(now < world.net.now);
    world.idp().rotate_to(Key::new("k2", "ES256", 21));
    world.net.clear();
    world.userinfo().unwrap();
    assert_eq!(world.net.count(Purpose::Keys), 1);
}

#[test]
fn what_keys_are_refused_with_is_no_word_of_the_userinfo_endpoint() {
    let mut world = signed(|_| {});
    world.net.pass(60);
    world.idp().rotate_to(Key::new("k2", "ES256", 21));
    let refusal = Reply::body("")
        .with_status(401)
        .with_header("www-authenticate", "Bearer error=\"invalid_token\"");
    world.idp().reply(Purpose::Keys, refusal);
    let error = world.userinfo().unwrap_err();
    assert_eq!(error.code(), "keys_unavailable");
    assert_eq!(
        error.details().and_then(|details| details.error.as_deref()),
        None
    );
}

#[test]
fn who_has_no_id_token_cannot_ask() {
    let mut world = World::with(json!({"scope": "profile"}));
    world.sign_in().unwrap();
    world.net.clear();
    let missing = ("claim_missing", "id_token".to_owned());
    assert_eq!(code_at(world.userinfo()), missing);
    assert!(world.net.sent.is_empty());
}

#[test]
fn who_is_not_signed_in_cannot_ask() {
    let mut world = World::new();
    assert_eq!(code(world.userinfo()), "login_required");
    assert_eq!(world.net.count(Purpose::UserInfo), 0);
}

#[test]
fn a_provider_without_the_endpoint_is_named_as_such() {
    let mut world = World::new();
    world.idp().metadata["userinfo_endpoint"] = json!(null);
    world.sign_in().unwrap();
    let missing = ("metadata_invalid", "userinfo_endpoint".to_owned());
    assert_eq!(code_at(world.userinfo()), missing);
}

#[test]
fn refusals_are_read_from_the_challenge() {
    for (status, challenge, kind, error) in [
        (
            401,
            r#"Bearer error="invalid_token", error_description="expired""#,
            ErrorKind::ServerErrorResponse,
            "invalid_token",
        ),
        (
            403,
            r#"Bearer error="insufficient_scope", scope="openid""#,
            ErrorKind::ScopeInsufficient,
            "insufficient_scope",
        ),
        (
            401,
            r#"Bearer error="insufficient_user_authentication", max_age="60""#,
            ErrorKind::StepUpRequired,
            "insufficient_user_authentication",
        ),
        (
            400,
            r#"Bearer realm="x", error="invalid_request""#,
            ErrorKind::ServerErrorResponse,
            "invalid_request",
        ),
    ] {
        let mut world = world(json!({}));
        let reply = Reply::status(status).with_header("www-authenticate", challenge);
        world.idp().always(Purpose::UserInfo, reply);
        let refusal = world.userinfo().unwrap_err();
        assert_eq!(
            (refusal.kind(), refusal.phase()),
            (kind, Some(Phase::UserInfo))
        );
        let details = refusal.details().unwrap();
        assert_eq!(
            (details.status, details.error.as_deref()),
            (Some(status), Some(error))
        );
        assert!(!refusal.retryable());
    }
}

#[test]
fn a_refusal_without_a_challenge_is_read_from_its_body_or_by_its_status() {
    let refusal = |reply: Reply| {
        let mut world = world(json!({}));
        world.idp().always(Purpose::UserInfo, reply);
        world.userinfo().unwrap_err()
    };
    let in_body = refusal(Reply::json(json!({"error": "invalid_token"})).with_status(401));
    assert_eq!(in_body.kind(), ErrorKind::ServerErrorResponse);
    let page = refusal(Reply::status(401));
    assert_eq!(
        (page.kind(), page.retryable()),
        (ErrorKind::UpstreamStatus, false)
    );
    let down = refusal(Reply::status(503));
    assert_eq!(
        (down.kind(), down.retryable()),
        (ErrorKind::UpstreamStatus, true)
    );
    assert_eq!(
        refusal(Reply::status(302)).kind(),
        ErrorKind::RedirectRefused
    );
    assert_eq!(
        refusal(Reply::status(204)).kind(),
        ErrorKind::UpstreamStatus
    );
    let offline = refusal(Reply::none(Unreachable::Network));
    assert_eq!(
        (offline.kind(), offline.retryable()),
        (ErrorKind::UpstreamUnreachable, true)
    );
}

#[test]
fn an_answer_to_a_session_that_ended_meanwhile_is_dropped() {
    let mut world = world(json!({}));
    let mut flow = UserInfo::new(&world.client);
    let Ok(Step::Send(request)) = world.net.step(&mut flow, &mut world.client, Event::Start) else {
        panic!("nothing was sent");
    };
    let answer = world.net.answer(&request);
    world.sign_out().unwrap();
    world.logins = PendingLogins::default();
    world.sign_in().unwrap();
    let late = world.net.step(&mut flow, &mut world.client, answer);
    assert_eq!(code(late), "login_required");
}

#[test]
fn oid_36_an_address_is_no_identity() {
    // Two providers say the same address: they are two users, because iss and sub differ.
    let mut one = world(json!({}));
    let mut two = World::with(json!({"issuer": "https://other.example"}));
    two.sign_in().unwrap();
    let user = one.idp().user.clone();
    two.idp().user = user;
    let mails = (one.userinfo().unwrap(), two.userinfo().unwrap());
    assert_eq!(mails.0["email"], mails.1["email"]);
    let key = |world: &World| {
        let user = world.client.session().unwrap().user().unwrap();
        let text = |name| user.string(name).unwrap().unwrap().to_owned();
        (text("iss"), text("sub"))
    };
    assert_ne!(key(&one), key(&two));
}

#[test]
fn what_the_provider_says_of_an_address_is_handed_on_as_it_came() {
    // Only true is true: no text and no number becomes one on the way.
    for value in [
        json!(true),
        json!(false),
        json!("true"),
        json!(1),
        json!(null),
    ] {
        let mut world = world(json!({}));
        world.idp().user.set("email_verified", &value);
        assert_eq!(world.userinfo().unwrap()["email_verified"], value);
    }
    let absent = world(json!({})).userinfo().unwrap();
    assert!(absent.get("email_verified").is_none());
}
