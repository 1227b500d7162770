//! Other people's vectors: Wycheproof for signatures and keys, JSONTestSuite for JSON.
//!
//! They stand in the folder that `GATEPASS_VECTORS` names, else in `../shared/vectors`. Where
//! there is neither, a test says that it is skipped. Where this crate decides otherwise than a
//! file, the case stands in a list here with its reason, and a test proves that it still does.

#![cfg(all(not(target_arch = "wasm32"), feature = "rust-crypto"))]
// Clippy allows these in tests; here the helpers of tests are functions of their own.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gatepass::http::json;
use gatepass::jose::{
    Algorithm, Algorithms, Compact, Header, JwkSet, MAX_TOKEN, Selection, SignatureCheck,
    VerificationKey, rust_crypto,
};
use gatepass::{Error, ErrorKind};
use serde_json::Value;

/// The place of a vector file; none when there are no vectors here at all.
fn place(name: &str) -> Option<PathBuf> {
    let folder = match std::env::var_os("GATEPASS_VECTORS") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors"),
    };
    if folder.is_dir() {
        return Some(folder.join(name));
    }
    eprintln!(
        "skipped: {name} (no vectors in {}; set GATEPASS_VECTORS)",
        folder.display()
    );
    None
}

/// A file of Wycheproof. A file that is missing from a folder that is there is a failure.
fn wycheproof(name: &str) -> Option<Value> {
    let path = place(&format!("wycheproof/{name}"))?;
    let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Some(serde_json::from_slice(&text).unwrap())
}

/// The groups of a file, and each test with its group.
fn tests(file: &Value) -> Vec<(&Value, &Value)> {
    let groups = file["testGroups"].as_array().unwrap();
    let tests: Vec<_> = groups
        .iter()
        .flat_map(|group| {
            let tests = group["tests"].as_array().unwrap();
            tests.iter().map(move |test| (group, test))
        })
        .collect();
    assert_eq!(file["numberOfTests"], tests.len());
    tests
}

fn hex(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap();
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn object(value: &Value) -> json::Object {
    json::read_object(value.to_string().as_bytes(), 1 << 20).unwrap()
}

/// The key of a group of raw signatures. A few groups of ECDSA have only its numbers.
fn key_of(group: &Value) -> Value {
    let given = ["publicKeyJwk", "keyJwk"];
    if let Some(jwk) = given.iter().find_map(|name| group.get(*name)) {
        return jwk.clone();
    }
    let key = &group["publicKey"];
    let curve = match key["curve"].as_str().unwrap() {
        "secp256r1" => "P-256",
        "secp384r1" => "P-384",
        "secp521r1" => "P-521",
        other => panic!("{other} is no curve of JWA"),
    };
    // The uncompressed point has its coordinates at full length.
    let point = hex(&key["uncompressed"]);
    let (x, y) = point[1..].split_at(point.len() / 2);
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    serde_json::json!({"kty": "EC", "crv": curve, "x": text(x), "y": text(y)})
}

/// Whether this crate takes the raw signature of a test: key policy, length, arithmetic.
fn takes(group: &Value, test: &Value, algorithm: Algorithm) -> bool {
    let Some(key) = VerificationKey::read(&object(&key_of(group))) else {
        return false;
    };
    SignatureCheck::new(
        algorithm,
        &Arc::new(key),
        &hex(&test["msg"]),
        &hex(&test["sig"]),
    )
    .is_ok_and(|check| rust_crypto::verify(&check))
}

/// Compares all decisions of a file of raw signatures with ours.
///
/// What a file calls acceptable is refused: it has one such case, a DigestInfo without the NULL
/// that RFC 8017 appendix B.1 asks for.
fn signatures(name: &str, algorithm: Algorithm, count: usize) {
    let Some(file) = wycheproof(name) else {
        return;
    };
    let tests = tests(&file);
    assert_eq!(tests.len(), count);
    let mut valid = 0;
    let mut otherwise = Vec::new();
    for (group, test) in tests {
        let expected = test["result"] == "valid";
        valid += usize::from(expected);
        if takes(group, test, algorithm) != expected {
            otherwise.push(test["tcId"].as_u64().unwrap());
        }
    }
    assert!(valid > 0);
    // Every exception is still needed, and there is no other.
    assert_eq!(otherwise, exceptions(name), "{name}");
}

#[test]
fn sig_09_es256() {
    let name = "ecdsa_secp256r1_sha256_p1363_test.json";
    signatures(name, Algorithm::Es256, 262);
}

#[test]
fn sig_10_es384() {
    let name = "ecdsa_secp384r1_sha384_p1363_test.json";
    signatures(name, Algorithm::Es384, 280);
}

#[test]
fn sig_11_es512() {
    let name = "ecdsa_secp521r1_sha512_p1363_test.json";
    signatures(name, Algorithm::Es512, 318);
}

#[test]
fn sig_12_rs256() {
    signatures(RS256, Algorithm::Rs256, 259);
}

#[test]
fn sig_12_rs384() {
    signatures("rsa_signature_3072_sha384_test.json", Algorithm::Rs384, 259);
}

#[test]
fn sig_12_rs512() {
    signatures("rsa_signature_4096_sha512_test.json", Algorithm::Rs512, 259);
}

#[test]
fn sig_16_ps256() {
    let name = "rsa_pss_2048_sha256_mgf1_32_test.json";
    signatures(name, Algorithm::Ps256, 108);
}

#[test]
fn sig_16_ps384() {
    let name = "rsa_pss_2048_sha384_mgf1_48_test.json";
    signatures(name, Algorithm::Ps384, 141);
}

#[test]
fn sig_16_ps512() {
    let name = "rsa_pss_4096_sha512_mgf1_64_test.json";
    signatures(name, Algorithm::Ps512, 179);
}

#[test]
fn sig_19_ed25519() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Ed25519] {
        signatures("ed25519_test.json", algorithm, 151);
    }
}

/// Checks a token whose payload is any text, by the steps that a claims set would take.
fn check_token(token: &str, keys: &Value) -> Result<(), Error> {
    let compact = Compact::parse(token, MAX_TOKEN)?;
    let header = Header::read(&compact, &Algorithms::all())?;
    let (_, signature) = compact.decode()?;
    let key = match JwkSet::read(&object(keys))?.select(&header)? {
        Selection::One(key) => key,
        Selection::None => return Err(ErrorKind::KeyNotFound.into()),
        Selection::Several(_) => return Err(ErrorKind::KeyAmbiguous.into()),
    };
    let signed = token.rsplit_once('.').unwrap().0;
    let check = SignatureCheck::new(header.algorithm(), &key, signed.as_bytes(), &signature)?;
    if rust_crypto::verify(&check) {
        Ok(())
    } else {
        Err(ErrorKind::SignatureInvalid.into())
    }
}

/// The key or keys of a group as a set. Groups of HMAC keys have them under `private`.
fn key_set(group: &Value) -> Value {
    let key = group
        .get("public")
        .or_else(|| group.get("private"))
        .unwrap();
    match key.get("keys") {
        Some(_) => key.clone(),
        None => serde_json::json!({"keys": [key]}),
    }
}

/// Whether a group is about HMAC, which this crate does not know.
fn is_hmac(group: &Value) -> bool {
    let set = key_set(group);
    let keys = set["keys"].as_array().unwrap();
    keys.iter().all(|key| key["kty"] == "oct")
}

/// Cases where this crate decides otherwise than Wycheproof: file, case, why.
const EXCEPTIONS: &[(&str, u64, &str)] = &[
    (
        JWS,
        346,
        "a key for PS256 made a PS384 signature: one key, one algorithm (RFC 8725 3.1)",
    ),
    (JWS, 350, "as 346, the key with key_ops"),
    (
        JWS,
        347,
        "the key's alg is ES521, which is no registered name",
    ),
    (JWS, 351, "as 347, the key with key_ops"),
    (
        RS256,
        258,
        "e = 3: exponents below 65537 are refused (NIST SP 800-89)",
    ),
    (RS256, 259, "e = 3, as 258"),
    (
        JWK,
        7,
        "a ROCA key: factors are not looked for, see VerificationKey::read (KEY-34)",
    ),
];

/// Cases about HMAC that Wycheproof calls valid: with keys of others there is no HMAC here.
const HMAC_VALID: &[(&str, &[u64])] = &[
    (JWS, &[1, 348, 352, 357, 358, 359, 372, 373, 376, 377]),
    (JWK, &[2, 13, 14, 15]),
];

const RS256: &str = "rsa_signature_2048_sha256_test.json";
const JWS: &str = "json_web_signature_test.json";
const JWK: &str = "json_web_key_test.json";

fn exceptions(name: &str) -> Vec<u64> {
    let ours = EXCEPTIONS.iter().filter(|(file, ..)| *file == name);
    let mut cases: Vec<_> = ours.map(|(_, case, _)| *case).collect();
    cases.sort_unstable();
    cases
}

/// Compares all decisions of a file of tokens with ours.
fn tokens(name: &str, count: usize) {
    let Some(file) = wycheproof(name) else {
        return;
    };
    let tests = tests(&file);
    assert_eq!(tests.len(), count);
    let mut otherwise = Vec::new();
    let mut valid_hmac = Vec::new();
    for (group, test) in tests {
        let case = test["tcId"].as_u64().unwrap();
        let token = test["jws"].as_str().unwrap();
        let result = check_token(token, &key_set(group));
        let expected = test["result"] == "valid";
        if is_hmac(group) {
            // HMAC is refused by its name, before a key is looked for; what is no token, as one.
            let code = result.unwrap_err().code();
            assert!(
                matches!(
                    code,
                    "alg_not_allowed" | "token_malformed" | "crit_unsupported"
                ),
                "tc{case}: {code}"
            );
            if expected {
                valid_hmac.push(case);
            }
        } else if result.is_ok() != expected {
            otherwise.push(case);
        }
    }
    // Every exception is still needed, and there is no other.
    assert_eq!(otherwise, exceptions(name), "{name}");
    let (_, listed) = HMAC_VALID.iter().find(|(file, _)| *file == name).unwrap();
    assert_eq!(valid_hmac, *listed, "{name}");
}

#[test]
fn sig_13_json_web_signatures() {
    tokens(JWS, 401);
}

#[test]
fn json_web_keys() {
    tokens(JWK, 26);
}

#[test]
fn every_exception_has_a_reason() {
    for (_, case, reason) in EXCEPTIONS {
        assert!(reason.len() > 10, "tc{case}");
    }
}

/// Two texts with a question mark, which Wycheproof calls valid: STR-30 refuses them.
const QUESTION_MARKS: &[u64] = &[372, 373];

/// Two texts that were to have padding and are, letter by letter, the valid one of case 357.
const LOST_PADDING: &[u64] = &[367, 370];

#[test]
fn str_30_base64url_of_the_wycheproof_group() {
    let Some(file) = wycheproof(JWS) else {
        return;
    };
    let tests = tests(&file);
    let group: Vec<_> = tests
        .iter()
        .filter(|(group, _)| group["comment"] == "base64")
        .map(|(_, test)| (test["tcId"].as_u64().unwrap(), *test))
        .collect();
    assert_eq!(group.len(), 21);
    let plain = &group[0].1["jws"];
    for (case, test) in group.clone() {
        // The group is signed with HMAC; its texts are read all the same.
        let token = test["jws"].as_str().unwrap();
        let read = Compact::parse(token, MAX_TOKEN).and_then(|compact| {
            let alg = Header::read(&compact, &Algorithms::all()).unwrap_err();
            match alg.code() {
                "alg_not_allowed" => compact.decode(),
                _ => Err(alg),
            }
        });
        if LOST_PADDING.contains(&case) {
            assert_eq!(&test["jws"], plain, "tc{case}");
        }
        let is_canonical = test["result"] == "valid" && !QUESTION_MARKS.contains(&case)
            || LOST_PADDING.contains(&case);
        let code = read.err().map(|error| error.code());
        let expected = (!is_canonical).then_some("token_malformed");
        assert_eq!(code, expected, "tc{case}: {}", test["comment"]);
    }
}

/// Texts that JSONTestSuite wants read and that this crate refuses: a name that stands twice. RFC
/// 8259 section 4 leaves it open; a second reader may take the other value (JSN-10).
const DUPLICATES: &[&str] = &[
    "y_object_duplicated_key.json",
    "y_object_duplicated_key_and_value.json",
];

/// Texts of JSONTestSuite whose fate is not prescribed: the ones that this crate reads. All others
/// are refused: numbers beyond a double, lone surrogates, what is not UTF-8, a byte order mark,
/// nesting beyond 64.
const READ_ALTHOUGH_UNDEFINED: &[&str] = &[
    "i_number_double_huge_neg_exp.json",
    "i_number_real_underflow.json",
    "i_number_too_big_neg_int.json",
    "i_number_too_big_pos_int.json",
    "i_number_very_big_negative_int.json",
];

/// The texts of JSONTestSuite whose names begin so.
fn json_texts(start: &str) -> Option<Vec<(String, Vec<u8>)>> {
    let folder = place("json/test_parsing")?;
    let mut texts: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .filter(|(name, _)| name.starts_with(start))
        .map(|(name, path)| (name, fs::read(path).unwrap()))
        .collect();
    texts.sort();
    Some(texts)
}

#[test]
fn json_that_must_be_read_is_read() {
    let Some(texts) = json_texts("y_") else {
        return;
    };
    assert_eq!(texts.len(), 95);
    for (name, text) in texts {
        let expected = match DUPLICATES.contains(&name.as_str()) {
            true => Some(json::Fault::Duplicate),
            false => None,
        };
        assert_eq!(json::read(&text, text.len()).err(), expected, "{name}");
    }
}

#[test]
fn jsn_36_json_that_must_be_read_is_a_claim() {
    let Some(texts) = json_texts("y_") else {
        return;
    };
    for (name, text) in texts {
        if DUPLICATES.contains(&name.as_str()) {
            continue;
        }
        let claims = [b"{\"x\":".as_slice(), &text, b"}"].concat();
        let object = json::read_object(&claims, claims.len()).unwrap();
        assert_eq!(object.iter().len(), 1, "{name}");
    }
}

#[test]
fn json_that_must_be_refused_is_refused() {
    let Some(texts) = json_texts("n_") else {
        return;
    };
    assert_eq!(texts.len(), 188);
    for (name, text) in texts {
        assert!(json::read(&text, text.len()).is_err(), "{name}");
    }
}

#[test]
fn json_that_is_undefined_has_a_pinned_fate() {
    let Some(texts) = json_texts("i_") else {
        return;
    };
    assert_eq!(texts.len(), 35);
    let read: Vec<_> = texts
        .iter()
        .filter(|(_, text)| json::read(text, text.len()).is_ok())
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(read, READ_ALTHOUGH_UNDEFINED);
}
