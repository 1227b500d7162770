//! The import rules of ARCHITECTURE.md: downwards only, roles apart, the web at the edge.

#![cfg(not(target_arch = "wasm32"))]
// Clippy allows these in tests; here the helpers of tests are functions of their own.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The layers, from the bottom. A module may use its own layer's modules only where they are one
/// folder, and everything below.
const LAYERS: &[&[&str]] = &[
    &["base64url", "error", "random", "secret", "time"],
    &["http"],
    &["jose"],
    &["options"],
    &["flow"],
    &["issuer"],
    &["client", "guard"],
    &["wasm"],
];

/// Names of the crate root that every layer may use: they are re-exports of the lowest layer.
const ROOT: &[&str] = &["Error", "ErrorKind"];

/// What names the web.
const WEB: &[&str] = &[
    "web_sys",
    "js_sys",
    "wasm_bindgen",
    "wasm_bindgen_futures",
    "getrandom",
];

/// What of `std` touches the world.
const WORLD: &[&[&str]] = &[
    &["time", "SystemTime"],
    &["time", "Instant"],
    &["time", "UNIX_EPOCH"],
    &["env"],
    &["fs"],
    &["io"],
    &["net"],
    &["process"],
    &["thread"],
];

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// The source without comments and without the text of strings.
fn code_of(source: &str) -> String {
    let mut code = String::new();
    let mut rest = source.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        let next = rest.peek().map(|(_, next)| *next);
        match c {
            '/' if next == Some('/') => while rest.next_if(|(_, c)| *c != '\n').is_some() {},
            'r' if raw_string_hashes(&source[at..]).is_some() => {
                let hashes = raw_string_hashes(&source[at..]).unwrap_or(0);
                let end = format!("\"{}", "#".repeat(hashes));
                let begin = at + 1 + hashes + 1;
                let length = source[begin..].find(&end).unwrap_or(source.len() - begin);
                let after = begin + length + end.len();
                while rest.next_if(|(at, _)| *at < after).is_some() {}
            }
            '"' => {
                while let Some((_, c)) = rest.next() {
                    match c {
                        '\\' => drop(rest.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            // A quote as a character.
            '\'' if source[at..].starts_with("'\"'") || source[at..].starts_with("'\\\"'") => {
                while rest.next_if(|(_, c)| *c != '\'').is_some() {}
                rest.next();
            }
            c => code.push(c),
        }
    }
    code
}

/// How many hashes a raw string that begins here has.
fn raw_string_hashes(text: &str) -> Option<usize> {
    let rest = text.strip_prefix('r')?;
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    rest[hashes..].starts_with('"').then_some(hashes)
}

/// Every path that begins so and that a source names, as lists of segments after that beginning.
///
/// `base` is where the beginning leads: nowhere for `crate::`, one module up for `super::`.
fn paths(code: &str, start: &str, base: &[&str]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices(start) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let mut base: Vec<String> = base.iter().map(|name| (*name).to_owned()).collect();
        let mut rest = &code[at + start.len()..];
        while let Some(up) = rest.strip_prefix("super::") {
            base.pop();
            rest = up;
        }
        for tail in tree(rest) {
            found.push(base.iter().cloned().chain(tail).collect());
        }
    }
    found
}

/// The paths of a use tree: `a::b`, or `{a::b, c}`.
fn tree(text: &str) -> Vec<Vec<String>> {
    let text = text.trim_start();
    if let Some(group) = text.strip_prefix('{') {
        let mut paths = Vec::new();
        let (mut depth, mut begin) = (0, 0);
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    paths.extend(tree(&group[begin..at]));
                    begin = at + 1;
                    if c == '}' {
                        break;
                    }
                }
                _ => {}
            }
        }
        return paths;
    }
    let end = text
        .find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(text.len());
    let name = &text[..end];
    if name.is_empty() {
        return Vec::new();
    }
    match text[end..].strip_prefix("::") {
        Some(rest) => tree(rest)
            .into_iter()
            .map(|tail| std::iter::once(name.to_owned()).chain(tail).collect())
            .collect(),
        None => vec![vec![name.to_owned()]],
    }
}

/// What is wrong with one file of `src`.
fn faults(file: &Path, source: &str) -> Vec<String> {
    let mut module: Vec<&str> = file
        .iter()
        .filter_map(|part| part.to_str())
        .map(|part| part.trim_end_matches(".rs"))
        .collect();
    if module.last() == Some(&"mod") {
        module.pop();
    }
    let own = match module.first() {
        Some(&"lib") | None => return Vec::new(),
        Some(own) => *own,
    };
    let Some(own_layer) = layer(own) else {
        return vec![format!("{own} stands in no layer")];
    };
    let code = code_of(source);
    let mut faults = Vec::new();
    let up = &module[..module.len().saturating_sub(1)];
    let used = [paths(&code, "crate::", &[]), paths(&code, "super::", up)].concat();
    for path in used {
        let Some(used) = path.first().map(String::as_str) else {
            continue;
        };
        let is_allowed = match layer(used) {
            // The root words are one layer, in which each may use the others.
            Some(used_layer) => {
                used_layer < own_layer || used == own || own_layer == 0 && used_layer == 0
            }
            None => ROOT.contains(&used),
        };
        if !is_allowed {
            faults.push(format!("{own} uses {}", path.join("::")));
        }
    }
    let names = |word: &str| {
        code.match_indices(word).any(|(at, _)| {
            let is_part = |c: char| c.is_alphanumeric() || c == '_';
            !code[..at].ends_with(is_part) && !code[at + word.len()..].starts_with(is_part)
        })
    };
    if own != "wasm" {
        for word in WEB.iter().filter(|word| names(word)) {
            faults.push(format!("{own} names {word}"));
        }
    }
    // The clock and the world are arguments everywhere, in wasm/ too, which asks the host.
    for path in paths(&code, "std::", &[]) {
        let begins_with = |start: &&[&str]| start.iter().eq(path.iter().take(start.len()));
        if WORLD.iter().any(begins_with) {
            faults.push(format!("{own} uses std::{}", path.join("::")));
        }
    }
    faults
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_file_uses_only_what_stands_below_it() {
    let folder = root().join("src");
    let files = sources(&folder);
    assert!(files.len() > 40, "the sources were not found");
    let faults: Vec<String> = files
        .iter()
        .flat_map(|path| {
            let file = path.strip_prefix(&folder).unwrap();
            let found = faults(file, &fs::read_to_string(path).unwrap());
            found
                .into_iter()
                .map(move |fault| format!("{}: {fault}", file.display()))
        })
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_module_of_the_crate_stands_in_a_layer() {
    let text = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let modules: Vec<_> = code_of(&text)
        .lines()
        .filter_map(|line| {
            let line = line.trim().trim_start_matches("pub ");
            Some(line.strip_prefix("mod ")?.trim_end_matches(';').to_owned())
        })
        .collect();
    assert!(modules.len() >= 10, "{modules:?}");
    for module in modules {
        assert!(layer(&module).is_some(), "{module}");
    }
}

/// The dependencies of each table of Cargo.toml.
fn dependencies(manifest: &str) -> BTreeMap<String, Vec<String>> {
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut table = String::new();
    for line in manifest.lines() {
        let line = line.split('#').next().unwrap_or_default();
        if let Some(name) = line.trim().strip_prefix('[') {
            table = name.trim_end_matches(']').to_owned();
        } else if table.ends_with("dependencies")
            && !line.starts_with(' ')
            && let Some((name, _)) = line.split_once('=')
        {
            let name = name.trim().split('.').next().unwrap_or_default();
            tables.entry(table.clone()).or_default().push(name.into());
        }
    }
    tables
}

/// The dependencies on the web that stand where native programs get them too.
fn misplaced(manifest: &str) -> Vec<String> {
    let is_web = |name: &str| {
        let name = name.replace('-', "_");
        WEB.contains(&name.as_str()) || name == "console_error_panic_hook"
    };
    dependencies(manifest)
        .into_iter()
        .filter(|(table, _)| {
            table != "target.'cfg(target_arch = \"wasm32\")'.dependencies"
                && !table.ends_with("dev-dependencies")
        })
        .flat_map(|(table, names)| {
            names
                .into_iter()
                .filter(|name| is_web(name))
                .map(move |name| format!("{name} in [{table}]"))
        })
        .collect()
}

#[test]
fn the_web_is_a_dependency_of_wasm32_alone() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let tables = dependencies(&manifest);
    let web = &tables["target.'cfg(target_arch = \"wasm32\")'.dependencies"];
    assert!(web.iter().any(|name| name == "wasm-bindgen"), "{tables:?}");
    assert_eq!(misplaced(&manifest), Vec::<String>::new());
}

// The checker itself.

#[test]
fn what_stands_above_is_a_fault() {
    for (file, source) in [
        ("time.rs", "use crate::http::Url;"),
        ("error.rs", "fn f() { crate::jose::read() }"),
        ("http/url.rs", "use crate::jose::Claims;"),
        ("http/url.rs", "use super::super::jose::Claims;"),
        ("http/mod.rs", "use super::issuer::Issuer;"),
        ("jose/jwk.rs", "use crate::{http::json, issuer::Provider};"),
        ("jose/jwk.rs", "use crate::options::Options;"),
        ("flow.rs", "use crate::{\n    client::Client,\n};"),
        ("issuer/keys.rs", "pub(in crate::guard) fn f() {}"),
        ("client/mod.rs", "use crate::guard::Guard;"),
        (
            "guard/check.rs",
            "use crate::{error::Error, client::{Client, Session}};",
        ),
        ("guard/check.rs", "use crate::wasm::drive;"),
        (
            "client/mod.rs",
            "#[cfg(test)]\nmod tests { use crate::guard::Guard; }",
        ),
        ("client/mod.rs", "use crate::Guard;"),
        ("other/mod.rs", ""),
    ] {
        let faults = faults(Path::new(file), source);
        assert!(!faults.is_empty(), "{file}: {source}");
    }
}

#[test]
fn what_touches_the_world_is_a_fault() {
    for (file, source) in [
        ("client/mod.rs", "let now = std::time::SystemTime::now();"),
        ("guard/check.rs", "use std::time::Instant;"),
        (
            "guard/check.rs",
            "use std::{fmt, time::{Duration, Instant}};",
        ),
        ("wasm/ambient.rs", "std::fs::read(path)"),
        ("http/request.rs", "use std::net::TcpStream;"),
        ("issuer/keys.rs", "std::thread::sleep(d)"),
        ("client/mod.rs", "js_sys::Date::now()"),
        ("flow.rs", "use wasm_bindgen::prelude::*;"),
        ("random.rs", "getrandom::fill(&mut bytes)"),
    ] {
        let faults = faults(Path::new(file), source);
        assert!(!faults.is_empty(), "{file}: {source}");
    }
}

#[test]
fn what_stands_below_is_no_fault() {
    for (file, source) in [
        ("lib.rs", "pub mod client; use crate::guard::Guard;"),
        ("random.rs", "use crate::secret::Secret;"),
        (
            "http/url.rs",
            "use crate::http::form::Form; use super::json;",
        ),
        ("jose/jwk.rs", "use crate::http::json::{Object, Value};"),
        ("client/mod.rs", "use crate::{Error, ErrorKind};"),
        (
            "client/a.rs",
            "use crate::flow::{Event, Flow, Step}; use super::Client;",
        ),
        (
            "guard/a.rs",
            "// crate::client::Client\nlet x = \"crate::client\";",
        ),
        (
            "guard/a.rs",
            "let c = '\"'; /* */ let x = r#\"\"crate::client\"#;",
        ),
        ("wasm/a.rs", "use crate::client::Client; use js_sys::Date;"),
        ("client/a.rs", "let my_crate::guard = 1; let instant = 1;"),
        ("guard/a.rs", "/// [`crate::client`] is the other role."),
        (
            "guard/a.rs",
            "use std::{fmt, time::Duration}; use std::sync::Arc;",
        ),
    ] {
        assert_eq!(
            faults(Path::new(file), source),
            Vec::<String>::new(),
            "{file}: {source}"
        );
    }
}

#[test]
fn a_web_dependency_in_another_table_is_a_fault() {
    let wrong = "[dependencies]\nbase64 = \"1\"\nweb-sys = { version = \"1\", features = [\n    \"Headers\",\n] }\n";
    assert_eq!(misplaced(wrong), ["web-sys in [dependencies]"]);
    let native =
        "[target.'cfg(not(target_arch = \"wasm32\"))'.dependencies]\njs-sys.version = \"1\"";
    assert_eq!(misplaced(native).len(), 1);
    let right = "[target.'cfg(target_arch = \"wasm32\")'.dependencies]\nweb-sys = \"1\"\n[dev-dependencies]\nwasm-bindgen-test = \"1\"";
    assert_eq!(misplaced(right), Vec::<String>::new());
}
