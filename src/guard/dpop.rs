//! Proofs of possession at the resource server (RFC 9449 sections 7 to 9).

use crate::base64url;
use crate::error::{Error, ErrorKind};
use crate::guard::config;
use crate::guard::request::{Scheme, Shown};
use crate::guard::{BearerToken, GuardConfig};
use crate::http::json::Value;
use crate::http::{Target, origin_of};
use crate::jose::{Algorithms, DpopProof, ProofContext, hmac_sha256};
use crate::options::{Options, invalid};
use crate::secret::{Secret, ct_eq};
use crate::time::Timestamp;

/// Whether proofs are looked at. In every mode a token that is bound to a key is refused without
/// its proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DpopMode {
    /// The `DPoP` scheme is not known here.
    Off,
    /// Tokens come with `Bearer` or, bound to a key, with `DPoP`.
    Accept,
    /// Only tokens that are bound to a key are accepted.
    Require,
}

/// How proofs are checked.
#[derive(Clone, Debug)]
pub struct Dpop {
    mode: DpopMode,
    algorithms: Algorithms,
    nonces: Option<Nonces>,
    public_origin: Option<String>,
}

impl Dpop {
    pub(super) fn from_options(options: &Options<'_>) -> Result<Self, Error> {
        let names = ["dpop", "dpopAlgorithms", "dpopNonce", "publicOrigin"];
        if names.iter().any(|name| options.value(name).is_some()) {
            return Self::read(options);
        }
        Ok(Self {
            mode: DpopMode::Off,
            algorithms: Algorithms::all(),
            nonces: None,
            public_origin: None,
        })
    }

    #[inline(never)]
    fn read(options: &Options<'_>) -> Result<Self, Error> {
        let mode = match options.string("dpop")? {
            None | Some("off") => DpopMode::Off,
            Some("accept") => DpopMode::Accept,
            Some("require") => DpopMode::Require,
            Some(_) => return Err(invalid("dpop")),
        };
        let nonces = match options.value("dpopNonce") {
            None | Some(Value::Bool(false)) => None,
            Some(Value::Bool(true)) => Some(Nonces { key: None }),
            Some(Value::String(secret)) if secret.len() >= LEAST_SECRET => Some(Nonces {
                key: Some(Secret::new(secret.as_bytes().into())),
            }),
            Some(_) => return Err(invalid("dpopNonce")),
        };
        let public_origin = match options.string("publicOrigin")? {
            None => None,
            Some(text) => Some(origin_of(text).ok_or_else(|| invalid("publicOrigin"))?),
        };
        let algorithms = config::algorithms(options, "dpopAlgorithms")?;
        // A check that is configured and cannot run would be taken for one that does.
        if mode == DpopMode::Off && nonces.is_some() {
            return Err(invalid("dpopNonce"));
        }
        Ok(Self {
            mode,
            algorithms,
            nonces,
            public_origin,
        })
    }

    /// Whether proofs are looked at.
    pub fn mode(&self) -> DpopMode {
        self.mode
    }

    /// The headers of a request on which a decision depends, as `Vary` names them (RFC 9110 section
    /// 12.5.5).
    pub fn vary(&self) -> &'static str {
        match self.mode {
            DpopMode::Off => "Authorization",
            DpopMode::Accept | DpopMode::Require => "Authorization, DPoP",
        }
    }

    /// The algorithms that proofs may have.
    pub fn algorithms(&self) -> &Algorithms {
        &self.algorithms
    }

    pub(super) fn lacks_nonce_key(&self) -> bool {
        self.nonces
            .as_ref()
            .is_some_and(|nonces| nonces.key.is_none())
    }

    pub(super) fn give_nonce_key(&mut self, key: [u8; 32]) {
        if let Some(nonces) = &mut self.nonces {
            nonces.key.get_or_insert_with(|| Secret::new(key.into()));
        }
    }

    /// Whether tokens may come in this scheme.
    pub(super) fn accepts(&self, scheme: Scheme) -> bool {
        match scheme {
            Scheme::None => true,
            Scheme::Bearer => self.mode != DpopMode::Require,
            Scheme::Dpop => self.mode != DpopMode::Off,
        }
    }

    /// The nonce that proofs need at this moment, if they need one.
    pub(super) fn nonce(&self, now: Timestamp) -> Option<String> {
        self.nonces.as_ref()?.make(window(now))
    }
}

/// A proof that fits its request and carries the nonce that it needs.
#[derive(Debug)]
pub(super) struct Proven {
    pub(super) proof: DpopProof,
    /// Whether the client should be told the next nonce.
    pub(super) nonce_is_old: bool,
}

impl Proven {
    /// Reads the proof of a request whose token came in the `DPoP` scheme.
    ///
    /// # Errors
    ///
    /// `dpop_invalid`, `use_dpop_nonce`; `config_invalid` when the program did not say where the
    /// request goes or nonces have no key.
    #[inline(never)]
    pub(super) fn read(
        shown: &Shown,
        token: &BearerToken,
        guard: &GuardConfig,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let dpop = &guard.dpop;
        let value = shown
            .proof
            .as_ref()
            .ok_or_else(|| Error::new(ErrorKind::DpopInvalid, "DPoP"))?;
        // EXPOSE: its proof is about it; only origin and path are taken.
        let url = shown.url.expose();
        let target = match &dpop.public_origin {
            Some(origin) => Target::read_at(origin, url),
            None => Target::read(url),
        };
        let context = ProofContext {
            method: &shown.method,
            target: &target.ok_or_else(|| unreadable(url))?,
            access_token: token.expose(),
            clock_tolerance: guard.clock_tolerance,
        };
        // EXPOSE: it is taken apart and its signature checked.
        let proof = DpopProof::read(value.expose(), &dpop.algorithms, &context, now)?;
        // RFC 9449 section 4.3, check 10, and section 9: the nonce is one of ours.
        let nonce_is_old = match &dpop.nonces {
            None => false,
            Some(nonces) => nonces.check(proof.nonce(), now)?,
        };
        Ok(Self {
            proof,
            nonce_is_old,
        })
    }
}

/// Whose fault a URL is that no proof can be about: the client's, who made it too long, or the program's,
/// who handed over something else than a URL.
fn unreadable(url: &str) -> Error {
    if url.starts_with("https://") || url.starts_with("http://") {
        Error::new(ErrorKind::DpopInvalid, "htu")
    } else {
        invalid("url")
    }
}

/// How long a nonce is the newest one, in milliseconds. It is accepted for one such window more,
/// so it lives for two to four minutes.
const WINDOW: i64 = 120_000;

/// The shortest secret, in bytes: as long as the hash.
const LEAST_SECRET: usize = 32;

/// Nonces that need no memory: each is the HMAC of its window.
#[derive(Clone, Debug)]
struct Nonces {
    key: Option<Secret<Vec<u8>>>,
}

impl Nonces {
    fn make(&self, window: i64) -> Option<String> {
        // EXPOSE: nonces are made with it.
        let key = self.key.as_ref()?.expose();
        let code = hmac_sha256(key, &[b"gatepass DPoP nonce ", &window.to_be_bytes()]);
        Some(base64url::encode(&code))
    }

    /// Whether a nonce is of the last window and not of this one.
    ///
    /// # Errors
    ///
    /// `use_dpop_nonce` when it is of neither.
    fn check(&self, nonce: Option<&str>, now: Timestamp) -> Result<bool, Error> {
        let window = window(now);
        let make = |window| self.make(window).ok_or_else(|| invalid("dpopNonce"));
        let (current, last) = (make(window)?, make(window.saturating_sub(1))?);
        match nonce {
            Some(nonce) if ct_eq(nonce, &current) => Ok(false),
            Some(nonce) if ct_eq(nonce, &last) => Ok(true),
            _ => Err(ErrorKind::UseDpopNonce.into()),
        }
    }
}

fn window(now: Timestamp) -> i64 {
    now.millis() / WINDOW
}
