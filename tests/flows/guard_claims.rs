//! The claims of an access token, by RFC 9068 section 4.

use serde_json::{Value, json};

use crate::support::{GuardWorld, Members, code, code_at};

const NOW: i64 = 1_800_000_000;

fn claims(edit: impl FnOnce(&mut Members)) -> (&'static str, String) {
    GuardWorld::new().claims(edit)
}

fn claim(name: &str, value: impl ToString) -> (&'static str, String) {
    claims(|claims| {
        claims.set(name, value.to_string());
    })
}

/// The outcome for a guard with this clock tolerance.
fn tolerant(seconds: u32, edit: impl FnOnce(&mut Members)) -> &'static str {
    GuardWorld::with(json!({"clockTolerance": seconds}))
        .claims(edit)
        .0
}

#[track_caller]
fn malformed(name: &str, values: &[&str]) {
    for value in values {
        assert_eq!(
            claim(name, value),
            ("claim_invalid", name.into()),
            "{name}: {value}"
        );
    }
}

#[test]
fn a_good_token_gives_its_principal() {
    let mut world = GuardWorld::new();
    let token = world.good();
    let principal = world.check(&token).unwrap();
    assert_eq!(principal.subject(), Some("user-1"));
    assert_eq!(principal.issuer(), "https://as.example");
    assert_eq!(principal.client_id(), Some("spa"));
    assert_eq!(principal.audience(), ["api"]);
    assert_eq!(principal.scopes(), ["read", "write"]);
    assert_eq!(principal.expires_at().unwrap().seconds(), NOW + 300);
    let text: Value = serde_json::from_str(&principal.to_json()).unwrap();
    assert_eq!(text["subject"], "user-1");
    assert_eq!(text["expiresAt"], NOW + 300);
    assert_eq!(text["claims"]["jti"], "t-1");
}

#[test]
fn every_claim_of_rfc_9068_is_required() {
    for name in ["iss", "aud", "exp", "sub", "client_id", "iat", "jti"] {
        let result = claims(|claims| {
            claims.remove(name);
        });
        assert_eq!(result, ("claim_missing", name.into()));
    }
}

#[test]
fn every_text_claim_is_a_string_that_says_something() {
    for name in ["iss", "sub", "client_id", "jti"] {
        malformed(name, &["null", "1", "true", "{}", "[\"x\"]", "\"\""]);
    }
}

#[test]
fn clm_03_an_exp_of_another_type_is_claim_invalid() {
    malformed("exp", &["null", "true", "[]", "{}", "\"1900000000\""]);
}

#[test]
fn clm_04_an_exp_of_zero_is_token_expired() {
    let zero = claims(|claims| {
        claims.set("exp", 0).set("iat", 0);
    });
    assert_eq!(zero.0, "token_expired");
}

// CLM-07, CLM-16.
#[test]
fn clm_07_16_a_date_beyond_a_double_is_token_malformed() {
    for name in ["exp", "nbf", "iat"] {
        assert_eq!(claim(name, "1e400"), ("token_malformed", "payload".into()));
    }
}

#[test]
fn clm_08_a_date_after_the_year_9999_is_claim_invalid() {
    for name in ["exp", "nbf", "iat"] {
        malformed(
            name,
            &[
                "1e300",
                "9007199254740993",
                "1.7e20",
                "253402300800",
                "-1",
                "-0.5",
            ],
        );
    }
    assert_eq!(claim("exp", "253402300799").0, "accepted");
}

#[test]
fn clm_09_a_date_may_have_a_fraction() {
    assert_eq!(claim("exp", format!("{}.5", NOW + 600)).0, "accepted");
    let just_over = |exp: String| {
        tolerant(0, |claims| {
            claims.set("exp", exp);
        })
    };
    assert_eq!(just_over(format!("{NOW}.5")), "accepted");
    assert_eq!(just_over(format!("{}.5", NOW - 1)), "token_expired");
}

// CLM-10, CLM-11, CLM-12.
#[test]
fn clm_10_11_12_the_current_time_is_before_exp() {
    let ends = |tolerance: u32, exp: i64| {
        tolerant(tolerance, |claims| {
            claims.set("exp", exp).set("iat", NOW - 600);
        })
    };
    assert_eq!(ends(0, NOW), "token_expired");
    assert_eq!(ends(0, NOW + 1), "accepted");
    assert_eq!(ends(30, NOW - 29), "accepted");
    assert_eq!(ends(30, NOW - 30), "token_expired");
    assert_eq!(ends(30, NOW - 31), "token_expired");
    assert_eq!(ends(300, NOW - 299), "accepted");
}

// CLM-13, CLM-14.
#[test]
fn clm_13_14_an_nbf_of_another_type_is_claim_invalid() {
    malformed(
        "nbf",
        &["\"1900000000\"", "null", "{}", "\"abc\"", "[]", "false"],
    );
}

// CLM-15, CLM-17.
#[test]
fn clm_15_17_the_current_time_is_not_before_nbf() {
    let begins = |nbf: i64| {
        claims(|claims| {
            claims.set("nbf", nbf);
        })
        .0
    };
    assert_eq!(begins(NOW + 31), "token_not_active");
    assert_eq!(begins(NOW + 30), "accepted");
    assert_eq!(begins(NOW + 29), "accepted");
    assert_eq!(begins(0), "accepted");
}

// CLM-18, CLM-23.
#[test]
fn clm_18_23_a_token_does_not_begin_after_its_end() {
    for name in ["nbf", "iat"] {
        assert_eq!(claim(name, NOW + 301), ("claim_invalid", name.into()));
    }
}

#[test]
fn clm_19_an_iat_of_another_type_is_claim_invalid() {
    malformed("iat", &["\"1800000000\"", "{}", "null", "[]"]);
}

#[test]
fn clm_20_an_iat_in_the_future_is_issued_in_future() {
    assert_eq!(claim("iat", NOW + 31).0, "issued_in_future");
    assert_eq!(claim("iat", NOW + 30).0, "accepted");
}

#[test]
fn clm_25_the_tolerance_is_a_number_up_to_300() {
    use gatepass::guard::Guard;
    for tolerance in [
        json!(301),
        json!(-1),
        json!("60"),
        json!(null),
        json!(1e300),
        json!(true),
    ] {
        let given = json!({
            "issuer": "https://as.example", "audience": "api", "clockTolerance": tolerance,
        });
        let result = Guard::from_options(&crate::support::options(&given));
        assert_eq!(
            code_at(result),
            ("config_invalid", "clockTolerance".into()),
            "{tolerance}"
        );
    }
}

// CLM-27, CLM-28, CLM-29.
#[test]
fn clm_27_28_29_an_issuer_is_compared_letter_by_letter() {
    for iss in [
        "https://other.example",
        "https://as.example/",
        "https://AS.example",
        "https://as.example:443",
        "https://%61s.example",
        "https://xn--as-.example",
        "https://as.example ",
    ] {
        let mut world = GuardWorld::new();
        let result = world.claims(|claims| {
            claims.set("iss", json!(iss));
        });
        assert_eq!(result.0, "issuer_mismatch", "{iss}");
        assert!(world.net.sent.is_empty());
    }
}

#[test]
fn clm_28_a_configured_slash_is_needed() {
    let mut world = GuardWorld::with(json!({"issuer": "https://as.example/"}));
    let token = world.good();
    assert_eq!(world.code(&token), "accepted");
    let without = world.claims(|claims| {
        claims.set("iss", json!("https://as.example"));
    });
    assert_eq!(without.0, "issuer_mismatch");
}

// CLM-35, CLM-36.
#[test]
fn clm_35_36_the_audience_is_a_string_or_stands_in_an_array() {
    for aud in [json!("api"), json!(["api"]), json!(["other", "api"])] {
        assert_eq!(claim("aud", &aud).0, "accepted", "{aud}");
    }
}

#[test]
fn clm_37_another_audience_is_audience_mismatch() {
    for aud in [
        json!("other"),
        json!(["other"]),
        json!([]),
        json!(""),
        json!("API"),
    ] {
        assert_eq!(claim("aud", &aud).0, "audience_mismatch", "{aud}");
    }
}

// CLM-38, CLM-39.
#[test]
fn clm_38_39_an_audience_of_another_type_is_claim_invalid() {
    malformed(
        "aud",
        &[
            "[[\"api\"]]",
            "{\"api\":1}",
            "1",
            "null",
            "[\"api\",1]",
            "[null,\"api\"]",
        ],
    );
}

#[test]
fn an_api_may_have_several_names() {
    let mut world = GuardWorld::with(json!({"audience": ["api", "https://api.example/"]}));
    for aud in ["api", "https://api.example/"] {
        let result = world.claims(|claims| {
            claims.set("aud", json!(aud));
        });
        assert_eq!(result.0, "accepted");
    }
    let result = world.claims(|claims| {
        claims.set("aud", json!("https://api.example"));
    });
    assert_eq!(result.0, "audience_mismatch");
}

#[test]
fn clm_44_a_long_sub_is_accepted() {
    assert_eq!(claim("sub", json!("x".repeat(300))).0, "accepted");
}

#[test]
fn clm_50_scopes_are_split_at_single_spaces() {
    let mut world = GuardWorld::new();
    let mut scopes = |scope: &str| {
        let token = world.edited(|token| {
            token.claims.set("scope", json!(scope));
        });
        world.check(&token).unwrap().scopes().to_vec()
    };
    assert_eq!(scopes("a  b"), ["a", "b"]);
    assert_eq!(scopes(" a "), ["a"]);
    assert_eq!(scopes("a\tb"), ["a\tb"]);
    assert_eq!(scopes("a\u{a0}b"), ["a\u{a0}b"]);
    assert!(scopes("").is_empty());
}

#[test]
fn a_scope_of_another_type_is_claim_invalid() {
    malformed("scope", &["null", "1", "[\"read\"]", "{}"]);
}

#[test]
fn a_token_without_scope_has_none() {
    let mut world = GuardWorld::new();
    let token = world.edited(|token| {
        token.claims.remove("scope");
    });
    assert!(world.check(&token).unwrap().scopes().is_empty());
}

#[test]
fn sig_25_claims_are_not_judged_before_the_signature() {
    // Expired, for another audience and forged: only the forgery is told.
    let mut world = GuardWorld::new();
    let mut token = world.token();
    token.claims.set("exp", 0).set("aud", json!("other"));
    let forged = token.with_signature([9; 64]);
    let error = world.check(&forged).unwrap_err();
    assert_eq!(error.code(), "signature_invalid");
    assert_eq!(error.at(), "");
}

#[test]
fn a_token_that_was_good_ends() {
    let mut world = GuardWorld::new();
    let token = world.good();
    assert_eq!(code(world.check(&token)), "accepted");
    world.net.pass(330);
    assert_eq!(code(world.check(&token)), "token_expired");
}
