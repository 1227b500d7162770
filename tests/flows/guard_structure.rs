//! What is not a signed token: segments, base64url, JSON.

use gatepass::http::Purpose;
use gatepass::http::json;
use gatepass::jose::MAX_TOKEN;
use serde_json::json;

use crate::support::{GuardWorld, Token, base64url, code_at, sign_text};

/// The code for a text in place of a token; nothing is fetched for it.
fn text(token: &str) -> &'static str {
    let mut world = GuardWorld::new();
    let code = world.code(token);
    assert_eq!(world.net.count(Purpose::Keys), 0);
    code
}

/// The code for the good token after a change to its text.
fn changed(change: impl FnOnce(String) -> String) -> &'static str {
    let mut world = GuardWorld::new();
    let token = change(world.good());
    world.code(&token)
}

/// The code for a token whose header and payload text was changed before it was signed.
fn signed_over(change: impl FnOnce(String) -> String) -> &'static str {
    let mut world = GuardWorld::new();
    let input = change(world.token().signing_input());
    let token = sign_text(&input, "ES256", world.net.idps[0].key());
    world.code(&token)
}

/// The code for a signed token with another payload.
fn payload(bytes: impl Into<Vec<u8>>) -> &'static str {
    edited(|token| token.raw_payload = Some(bytes.into()))
}

/// The code for a signed token with another header.
fn header(text: impl Into<Vec<u8>>) -> &'static str {
    edited(|token| token.raw_header = Some(text.into()))
}

fn edited(edit: impl FnOnce(&mut Token)) -> &'static str {
    let mut world = GuardWorld::new();
    let token = world.edited(edit);
    world.code(&token)
}

/// The code for a good token with one more claim, given as a JSON text.
fn extra(value: &str) -> &'static str {
    edited(|token| {
        token.claims.set("x", value);
    })
}

#[test]
fn a_good_token_is_accepted() {
    assert_eq!(changed(|token| token), "accepted");
    assert_eq!(signed_over(|input| input), "accepted");
}

// STR-01, STR-02, STR-03, STR-04, STR-05, STR-06, STR-07, STR-08, STR-09.
#[test]
fn str_01_02_03_04_05_06_07_08_09_other_numbers_of_segments_are_token_malformed() {
    for token in ["", "abc", "h.p", "..", "h..s", ".", "...."] {
        assert_eq!(text(token), "token_malformed", "{token}");
    }
    for tail in [".", ".x", ".a.b"] {
        assert_eq!(changed(|token| token + tail), "token_malformed", "{tail}");
    }
    assert_eq!(changed(|token| format!(".{token}")), "token_malformed");
}

#[test]
fn str_06_an_encrypted_token_is_told_so() {
    let mut world = GuardWorld::new();
    assert_eq!(
        code_at(world.check("eyJhbGciOiJSU0EtT0FFUCJ9.a.b.c.d")),
        ("token_malformed", "jwe_not_accepted".into())
    );
}

#[test]
fn str_10_a_million_dots_are_too_large_and_fewer_are_malformed() {
    assert_eq!(text(&".".repeat(1_000_000)), "token_too_large");
    assert_eq!(text(&".".repeat(MAX_TOKEN)), "token_malformed");
}

// STR-12, STR-14.
#[test]
fn str_12_14_other_serializations_are_token_malformed() {
    let mut world = GuardWorld::new();
    let good = world.good();
    let parts: Vec<_> = good.split('.').collect();
    let flattened = json!({"protected": parts[0], "payload": parts[1], "signature": parts[2]});
    let confused = json!({"x": format!(".{}.", parts[1]), "protected": parts[0]});
    for token in [flattened, confused] {
        assert_eq!(world.code(&token.to_string()), "token_malformed");
    }
    let inside = format!(
        "{{\"  {}\":1, \"x\":\"{}.{}\"}}",
        parts[0], parts[1], parts[2]
    );
    assert_eq!(world.code(&inside), "token_malformed");
}

// STR-15, STR-16, STR-17, STR-18.
#[test]
fn str_15_16_17_18_white_space_is_token_malformed() {
    for change in [" ", "\t"] {
        assert_eq!(
            changed(|token| format!("{change}{token}")),
            "token_malformed"
        );
    }
    for tail in ["\n", "\0", " "] {
        assert_eq!(changed(|token| token + tail), "token_malformed");
    }
    let inner = |mut token: String| {
        token.insert(token.len() - 9, ' ');
        token
    };
    assert_eq!(changed(inner), "token_malformed");
}

#[test]
fn str_19_a_line_end_that_was_signed_is_token_malformed() {
    assert_eq!(
        signed_over(|mut input| {
            input.insert_str(input.len() - 8, "\r\n");
            input
        }),
        "token_malformed"
    );
}

// STR-20, STR-21.
#[test]
fn str_20_21_padding_is_token_malformed() {
    // One of three headers needs none; the others have what they need, and it was signed.
    let mut refused = 0;
    for filler in ["", "1", "12"] {
        let mut world = GuardWorld::new();
        let mut token = world.token();
        token.header.set("x", json!(filler));
        let input = token.signing_input();
        let (header, payload) = input.split_once('.').unwrap();
        let padding = "=".repeat((4 - header.len() % 4) % 4);
        let padded = format!("{header}{padding}.{payload}");
        let signed = sign_text(&padded, "ES256", world.net.idps[0].key());
        match padding.as_str() {
            "" => assert_eq!(world.code(&signed), "accepted"),
            _ => {
                refused += 1;
                assert_eq!(world.code(&signed), "token_malformed");
            }
        }
    }
    assert_eq!(refused, 2);
    assert_eq!(changed(|token| token + "=="), "token_malformed");
}

// STR-22, STR-23.
#[test]
fn str_22_23_the_other_alphabet_is_token_malformed() {
    // A payload whose base64url has both characters of its own alphabet.
    let mut world = GuardWorld::new();
    let mut token = world.token();
    token.claims.set("x", json!("~~~???>>>\u{fb}\u{ff}"));
    let input = token.signing_input();
    assert!(input.contains('-') || input.contains('_'));
    let sign = |input: &str, world: &GuardWorld| sign_text(input, "ES256", world.net.idps[0].key());
    let good = sign(&input, &world);
    assert_eq!(world.code(&good), "accepted");
    let other = sign(&input.replace('-', "+").replace('_', "/"), &world);
    assert_eq!(world.code(&other), "token_malformed");
    let mixed = sign(&input.replacen(['-', '_'], "+", 1), &world);
    assert_eq!(world.code(&mixed), "token_malformed");
}

#[test]
fn str_24_an_impossible_length_is_token_malformed() {
    let cut = |token: String| {
        let (rest, signature) = token.rsplit_once('.').unwrap();
        format!("{rest}.{}", &signature[..signature.len() - 1])
    };
    // 64 bytes are 86 characters; 85 are one too many for 63.
    assert_eq!(changed(cut), "token_malformed");
}

// STR-25, STR-26.
#[test]
fn str_25_26_unused_bits_that_are_set_are_token_malformed() {
    // 64 bytes leave four bits of the last character unused.
    let last = |token: String| {
        let mut token = token;
        let c = token.pop().unwrap();
        assert!(matches!(c, 'A' | 'Q' | 'g' | 'w'));
        token.push(char::from_u32(u32::from(c) + 1).unwrap());
        token
    };
    assert_eq!(changed(last), "token_malformed");
    let payload = |input: String| {
        // A payload of 3n + 1 bytes: two characters for the last byte.
        let (header, payload) = input.split_once('.').unwrap();
        let mut bytes = crate::support::from_base64url(payload);
        while bytes.len() % 3 != 1 {
            bytes.push(b' ');
        }
        let mut payload = base64url(bytes);
        let c = payload.pop().unwrap();
        payload.push(char::from_u32(u32::from(c) + 1).unwrap());
        format!("{header}.{payload}")
    };
    assert_eq!(signed_over(payload), "token_malformed");
}

// STR-27, STR-28, STR-29, STR-30.
#[test]
fn str_27_28_29_30_other_characters_are_token_malformed() {
    for odd in ['!', '?', '\u{fc}', '"', '{', '%', '/'] {
        let insert = |input: String| {
            let mut input = input;
            input.insert(5, odd);
            input
        };
        assert_eq!(signed_over(insert), "token_malformed", "{odd}");
        let insert = |mut token: String| {
            token.insert(token.len() - 3, odd);
            token
        };
        assert_eq!(changed(insert), "token_malformed", "{odd}");
    }
    assert_eq!(
        changed(|token| token.replace('.', "%2E")),
        "token_malformed"
    );
}

// STR-32, HDR-47.
#[test]
fn str_32_hdr_47_an_empty_payload_is_token_malformed() {
    assert_eq!(payload(""), "token_malformed");
}

#[test]
fn str_33_an_empty_signature_is_signature_invalid() {
    let cut = |token: String| format!("{}.", token.rsplit_once('.').unwrap().0);
    assert_eq!(changed(cut), "signature_invalid");
}

/// A good token of exactly this length.
fn of_length(world: &GuardWorld, length: usize) -> String {
    for filler in 0..4 {
        for more in (length * 3 / 4 - 600)..(length * 3 / 4) {
            let mut token = world.token();
            token.header.set("x", json!("x".repeat(filler)));
            token.claims.set("x", json!("x".repeat(more)));
            if token.signing_input().len() + 1 + 86 == length {
                return token.sign(world.net.idps[0].key());
            }
        }
    }
    panic!("no token has this length");
}

// STR-34, STR-35.
#[test]
fn str_34_35_a_token_has_at_most_16_kib() {
    let mut world = GuardWorld::new();
    let longest = of_length(&world, MAX_TOKEN);
    assert_eq!(longest.len(), MAX_TOKEN);
    assert_eq!(world.code(&longest), "accepted");
    let longer = of_length(&world, MAX_TOKEN + 1);
    assert_eq!(world.code(&longer), "token_too_large");
}

// STR-36, STR-37.
#[test]
fn str_36_37_a_token_of_a_mebibyte_is_token_too_large() {
    let edit = |token: &mut Token| {
        token.claims.set("x", json!("x".repeat(1 << 20)));
    };
    assert_eq!(edited(edit), "token_too_large");
    assert_eq!(text(&"a.".repeat(50 << 20)), "token_too_large");
}

// JSN-02, JSN-03, JSN-04.
#[test]
fn jsn_02_03_04_a_header_that_is_no_json_object_is_token_malformed() {
    for text in [
        "null",
        "\"x\"",
        "1",
        "true",
        "[]",
        "",
        "{}{}",
        "{\"alg\":\"ES256\"}x",
        "{\"alg\":\"ES256\",}",
        "{\"alg\":\"ES256\" /* */}",
        "{'alg':'ES256'}",
        "{alg:\"ES256\"}",
        "{\"alg\":\"ES256\"",
    ] {
        assert_eq!(header(text), "token_malformed", "{text}");
    }
}

// JSN-05, JSN-06.
#[test]
fn jsn_05_06_a_payload_that_is_no_json_object_is_token_malformed() {
    for text in ["[]", "null", "\"x\"", "1", "true", "{", "{}{}", "[{}]", " "] {
        assert_eq!(payload(text), "token_malformed", "{text}");
    }
}

// JSN-10, JSN-12.
#[test]
fn jsn_10_12_a_claim_that_stands_twice_is_token_malformed() {
    let twice = |token: &mut Token| {
        token.claims.add("sub", json!("user-2"));
    };
    assert_eq!(edited(twice), "token_malformed");
    assert_eq!(payload(r#"{"sub":"a","\u0073ub":"b"}"#), "token_malformed");
}

// JSN-13, JSN-14.
#[test]
fn jsn_13_14_a_header_name_that_stands_twice_is_token_malformed() {
    for (name, value) in [
        ("alg", json!("ES256")),
        ("kid", json!("k1")),
        ("typ", json!("at+jwt")),
    ] {
        let twice = |token: &mut Token| {
            token.header.add(name, &value);
        };
        assert_eq!(edited(twice), "token_malformed", "{name}");
    }
    assert_eq!(
        header(r#"{"alg":"none","alg":"ES256","kid":"k1","typ":"at+jwt"}"#),
        "token_malformed"
    );
    assert_eq!(
        header(r#"{"alg":"ES256","crit":["b64"],"crit":["b64"]}"#),
        "token_malformed"
    );
}

#[test]
fn jsn_15_a_nested_name_that_stands_twice_is_token_malformed() {
    assert_eq!(extra(r#"{"jkt":"a","jkt":"b"}"#), "token_malformed");
    assert_eq!(extra(r#"{"jkt":"a","Jkt":"b"}"#), "accepted");
}

#[test]
fn jsn_16_proto_is_a_claim_like_others() {
    let mut world = GuardWorld::new();
    let token = world.edited(|token| {
        token.claims.set("__proto__", json!({"admin": true}));
        token.claims.set("constructor", 1);
    });
    let text = world.check(&token).unwrap().to_json();
    assert!(text.contains(r#""__proto__":{"admin":true},"constructor":1"#));
}

// JSN-18, JSN-19, JSN-22.
#[test]
fn jsn_18_19_22_text_that_is_not_utf8_is_token_malformed() {
    for bytes in [
        b"{\"sub\":\"\xff\"}".as_slice(),
        b"{\"sub\":\"\xc0\xaf\"}",
        b"{\"sub\":\"\xed\xa0\x80\"}",
        b"\xef\xbb\xbf{}",
        b"{\0\"\0s\0\"\0:\0\"\0a\0\"\0}\0",
    ] {
        assert_eq!(payload(bytes), "token_malformed");
    }
}

#[test]
fn jsn_21_a_lone_surrogate_is_token_malformed() {
    for value in [
        r#""\ud800""#,
        r#""\udc00""#,
        r#""\ud800\ud800""#,
        r#""\ud83dx""#,
    ] {
        assert_eq!(extra(value), "token_malformed", "{value}");
    }
    assert_eq!(extra(r#""\ud83d\ude00""#), "accepted");
}

#[test]
fn jsn_24_a_nul_in_a_string_is_part_of_it() {
    let with = |name: &'static str, value: &'static str| {
        edited(move |token| {
            token.claims.set(name, value);
        })
    };
    assert_eq!(with("aud", r#""api\u0000""#), "audience_mismatch");
    assert_eq!(with("aud", r#""api\u0000x""#), "audience_mismatch");
    assert_eq!(
        with("iss", r#""https://as.example\u0000""#),
        "issuer_mismatch"
    );
}

// JSN-26, JSN-27, JSN-28.
#[test]
fn jsn_26_27_28_nesting_has_a_limit_of_64() {
    // The claims set itself is one level.
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(extra(&nested(32)), "accepted");
    assert_eq!(extra(&nested(63)), "accepted");
    assert_eq!(extra(&nested(64)), "token_malformed");
    assert_eq!(extra(&nested(5000)), "token_malformed");
    assert_eq!(payload("[".repeat(11_000)), "token_malformed");
    assert_eq!(payload("{\"a\":".repeat(2000)), "token_malformed");
    assert_eq!(extra(&nested(200_000)), "token_too_large");
}

#[test]
fn jsn_29_a_flood_of_members_is_token_too_large() {
    let members: Vec<_> = (0..100_000).map(|index| format!("\"{index}\":0")).collect();
    assert_eq!(
        payload(format!("{{{}}}", members.join(","))),
        "token_too_large"
    );
}

// JSN-31, JSN-34.
#[test]
fn jsn_31_34_numbers_that_are_not_json_or_endless_are_token_malformed() {
    for number in [
        "NaN",
        "Infinity",
        "-Infinity",
        "0x10",
        "01",
        "+1",
        ".5",
        "1.",
        "1e",
        "-",
        "1e400",
    ] {
        assert_eq!(extra(number), "token_malformed", "{number}");
    }
    assert_eq!(extra(&"1".repeat(10_000)), "token_malformed");
}

#[test]
fn jsn_32_numbers_in_every_notation_are_the_same_dates() {
    let seconds = 1_800_000_300_i64;
    for (exp, expected) in [
        ("18000003e2".to_owned(), "accepted"),
        ("1.8000003E+9".to_owned(), "accepted"),
        (format!("{seconds}.0"), "accepted"),
        ("-0".to_owned(), "token_expired"),
        ("0.0".to_owned(), "token_expired"),
        ("1E2".to_owned(), "token_expired"),
    ] {
        let code = edited(|token| {
            token.claims.set("exp", &exp).remove("iat");
            token.claims.set("iat", 0);
        });
        assert_eq!(code, expected, "{exp}");
    }
}

#[test]
fn jsn_33_an_integer_beyond_2_to_53_is_handed_out_as_text() {
    let mut world = GuardWorld::new();
    let token = world.edited(|token| {
        token.claims.set("id", "9007199254740993");
        token.claims.set("small", "9007199254740992");
    });
    let principal = world.check(&token).unwrap();
    let text = principal.to_json();
    assert!(text.contains(r#""id":"9007199254740993","small":9007199254740992"#));
    // Inside nothing was rounded.
    let id = principal.claims().as_object().get("id").unwrap();
    let id = id.as_number().and_then(json::Number::as_integer);
    assert_eq!(id, Some(9_007_199_254_740_993));
}
