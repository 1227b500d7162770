//! Signed authorization requests (RFC 9101).

use crate::client::Client;
use crate::error::{Error, ErrorKind};
use crate::http::form::{self, Form};
use crate::http::json::{self, Object, Value};
use crate::jose::UnsignedToken;
use crate::options::invalid;
use crate::time::Timestamp;

/// For how long a request object is good, in seconds. The user's browser takes it to the provider at
/// once; what is left is for clocks that differ.
const LIFETIME: i64 = 300;
/// The longest parameter that is taken apart as JSON.
const MAX_JSON: usize = 64 * 1024;

/// A request that lacks its signature, and the parameters that stand beside it.
#[derive(Debug)]
pub(in crate::client) struct Unsigned {
    pub(in crate::client) token: UnsignedToken,
    pub(in crate::client) beside: Form,
}

/// Makes a request object of the parameters of an authorization request, where this client signs
/// its requests.
///
/// # Errors
///
/// `config_invalid` at `requestObject` when there is no key yet, or when the provider's metadata
/// rules request objects or the algorithm out.
pub(in crate::client) fn make(
    client: &Client,
    form: &Form,
    is_pushed: bool,
    now: Timestamp,
) -> Result<Option<Unsigned>, Error> {
    let machine = &client.machine;
    if !machine.signs_requests {
        return Ok(None);
    }
    let key = machine.request_key.as_ref();
    let key = key.ok_or_else(|| invalid("requestObject"))?;
    let metadata = client.provider().metadata().ok_or(ErrorKind::FlowMisused)?;
    if !metadata.allows_request_object(key.algorithm()) {
        return Err(invalid("requestObject"));
    }
    let pairs = form::decode(form.encoded()).ok_or_else(|| invalid("requestObject"))?;
    // RFC 9101 section 4: each parameter is a member; `request` and `request_uri` are not among
    // them, because nobody can set them.
    let mut claims = Object::new();
    for (index, (name, value)) in pairs.iter().enumerate() {
        let same = |(other, _): &&(String, String)| other == name;
        let is_first = !pairs.iter().take(index).any(|pair| same(&pair));
        let mut values: Vec<Value> = pairs
            .iter()
            .filter(same)
            .map(|(_, value)| Value::from(value.as_str()))
            .collect();
        match name.as_str() {
            _ if !is_first => {}
            // A number is a number, and JSON is JSON (OpenID Connect Core section 6.1, RFC 9396
            // section 3).
            "authorization_details" | "claims" | "max_age" => {
                let value = json::read(value.as_bytes(), MAX_JSON);
                claims = claims.with(name, value.map_err(|_| ErrorKind::FlowMisused)?);
            }
            _ => match (values.len(), values.pop()) {
                (1, Some(only)) => claims = claims.with(name, only),
                (_, Some(last)) => {
                    values.push(last);
                    claims = claims.with(name, Value::Array(values));
                }
                (_, None) => {}
            },
        }
    }
    // Section 4: who asks, and whom. No sub, so that it never passes for a client assertion
    // (section 10.8), and a type of its own for the same reason.
    let claims = claims
        .with("iss", client.config().client_id.as_str())
        .with("aud", client.provider().issuer().as_str())
        .with("iat", now.seconds())
        .with("nbf", now.seconds())
        .with("exp", now.seconds().saturating_add(LIFETIME));
    let mut beside = Form::new();
    beside.push("client_id", &client.config().client_id);
    if !is_pushed {
        // OpenID Connect Core section 6.1 wants these two outside as well.
        for (name, value) in &pairs {
            if name == "response_type" || name == "scope" {
                beside.push(name, value);
            }
        }
    }
    let typ = "oauth-authz-req+jwt";
    Ok(Some(Unsigned {
        token: UnsignedToken::new(key, typ, Object::new(), claims),
        beside,
    }))
}
