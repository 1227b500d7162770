//! What a guard is configured with.

use crate::error::{Error, Phase};
use crate::guard::opaque::Introspection;
use crate::guard::replay::Replays;
use crate::guard::{Dpop, Guard, Need, Tally, VerdictLimits};
use crate::http::Transport;
use crate::http::json::{Object, Value};
use crate::issuer::Provider;
use crate::jose::{Algorithm, Algorithms};
use crate::options::{Options, invalid};
use crate::time::Lifetime;

/// What a guard demands of every token.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GuardConfig {
    /// The names of this API; a token must be meant for one of them.
    pub audience: Vec<String>,
    /// The algorithms that are accepted.
    pub algorithms: Algorithms,
    /// How far clocks may differ.
    pub clock_tolerance: Lifetime,
    /// What every request needs.
    pub need: Need,
    /// How much a cache of verdicts may hold.
    pub cache: VerdictLimits,
    /// Whether proofs of possession are looked at, and how.
    pub dpop: Dpop,
}

impl Guard {
    /// Reads the options of the public API.
    ///
    /// | option | meaning | default |
    /// |---|---|---|
    /// | `issuer` | issuer identifiers, or a metadata document in place of discovery | required |
    /// | `audience` | the names of this API, one of which a token must carry | required |
    /// | `algorithms` | the accepted algorithms | all asymmetric ones |
    /// | `cache` | `false`, or how many verdicts are kept: `maxEntries` (1 to 1,000,000), `maxBytes` (1 to 1 GiB) | 5,000 and 8 MiB |
    /// | `introspection` | how to ask about tokens that only the provider can read (RFC 7662), see below | JWT only |
    /// | `dpop` | proofs of possession: `off`, `accept` or `require` | `off` |
    /// | `dpopAlgorithms` | the algorithms of proofs | all asymmetric ones |
    /// | `dpopNonce` | proofs need a nonce: true, or the secret (32 bytes or more) that nonces are made with | false |
    /// | `publicOrigin` | the origin under which clients know this API, where a proxy hides it | that of the request |
    /// | `requiredScopes` | scopes that every request needs | none |
    /// | `clockTolerance` | seconds, 0 to 300 | 30 |
    /// | `timeout` | seconds for one request, 1 to 120 | 5 |
    /// | `dangerouslyAllowHttpLoopback` | http to this machine itself | false |
    ///
    /// The members of `introspection`:
    ///
    /// | member | meaning | default |
    /// |---|---|---|
    /// | `auth` | `client_secret_basic` (RFC 6749 section 2.3.1), `client_secret_basic_raw` (not encoded), `client_secret_post`, `bearer` | `client_secret_basic` |
    /// | `clientId`, `clientSecret` | this API's own credentials | required but for `bearer` |
    /// | `bearerToken` | the token for `bearer` | required there |
    /// | `issuer` | which of the issuers is asked | the only one |
    /// | `endpoint` | in place of the metadata's `introspection_endpoint` | |
    /// | `tokens` | `opaque`: those that do not look like a signed token; `all` | `opaque` |
    /// | `dangerouslyAllowMissingAudience` | answers without `aud` are accepted | false |
    /// | `jwtResponse` | answers are signed (RFC 9701), and no others are accepted | false |
    /// | `userinfo` | for tokens with the scope `openid` the claims of UserInfo are added | false |
    /// | `concurrency` | questions under way at a time, 1 to 1024 | 16 |
    /// | `cache.ttl` | for how many seconds an answer is used, 0 (off) to 3600, never past `exp`: so long a revoked token may still be accepted | 60 |
    /// | `cache.negativeTtl` | the same for tokens that are not active, 0 to 600 | 10 |
    /// | `cache.maxEntries` | how many answers are kept, in 16 MiB at most | 10,000 |
    /// | `cache.noCacheScopes` | answers that grant one of these scopes are never kept | none |
    ///
    /// # Errors
    ///
    /// `config_invalid` for an unknown option or a value of the wrong type or out of range,
    /// `url_insecure` for issuers that are not https, `metadata_invalid` for a metadata document.
    pub fn from_options(options: &Object) -> Result<Self, Error> {
        read(options).map_err(|error| error.during(Phase::Config))
    }
}

fn read(object: &Object) -> Result<Guard, Error> {
    let options = Options::new(
        object,
        &[
            "algorithms",
            "audience",
            "cache",
            "clockTolerance",
            "dangerouslyAllowHttpLoopback",
            "dpop",
            "dpopAlgorithms",
            "dpopNonce",
            "introspection",
            "issuer",
            "publicOrigin",
            "requiredScopes",
            "timeout",
        ],
    )?;
    let transport = if options.switch("dangerouslyAllowHttpLoopback")? {
        Transport::SecureOrLoopback
    } else {
        Transport::Secure
    };
    let timeout = options.seconds("timeout", 1..=120, 5)?;
    let audience = options
        .strings("audience")?
        .ok_or_else(|| invalid("audience"))?;
    let algorithms = algorithms(&options, "algorithms")?;
    let scopes = options.strings("requiredScopes")?.unwrap_or_default();
    let providers = providers(options.value("issuer"), transport, timeout)?;
    let introspection = options
        .object("introspection")?
        .map(|object| Introspection::from_option(object, &providers, transport, timeout))
        .transpose()?;
    Ok(Guard {
        config: GuardConfig {
            audience: audience.into_iter().map(String::from).collect(),
            algorithms,
            clock_tolerance: options.seconds("clockTolerance", 0..=300, 30)?,
            need: Need::of_scopes(scopes).ok_or_else(|| invalid("requiredScopes"))?,
            cache: VerdictLimits::from_option(options.value("cache"))?,
            dpop: Dpop::from_options(&options)?,
        },
        providers,
        introspection: introspection.map(Box::new),
        replays: Replays::default(),
        tally: Tally::default(),
        alerts: Vec::new(),
    })
}

/// A list of algorithms, all of them when there is none.
pub(super) fn algorithms(options: &Options<'_>, name: &'static str) -> Result<Algorithms, Error> {
    match options.strings(name)? {
        None => Ok(Algorithms::all()),
        Some(names) => {
            // Every name must be one that can be accepted: "none" and HMAC never are.
            let list: Option<Vec<_>> = names.into_iter().map(Algorithm::from_name).collect();
            list.and_then(Algorithms::only).ok_or_else(|| invalid(name))
        }
    }
}

/// One issuer or several, none twice.
fn providers(
    value: Option<&Value>,
    transport: Transport,
    timeout: Lifetime,
) -> Result<Vec<Provider>, Error> {
    let providers: Vec<Provider> = match value {
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| Provider::from_option(Some(item), transport, timeout))
            .collect::<Result<_, _>>()?,
        value => vec![Provider::from_option(value, transport, timeout)?],
    };
    let mut names: Vec<_> = providers
        .iter()
        .map(|provider| provider.issuer().as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() || names.len() != providers.len() {
        return Err(invalid("issuer"));
    }
    Ok(providers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::http::json;

    fn guard(more: &str) -> Result<Guard, Error> {
        let text = format!(r#"{{"issuer":"https://as.example"{more}}}"#);
        Guard::from_options(&json::read_object(text.as_bytes(), 10_000).unwrap())
    }

    #[track_caller]
    fn refused(more: &str, at: &str) {
        let error = guard(more).err().unwrap();
        assert_eq!(
            (error.kind(), error.at()),
            (ErrorKind::ConfigInvalid, at),
            "{more}"
        );
    }

    #[test]
    fn an_audience_is_required() {
        assert!(guard(r#","audience":"api""#).is_ok());
        assert!(guard(r#","audience":["api","other"]"#).is_ok());
        refused("", "audience");
        for value in ["\"\"", "[]", "[\"\"]", "null", "1", "[\"api\",1]"] {
            refused(&format!(r#","audience":{value}"#), "audience");
        }
    }

    #[test]
    fn unknown_options_and_wrong_types_are_refused() {
        refused(r#","audience":"api","audiance":"x""#, "audiance");
        refused(r#","audience":"api","algorithms":[]"#, "algorithms");
        for name in ["none", "HS256", "rs256", "RS256\",\"HS256"] {
            refused(
                &format!(r#","audience":"api","algorithms":["{name}"]"#),
                "algorithms",
            );
        }
        refused(
            r#","audience":"api","requiredScopes":[""]"#,
            "requiredScopes",
        );
        refused(
            r#","audience":"api","requiredScopes":["a b"]"#,
            "requiredScopes",
        );
        refused(
            r#","audience":"api","clockTolerance":"30""#,
            "clockTolerance",
        );
        refused(r#","audience":"api","timeout":121"#, "timeout");
    }

    #[test]
    fn issuers_are_one_or_several_but_none_twice() {
        let read = |issuer: &str| {
            let text = format!(r#"{{"issuer":{issuer},"audience":"api"}}"#);
            Guard::from_options(&json::read_object(text.as_bytes(), 1000).unwrap())
        };
        assert_eq!(
            read(r#"["https://a.example","https://b.example"]"#)
                .unwrap()
                .providers
                .len(),
            2
        );
        for issuer in [
            "[]",
            "null",
            "1",
            "[1]",
            r#"["https://a.example","https://a.example"]"#,
        ] {
            assert_eq!(
                read(issuer).err().unwrap().kind(),
                ErrorKind::ConfigInvalid,
                "{issuer}"
            );
        }
        assert_eq!(
            read(r#""http://a.example""#).err().unwrap().kind(),
            ErrorKind::UrlInsecure
        );
    }
}
