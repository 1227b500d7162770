//! A provider made of values, and a clock that stands still until a test moves it.

mod backend;
mod dpop;
mod idp;
mod keys;
mod net;
mod reply;
mod token;
mod world;

pub(crate) use backend::{Backend, EVENT, FORM};
pub(crate) use dpop::{DpopWorld, thumbprint};
pub(crate) use idp::{Idp, at_hash};
pub(crate) use keys::{Key, base64url, from_base64url};
pub(crate) use net::{Net, Sent, start_time};
pub(crate) use reply::Reply;
pub(crate) use token::{Members, Token, sign_text};
pub(crate) use world::{GuardWorld, World, options};

use gatepass::Error;

/// The code of an error and the place it names: what a caller acts upon.
pub(crate) fn code_at<T>(result: Result<T, Error>) -> (&'static str, String) {
    match result {
        Ok(_) => ("accepted", String::new()),
        Err(error) => (error.code(), error.at().to_owned()),
    }
}

/// The code of an error, or `accepted`.
pub(crate) fn code<T>(result: Result<T, Error>) -> &'static str {
    code_at(result).0
}
