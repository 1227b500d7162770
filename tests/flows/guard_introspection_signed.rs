//! Answers about opaque tokens that are signed (RFC 9701).

use gatepass::http::Purpose;
use serde_json::json;

use crate::support::{GuardWorld, Key, Reply, Token, code};

const MEDIA_TYPE: &str = "application/token-introspection+jwt";

fn world(edit: impl Fn(&mut Token) + 'static) -> GuardWorld {
    let mut world = GuardWorld::introspecting(json!({"jwtResponse": true}));
    world.idp().sign_answer = Some(Box::new(edit));
    world
}

/// The code and status for a good token whose answer was changed before it was signed.
fn signed(edit: impl Fn(&mut Token) + 'static) -> (&'static str, u16) {
    let mut world = world(edit);
    outcome(&mut world)
}

fn outcome(world: &mut GuardWorld) -> (&'static str, u16) {
    let token = world.opaque();
    match world.header(Some(&format!("Bearer {token}"))) {
        Ok(_) => ("accepted", 200),
        Err(refusal) => {
            // What is wrong with an answer is told to nobody who shows a token.
            assert!(refusal.status() == 401 || refusal.challenge().is_none());
            (refusal.error().code(), refusal.status())
        }
    }
}

#[test]
fn int_28_a_signed_answer_is_asked_for_and_checked() {
    let mut world = world(|_| {});
    let token = world.opaque();
    let principal = world.check(&token).unwrap();
    assert_eq!(principal.subject(), Some("user-1"));
    assert_eq!(world.net.signature_checks, 1);
    let asked = world
        .net
        .sent
        .iter()
        .find(|sent| sent.purpose == Purpose::Introspection);
    assert_eq!(asked.unwrap().accept, MEDIA_TYPE);
    // It is kept like any other.
    world.check(&token).unwrap();
    assert_eq!(world.net.count(Purpose::Introspection), 1);
    assert_eq!(code(world.check("unknown-token")), "token_inactive");
}

#[test]
fn int_28_another_type_of_token_is_no_answer() {
    for typ in [
        "JWT",
        "at+jwt",
        "",
        "application/at+jwt",
        "token-introspection",
    ] {
        let got = signed(move |token| {
            token.header.set("typ", json!(typ));
        });
        assert_eq!(got, ("typ_mismatch", 503), "{typ}");
    }
    let got = signed(|token| {
        token.header.remove("typ");
    });
    assert_eq!(got, ("typ_mismatch", 503));
}

#[test]
fn int_28_an_answer_in_another_form_is_refused() {
    // Plain JSON where a signed answer was asked for.
    let mut plain = GuardWorld::introspecting(json!({"jwtResponse": true}));
    assert_eq!(outcome(&mut plain), ("response_malformed", 503));
    // A signed answer where plain JSON was asked for.
    let mut unasked = GuardWorld::introspecting(json!({}));
    unasked.idp().sign_answer = Some(Box::new(|_| {}));
    assert_eq!(outcome(&mut unasked), ("response_malformed", 503));
}

#[test]
fn int_29_a_signed_answer_for_somebody_else_is_refused() {
    for audience in [json!("other"), json!([]), json!(["a"])] {
        let got = signed(move |token| {
            token.claims.set("aud", &audience);
        });
        assert_eq!(got, ("audience_mismatch", 503));
    }
    let got = signed(|token| {
        token.claims.remove("aud");
    });
    assert_eq!(got, ("claim_missing", 503));
    // The name of this API is ours too.
    let got = signed(|token| {
        token.claims.set("aud", json!(["x", "api"]));
    });
    assert_eq!(got.0, "accepted");
}

#[test]
fn a_signed_answer_that_is_over_or_not_good_yet_is_refused() {
    let dated = |name: &'static str, seconds: i64| {
        signed(move |token| {
            token.claims.set(name, json!(1_800_000_000 + seconds));
        })
    };
    assert_eq!(dated("exp", -31), ("response_malformed", 503));
    assert_eq!(dated("nbf", 31), ("response_malformed", 503));
    assert_eq!(dated("exp", 0).0, "accepted");
    assert_eq!(dated("nbf", 29).0, "accepted");
}

#[test]
fn int_29_a_signed_answer_of_another_issuer_is_refused() {
    let got = signed(|token| {
        token.claims.set("iss", json!("https://other.example"));
    });
    assert_eq!(got, ("issuer_mismatch", 503));
    let got = signed(|token| {
        token.claims.remove("iss");
    });
    assert_eq!(got, ("claim_missing", 503));
}

#[test]
fn int_29_a_signed_answer_says_when_it_was_given() {
    let at = |offset: i64| {
        signed(move |token| {
            token.claims.set("iat", 1_800_000_000 + offset);
        })
    };
    let got = signed(|token| {
        token.claims.remove("iat");
    });
    assert_eq!(got, ("claim_missing", 503));
    assert_eq!(at(31), ("issued_in_future", 503));
    assert_eq!(at(30).0, "accepted");
    assert_eq!(at(-330).0, "accepted");
    assert_eq!(at(-331), ("response_malformed", 503));
}

#[test]
fn int_29_a_bad_signature_is_refused() {
    let mut world = world(|_| {});
    let now = world.net.now.seconds();
    let token = world.opaque();
    let other = Key::new("k1", "ES256", 99);
    let mut answer = Token::by(&other, "token-introspection+jwt");
    answer
        .claims
        .set("iss", json!("https://as.example"))
        .set("aud", json!("rs"))
        .set("iat", now)
        .set("token_introspection", json!({"active": true, "aud": "api"}));
    let reply = Reply::body(answer.sign(&other)).of_type(MEDIA_TYPE);
    world.idp().reply(Purpose::Introspection, reply);
    let refusal = world.refusal(&token);
    assert_eq!(
        (refusal.error().code(), refusal.status()),
        ("signature_invalid", 503)
    );
    // Nothing of it was kept.
    assert_eq!(world.check(&token).unwrap().subject(), Some("user-1"));
}

#[test]
fn int_29_an_answer_that_nobody_signed_is_refused() {
    let mut world = world(|_| {});
    let token = world.opaque();
    let mut answer = world.token();
    answer
        .header
        .set("alg", json!("none"))
        .set("typ", json!("token-introspection+jwt"));
    let reply = Reply::body(answer.with_signature([])).of_type(MEDIA_TYPE);
    world.idp().reply(Purpose::Introspection, reply);
    let refusal = world.refusal(&token);
    assert_eq!(
        (refusal.error().code(), refusal.status()),
        ("alg_not_allowed", 503)
    );
}

#[test]
fn int_29_keys_that_cannot_be_had_are_503() {
    let mut world = world(|_| {});
    world.idp().always(Purpose::Keys, Reply::status(500));
    assert_eq!(outcome(&mut world), ("keys_unavailable", 503));
}

#[test]
fn the_answer_inside_a_signed_one_is_an_object_and_read_as_strictly() {
    for inside in [
        "null",
        "\"x\"",
        "[]",
        "{}",
        r#"{"active":"true"}"#,
        r#"{"active":1}"#,
    ] {
        let got = signed(move |token| {
            token.claims.set("token_introspection", inside);
        });
        assert_eq!(got, ("response_malformed", 503), "{inside}");
    }
    let twice = signed(|token| {
        token
            .claims
            .set("token_introspection", r#"{"active":false,"active":true}"#);
    });
    assert_eq!(twice, ("token_malformed", 503));
    // Members beside it decide nothing.
    let beside = signed(|token| {
        token
            .claims
            .set("active", true)
            .set("token_introspection", r#"{"active":false}"#);
    });
    assert_eq!(beside, ("token_inactive", 401));
}

#[test]
fn s22_2_a_signed_answer_is_never_an_access_token() {
    let mut world = GuardWorld::introspecting(json!({}));
    let token = world.edited(|token| {
        token.header.set("typ", json!("token-introspection+jwt"));
    });
    assert_eq!(world.code(&token), "typ_mismatch");
    assert_eq!(world.net.count(Purpose::Introspection), 0);
}
