//! A client that proves possession of a key, and an API that wants to see it.

use gatepass::Error;
use gatepass::guard::{Check, Need, Principal, Refusal, RequestFacts};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{GuardWorld, Key, Members, Token, base64url, code_at};

/// The target of every request, unless a test says otherwise.
const URL: &str = "https://api.example/items";

/// The SHA-256 of a text, in base64url.
fn hash(text: &str) -> String {
    base64url(Sha256::digest(text))
}

/// The thumbprint of an EC key, made by hand.
pub(crate) fn thumbprint(key: &Key) -> String {
    let jwk = key.bare_jwk();
    let text = |name: &str| jwk[name].to_string();
    let (crv, kty, x, y) = (text("crv"), text("kty"), text("x"), text("y"));
    hash(&format!(r#"{{"crv":{crv},"kty":{kty},"x":{x},"y":{y}}}"#))
}

/// A proof before it is signed.
type Proof = Token;

/// An API at `https://api.example` with a client that holds a key.
pub(crate) struct DpopWorld {
    pub(crate) world: GuardWorld,
    pub(crate) key: Key,
    /// What the client sends.
    pub(crate) scheme: &'static str,
    pub(crate) method: &'static str,
    pub(crate) url: String,
    pub(crate) certificate: Option<String>,
    /// The nonce of the last answer.
    pub(crate) nonce: Option<String>,
    serial: u32,
}

impl DpopWorld {
    /// A guard that accepts both schemes.
    pub(crate) fn new() -> Self {
        Self::with(json!({"dpop": "accept"}))
    }

    /// A guard with these options.
    pub(crate) fn with(options: Value) -> Self {
        Self {
            world: GuardWorld::with(options),
            key: Key::new("client", "ES256", 77),
            scheme: "DPoP",
            method: "GET",
            url: URL.into(),
            certificate: None,
            nonce: None,
            serial: 0,
        }
    }

    /// A token bound to the client's key.
    pub(crate) fn bound(&self) -> String {
        self.confirmed(json!({"jkt": thumbprint(&self.key)}))
    }

    /// A token with this confirmation.
    pub(crate) fn confirmed(&self, cnf: Value) -> String {
        self.world.edited(|token| {
            token.claims.set("cnf", cnf);
        })
    }

    /// A good proof for a token, before it is signed; each has a `jti` of its own.
    pub(crate) fn proof(&mut self, token: &str) -> Proof {
        self.serial += 1;
        let mut proof = Proof::by(&self.key.clone().unnamed(), "dpop+jwt");
        proof.header.set("jwk", self.key.bare_jwk());
        proof
            .claims
            .set("htm", json!("GET"))
            .set("htu", json!(URL))
            .set("iat", self.world.net.now.seconds())
            .set("jti", json!(format!("proof-{}", self.serial)))
            .set("ath", json!(hash(token)));
        proof
    }

    /// Sends a token with this `DPoP` header.
    pub(crate) fn send(&mut self, token: &str, proof: Option<&str>) -> Result<Principal, Refusal> {
        self.send_needing(token, proof, &Need::nothing())
    }

    /// As [`DpopWorld::send`], for a request that needs more.
    pub(crate) fn send_needing(
        &mut self,
        token: &str,
        proof: Option<&str>,
        need: &Need,
    ) -> Result<Principal, Refusal> {
        let header = format!("{} {token}", self.scheme);
        let mut facts = RequestFacts::read(Some(&header)).at(self.method, &self.url);
        if let Some(proof) = proof {
            if proof.len() > 20 {
                self.world.net.keep_secret(proof);
            }
            facts = facts.with_dpop(proof);
        }
        if let Some(certificate) = &self.certificate {
            facts = facts.with_certificate_sha256(certificate);
        }
        self.world.net.assert_silent(&format!("{facts:?}"));
        let mut flow = Check::new(&self.world.guard, facts, need);
        let checked = self.world.net.run(&mut flow, &mut self.world.guard);
        self.nonce = flow.dpop_nonce().map(String::from);
        checked.map_err(|error: Error| flow.refusal(&self.world.guard, error))
    }

    /// The code and place for a good token with this proof.
    pub(crate) fn code(&mut self, proof: Option<&str>) -> (&'static str, String) {
        let token = self.bound();
        let sent = self.send(&token, proof);
        code_at(sent.map_err(|refusal| refusal.error().clone()))
    }

    /// The code and place for a good token with a proof that was changed and signed.
    pub(crate) fn edited(&mut self, edit: impl FnOnce(&mut Proof)) -> (&'static str, String) {
        let token = self.bound();
        let mut proof = self.proof(&token);
        edit(&mut proof);
        let proof = proof.sign(&self.key);
        self.code(Some(&proof))
    }

    /// As [`DpopWorld::edited`], for the claims.
    pub(crate) fn claims(&mut self, edit: impl FnOnce(&mut Members)) -> (&'static str, String) {
        self.edited(|proof| edit(&mut proof.claims))
    }
}
