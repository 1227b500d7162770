//! How a conversation is stepped.
//!
//! A flow decides, its caller acts: each [`Step`] says what to do next, each [`Event`] what came
//! of it. What several flows share (a provider's metadata, its keys, the session) is lent to each
//! step as `Shared`, so a caller may keep it in a `RefCell` or a `Mutex` and never hold it across
//! an await.
//!
//! The loop is always the same. Here a provider is found, by one that answers from a text:
//!
//! ```
//! use gatepass::flow::{Event, Flow, Step};
//! use gatepass::http::{HttpRequest, HttpResponse, Transport};
//! use gatepass::issuer::{Discover, Issuer, Provider};
//! use gatepass::time::{Lifetime, Timestamp};
//!
//! fn send(request: &HttpRequest) -> HttpResponse {
//!     assert_eq!(
//!         request.url.as_str(),
//!         "https://as.example/.well-known/openid-configuration"
//!     );
//!     let body = r#"{"issuer":"https://as.example","jwks_uri":"https://as.example/jwks"}"#;
//!     let headers = vec![("content-type", "application/json".into())];
//!     request.answer(200, headers, body.into())
//! }
//!
//! fn run<F: Flow>(flow: &mut F, shared: &mut F::Shared) -> Result<F::Output, gatepass::Error> {
//!     let mut event = Event::Start;
//!     loop {
//!         // A real program asks its clock before each step.
//!         let now = Timestamp::from_seconds(1_800_000_000).unwrap();
//!         event = match flow.step(shared, now, event)? {
//!             Step::Done(output) => return Ok(output),
//!             Step::Send(request) => Event::Answer(send(&request)),
//!             // Other flows also have signatures checked, and ask for more.
//!             _ => unimplemented!(),
//!         };
//!     }
//! }
//!
//! let issuer = Issuer::parse("https://as.example", Transport::Secure)?;
//! let mut provider = Provider::new(issuer, Transport::Secure, Lifetime::from_seconds(5));
//! run(&mut Discover::new(), &mut provider)?;
//! let metadata = provider.metadata().unwrap();
//! assert_eq!(metadata.jwks_uri()?.as_str(), "https://as.example/jwks");
//! # Ok::<(), gatepass::Error>(())
//! ```

use crate::error::Error;
use crate::http::{HttpRequest, HttpResponse, Unreachable};
use crate::jose::{SignatureCheck, SigningRequest, UnsignedToken};
use crate::secret::Secret;
use crate::time::{Lifetime, Timestamp};

/// What the caller has to do next.
#[derive(Debug)]
#[non_exhaustive]
pub enum Step<T> {
    /// Send this request; answer with [`Event::Answer`] or [`Event::Unreachable`].
    Send(HttpRequest),
    /// Check this signature; answer with [`Event::Signature`].
    Verify(SignatureCheck),
    /// Remember this use of a proof; answer with [`Event::Remembered`].
    Remember(ProofUse),
    /// Sign these bytes with the named key; answer with [`Event::Signed`] or [`Event::SignFailed`].
    Sign(SigningRequest),
    /// Wait this long; answer with [`Event::Woke`].
    Sleep(Lifetime),
    /// Look for shared keys under this name; answer with [`Event::Loaded`].
    Load(String),
    /// Nothing more: this is the result.
    Done(T),
}

impl<T> Step<T> {
    /// The result, or what a part of a larger flow asks for as a step of the whole.
    #[cfg(feature = "flows")]
    #[allow(clippy::result_large_err)] // Both sides are as common and as large.
    pub(crate) fn split<U>(self) -> Result<T, Step<U>> {
        Err(match self {
            Self::Done(output) => return Ok(output),
            Self::Send(request) => Step::Send(request),
            Self::Verify(check) => Step::Verify(check),
            Self::Remember(proof) => Step::Remember(proof),
            Self::Sign(request) => Step::Sign(request),
            Self::Sleep(lifetime) => Step::Sleep(lifetime),
            Self::Load(key) => Step::Load(key),
        })
    }
}

/// What came of the last step.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The flow begins.
    Start,
    /// The answer to the request.
    Answer(HttpResponse),
    /// There is no answer.
    Unreachable(Unreachable),
    /// Whether the signature fits.
    Signature(bool),
    /// Whoever does the arithmetic cannot: `key_unsuitable` where it refuses the key, as for a point
    /// that is not on its curve, `unsupported_host` where it does not know the algorithm.
    CheckFailed(Error),
    /// Whether the use is the first one; `None` when whoever remembers does not answer.
    Remembered(Option<bool>),
    /// The signature, in the form of RFC 7518.
    Signed(Vec<u8>),
    /// There is no such key, or it does not sign.
    SignFailed,
    /// The wait is over.
    Woke,
    /// What was found, if anything was; why the shared cache does not answer, if it does not.
    Loaded(Result<Option<String>, Unreachable>),
}

impl Event {
    /// The answer, or why there is none.
    ///
    /// # Errors
    ///
    /// `flow_misused` when the event is neither.
    pub(crate) fn into_answer(self) -> Result<Result<HttpResponse, Unreachable>, Error> {
        match self {
            Self::Answer(response) => Ok(Ok(response)),
            Self::Unreachable(cause) => Ok(Err(cause)),
            _ => Err(crate::ErrorKind::FlowMisused.into()),
        }
    }

    /// The token that was to be signed.
    ///
    /// # Errors
    ///
    /// `key_unsuitable` when nobody signed it, `flow_misused` when the event is another one.
    pub fn into_signed(self, token: UnsignedToken) -> Result<Secret<String>, Error> {
        match self {
            Self::Signed(signature) => token.signed(&signature),
            Self::SignFailed => Err(crate::ErrorKind::KeyUnsuitable.into()),
            _ => Err(crate::ErrorKind::FlowMisused.into()),
        }
    }
}

/// A use of a proof that may be used once, for whoever remembers uses across processes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProofUse {
    /// The name of the proof: 22 characters of base64url, of which the proof cannot be made again.
    pub key: String,
    /// How long it must be remembered, from now on.
    pub lifetime: Lifetime,
}

/// What was checked of one thing, in order: for people who want to see it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checked {
    /// What was checked: `metadata`, `callback`, `token_response`, `id_token`.
    pub subject: &'static str,
    /// The checks that it passed, by the names of what they look at.
    pub checks: Vec<&'static str>,
}

/// What flows share also keeps what they checked, until the caller asks for it after a step.
pub trait Reports {
    /// What was checked since the last call.
    fn take_reports(&mut self) -> Vec<Checked> {
        Vec::new()
    }

    /// What went wrong since the last call that the operator should know and no client is told.
    fn take_alerts(&mut self) -> Vec<Error> {
        Vec::new()
    }
}

/// For flows that share nothing.
impl Reports for () {}

/// A conversation of several rounds.
pub trait Flow {
    /// What it shares with other flows.
    type Shared: Reports;
    /// What comes out in the end.
    type Output;

    /// Takes what came of the last step and decides on the next.
    ///
    /// `now` is the only time that this step knows.
    ///
    /// # Errors
    ///
    /// The conversation has failed; `flow_misused` when the event does not fit.
    fn step(
        &mut self,
        shared: &mut Self::Shared,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<Self::Output>, Error>;
}
