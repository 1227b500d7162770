//! Tokens that are right until a test changes something.

use std::fmt::Display;

use serde_json::json;

use super::{Key, base64url};

/// The members of a JSON object as texts, so that a test can write what no JSON library would:
/// a name twice, `1e400`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Members(Vec<(String, String)>);

impl Members {
    /// Sets a member to a JSON text, such as `json!("x")`, `1`, or `"1e400"`, which is the number.
    pub(crate) fn set(&mut self, name: &str, value: impl Display) -> &mut Self {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, text)) => *text = value.to_string(),
            None => self.0.push((name.into(), value.to_string())),
        }
        self
    }

    /// Adds a member, also when the name is there already.
    pub(crate) fn add(&mut self, name: &str, value: impl Display) -> &mut Self {
        self.0.push((name.into(), value.to_string()));
        self
    }

    /// Takes a member away.
    pub(crate) fn remove(&mut self, name: &str) -> &mut Self {
        self.0.retain(|(known, _)| known != name);
        self
    }

    /// A string member.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let (_, text) = self.0.iter().find(|(known, _)| known == name)?;
        serde_json::from_str(text).ok()
    }
}

impl Display for Members {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("{")?;
        for (index, (name, value)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{}:{value}", json!(name))?;
        }
        f.write_str("}")
    }
}

/// A token before it is signed.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) header: Members,
    pub(crate) claims: Members,
    /// Instead of the header, whatever it is.
    pub(crate) raw_header: Option<Vec<u8>>,
    /// Instead of the claims, whatever it is.
    pub(crate) raw_payload: Option<Vec<u8>>,
}

impl Token {
    /// A token with the header that this key gives.
    pub(crate) fn by(key: &Key, typ: &str) -> Self {
        let mut header = Members::default();
        header.set("alg", json!(key.alg));
        if let Some(kid) = &key.kid {
            header.set("kid", json!(kid));
        }
        header.set("typ", json!(typ));
        Self {
            header,
            claims: Members::default(),
            raw_header: None,
            raw_payload: None,
        }
    }

    /// What is signed.
    pub(crate) fn signing_input(&self) -> String {
        let part = |raw: &Option<Vec<u8>>, members: &Members| {
            raw.clone()
                .unwrap_or_else(|| members.to_string().into_bytes())
        };
        format!(
            "{}.{}",
            base64url(part(&self.raw_header, &self.header)),
            base64url(part(&self.raw_payload, &self.claims)),
        )
    }

    /// The token, signed with the algorithm that its header names.
    pub(crate) fn sign(&self, key: &Key) -> String {
        let alg = self.header.text("alg").unwrap_or_default();
        sign_text(&self.signing_input(), &alg, key)
    }

    /// The token with these bytes as its signature.
    pub(crate) fn with_signature(&self, signature: impl AsRef<[u8]>) -> String {
        format!("{}.{}", self.signing_input(), base64url(signature))
    }
}

/// Signs whatever text stands where header and payload should.
pub(crate) fn sign_text(signing_input: &str, alg: &str, key: &Key) -> String {
    let signature = key.sign(alg, signing_input.as_bytes());
    format!("{signing_input}.{}", base64url(signature))
}
