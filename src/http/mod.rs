//! Requests and responses as plain values. Nothing here sends.

pub mod challenge;
#[cfg(feature = "backend")]
mod date;
pub mod form;
pub mod json;
mod request;
mod response;
#[cfg(feature = "serde")]
mod serde;
#[cfg(feature = "flows")]
mod snippet;
mod target;
mod url;

#[cfg(feature = "backend")]
pub use request::Attestation;
pub use request::{HttpRequest, Method, Purpose};
pub use response::{HttpResponse, Unreachable};
pub use target::Target;
#[cfg(feature = "guard")]
pub(crate) use target::origin_of;
pub use url::{Transport, Url};
