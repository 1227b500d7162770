//! The boundary to JavaScript: it translates and calls, and takes no decision of the protocol.
//!
//! The only folder that knows the web. Data crosses as JSON text that Rust has checked; tokens
//! cross only where someone asks for one. Exported classes hold their state in an `Rc`, take
//! `&self` and return promises, so that a second call during a pending one works and no borrow
//! lives across an await.

// The expansion of #[wasm_bindgen] needs both.
#![allow(unsafe_code, missing_docs)]

#[cfg(feature = "backend")]
mod abort;
#[cfg(feature = "allocator")]
mod allocator;
mod ambient;
#[cfg(any(feature = "client", feature = "guard"))]
mod drive;
mod error;
mod fetch;
#[cfg(any(feature = "client", feature = "guard"))]
mod flight;
#[cfg(feature = "primitives")]
mod primitives;
#[cfg(any(feature = "backend", feature = "guard"))]
mod private_key;
#[cfg(any(feature = "client", feature = "guard"))]
mod sign;
#[cfg(any(feature = "client", feature = "guard"))]
mod subtle;

#[cfg(feature = "client")]
mod client;
#[cfg(feature = "guard")]
mod guard;
#[cfg(feature = "client")]
mod keep;
#[cfg(feature = "client")]
mod keyring;
#[cfg(feature = "backend")]
mod logout;
#[cfg(feature = "backend")]
mod machine;
#[cfg(feature = "client")]
mod share;
#[cfg(feature = "guard")]
mod shared_cache;
#[cfg(feature = "client")]
mod store;

#[cfg(feature = "client")]
pub use client::JsClient;
#[cfg(feature = "guard")]
pub use guard::JsGuard;
#[cfg(feature = "backend")]
pub use logout::JsLogoutReceiver;
#[cfg(feature = "backend")]
pub use machine::{discover_resource, register_client};
#[cfg(feature = "primitives")]
pub use primitives::{
    authorization_url, check_claims, create_pkce, decode_jwt, discover, exchange_code,
    parse_callback, refresh_tokens,
};
#[cfg(feature = "guard")]
pub use subtle::check_signature;

use wasm_bindgen::prelude::*;

use crate::ErrorKind;
use crate::http::json::{self, Object};

/// The longest text of options; a metadata document may stand in it.
const MAX_OPTIONS: usize = 1024 * 1024;

/// Reads an options object that JavaScript wrote as JSON text.
fn options(text: &str) -> Result<Object, JsValue> {
    json::read_object(text.as_bytes(), MAX_OPTIONS)
        .map_err(|_| error::to_js(&crate::Error::new(ErrorKind::ConfigInvalid, "options")))
}

/// Reads an options object as it is; what no JSON value stands for is refused.
#[cfg(feature = "serde")]
fn options_of(object: JsValue) -> Result<Object, JsValue> {
    serde_wasm_bindgen::from_value(object)
        .map_err(|_| error::to_js(&crate::Error::new(ErrorKind::ConfigInvalid, "options")))
}
