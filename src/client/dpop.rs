//! Shows that the client's tokens are in the right hands (DPoP, RFC 9449).

use sha2::{Digest as _, Sha256};

use crate::base64url;
use crate::client::{Client, resource};
use crate::error::{Error, ErrorKind};
use crate::flow::{Event, Flow, Step};
use crate::http::form::Form;
use crate::http::json::Object;
use crate::http::{HttpRequest, HttpResponse, Purpose, Url};
#[cfg(feature = "backend")]
use crate::issuer::Shown;
use crate::jose::{
    Algorithm, KeyName, SigningKey, Thumbprint, TokenNames, UnsignedToken, VerificationKey,
};
use crate::secret::Secret;
use crate::time::{Lifetime, Timestamp};

/// The most origins whose nonces are kept: a provider and the APIs of one application.
const MOST_NONCES: usize = 16;
/// The longest nonce that is kept. Real ones have 20 to 200 characters.
const MAX_NONCE: usize = 1024;

/// How tokens are bound to the client's key.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct DpopConfig {
    /// Whether the authorization code is bound too (RFC 9449 section 10).
    pub binds_code: bool,
}

/// The key that the client's tokens are bound to, and what servers want to see in its proofs. The
/// private part stays with the host, as [`KeyName::DpopProof`].
#[derive(Debug)]
pub struct DpopKey {
    key: SigningKey,
    jwk: Object,
    thumbprint: Thumbprint,
    names: TokenNames,
    /// The nonce that each origin gave last, the newest at the end.
    nonces: Vec<(String, Secret<String>)>,
}

impl DpopKey {
    /// A P-256 key, which signs with ES256, by its public JWK.
    ///
    /// What it does not check: whether the host has its private part.
    ///
    /// # Errors
    ///
    /// `key_unsuitable` for any other key.
    pub fn new(jwk: &Object, names: TokenNames) -> Result<Self, Error> {
        let key = VerificationKey::read(jwk)
            .filter(|key| key.fits(Algorithm::Es256))
            .ok_or(ErrorKind::KeyUnsuitable)?;
        Ok(Self {
            key: SigningKey::new(KeyName::DpopProof, Algorithm::Es256, None),
            jwk: key.to_public_jwk(),
            thumbprint: Thumbprint::of(&key),
            names,
            nonces: Vec::new(),
        })
    }

    /// The same key with the nonces that are known, whose proofs have names of their own.
    #[cfg(feature = "backend")]
    pub(super) fn sibling(&self, names: TokenNames) -> Self {
        Self {
            key: self.key.clone(),
            jwk: self.jwk.clone(),
            thumbprint: self.thumbprint.clone(),
            names,
            nonces: self.nonces.clone(),
        }
    }

    /// The name of the key, by which tokens are bound to it.
    pub fn thumbprint(&self) -> &Thumbprint {
        &self.thumbprint
    }

    /// The nonce that the next proof for this origin is to hold. Others are forgotten after
    /// sixteen origins; what cannot be a nonce is not kept.
    pub fn learn(&mut self, origin: &str, nonce: &str) {
        // RFC 9449 section 8.1: one or more NQCHAR.
        let is_nonce = (1..=MAX_NONCE).contains(&nonce.len())
            && nonce
                .bytes()
                .all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
        if !is_nonce {
            return;
        }
        self.nonces.retain(|(known, _)| known != origin);
        if self.nonces.len() >= MOST_NONCES {
            self.nonces.remove(0);
        }
        self.nonces.push((origin.into(), Secret::new(nonce.into())));
    }

    /// A proof for one request, with the token that goes along (RFC 9449 section 4.2).
    fn proof(&mut self, about: &Subject<'_>, now: Timestamp) -> UnsignedToken {
        let nonce = self
            .nonces
            .iter()
            .find_map(|(known, nonce)| (*known == about.origin).then_some(nonce));
        let claims = Object::new()
            .with("jti", self.names.make_name())
            .with("htm", about.method)
            .with("htu", about.url)
            .with("iat", now.seconds())
            .with_some(
                "ath",
                about
                    .access_token
                    .map(|token| base64url::encode(&Sha256::digest(token))),
            )
            // EXPOSE: it goes back to the origin that gave it.
            .with_some("nonce", nonce.map(|nonce| nonce.expose().as_str()));
        let header = Object::new().with("jwk", self.jwk.clone());
        UnsignedToken::new(&self.key, "dpop+jwt", header, claims)
    }
}

/// What a proof is about.
struct Subject<'a> {
    method: &'a str,
    /// Without query and fragment.
    url: &'a str,
    origin: &'a str,
    access_token: Option<&'a str>,
}

/// A form for the provider, sent as this client does: with what shows who it is, and with a proof
/// where its tokens are bound to a key. It is for every endpoint that takes the two.
///
/// A nonce that the provider demands is learnt and the form sent once more (section 8), with another
/// assertion where the client makes assertions: each may be used once.
#[derive(Debug)]
pub(super) struct AskProven {
    /// Without its body.
    request: HttpRequest,
    /// Without what shows who the client is.
    form: Form,
    stage: Stage,
    has_retried: bool,
    /// Whether it was sent again with the challenge that the provider asked for.
    #[cfg(feature = "backend")]
    has_met_challenge: bool,
}

#[derive(Debug)]
enum Stage {
    Ready,
    #[cfg(feature = "backend")]
    Authenticating(Form, UnsignedToken),
    Signing(UnsignedToken),
    Waiting,
    Over,
}

impl AskProven {
    pub(super) fn new(purpose: Purpose, url: Url, form: Form, timeout: Lifetime) -> Self {
        Self {
            request: HttpRequest::post(purpose, url, Form::new().into_body(), timeout),
            form,
            stage: Stage::Ready,
            has_retried: false,
            #[cfg(feature = "backend")]
            has_met_challenge: false,
        }
    }

    /// As [`Flow::step`]; what comes out is the last answer, whatever it says.
    pub(super) fn step(
        &mut self,
        client: &mut Client,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<HttpResponse>, Error> {
        match (core::mem::replace(&mut self.stage, Stage::Over), event) {
            (Stage::Ready, Event::Start) => self.send(client, now),
            #[cfg(feature = "backend")]
            (Stage::Authenticating(mut form, assertion), event) => {
                let signed = event.into_signed(assertion)?;
                let authentication = &client.machine.authentication;
                authentication.put_signed(signed, &mut form, &mut self.request);
                self.prove(form, client, now)
            }
            (Stage::Signing(proof), event) => {
                self.request.dpop = Some(event.into_signed(proof)?);
                self.stage = Stage::Waiting;
                Ok(Step::Send(self.request.clone()))
            }
            (Stage::Waiting, event) => {
                let response = event.into_answer()??;
                #[cfg(feature = "backend")]
                {
                    let demands = client.machine.authentication.demands_challenge(&response);
                    if demands && !core::mem::replace(&mut self.has_met_challenge, true) {
                        return self.send(client, now);
                    }
                }
                let demands = demands_nonce(client, &self.request.url.origin(), &response);
                if demands && !core::mem::replace(&mut self.has_retried, true) {
                    return self.send(client, now);
                }
                Ok(Step::Done(response))
            }
            _ => Err(ErrorKind::FlowMisused.into()),
        }
    }

    fn send(&mut self, client: &mut Client, now: Timestamp) -> Result<Step<HttpResponse>, Error> {
        let mut form = self.form.clone();
        // RFC 6749 section 3.2.1: a public client names itself in the body.
        #[cfg(not(feature = "backend"))]
        form.push_once("client_id", &client.config.client_id);
        #[cfg(feature = "backend")]
        match client.machine.show(&mut form, &client.provider, now)? {
            Shown::Form => {}
            Shown::Header(header) => self.request.authorization = Some(header),
            Shown::Unsigned(assertion) => {
                let request = assertion.request();
                self.stage = Stage::Authenticating(form, assertion);
                return Ok(Step::Sign(request));
            }
        }
        self.prove(form, client, now)
    }

    fn prove(
        &mut self,
        form: Form,
        client: &mut Client,
        now: Timestamp,
    ) -> Result<Step<HttpResponse>, Error> {
        self.request.body = Some(form.into_body());
        // What ends tokens takes no proofs, and their key may be gone by then.
        if client.config.dpop.is_none() || self.request.purpose == Purpose::Revocation {
            self.stage = Stage::Waiting;
            return Ok(Step::Send(self.request.clone()));
        }
        let proof = proof_for(client, &self.request, None, now)?;
        let request = proof.request();
        self.stage = Stage::Signing(proof);
        Ok(Step::Sign(request))
    }
}

/// A proof for a request to the provider, with the token that goes along.
pub(super) fn proof_for(
    client: &mut Client,
    request: &HttpRequest,
    access_token: Option<&Secret<String>>,
    now: Timestamp,
) -> Result<UnsignedToken, Error> {
    let key = client.dpop.as_mut().ok_or(ErrorKind::KeyUnsuitable)?;
    let about = Subject {
        method: request.method.name(),
        url: request.url.without_query(),
        origin: &request.url.origin(),
        // EXPOSE: only its hash goes into the proof.
        access_token: access_token.map(|token| token.expose().as_str()),
    };
    Ok(key.proof(&about, now))
}

/// Learns the nonce of an answer, and says whether the answer asks for a proof with it (section 8).
pub(super) fn demands_nonce(client: &mut Client, origin: &str, response: &HttpResponse) -> bool {
    let nonce = response.header("dpop-nonce");
    let (Some(key), Some(nonce)) = (&mut client.dpop, nonce) else {
        return false;
    };
    key.learn(origin, nonce);
    response.status() >= 400
        && response
            .refusal()
            .details()
            .and_then(|it| it.error.as_deref())
            == Some("use_dpop_nonce")
}

/// The flow that makes a proof for one request to an API.
#[derive(Debug)]
pub struct Prove<'a> {
    method: &'a str,
    url: &'a str,
    access_token: &'a Secret<String>,
    proof: Option<UnsignedToken>,
}

impl<'a> Prove<'a> {
    /// A proof for a request with this method, as it is sent, to this URL with this token.
    pub fn new(method: &'a str, url: &'a str, access_token: &'a Secret<String>) -> Self {
        Self {
            method,
            url,
            access_token,
            proof: None,
        }
    }
}

impl Flow for Prove<'_> {
    type Shared = Client;
    type Output = Secret<String>;

    fn step(
        &mut self,
        client: &mut Client,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<Secret<String>>, Error> {
        if let Some(proof) = self.proof.take() {
            return event.into_signed(proof).map(Step::Done);
        }
        let key = client.dpop.as_mut().ok_or(ErrorKind::KeyUnsuitable)?;
        let origin = resource::server_of(self.url).ok_or(ErrorKind::UrlInsecure)?;
        let about = Subject {
            method: self.method,
            url: self.url.split(['?', '#']).next().unwrap_or(self.url),
            origin: &Url::origin(&origin),
            // EXPOSE: only its hash goes into the proof.
            access_token: Some(self.access_token.expose()),
        };
        let proof = key.proof(&about, now);
        let request = proof.request();
        self.proof = Some(proof);
        Ok(Step::Sign(request))
    }
}
