//! How a client, or an API that asks like one, shows a provider who it is (RFC 6749 section 2.3,
//! RFC 6750 section 2.1).

use core::fmt;

use zeroize::Zeroize as _;

use crate::base64url;
use crate::error::Error;
use crate::http::form::{self, Form};
use crate::http::json::Object;
#[cfg(feature = "backend")]
use crate::http::{Attestation, HttpRequest, HttpResponse};
use crate::issuer::{Issuer, Metadata};
use crate::jose::{Algorithm, KeyName, SigningKey, TokenNames, UnsignedToken, hmac_sha256};
use crate::options::{Options, invalid};
use crate::secret::Secret;
use crate::time::Timestamp;

/// The longest identifier or secret. Real ones have 20 to 100 characters.
const MAX_LENGTH: usize = 4096;
/// The shortest secret of `client_secret_jwt`, in bytes: that of the hash (RFC 7518 section 3.2).
const LEAST_HMAC_SECRET: usize = 32;
/// For how long an assertion is good, in seconds. It is made for one request.
const ASSERTION_LIFETIME: i64 = 60;
/// What an assertion is (RFC 7523 section 2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Who we are at a provider, and how we show it.
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
    #[cfg(feature = "guard")]
    Bearer(Secret<String>),
    /// `none`, `tls_client_auth` or `self_signed_tls_client_auth`, by name: only `client_id` is sent.
    #[cfg(feature = "backend")]
    Named(&'static str),
    /// `client_secret_jwt`, with HS256.
    SecretJwt(Secret<String>),
    /// `private_key_jwt`, with the `typ` of the assertion, once the host has the key.
    PrivateKeyJwt(Option<SigningKey>, &'static str),
    /// `attest_jwt_client_auth`.
    #[cfg(feature = "backend")]
    Attestation(Attested),
}

/// What attestation-based client authentication needs (draft-ietf-oauth-attestation-based-client-auth,
/// version 10).
#[cfg(feature = "backend")]
#[derive(Clone)]
struct Attested {
    /// What somebody who vouches for the client signed.
    attestation: Secret<String>,
    /// The key that stands in it, once the host has it.
    key: Option<SigningKey>,
    /// What the provider wants to see in the next proof.
    challenge: Option<String>,
}

/// What a request carries besides its form so that the provider knows us.
#[derive(Debug)]
pub(crate) enum Shown {
    /// Nothing.
    Form,
    /// An `Authorization` header.
    Header(Secret<String>),
    /// An assertion that has to be signed and then put into the form, see [`push_assertion`].
    Unsigned(UnsignedToken),
}

/// The longest attestation: with a chain of certificates in its header.
#[cfg(feature = "backend")]
const MAX_ATTESTATION: usize = 16 * 1024;
/// The longest challenge that is sent back. Real ones have some dozen characters.
#[cfg(feature = "backend")]
const MAX_CHALLENGE: usize = 1024;
/// The header that carries it.
#[cfg(feature = "backend")]
const CHALLENGE: &str = "oauth-client-attestation-challenge";

/// Adds a signed assertion to a form (RFC 7523 section 2.2).
pub(crate) fn push_assertion(form: &mut Form, assertion: &Secret<String>) {
    form.push("client_assertion_type", ASSERTION_TYPE);
    // EXPOSE: it was made for the provider that it goes to.
    form.push("client_assertion", assertion.expose());
}

impl ClientAuthentication {
    /// The names of the options that [`ClientAuthentication::from_options`] reads.
    #[cfg(feature = "guard")]
    pub(crate) const OPTIONS: [&'static str; 4] =
        ["auth", "bearerToken", "clientId", "clientSecret"];

    /// Reads `auth` and what that way needs.
    ///
    /// # Errors
    ///
    /// `config_invalid` at the option that is missing, of no use beside the others or malformed.
    #[cfg(feature = "guard")]
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
        if auth == "private_key_jwt" {
            if secret.is_some() {
                return Err(invalid("clientSecret"));
            }
            return Ok(Self {
                client_id: Some(client_id.into()),
                method: Method::PrivateKeyJwt(None, "JWT"),
            });
        }
        let method = with_secret(auth, client_id)?;
        Ok(Self {
            client_id: Some(client_id.into()),
            method: method(checked_secret(secret)?)?,
        })
    }

    /// The name under which the provider knows us, if we have one.
    pub fn client_id(&self) -> Option<&str> {
        self.client_id.as_deref()
    }

    /// A client that shows nothing but its name (RFC 6749 section 2.1).
    #[cfg(feature = "backend")]
    pub fn public(client_id: &str) -> Self {
        Self {
            client_id: Some(client_id.into()),
            method: Method::Named("none"),
        }
    }

    /// Reads the option `clientAuth` of a client: `method` and what that way needs. Without it the
    /// client is a public one.
    ///
    /// | member | meaning |
    /// |---|---|
    /// | `method` | `client_secret_basic`, `client_secret_basic_raw`, `client_secret_post`, `client_secret_jwt`, `private_key_jwt`, `attest_jwt_client_auth`, `tls_client_auth`, `self_signed_tls_client_auth` or `none` |
    /// | `clientSecret` | the secret, for the four that have one |
    /// | `attestation` | the attestation of `attest_jwt_client_auth` |
    /// | `assertionType` | `typ` of a `private_key_jwt`: `JWT` (default) or `client-authentication+jwt` |
    ///
    /// The key of `private_key_jwt` and `attest_jwt_client_auth` does not come as an option, see
    /// [`ClientAuthentication::set_key`].
    ///
    /// # Errors
    ///
    /// `config_invalid` at the member that is missing, of no use beside the others or malformed.
    #[cfg(feature = "backend")]
    pub(crate) fn from_object(object: Option<&Object>, client_id: &str) -> Result<Self, Error> {
        let Some(object) = object else {
            return Ok(Self::public(client_id));
        };
        let options = Options::new(
            object,
            &["assertionType", "attestation", "clientSecret", "method"],
        )?;
        let typ = match options.string("assertionType")? {
            None | Some("JWT") => "JWT",
            Some("client-authentication+jwt") => "client-authentication+jwt",
            Some(_) => return Err(invalid("assertionType")),
        };
        let secret = options.string("clientSecret")?;
        let method = options.required_string("method")?;
        if method != "private_key_jwt" && options.value("assertionType").is_some() {
            return Err(invalid("assertionType"));
        }
        let attestation = options.string("attestation")?;
        let named = ["none", "tls_client_auth", "self_signed_tls_client_auth"];
        let method = match named.into_iter().find(|name| *name == method) {
            Some(name) => Method::Named(name),
            None if method == "private_key_jwt" => Method::PrivateKeyJwt(None, typ),
            None if method == "attest_jwt_client_auth" => {
                let attestation = attestation.filter(|text| is_compact(text));
                Method::Attestation(Attested {
                    attestation: Secret::new(
                        attestation.ok_or_else(|| invalid("attestation"))?.into(),
                    ),
                    key: None,
                    challenge: None,
                })
            }
            None => {
                let method = with_secret(method, client_id).map_err(|error| match error.at() {
                    "auth" => invalid("method"),
                    _ => error,
                })?;
                method(checked_secret(secret)?)?
            }
        };
        let has_no_secret = matches!(
            method,
            Method::Named(_) | Method::PrivateKeyJwt(..) | Method::Attestation(_)
        );
        if secret.is_some() && has_no_secret {
            return Err(invalid("clientSecret"));
        }
        if attestation.is_some() && !matches!(method, Method::Attestation(_)) {
            return Err(invalid("attestation"));
        }
        Ok(Self {
            client_id: Some(client_id.into()),
            method,
        })
    }

    /// Whether it needs a key that nobody has given yet.
    pub(crate) fn lacks_key(&self) -> bool {
        match &self.method {
            Method::PrivateKeyJwt(key, _) => key.is_none(),
            #[cfg(feature = "backend")]
            Method::Attestation(attested) => attested.key.is_none(),
            _ => false,
        }
    }

    /// Whether it makes assertions, which have names.
    pub(crate) fn makes_assertions(&self) -> bool {
        match self.method {
            Method::SecretJwt(_) | Method::PrivateKeyJwt(..) => true,
            #[cfg(feature = "backend")]
            Method::Attestation(_) => true,
            _ => false,
        }
    }

    /// Puts what was signed where it belongs: into the form, or beside the attestation.
    #[cfg(feature = "backend")]
    pub(crate) fn put_signed(
        &self,
        signed: Secret<String>,
        form: &mut Form,
        request: &mut HttpRequest,
    ) {
        match &self.method {
            Method::Attestation(attested) => {
                let attestation = attested.attestation.clone();
                request.attestation = Some(Box::new(Attestation {
                    attestation,
                    proof: signed,
                }));
            }
            _ => push_assertion(form, &signed),
        }
    }

    /// Learns what the provider wants to see in the next proof, and says whether it refused this one for
    /// want of it.
    #[cfg(feature = "backend")]
    pub(crate) fn demands_challenge(&mut self, response: &HttpResponse) -> bool {
        let Method::Attestation(attested) = &mut self.method else {
            return false;
        };
        let is_challenge = |text: &&str| {
            (1..=MAX_CHALLENGE).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let Some(challenge) = response.header(CHALLENGE).filter(is_challenge) else {
            return false;
        };
        attested.challenge = Some(challenge.into());
        let refusal = response.refusal();
        let error = refusal
            .details()
            .and_then(|details| details.error.as_deref());
        response.status() >= 400 && error == Some("use_attestation_challenge")
    }

    /// Says with which key the host signs assertions, and under which `kid` the provider knows it.
    ///
    /// # Errors
    ///
    /// `config_invalid` at `key` when the way of authentication needs no key, at `alg` for HMAC.
    pub fn set_key(&mut self, algorithm: Algorithm, key_id: Option<String>) -> Result<(), Error> {
        if algorithm.is_symmetric() {
            return Err(invalid("alg"));
        }
        match &mut self.method {
            Method::PrivateKeyJwt(key, _) => {
                *key = Some(SigningKey::new(KeyName::ClientAssertion, algorithm, key_id));
                Ok(())
            }
            // The attestation has the key itself: no name is needed, and none is shown.
            #[cfg(feature = "backend")]
            Method::Attestation(attested) => {
                let key = SigningKey::new(KeyName::ClientAssertion, algorithm, None);
                attested.key = Some(key);
                Ok(())
            }
            _ => Err(invalid("key")),
        }
    }

    /// Adds to a form what belongs into it, and says what else the request needs. Assertions are made
    /// of names and a time; without, they are refused.
    ///
    /// # Errors
    ///
    /// `config_invalid` at `method` or `alg` when the provider's metadata rules it out, at `key`
    /// when there is none yet.
    pub(crate) fn apply(
        &self,
        form: &mut Form,
        issuer: &Issuer,
        metadata: Option<&Metadata>,
        making: Option<(&mut TokenNames, Timestamp)>,
    ) -> Result<Shown, Error> {
        let client_id = self.client_id.as_deref().unwrap_or_default();
        if let Some(metadata) = metadata {
            self.check(metadata)?;
        }
        // EXPOSE: secrets and tokens go to the provider that they were agreed upon with.
        match &self.method {
            Method::Basic(secret) => {
                // RFC 6749 section 2.3.1: both are encoded as in a form before they are joined.
                let mut joined = String::new();
                form::encode(client_id, &mut joined);
                joined.push(':');
                form::encode(secret.expose(), &mut joined);
                return Ok(Shown::Header(basic(joined)));
            }
            Method::BasicRaw(secret) => {
                let mut joined = String::from(client_id);
                joined.push(':');
                joined.push_str(secret.expose());
                return Ok(Shown::Header(basic(joined)));
            }
            #[cfg(feature = "guard")]
            Method::Bearer(token) => return Ok(Shown::Header(bearer(token.expose()))),
            _ => {}
        }
        // RFC 6749 section 3.2.1: whoever sends no header is named in the body.
        form.push_once("client_id", client_id);
        match &self.method {
            Method::Post(secret) => form.push("client_secret", secret.expose()),
            Method::SecretJwt(secret) => {
                let key = SigningKey::new(KeyName::ClientAssertion, Algorithm::Hs256, None);
                let token = assertion(&key, "JWT", client_id, issuer, making)?;
                let code = hmac_sha256(secret.expose().as_bytes(), &[token.request().message()]);
                push_assertion(form, &token.signed(&code)?);
            }
            Method::PrivateKeyJwt(key, typ) => {
                let key = key.as_ref().ok_or_else(|| invalid("key"))?;
                let token = assertion(key, typ, client_id, issuer, making)?;
                return Ok(Shown::Unsigned(token));
            }
            #[cfg(feature = "backend")]
            Method::Attestation(attested) => {
                let key = attested.key.as_ref().ok_or_else(|| invalid("key"))?;
                let (names, now) = making.ok_or_else(|| invalid("method"))?;
                // Section 5.2 of the draft: for this provider by its issuer identifier, now, once, and
                // with the challenge where there is one.
                let claims = Object::new()
                    .with("aud", issuer.as_str())
                    .with("jti", names.make_name())
                    .with("iat", now.seconds())
                    .with_some("challenge", attested.challenge.as_deref());
                let typ = "oauth-client-attestation-pop+jwt";
                return Ok(Shown::Unsigned(UnsignedToken::new(
                    key,
                    typ,
                    Object::new(),
                    claims,
                )));
            }
            _ => {}
        }
        Ok(Shown::Form)
    }

    /// Whether the provider's metadata rules this way out. A list that is not there rules out
    /// nothing: that it means `client_secret_basic` (RFC 8414 section 2) many providers do not know.
    fn check(&self, metadata: &Metadata) -> Result<(), Error> {
        let (method, algorithm) = match &self.method {
            Method::Basic(_) | Method::BasicRaw(_) => ("client_secret_basic", None),
            Method::Post(_) => ("client_secret_post", None),
            Method::SecretJwt(_) => ("client_secret_jwt", Some(Algorithm::Hs256)),
            Method::PrivateKeyJwt(key, _) => {
                let algorithm = key.as_ref().map(SigningKey::algorithm);
                ("private_key_jwt", algorithm)
            }
            #[cfg(feature = "backend")]
            Method::Attestation(attested) => {
                let algorithm = attested.key.as_ref().map(SigningKey::algorithm);
                if algorithm.is_some_and(|own| !metadata.allows_attestation_algorithm(own)) {
                    return Err(invalid("alg"));
                }
                ("attest_jwt_client_auth", None)
            }
            #[cfg(feature = "backend")]
            Method::Named(name) => (*name, None),
            #[cfg(feature = "guard")]
            Method::Bearer(_) => return Ok(()),
        };
        // A public client shows nothing; some providers do not list that.
        if method != "none" && !metadata.allows_authentication(method) {
            return Err(invalid("method"));
        }
        match algorithm {
            Some(algorithm) if !metadata.allows_assertion_algorithm(algorithm) => {
                Err(invalid("alg"))
            }
            _ => Ok(()),
        }
    }
}

/// Whether it has the form of a signed token; what stands in it is the provider's to judge.
#[cfg(feature = "backend")]
fn is_compact(text: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let parts = text.split('.');
    text.len() <= MAX_ATTESTATION && parts.clone().count() == 3 && parts.clone().all(is_part)
}

/// Makes a way of its secret.
type WithSecret = fn(Secret<String>) -> Result<Method, Error>;

/// The ways that need a secret, by their names.
fn with_secret(auth: &str, client_id: &str) -> Result<WithSecret, Error> {
    Ok(match auth {
        "client_secret_basic" => |secret| Ok(Method::Basic(secret)),
        // The first colon ends the name.
        "client_secret_basic_raw" if client_id.contains(':') => return Err(invalid("clientId")),
        "client_secret_basic_raw" => |secret| Ok(Method::BasicRaw(secret)),
        "client_secret_post" => |secret| Ok(Method::Post(secret)),
        // EXPOSE: its length is what is looked at.
        "client_secret_jwt" => |secret| match secret.expose().len() {
            0..LEAST_HMAC_SECRET => Err(invalid("clientSecret")),
            _ => Ok(Method::SecretJwt(secret)),
        },
        _ => return Err(invalid("auth")),
    })
}

fn checked_secret(secret: Option<&str>) -> Result<Secret<String>, Error> {
    match secret {
        Some(secret) if secret.len() <= MAX_LENGTH => Ok(Secret::new(secret.into())),
        _ => Err(invalid("clientSecret")),
    }
}

/// Who we are, for this provider, now (RFC 7523 section 3, OpenID Connect Core section 9).
fn assertion(
    key: &SigningKey,
    typ: &str,
    client_id: &str,
    issuer: &Issuer,
    making: Option<(&mut TokenNames, Timestamp)>,
) -> Result<UnsignedToken, Error> {
    let (names, now) = making.ok_or_else(|| invalid("method"))?;
    let claims = Object::new()
        // 1, 2: iss and sub are the client.
        .with("iss", client_id)
        .with("sub", client_id)
        // 3: aud is the provider, by its issuer identifier and by nothing else: an endpoint as the
        // audience is what audience injection lives on.
        .with("aud", issuer.as_str())
        // 4, 6, 7: good for one minute and for one use.
        .with("exp", now.seconds().saturating_add(ASSERTION_LIFETIME))
        .with("iat", now.seconds())
        .with("jti", names.make_name());
    Ok(UnsignedToken::new(key, typ, Object::new(), claims))
}

impl fmt::Debug for ClientAuthentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientAuthentication([redacted])")
    }
}

fn basic(mut joined: String) -> Secret<String> {
    let mut header = String::from("Basic ");
    let mut encoded = base64url::encode_standard(joined.as_bytes());
    header.push_str(&encoded);
    encoded.zeroize();
    joined.zeroize();
    Secret::new(header)
}

/// A bearer token as the value of an `Authorization` header (RFC 6750 section 2.1).
#[cfg(feature = "guard")]
pub(crate) fn bearer(token: &str) -> Secret<String> {
    let mut header = String::from("Bearer ");
    header.push_str(token);
    Secret::new(header)
}

#[cfg(test)]
#[cfg(feature = "guard")]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::http::{Transport, json};

    fn read(text: &str) -> Result<ClientAuthentication, Error> {
        let object = json::read_object(text.as_bytes(), 10_000).unwrap();
        let options = Options::new(&object, &ClientAuthentication::OPTIONS)?;
        ClientAuthentication::from_options(&options)
    }

    fn header(text: &str) -> Option<String> {
        match apply(&read(text).unwrap(), &mut Form::new()).unwrap() {
            // EXPOSE: the test compares it.
            Shown::Header(header) => Some(header.expose().clone()),
            _ => None,
        }
    }

    fn apply(authentication: &ClientAuthentication, form: &mut Form) -> Result<Shown, Error> {
        let issuer = Issuer::parse("https://as.example", Transport::Secure).unwrap();
        let now = Timestamp::from_seconds(1_800_000_000).unwrap();
        authentication.apply(
            form,
            &issuer,
            None,
            Some((&mut TokenNames::new([3; 32]), now)),
        )
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
        let shown = apply(&read(given).unwrap(), &mut form).unwrap();
        assert!(matches!(shown, Shown::Form));
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
