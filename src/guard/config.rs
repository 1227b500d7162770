//! What a guard is configured with.

use std::sync::Arc;

use crate::error::{Error, Phase};
use crate::guard::opaque::Introspection;
use crate::guard::places::Places;
use crate::guard::profile::Profiles;
use crate::guard::status::StatusLists;
use crate::guard::{
    ChallengeContext, Dpop, Guard, GuardLimits, Need, Profile, ResourceMetadata, Tally,
    VerdictLimits, secret,
};
use crate::http::Transport;
use crate::http::json::{Object, Value};
use crate::issuer::{AnswerLimits, Provider, Replays};
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
    let mut config = demands(&options)?;
    let (mut providers, profiles) = providers(&options, config.limits.answers, transport, timeout)?;
    if let Some(secret) = options.value("secret") {
        config.algorithms = share_secret(secret, &options, &mut providers)?;
    }
    if let Some(resource) = resource(&options, &providers, transport)? {
        config.challenge.resource_metadata = Some(resource.url().to_owned());
        config.resource = Some(resource);
    }
    let status_lists = StatusLists::from_option(options.value("statusList"), transport)?;
    // Whoever shares a secret could write a list.
    if status_lists.is_some() && options.value("secret").is_some() {
        return Err(invalid("statusList"));
    }
    let introspection = match options.object("introspection")? {
        Some(object) => Some(Introspection::from_option(
            object, &providers, transport, timeout,
        )?),
        None => None,
    };
    Ok(Guard {
        config,
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

/// What is demanded of every token, whoever issued it.
fn demands(options: &Options<'_>) -> Result<GuardConfig, Error> {
    let limits = GuardLimits::from_option(options.object("limits")?)?;
    let clock_tolerance = options.seconds("clockTolerance", 0..=300, 30)?;
    let max_token_age = bound(options, "maxTokenAge")?;
    let max_token_lifetime = bound(options, "maxTokenLifetime")?;
    let cache = VerdictLimits::from_option(options.value("cache"))?;
    let audience = options
        .strings("audience")?
        .ok_or_else(|| invalid("audience"))?;
    let audience = audience.into_iter().map(String::from).collect();
    let mut config = GuardConfig {
        audience,
        algorithms: Algorithms::all(),
        clock_tolerance,
        max_token_age,
        max_token_lifetime,
        challenge: ChallengeContext {
            realm: None,
            resource_metadata: None,
        },
        resource: None,
        need: Need::nothing(),
        cache,
        limits,
        dpop: Dpop::from_options(options)?,
    };
    if let Some(names) = options.strings("algorithms")? {
        config.algorithms = match options.value("secret") {
            None => algorithms_named(names, "algorithms")?,
            // Those of the secret.
            Some(_) => config.algorithms,
        };
    }
    if let Some(realm) = options.value("realm") {
        config.challenge.realm = Some(read_realm(realm)?);
    }
    if let Some(scopes) = options.strings("requiredScopes")? {
        config.need = Need::of_scopes(scopes).ok_or_else(|| invalid("requiredScopes"))?;
    }
    Ok(config)
}

/// A secret stands beside no key set and no discovery: one issuer, by its name alone.
#[inline(never)]
fn share_secret(
    secret: &Value,
    options: &Options<'_>,
    providers: &mut [Provider],
) -> Result<Algorithms, Error> {
    let [provider] = providers else {
        return Err(invalid("secret"));
    };
    if provider.metadata().is_some() || options.value("introspection").is_some() {
        return Err(invalid("secret"));
    }
    let (key, algorithms) = secret::from_options(secret, options.strings("algorithms")?)?;
    provider.share_secret(&key);
    Ok(algorithms)
}

fn resource(
    options: &Options<'_>,
    providers: &[Provider],
    transport: Transport,
) -> Result<Option<ResourceMetadata>, Error> {
    match (options.value("resource"), options.value("resourceMetadata")) {
        (None, None) => Ok(None),
        // What is said of an API that has no name would be said nowhere.
        (None, Some(_)) => Err(invalid("resourceMetadata")),
        (Some(resource), more) => read_resource(resource, more, providers, transport).map(Some),
    }
}

#[inline(never)]
fn read_resource(
    resource: &Value,
    more: Option<&Value>,
    providers: &[Provider],
    transport: Transport,
) -> Result<ResourceMetadata, Error> {
    let resource = resource.as_str().ok_or_else(|| invalid("resource"))?;
    let more = more
        .map(|more| more.as_object().ok_or_else(|| invalid("resourceMetadata")))
        .transpose()?;
    let names = providers
        .iter()
        .map(|provider| provider.issuer().as_str().into());
    ResourceMetadata::new(resource, names.collect(), more, transport)
}

/// The accepted algorithms where keys are public, all of them when there is no list: "none" and
/// HMAC never are among them.
pub(super) fn algorithms(options: &Options<'_>, name: &'static str) -> Result<Algorithms, Error> {
    match options.strings(name)? {
        Some(names) => algorithms_named(names, name),
        None => Ok(Algorithms::all()),
    }
}

#[inline(never)]
fn algorithms_named(names: Vec<&str>, name: &'static str) -> Result<Algorithms, Error> {
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
#[inline(never)]
fn read_realm(value: &Value) -> Result<String, Error> {
    let is_plain = |c: char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\');
    match value.as_str() {
        Some(text) if !text.is_empty() && text.chars().all(is_plain) => Ok(text.into()),
        _ => Err(invalid("realm")),
    }
}

/// What stands for the tenant in the issuer of an Entra application for several tenants.
const TENANT: &str = "{tenantid}";

/// The issuers in the order of their names, none twice, and what their tokens look like at the same
/// places: one issuer or several, and one for each tenant in place of a template.
fn providers(
    options: &Options<'_>,
    limits: AnswerLimits,
    transport: Transport,
    timeout: Lifetime,
) -> Result<(Vec<Provider>, Vec<Arc<Profile>>), Error> {
    let profiles = Profiles::from_options(options.value("profile"), options.value("profiles"))?;
    let given = match options.value("issuer") {
        None => return Err(invalid("issuer")),
        Some(Value::Array(items)) => items.as_slice(),
        Some(item) => core::slice::from_ref(item),
    };
    let mut found = Found {
        providers: Vec::new(),
        profiles: Vec::new(),
        limits,
        transport,
        timeout,
    };
    let mut has_template = false;
    for item in given {
        let name = name_of(item)?;
        // No URL holds a brace.
        if name.contains('{') {
            has_template = true;
            found.add_tenants(item, options, profiles.of(name))?;
        } else {
            found.add(item, profiles.of(name))?;
        }
    }
    // A profile for an issuer that is not there, and tenants of no template, are mistakes.
    for name in profiles.named() {
        if !given
            .iter()
            .any(|item| name_of(item).is_ok_and(|known| known == name))
        {
            return Err(invalid("profiles"));
        }
    }
    if !has_template && options.value("tenants").is_some() {
        return Err(invalid("tenants"));
    }
    match found.providers.as_slice() {
        [] => Err(invalid("issuer")),
        [_] => Ok((found.providers, found.profiles)),
        _ => in_order(found.providers.into_iter().zip(found.profiles).collect()),
    }
}

fn name_of(item: &Value) -> Result<&str, Error> {
    let name = match item {
        Value::Object(metadata) => metadata.get("issuer").and_then(Value::as_str),
        item => item.as_str(),
    };
    name.ok_or_else(|| invalid("issuer"))
}

/// The issuers that were read so far.
struct Found {
    providers: Vec<Provider>,
    profiles: Vec<Arc<Profile>>,
    limits: AnswerLimits,
    transport: Transport,
    timeout: Lifetime,
}

impl Found {
    fn add(&mut self, issuer: &Value, profile: &Arc<Profile>) -> Result<(), Error> {
        let mut provider = Provider::from_option(Some(issuer), self.transport, self.timeout)?;
        provider.limit(self.limits);
        provider.renew_behind();
        if let Some(jwks) = issuer.as_object().and_then(|object| object.get("jwks")) {
            provider.give_keys(jwks)?;
        }
        self.providers.push(provider);
        self.profiles.push(Arc::clone(profile));
        Ok(())
    }

    /// Which tenants are trusted is said by name: tokens of Entra are signed with the same keys for
    /// everybody who opens a tenant.
    #[inline(never)]
    fn add_tenants(
        &mut self,
        template: &Value,
        options: &Options<'_>,
        profile: &Arc<Profile>,
    ) -> Result<(), Error> {
        let (before, rest) = template
            .as_str()
            .and_then(|text| text.split_once('{'))
            .ok_or_else(|| invalid("issuer"))?;
        let after = TENANT
            .get(1..)
            .and_then(|tenant| rest.strip_prefix(tenant))
            // Only a profile that compares the token's own tenant makes a template safe.
            .filter(|_| profile.has_tenant())
            .ok_or_else(|| invalid("issuer"))?;
        let tenants = options.strings("tenants")?;
        for tenant in tenants.ok_or_else(|| invalid("tenants"))? {
            if !is_guid(tenant) {
                return Err(invalid("tenants"));
            }
            let issuer = Value::String([before, tenant, after].concat());
            self.add(&issuer, profile)?;
        }
        Ok(())
    }
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
#[inline(never)]
fn in_order(
    given: Vec<(Provider, Arc<Profile>)>,
) -> Result<(Vec<Provider>, Vec<Arc<Profile>>), Error> {
    let names: Vec<String> = given
        .iter()
        .map(|(provider, _)| provider.issuer().as_str().into())
        .collect();
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    if names.len() != count {
        return Err(invalid("issuer"));
    }
    let mut slots: Vec<Option<(Provider, Arc<Profile>)>> = Vec::new();
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
