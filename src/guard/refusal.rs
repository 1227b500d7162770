//! What a client is told when its request is refused (RFC 6750 section 3).

use crate::error::{Blame, Error, ErrorKind, Phase};
use crate::guard::request::Scheme;
use crate::guard::{DpopMode, GuardConfig, Need};
use crate::http::challenge::Challenge;
use crate::http::json::{Object, Value};

/// What every challenge of a guard says beside the reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChallengeContext {
    /// The realm (RFC 9110 section 11.5).
    pub realm: Option<String>,
    /// Where the metadata of this API is (RFC 9728 section 5.1).
    pub resource_metadata: Option<String>,
}

/// After how many seconds a client may ask again when no token would help and nobody knows
/// better: about as long as the first pauses between attempts to reach a provider.
const RETRY_AFTER: u32 = 5;

/// A refused request: why, for us, and what the client is told, which is less.
///
/// All bad tokens get the same answer: which check failed is the operator's to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    error: Error,
    status: u16,
    challenge: Option<Challenge>,
    dpop_nonce: Option<String>,
}

/// The schemes of a challenge: the one that the client used, and the other one where both are
/// accepted. Whoever uses `DPoP` is not told of `Bearer`.
pub(super) struct Schemes<'a> {
    first: &'static str,
    /// The algorithms of proofs, where `DPoP` is accepted.
    algorithms: Option<String>,
    context: &'a ChallengeContext,
}

impl<'a> Schemes<'a> {
    /// The schemes that are accepted, for a request that used this one.
    pub(super) fn new(config: &'a GuardConfig, used: Scheme) -> Self {
        let dpop = &config.dpop;
        let is_dpop = match dpop.mode() {
            DpopMode::Off => false,
            DpopMode::Accept => used == Scheme::Dpop,
            DpopMode::Require => true,
        };
        Self {
            first: if is_dpop { "DPoP" } else { "Bearer" },
            algorithms: (dpop.mode() != DpopMode::Off).then(|| dpop.algorithms().names()),
            context: &config.challenge,
        }
    }

    /// The challenge of the first scheme, with its realm.
    fn begin(&self) -> Challenge {
        let challenge = Challenge::new(self.first);
        match &self.context.realm {
            Some(realm) => challenge.with("realm", realm),
            None => challenge,
        }
    }

    /// Adds where the metadata is and what the challenge of `DPoP` carries, or that challenge behind
    /// the other one.
    fn complete(&self, challenge: Challenge) -> Challenge {
        let challenge = match &self.context.resource_metadata {
            Some(url) => challenge.with("resource_metadata", url),
            None => challenge,
        };
        match &self.algorithms {
            // RFC 9449 section 7.1: algs says which algorithms a proof may have.
            Some(algorithms) if self.first == "DPoP" => challenge.with("algs", algorithms),
            Some(algorithms) => challenge.or(&Challenge::new("DPoP").with("algs", algorithms)),
            None => challenge,
        }
    }
}

impl Refusal {
    /// The answer for an error of a check of a request with this need, where only `Bearer` is
    /// known; [`Check::refusal`](crate::guard::Check::refusal) gives the one of a guard.
    pub fn new(error: Error, need: &Need) -> Self {
        let schemes = Schemes {
            first: "Bearer",
            algorithms: None,
            context: &ChallengeContext::default(),
        };
        Self::answering(error, need, &schemes, None)
    }

    pub(super) fn answering(
        error: Error,
        need: &Need,
        schemes: &Schemes<'_>,
        dpop_nonce: Option<String>,
    ) -> Self {
        let with_error = |code: &str| schemes.begin().with("error", code);
        // What fails while a provider is asked is nothing of the client's, also where the same rule
        // broken by a token would be.
        let blame = match error.phase() {
            Some(Phase::Introspection) => Blame::Provider,
            _ => error.kind().blame(),
        };
        let (status, challenge) = match (error.kind(), blame) {
            // RFC 6750 section 3.1: a request without credentials is told the scheme and nothing
            // of an error.
            (ErrorKind::CredentialMissing, _) => (401, Some(schemes.begin())),
            // 3.1: all scopes that are needed stand in one challenge.
            (ErrorKind::ScopeInsufficient, _) => {
                let challenge = with_error("insufficient_scope").with("scope", &need.scope());
                (403, Some(challenge))
            }
            // 3.1: higher privileges than the token gives; no scope is known that would give them.
            (
                ErrorKind::RoleInsufficient
                | ErrorKind::PermissionInsufficient
                | ErrorKind::PredicateRefused
                | ErrorKind::UserRequired,
                _,
            ) => (403, Some(with_error("insufficient_scope"))),
            // RFC 9470 section 3.
            (ErrorKind::AuthenticationInsufficient, _) => {
                let mut challenge = with_error("insufficient_user_authentication").with(
                    "error_description",
                    "A different or more recent sign-in is needed",
                );
                if let Some(values) = need.acr_values() {
                    challenge = challenge.with("acr_values", &values);
                }
                if let Some(seconds) = need.max_age() {
                    challenge = challenge.with("max_age", &seconds.to_string());
                }
                (401, Some(challenge))
            }
            // RFC 9449 section 7.1: what is wrong with the proof is 401 too; section 9: the client
            // gets a nonce and tries again.
            (ErrorKind::DpopInvalid | ErrorKind::DpopReplayed, _) => {
                (401, Some(with_error("invalid_dpop_proof")))
            }
            (ErrorKind::UseDpopNonce, _) => (401, Some(with_error("use_dpop_nonce"))),
            (_, Blame::Request) => (400, Some(with_error("invalid_request"))),
            (_, Blame::Token) => {
                let challenge = with_error("invalid_token").with(
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
            challenge: challenge.map(|challenge| schemes.complete(challenge)),
            dpop_nonce,
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

    /// The value of `Retry-After` in seconds (RFC 9110 section 10.2.3); none where a token would help.
    pub fn retry_after(&self) -> Option<u32> {
        let known = self.error.details().and_then(|details| details.retry_after);
        (self.status == 503).then_some(known.unwrap_or(RETRY_AFTER))
    }

    /// The value of `DPoP-Nonce`: what the client's next proof must carry (RFC 9449 section 9).
    pub fn dpop_nonce(&self) -> Option<&str> {
        self.dpop_nonce.as_deref()
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
                .with_some("dpopNonce", self.dpop_nonce())
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
            .filter(|kind| kind.blame() == Blame::Token)
            // What says that the token is good, and not good enough.
            .filter(|kind| {
                !matches!(
                    kind,
                    ErrorKind::AuthenticationInsufficient
                        | ErrorKind::PermissionInsufficient
                        | ErrorKind::PredicateRefused
                        | ErrorKind::RoleInsufficient
                        | ErrorKind::ScopeInsufficient
                        | ErrorKind::UserRequired
                )
            })
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
