//! A request that someone else sends.

use core::fmt;

#[cfg(all(feature = "flows", any(feature = "backend", feature = "guard")))]
use crate::base64url;
#[cfg(feature = "flows")]
use crate::http::form::decode_part;
use crate::http::{HttpResponse, Url};
use crate::secret::Secret;
use crate::time::{Lifetime, Timestamp};

/// The request's method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Method {
    /// GET
    Get,
    /// POST, with a body
    Post,
}

impl Method {
    /// The method as it is sent.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// What a request is for; events and limits go by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// A code for a device without a browser (RFC 8628).
    #[cfg(feature = "backend")]
    DeviceAuthorization,
    /// The provider's metadata.
    Discovery,
    /// What the provider says of an access token (RFC 7662).
    Introspection,
    /// The provider's keys.
    Keys,
    /// An authorization request, pushed (RFC 9126).
    PushedRequest,
    /// A refresh of the tokens.
    Refresh,
    /// A new client (RFC 7591).
    #[cfg(feature = "backend")]
    Registration,
    /// The end of a token (RFC 7009).
    Revocation,
    /// A list of tokens that were taken back (draft-ietf-oauth-status-list).
    #[cfg(feature = "guard")]
    StatusList,
    /// Tokens for an authorization code.
    Token,
    /// What the provider says of a user (OpenID Connect Core section 5.3).
    UserInfo,
}

impl Purpose {
    /// The name that events carry.
    pub fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "backend")]
            Self::DeviceAuthorization => "device_authorization",
            Self::Discovery => "discovery",
            Self::Introspection => "introspection",
            Self::Keys => "keys",
            Self::PushedRequest => "pushed_request",
            Self::Refresh => "refresh",
            #[cfg(feature = "backend")]
            Self::Registration => "registration",
            Self::Revocation => "revocation",
            #[cfg(feature = "guard")]
            Self::StatusList => "status_list",
            Self::Token => "token",
            Self::UserInfo => "userinfo",
        }
    }

    /// The largest answer that is read, in bytes. Honest ones are a tenth of it.
    pub const fn max_body(self) -> usize {
        match self {
            Self::Discovery | Self::Keys => 512 * 1024,
            #[cfg(feature = "backend")]
            Self::DeviceAuthorization | Self::Registration => 64 * 1024,
            #[cfg(feature = "guard")]
            Self::StatusList => 1024 * 1024,
            Self::Introspection
            | Self::PushedRequest
            | Self::Refresh
            | Self::Revocation
            | Self::Token
            | Self::UserInfo => 1024 * 1024,
        }
    }
}

/// A request as a value.
///
/// Whoever sends it never follows redirects, sends no cookies and no referrer, bypasses caches,
/// stops reading after [`HttpRequest::max_body`] bytes and gives up after the timeout.
#[derive(Clone)]
pub struct HttpRequest {
    /// What it is for.
    pub purpose: Purpose,
    /// GET or POST.
    pub method: Method,
    /// Where it goes.
    pub url: Url,
    /// The `Accept` header.
    pub accept: &'static str,
    /// The `Authorization` header.
    pub authorization: Option<Secret<String>>,
    /// The `DPoP` header (RFC 9449).
    pub dpop: Option<Secret<String>>,
    /// Who the client is, by somebody who vouches for it, and the proof that it is this client:
    /// two headers.
    #[cfg(feature = "backend")]
    pub attestation: Option<Box<Attestation>>,
    /// The body, for POST.
    pub body: Option<Secret<String>>,
    /// How long the whole exchange may take.
    pub timeout: Lifetime,
    /// The largest answer that is read, in bytes: that of its purpose where nothing else is said.
    pub max_body: usize,
    /// What others ask at the same time under the same name gets the same answer: send one of them, where
    /// one request may wait for another's. `None` for one that is only its own.
    pub shared_as: Option<String>,
    /// When it is too late to send it, which is [`crate::http::Unreachable::Late`]: look at the clock as
    /// the last thing before.
    pub send_by: Option<Timestamp>,
}

/// What shows that somebody vouches for a client.
#[cfg(feature = "backend")]
#[derive(Clone)]
#[non_exhaustive]
pub struct Attestation {
    /// The `OAuth-Client-Attestation` header.
    pub attestation: Secret<String>,
    /// The `OAuth-Client-Attestation-PoP` header.
    pub proof: Secret<String>,
}

impl HttpRequest {
    /// Asks for a JSON document.
    pub(crate) fn get(purpose: Purpose, url: Url, timeout: Lifetime) -> Self {
        Self {
            purpose,
            method: Method::Get,
            url,
            accept: "application/json",
            authorization: None,
            dpop: None,
            #[cfg(feature = "backend")]
            attestation: None,
            body: None,
            timeout,
            max_body: purpose.max_body(),
            shared_as: None,
            send_by: None,
        }
    }

    /// Sends a form and asks for a JSON document.
    pub(crate) fn post(
        purpose: Purpose,
        url: Url,
        body: Secret<String>,
        timeout: Lifetime,
    ) -> Self {
        Self {
            purpose,
            method: Method::Post,
            url,
            accept: "application/json",
            authorization: None,
            dpop: None,
            #[cfg(feature = "backend")]
            attestation: None,
            body: Some(body),
            timeout,
            max_body: purpose.max_body(),
            shared_as: None,
            send_by: None,
        }
    }
}

impl HttpRequest {
    /// The `Content-Type` header of the body: a form, or JSON for a registration.
    #[cfg(feature = "backend")]
    pub fn media_type(&self) -> &'static str {
        match self.purpose {
            Purpose::Registration => "application/json",
            _ => "application/x-www-form-urlencoded",
        }
    }

    /// The names of the form's parameters, for people who want to see what is sent.
    pub fn parameters(&self) -> Vec<&str> {
        #[cfg(feature = "backend")]
        if self.purpose == Purpose::Registration {
            return Vec::new();
        }
        // EXPOSE: the names only; none of them needs encoding.
        let body = self.body.as_ref().map_or("", |body| body.expose());
        body.split('&')
            .filter_map(|pair| pair.split('=').next())
            .filter(|name| !name.is_empty())
            .collect()
    }
}

/// The parameters that nobody but the provider may see.
#[cfg(feature = "flows")]
const SECRET_PARAMETERS: [&str; 12] = [
    "actor_token",
    "assertion",
    "client_assertion",
    "client_secret",
    "code",
    "code_verifier",
    "device_code",
    "id_token_hint",
    "refresh_token",
    "request",
    "subject_token",
    "token",
];
/// What is shorter, in bytes, would be found in any text.
#[cfg(feature = "flows")]
const SHORTEST_SECRET: usize = 6;

impl HttpRequest {
    /// The answer to this request: its status, those of [`HttpResponse::HEADERS`] that it has, and
    /// its body.
    ///
    /// Providers repeat in their errors what they were sent. What is secret in this request is not
    /// shown in an error's details.
    pub fn answer(
        &self,
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
    ) -> HttpResponse {
        let response = HttpResponse::new(status, headers, body);
        #[cfg(feature = "flows")]
        let response = response.hiding(self.secrets());
        response
    }

    /// What is secret in it, as it is and as it stands in a form.
    #[cfg(feature = "flows")]
    fn secrets(&self) -> Vec<Secret<String>> {
        let mut secrets = Vec::new();
        let mut add = |value: &str| {
            secrets.extend((value.len() >= SHORTEST_SECRET).then(|| Secret::new(value.into())));
        };
        // EXPOSE: what is found here is taken out of what is told.
        let body = self.body.as_ref().map_or("", |body| body.expose());
        for (name, value) in body.split('&').filter_map(|pair| pair.split_once('=')) {
            if SECRET_PARAMETERS.contains(&name) {
                add(value);
                if value.contains(['%', '+'])
                    && let Some(value) = decode_part(value)
                {
                    add(&value);
                }
            }
        }
        let credentials = self
            .authorization
            .as_ref()
            .and_then(|header| header.expose().split_once(' '));
        if let Some((scheme, credentials)) = credentials {
            add(credentials);
            // RFC 7617 section 2: the client's secret stands in it once more, encoded or raw.
            #[cfg(any(feature = "backend", feature = "guard"))]
            if scheme == "Basic"
                && let Some(joined) = base64url::decode_standard(credentials)
                && let Ok(joined) = String::from_utf8(joined)
                && let Some((_, secret)) = joined.split_once(':')
            {
                add(secret);
                if let Some(secret) = decode_part(secret) {
                    add(&secret);
                }
            }
            #[cfg(not(any(feature = "backend", feature = "guard")))]
            let _ = scheme;
        }
        #[cfg(feature = "backend")]
        if let Some(shown) = &self.attestation {
            add(shown.attestation.expose());
            add(shown.proof.expose());
        }
        secrets
    }
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method.name(), self.url.without_query())
    }
}
