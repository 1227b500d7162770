//! Pushed authorization requests (RFC 9126): what is asked for goes to the provider directly, and the
//! user's browser carries no more than a reference to it.

use crate::client::dpop::AskProven;
use crate::client::{Client, Par};
use crate::error::{Error, ErrorKind};
use crate::http::form::Form;
use crate::http::json::Value;
use crate::http::{HttpResponse, Purpose};
use crate::options::invalid;
use crate::time::Lifetime;

/// The longest reference that is passed on; real ones have less than 200 characters.
const MAX_REFERENCE: usize = 2048;
/// The longest life that is believed: a day. Providers give minutes.
const MOST_SECONDS: i64 = 24 * 3600;

/// What stands for a pushed request: it can be used once, and for a short time.
pub(super) struct Reference {
    pub(super) request_uri: String,
    pub(super) lifetime: Lifetime,
}

/// Whether this client pushes its requests to this provider. It is never left out silently.
///
/// # Errors
///
/// `config_invalid` at `par` when it is off and the provider takes no other requests.
pub(super) fn is_due(client: &Client) -> Result<bool, Error> {
    let metadata = client.provider().metadata().ok_or(ErrorKind::FlowMisused)?;
    match (client.config().par, metadata.requires_pushed_requests()) {
        (Par::Off, true) => Err(invalid("par")),
        (Par::Require, _) | (Par::Auto, true) => Ok(true),
        (Par::Off | Par::Auto, false) => Ok(false),
    }
}

/// The request that pushes an authorization request, which names the client (section 2.1).
///
/// # Errors
///
/// `metadata_invalid` when the provider names no endpoint for it.
pub(super) fn push(client: &Client, form: Form) -> Result<AskProven, Error> {
    let provider = client.provider();
    let metadata = provider.metadata().ok_or(ErrorKind::FlowMisused)?;
    Ok(AskProven::new(
        Purpose::PushedRequest,
        metadata.pushed_authorization_request_endpoint()?.clone(),
        form,
        provider.timeout(),
    ))
}

/// Reads the answer (section 2.2).
///
/// # Errors
///
/// `server_error_response` or `upstream_status` when the provider refused, `redirect_refused`,
/// `response_malformed` at the member that is not what the specification asks for.
pub(super) fn read(response: &HttpResponse) -> Result<Reference, Error> {
    let malformed = |at: &'static str| Error::new(ErrorKind::ResponseMalformed, at);
    match response.status() {
        201 => {}
        300..=399 => return Err(ErrorKind::RedirectRefused.into()),
        400.. => return Err(response.refusal()),
        _ => return Err(malformed("status")),
    }
    let object = response.object(
        &["application/json"],
        Purpose::PushedRequest.max_body(),
        ErrorKind::ResponseMalformed,
    )?;
    let request_uri = object.get("request_uri").and_then(Value::as_str);
    let request_uri = request_uri
        .filter(|text| {
            !text.is_empty()
                && text.len() <= MAX_REFERENCE
                && text.bytes().all(|byte| (0x21..=0x7e).contains(&byte))
        })
        .ok_or_else(|| malformed("request_uri"))?;
    let seconds = object
        .get("expires_in")
        .and_then(|value| value.as_number()?.as_integer())
        .filter(|seconds| *seconds > 0)
        .ok_or_else(|| malformed("expires_in"))?;
    Ok(Reference {
        request_uri: request_uri.into(),
        lifetime: Lifetime::from_millis(seconds.min(MOST_SECONDS).saturating_mul(1000)),
    })
}
