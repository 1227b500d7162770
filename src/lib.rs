//! gatepass gets a pass and checks a pass.
//!
//! One core that knows OAuth 2.1 and OpenID Connect and nothing else: it never sends, never
//! sleeps, never reads a clock and never draws randomness. Time and entropy are arguments, a
//! conversation with a provider is a [`flow::Flow`] that the caller steps. The same decisions
//! therefore run in a page, in an edge worker, in Node and natively.
//!
//! ```text
//! client   ClientConfig --authorize(entropy)--> (Url, PendingLogin) --callback(url)--> CallbackCode
//!          --exchange--> Tokens (+ IdToken) --> Session --attach(now)--> token | refresh | login
//! guard    Authorization --> BearerToken --> Unverified --keys.select--> SignatureCheck --effect-->
//!          SignatureProof --> Verified<Claims> --> Principal          | Refusal
//! ```
//!
//! The modules stand in the order of that drawing; each may use only what stands above it.

// Root words: no HTTP, no JSON, no clock.
mod base64url;
pub mod error;
#[cfg(feature = "flows")]
pub mod random;
pub mod secret;
pub mod time;

// Requests and responses as plain values.
pub mod http;
// Signed tokens as bytes and algebra.
pub mod jose;
// How options are read.
mod options;
// How a conversation is stepped.
pub mod flow;
// Who may speak, with which keys.
pub mod issuer;

// The two roles; they do not know each other.
#[cfg(feature = "flows")]
pub mod client;
#[cfg(feature = "guard")]
pub mod guard;

// The boundary to JavaScript.
#[cfg(target_arch = "wasm32")]
pub mod wasm;

pub use error::{Error, ErrorKind};
