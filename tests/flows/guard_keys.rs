//! Which keys may check a token, and which must not.

use gatepass::ErrorKind;
use gatepass::flow::{Event, Step};
use gatepass::guard::{BearerToken, Check, Need};
use gatepass::http::Purpose;
use gatepass::jose::JwkSet;
use serde_json::{Value, json};

use crate::support::{GuardWorld, Key, Token, base64url, from_base64url, options};

/// The code for a token that names `k1` and has this algorithm, while the provider publishes these.
fn published(alg: &'static str, keys: &[Value]) -> &'static str {
    let mut world = GuardWorld::new();
    world.idp().keys = vec![Key::new("k1", alg, 1)];
    let token = world.good();
    let idp = world.idp();
    idp.keys.clear();
    idp.odd_keys = keys.to_vec();
    world.code(&token)
}

/// The good key under `k1` with members changed.
fn jwk(alg: &'static str, edit: impl FnOnce(&mut Value)) -> Value {
    let mut jwk = Key::new("k1", alg, 1).jwk();
    edit(&mut jwk);
    jwk
}

/// The code when the only key is the right one, changed.
fn changed(alg: &'static str, edit: impl FnOnce(&mut Value)) -> &'static str {
    published(alg, &[jwk(alg, edit)])
}

/// The code when one member of the right key has another value.
fn member(alg: &'static str, name: &str, value: Value) -> &'static str {
    changed(alg, |jwk| jwk[name] = value)
}

/// The code for a token with another `kid`, and how many key sets were fetched.
fn kid(value: impl ToString) -> (&'static str, usize) {
    let mut world = GuardWorld::new();
    let token = world.edited(|token| {
        token.header.set("kid", value.to_string());
    });
    let code = world.code(&token);
    (code, world.net.count(Purpose::Keys))
}

/// The code for a token without `kid` by the first of these keys.
fn nameless(keys: Vec<Key>) -> (&'static str, usize) {
    let mut world = GuardWorld::new();
    world.idp().keys = keys;
    let token = world.edited(|token| {
        token.header.remove("kid");
    });
    let code = world.code(&token);
    (code, world.net.signature_checks)
}

#[test]
fn the_right_key_is_used() {
    assert_eq!(changed("ES256", |_| {}), "accepted");
    assert_eq!(changed("RS256", |_| {}), "accepted");
    assert_eq!(changed("EdDSA", |_| {}), "accepted");
}

#[test]
fn key_05_a_token_without_kid_uses_the_one_key_that_fits() {
    let es = |seed| Key::new("e", "ES256", seed);
    assert_eq!(nameless(vec![es(1)]), ("accepted", 1));
    assert_eq!(
        nameless(vec![
            es(1),
            Key::new("r", "RS256", 0),
            Key::new("p", "ES384", 1)
        ]),
        ("accepted", 1)
    );
}

// KEY-06, CCH-10.
#[test]
fn key_06_cch_10_a_token_without_kid_may_try_four_keys_and_not_five() {
    let keys = |count: u8| -> Vec<Key> {
        (1..=count)
            .map(|seed| Key::new(&format!("k{seed}"), "ES256", seed))
            .collect()
    };
    let (code, checks) = nameless(keys(4));
    assert_eq!(code, "accepted");
    assert!(checks <= 4);
    assert_eq!(nameless(keys(5)), ("key_ambiguous", 0));
}

#[test]
fn cch_10_a_forged_token_without_kid_costs_four_checks_at_the_most() {
    let mut world = GuardWorld::new();
    world.idp().keys = (1..=4)
        .map(|seed| Key::new("", "ES256", seed).unnamed())
        .collect();
    let mut token = world.token();
    token.header.remove("kid");
    let forged = token.sign(&Key::new("", "ES256", 9));
    assert_eq!(world.code(&forged), "signature_invalid");
    assert_eq!(world.net.signature_checks, 4);
}

#[test]
fn key_06_a_key_that_the_host_refuses_is_one_of_those_that_are_tried() {
    let mut world = GuardWorld::new();
    world.idp().keys = (1..=2)
        .map(|seed| Key::new("", "ES256", seed).unnamed())
        .collect();
    let mut token = world.token();
    token.header.remove("kid");
    let token = token.sign(&Key::new("", "ES256", 1));
    let refused = || Event::CheckFailed(ErrorKind::KeyUnsuitable.into());
    let begin = |world: &mut GuardWorld| {
        let mut flow = Check::new(&world.guard, Ok(BearerToken::new(&token)), &Need::nothing());
        let mut event = Event::Start;
        loop {
            let step = world.net.step(&mut flow, &mut world.guard, event).unwrap();
            event = match step {
                Step::Send(request) => world.net.answer(&request),
                Step::Verify(_) => return flow,
                _ => panic!("a check"),
            };
        }
    };
    let mut flow = begin(&mut world);
    let step = world.net.step(&mut flow, &mut world.guard, refused());
    assert!(matches!(step, Ok(Step::Verify(_))));
    let step = world
        .net
        .step(&mut flow, &mut world.guard, Event::Signature(true));
    assert!(matches!(step, Ok(Step::Done(_))));
    // The last one says why.
    let mut flow = begin(&mut world);
    let _ = world.net.step(&mut flow, &mut world.guard, refused());
    let step = world.net.step(&mut flow, &mut world.guard, refused());
    assert_eq!(step.err().map(|error| error.code()), Some("key_unsuitable"));
}

#[test]
fn key_07_a_token_without_kid_that_no_key_fits_is_key_not_found() {
    let mut world = GuardWorld::new();
    let token = world.edited(|token| {
        token.header.remove("kid");
    });
    world.idp().rotate_to(Key::new("r", "RS256", 0));
    assert_eq!(world.code(&token), "key_not_found");
}

#[test]
fn key_08_a_key_without_a_name_is_not_used_for_a_token_that_names_one() {
    let nameless = jwk("ES256", |jwk| {
        jwk.as_object_mut().unwrap().remove("kid");
    });
    assert_eq!(published("ES256", &[nameless]), "key_not_found");
}

#[test]
fn key_08_another_key_is_not_tried_when_the_named_one_fails() {
    let mut world = GuardWorld::new();
    let (named, signing) = (Key::new("k1", "ES256", 1), Key::new("k2", "ES256", 2));
    world.idp().keys = vec![named, signing.clone()];
    let token = world.token().sign(&signing);
    assert_eq!(world.code(&token), "signature_invalid");
    assert_eq!(world.net.signature_checks, 1);
}

#[test]
fn key_09_two_keys_of_one_name_are_key_ambiguous() {
    let same = [
        Key::new("k1", "ES256", 1).jwk(),
        Key::new("k1", "ES256", 2).jwk(),
    ];
    assert_eq!(published("ES256", &same), "key_ambiguous");
}

#[test]
fn key_10_of_two_keys_of_one_name_the_one_that_fits_is_used() {
    let different = [
        Key::new("k1", "RS256", 0).jwk(),
        Key::new("k1", "ES256", 1).jwk(),
        Key::new("k1", "EdDSA", 1).jwk(),
    ];
    assert_eq!(published("ES256", &different), "accepted");
}

#[test]
fn key_11_a_kid_that_is_no_string_is_token_malformed() {
    for value in ["1", "null", "[\"k1\"]", "{}"] {
        assert_eq!(kid(value), ("token_malformed", 0), "{value}");
    }
}

// KEY-12, KEY-13, KEY-14, KEY-15.
#[test]
fn key_12_13_14_15_a_kid_is_a_name_and_nothing_else() {
    let thumbprint = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";
    for name in [
        "__proto__",
        "constructor",
        "toString",
        "../../../dev/null",
        "' OR 1=1--",
        "; curl https://attacker.example",
        "k1\0",
        "k1\n",
        "K1",
        "k1 ",
        "",
        thumbprint,
    ] {
        assert_eq!(kid(json!(name)), ("key_not_found", 1), "{name:?}");
    }
    // HDR-60 comes first: a header has at most 4 KiB.
    assert_eq!(kid(json!("x".repeat(10_000))), ("token_too_large", 0));
}

#[test]
fn key_14_names_are_not_normalised() {
    let mut world = GuardWorld::new();
    world.idp().rotate_to(Key::new("caf\u{e9}", "ES256", 1));
    let good = world.good();
    assert_eq!(world.code(&good), "accepted");
    let other = world.edited(|token| {
        token.header.set("kid", json!("cafe\u{301}"));
    });
    assert_eq!(world.code(&other), "key_not_found");
}

// KEY-16, KEY-17.
#[test]
fn key_16_17_a_key_of_one_issuer_never_checks_a_token_of_another() {
    let issuers = json!(["https://a.example", "https://b.example"]);
    let mut world = GuardWorld::with(json!({"issuer": issuers}));
    world.net.idps[0].rotate_to(Key::new("k1", "ES256", 1));
    world.net.idps[1].rotate_to(Key::new("k1", "ES256", 2));
    let now = world.net.now;
    for (claimed, signer, expected) in [
        (0, 0, "accepted"),
        (1, 1, "accepted"),
        (0, 1, "signature_invalid"),
        (1, 0, "signature_invalid"),
    ] {
        let token = world.net.idps[claimed].access_token(now);
        let token = token.sign(world.net.idps[signer].key());
        assert_eq!(world.code(&token), expected);
    }
    assert_eq!(world.net.count(Purpose::Keys), 2);
}

// KEY-19, KEY-20.
#[test]
fn key_19_20_a_key_for_something_else_is_key_unsuitable() {
    for operations in [
        json!(["encrypt"]),
        json!(["sign"]),
        json!(["deriveKey"]),
        json!([]),
        json!(["verify", "verify"]),
        json!(["verify", 1]),
        json!("verify"),
        json!(null),
    ] {
        let code = member("ES256", "key_ops", operations.clone());
        assert_eq!(code, "key_unsuitable", "{operations}");
    }
    for purpose in [json!("enc"), json!(1), json!(null), json!("SIG")] {
        assert_eq!(member("ES256", "use", purpose), "key_unsuitable");
    }
}

#[test]
fn key_21_a_key_for_signatures_is_accepted() {
    assert_eq!(member("ES256", "key_ops", json!(["verify"])), "accepted");
    assert_eq!(
        member("ES256", "key_ops", json!(["sign", "verify"])),
        "accepted"
    );
}

// KEY-22, KEY-46.
#[test]
fn key_22_46_an_alg_that_does_not_fit_is_key_unsuitable() {
    for alg in ["RS256", "ES384", "EdDSA", "HS256", "none", "", "es256"] {
        assert_eq!(member("ES256", "alg", json!(alg)), "key_unsuitable");
    }
    assert_eq!(member("EdDSA", "alg", json!("ES256")), "key_unsuitable");
    assert_eq!(member("ES256", "alg", json!(1)), "key_unsuitable");
}

// KEY-23, KEY-24, KEY-25, KEY-26.
#[test]
fn key_23_24_25_26_keys_that_cannot_be_used_do_not_spoil_the_others() {
    let good = jwk("ES256", |_| {});
    for odd in [
        json!({}),
        json!({"kid": "x"}),
        json!({"kty": "FOO", "kid": "x"}),
        json!({"kty": 1}),
        json!({"kty": "oct", "k": "AAAA", "kid": "x"}),
        json!({"kty": "RSA", "n": "!!", "e": "AQAB", "kid": "x"}),
        json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}),
        json!(null),
        json!("text"),
        json!([1]),
    ] {
        let keys = [odd.clone(), good.clone(), odd.clone()];
        assert_eq!(published("ES256", &keys), "accepted", "{odd}");
    }
}

#[test]
fn key_24_a_symmetric_key_under_the_name_is_key_unsuitable() {
    let oct = json!({"kty": "oct", "kid": "k1", "k": base64url([7; 32]), "alg": "HS256"});
    assert_eq!(published("ES256", &[oct]), "key_unsuitable");
}

#[test]
fn key_25_a_key_with_private_members_is_key_unsuitable() {
    for name in ["d", "k", "priv"] {
        assert_eq!(
            member("ES256", name, json!("AA")),
            "key_unsuitable",
            "{name}"
        );
    }
    for name in ["d", "p", "q", "dp", "dq", "qi", "oth"] {
        assert_eq!(
            member("RS256", name, json!("AA")),
            "key_unsuitable",
            "{name}"
        );
    }
}

/// The number of this many bits with the outline of a modulus.
fn modulus(bits: usize) -> Vec<u8> {
    let mut bytes = vec![0xa5; bits.div_ceil(8)];
    bytes[0] = 1 << ((bits - 1) % 8);
    *bytes.last_mut().unwrap() |= 1;
    bytes
}

/// Whether a set with this key and nothing else has a usable key.
fn is_usable(jwk: &Value) -> bool {
    let set = JwkSet::read(&options(&json!({"keys": [jwk]}))).unwrap();
    !set.is_empty()
}

// KEY-27, KEY-29.
#[test]
fn cch_11_key_27_29_rsa_below_2048_and_above_8192_bits_is_key_unsuitable() {
    for bits in [512, 1024, 1536, 2041, 2047, 8193, 16_384] {
        let n = json!(base64url(modulus(bits)));
        assert_eq!(member("RS256", "n", n), "key_unsuitable", "{bits}");
    }
}

#[test]
fn key_28_rsa_from_2048_to_8192_bits_is_usable() {
    for bits in [2048, 2049, 3072, 4096, 8192] {
        let key = json!({"kty": "RSA", "n": base64url(modulus(bits)), "e": "AQAB"});
        assert!(is_usable(&key), "{bits}");
    }
}

#[test]
fn key_30_a_modulus_with_leading_zeros_is_key_unsuitable() {
    let code = changed("RS256", |jwk| {
        let n = from_base64url(jwk["n"].as_str().unwrap());
        jwk["n"] = json!(base64url([vec![0; 4], n].concat()));
    });
    assert_eq!(code, "key_unsuitable");
}

#[test]
fn key_31_a_modulus_that_is_no_modulus_is_key_unsuitable() {
    let even = {
        let mut bytes = modulus(2048);
        *bytes.last_mut().unwrap() &= 0xfe;
        bytes
    };
    for n in [even, vec![0], vec![1], vec![], vec![0; 256]] {
        assert_eq!(member("RS256", "n", json!(base64url(n))), "key_unsuitable");
    }
}

#[test]
fn an_exponent_that_is_small_even_or_endless_is_key_unsuitable() {
    for e in [
        &[][..],
        &[0],
        &[1],
        &[3],
        &[17],
        &[1, 0, 2],
        &[0, 1, 0, 1],
        &[1, 0, 0, 0, 0, 0, 0, 0, 1],
    ] {
        assert_eq!(member("RS256", "e", json!(base64url(e))), "key_unsuitable");
    }
}

#[test]
fn key_35_rsa_numbers_that_are_json_numbers_are_key_unsuitable() {
    assert_eq!(member("RS256", "e", json!(65537)), "key_unsuitable");
    assert_eq!(member("RS256", "n", json!(123)), "key_unsuitable");
}

#[test]
fn key_37_coordinates_of_another_length_are_key_unsuitable() {
    for name in ["x", "y"] {
        for length in [0, 31, 33, 64] {
            let value = json!(base64url(vec![7; length]));
            assert_eq!(member("ES256", name, value), "key_unsuitable");
        }
        assert_eq!(member("ES256", name, json!(null)), "key_unsuitable");
    }
}

#[test]
fn key_38_coordinates_that_are_none_are_key_unsuitable() {
    let prime = "_____wAAAAEAAAAAAAAAAAAAAAD_______________8";
    assert_eq!(member("ES256", "x", json!(prime)), "key_unsuitable");
    assert_eq!(
        member("ES256", "y", json!(base64url([0xff; 32]))),
        "key_unsuitable"
    );
    let infinity = changed("ES256", |jwk| {
        jwk["x"] = json!(base64url([0; 32]));
        jwk["y"] = json!(base64url([0; 32]));
    });
    assert_eq!(infinity, "key_unsuitable");
}

#[test]
fn a_point_off_its_curve_is_key_unsuitable() {
    assert_eq!(
        member("ES256", "x", json!(base64url([7; 32]))),
        "key_unsuitable"
    );
}

// KEY-39, KEY-40.
#[test]
fn key_39_40_other_curves_are_key_unsuitable() {
    for curve in [
        "P-384",
        "P-521",
        "secp256k1",
        "P-224",
        "brainpoolP256r1",
        "p-256",
        "",
    ] {
        assert_eq!(member("ES256", "crv", json!(curve)), "key_unsuitable");
    }
    let code = changed("ES384", |jwk| jwk["crv"] = json!("P-256"));
    assert_eq!(code, "key_unsuitable");
}

// KEY-42, KEY-43.
#[test]
fn key_42_43_other_points_than_ed25519_are_key_unsuitable() {
    assert_eq!(member("EdDSA", "crv", json!("X25519")), "key_unsuitable");
    for length in [0, 31, 33] {
        let x = json!(base64url(vec![9; length]));
        assert_eq!(member("EdDSA", "x", x), "key_unsuitable");
    }
}

/// y coordinates in hexadecimal, least significant byte first.
fn point(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn key_44_points_of_small_order_are_key_unsuitable() {
    // The eight points and their other encodings, as in "Taming the many EdDSAs", table 6a and 6b.
    for hex in [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    ] {
        let x = json!(base64url(point(hex)));
        assert_eq!(member("EdDSA", "x", x), "key_unsuitable", "{hex}");
    }
}

#[test]
fn key_45_a_point_that_is_not_canonical_is_key_unsuitable() {
    for hex in [
        "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    ] {
        let x = json!(base64url(point(hex)));
        assert_eq!(member("EdDSA", "x", x), "key_unsuitable", "{hex}");
    }
}

#[test]
fn key_47_certificates_beside_a_key_are_ignored() {
    assert_eq!(member("ES256", "x5c", json!(["MIIB"])), "accepted");
    assert_eq!(
        member("ES256", "x5u", json!("https://attacker.example")),
        "accepted"
    );
}

#[test]
fn a_key_that_cannot_be_used_is_not_fetched_again_for_its_name() {
    let mut world = GuardWorld::new();
    world.idp().odd_keys = vec![json!({"kty": "oct", "kid": "weak", "k": "AA"})];
    for _ in 0..3 {
        let token = world.edited(|token: &mut Token| {
            token.header.set("kid", json!("weak"));
        });
        assert_eq!(world.code(&token), "key_unsuitable");
    }
    assert_eq!(world.net.count(Purpose::Keys), 1);
}
