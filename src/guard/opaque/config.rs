//! What the option `introspection` says.

use crate::error::{Error, ErrorKind};
use crate::guard::cache::Cache;
use crate::guard::opaque::{AsksUser, Audience, Form, Introspection, Load, Tokens};
use crate::http::json::Object;
use crate::http::{Transport, Url};
use crate::issuer::{ClientAuthentication, Provider};
use crate::options::{Options, invalid};
use crate::time::Lifetime;

/// How many answers are kept unless the program says otherwise.
const ENTRIES: u32 = 10_000;
/// The most that a program may ask for.
const MOST_ENTRIES: u32 = 1_000_000;
/// How much memory answers may take together: 10,000 of the usual half a kilobyte fit twice.
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// How many tokens that are not active are remembered: enough for clients that repeat themselves;
/// a flood of invented tokens pushes nothing out but other invented ones.
const NEGATIVE_ENTRIES: usize = 1024;

impl Introspection {
    /// Reads the option.
    ///
    /// # Errors
    ///
    /// `config_invalid` at the member that is unknown, missing, of the wrong type or out of range,
    /// `url_insecure` for an endpoint that is not https.
    #[inline(never)]
    pub(in crate::guard) fn from_option(
        object: &Object,
        providers: &[Provider],
        transport: Transport,
        timeout: Lifetime,
    ) -> Result<Self, Error> {
        let mut known = vec![
            "cache",
            "concurrency",
            "dangerouslyAllowMissingAudience",
            "endpoint",
            "issuer",
            "jwtResponse",
            "tokens",
            "userinfo",
        ];
        known.extend(ClientAuthentication::OPTIONS);
        let options = Options::new(object, &known)?;
        // An opaque token does not say whose it is.
        let provider = match (options.string("issuer")?, providers) {
            (None, [_]) => 0,
            (Some(name), _) => providers
                .iter()
                .position(|provider| provider.issuer().as_str() == name)
                .ok_or_else(|| invalid("issuer"))?,
            (None, _) => return Err(invalid("issuer")),
        };
        let endpoint = match options.string("endpoint")? {
            None => None,
            Some(text) => match Url::parse(text) {
                Some(url) if url.has_fragment() => return Err(invalid("endpoint")),
                Some(url) if url.is_allowed(transport) => Some(url),
                Some(_) => return Err(Error::new(ErrorKind::UrlInsecure, "endpoint")),
                None => return Err(invalid("endpoint")),
            },
        };
        let tokens = match options.string("tokens")? {
            None | Some("opaque") => Tokens::Opaque,
            Some("all") => Tokens::All,
            Some(_) => return Err(invalid("tokens")),
        };
        let empty = Object::new();
        let cache = Options::new(
            options.object("cache")?.unwrap_or(&empty),
            &["maxEntries", "negativeTtl", "noCacheScopes", "ttl"],
        )?;
        let ttl = cache.seconds("ttl", 0..=3600, 60)?;
        // Off is off for both, unless the program says something else.
        let negative_default = if ttl.millis() == 0 { 0 } else { 10 };
        let negative_ttl = cache.seconds("negativeTtl", 0..=600, negative_default)?;
        let entries = cache
            .count("maxEntries", 1..=MOST_ENTRIES)?
            .unwrap_or(ENTRIES);
        let entries = usize::try_from(entries).unwrap_or(usize::MAX);
        let concurrency = options.count("concurrency", 1..=1024)?.unwrap_or(16);
        Ok(Self {
            provider,
            authentication: ClientAuthentication::from_options(&options)?,
            names: None,
            endpoint,
            timeout,
            tokens,
            audience: if options.switch("dangerouslyAllowMissingAudience")? {
                Audience::IfPresent
            } else {
                Audience::Required
            },
            form: if options.switch("jwtResponse")? {
                Form::Signed
            } else {
                Form::Json
            },
            asks_user: match options.string("userinfo") {
                Ok(Some("optional")) => AsksUser::Optional,
                Ok(Some(_)) => return Err(invalid("userinfo")),
                _ if options.switch("userinfo")? => AsksUser::Required,
                _ => AsksUser::Never,
            },
            ttl,
            negative_ttl,
            no_cache_scopes: cache
                .strings("noCacheScopes")?
                .unwrap_or_default()
                .into_iter()
                .map(String::from)
                .collect(),
            active: Cache::new(entries, MOST_BYTES),
            refused: Cache::new(entries.min(NEGATIVE_ENTRIES), MOST_BYTES),
            shares_answers: false,
            load: Load::new(usize::try_from(concurrency).unwrap_or(usize::MAX), timeout),
            tally: super::IntrospectionTally::default(),
        })
    }
}
