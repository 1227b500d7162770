//! An answer that someone else received.

use core::fmt;

#[cfg(feature = "flows")]
use crate::error::clean;
use crate::error::{Details, Error, ErrorKind};
#[cfg(feature = "flows")]
use crate::http::challenge::Demand;
#[cfg(feature = "backend")]
use crate::http::date;
use crate::http::json::{self, Object};
#[cfg(feature = "flows")]
use crate::http::snippet::snippet;
#[cfg(feature = "flows")]
use crate::secret::Secret;
#[cfg(feature = "flows")]
use crate::time::{Lifetime, Timestamp};

/// The longest that a provider is believed when it says when to ask again, in seconds: a day.
#[cfg(feature = "flows")]
const LONGEST_RETRY_AFTER: u32 = 24 * 3600;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unreachable {
    /// No connection, no name, no TLS, or a page's CORS rules.
    Network,
    /// A redirect, which is never followed.
    Redirected,
    /// Not in time.
    Timeout,
    /// Larger than the limit; reading stopped there.
    TooLarge,
    /// It was not sent: the time was over until which it may be ([`crate::http::HttpRequest::send_by`]).
    Late,
}

impl From<Unreachable> for Error {
    fn from(cause: Unreachable) -> Self {
        Self::from(match cause {
            Unreachable::Network => ErrorKind::UpstreamUnreachable,
            Unreachable::Redirected => ErrorKind::RedirectRefused,
            Unreachable::Timeout => ErrorKind::UpstreamTimeout,
            Unreachable::TooLarge => ErrorKind::ResponseTooLarge,
            Unreachable::Late => ErrorKind::FlowExpired,
        })
    }
}

/// An answer as a value. Its `Debug` shows the status only.
#[derive(Clone)]
pub struct HttpResponse {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// What was secret in the request: providers repeat what they were sent.
    #[cfg(feature = "flows")]
    secrets: Vec<Secret<String>>,
}

impl HttpResponse {
    /// The headers that are read; no others need to be handed over.
    pub const HEADERS: &'static [&'static str] = &[
        "cache-control",
        "content-type",
        "dpop-nonce",
        #[cfg(feature = "backend")]
        "oauth-client-attestation-challenge",
        "retry-after",
        "www-authenticate",
        #[cfg(feature = "flows")]
        "x-request-id",
    ];

    /// An answer with a status, those of [`HttpResponse::HEADERS`] that it has, and its body.
    ///
    /// It does not know what was asked: what it repeats of a request's secrets would stand in an
    /// error's details. Whoever sent a request makes its answer with [`HttpRequest::answer`].
    ///
    /// [`HttpRequest::answer`]: crate::http::HttpRequest::answer
    pub fn new(status: u16, headers: Vec<(&'static str, String)>, body: Vec<u8>) -> Self {
        Self {
            status,
            headers,
            body,
            #[cfg(feature = "flows")]
            secrets: Vec::new(),
        }
    }

    /// The same, which does not tell these values in errors.
    #[cfg(feature = "flows")]
    pub(super) fn hiding(mut self, secrets: Vec<Secret<String>>) -> Self {
        self.secrets = secrets;
        let challenge = self.headers.iter_mut();
        for (_, value) in challenge.filter(|(name, _)| *name == "www-authenticate") {
            *value = hide(&self.secrets, value);
        }
        self
    }

    /// A text of the provider's as it may be shown.
    #[cfg(feature = "flows")]
    fn shown(&self, text: &str) -> String {
        clean(&hide(&self.secrets, text))
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// A header, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find_map(|(key, value)| (*key == name).then_some(value.as_str()))
    }

    /// Whether it came without a body.
    #[cfg(feature = "flows")]
    pub(crate) fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// The body of an answer that was made of text or read as it.
    #[cfg(all(any(feature = "guard", feature = "primitives"), target_arch = "wasm32"))]
    pub(crate) fn into_text(self) -> String {
        String::from_utf8(self.body).unwrap_or_default()
    }

    /// Whether the media type is one of these; parameters and case do not matter.
    pub(crate) fn has_type(&self, types: &[&str]) -> bool {
        let essence = self
            .header("content-type")
            .and_then(|value| value.split(';').next())
            .unwrap_or_default()
            .trim();
        types.iter().any(|name| name.eq_ignore_ascii_case(essence))
    }

    /// The body as a JSON object, when the status is 200 and the media type one of these.
    ///
    /// # Errors
    ///
    /// `redirect_refused` for a redirect, `upstream_status` for another status than 200, and
    /// `malformed` for another media type or a body that is no strict JSON object.
    pub(crate) fn json(
        &self,
        types: &[&str],
        max_bytes: usize,
        malformed: ErrorKind,
    ) -> Result<Object, Error> {
        self.check_status()?;
        self.object(types, max_bytes, malformed)
    }

    /// The body as text, when the status is 200 and the media type one of these.
    ///
    /// # Errors
    ///
    /// As [`HttpResponse::json`]; `malformed` also for a body that is not UTF-8.
    pub(crate) fn text(&self, types: &[&str], malformed: ErrorKind) -> Result<&str, Error> {
        self.check_status()?;
        if !self.has_type(types) {
            return Err(Error::new(malformed, "content-type").with_details(self.details()));
        }
        core::str::from_utf8(&self.body).map_err(|_| Error::new(malformed, "body"))
    }

    fn check_status(&self) -> Result<(), Error> {
        match self.status {
            200 => Ok(()),
            // 304 leads nowhere: it answers a condition that is never set.
            300..=303 | 305..=399 => Err(ErrorKind::RedirectRefused.into()),
            _ => Err(Error::from(ErrorKind::UpstreamStatus).with_details(self.details())),
        }
    }

    /// What there is to tell of an answer that is none.
    fn details(&self) -> Details {
        Details {
            status: Some(self.status),
            #[cfg(feature = "flows")]
            snippet: snippet(&self.body, |text| hide(&self.secrets, text)),
            #[cfg(feature = "flows")]
            request_id: self.header("x-request-id").map(|id| self.shown(id)),
            ..Details::default()
        }
    }

    /// The body as a JSON object whatever the status.
    ///
    /// # Errors
    ///
    /// As [`HttpResponse::json`] but for the status.
    pub(crate) fn object(
        &self,
        types: &[&str],
        max_bytes: usize,
        malformed: ErrorKind,
    ) -> Result<Object, Error> {
        if !self.has_type(types) {
            return Err(Error::new(malformed, "content-type").with_details(self.details()));
        }
        json::read_object(&self.body, max_bytes).map_err(|fault| match fault {
            json::Fault::TooLarge => ErrorKind::ResponseTooLarge.into(),
            _ => Error::new(malformed, "body"),
        })
    }

    /// The OAuth error of a refusal (RFC 6749 section 5.2), that of its challenge (RFC 6750 section
    /// 3), or what the status alone tells.
    #[cfg(feature = "flows")]
    pub(crate) fn refusal(&self) -> Error {
        let mut details = self.details();
        let body = self.object(
            &["application/json"],
            64 * 1024,
            ErrorKind::ResponseMalformed,
        );
        let code = body.as_ref().ok().and_then(|body| body.get("error"));
        let Some(code) = code else {
            let demands = self.header("www-authenticate").and_then(Demand::read);
            let demands = demands.unwrap_or_default();
            let named = demands.iter().find(|demand| demand.get("error").is_some());
            let Some(demand) = named else {
                return Error::from(ErrorKind::UpstreamStatus).with_details(details);
            };
            details.error = demand.get("error").map(clean);
            details.error_description = demand.get("error_description").map(clean);
            return Error::from(ErrorKind::ServerErrorResponse).with_details(details);
        };
        // 5.2: both values are strings.
        let description = match body
            .as_ref()
            .ok()
            .and_then(|body| body.get("error_description"))
        {
            None => None,
            Some(text) => match text.as_str() {
                Some(text) => Some(self.shown(text)),
                None => {
                    return Error::new(ErrorKind::ResponseMalformed, "error_description")
                        .with_details(details);
                }
            },
        };
        match code.as_str() {
            Some(code) if !code.is_empty() => {
                // Those that decide something are such words, and no secret is.
                let is_word = |c: char| c.is_ascii_lowercase() || c == '_';
                details.error = Some(if code.chars().all(is_word) {
                    clean(code)
                } else {
                    self.shown(code)
                });
                details.error_description = description;
                Error::from(ErrorKind::ServerErrorResponse).with_details(details)
            }
            _ => Error::new(ErrorKind::ResponseMalformed, "error").with_details(details),
        }
    }

    /// An error with what this answer says of when to come back.
    #[cfg(feature = "flows")]
    pub(crate) fn told_when(&self, error: Error, now: Timestamp) -> Error {
        match self.retry_after(now) {
            Some(pause) => error.retry_after(pause.whole_seconds().min(LONGEST_RETRY_AFTER)),
            None => error,
        }
    }

    /// For how long not to ask again (RFC 9110 section 10.2.3): seconds or a date. `None` when it
    /// does not say or says something else.
    #[cfg(feature = "flows")]
    pub(crate) fn retry_after(&self, now: Timestamp) -> Option<Lifetime> {
        let value = self.header("retry-after")?.trim();
        if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
            let seconds = value.parse().unwrap_or(u32::MAX);
            return Some(Lifetime::from_seconds(seconds));
        }
        // The page's artefact has no reader of dates.
        #[cfg(feature = "backend")]
        return date::read(value).map(|moment| moment.since(now));
        #[cfg(not(feature = "backend"))]
        {
            let _ = now;
            None
        }
    }

    /// Why an answer with another status than 200 is none: the redirect, or the refusal.
    #[cfg(feature = "flows")]
    pub(crate) fn failure(&self) -> Error {
        match self.check_status() {
            Err(error) if self.status < 400 => error,
            _ => self.refusal(),
        }
    }

    /// How long the answer may be kept by its `Cache-Control`, in seconds.
    ///
    /// `None` when it does not say; zero for `no-store` and `no-cache`.
    pub(crate) fn max_age(&self) -> Option<u32> {
        let mut max_age = None;
        for directive in self.header("cache-control")?.split(',') {
            let directive = directive.trim().to_ascii_lowercase();
            if directive == "no-store" || directive == "no-cache" {
                return Some(0);
            }
            if let Some(seconds) = directive.strip_prefix("max-age=") {
                // More than a u32 of seconds is "for ever", which the caller bounds.
                let digits =
                    seconds.bytes().all(|byte| byte.is_ascii_digit()) && !seconds.is_empty();
                max_age = digits.then(|| seconds.parse().unwrap_or(u32::MAX));
            }
        }
        max_age
    }
}

/// A text without these values.
#[cfg(feature = "flows")]
fn hide(secrets: &[Secret<String>], text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    // Character by character: the library's search for texts is 3 kB.
    while let Some(first) = rest.chars().next() {
        // EXPOSE: each is taken out.
        let after = secrets
            .iter()
            .filter(|secret| !secret.expose().is_empty())
            .find_map(|secret| rest.strip_prefix(secret.expose().as_str()));
        if after.is_some() {
            shown.push_str("...");
        } else {
            shown.push(first);
        }
        rest = after
            .or_else(|| rest.get(first.len_utf8()..))
            .unwrap_or_default();
    }
    shown
}

impl fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpResponse({})", self.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, content_type: &str, body: &str) -> HttpResponse {
        HttpResponse::new(
            status,
            vec![("content-type", content_type.into())],
            body.into(),
        )
    }

    fn kind(response: &HttpResponse) -> Option<ErrorKind> {
        response
            .json(&["application/json"], 100, ErrorKind::ResponseMalformed)
            .err()
            .map(|error| error.kind())
    }

    #[test]
    fn only_json_with_status_200_is_an_answer() {
        assert_eq!(kind(&response(200, "application/json", "{}")), None);
        assert_eq!(
            kind(&response(200, "Application/JSON; charset=utf-8", "{}")),
            None
        );
        for content_type in ["text/html", "text/plain", "", "application/jsonx"] {
            assert_eq!(
                kind(&response(200, content_type, "{}")),
                Some(ErrorKind::ResponseMalformed)
            );
        }
        for body in ["", "<html>", "[]", "null", "{", "\u{feff}{}"] {
            assert_eq!(
                kind(&response(200, "application/json", body)),
                Some(ErrorKind::ResponseMalformed)
            );
        }
        assert_eq!(
            kind(&response(302, "application/json", "{}")),
            Some(ErrorKind::RedirectRefused)
        );
        assert_eq!(
            kind(&response(204, "application/json", "{}")),
            Some(ErrorKind::UpstreamStatus)
        );
        assert_eq!(
            kind(&response(200, "application/json", &"1".repeat(101))),
            Some(ErrorKind::ResponseTooLarge)
        );
    }

    #[test]
    fn cache_control_is_read() {
        let age = |value: &str| {
            HttpResponse::new(200, vec![("cache-control", value.into())], Vec::new()).max_age()
        };
        assert_eq!(age("public, max-age=600"), Some(600));
        assert_eq!(age("max-age=600, no-store"), Some(0));
        assert_eq!(age("max-age=99999999999"), Some(u32::MAX));
        assert_eq!(age("max-age=-1"), None);
        assert_eq!(age("public"), None);
    }

    #[cfg(feature = "flows")]
    #[test]
    fn a_refusal_keeps_the_code_and_nothing_of_a_page() {
        let refusal = response(
            400,
            "application/json",
            r#"{"error":"invalid_grant","error_description":"a\u0007b"}"#,
        )
        .refusal();
        assert_eq!(refusal.kind(), ErrorKind::ServerErrorResponse);
        assert_eq!(
            refusal.details().unwrap().error.as_deref(),
            Some("invalid_grant")
        );
        assert_eq!(
            refusal.details().unwrap().error_description.as_deref(),
            Some("ab")
        );
        let page = response(500, "text/html", "<h1>token eyJ</h1>").refusal();
        assert_eq!(page.kind(), ErrorKind::UpstreamStatus);
        assert!(!format!("{page:?}{:?}", page.details()).contains("eyJ"));
        let odd = response(400, "application/json", r#"{"error":1}"#).refusal();
        assert_eq!(odd.kind(), ErrorKind::ResponseMalformed);
    }
}
