//! The ID token, by the numbered steps of OpenID Connect Core section 3.1.3.7.

use gatepass::client::{IdToken, IdTokenChecks};
use gatepass::error::Phase;
use gatepass::http::Purpose;
use gatepass::jose::{Algorithms, JwkSet, MAX_TOKEN, Selection, Unverified, rust_crypto};
use gatepass::time::Lifetime;
use serde_json::{Value, json};

use crate::support::{Idp, Key, Members, Token, World, code, code_at, options, start_time};

const NOW: i64 = 1_800_000_000;

/// The outcome of a sign-in whose ID token has other claims.
fn claims(edit: impl Fn(&mut Members) + 'static) -> (&'static str, String) {
    token(move |token| edit(&mut token.claims))
}

/// The outcome of a sign-in whose ID token was changed before it was signed.
fn token(edit: impl Fn(&mut Token) + 'static) -> (&'static str, String) {
    let mut world = World::new();
    let result = world.sign_in_with_id_token(edit);
    if let Err(error) = &result {
        assert_eq!(error.phase(), Some(Phase::IdToken));
        assert!(world.client.session().is_none());
    }
    code_at(result)
}

/// The outcome with one claim set to a JSON text.
fn claim(name: &'static str, value: impl ToString) -> (&'static str, String) {
    let value = value.to_string();
    claims(move |claims| {
        claims.set(name, &value);
    })
}

/// The outcome without one claim.
fn without(name: &'static str) -> (&'static str, String) {
    claims(move |claims| {
        claims.remove(name);
    })
}

/// Claims of a wrong type are malformed: that is neither absent nor wrong.
fn malformed(name: &'static str, values: &[&'static str]) {
    for value in values {
        assert_eq!(
            claim(name, value),
            ("claim_invalid", name.into()),
            "{name}: {value}"
        );
    }
}

#[test]
fn a_good_token_tells_what_was_checked_and_who_signed_in() {
    let mut world = World::new();
    let signed_in = world.sign_in().unwrap();
    assert_eq!(
        signed_in.id_token_checked,
        [
            "signature ES256",
            "iss",
            "aud",
            "exp",
            "iat",
            "nonce",
            "at_hash",
            "sub"
        ]
    );
    let user = world.client.session().unwrap().user().unwrap();
    assert_eq!(user.string("sub").unwrap(), Some("user-1"));
    assert_eq!(world.net.signature_checks, 1);
}

// 1. Encryption.

#[test]
fn oid_37_an_encrypted_token_is_token_malformed() {
    let mut world = World::new();
    world.idp().raw_id_token = Some("eyJhbGciOiJkaXIifQ.a.b.c.d".into());
    assert_eq!(
        code_at(world.sign_in()),
        ("token_malformed", "jwe_not_accepted".into())
    );
}

// 2. The issuer.

// OID-16, CLM-26.
#[test]
fn oid_16_clm_26_a_missing_iss_is_claim_missing() {
    assert_eq!(without("iss"), ("claim_missing", "iss".into()));
}

// CLM-27, CLM-28, CLM-29.
#[test]
fn clm_27_28_29_another_iss_is_issuer_mismatch() {
    for iss in [
        "https://as.example1",
        "https://as.example/",
        "https://AS.example",
        "https://as.example:443",
        "https://%61s.example",
        "https://evil.example",
    ] {
        assert_eq!(claim("iss", json!(iss)).0, "issuer_mismatch", "{iss}");
    }
}

#[test]
fn clm_31_an_iss_of_another_type_is_claim_invalid() {
    malformed(
        "iss",
        &["null", "1", "{}", "[\"https://as.example\"]", "\"\""],
    );
}

// 3. The audience.

#[test]
fn clm_36_an_audience_in_an_array_is_accepted() {
    assert_eq!(claim("aud", json!(["spa"])).0, "accepted");
}

#[test]
fn oid_16_a_missing_aud_is_claim_missing() {
    assert_eq!(without("aud"), ("claim_missing", "aud".into()));
}

#[test]
fn clm_37_another_audience_is_audience_mismatch() {
    for aud in [
        json!("spa1"),
        json!(["other"]),
        json!([]),
        json!("SPA"),
        json!(""),
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
            "null",
            "1",
            "{\"spa\":1}",
            "[[\"spa\"]]",
            "[\"spa\",1]",
            "[\"spa\",null]",
        ],
    );
}

#[test]
fn oid_02_an_audience_beside_ours_that_is_not_trusted_is_audience_mismatch() {
    let edit = |claims: &mut Members| {
        claims.set("aud", json!(["spa", "spa1"]));
    };
    assert_eq!(claims(edit).0, "audience_mismatch");
    let with_azp = |claims: &mut Members| {
        claims
            .set("aud", json!(["spa", "spa1"]))
            .set("azp", json!("spa"));
    };
    assert_eq!(claims(with_azp).0, "audience_mismatch");
}

/// The outcome for a client that trusts the audience `other`, with this `azp`.
fn two_audiences(azp: Option<&'static str>) -> &'static str {
    let mut world = World::with(json!({"trustedAudiences": ["other"]}));
    code(world.sign_in_with_id_token(move |token| {
        token.claims.set("aud", json!(["spa", "other"]));
        if let Some(azp) = azp {
            token.claims.set("azp", json!(azp));
        }
    }))
}

#[test]
fn oid_01_a_trusted_audience_beside_ours_is_accepted_with_azp() {
    assert_eq!(two_audiences(Some("spa")), "accepted");
}

// 4. and 5. The authorized party.

#[test]
fn oid_03_a_missing_azp_beside_several_audiences_is_azp_mismatch() {
    assert_eq!(two_audiences(None), "azp_mismatch");
}

#[test]
fn an_azp_of_another_client_is_azp_mismatch() {
    assert_eq!(two_audiences(Some("other")), "azp_mismatch");
    assert_eq!(claim("azp", json!("other")).0, "azp_mismatch");
    assert_eq!(claim("azp", json!("")).0, "azp_mismatch");
}

#[test]
fn an_azp_of_ours_is_accepted_and_one_of_another_type_claim_invalid() {
    assert_eq!(claim("azp", json!("spa")).0, "accepted");
    malformed("azp", &["null", "1", "[\"spa\"]"]);
}

// 6. The signature, although the token came over TLS.

#[test]
fn oid_12_a_damaged_signature_is_signature_invalid() {
    for alg in ["ES256", "RS256"] {
        let mut world = World::new();
        world.idp().rotate_to(Key::new("k1", alg, 1));
        let idp = Idp::with_key("https://as.example", Key::new("k1", alg, 1));
        let mut bytes = crate::support::from_base64url(
            idp.access_token(start_time())
                .sign(idp.key())
                .rsplit('.')
                .next()
                .unwrap(),
        );
        bytes[10] ^= 1;
        world.idp().edit_response = Some(Box::new(move |response| {
            let token = response.text("id_token").unwrap();
            let signed = token.rsplit_once('.').unwrap().0;
            let damaged = format!("{signed}.{}", crate::support::base64url(&bytes));
            response.set("id_token", json!(damaged));
        }));
        assert_eq!(code(world.sign_in()), "signature_invalid", "{alg}");
        assert_eq!(world.net.signature_checks, 1);
    }
}

#[test]
fn a_token_of_another_key_of_the_same_name_is_signature_invalid() {
    let mut world = World::new();
    // The provider publishes one key and signs with another.
    world.idp().always(
        Purpose::Keys,
        crate::support::Reply::json(json!({"keys": [Key::new("k1", "ES256", 99).jwk()]})),
    );
    assert_eq!(code(world.sign_in()), "signature_invalid");
}

// 7. and 8. The algorithm.

#[test]
fn every_asymmetric_algorithm_is_accepted_by_default() {
    for alg in [
        "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
        "Ed25519",
    ] {
        let mut world = World::new();
        world.idp().rotate_to(Key::new("k1", alg, 2));
        let signed_in = world.sign_in().unwrap();
        assert_eq!(signed_in.id_token_checked[0], format!("signature {alg}"));
    }
}

#[test]
fn none_and_hmac_are_alg_not_allowed() {
    for alg in ["none", "None", "HS256", "HS512", "rs256"] {
        let result = token(move |token| {
            token.header.set("alg", json!(alg));
        });
        assert_eq!(result.0, "alg_not_allowed", "{alg}");
    }
}

#[test]
fn an_algorithm_that_the_provider_does_not_name_is_alg_not_allowed() {
    let mut world = World::new();
    world.idp().metadata["id_token_signing_alg_values_supported"] = json!(["RS256", "none"]);
    assert_eq!(code(world.sign_in()), "alg_not_allowed");
    let mut world = World::new();
    world.idp().metadata["id_token_signing_alg_values_supported"] = json!(["RS256", "ES256"]);
    assert_eq!(code(world.sign_in()), "accepted");
}

#[test]
fn a_provider_that_names_no_usable_algorithm_is_metadata_invalid() {
    for list in [json!(["none", "HS256"]), json!([])] {
        let mut world = World::new();
        world.idp().metadata["id_token_signing_alg_values_supported"] = list;
        assert_eq!(
            code_at(world.sign_in()),
            (
                "metadata_invalid",
                "id_token_signing_alg_values_supported".into()
            )
        );
    }
}

// The key.

#[test]
fn key_05_one_key_without_a_name_is_used_for_a_token_without_one() {
    let mut world = World::new();
    let key = Key::new("", "RS256", 0).unnamed();
    world.idp().rotate_to(key);
    assert_eq!(code(world.sign_in()), "accepted");
}

#[test]
fn key_06_several_keys_without_a_name_are_key_ambiguous() {
    let mut world = World::new();
    let idp = world.idp();
    idp.keys = vec![
        Key::new("", "RS256", 0).unnamed(),
        Key::new("", "RS256", 1).unnamed(),
    ];
    assert_eq!(code(world.sign_in()), "key_ambiguous");
    assert_eq!(world.net.signature_checks, 0);
}

#[test]
fn keys_that_were_rotated_between_two_sign_ins_are_fetched_once() {
    let mut world = World::new();
    world.sign_in().unwrap();
    world.idp().rotate_to(Key::new("k2", "ES256", 8));
    assert_eq!(code(world.sign_in()), "accepted");
    assert_eq!(world.net.count(Purpose::Keys), 2);
}

// 9. and 10. The time.

// OID-16, CLM-01.
#[test]
fn oid_16_clm_01_a_missing_exp_is_claim_missing() {
    assert_eq!(without("exp"), ("claim_missing", "exp".into()));
}

// OID-16, CLM-12.
#[test]
fn oid_16_clm_12_an_expired_token_is_token_expired() {
    for exp in [NOW - 30, NOW - 360, 0] {
        let result = claims(move |claims| {
            claims.set("exp", exp).set("iat", exp - 10).remove("nbf");
            if exp == 0 {
                claims.set("iat", 0);
            }
        });
        assert_eq!(result.0, "token_expired", "{exp}");
    }
}

#[test]
fn clm_11_an_end_within_the_tolerance_is_accepted() {
    let result = claims(|claims| {
        claims.set("exp", NOW - 29).set("iat", NOW - 300);
    });
    assert_eq!(result.0, "accepted");
}

#[test]
fn clm_10_without_tolerance_the_end_itself_is_too_late() {
    let at_end = |exp: i64| {
        let mut world = World::with(json!({"clockTolerance": 0}));
        code(world.sign_in_with_id_token(move |token| {
            token.claims.set("exp", exp).set("iat", NOW - 300);
        }))
    };
    assert_eq!(at_end(NOW), "token_expired");
    assert_eq!(at_end(NOW + 1), "accepted");
}

// CLM-03, CLM-08.
#[test]
fn clm_03_08_an_exp_that_is_no_date_is_claim_invalid() {
    malformed(
        "exp",
        &[
            "null",
            "true",
            "[]",
            "{}",
            "\"1900000000\"",
            "1e300",
            "9007199254740993",
            "1.7e20",
            "253402300800",
            "-1",
        ],
    );
}

#[test]
fn clm_07_an_exp_beyond_a_double_is_token_malformed() {
    assert_eq!(claim("exp", "1e400"), ("token_malformed", "payload".into()));
}

#[test]
fn oid_15_a_missing_iat_is_claim_missing() {
    assert_eq!(without("iat"), ("claim_missing", "iat".into()));
}

#[test]
fn clm_19_an_iat_of_another_type_is_claim_invalid() {
    malformed("iat", &["\"1800000000\"", "{}", "null", "-1"]);
}

#[test]
fn clm_20_an_iat_in_the_future_is_issued_in_future() {
    assert_eq!(claim("iat", NOW + 31).0, "issued_in_future");
    assert_eq!(claim("iat", NOW + 30).0, "accepted");
}

#[test]
fn clm_23_an_iat_behind_exp_is_claim_invalid() {
    assert_eq!(claim("iat", NOW + 301), ("claim_invalid", "iat".into()));
}

// CLM-13, CLM-14.
#[test]
fn clm_13_14_an_nbf_of_another_type_is_claim_invalid() {
    malformed("nbf", &["\"1900000000\"", "null", "{}", "\"abc\""]);
}

// CLM-15, CLM-17.
#[test]
fn clm_15_17_an_nbf_in_the_future_is_token_not_active() {
    assert_eq!(claim("nbf", NOW + 31).0, "token_not_active");
    assert_eq!(claim("nbf", NOW + 29).0, "accepted");
}

// 11. The nonce.

#[test]
fn oid_05_nonce_missing_in_the_token_is_nonce_mismatch() {
    assert_eq!(without("nonce").0, "nonce_mismatch");
}

#[test]
fn oid_06_another_nonce_is_nonce_mismatch() {
    for nonce in ["", "x", "n1"] {
        assert_eq!(claim("nonce", json!(nonce)).0, "nonce_mismatch");
    }
    let longer = claims(|claims| {
        let nonce = claims.text("nonce").unwrap();
        claims.set("nonce", json!(nonce + "1"));
    });
    assert_eq!(longer.0, "nonce_mismatch");
}

#[test]
fn a_nonce_of_another_type_is_claim_invalid() {
    malformed("nonce", &["null", "1", "[]"]);
}

#[test]
fn oid_08_a_nonce_of_an_earlier_sign_in_is_nonce_mismatch() {
    let mut world = World::new();
    world.sign_in().unwrap();
    let old = world.client.session().unwrap().user().unwrap();
    let old = old.string("nonce").unwrap().unwrap().to_owned();
    let result = world.sign_in_with_id_token(move |token| {
        token.claims.set("nonce", json!(old));
    });
    assert_eq!(code(result), "nonce_mismatch");
}

#[test]
fn oid_07_a_nonce_that_was_not_sent_is_nonce_mismatch() {
    // A sign-in with openid always sends one, so this asks the check itself.
    assert_eq!(checked_alone("nonce", Some("n"), None), "nonce_mismatch");
    assert_eq!(checked_alone("nonce", None, None), "accepted");
}

/// The check itself, of a token with one more claim that was issued without nonce, beside this access
/// token.
fn checked_alone(name: &str, value: Option<&str>, access_token: Option<&str>) -> &'static str {
    let key = Key::new("k1", "ES256", 7);
    let mut token = Token::by(&key, "JWT");
    token
        .claims
        .set("iss", json!("https://as.example"))
        .set("aud", json!("spa"))
        .set("sub", json!("user-1"))
        .set("iat", NOW)
        .set("exp", NOW + 300);
    if let Some(value) = value {
        token.claims.set(name, json!(value));
    }
    let token = Unverified::parse(&token.sign(&key), MAX_TOKEN, &Algorithms::all()).unwrap();
    let set = JwkSet::read(&options(&json!({"keys": [key.jwk()]}))).unwrap();
    let Ok(Selection::One(known)) = set.select(token.header()) else {
        panic!("no key");
    };
    let fits = rust_crypto::verify(&token.check(&known).unwrap());
    let expected = IdTokenChecks {
        issuer: "https://as.example",
        client_id: "spa",
        trusted_audiences: &[],
        nonce: None,
        max_age: None,
        acr: &[],
        subject: None,
        code: None,
        state: None,
        access_token,
        clock_tolerance: Lifetime::from_seconds(0),
        now: start_time(),
    };
    code(IdToken::check(token.verified(fits).unwrap(), &expected))
}

#[test]
fn oid_18_a_hash_of_an_access_token_that_is_not_there_is_hash_mismatch() {
    let hash = crate::support::at_hash("ES256", "access");
    let of = |access_token| checked_alone("at_hash", Some(&hash), access_token);
    assert_eq!(of(None), "hash_mismatch");
    assert_eq!(of(Some("other")), "hash_mismatch");
    assert_eq!(of(Some("access")), "accepted");
    assert_eq!(checked_alone("at_hash", None, None), "accepted");
}

// 12. and 13. The login itself.

/// The outcome of a sign-in with this `max_age` and `auth_time`.
fn auth_time(max_age: Option<u32>, auth_time: Option<String>) -> (&'static str, String) {
    let mut world = World::new();
    world.idp().edit_id_token = Some(Box::new(move |token| {
        match &auth_time {
            Some(value) => token.claims.set("auth_time", value),
            None => token.claims.remove("auth_time"),
        };
    }));
    let given = match max_age {
        Some(max_age) => json!({"maxAge": max_age}),
        None => json!({}),
    };
    let url = world.begin_with(given).unwrap();
    let callback = world.agree(&url);
    let result = world.finish(&callback);
    if let Ok(signed_in) = &result {
        let is_checked = signed_in.id_token_checked.contains(&"auth_time");
        assert_eq!(is_checked, max_age.is_some());
    }
    code_at(result)
}

#[test]
fn oid_24_a_login_older_than_max_age_is_auth_too_old() {
    let ago = |seconds: i64| Some((NOW - seconds).to_string());
    assert_eq!(auth_time(Some(60), ago(91)).0, "auth_too_old");
    assert_eq!(auth_time(Some(60), ago(90)).0, "accepted");
    assert_eq!(auth_time(None, ago(1_000_000)).0, "accepted");
}

#[test]
fn oid_25_a_max_age_of_zero_is_a_value() {
    let ago = |seconds: i64| Some((NOW - seconds).to_string());
    assert_eq!(auth_time(Some(0), ago(31)).0, "auth_too_old");
    assert_eq!(auth_time(Some(0), ago(0)).0, "accepted");
}

#[test]
fn a_missing_auth_time_with_max_age_is_claim_missing() {
    assert_eq!(
        auth_time(Some(60), None),
        ("claim_missing", "auth_time".into())
    );
    assert_eq!(auth_time(None, None).0, "accepted");
}

#[test]
fn oid_26_an_auth_time_that_cannot_be_is_claim_invalid() {
    let future = (NOW + 31).to_string();
    for max_age in [None, Some(60)] {
        for value in [future.as_str(), "\"1800000000\"", "-1", "null", "[]"] {
            assert_eq!(
                auth_time(max_age, Some(value.into())),
                ("claim_invalid", "auth_time".into()),
                "{value}"
            );
        }
    }
}

// 3.1.3.8. The access token.

#[test]
fn a_missing_at_hash_is_accepted_in_the_code_flow() {
    assert_eq!(without("at_hash").0, "accepted");
}

#[test]
fn another_at_hash_is_hash_mismatch() {
    let longer = claims(|claims| {
        let hash = claims.text("at_hash").unwrap();
        claims.set("at_hash", json!(hash + "1"));
    });
    assert_eq!(longer.0, "hash_mismatch");
    for hash in ["", "AAAAAAAAAAAAAAAAAAAAAA"] {
        assert_eq!(claim("at_hash", json!(hash)).0, "hash_mismatch");
    }
    malformed("at_hash", &["null", "1", "[]"]);
}

#[test]
fn an_access_token_of_someone_else_is_hash_mismatch() {
    let mut world = World::new();
    world.idp().edit_response = Some(Box::new(|response| {
        response.set("access_token", json!("access-of-someone-else"));
    }));
    assert_eq!(code(world.sign_in()), "hash_mismatch");
}

#[test]
fn oid_20_the_hash_follows_the_algorithm() {
    // The provider of the tests follows it; here it uses SHA-256 whatever the algorithm.
    for (alg, expected) in [
        ("RS256", "accepted"),
        ("ES256", "accepted"),
        ("ES384", "hash_mismatch"),
        ("RS512", "hash_mismatch"),
        ("EdDSA", "hash_mismatch"),
    ] {
        let mut world = World::new();
        world.idp().rotate_to(Key::new("k1", alg, 2));
        world.idp().edit_response = Some(Box::new(move |response| {
            let key = Key::new("k1", alg, 2);
            let access_token = response.text("access_token").unwrap();
            let old = response.text("id_token").unwrap();
            let payload = old.split('.').nth(1).unwrap();
            let mut claims: Value =
                serde_json::from_slice(&crate::support::from_base64url(payload)).unwrap();
            claims["at_hash"] = json!(sha256_half(&access_token));
            let mut token = Token::by(&key, "JWT");
            token.raw_payload = Some(claims.to_string().into_bytes());
            response.set("id_token", json!(token.sign(&key)));
        }));
        assert_eq!(code(world.sign_in()), expected, "{alg}");
    }
}

fn sha256_half(text: &str) -> String {
    use sha2::{Digest as _, Sha256};
    crate::support::base64url(&Sha256::digest(text.as_bytes())[..16])
}

// 2. The subject.

#[test]
fn oid_14_a_missing_sub_is_claim_missing() {
    assert_eq!(without("sub"), ("claim_missing", "sub".into()));
}

#[test]
fn a_sub_of_another_type_or_length_is_claim_invalid() {
    malformed(
        "sub",
        &["null", "1", "[\"user-1\"]", "\"\"", "\"us\u{e9}r\""],
    );
    // CLM-44: at most 255 ASCII characters in an ID token.
    let long = json!("x".repeat(256)).to_string();
    assert_eq!(claim("sub", long), ("claim_invalid", "sub".into()));
    assert_eq!(claim("sub", json!("x".repeat(255))).0, "accepted");
}

// What the header says of the kind of token.

#[test]
fn hdr_55_an_access_token_is_typ_mismatch() {
    for typ in ["at+jwt", "application/at+jwt", "AT+JWT"] {
        let result = token(move |token| {
            token.header.set("typ", json!(typ));
        });
        assert_eq!(result.0, "typ_mismatch", "{typ}");
    }
}

#[test]
fn hdr_56_a_logout_token_is_no_id_token() {
    let logout = |typ: Option<&'static str>| {
        token(move |token| {
            match typ {
                Some(typ) => token.header.set("typ", json!(typ)),
                None => token.header.remove("typ"),
            };
            token.claims.remove("nonce").set(
                "events",
                json!({"http://schemas.openid.net/event/backchannel-logout": {}}),
            );
        })
        .0
    };
    assert_eq!(logout(Some("logout+jwt")), "typ_mismatch");
    assert_eq!(logout(None), "nonce_mismatch");
}

#[test]
fn a_typ_of_jwt_or_none_is_accepted() {
    for typ in ["JWT", "jwt", "application/jwt"] {
        let result = token(move |token| {
            token.header.set("typ", json!(typ));
        });
        assert_eq!(result.0, "accepted", "{typ}");
    }
    let absent = token(|token| {
        token.header.remove("typ");
    });
    assert_eq!(absent.0, "accepted");
}

// Its size.

#[test]
fn oid_38_an_id_token_may_have_64_kib() {
    let filled = |length: usize| {
        claims(move |claims| {
            claims.set("groups", json!("x".repeat(length)));
        })
        .0
    };
    // Base64url makes four characters of three.
    assert_eq!(filled(48_000), "accepted");
    // Beyond that the token response is refused already.
    assert_eq!(token_of_70_kib(), ("response_malformed", "id_token".into()));
}

fn token_of_70_kib() -> (&'static str, String) {
    let mut world = World::new();
    code_at(world.sign_in_with_id_token(|token| {
        token.claims.set("groups", json!("x".repeat(52_000)));
    }))
}

#[test]
fn jsn_10_a_claim_that_stands_twice_is_token_malformed() {
    let twice = claims(|claims| {
        claims.add("sub", json!("user-2"));
    });
    assert_eq!(twice, ("token_malformed", "payload".into()));
}
