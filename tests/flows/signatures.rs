//! Signatures that are not what RFC 7518 describes. The vectors are in `tests/vectors.rs`.

use std::sync::Arc;

use gatepass::jose::{Algorithms, MAX_TOKEN, Unverified, VerificationKey, rust_crypto};

use crate::support::{GuardWorld, Key, base64url, code, from_base64url, options};

/// A world whose provider signs with this algorithm, and the signature of a good token.
fn world(alg: &'static str) -> (GuardWorld, Vec<u8>) {
    let mut world = GuardWorld::new();
    world.idp().rotate_to(Key::new("k1", alg, 1));
    let signature = from_base64url(world.good().rsplit('.').next().unwrap());
    (world, signature)
}

/// The code for the good token with a signature made of its own.
fn changed(alg: &'static str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> &'static str {
    let (mut world, signature) = world(alg);
    let token = world.token().with_signature(change(signature));
    world.code(&token)
}

/// The order of P-256, most significant byte first.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6,
    0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// `left - right`, most significant byte first.
fn minus(left: [u8; 32], right: &[u8]) -> Vec<u8> {
    let mut difference = vec![0; 32];
    let mut borrow = 0;
    for index in (0..32).rev() {
        let value = i16::from(left[index]) - i16::from(right[index]) - borrow;
        borrow = i16::from(value < 0);
        difference[index] = u8::try_from(value.rem_euclid(256)).unwrap();
    }
    difference
}

#[test]
fn every_algorithm_checks_its_own_signatures() {
    for alg in [
        "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
        "Ed25519",
    ] {
        assert_eq!(changed(alg, |signature| signature), "accepted", "{alg}");
    }
}

#[test]
fn one_bit_that_is_changed_is_signature_invalid() {
    for alg in ["RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"] {
        for place in [0, 1, 40, 63] {
            let flip = |mut signature: Vec<u8>| {
                signature[place] ^= 1;
                signature
            };
            assert_eq!(changed(alg, flip), "signature_invalid", "{alg} {place}");
        }
    }
}

#[test]
fn sig_26_another_header_or_payload_under_the_same_signature_is_signature_invalid() {
    let (mut world, signature) = world("ES256");
    assert_eq!(
        world.code(&world.token().with_signature(&signature)),
        "accepted"
    );
    let mut token = world.token();
    token.claims.set("scope", "\"admin\"");
    assert_eq!(
        world.code(&token.with_signature(&signature)),
        "signature_invalid"
    );
    let mut token = world.token();
    token.header.set("x", 1);
    assert_eq!(
        world.code(&token.with_signature(&signature)),
        "signature_invalid"
    );
}

// SIG-01, SIG-02, SIG-03.
#[test]
fn sig_01_02_03_numbers_out_of_range_are_signature_invalid() {
    let numbers = [
        vec![0; 32],
        {
            let mut one = vec![0; 32];
            one[31] = 1;
            one
        },
        minus(ORDER, &{
            let mut one = [0; 32];
            one[31] = 1;
            one
        }),
        ORDER.to_vec(),
        vec![0xff; 32],
    ];
    for r in &numbers {
        for s in &numbers {
            let signature = [r.as_slice(), s].concat();
            assert_eq!(changed("ES256", |_| signature), "signature_invalid");
        }
    }
}

#[test]
fn sig_04_a_der_signature_is_signature_invalid() {
    let der = |signature: Vec<u8>| {
        let integer = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            if bytes[0] >= 0x80 {
                bytes.insert(0, 0);
            }
            [&[2, u8::try_from(bytes.len()).unwrap()], bytes.as_slice()].concat()
        };
        let body = [integer(&signature[..32]), integer(&signature[32..])].concat();
        [&[0x30, u8::try_from(body.len()).unwrap()], body.as_slice()].concat()
    };
    assert_eq!(changed("ES256", der), "signature_invalid");
}

// SIG-05, SIG-08, SIG-21.
#[test]
fn sig_05_08_21_signatures_of_another_length_are_signature_invalid() {
    for (alg, lengths) in [
        ("ES256", [0, 63, 65, 128]),
        ("ES384", [0, 95, 97, 64]),
        ("ES512", [0, 131, 133, 128]),
        ("EdDSA", [0, 63, 65, 32]),
        ("RS256", [0, 255, 257, 64]),
        ("PS256", [0, 255, 257, 128]),
    ] {
        for length in lengths {
            let resize = |mut signature: Vec<u8>| {
                signature.resize(length, 0);
                signature
            };
            let (mut world, signature) = world(alg);
            let token = world.token().with_signature(resize(signature));
            assert_eq!(world.code(&token), "signature_invalid", "{alg} {length}");
            // Nobody was asked to do arithmetic with it.
            assert_eq!(world.net.signature_checks, 0);
        }
    }
}

#[test]
fn sig_06_swapped_halves_are_signature_invalid() {
    let swap = |signature: Vec<u8>| [&signature[32..], &signature[..32]].concat();
    assert_eq!(changed("ES256", swap), "signature_invalid");
}

#[test]
fn sig_07_both_forms_of_s_are_accepted() {
    // One of S and n - S is the "high" one; RFC 7518 asks for neither.
    let other = |signature: Vec<u8>| [&signature[..32], &minus(ORDER, &signature[32..])].concat();
    assert_eq!(changed("ES256", other), "accepted");
}

#[test]
fn sig_15_an_rsa_signature_that_is_not_reduced_is_signature_invalid() {
    assert_eq!(changed("RS256", |_| vec![0xff; 256]), "signature_invalid");
    assert_eq!(changed("PS256", |_| vec![0xff; 256]), "signature_invalid");
    assert_eq!(changed("RS256", |_| vec![0; 256]), "signature_invalid");
}

#[test]
fn sig_17_a_salt_of_another_length_is_signature_invalid() {
    let (mut world, _) = world("PS256");
    for (salt, expected) in [
        (32, "accepted"),
        (0, "signature_invalid"),
        (20, "signature_invalid"),
        (31, "signature_invalid"),
        (222, "signature_invalid"),
    ] {
        let token = world.token();
        let key = world.idp().key().clone();
        let signature = key.sign_pss(token.signing_input().as_bytes(), salt);
        assert_eq!(
            world.code(&token.with_signature(signature)),
            expected,
            "{salt}"
        );
    }
}

#[test]
fn sig_20_an_s_beyond_the_order_is_signature_invalid() {
    // L = 2^252 + 27742317777372353535851937790883648493, least significant byte first.
    let order = from_base64url("7dP1XBpjEljWnPei3vneFAAAAAAAAAAAAAAAAAAAABA");
    let more = |mut signature: Vec<u8>| {
        let mut carry = 0_u16;
        for (byte, add) in signature[32..].iter_mut().zip(order) {
            let sum = u16::from(*byte) + u16::from(add) + carry;
            *byte = u8::try_from(sum & 0xff).unwrap();
            carry = sum >> 8;
        }
        assert_eq!(carry, 0);
        signature
    };
    assert_eq!(changed("EdDSA", more), "signature_invalid");
}

#[test]
fn a_signature_of_another_token_is_signature_invalid() {
    let (mut world, _) = world("ES256");
    let other = world.edited(|token| {
        token.claims.set("sub", "\"user-2\"");
    });
    let signature = other.rsplit('.').next().unwrap().to_owned();
    let token = format!("{}.{signature}", world.token().signing_input());
    assert_ne!(base64url([0; 64]), signature);
    assert_eq!(world.code(&token), "signature_invalid");
}

/// A good token taken apart, and a key as it was published.
fn taken_apart(published: &Key) -> (Unverified, Arc<VerificationKey>) {
    let world = GuardWorld::new();
    let token = Unverified::parse(&world.good(), MAX_TOKEN, &Algorithms::all()).unwrap();
    let key = VerificationKey::read(&options(&published.jwk())).unwrap();
    (token, Arc::new(key))
}

#[test]
fn without_a_yes_there_are_no_claims() {
    let key = Key::new("k1", "ES256", 7);
    let (token, _) = taken_apart(&key);
    assert_eq!(code(token.verified(false)), "signature_invalid");
    let (token, known) = taken_apart(&key);
    let fits = rust_crypto::verify(&token.check(&known).unwrap());
    assert!(token.verified(fits).is_ok());
}

#[test]
fn hdr_25_a_question_is_asked_only_of_a_key_that_fits() {
    for alg in ["ES384", "RS256", "EdDSA"] {
        let (token, known) = taken_apart(&Key::new("k1", alg, 1));
        assert_eq!(code(token.check(&known)), "key_unsuitable", "{alg}");
    }
}
