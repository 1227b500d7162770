//! What the header of an access token may say.

use gatepass::guard::Guard;
use gatepass::http::Purpose;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{GuardWorld, Key, Token, base64url, code, code_at, from_base64url, options};

/// The code and place for a token whose header was changed before it was signed.
fn header(edit: impl FnOnce(&mut Token)) -> (&'static str, String) {
    let mut world = GuardWorld::new();
    let token = world.edited(edit);
    code_at(world.check(&token))
}

/// The same for one member with a JSON text.
fn member(name: &str, value: impl ToString) -> (&'static str, String) {
    header(|token| {
        token.header.set(name, value.to_string());
    })
}

// HDR-01, HDR-02.
#[test]
fn hdr_01_02_none_is_alg_not_allowed_with_and_without_signature() {
    let mut world = GuardWorld::new();
    let mut token = world.token();
    token.header.set("alg", json!("none"));
    assert_eq!(world.code(&token.with_signature("")), "alg_not_allowed");
    let signature = from_base64url(world.good().rsplit('.').next().unwrap());
    assert_eq!(
        world.code(&token.with_signature(signature)),
        "alg_not_allowed"
    );
    assert_eq!(world.net.count(Purpose::Keys), 0);
}

// HDR-03, HDR-07.
#[test]
fn hdr_03_07_names_are_compared_letter_by_letter() {
    for alg in [
        "None", "NONE", "nOnE", "noNe", "es256", "ES256 ", "", "ES256K", "HS256",
    ] {
        assert_eq!(member("alg", json!(alg)).0, "alg_not_allowed", "{alg}");
    }
}

#[test]
fn hdr_05_a_missing_alg_is_token_malformed() {
    let result = header(|token| {
        token.header.remove("alg");
    });
    assert_eq!(result, ("token_malformed", "alg".into()));
    for value in ["1", "null", "[\"ES256\"]"] {
        assert_eq!(member("alg", value), ("token_malformed", "alg".into()));
    }
}

#[test]
fn hdr_09_an_algorithm_that_is_not_on_the_list_is_alg_not_allowed() {
    let mut world = GuardWorld::with(json!({"algorithms": ["RS256"]}));
    let token = world.good();
    assert_eq!(world.code(&token), "alg_not_allowed");
    assert_eq!(world.net.count(Purpose::Keys), 0);
    let mut world = GuardWorld::with(json!({"algorithms": ["RS256", "ES256"]}));
    let token = world.good();
    assert_eq!(world.code(&token), "accepted");
}

// HDR-10, HDR-11, HDR-12.
#[test]
fn hdr_10_11_12_a_list_that_is_empty_or_names_none_or_hmac_is_config_invalid() {
    for list in [
        json!([]),
        json!(["none"]),
        json!(["RS256", "none"]),
        json!(["RS256", "HS256"]),
        json!(["rs256"]),
        json!("HS512"),
    ] {
        let given = json!({"issuer": "https://as.example", "audience": "api", "algorithms": list});
        assert_eq!(
            code_at(Guard::from_options(&options(&given))),
            ("config_invalid", "algorithms".into()),
            "{list}"
        );
    }
}

/// HMAC with SHA-256 (RFC 2104), with which no guard with key sets checks anything.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0; 64];
    if key.len() > 64 {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let pad = |byte: u8| block.map(|b| b ^ byte);
    let inner = Sha256::digest([&pad(0x36), message].concat());
    Sha256::digest([pad(0x5c).as_slice(), &inner].concat()).to_vec()
}

#[test]
fn the_hmac_of_these_tests_is_that_of_rfc_4231() {
    // Test case 2.
    let mac = hmac(b"Jefe", b"what do ya want for nothing?");
    assert_eq!(mac[..4], [0x5b, 0xdc, 0xc1, 0x46]);
}

// HDR-13, HDR-14, HDR-15, HDR-16, HDR-17.
#[test]
fn hdr_13_14_15_16_17_hmac_with_the_public_key_as_its_secret_is_alg_not_allowed() {
    let mut world = GuardWorld::new();
    let key = Key::new("k1", "RS256", 0);
    world.idp().rotate_to(key.clone());
    let jwk = key.jwk();
    let modulus = from_base64url(jwk["n"].as_str().unwrap());
    // RSAPublicKey and SubjectPublicKeyInfo of a modulus of 2048 bits.
    let pkcs1 = [
        [0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01, 0x00].as_slice(),
        &modulus,
        &[0x02, 0x03, 0x01, 0x00, 0x01],
    ]
    .concat();
    let spki = [
        [
            0x30, 0x82, 0x01, 0x22, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d,
            0x01, 0x01, 0x01, 0x05, 0x00, 0x03, 0x82, 0x01, 0x0f, 0x00,
        ]
        .as_slice(),
        &pkcs1,
    ]
    .concat();
    let pem = {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(&spki);
        let lines: Vec<_> = text.as_bytes().chunks(64).collect();
        let body = lines.join(b"\n".as_slice());
        [
            b"-----BEGIN PUBLIC KEY-----\n".as_slice(),
            &body,
            b"\n-----END PUBLIC KEY-----\n",
        ]
        .concat()
    };
    let text = String::from_utf8(pem).unwrap();
    let jwks = world.idp().jwks();
    let secrets: Vec<Vec<u8>> = vec![
        text.clone().into_bytes(),
        text.trim().into(),
        format!("\n{text}").into_bytes(),
        text.replace('\n', "\r\n").into_bytes(),
        format!("\u{200b}{text}").into_bytes(),
        spki,
        pkcs1,
        modulus,
        jwk.to_string().into_bytes(),
        jwks.to_string().into_bytes(),
        jwks["keys"].to_string().into_bytes(),
        Vec::new(),
    ];
    let mut token = world.token();
    token.header.set("alg", json!("HS256"));
    for secret in secrets {
        let signature = hmac(&secret, token.signing_input().as_bytes());
        let token = token.with_signature(signature);
        assert_eq!(world.code(&token), "alg_not_allowed");
    }
    assert_eq!(world.net.signature_checks, 0);
}

/// The code for a token of one algorithm while the key of its name is published as this.
fn with_key(alg: &'static str, published: Value) -> &'static str {
    let mut world = GuardWorld::new();
    let key = Key::new("k1", alg, 1);
    world.idp().keys = vec![key];
    let token = world.good();
    let idp = world.idp();
    idp.keys.clear();
    idp.odd_keys = vec![published];
    world.code(&token)
}

// HDR-20, HDR-22, HDR-23.
#[test]
fn hdr_20_22_23_a_key_of_another_algorithm_is_key_unsuitable() {
    let named = |alg| Key::new("k1", alg, 1).jwk();
    assert_eq!(with_key("PS256", named("RS256")), "key_unsuitable");
    assert_eq!(with_key("RS256", named("RS512")), "key_unsuitable");
    assert_eq!(with_key("ES256", named("ES384")), "key_unsuitable");
    assert_eq!(with_key("ES256", named("RS256")), "key_unsuitable");
    assert_eq!(with_key("ES256", named("EdDSA")), "key_unsuitable");
    assert_eq!(with_key("ES256", named("ES256")), "accepted");
}

#[test]
fn hdr_24_a_key_without_alg_fits_what_its_type_fits() {
    let bare = |alg| {
        let mut jwk = Key::new("k1", alg, 1).bare_jwk();
        jwk["kid"] = json!("k1");
        jwk
    };
    for alg in ["RS256", "RS512", "PS256", "PS384"] {
        assert_eq!(with_key(alg, bare("RS256")), "accepted", "{alg}");
    }
    assert_eq!(with_key("ES384", bare("ES384")), "accepted");
    assert_eq!(with_key("ES384", bare("ES256")), "key_unsuitable");
    assert_eq!(with_key("RS256", bare("ES256")), "key_unsuitable");
}

#[test]
fn hdr_21_a_signature_of_another_padding_is_signature_invalid() {
    let mut world = GuardWorld::new();
    let key = Key::new("k1", "RS256", 0);
    world.idp().rotate_to(key.clone());
    let token = world.token();
    let pss = key.sign("PS256", token.signing_input().as_bytes());
    assert_eq!(world.code(&token.with_signature(pss)), "signature_invalid");
    let good = world.good();
    assert_eq!(world.code(&good), "accepted");
}

// HDR-26, HDR-27.
#[test]
fn hdr_26_27_both_names_of_ed25519_are_accepted() {
    for (alg, published) in [
        ("EdDSA", "EdDSA"),
        ("Ed25519", "Ed25519"),
        ("EdDSA", "Ed25519"),
        ("Ed25519", "EdDSA"),
    ] {
        let jwk = Key::new("k1", published, 1).jwk();
        assert_eq!(with_key(alg, jwk), "accepted", "{alg} {published}");
    }
}

#[test]
fn hdr_28_ed448_is_not_supported() {
    assert_eq!(member("alg", json!("Ed448")).0, "alg_not_allowed");
    let jwk = json!({"kty": "OKP", "crv": "Ed448", "kid": "k1", "x": base64url([7; 57])});
    assert_eq!(with_key("EdDSA", jwk), "key_unsuitable");
}

// HDR-29, HDR-30, SIG-27.
#[test]
fn hdr_29_30_sig_27_ml_dsa_is_not_supported() {
    for alg in ["ML-DSA-44", "ML-DSA-65", "ML-DSA-87"] {
        assert_eq!(member("alg", json!(alg)).0, "alg_not_allowed");
    }
    let jwk = json!({"kty": "AKP", "kid": "k1", "pub": "AAAA"});
    assert_eq!(with_key("ES256", jwk), "key_unsuitable");
}

/// The code for a token of an attacker who points to a key, and how many requests were made.
fn injected(edit: impl FnOnce(&mut Token, &Key)) -> (&'static str, usize) {
    let mut world = GuardWorld::new();
    let attacker = Key::new("k1", "ES256", 66);
    let mut token = world.token();
    edit(&mut token, &attacker);
    let code = world.code(&token.sign(&attacker));
    // The driver panics for any request that does not go to the provider.
    (code, world.net.sent.len())
}

// HDR-31, HDR-32.
#[test]
fn hdr_31_32_an_embedded_key_is_ignored() {
    let expected = ("signature_invalid", 2);
    assert_eq!(
        injected(|token, key| {
            token.header.set("jwk", key.jwk());
        }),
        expected
    );
    assert_eq!(
        injected(|token, key| {
            token.header.set("jwk", key.jwk()).remove("kid");
        }),
        expected
    );
}

// HDR-33, HDR-34, NET-39.
#[test]
fn hdr_33_34_net_39_urls_and_certificates_in_the_header_are_ignored() {
    for (name, value) in [
        ("jku", json!("https://attacker.example/jwks")),
        ("x5u", json!("https://attacker.example/x5u")),
        ("x5c", json!(["MIIB"])),
        ("x5t", json!("AAAA")),
        ("x5t#S256", json!("AAAA")),
        ("jku", json!("file:///etc/passwd")),
    ] {
        let outcome = injected(|token, _| {
            token.header.set(name, value);
        });
        assert_eq!(outcome, ("signature_invalid", 2), "{name}");
    }
}

#[test]
fn a_good_token_that_names_a_url_is_accepted_without_asking_there() {
    let mut world = GuardWorld::new();
    let token = world.edited(|token| {
        token
            .header
            .set("jku", json!("https://attacker.example/jwks"));
    });
    assert_eq!(world.code(&token), "accepted");
    assert_eq!(world.net.sent.len(), 2);
}

// HDR-35, HDR-37, HDR-38, HDR-39, HDR-40, HDR-41, HDR-42, HDR-43, HDR-44, HDR-45.
#[test]
fn hdr_35_37_38_39_40_41_42_43_44_45_every_crit_is_crit_unsupported() {
    let names: Vec<_> = (0..500).map(|index| format!("{index}")).collect();
    for crit in [
        json!(["x-unknown"]),
        json!([]),
        json!("exp"),
        json!({}),
        json!(1),
        json!(null),
        json!(["alg"]),
        json!(["kid"]),
        json!(["typ"]),
        json!(["x", "x"]),
        json!([1]),
        json!(["b64"]),
        json!(names),
    ] {
        let result = header(|token| {
            token.header.set("x-unknown", 1).set("crit", &crit);
        });
        assert_eq!(result.0, "crit_unsupported", "{crit}");
    }
    for b64 in [true, false] {
        let result = header(|token| {
            token.header.set("crit", json!(["b64"])).set("b64", b64);
        });
        assert_eq!(result.0, "crit_unsupported");
    }
}

#[test]
fn hdr_42_ten_thousand_critical_names_are_too_large() {
    let names: Vec<_> = (0..10_000).map(|index| format!("{index}")).collect();
    assert_eq!(member("crit", json!(names)).0, "token_too_large");
}

// HDR-46, HDR-58.
#[test]
fn hdr_46_58_other_forms_of_payload_are_token_malformed() {
    for (name, value) in [
        ("b64", json!(false)),
        ("b64", json!(true)),
        ("cty", json!("JWT")),
        ("zip", json!("DEF")),
    ] {
        assert_eq!(member(name, value), ("token_malformed", name.into()));
    }
}

#[test]
fn hdr_43_an_unencoded_payload_is_refused() {
    let mut world = GuardWorld::new();
    let mut token = world.token();
    token.header.set("crit", json!(["b64"])).set("b64", false);
    let header = base64url(token.header.to_string());
    let input = format!("{header}.{}", token.claims);
    let token = crate::support::sign_text(&input, "ES256", world.net.idps[0].key());
    assert_eq!(code(world.check(&token)), "token_malformed");
    let input = format!("{header}.$02");
    let token = crate::support::sign_text(&input, "ES256", world.net.idps[0].key());
    assert_eq!(code(world.check(&token)), "crit_unsupported");
}

#[test]
fn hdr_49_another_typ_is_typ_mismatch() {
    for typ in [
        "JWT",
        "",
        "id+jwt",
        "dpop+jwt",
        "at+jwt ",
        "application/",
        "jwt/at+jwt",
    ] {
        let mut world = GuardWorld::new();
        let token = world.edited(|token| {
            token.header.set("typ", json!(typ));
        });
        assert_eq!(world.code(&token), "typ_mismatch", "{typ}");
        assert_eq!(world.net.sent.len(), 0);
    }
    let absent = header(|token| {
        token.header.remove("typ");
    });
    assert_eq!(absent.0, "typ_mismatch");
}

#[test]
fn hdr_51_typ_is_compared_without_case_and_prefix() {
    for typ in [
        "at+jwt",
        "AT+JWT",
        "application/at+jwt",
        "Application/At+Jwt",
    ] {
        assert_eq!(member("typ", json!(typ)).0, "accepted", "{typ}");
    }
}

#[test]
fn hdr_53_a_typ_of_another_type_is_token_malformed() {
    for value in ["1", "null", "[\"at+jwt\"]"] {
        assert_eq!(member("typ", value), ("token_malformed", "typ".into()));
    }
}

#[test]
fn hdr_59_an_unknown_member_is_ignored() {
    assert_eq!(member("x-other", json!({"y": [1]})).0, "accepted");
}

#[test]
fn hdr_60_a_header_beyond_4_kib_is_token_too_large() {
    assert_eq!(
        member("x", json!("x".repeat(3100))),
        ("token_too_large", "header".into())
    );
    assert_eq!(member("x", json!("x".repeat(2900))).0, "accepted");
}
