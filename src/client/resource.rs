//! Requests to an API: which of them get the access token, and what a refusal asks for
//! (RFC 6750, RFC 9470).

use crate::client::ClientConfig;
use crate::error::{Details, Error, ErrorKind, Phase, clean};
use crate::http::challenge::Demand;
use crate::http::{Transport, Url};

/// What to do about an API's answer.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remedy {
    /// Nothing: hand the answer on.
    None,
    /// The token is not good any more: renew it, unless someone has, and try once more.
    Renew,
    /// The proof lacks a nonce, which the answer brought: make another one and try once more
    /// (RFC 9449 section 9).
    Prove,
}

impl ClientConfig {
    /// Whether a request to this URL gets the access token: its origin must be on the list, scheme,
    /// host and port compared as RFC 6454 does.
    ///
    /// The list is the option `allowedOrigins`, else the origins of the `resource`s.
    pub fn allows(&self, url: &str) -> bool {
        is_among(&self.allowed_origins, url)
    }

    /// The type of the tokens that are accepted, which is the scheme under which they are shown.
    pub fn token_type(&self) -> &'static str {
        match self.dpop {
            Some(_) => "DPoP",
            None => "Bearer",
        }
    }
}

/// A URL without what stands behind its authority: queries hold characters that browsers leave as
/// they are.
pub(super) fn server_of(url: &str) -> Option<Url> {
    let (scheme, rest) = url.split_once(':')?;
    let rest = rest.strip_prefix("//")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let end = scheme.len().saturating_add(3).saturating_add(end);
    Url::parse(url.get(..end)?)
}

/// Whether the origin of a URL stands on a list.
pub(super) fn is_among(origins: &[String], url: &str) -> bool {
    server_of(url).is_some_and(|server| {
        server.is_allowed(Transport::SecureOrLoopback) && origins.contains(&server.origin())
    })
}

/// Reads an API's refusal of a request that carried the token.
///
/// # Errors
///
/// `scope_insufficient` when a scope is missing, which `details.scope` names, and
/// `step_up_required` when the user has to sign in anew or in another way, which
/// `details.acr_values` and `details.max_age` name: renewing would not help, a new sign-in may.
pub fn remedy(
    config: &ClientConfig,
    status: u16,
    www_authenticate: Option<&str>,
) -> Result<Remedy, Error> {
    let Some(refusal) = refusal(status, www_authenticate, config.token_type()) else {
        return Ok(Remedy::None);
    };
    if refusal.kind() != ErrorKind::ServerErrorResponse {
        return Err(refusal.during(Phase::Session));
    }
    let error = refusal
        .details()
        .and_then(|details| details.error.as_deref());
    Ok(match (status, error) {
        (401, Some("invalid_token")) => Remedy::Renew,
        (401, Some("use_dpop_nonce")) if config.dpop.is_some() => Remedy::Prove,
        _ => Remedy::None,
    })
}

/// What a refusal says of the token that was shown, if it says anything that can be read.
pub(super) fn refusal(status: u16, www_authenticate: Option<&str>, scheme: &str) -> Option<Error> {
    let demands = www_authenticate.and_then(Demand::read)?;
    let demand = demands.iter().find(|demand| demand.is(scheme))?;
    let text = |name: &str| demand.get(name).map(clean);
    let error = demand.get("error")?;
    let kind = match (status, error) {
        (403, "insufficient_scope") => ErrorKind::ScopeInsufficient,
        // RFC 9470 section 3.
        (401, "insufficient_user_authentication") => ErrorKind::StepUpRequired,
        _ => ErrorKind::ServerErrorResponse,
    };
    Some(
        Error::from(kind).with_details(Details {
            status: Some(status),
            error: text("error"),
            error_description: text("error_description"),
            scope: text("scope"),
            acr_values: text("acr_values"),
            max_age: demand
                .get("max_age")
                .and_then(|seconds| seconds.parse().ok()),
            ..Details::default()
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Client;
    use crate::http::json;

    fn config(more: &str) -> ClientConfig {
        let text = format!(r#"{{"issuer":"https://as.example","clientId":"spa"{more}}}"#);
        let options = json::read_object(text.as_bytes(), 1000).unwrap();
        Client::from_options(&options).unwrap().config().clone()
    }

    // RFR-14, RFR-15.
    #[test]
    fn rfr_14_15_only_listed_origins_get_the_token() {
        let config = config(r#","allowedOrigins":["https://api.example","http://localhost:8080"]"#);
        for url in [
            "https://api.example",
            "https://api.example/",
            "https://api.example:443/a?b={c}|d#e",
            "https://API.example/a",
            "http://localhost:8080/x",
        ] {
            assert!(config.allows(url), "{url}");
        }
        for url in [
            "https://api.example.evil/",
            "https://api.example@evil.example/",
            "https://evil.example/https://api.example",
            "http://api.example/",
            "https://api.example:444/",
            "//api.example/",
            "https://api.example\\@evil.example/",
            "http://localhost/",
            "data:text/plain,x",
            "",
        ] {
            assert!(!config.allows(url), "{url}");
        }
    }

    #[test]
    fn without_a_list_the_resources_are_it() {
        let by_resource = config(r#","resource":["https://api.example/v1","urn:api:x"]"#);
        assert!(by_resource.allows("https://api.example/other"));
        assert!(!config("").allows("https://api.example/"));
        let by_list =
            config(r#","resource":"https://a.example","allowedOrigins":"https://b.example""#);
        assert!(by_list.allows("https://b.example/") && !by_list.allows("https://a.example/"));
    }

    #[test]
    fn only_a_bad_token_is_worth_a_renewal() {
        let config = config("");
        let of = |status, header| remedy(&config, status, header).unwrap();
        assert_eq!(
            of(401, Some("Bearer error=\"invalid_token\"")),
            Remedy::Renew
        );
        assert_eq!(
            of(401, Some("Basic realm=x, Bearer error=invalid_token")),
            Remedy::Renew
        );
        // RFR-10.
        for header in [
            None,
            Some("Bearer"),
            Some("Basic error=invalid_token"),
            Some("Bearer error=\"invalid"),
            Some("Bearer error=invalid_request"),
        ] {
            assert_eq!(of(401, header), Remedy::None, "{header:?}");
        }
        assert_eq!(of(403, Some("Bearer error=invalid_token")), Remedy::None);
        assert_eq!(of(403, None), Remedy::None);
    }

    #[test]
    fn a_bound_token_listens_to_challenges_of_its_own_scheme() {
        let (bound, bearer) = (config(r#","dpop":true"#), config(""));
        for (header, expected) in [
            (
                "DPoP error=\"invalid_token\", algs=\"ES256\"",
                Remedy::Renew,
            ),
            ("DPoP error=\"use_dpop_nonce\"", Remedy::Prove),
            ("DPoP error=\"invalid_dpop_proof\"", Remedy::None),
            ("Bearer error=\"invalid_token\"", Remedy::None),
        ] {
            assert_eq!(remedy(&bound, 401, Some(header)).unwrap(), expected);
        }
        let nonce = Some("Bearer error=\"use_dpop_nonce\"");
        assert_eq!(remedy(&bearer, 401, nonce).unwrap(), Remedy::None);
        let missing = Some("Bearer, DPoP error=\"insufficient_scope\"");
        assert!(remedy(&bound, 403, missing).is_err());
    }

    #[test]
    fn rfr_13_what_only_a_sign_in_can_help_surfaces_as_an_error() {
        let config = config("");
        let error = remedy(
            &config,
            403,
            Some("Bearer error=\"insufficient_scope\", scope=\"a b\""),
        )
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ScopeInsufficient);
        assert_eq!(error.details().unwrap().scope.as_deref(), Some("a b"));
        let header = "Bearer error=\"insufficient_user_authentication\", acr_values=\"mfa\", max_age=\"300\"";
        let error = remedy(&config, 401, Some(header)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StepUpRequired);
        let details = error.details().unwrap();
        assert_eq!(
            (details.acr_values.as_deref(), details.max_age),
            (Some("mfa"), Some(300))
        );
    }
}
