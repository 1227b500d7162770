//! How a client, or an API that asks like one, shows a provider who it is (RFC 6749 section 2.3,
//! RFC 6750 section 2.1).

use core::fmt;

use zeroize::Zeroize as _;

use crate::error::Error;
use crate::http::form::{self, Form};
use crate::jose::base64_encode;
use crate::options::{Options, invalid};
use crate::secret::Secret;

/// The longest identifier or secret. Real ones have 20 to 100 characters.
const MAX_LENGTH: usize = 4096;

/// Who we are at a provider, and how we show it.
///
/// What it does not check: whether the provider accepts this way; it says so by refusing.
#[derive(Clone)]
pub struct ClientAuthentication {
    client_id: Option<String>,
    method: Method,
}

#[derive(Clone)]
enum Method {
    /// `client_secret_basic` as RFC 6749 section 2.3.1 has it.
    Basic(Secret<String>),
    /// The same for providers that do not decode what stands in the header.
    BasicRaw(Secret<String>),
    /// `client_secret_post`.
    Post(Secret<String>),
    /// A token that we were issued.
    Bearer(Secret<String>),
}

impl ClientAuthentication {
    /// The names of the options that [`ClientAuthentication::from_options`] reads.
    pub(crate) const OPTIONS: [&'static str; 4] =
        ["auth", "bearerToken", "clientId", "clientSecret"];

    /// Reads `auth` and what that way needs.
    ///
    /// # Errors
    ///
    /// `config_invalid` at the option that is missing, of no use beside the others or malformed.
    pub(crate) fn from_options(options: &Options<'_>) -> Result<Self, Error> {
        let text = |name| match options.string(name) {
            Ok(Some(text)) if text.len() > MAX_LENGTH => Err(invalid(name)),
            other => other,
        };
        let client_id = text("clientId")?;
        let secret = text("clientSecret")?;
        let bearer = text("bearerToken")?;
        let auth = text("auth")?.unwrap_or("client_secret_basic");
        if auth == "bearer" {
            let token = bearer.ok_or_else(|| invalid("bearerToken"))?;
            // A header cannot be split by what stands in it.
            if secret.is_some() {
                return Err(invalid("clientSecret"));
            }
            if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(invalid("bearerToken"));
            }
            return Ok(Self {
                client_id: client_id.map(String::from),
                method: Method::Bearer(Secret::new(token.into())),
            });
        }
        if bearer.is_some() {
            return Err(invalid("bearerToken"));
        }
        let client_id = client_id.ok_or_else(|| invalid("clientId"))?;
        let method: fn(Secret<String>) -> Method = match auth {
            "client_secret_basic" => Method::Basic,
            // The first colon ends the name.
            "client_secret_basic_raw" if client_id.contains(':') => {
                return Err(invalid("clientId"));
            }
            "client_secret_basic_raw" => Method::BasicRaw,
            "client_secret_post" => Method::Post,
            _ => return Err(invalid("auth")),
        };
        let secret = secret.ok_or_else(|| invalid("clientSecret"))?;
        Ok(Self {
            client_id: Some(client_id.into()),
            method: method(Secret::new(secret.into())),
        })
    }

    /// The name under which the provider knows us, if we have one.
    pub fn client_id(&self) -> Option<&str> {
        self.client_id.as_deref()
    }

    /// Adds to a form what belongs into it, and returns the `Authorization` header if one is sent.
    pub(crate) fn apply(&self, form: &mut Form) -> Option<Secret<String>> {
        let client_id = self.client_id.as_deref().unwrap_or_default();
        // EXPOSE: secrets and tokens go to the provider that they were agreed upon with.
        match &self.method {
            Method::Basic(secret) => {
                // RFC 6749 section 2.3.1: both are encoded as in a form before they are joined.
                let mut joined = String::new();
                form::encode(client_id, &mut joined);
                joined.push(':');
                form::encode(secret.expose(), &mut joined);
                Some(basic(joined))
            }
            Method::BasicRaw(secret) => {
                let mut joined = String::from(client_id);
                joined.push(':');
                joined.push_str(secret.expose());
                Some(basic(joined))
            }
            Method::Post(secret) => {
                form.push("client_id", client_id);
                form.push("client_secret", secret.expose());
                None
            }
            Method::Bearer(token) => Some(bearer(token.expose())),
        }
    }
}

impl fmt::Debug for ClientAuthentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientAuthentication([redacted])")
    }
}

fn basic(mut joined: String) -> Secret<String> {
    let mut header = String::from("Basic ");
    let mut encoded = base64_encode(joined.as_bytes());
    header.push_str(&encoded);
    encoded.zeroize();
    joined.zeroize();
    Secret::new(header)
}

/// A bearer token as the value of an `Authorization` header (RFC 6750 section 2.1).
pub(crate) fn bearer(token: &str) -> Secret<String> {
    let mut header = String::from("Bearer ");
    header.push_str(token);
    Secret::new(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::http::json;

    fn read(text: &str) -> Result<ClientAuthentication, Error> {
        let object = json::read_object(text.as_bytes(), 10_000).unwrap();
        let options = Options::new(&object, &ClientAuthentication::OPTIONS)?;
        ClientAuthentication::from_options(&options)
    }

    fn header(text: &str) -> Option<String> {
        let header = read(text).unwrap().apply(&mut Form::new());
        // EXPOSE: the test compares it.
        header.map(|header| header.expose().clone())
    }

    #[test]
    fn int_17_id_and_secret_are_encoded_before_they_are_joined() {
        let given = r#"{"clientId":"a:b %+\u00e9","clientSecret":"s:% +\u20ac"}"#;
        // a%3Ab+%25%2B%C3%A9:s%3A%25+%2B%E2%82%AC
        assert_eq!(
            header(given).as_deref(),
            Some("Basic YSUzQWIrJTI1JTJCJUMzJUE5OnMlM0ElMjUrJTJCJUUyJTgyJUFD")
        );
        assert_eq!(
            header(r#"{"clientId":"rs","clientSecret":"s3cret"}"#).as_deref(),
            Some("Basic cnM6czNjcmV0")
        );
    }

    #[test]
    fn int_17_raw_is_for_providers_that_do_not_decode() {
        let raw = |id: &str, secret: &str| {
            format!(
                r#"{{"auth":"client_secret_basic_raw","clientId":"{id}","clientSecret":"{secret}"}}"#
            )
        };
        assert_eq!(
            header(&raw("rs", "s:% +")).as_deref(),
            Some("Basic cnM6czolICs=")
        );
        assert_eq!(read(&raw("a:b", "s")).err().unwrap().at(), "clientId");
    }

    #[test]
    fn a_secret_in_the_form_sends_no_header() {
        let mut form = Form::new();
        let given = r#"{"auth":"client_secret_post","clientId":"r s","clientSecret":"a&b"}"#;
        assert!(read(given).unwrap().apply(&mut form).is_none());
        assert_eq!(form.encoded(), "client_id=r+s&client_secret=a%26b");
    }

    #[test]
    fn int_18_a_bearer_token_stands_alone() {
        let given = r#"{"auth":"bearer","bearerToken":"abc"}"#;
        assert_eq!(header(given).as_deref(), Some("Bearer abc"));
    }

    #[test]
    fn what_is_missing_or_of_no_use_is_refused_by_name() {
        for (given, at) in [
            ("{}", "clientId"),
            (r#"{"clientId":"rs"}"#, "clientSecret"),
            (r#"{"clientSecret":"x"}"#, "clientId"),
            (r#"{"clientId":"rs","clientSecret":""}"#, "clientSecret"),
            (r#"{"auth":"none","clientId":"rs"}"#, "auth"),
            (r#"{"auth":1,"clientId":"rs"}"#, "auth"),
            (r#"{"auth":"bearer"}"#, "bearerToken"),
            (r#"{"auth":"bearer","bearerToken":"a\r\nb"}"#, "bearerToken"),
            (
                r#"{"auth":"bearer","bearerToken":"a","clientSecret":"x"}"#,
                "clientSecret",
            ),
            (
                r#"{"clientId":"rs","clientSecret":"x","bearerToken":"a"}"#,
                "bearerToken",
            ),
        ] {
            let error = read(given).err().unwrap();
            assert_eq!(
                (error.kind(), error.at()),
                (ErrorKind::ConfigInvalid, at),
                "{given}"
            );
        }
    }

    #[test]
    fn debug_shows_nothing() {
        let authentication = read(r#"{"clientId":"rs","clientSecret":"s3cret"}"#).unwrap();
        assert!(!format!("{authentication:?}").contains("s3cret"));
    }
}
