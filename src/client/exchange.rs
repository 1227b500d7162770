//! The token endpoint (RFC 6749 sections 4.1.3, 5 and 6).

use crate::client::dpop::AskProven;
use crate::client::{CallbackCode, Client, ClientConfig, PendingLogin};
use crate::error::{Error, ErrorKind};
use crate::http::form::Form;
use crate::http::json::{Object, Value};
use crate::http::{HttpResponse, Purpose, Url};
use crate::secret::Secret;
use crate::time::{Lifetime, Timestamp};

/// The longest token that is kept.
const MAX_TOKEN: usize = 64 * 1024;
/// The longest life that is believed: ten years. Longer ones would overflow timers.
const MOST_SECONDS: u32 = 10 * 366 * 24 * 3600;

/// A token response that was checked.
#[derive(Debug)]
pub struct Tokens {
    /// The access token.
    pub(super) access_token: Secret<String>,
    /// The refresh token, if one was issued.
    pub(super) refresh_token: Option<Secret<String>>,
    /// The ID token, not verified yet.
    pub(super) id_token: Option<Secret<String>>,
    /// How long the access token lives from now; unknown when the provider does not say.
    pub(super) expires_in: Option<Lifetime>,
    /// What the user agreed to in detail (RFC 9396 section 7): an array of objects with a type.
    pub(super) authorization_details: Option<Value>,
    /// The scope, when it is not the one that was asked for.
    pub(super) scope: Option<String>,
    /// The type of what was issued (RFC 8693 section 2.2.1).
    #[cfg(feature = "backend")]
    pub(super) issued_token_type: Option<String>,
    /// How the access token is shown; `N_A` for what is no access token.
    #[cfg(feature = "backend")]
    pub(super) token_type: &'static str,
    /// The members that were checked.
    pub(super) checked: Vec<&'static str>,
}

/// The request that exchanges a code.
pub(super) fn exchange(client: &Client, callback: &CallbackCode) -> Result<AskProven, Error> {
    post(
        client,
        code_form(callback.code(), callback.login()),
        Purpose::Token,
    )
}

/// What exchanges a code (RFC 6749 section 4.1.3, RFC 7636 section 4.5).
pub(super) fn code_form(code: &Secret<String>, login: &PendingLogin) -> Form {
    let mut form = Form::new();
    form.push("grant_type", "authorization_code");
    // EXPOSE: code and verifier go to the token endpoint of the provider that issued the code.
    form.push("code", code.expose());
    form.push("redirect_uri", &login.redirect_uri);
    form.push("code_verifier", login.verifier.expose());
    form
}

/// The request that renews the tokens.
pub(super) fn refresh(client: &Client, refresh_token: &Secret<String>) -> Result<AskProven, Error> {
    post(client, refresh_form(refresh_token), Purpose::Refresh)
}

/// What renews tokens (RFC 6749 section 6).
pub(super) fn refresh_form(refresh_token: &Secret<String>) -> Form {
    let mut form = Form::new();
    form.push("grant_type", "refresh_token");
    // EXPOSE: it goes to the token endpoint of the provider that issued it.
    form.push("refresh_token", refresh_token.expose());
    form
}

fn post(client: &Client, form: Form, purpose: Purpose) -> Result<AskProven, Error> {
    let timeout = client.provider().timeout();
    let (url, form) = addressed(client, form)?;
    Ok(AskProven::new(purpose, url, form, timeout))
}

/// The token endpoint, and the form with what every request there says.
pub(super) fn addressed(client: &Client, mut form: Form) -> Result<(Url, Form), Error> {
    let metadata = client.provider().metadata();
    let metadata = metadata.ok_or(ErrorKind::FlowMisused)?;
    for resource in &client.config().resource {
        form.push("resource", resource);
    }
    Ok((metadata.token_endpoint()?.clone(), form))
}

/// Reads a token response.
///
/// # Errors
///
/// `server_error_response` or `upstream_status` when the provider refused, `redirect_refused`,
/// `response_malformed` at the member that is not what RFC 6749 section 5.1 asks for,
/// `token_type_unsupported`.
pub(super) fn read(
    response: &HttpResponse,
    config: &ClientConfig,
    now: Timestamp,
) -> Result<Tokens, Error> {
    read_as(response, &[config.token_type()]).map_err(|error| response.told_when(error, now))
}

/// As [`read`], for these types of tokens. One that is not bound although it was to be is not used
/// (RFC 9449 section 5).
pub(super) fn read_as(response: &HttpResponse, accepts: &[&'static str]) -> Result<Tokens, Error> {
    if response.status() >= 400 {
        return Err(response.refusal());
    }
    let object = response.json(
        &["application/json"],
        Purpose::Token.max_body(),
        ErrorKind::ResponseMalformed,
    )?;
    let malformed = |at: &'static str| Error::new(ErrorKind::ResponseMalformed, at);
    if object.get("error").is_some() {
        return Err(malformed("error"));
    }
    let access_token = token(&object, "access_token")?.ok_or_else(|| malformed("access_token"))?;
    let token_type = object
        .get("token_type")
        .and_then(Value::as_str)
        .ok_or_else(|| malformed("token_type"))?;
    // RFC 6749 section 5.1: case does not matter; section 7.1: unknown types are not used.
    let mut accepted = accepts.iter();
    let accepted = accepted.find(|accepted| accepted.eq_ignore_ascii_case(token_type));
    if accepted.is_none() {
        return Err(ErrorKind::TokenTypeUnsupported.into());
    }
    #[cfg(feature = "backend")]
    let issued_token_type = match object.get("issued_token_type") {
        None => None,
        Some(value) => {
            let text = value
                .as_str()
                .ok_or_else(|| malformed("issued_token_type"))?;
            Some(text.to_owned())
        }
    };
    let scope = match object.get("scope") {
        None => None,
        Some(value) => Some(value.as_str().ok_or_else(|| malformed("scope"))?.to_owned()),
    };
    let (refresh_token, id_token) = (
        token(&object, "refresh_token")?,
        token(&object, "id_token")?,
    );
    let expires_in = lifetime(&object)?;
    let authorization_details = object.get("authorization_details").cloned();
    let is_malformed = |details: &Value| types(details).is_none();
    if authorization_details.as_ref().is_some_and(is_malformed) {
        return Err(malformed("authorization_details"));
    }
    let members = [
        "access_token",
        "token_type",
        "expires_in",
        "scope",
        "refresh_token",
        "id_token",
        "authorization_details",
    ];
    Ok(Tokens {
        access_token,
        refresh_token,
        id_token,
        expires_in,
        authorization_details,
        scope,
        #[cfg(feature = "backend")]
        issued_token_type,
        #[cfg(feature = "backend")]
        token_type: accepted.copied().unwrap_or_default(),
        checked: members
            .into_iter()
            .filter(|name| object.get(name).is_some())
            .collect(),
    })
}

impl Tokens {
    /// Checks that details that were asked for were answered: the provider says what was granted
    /// (RFC 9396 section 7), of types that were asked for. The details themselves may differ, because
    /// users agree to less and providers add to them; they are shown to the program.
    pub(super) fn check_details(self, asked: &[String]) -> Result<Self, Error> {
        let granted = self.authorization_details.as_ref().and_then(types);
        let is_asked = |name: &&str| asked.iter().any(|asked| asked == name);
        match granted {
            _ if asked.is_empty() => Ok(self),
            Some(granted) if granted.iter().all(is_asked) => Ok(self),
            _ => Err(Error::new(
                ErrorKind::ResponseMalformed,
                "authorization_details",
            )),
        }
    }
}

/// The types of authorization details; `None` unless they are an array of objects with a type
/// (RFC 9396 section 2).
pub(super) fn types(details: &Value) -> Option<Vec<&str>> {
    let details = details.as_array()?.iter();
    details
        .map(|detail| detail.as_object()?.get("type")?.as_str())
        .collect()
}

/// A token: printable ASCII, not empty (RFC 6749 appendix A.12 and A.17).
pub(super) fn token(object: &Object, name: &'static str) -> Result<Option<Secret<String>>, Error> {
    match object.get(name) {
        None => Ok(None),
        Some(Value::String(text))
            if !text.is_empty()
                && text.len() <= MAX_TOKEN
                && text.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) =>
        {
            Ok(Some(Secret::new(text.clone())))
        }
        Some(_) => Err(Error::new(ErrorKind::ResponseMalformed, name)),
    }
}

/// `expires_in`: seconds; digits in a string are read too, because some providers send them so.
pub(super) fn lifetime(object: &Object) -> Result<Option<Lifetime>, Error> {
    let malformed = || Error::new(ErrorKind::ResponseMalformed, "expires_in");
    let seconds = match object.get("expires_in") {
        None => return Ok(None),
        Some(Value::Number(number)) if number.as_text().starts_with('-') => return Err(malformed()),
        Some(Value::Number(number)) => number.scaled(0).unwrap_or(i64::MAX),
        Some(Value::String(text))
            if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            text.parse().unwrap_or(i64::MAX)
        }
        Some(_) => return Err(malformed()),
    };
    let seconds = u32::try_from(seconds)
        .unwrap_or(MOST_SECONDS)
        .min(MOST_SECONDS);
    Ok(Some(Lifetime::from_seconds(seconds)))
}
