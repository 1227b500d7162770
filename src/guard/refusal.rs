//! What a client is told when its request is refused (RFC 6750 section 3).

use crate::error::{Blame, Error, ErrorKind, Phase};
use crate::guard::Need;
use crate::http::challenge::Challenge;
use crate::http::json::{Object, Value};

/// A refused request: why, for us, and what the client is told, which is less.
///
/// All bad tokens get the same answer: which check failed is the operator's to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    error: Error,
    status: u16,
    challenge: Option<Challenge>,
}

impl Refusal {
    /// The answer for an error of a check of a request with this need.
    pub fn new(error: Error, need: &Need) -> Self {
        let bearer = || Challenge::new("Bearer");
        // What fails while a provider is asked is nothing of the client's, also where the same rule
        // broken by a token would be.
        let blame = match error.phase() {
            Some(Phase::Introspection) => Blame::Provider,
            _ => error.kind().blame(),
        };
        let (status, challenge) = match (error.kind(), blame) {
            // 3.1: a request without credentials is told the scheme and nothing else.
            (ErrorKind::CredentialMissing, _) => (401, Some(bearer())),
            // 3.1: all scopes that are needed stand in one challenge.
            (ErrorKind::ScopeInsufficient, _) => {
                let challenge = bearer()
                    .with("error", "insufficient_scope")
                    .with("scope", &need.scope());
                (403, Some(challenge))
            }
            (_, Blame::Request) => (400, Some(bearer().with("error", "invalid_request"))),
            (_, Blame::Token) => {
                let challenge = bearer().with("error", "invalid_token").with(
                    "error_description",
                    "The access token is not valid for this request",
                );
                (401, Some(challenge))
            }
            // Our configuration, the provider, the network: no token would help.
            (_, Blame::Config | Blame::Network | Blame::Provider) => (503, None),
        };
        Self {
            error,
            status,
            challenge,
        }
    }

    /// Why: for logs and events, not for the client.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// The HTTP status: 400, 401, 403 or 503.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The value of `WWW-Authenticate`; none where no token would help.
    pub fn challenge(&self) -> Option<&str> {
        self.challenge.as_ref().map(Challenge::as_str)
    }

    /// The value of `Retry-After` in seconds (RFC 9110 section 10.2.3), if it is known.
    pub fn retry_after(&self) -> Option<u32> {
        let details = self.error.details().filter(|_| self.status == 503);
        details.and_then(|details| details.retry_after)
    }

    /// As JSON for JavaScript.
    pub fn to_json(&self) -> String {
        let at = Some(self.error.at()).filter(|at| !at.is_empty());
        Value::from(
            Object::new()
                .with("code", self.error.code())
                .with("status", i64::from(self.status))
                .with_some("challenge", self.challenge())
                .with_some("retryAfter", self.retry_after().map(i64::from))
                .with_some("at", at)
                .with("hint", self.error.hint()),
        )
        .to_json()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(kind: ErrorKind) -> Refusal {
        let need = Need::of_scopes(["read", "write"]).unwrap();
        Refusal::new(Error::new(kind, "exp"), &need)
    }

    #[test]
    fn no_credentials_get_a_bare_challenge() {
        let refusal = refusal(ErrorKind::CredentialMissing);
        assert_eq!(
            (refusal.status(), refusal.challenge()),
            (401, Some("Bearer"))
        );
    }

    #[test]
    fn all_bad_tokens_get_one_answer() {
        let answers: Vec<_> = ErrorKind::ALL
            .iter()
            .filter(|kind| kind.blame() == Blame::Token && **kind != ErrorKind::ScopeInsufficient)
            .map(|kind| {
                (
                    refusal(*kind).status(),
                    refusal(*kind).challenge().map(String::from),
                )
            })
            .collect();
        assert!(answers.len() > 10);
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]));
        let (status, challenge) = &answers[0];
        assert_eq!(*status, 401);
        assert!(
            challenge
                .as_ref()
                .unwrap()
                .starts_with("Bearer error=\"invalid_token\"")
        );
    }

    #[test]
    fn a_missing_scope_is_forbidden_and_named() {
        let refusal = refusal(ErrorKind::ScopeInsufficient);
        assert_eq!(refusal.status(), 403);
        assert_eq!(
            refusal.challenge(),
            Some("Bearer error=\"insufficient_scope\", scope=\"read write\"")
        );
    }

    #[test]
    fn what_no_token_would_help_has_no_challenge() {
        for kind in [
            ErrorKind::KeysUnavailable,
            ErrorKind::UpstreamTimeout,
            ErrorKind::JwksInvalid,
            ErrorKind::ConfigInvalid,
        ] {
            assert_eq!(
                (refusal(kind).status(), refusal(kind).challenge()),
                (503, None)
            );
        }
        assert_eq!(refusal(ErrorKind::RequestInvalid).status(), 400);
        assert_eq!(refusal(ErrorKind::CredentialMultiple).status(), 400);
    }
}
