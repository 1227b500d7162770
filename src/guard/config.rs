//! What a guard is configured with.

use crate::error::{Error, Phase};
use crate::guard::opaque::Introspection;
use crate::guard::places::Places;
use crate::guard::profile::Profiles;
use crate::guard::status::StatusLists;
use crate::guard::{
    ChallengeContext, Dpop, Guard, GuardLimits, Need, Profile, ResourceMetadata, Tally,
    VerdictLimits, secret,
};
use crate::http::json::{Object, Value};
use crate::issuer::{Provider, Replays};
use crate::jose::{Algorithm, Algorithms, KnownHeaders};
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
    /// How long ago a token may have been issued.
    pub max_token_age: Option<Lifetime>,
    /// How long a token may live from its issue to its end.
    pub max_token_lifetime: Option<Lifetime>,
    /// What every challenge says.
    pub challenge: ChallengeContext,
    /// What this API says of itself.
    pub resource: Option<ResourceMetadata>,
    /// What every request needs.
    pub need: Need,
    /// How much a cache of verdicts may hold.
    pub cache: VerdictLimits,
    /// How large what comes in may be.
    pub limits: GuardLimits,
    /// Whether proofs of possession are looked at, and how.
    pub dpop: Dpop,
}

impl Guard {
    /// Reads the options of the public API.
    ///
    /// | option | meaning | default |
    /// |---|---|---|
    /// | `issuer` | issuer identifiers, or a metadata document in place of discovery; `jwks` in it, a JWK Set (RFC 7517 section 5), in place of `jwks_uri` | required |
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
    /// | `profile` | what tokens look like, see [`crate::guard::Profile`] | `rfc9068` |
    /// | `profiles` | the same for single issuers, by their identifiers | none |
    /// | `tenants` | the tenants (GUIDs) for which `{tenantid}` in an issuer stands | none |
    /// | `statusList` | true, or `maxAge` (1 to 86,400 seconds, 300): tokens that name a list of their issuer (draft-ietf-oauth-status-list) are looked up in it | false |
    /// | `maxTokenAge` | whole seconds since `iat`, 1 second to a year | no bound |
    /// | `maxTokenLifetime` | whole seconds from `iat` to `exp`, 1 second to a year | no bound |
    /// | `secret` | for HS256 to HS512 in place of keys: text, or `{ base64url }` | none |
    /// | `realm` | the realm of challenges | none |
    /// | `resource` | the identifier of this API (RFC 9728 section 1.2) | none |
    /// | `resourceMetadata` | more members of its metadata (RFC 9728 section 2) | none |
    /// | `timeout` | seconds for one request, 1 to 120 | 5 |
    /// | `limits` | how large what comes in may be, see below | |
    /// | `dangerouslyAllowHttpLoopback` | http to this machine itself | false |
    ///
    /// The members of `limits`:
    ///
    /// | member | meaning | range | default |
    /// |---|---|---|---|
    /// | `maxTokenBytes` | a token | 1 to 64 KiB | 16 KiB |
    /// | `maxHeaderBytes` | its header as it came | 256 bytes to 16 KiB | 4 KiB |
    /// | `maxJsonDepth` | how deep its JSON may be nested | 4 to 128 | 64 |
    /// | `maxKeys` | the keys of a set | 1 to 1,000 | 100 |
    /// | `maxKeySetBytes` | a set of keys | 1 KiB to 4 MiB | 512 KiB |
    /// | `maxMetadataBytes` | metadata | 1 KiB to 4 MiB | 1 MiB |
    /// | `maxAnswerBytes` | an answer about a token or a user | 1 KiB to 4 MiB | 1 MiB |
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
    /// | `userinfo` | for tokens with the scope `openid` the claims of UserInfo are added; `"optional"` where they can be had | false |
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

/// The longest `maxTokenAge` and `maxTokenLifetime`: a year, which no access token lives.
const MOST_TOKEN_AGE: u32 = 366 * 24 * 3600;

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
            "limits",
            "maxTokenAge",
            "maxTokenLifetime",
            "profile",
            "profiles",
            "publicOrigin",
            "realm",
            "requiredScopes",
            "resource",
            "resourceMetadata",
            "secret",
            "statusList",
            "tenants",
            "timeout",
        ],
    )?;
    let transport = options.transport()?;
    let timeout = options.timeout(5)?;
    let audience = options
        .strings("audience")?
        .ok_or_else(|| invalid("audience"))?;
    let profiles = Profiles::from_options(options.value("profile"), options.value("profiles"))?;
    let tenants = options.strings("tenants")?;
    let issuers = issuers(options.value("issuer"), tenants.as_deref(), &profiles)?;
    let limits = GuardLimits::from_option(options.object("limits")?)?;
    let mut providers = Vec::with_capacity(issuers.len());
    for (issuer, profile) in issuers {
        let mut provider = Provider::from_option(Some(&issuer), transport, timeout)?;
        provider.limit(limits.answers);
        provider.renew_behind();
        if let Some(jwks) = issuer.as_object().and_then(|object| object.get("jwks")) {
            provider.give_keys(jwks)?;
        }
        providers.push((provider, profile));
    }
    let (mut providers, profiles) = in_order(providers)?;
    let algorithms = match (options.value("secret"), providers.as_slice()) {
        (None, _) => algorithms(&options, "algorithms")?,
        // A secret stands beside no key set and no discovery: one issuer, by its name alone.
        (Some(secret), [one])
            if one.metadata().is_none() && options.value("introspection").is_none() =>
        {
            let (key, algorithms) = secret::from_options(secret, options.strings("algorithms")?)?;
            for provider in &mut providers {
                provider.share_secret(&key);
            }
            algorithms
        }
        (Some(_), _) => return Err(invalid("secret")),
    };
    let names: Vec<String> = providers
        .iter()
        .map(|provider| provider.issuer().as_str().into())
        .collect();
    let resource = match (options.value("resource"), options.value("resourceMetadata")) {
        (None, None) => None,
        // What is said of an API that has no name would be said nowhere.
        (None, Some(_)) => return Err(invalid("resourceMetadata")),
        (Some(resource), more) => {
            let resource = resource.as_str().ok_or_else(|| invalid("resource"))?;
            let more = more
                .map(|more| more.as_object().ok_or_else(|| invalid("resourceMetadata")))
                .transpose()?;
            Some(ResourceMetadata::new(resource, names, more, transport)?)
        }
    };
    let status_lists = StatusLists::from_option(options.value("statusList"), transport)?;
    // Whoever shares a secret could write a list.
    if status_lists.is_some() && options.value("secret").is_some() {
        return Err(invalid("statusList"));
    }
    let scopes = options.strings("requiredScopes")?.unwrap_or_default();
    let introspection = options
        .object("introspection")?
        .map(|object| Introspection::from_option(object, &providers, transport, timeout))
        .transpose()?;
    Ok(Guard {
        config: GuardConfig {
            audience: audience.into_iter().map(String::from).collect(),
            algorithms,
            clock_tolerance: options.seconds("clockTolerance", 0..=300, 30)?,
            max_token_age: bound(&options, "maxTokenAge")?,
            max_token_lifetime: bound(&options, "maxTokenLifetime")?,
            challenge: ChallengeContext {
                realm: realm(options.value("realm"))?,
                resource_metadata: resource.as_ref().map(|resource| resource.url().to_owned()),
            },
            resource,
            need: Need::of_scopes(scopes).ok_or_else(|| invalid("requiredScopes"))?,
            cache: VerdictLimits::from_option(options.value("cache"))?,
            limits,
            dpop: Dpop::from_options(&options)?,
        },
        places: Places::of(&providers),
        providers,
        profiles,
        introspection: introspection.map(Box::new),
        status_lists: status_lists.map(Box::new),
        replays: Replays::default(),
        headers: KnownHeaders::default(),
        tally: Tally::default(),
        alerts: Vec::new(),
        due: None,
        to_share: Vec::new(),
    })
}

/// The accepted algorithms where keys are public, all of them when there is no list: "none" and
/// HMAC never are among them.
pub(super) fn algorithms(options: &Options<'_>, name: &'static str) -> Result<Algorithms, Error> {
    let Some(names) = options.strings(name)? else {
        return Ok(Algorithms::all());
    };
    let list: Option<Vec<_>> = names
        .into_iter()
        .map(|one| Algorithm::from_name(one).filter(|algorithm| !algorithm.is_symmetric()))
        .collect();
    list.and_then(Algorithms::only).ok_or_else(|| invalid(name))
}

fn bound(options: &Options<'_>, name: &'static str) -> Result<Option<Lifetime>, Error> {
    match options.whole_seconds(name, MOST_TOKEN_AGE)? {
        Some(0) => Err(invalid(name)),
        seconds => Ok(seconds.map(Lifetime::from_seconds)),
    }
}

/// Text that stands in a quoted string as it is (RFC 9110 section 5.6.4).
fn realm(value: Option<&Value>) -> Result<Option<String>, Error> {
    let Some(value) = value else { return Ok(None) };
    let is_plain = |c: char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\');
    match value.as_str() {
        Some(text) if !text.is_empty() && text.chars().all(is_plain) => Ok(Some(text.into())),
        _ => Err(invalid("realm")),
    }
}

/// What stands for the tenant in the issuer of an Entra application for several tenants.
const TENANT: &str = "{tenantid}";

/// One issuer or several with their profiles, and one issuer for each tenant in place of a template.
///
/// Which tenants are trusted is said by name: tokens of Entra are signed with the same keys for
/// everybody who opens a tenant.
fn issuers(
    value: Option<&Value>,
    tenants: Option<&[&str]>,
    profiles: &Profiles<'_>,
) -> Result<Vec<(Value, Profile)>, Error> {
    let given = match value {
        None => return Err(invalid("issuer")),
        Some(Value::Array(items)) => items.as_slice(),
        Some(item) => core::slice::from_ref(item),
    };
    let mut names: Vec<&str> = Vec::new();
    let mut issuers = Vec::new();
    let mut has_template = false;
    for item in given {
        let name = match item {
            Value::Object(metadata) => metadata.get("issuer").and_then(Value::as_str),
            item => item.as_str(),
        };
        let name = name.ok_or_else(|| invalid("issuer"))?;
        names.push(name);
        let profile = profiles.of(name);
        let Some((before, after)) = name.split_once(TENANT) else {
            issuers.push((item.clone(), profile.clone()));
            continue;
        };
        has_template = true;
        // Only a profile that compares the token's own tenant makes a template safe.
        if item.as_str().is_none() || !profile.has_tenant() {
            return Err(invalid("issuer"));
        }
        for tenant in tenants.ok_or_else(|| invalid("tenants"))? {
            if !is_guid(tenant) {
                return Err(invalid("tenants"));
            }
            let issuer = [before, *tenant, after].concat();
            issuers.push((Value::String(issuer), profile.clone()));
        }
    }
    // A profile for an issuer that is not there, and tenants of no template, are mistakes.
    if !profiles.named().all(|name| names.contains(&name)) {
        return Err(invalid("profiles"));
    }
    if tenants.is_some() && !has_template {
        return Err(invalid("tenants"));
    }
    Ok(issuers)
}

/// 8-4-4-4-12 hexadecimal digits in lower case, as `tid` has them.
fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

/// The providers in the order of their names, none twice, and their profiles at the same places.
fn in_order(given: Vec<(Provider, Profile)>) -> Result<(Vec<Provider>, Vec<Profile>), Error> {
    let names: Vec<String> = given
        .iter()
        .map(|(provider, _)| provider.issuer().as_str().into())
        .collect();
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    if count == 0 || names.len() != count {
        return Err(invalid("issuer"));
    }
    let mut slots: Vec<Option<(Provider, Profile)>> = Vec::new();
    slots.resize_with(count, || None);
    for pair in given {
        let place = names.binary_search(&pair.0.issuer().as_str());
        if let Some(slot) = place.ok().and_then(|place| slots.get_mut(place)) {
            *slot = Some(pair);
        }
    }
    Ok(slots.into_iter().flatten().unzip())
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
    fn clm_42_an_audience_is_required() {
        assert!(guard(r#","audience":"api""#).is_ok());
        assert!(guard(r#","audience":["api","other"]"#).is_ok());
        refused("", "audience");
        for value in ["\"\"", "[]", "[\"\"]", "null", "1", "[\"api\",1]"] {
            refused(&format!(r#","audience":{value}"#), "audience");
        }
    }

    #[test]
    fn cfg_03_unknown_options_and_wrong_types_are_refused() {
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
