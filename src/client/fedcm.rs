//! Signing in by the browser's own account chooser (Federated Credential Management, FedCM).
//!
//! The browser asks the provider for an ID token and hands it to the page. Nothing of that is an
//! authorization request: there is no `state`, no code and no access token. What is left to check is
//! the ID token, by the same rules as that of a redirect, and the nonce is what ties it to this call.

use core::fmt;

use crate::base64url;
use crate::client::Client;
use crate::error::{Details, Error, ErrorKind, Phase, clean};
use crate::http::Url;
use crate::http::json::{self, Object, Value};
use crate::options::{Options, invalid};
use crate::random::Entropy;

/// What the browser is asked for, with a nonce of its own.
///
/// It is used up by the sign-in, so no second token fits the same request.
pub struct FedCmRequest {
    nonce: String,
    config_url: String,
    identity: Object,
}

impl FedCmRequest {
    /// A request of this client. It reads `configUrl`, which is required, `loginHint`,
    /// `domainHint`, `mode` (`active` or `passive`), `context` (`continue`, `signin`, `signup` or
    /// `use`) and `params`, whose values are strings.
    ///
    /// # Errors
    ///
    /// `config_invalid`, also for a `nonce` among the `params`; `url_insecure` at `configUrl`.
    pub fn new(object: &Object, client: &Client, entropy: &Entropy) -> Result<Self, Error> {
        read(object, client, entropy).map_err(|error| error.during(Phase::SignIn))
    }

    /// The member `identity` of what `navigator.credentials.get` takes, as text, to be handed back
    /// with the token.
    pub fn to_json(&self) -> String {
        Value::from(self.identity.clone()).to_json()
    }

    /// Reads what [`FedCmRequest::to_json`] wrote.
    ///
    /// # Errors
    ///
    /// `flow_misused` for anything else.
    pub fn read(text: &str) -> Result<Self, Error> {
        let read = || {
            let identity = json::read_object(text.as_bytes(), MAX_REQUEST).ok()?;
            let provider = identity
                .get("providers")?
                .as_array()?
                .first()?
                .as_object()?;
            let text = |name: &str| provider.get(name)?.as_str().map(String::from);
            Some(Self {
                nonce: text("nonce")?,
                config_url: text("configURL")?,
                identity,
            })
        };
        read().ok_or_else(|| ErrorKind::FlowMisused.into())
    }

    /// The nonce that the token must have.
    pub(super) fn nonce(&self) -> &str {
        &self.nonce
    }

    /// The provider's configuration.
    pub(super) fn into_config_url(self) -> String {
        self.config_url
    }
}

/// The longest request that is read back: a program's own parameters and a few names.
const MAX_REQUEST: usize = 64 * 1024;

impl fmt::Debug for FedCmRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FedCmRequest")
    }
}

fn read(object: &Object, client: &Client, entropy: &Entropy) -> Result<FedCmRequest, Error> {
    let known = [
        "configUrl",
        "context",
        "domainHint",
        "loginHint",
        "mode",
        "params",
    ];
    let options = Options::new(object, &known)?;
    let config_url = options.required_string("configUrl")?;
    let url = Url::parse(config_url).ok_or_else(|| invalid("configUrl"))?;
    if !url.is_allowed(client.provider().transport()) {
        return Err(Error::new(ErrorKind::UrlInsecure, "configUrl"));
    }
    let [nonce, ..] = entropy.values();
    let nonce = base64url::encode(nonce);

    // It stands in `params`, where it belongs now, and beside them, where it belonged at first and
    // where Firefox and older Chromium look for it. Whoever looks into both finds the same.
    let mut params = Object::new().with("nonce", nonce.as_str());
    if let Some(given) = options.object("params")? {
        for (name, value) in given.iter() {
            let value = value.as_str().filter(|_| name != "nonce");
            params = params.with(name, value.ok_or_else(|| invalid("params"))?);
        }
    }
    let provider = Object::new()
        .with("configURL", config_url)
        .with("clientId", client.config().client_id.as_str())
        .with("nonce", nonce.as_str())
        .with("params", params)
        .with_some("loginHint", options.string("loginHint")?)
        .with_some("domainHint", options.string("domainHint")?);
    let choice = |name: &'static str, values: &[&str]| match options.string(name)? {
        Some(value) if !values.contains(&value) => Err(invalid(name)),
        value => Ok(value),
    };
    let identity = Object::new()
        .with("providers", vec![Value::from(provider)])
        .with_some("mode", choice("mode", &["active", "passive"])?)
        .with_some(
            "context",
            choice("context", &["continue", "signin", "signup", "use"])?,
        );
    Ok(FedCmRequest {
        nonce,
        config_url: config_url.into(),
        identity,
    })
}

/// Why the browser gave no token: by the name of its exception and, where the provider itself refused,
/// the provider's code.
///
/// Browsers say no more than this on purpose, so that a page cannot ask who is signed in where.
pub fn fedcm_error(name: &str, code: Option<&str>) -> Error {
    let error = match (name, code) {
        ("IdentityCredentialError", Some(code)) => Error::from(ErrorKind::ServerErrorResponse)
            .with_details(Details {
                error: Some(clean(code)),
                ..Details::default()
            }),
        ("NetworkError" | "AbortError" | "IdentityCredentialError", _) => {
            ErrorKind::FedCmDismissed.into()
        }
        _ => ErrorKind::FedCmUnavailable.into(),
    };
    error.during(Phase::SignIn)
}
