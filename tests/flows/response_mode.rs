//! Where the authorization response stands: query, fragment or the body of a POST.

use gatepass::error::Phase;
use gatepass::http::{Purpose, Unreachable, form};
use serde_json::json;

use crate::support::{Reply, Token, World, code, code_at};

/// A world whose provider answers so, and the right callback.
fn answering(mode: &str) -> (World, String) {
    let mut world = World::with(json!({"responseMode": mode}));
    let url = world.begin().unwrap();
    let query = form::decode(url.split_once('?').unwrap().1).unwrap();
    assert_eq!(form::once(&query, "response_mode"), Ok(Some(mode)));
    let callback = world.agree(&url);
    (world, callback)
}

#[test]
fn a_response_is_read_where_it_was_asked_for() {
    for mode in ["query", "fragment", "form_post"] {
        let (mut world, callback) = answering(mode);
        world.finish(&callback).unwrap();
        assert_eq!(code(world.finish(&callback)), "flow_reused", "{mode}");
    }
}

#[test]
fn without_the_option_none_is_asked_for() {
    let mut world = World::new();
    assert!(!world.begin().unwrap().contains("response_mode"));
    let refused = |mode: &str| {
        let options =
            json!({"issuer": "https://as.example", "clientId": "a", "responseMode": mode});
        code_at(gatepass::client::Client::from_options(
            &crate::support::options(&options),
        ))
    };
    for mode in [
        "web_message",
        "QUERY",
        "JWT",
        "query.JWT",
        "web_message.jwt",
        "none.jwt",
    ] {
        assert_eq!(refused(mode), ("config_invalid", "responseMode".into()));
    }
}

#[test]
fn cbk_26_a_response_in_another_place_is_response_mode_mismatch() {
    let places = ["?", "#", "\n"];
    for (mode, right) in [("query", "?"), ("fragment", "#"), ("form_post", "\n")] {
        for place in places.iter().filter(|place| **place != right) {
            let (mut world, callback) = answering(mode);
            let moved = callback.replace(right, place);
            assert_eq!(
                code(world.finish(&moved)),
                "response_mode_mismatch",
                "{mode} {place:?}"
            );
            assert_eq!(world.net.count(Purpose::Token), 0);
            // The login waits on for its own callback.
            world.finish(&callback).unwrap();
        }
    }
}

#[test]
fn a_body_that_cannot_be_decoded_is_param_invalid() {
    for body in ["state=%zz", "state=a&code=%FF", &"a".repeat(64 * 1024 + 1)] {
        let (mut world, _) = answering("form_post");
        assert_eq!(
            code_at(world.finish(&format!("https://app.example/cb\n{body}"))),
            ("param_invalid", "body".into())
        );
    }
    let (mut world, _) = answering("fragment");
    assert_eq!(
        code_at(world.finish("https://app.example/cb#state=%zz")),
        ("param_invalid", "fragment".into())
    );
}

#[test]
fn a_body_that_says_nothing_is_state_missing() {
    for body in ["", "code=a", "STATE=a"] {
        let (mut world, _) = answering("form_post");
        let callback = format!("https://app.example/cb\n{body}");
        assert_eq!(code(world.finish(&callback)), "state_missing");
    }
}

#[test]
fn a_parameter_of_the_page_itself_does_not_matter() {
    let (mut world, callback) = answering("fragment");
    world.finish(&callback.replace('#', "?tab=1#")).unwrap();
    let (mut world, callback) = answering("form_post");
    world.finish(&callback.replace('\n', "?tab=1\n")).unwrap();
}

const SIGNED: [&str; 4] = ["query.jwt", "fragment.jwt", "form_post.jwt", "jwt"];

#[test]
fn a_signed_response_is_read_where_it_was_asked_for() {
    for mode in SIGNED {
        let (mut world, callback) = answering(mode);
        let signed_in = world.finish(&callback).unwrap();
        assert_eq!(
            signed_in.callback_checked,
            ["signature ES256", "aud", "exp", "state", "iss", "code"]
        );
        assert_eq!(code(world.finish(&callback)), "flow_reused", "{mode}");
    }
}

#[test]
fn a_signed_response_that_says_no_is_the_providers_word() {
    let (mut world, _) = answering("jwt");
    world.idp().edit_authorization = Some(Box::new(|token| {
        token.claims.remove("code");
        token.claims.set("error", json!("access_denied"));
        token
            .claims
            .set("error_description", json!("The user said no."));
    }));
    let url = world.begin().unwrap();
    let callback = world.agree(&url);
    let error = world.finish(&callback).unwrap_err();
    assert_eq!(error.code(), "server_error_response");
    let details = error.details().unwrap();
    assert_eq!(details.error.as_deref(), Some("access_denied"));
    assert_eq!(world.net.count(Purpose::Token), 0);
}

#[test]
fn a_response_in_the_clear_or_in_another_place_is_not_taken_for_a_signed_one() {
    for mode in SIGNED {
        let (mut world, callback) = answering(mode);
        let right = ["?", "#", "\n"]
            .into_iter()
            .find(|place| callback.contains(place));
        let right = right.unwrap();
        for place in ["?", "#", "\n"] {
            let clear = format!("https://app.example/cb{place}code=a&state=b");
            assert_eq!(
                code(world.finish(&clear)),
                "response_mode_mismatch",
                "{mode}"
            );
            let error = format!("https://app.example/cb{place}error=access_denied&state=b");
            assert_eq!(
                code(world.finish(&error)),
                "response_mode_mismatch",
                "{mode}"
            );
            if place != right {
                let moved = callback.replacen(right, place, 1);
                assert_eq!(
                    code(world.finish(&moved)),
                    "response_mode_mismatch",
                    "{mode}"
                );
            }
        }
        let beside = format!("{callback}&state=b");
        assert_eq!(
            code(world.finish(&beside)),
            "response_mode_mismatch",
            "{mode}"
        );
        let twice = format!("{callback}&response=e30.e30.AA");
        assert_eq!(
            code_at(world.finish(&twice)),
            ("param_invalid", "response".into())
        );
        assert_eq!(
            code(world.finish("https://app.example/cb")),
            "state_missing"
        );
        assert_eq!(world.net.count(Purpose::Token), 0);
        // The login waits on for its own callback.
        world.finish(&callback).unwrap();
    }
}

#[test]
fn a_signed_response_of_another_kind_of_token_is_typ_mismatch() {
    assert_eq!(
        edited(|token| {
            token.header.set("typ", json!("at+jwt"));
        }),
        ("typ_mismatch", String::new())
    );
    let (mut world, _) = answering("jwt");
    let now = world.net.now;
    let token = world.idp().access_token(now).sign(world.idp().key());
    let other = format!("https://app.example/cb?response={token}");
    assert_eq!(code(world.finish(&other)), "state_missing");
}

#[test]
fn an_algorithm_that_the_provider_rules_out_is_alg_not_allowed() {
    let (mut world, callback) = answering("jwt");
    world.idp().metadata["authorization_signing_alg_values_supported"] = json!(["PS256"]);
    let mut other = World::with(json!({"responseMode": "jwt"}));
    other.idp().metadata["authorization_signing_alg_values_supported"] = json!(["PS256"]);
    let url = other.begin().unwrap();
    let callback_of_other = other.agree(&url);
    assert_eq!(code(other.finish(&callback_of_other)), "alg_not_allowed");
    // It was read before.
    world.finish(&callback).unwrap();
}

#[test]
fn keys_that_cannot_be_had_are_no_verdict() {
    let (mut world, callback) = answering("jwt");
    world
        .idp()
        .always(Purpose::Keys, Reply::none(Unreachable::Network));
    let error = world.finish(&callback).unwrap_err();
    assert_eq!(error.code(), "keys_unavailable");
    assert_eq!(error.phase(), Some(Phase::Keys));
    // Whoever drives the flow gives the login back and tries again.
    assert!(error.retryable());
    assert_eq!(world.net.count(Purpose::Token), 0);
}

/// What comes of a signed response that was changed before it was signed.
#[track_caller]
fn edited(edit: impl Fn(&mut Token) + 'static) -> (&'static str, String) {
    let mut world = World::with(json!({"responseMode": "jwt"}));
    world.idp().edit_authorization = Some(Box::new(edit));
    let url = world.begin().unwrap();
    let callback = world.agree(&url);
    let outcome = code_at(world.finish(&callback));
    assert_eq!(world.net.count(Purpose::Token), 0);
    assert!(world.client.session().is_none());
    outcome
}

#[test]
fn cbk_30_a_signed_response_that_is_not_meant_for_this_sign_in_is_refused() {
    let now = World::new().net.now.seconds();
    let wrong = |name: &'static str, value: serde_json::Value| {
        edited(move |token| {
            token.claims.set(name, value.clone());
        })
    };
    let missing = |name: &'static str| {
        edited(move |token| {
            token.claims.remove(name);
        })
    };
    let none = edited(|token| {
        token.header.set("alg", json!("none"));
    });
    assert_eq!(none.0, "alg_not_allowed");
    assert_eq!(wrong("aud", json!("spa1")).0, "audience_mismatch");
    assert_eq!(wrong("aud", json!(["spa", "spa1"])).0, "audience_mismatch");
    assert_eq!(
        wrong("iss", json!("https://evil.example")).0,
        "issuer_mismatch"
    );
    assert_eq!(wrong("exp", json!(now - 360)).0, "token_expired");
    assert_eq!(missing("aud"), ("claim_missing", "aud".into()));
    assert_eq!(missing("iss"), ("claim_missing", "iss".into()));
    assert_eq!(missing("exp"), ("claim_missing", "exp".into()));
    assert_eq!(missing("state").0, "state_missing");
    assert_eq!(missing("code").0, "code_missing");
    assert_eq!(wrong("code", json!(7)), ("claim_invalid", "code".into()));

    let (mut world, callback) = answering("jwt");
    let (signed, signature) = callback.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { "B" } else { "A" };
    let broken = format!("{signed}.{other}{}", &signature[1..]);
    assert_eq!(code(world.finish(&broken)), "signature_invalid");
    assert_eq!(world.net.count(Purpose::Token), 0);
    for response in [
        "",
        "x",
        "e30.e30.AA",
        "a.b.c.d.e",
        "eyJhbGciOiJFUzI1NiJ9.e30",
    ] {
        let callback = format!("https://app.example/cb?response={response}");
        assert_eq!(
            code(world.finish(&callback)),
            "token_malformed",
            "{response}"
        );
    }
    let long = format!("https://app.example/cb?response={}", "a".repeat(17_000));
    assert_eq!(code(world.finish(&long)), "token_too_large");
}

#[test]
fn cbk_29_a_response_as_a_jwt_that_nobody_asked_for_is_response_mode_mismatch() {
    for mode in ["query", "fragment", "form_post"] {
        let (mut world, callback) = answering(mode);
        for place in ["?", "#", "\n"] {
            let alone = format!("https://app.example/cb{place}response=e30.e30.AA");
            assert_eq!(code(world.finish(&alone)), "response_mode_mismatch");
        }
        let beside = format!("{callback}&response=e30.e30.AA");
        assert_eq!(code(world.finish(&beside)), "response_mode_mismatch");
        assert_eq!(world.net.count(Purpose::Token), 0);
        world.finish(&callback).unwrap();
    }
}
