//! Logout tokens of the back channel (OpenID Connect Back-Channel Logout 1.0).

use gatepass::client::{
    CheckLogout, LogoutAnswer, LogoutReceiver, LogoutRequest, MAX_LOGOUT_REQUEST,
};
use gatepass::error::Phase;
use gatepass::http::{Purpose, Unreachable};
use serde_json::{Value, json};

use crate::support::{Backend, EVENT, FORM, Key, Reply, Token, code, code_at, options};

/// The code and place for a token with another claim; a refusal answers 400.
fn claim(name: &'static str, value: impl ToString) -> (&'static str, String) {
    let mut backend = Backend::new();
    let value = value.to_string();
    let outcome = backend.check(|token| {
        token.claims.set(name, value);
    });
    if let Err(error) = &outcome {
        assert_eq!(LogoutAnswer::refused(error).status, 400);
        assert_eq!(error.phase(), Some(Phase::SignOut));
    }
    code_at(outcome)
}

fn without(name: &'static str) -> (&'static str, String) {
    let mut backend = Backend::new();
    code_at(backend.check(|token| {
        token.claims.remove(name);
    }))
}

fn missing(name: &str) -> (&'static str, String) {
    ("claim_missing", name.into())
}

fn invalid(name: &str) -> (&'static str, String) {
    ("claim_invalid", name.into())
}

fn accepted() -> (&'static str, String) {
    ("accepted", String::new())
}

#[test]
fn lgo_01_a_good_token_says_who_signed_out() {
    let mut backend = Backend::new();
    let token = backend.check(|_| {}).unwrap();
    assert_eq!(token.issuer(), "https://as.example");
    assert_eq!(token.subject(), Some("user-1"));
    assert_eq!(token.session_id(), Some("session-1"));
    assert_eq!(token.token_id(), "logout-1");
    assert_eq!(
        token.checked(),
        [
            "signature ES256",
            "iss",
            "aud",
            "exp",
            "iat",
            "sub",
            "sid",
            "events",
            "nonce",
            "jti"
        ]
    );
    assert_eq!(LogoutAnswer::ACCEPTED.status, 200);
    let object: Value =
        serde_json::from_str(&gatepass::http::json::Value::from(token.to_object()).to_json())
            .unwrap();
    assert_eq!(
        object,
        json!({"iss": "https://as.example", "sub": "user-1", "sid": "session-1", "jti": "logout-1"})
    );
}

#[test]
fn lgo_01_one_name_is_enough() {
    assert_eq!(without("sub"), accepted());
    assert_eq!(without("sid"), accepted());
    let mut backend = Backend::new();
    let neither = backend.check(|token| {
        token.claims.remove("sub").remove("sid");
    });
    assert_eq!(code_at(neither), missing("sub"));
}

#[test]
fn lgo_03_issuer_and_audience_are_ours() {
    assert_eq!(
        claim("iss", json!("https://as.example1")).0,
        "issuer_mismatch"
    );
    assert_eq!(
        claim("iss", json!("https://as.example/")).0,
        "issuer_mismatch"
    );
    assert_eq!(claim("aud", json!("spa1")).0, "audience_mismatch");
    assert_eq!(claim("aud", json!([])).0, "audience_mismatch");
    // As in an ID token: nobody else may be meant that is not trusted.
    assert_eq!(claim("aud", json!(["spa", "other"])).0, "audience_mismatch");
    assert_eq!(claim("aud", json!(["spa"])), accepted());
    assert_eq!(without("iss"), missing("iss"));
    assert_eq!(without("aud"), missing("aud"));
    let mut backend = Backend::with(json!({"trustedAudiences": "other"}));
    let both = backend.check(|token| {
        token.claims.set("aud", json!(["spa", "other"]));
    });
    assert_eq!(code(both), "accepted");
}

#[test]
fn the_dates_are_those_of_a_token_that_was_just_made() {
    let at = |name, seconds: i64| claim(name, 1_800_000_000 + seconds);
    assert_eq!(at("exp", -31).0, "token_expired");
    assert_eq!(at("exp", 1), accepted());
    assert_eq!(at("iat", 31).0, "issued_in_future");
    assert_eq!(at("iat", -330), accepted());
    assert_eq!(at("iat", -331).0, "token_too_old");
    assert_eq!(without("exp"), missing("exp"));
    assert_eq!(without("iat"), missing("iat"));
    assert_eq!(claim("exp", json!("1800000100")), invalid("exp"));
}

#[test]
fn the_bound_of_a_tokens_age_can_be_set() {
    let mut backend = Backend::with(json!({"maxTokenAge": 10, "clockTolerance": 0}));
    let old = |seconds: i64| {
        move |token: &mut Token| {
            token.claims.set("iat", 1_800_000_000 - seconds);
        }
    };
    assert_eq!(code(backend.check(old(10))), "accepted");
    assert_eq!(code(backend.check(old(11))), "token_too_old");
}

#[test]
fn lgo_06_the_event_is_there_and_an_object() {
    assert_eq!(without("events"), missing("events"));
    assert_eq!(claim("events", json!([EVENT])), invalid("events"));
    assert_eq!(claim("events", json!(EVENT)), invalid("events"));
    assert_eq!(claim("events", json!({})), missing("events"));
    let other = json!({"http://schemas.openid.net/event/backchannel-logout2": {}});
    assert_eq!(claim("events", other), missing("events"));
    for value in [json!(null), json!(true), json!("x"), json!([])] {
        assert_eq!(claim("events", json!({EVENT: value})), invalid("events"));
    }
    // What it says beyond that does not matter.
    assert_eq!(
        claim("events", json!({EVENT: {"x": 1}, "y": {}})),
        accepted()
    );
}

#[test]
fn lgo_07_a_nonce_makes_it_another_token() {
    for nonce in [json!("n"), json!(""), json!(null), json!(1)] {
        assert_eq!(claim("nonce", &nonce), invalid("nonce"), "{nonce}");
    }
}

#[test]
fn lgo_08_a_token_is_good_once() {
    let mut backend = Backend::new();
    let text = backend.token().sign(backend.net.idps[0].key());
    assert_eq!(code(backend.check_text(&text)), "accepted");
    let again = backend.check_text(&text).unwrap_err();
    assert_eq!(again.code(), "logout_token_replayed");
    assert_eq!(LogoutAnswer::refused(&again).status, 400);
    // The same name in another token, too; and for as long as it could be accepted.
    backend.net.pass(149);
    let same = backend.check(|token| {
        token
            .claims
            .set("jti", json!("logout-1"))
            .set("iat", 1_800_000_000);
    });
    assert_eq!(code(same), "logout_token_replayed");
    assert_eq!(code(backend.check(|_| {})), "accepted");
    assert_eq!(without("jti"), missing("jti"));
    assert_eq!(claim("jti", json!("")), invalid("jti"));
    assert_eq!(claim("jti", json!("x".repeat(256))), invalid("jti"));
}

#[test]
fn lgo_08_a_token_that_was_refused_is_not_used_up() {
    let mut backend = Backend::new();
    let refused = backend.check(|token| {
        token.claims.set("jti", json!("one")).set("aud", json!("x"));
    });
    assert_eq!(code(refused), "audience_mismatch");
    let good = backend.check(|token| {
        token.claims.set("jti", json!("one"));
    });
    assert_eq!(code(good), "accepted");
}

#[test]
fn lgo_08_who_remembers_elsewhere_is_asked() {
    let mut backend = Backend::new();
    backend.receiver.remember_elsewhere();
    backend.net.replay_store = Some(true);
    assert_eq!(code(backend.check(|_| {})), "accepted");
    let used = &backend.net.remembered[0];
    assert_eq!((used.key.len(), used.lifetime.whole_seconds()), (22, 150));
    backend.net.replay_store = Some(false);
    assert_eq!(code(backend.check(|_| {})), "logout_token_replayed");
    backend.net.replay_store = None;
    assert_eq!(code(backend.check(|_| {})), "replay_store_unavailable");
}

#[test]
fn lgo_09_a_token_that_says_what_it_is_says_this() {
    let typed = |typ: &'static str| {
        let mut backend = Backend::new();
        let outcome = code(backend.check(|token| {
            token.header.set("typ", json!(typ));
        }));
        (outcome, backend.net.sent.len())
    };
    assert_eq!(typed("application/logout+jwt").0, "accepted");
    assert_eq!(typed("LOGOUT+JWT").0, "accepted");
    // Nobody is asked about the others.
    for typ in ["JWT", "at+jwt", "secevent+jwt", "logout", ""] {
        assert_eq!(typed(typ), ("typ_mismatch", 0), "{typ}");
    }
    let mut backend = Backend::new();
    let untyped = backend.check(|token| {
        token.header.remove("typ");
    });
    assert_eq!(code(untyped), "accepted");
}

#[test]
fn lgo_10_other_tokens_of_the_provider_end_nothing() {
    let mut backend = Backend::new();
    let now = backend.net.now;
    let access_token = backend.net.idps[0].access_token(now);
    let text = access_token.sign(backend.net.idps[0].key());
    assert_eq!(code(backend.check_text(&text)), "typ_mismatch");
    // An ID token of this client, by all rules of the core but without a typ.
    let id_token = backend.check(|token| {
        token.header.remove("typ");
        token.claims.remove("events").set("nonce", json!("n"));
    });
    assert_eq!(code_at(id_token), missing("events"));
}

#[test]
fn lgo_11_only_a_form_with_one_token_is_a_request() {
    let read = |method: &str, content_type: Option<&str>, body: &str| {
        let result = LogoutRequest::read(method, content_type, body);
        let status = match &result {
            Ok(_) => 200,
            Err(error) => LogoutAnswer::refused(error).status,
        };
        let (code, at) = code_at(result);
        (code, at, status)
    };
    let refused = |at: &str, status: u16| ("logout_request_invalid", at.to_owned(), status);
    let good = "logout_token=x.y.z";
    assert_eq!(read("POST", Some(FORM), good).0, "accepted");
    let with_charset = "Application/X-WWW-Form-Urlencoded; charset=utf-8";
    assert_eq!(read("POST", Some(with_charset), good).0, "accepted");
    for method in ["GET", "PUT", "post", "HEAD", ""] {
        assert_eq!(read(method, Some(FORM), good), refused("method", 405));
    }
    for content_type in [Some("application/json"), Some("text/plain"), Some(""), None] {
        assert_eq!(
            read("POST", content_type, good),
            refused("content-type", 400)
        );
    }
    for body in [
        "",
        "logout_token=",
        "token=x",
        "logout_token=x&logout_token=x",
    ] {
        assert_eq!(read("POST", Some(FORM), body), refused("logout_token", 400));
    }
    let long = format!("{good}&x={}", "x".repeat(MAX_LOGOUT_REQUEST));
    for body in ["logout_token=%zz", long.as_str()] {
        assert_eq!(read("POST", Some(FORM), body), refused("body", 400));
    }
    // Parameters that nobody knows are ignored (section 2.5 says nothing of them).
    assert_eq!(read("POST", Some(FORM), "x=1&logout_token=a").0, "accepted");
}

#[test]
fn lgo_12_a_name_means_something_within_its_issuer_only() {
    let mut backend = Backend::new();
    let token = backend.check(|_| {}).unwrap();
    let session = Some("session-1");
    assert!(token.ends("https://as.example", "user-1", session));
    assert!(!token.ends("https://other.example", "user-1", session));
    assert!(!token.ends("https://as.example", "user-1", Some("session-2")));
    assert!(!token.ends("https://as.example", "user-1", None));
    assert!(!token.ends("https://as.example", "user-2", session));
    // Without a session all of the user are meant; without a user the session is.
    let all = backend.check(|token| {
        token.claims.remove("sid");
    });
    let all = all.unwrap();
    assert!(all.ends("https://as.example", "user-1", Some("session-2")));
    assert!(all.ends("https://as.example", "user-1", None));
    assert!(!all.ends("https://as.example", "user-2", None));
    let one = backend.check(|token| {
        token.claims.remove("sub");
    });
    assert!(one.unwrap().ends("https://as.example", "whoever", session));
    // The token of another provider does not pass, whatever it names.
    let mut other = Backend::new();
    let text = other.check(|token| {
        token.claims.set("iss", json!("https://other.example"));
    });
    assert_eq!(code(text), "issuer_mismatch");
}

#[test]
fn lgo_13_answers_are_not_stored_and_tell_nothing() {
    let no_store = ("cache-control", "no-store");
    assert_eq!(LogoutAnswer::ACCEPTED.headers, [no_store]);
    assert_eq!(LogoutAnswer::ACCEPTED.body, "");
    let mut bodies = Vec::new();
    let mut backend = Backend::new();
    for name in ["iss", "aud", "exp", "events", "jti"] {
        let error = backend.check(|token| {
            token.claims.remove(name);
        });
        let answer = LogoutAnswer::refused(&error.unwrap_err());
        assert!(answer.headers.contains(&no_store));
        bodies.push(answer.body);
    }
    let bad_signature = backend.token().with_signature([7; 64]);
    let error = backend.check_text(&bad_signature).unwrap_err();
    assert_eq!(error.code(), "signature_invalid");
    bodies.push(LogoutAnswer::refused(&error).body);
    bodies.dedup();
    // LEAK-02: one text, whatever the reason.
    assert_eq!(bodies, [r#"{"error":"invalid_request"}"#]);
    let method = LogoutRequest::read("GET", None, "").unwrap_err();
    assert!(
        LogoutAnswer::refused(&method)
            .headers
            .contains(&("allow", "POST"))
    );
}

#[test]
fn the_algorithm_is_one_that_was_agreed_upon() {
    let with = |alg: &'static str| {
        let mut backend = Backend::new();
        code(backend.check(move |token| {
            token.header.set("alg", json!(alg));
        }))
    };
    assert_eq!(with("none"), "alg_not_allowed");
    assert_eq!(with("HS256"), "alg_not_allowed");
    // By the option, before anybody is asked.
    let mut backend = Backend::with(json!({"algorithms": "RS256"}));
    assert_eq!(code(backend.check(|_| {})), "alg_not_allowed");
    assert!(backend.net.sent.is_empty());
    // By the metadata, as for ID tokens.
    let mut backend = Backend::new();
    backend.net.idps[0].metadata["id_token_signing_alg_values_supported"] = json!(["RS256"]);
    assert_eq!(code(backend.check(|_| {})), "alg_not_allowed");
    assert_eq!(backend.net.count(Purpose::Keys), 0);
}

#[test]
fn the_signature_is_one_of_the_provider() {
    let mut backend = Backend::new();
    let stranger = Key::new("k1", "ES256", 99);
    let forged = backend.token().sign(&stranger);
    assert_eq!(code(backend.check_text(&forged)), "signature_invalid");
    for text in ["x.y.z", "not a token at all", "a.b.c.d.e"] {
        assert_eq!(code(backend.check_text(text)), "token_malformed");
    }
    // Keys that are new are fetched once.
    backend.net.pass(60);
    backend.net.idps[0].rotate_to(Key::new("k2", "ES256", 21));
    backend.net.clear();
    assert_eq!(code(backend.check(|_| {})), "accepted");
    assert_eq!(backend.net.count(Purpose::Keys), 1);
}

#[test]
fn a_provider_that_is_down_is_our_failure_and_not_a_sign_out() {
    let mut backend = Backend::new();
    let down = Reply::none(Unreachable::Network);
    backend.net.idps[0].always(Purpose::Discovery, down);
    let error = backend.check(|_| {}).unwrap_err();
    assert_eq!(error.code(), "upstream_unreachable");
    // Section 2.8 knows one status for what did not work.
    assert_eq!(LogoutAnswer::refused(&error).status, 400);
    // Whoever sends a thousand tokens makes us ask once.
    let asked = backend.net.sent.len();
    for _ in 0..10 {
        assert!(backend.check(|_| {}).is_err());
    }
    assert_eq!(backend.net.sent.len(), asked);
}

#[test]
fn options_are_read_strictly() {
    let refused = |more: Value| {
        let mut given = json!({"issuer": "https://as.example", "clientId": "spa"});
        for (name, value) in more.as_object().unwrap() {
            given[name] = value.clone();
        }
        code_at(LogoutReceiver::from_options(&options(&given)))
    };
    for (more, at) in [
        (json!({"clientid": "x"}), "clientid"),
        (json!({"clientId": ""}), "clientId"),
        (json!({"algorithms": ["HS256"]}), "algorithms"),
        (json!({"algorithms": ["none"]}), "algorithms"),
        (json!({"algorithms": []}), "algorithms"),
        (json!({"maxTokenAge": 0}), "maxTokenAge"),
        (json!({"maxTokenAge": 3601}), "maxTokenAge"),
        (json!({"clockTolerance": 301}), "clockTolerance"),
        (json!({"trustedAudiences": 1}), "trustedAudiences"),
    ] {
        assert_eq!(refused(more), ("config_invalid", at.into()));
    }
    let insecure = refused(json!({"issuer": "http://as.example"}));
    assert_eq!(insecure, ("url_insecure", "issuer".into()));
}

#[test]
fn what_came_is_not_printed() {
    let mut backend = Backend::new();
    let token = backend.check(|_| {}).unwrap();
    let shown = format!("{token:?} {:?}", backend.receiver);
    assert!(!shown.contains("user-1") && !shown.contains("session-1"));
    let request = LogoutRequest::read("POST", Some(FORM), "logout_token=S3CRET").unwrap();
    assert!(!format!("{request:?} {:?}", CheckLogout::new(request_again())).contains("S3CRET"));
    fn request_again() -> LogoutRequest {
        LogoutRequest::read("POST", Some(FORM), "logout_token=S3CRET").unwrap()
    }
}
