//! A machine's configuration in five fields, for native programs.

use core::fmt;

use crate::client::Client;
use crate::error::{Error, Phase};
use crate::http::json::{Object, Value};
use crate::options::{Options, invalid};
use crate::secret::Secret;

/// What a program needs to get tokens by client credentials: where, who, and for what.
///
/// ```
/// use gatepass::client::machine::AuthConfig;
///
/// let config = AuthConfig::new("dns:///flyte.example.com:443", "my-client", "s3cret")
///     .with_scopes(["all"])
///     .with_audience("https://flyte.example.com");
/// let client = config.client()?;
/// assert_eq!(client.provider().issuer().as_str(), "https://flyte.example.com");
/// # Ok::<(), gatepass::Error>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct AuthConfig {
    /// The issuer, as a URL or as `dns:///host:port`, the form of gRPC, which means https.
    pub endpoint: String,
    /// The client identifier.
    pub client_id: String,
    /// Its secret, sent by `client_secret_basic`.
    pub client_secret: Secret<String>,
    /// The scopes to ask for, if any.
    pub scopes: Option<Vec<String>>,
    /// The `audience` parameter, if the provider wants one.
    pub audience: Option<String>,
}

impl AuthConfig {
    /// A configuration without scopes and audience.
    pub fn new(
        endpoint: impl Into<String>,
        client_id: impl Into<String>,
        client_secret: impl Into<String>,
    ) -> Self {
        Self {
            endpoint: endpoint.into(),
            client_id: client_id.into(),
            client_secret: Secret::new(client_secret.into()),
            scopes: None,
            audience: None,
        }
    }

    /// Asks for these scopes.
    #[must_use]
    pub fn with_scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes = Some(scopes.into_iter().map(Into::into).collect());
        self
    }

    /// Asks for this audience.
    #[must_use]
    pub fn with_audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// From variables `<prefix>ENDPOINT`, `CLIENT_ID`, `CLIENT_SECRET`, `SCOPES` (separated by
    /// spaces) and `AUDIENCE`, looked up by `lookup`, such as `|name| std::env::var(name).ok()`.
    /// Empty ones count as not given.
    ///
    /// # Errors
    ///
    /// `config_invalid` at `endpoint`, `client_id` or `client_secret` when its variable is missing.
    pub fn from_variables(
        prefix: &str,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Error> {
        let find = |name: &str| {
            let value = lookup(&[prefix, name].concat());
            value.filter(|value| !value.is_empty())
        };
        let required = |name: &str, field: &'static str| {
            find(name).ok_or_else(|| invalid(field).during(Phase::Config))
        };
        let mut config = Self::new(
            required("ENDPOINT", "endpoint")?,
            required("CLIENT_ID", "client_id")?,
            required("CLIENT_SECRET", "client_secret")?,
        );
        config.scopes =
            find("SCOPES").map(|text| text.split_whitespace().map(String::from).collect());
        config.audience = find("AUDIENCE");
        Ok(config)
    }

    /// From an object with the five fields by their names.
    ///
    /// # Errors
    ///
    /// `config_invalid` at the field that is unknown, missing or of the wrong type.
    pub fn from_object(object: &Object) -> Result<Self, Error> {
        let read = || {
            let options = Options::new(
                object,
                &[
                    "audience",
                    "client_id",
                    "client_secret",
                    "endpoint",
                    "scopes",
                ],
            )?;
            let mut config = Self::new(
                options.required_string("endpoint")?,
                options.required_string("client_id")?,
                options.required_string("client_secret")?,
            );
            config.scopes = options
                .strings("scopes")?
                .map(|list| list.into_iter().map(String::from).collect());
            config.audience = options.string("audience")?.map(String::from);
            Ok(config)
        };
        read().map_err(|error: Error| error.during(Phase::Config))
    }

    /// The client. Nothing is sent before the first token is asked for.
    ///
    /// # Errors
    ///
    /// `config_invalid` and `url_insecure` as [`Client::from_options`]; http is accepted for this
    /// machine itself.
    pub fn client(&self) -> Result<Client, Error> {
        // EXPOSE: the client keeps it as a secret again.
        let auth = Object::new()
            .with("method", "client_secret_basic")
            .with("clientSecret", self.client_secret.expose().as_str());
        let scope = self.scopes.as_ref().map(|scopes| scopes.join(" "));
        let options = Object::new()
            .with("issuer", issuer(&self.endpoint).unwrap_or_default())
            .with("clientId", self.client_id.as_str())
            .with("clientAuth", auth)
            .with("dangerouslyAllowHttpLoopback", Value::Bool(true))
            .with_some("scope", scope)
            .with_some("audience", self.audience.as_deref());
        Client::from_options(&options)
    }
}

/// The issuer at an endpoint: a URL as it is, `dns:///host:port` as https.
fn issuer(endpoint: &str) -> Option<String> {
    let Some(authority) = endpoint.strip_prefix("dns:///") else {
        return Some(endpoint.into());
    };
    let host = authority.strip_suffix(":443").unwrap_or(authority);
    (!host.contains('/')).then(|| String::from("https://") + host)
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for AuthConfig {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Object::deserialize(deserializer)?;
        Self::from_object(&object).map_err(serde::de::Error::custom)
    }
}

impl fmt::Debug for AuthConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuthConfig({:?}, [redacted])", self.endpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::http::json;

    #[test]
    fn s3_13_five_fields_of_which_two_are_optional() {
        let read = |text: &str| {
            AuthConfig::from_object(&json::read_object(text.as_bytes(), 1000).unwrap())
        };
        let full = read(
            r#"{"endpoint":"https://as.example","client_id":"a","client_secret":"b","scopes":["x","y"],"audience":"z"}"#,
        )
        .unwrap();
        assert_eq!(full.client().unwrap().config().scope, "x y");
        assert_eq!(full.audience.as_deref(), Some("z"));
        let least =
            read(r#"{"endpoint":"https://as.example","client_id":"a","client_secret":"b"}"#);
        assert!(least.unwrap().client().is_ok());
        for (text, at) in [
            (r#"{"client_id":"a","client_secret":"b"}"#, "endpoint"),
            (
                r#"{"endpoint":"https://as.example","client_secret":"b"}"#,
                "client_id",
            ),
            (
                r#"{"endpoint":"https://as.example","client_id":"a"}"#,
                "client_secret",
            ),
            (
                r#"{"endpoint":"https://as.example","client_id":"a","client_secret":"b","scope":"x"}"#,
                "scope",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!((error.kind(), error.at()), (ErrorKind::ConfigInvalid, at));
        }
    }

    #[test]
    fn s3_16_an_endpoint_of_grpc_is_https() {
        for (endpoint, expected) in [
            ("dns:///flyte.example.com:443", "https://flyte.example.com"),
            (
                "dns:///flyte.example.com:8443",
                "https://flyte.example.com:8443",
            ),
            ("dns:///flyte.example.com", "https://flyte.example.com"),
            (
                "https://flyte.example.com/idp",
                "https://flyte.example.com/idp",
            ),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ] {
            let client = AuthConfig::new(endpoint, "a", "b").client().unwrap();
            assert_eq!(client.provider().issuer().as_str(), expected);
        }
        for endpoint in [
            "dns:///a/b",
            "dns:///",
            "unix:/run/x",
            "flyte.example.com",
            "",
        ] {
            let error = AuthConfig::new(endpoint, "a", "b").client().unwrap_err();
            assert_eq!(
                (error.kind(), error.at()),
                (ErrorKind::ConfigInvalid, "issuer"),
                "{endpoint}"
            );
        }
        let error = AuthConfig::new("http://flyte.example.com", "a", "b")
            .client()
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UrlInsecure);
    }

    #[test]
    fn s3_17_variables_have_any_prefix() {
        let variables = |name: &str| {
            let value = match name {
                "FLYTE_ENDPOINT" => "dns:///flyte.example.com:443",
                "FLYTE_CLIENT_ID" => "my-client",
                "FLYTE_CLIENT_SECRET" => "my-secret",
                "FLYTE_SCOPES" => "all  offline",
                "FLYTE_AUDIENCE" => "",
                _ => return None,
            };
            Some(value.into())
        };
        let config = AuthConfig::from_variables("FLYTE_", variables).unwrap();
        assert_eq!(config.client_id, "my-client");
        assert!(config.client_secret.ct_eq("my-secret"));
        assert_eq!(config.scopes.unwrap(), ["all", "offline"]);
        assert_eq!(config.audience, None);
        let error = AuthConfig::from_variables("OTHER_", variables).unwrap_err();
        assert_eq!(
            (error.kind(), error.at()),
            (ErrorKind::ConfigInvalid, "endpoint")
        );
    }

    #[cfg(feature = "serde")]
    #[test]
    fn s3_02_it_is_read_from_any_format() {
        let config: AuthConfig = serde_json::from_str(
            r#"{"endpoint":"https://as.example","client_id":"a","client_secret":"s3cret"}"#,
        )
        .unwrap();
        assert!(config.client_secret.ct_eq("s3cret"));
        let error = serde_json::from_str::<AuthConfig>(r#"{"client_secret":"s3cret"}"#);
        assert!(!error.unwrap_err().to_string().contains("s3cret"));
    }

    #[test]
    fn debug_shows_no_secret() {
        let config = AuthConfig::new("https://as.example", "a", "s3cret");
        assert!(!format!("{config:?}").contains("s3cret"));
    }
}
