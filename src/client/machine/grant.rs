//! What a machine asks the token endpoint for.

use core::fmt;

use crate::client::resource::is_among;
use crate::client::{Client, config};
use crate::error::{Error, Phase};
use crate::http::form::Form;
use crate::http::json::Object;
use crate::issuer::Retry;
use crate::options::{Options, invalid};

/// What the types of tokens begin with that RFC 8693 section 3 names.
const TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:";
/// The grants of RFC 8693 and RFC 7523.
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// A grant and what is asked for with it. Its `Debug` shows nothing.
#[derive(Clone)]
pub struct Grant {
    form: Form,
    retry: Retry,
    /// Server, client, scope, audience, resource and parameters; empty for what is not kept.
    key: String,
    scope: Option<String>,
    /// Whether a type of token was asked for, and which.
    exchange: Option<Option<String>>,
    allowed_origins: Vec<String>,
}

impl Grant {
    /// Client credentials (RFC 6749 section 4.4).
    ///
    /// | option | meaning | default |
    /// |---|---|---|
    /// | `scope` | scopes, separated by spaces, in any order | that of the client's options, else none |
    /// | `resource` | resource indicators (RFC 8707) | those of the client |
    /// | `audience` | `audience` parameters | that of the client |
    /// | `params` | more parameters | none |
    /// | `allowedOrigins` | origins whose requests get the token | those of `resource`, else those of the client |
    ///
    /// # Errors
    ///
    /// `config_invalid`, `url_insecure` at the option.
    pub fn client_credentials(options: &Object, client: &Client) -> Result<Self, Error> {
        let grant = Self::read(options, &[], client, |form, _| {
            form.push("grant_type", "client_credentials");
            Ok(())
        })?;
        Ok(Self {
            retry: Retry::Safe,
            key: grant.make_key(client),
            ..grant
        })
    }

    /// Token exchange (RFC 8693 section 2.1). It may be sent again: the tokens that it shows are not
    /// used up.
    ///
    /// Options as for client credentials, none of them from the client's, and:
    ///
    /// | option | meaning | default |
    /// |---|---|---|
    /// | `subjectToken` | on whose behalf | required |
    /// | `subjectTokenType` | its type: a URI or the end of one of RFC 8693's | required |
    /// | `actorToken` | who acts | none |
    /// | `actorTokenType` | its type | required with `actorToken` |
    /// | `requestedTokenType` | the type of token that is wanted | the provider's choice |
    ///
    /// # Errors
    ///
    /// `config_invalid`, `url_insecure` at the option.
    pub fn token_exchange(options: &Object, client: &Client) -> Result<Self, Error> {
        let names = [
            "actorToken",
            "actorTokenType",
            "requestedTokenType",
            "subjectToken",
            "subjectTokenType",
        ];
        let mut requested = None;
        let grant = Self::read(options, &names, client, |form, options| {
            form.push("grant_type", TOKEN_EXCHANGE);
            form.push("subject_token", options.required_string("subjectToken")?);
            let subject_type = token_type(options, "subjectTokenType")?;
            form.push(
                "subject_token_type",
                &subject_type.ok_or_else(|| invalid("subjectTokenType"))?,
            );
            // 2.1: one is there if and only if the other is.
            match (
                options.string("actorToken")?,
                token_type(options, "actorTokenType")?,
            ) {
                (None, None) => {}
                (Some(token), Some(token_type)) => {
                    form.push("actor_token", token);
                    form.push("actor_token_type", &token_type);
                }
                (None, Some(_)) => return Err(invalid("actorToken")),
                (Some(_), None) => return Err(invalid("actorTokenType")),
            }
            requested = token_type(options, "requestedTokenType")?;
            if let Some(requested) = &requested {
                form.push("requested_token_type", requested);
            }
            Ok(())
        })?;
        Ok(Self {
            retry: Retry::Safe,
            exchange: Some(requested),
            ..grant
        })
    }

    /// A JWT as the grant (RFC 7523 section 2.1). It is sent once: its `jti` may be used up by a
    /// request that got no answer.
    ///
    /// Options as for client credentials, none of them from the client's, and `assertion`.
    ///
    /// # Errors
    ///
    /// `config_invalid`, `url_insecure` at the option.
    pub fn jwt_bearer(options: &Object, client: &Client) -> Result<Self, Error> {
        Self::read(options, &["assertion"], client, |form, options| {
            form.push("grant_type", JWT_BEARER);
            form.push("assertion", options.required_string("assertion")?);
            Ok(())
        })
    }

    /// A refresh token that belongs to no session (RFC 6749 section 6). It is sent once: it may be
    /// used up by a request that got no answer.
    ///
    /// Options as for client credentials, none of them from the client's, and `refreshToken`.
    ///
    /// # Errors
    ///
    /// `config_invalid`, `url_insecure` at the option.
    pub fn refresh_token(options: &Object, client: &Client) -> Result<Self, Error> {
        Self::read(options, &["refreshToken"], client, |form, options| {
            form.push("grant_type", "refresh_token");
            form.push("refresh_token", options.required_string("refreshToken")?);
            Ok(())
        })
    }

    /// What a device asks for; the grant itself comes later.
    pub(super) fn device(options: &Object, client: &Client) -> Result<Self, Error> {
        let grant = Self::read(options, &[], client, |_, _| Ok(()))?;
        Ok(Self {
            scope: Some(grant.scope.unwrap_or_else(|| client.config().scope.clone())),
            ..grant
        })
    }

    fn read(
        object: &Object,
        names: &[&str],
        client: &Client,
        own: impl FnOnce(&mut Form, &Options<'_>) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        read(object, names, client, own).map_err(|error| error.during(Phase::Config))
    }

    /// Whether a request to this URL gets the token, as [`ClientConfig::allows`] has it.
    ///
    /// [`ClientConfig::allows`]: crate::client::ClientConfig::allows
    pub fn allows(&self, url: &str) -> bool {
        is_among(&self.allowed_origins, url)
    }

    /// What is kept under the same key is the same.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The scope that is asked for.
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// What is sent. The scope is not part of the form because its order does not matter.
    pub(super) fn form_with_scope(&self) -> Form {
        let mut form = self.form.clone();
        if let Some(scope) = &self.scope {
            form.push("scope", scope);
        }
        form
    }

    pub(super) fn retry(&self) -> Retry {
        self.retry
    }

    pub(super) fn exchange(&self) -> Option<Option<&str>> {
        self.exchange.as_ref().map(Option::as_deref)
    }

    fn make_key(&self, client: &Client) -> String {
        let mut key = Form::new();
        key.push("server", client.provider().issuer().as_str());
        key.push("client", &client.config().client_id);
        // The form has resource, audience and parameters. Scopes are a set.
        let mut scopes: Vec<&str> = self
            .scope
            .as_deref()
            .unwrap_or_default()
            .split(' ')
            .collect();
        scopes.sort_unstable();
        scopes.dedup();
        for scope in scopes {
            key.push("s", scope);
        }
        key.push("form", self.form.encoded());
        key.encoded().into()
    }
}

fn read(
    object: &Object,
    names: &[&str],
    client: &Client,
    own: impl FnOnce(&mut Form, &Options<'_>) -> Result<(), Error>,
) -> Result<Grant, Error> {
    let common = ["allowedOrigins", "audience", "params", "resource", "scope"];
    let options = Options::new(object, &[&common, names].concat())?;
    let mut form = Form::new();
    own(&mut form, &options)?;
    // What acts for the client itself asks for what the client was made for.
    let is_own = names.is_empty();
    let config = client.config();

    let scope = match options.string("scope")? {
        Some(scope) => Some(config::scope(Some(scope))?),
        None => client.machine.scope.clone().filter(|_| is_own),
    };
    let mut resource = config::resources(&options)?;
    if is_own && options.value("resource").is_none() {
        resource.clone_from(&config.resource);
    }
    for uri in &resource {
        form.push("resource", uri);
    }
    match options.strings("audience")? {
        Some(list) => list.iter().for_each(|name| form.push("audience", name)),
        None => config
            .audience
            .iter()
            .filter(|_| is_own)
            .for_each(|name| form.push("audience", name)),
    }
    for (name, value) in config::parameters(options.object("params")?)? {
        // These are options or never ours to send twice.
        let own = ["assertion", "audience", "grant_type", "resource"];
        let is_ours = own.contains(&name.as_str())
            || [
                "actor_token",
                "client_assertion",
                "refresh_token",
                "requested_token",
                "subject_token",
            ]
            .iter()
            .any(|prefix| name.starts_with(prefix));
        if is_ours {
            return Err(invalid("params"));
        }
        form.push(&name, &value);
    }
    let mut allowed_origins = config::allowed_origins(&options, &resource)?;
    if allowed_origins.is_empty() {
        allowed_origins.clone_from(&config.allowed_origins);
    }
    Ok(Grant {
        form,
        retry: Retry::Never,
        key: String::new(),
        scope,
        exchange: None,
        allowed_origins,
    })
}

/// A type of token: an absolute URI, or the end of one that RFC 8693 section 3 names.
fn token_type(options: &Options<'_>, name: &'static str) -> Result<Option<String>, Error> {
    let ends = [
        "access_token",
        "id_token",
        "jwt",
        "refresh_token",
        "saml1",
        "saml2",
    ];
    match options.string(name)? {
        None => Ok(None),
        Some(end) if ends.contains(&end) => Ok(Some(String::from(TOKEN_TYPE) + end)),
        Some(uri) if uri.contains(':') && uri.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(Some(uri.into()))
        }
        Some(_) => Err(invalid(name)),
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Grant([redacted])")
    }
}
