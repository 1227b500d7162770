//! What the sources promise without being run: lints, profiles, comparisons.

#![cfg(not(target_arch = "wasm32"))]
// Clippy allows these in tests; here the helpers of tests are functions of their own.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// Every file of the core with its code before the tests in it.
fn sources() -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, out: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, out);
            } else if path.extension().is_some_and(|name| name == "rs") {
                let whole = fs::read_to_string(&path).unwrap();
                let code = whole.split("\nmod tests {").next().unwrap();
                out.push((path, code.into()));
            }
        }
    }
    let mut out = Vec::new();
    walk(&root().join("src"), &mut out);
    assert!(out.len() > 60);
    out
}

/// The value of a key in a table of the manifest.
fn setting(manifest: &str, table: &str, key: &str) -> Option<String> {
    let (_, rest) = manifest.split_once(&format!("\n[{table}]\n"))?;
    let table = rest.split("\n[").next()?;
    table.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == key).then(|| value.trim().trim_matches('"').into())
    })
}

#[test]
fn wsm_02_what_can_panic_on_input_is_refused_by_lints() {
    let manifest = text("Cargo.toml");
    for name in [
        "unwrap_used",
        "expect_used",
        "indexing_slicing",
        "string_slice",
        "panic",
        "todo",
        "as_conversions",
    ] {
        let level = setting(&manifest, "lints.clippy", name).unwrap();
        assert!(["deny", "warn"].contains(&level.as_str()), "{name}");
    }
    // Warnings fail the suites that run clippy.
    assert!(text("tools/test.mjs").contains("-D"));
    // Nothing switches them off for a part of the core.
    for (path, code) in sources() {
        for name in ["unwrap_used", "expect_used", "indexing_slicing", "panic"] {
            let allow = format!("clippy::{name}");
            assert!(!code.contains(&allow), "{} allows {name}", path.display());
        }
    }
}

#[test]
fn wsm_03_no_check_stands_in_an_assertion() {
    for (path, code) in sources() {
        let code: String = code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect();
        for name in ["assert!(", "assert_eq!(", "assert_ne!(", "unreachable!("] {
            assert!(!code.contains(name), "{} has {name}", path.display());
        }
    }
}

#[test]
fn wsm_04_sums_that_overflow_stop_in_every_build() {
    let manifest = text("Cargo.toml");
    let checks = setting(&manifest, "profile.release", "overflow-checks");
    assert_eq!(checks.as_deref(), Some("true"));
    assert_eq!(
        setting(&manifest, "profile.guard", "inherits").as_deref(),
        Some("release")
    );
    assert_eq!(setting(&manifest, "profile.guard", "overflow-checks"), None);
}

#[test]
fn leak_11_what_an_attacker_guesses_is_compared_in_constant_time() {
    for (path, comparison) in [
        // One function for text, from the crate that is made for it.
        ("src/secret.rs", "left.as_bytes().ct_eq(right.as_bytes())"),
        ("src/client/pending.rs", "ct_eq(&login.state, state)"),
        ("src/client/id_token.rs", "ct_eq(sent, came)"),
        ("src/client/id_token.rs", "ct_eq(hash, &half_hash("),
        ("src/guard/binding.rs", "ct_eq(wanted, shown)"),
        ("src/guard/dpop.rs", "ct_eq(nonce, &current)"),
        ("src/jose/thumbprint.rs", ".ct_eq(text.as_bytes())"),
        ("src/jose/dpop_proof.rs", "hash.as_bytes().ct_eq("),
    ] {
        assert!(text(path).contains(comparison), "{path}: {comparison}");
    }
}

#[test]
fn oid_09_a_nonce_is_compared_in_constant_time_and_in_no_other_way() {
    let code = text("src/client/id_token.rs");
    assert!(code.contains("(Some(sent), Some(came)) if ct_eq(sent, came)"));
    for other in ["sent == came", "came == sent", "sent != came"] {
        assert!(!code.contains(other), "{other}");
    }
}

#[test]
fn sig_23_no_tag_of_hmac_is_compared_by_hand() {
    for (path, comparison) in [
        // Natively by the crate's own comparison, else by the host's verify.
        ("src/jose/rust_crypto.rs", ".verify_slice($signature)"),
        ("src/wasm/subtle.rs", "verify"),
    ] {
        assert!(text(path).contains(comparison), "{path}: {comparison}");
    }
    // No tag of HMAC is made to be compared by hand in the core's checks.
    for (path, code) in sources() {
        let is_there = code.contains("finalize().into_bytes() ==");
        assert!(!is_there, "{}", path.display());
    }
}
