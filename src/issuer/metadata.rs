//! What a provider says of itself (RFC 8414 section 2, OpenID Connect Discovery section 3).

use crate::error::{Error, ErrorKind};
use crate::http::json::{Object, Value};
use crate::http::{Transport, Url};
#[cfg(any(feature = "backend", feature = "guard"))]
use crate::jose::Algorithm;

/// An issuer identifier: https, without query and fragment, compared letter by letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer(Url);

impl Issuer {
    /// Reads an identifier (RFC 8414 section 2).
    ///
    /// # Errors
    ///
    /// `config_invalid` when it is no absolute URL or has userinfo, a query or a fragment, or when a
    /// fetch would ask elsewhere than it says ([`Url::is_unambiguous`]);
    /// `url_insecure` when it is http beyond what `transport` allows.
    pub fn parse(text: &str, transport: Transport) -> Result<Self, Error> {
        let invalid = || Error::new(ErrorKind::ConfigInvalid, "issuer");
        let url = Url::parse(text).ok_or_else(invalid)?;
        if text.bytes().any(|byte| matches!(byte, b'?' | b'#')) {
            return Err(invalid());
        }
        if !url.is_allowed(transport) {
            return Err(Error::new(ErrorKind::UrlInsecure, "issuer"));
        }
        if !url.is_unambiguous() {
            return Err(invalid());
        }
        Ok(Self(url))
    }

    /// The identifier as it was given.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The identifier as a URL.
    pub fn url(&self) -> &Url {
        &self.0
    }
}

/// A provider's metadata, whose issuer is the one that was asked and whose URLs are secure: the members
/// that somebody here asks for, by their names.
#[derive(Clone, Debug)]
pub struct Metadata {
    endpoints: Vec<(&'static str, Url)>,
    lists: Vec<(&'static str, Vec<String>)>,
    switches: Vec<(&'static str, bool)>,
}

/// The members that are URLs.
const ENDPOINTS: &[&str] = &[
    AUTHORIZATION,
    TOKEN,
    JWKS,
    END_SESSION,
    INTROSPECTION,
    REVOCATION,
    USERINFO,
    PUSHED_REQUEST,
    #[cfg(feature = "backend")]
    DEVICE,
    #[cfg(feature = "backend")]
    REGISTRATION,
];

const AUTHORIZATION: &str = "authorization_endpoint";
const TOKEN: &str = "token_endpoint";
const JWKS: &str = "jwks_uri";
const END_SESSION: &str = "end_session_endpoint";
const INTROSPECTION: &str = "introspection_endpoint";
const REVOCATION: &str = "revocation_endpoint";
const USERINFO: &str = "userinfo_endpoint";
const PUSHED_REQUEST: &str = "pushed_authorization_request_endpoint";
#[cfg(feature = "backend")]
const DEVICE: &str = "device_authorization_endpoint";
#[cfg(feature = "backend")]
const REGISTRATION: &str = "registration_endpoint";

/// The members that are lists of names.
const LISTS: &[&str] = &[
    CHALLENGE_METHODS,
    ID_TOKEN_ALGORITHMS,
    DPOP_ALGORITHMS,
    #[cfg(any(feature = "backend", feature = "guard"))]
    AUTHENTICATION_METHODS,
    #[cfg(any(feature = "backend", feature = "guard"))]
    ASSERTION_ALGORITHMS,
    #[cfg(feature = "backend")]
    ATTESTATION_ALGORITHMS,
    #[cfg(feature = "backend")]
    REQUEST_OBJECT_ALGORITHMS,
    #[cfg(feature = "backend")]
    RESPONSE_ALGORITHMS,
];

const CHALLENGE_METHODS: &str = "code_challenge_methods_supported";
const ID_TOKEN_ALGORITHMS: &str = "id_token_signing_alg_values_supported";
const DPOP_ALGORITHMS: &str = "dpop_signing_alg_values_supported";
#[cfg(any(feature = "backend", feature = "guard"))]
const AUTHENTICATION_METHODS: &str = "token_endpoint_auth_methods_supported";
#[cfg(any(feature = "backend", feature = "guard"))]
const ASSERTION_ALGORITHMS: &str = "token_endpoint_auth_signing_alg_values_supported";
#[cfg(feature = "backend")]
const ATTESTATION_ALGORITHMS: &str = "client_attestation_pop_signing_alg_values_supported";
#[cfg(feature = "backend")]
const REQUEST_OBJECT_ALGORITHMS: &str = "request_object_signing_alg_values_supported";
#[cfg(feature = "backend")]
const RESPONSE_ALGORITHMS: &str = "authorization_signing_alg_values_supported";

/// The members that are yes or no, which is no where they are absent.
const SWITCHES: &[&str] = &[
    SIGNED_REQUESTS,
    PUSHED_REQUESTS,
    NAMES_ITSELF,
    #[cfg(feature = "backend")]
    REQUEST_OBJECTS,
];

const SIGNED_REQUESTS: &str = "require_signed_request_object";
const PUSHED_REQUESTS: &str = "require_pushed_authorization_requests";
const NAMES_ITSELF: &str = "authorization_response_iss_parameter_supported";
#[cfg(feature = "backend")]
const REQUEST_OBJECTS: &str = "request_parameter_supported";

impl Metadata {
    /// Reads a metadata document. Members that are unknown are ignored, `null` counts as absent,
    /// `signed_metadata` is not used.
    ///
    /// What it does not check: whether an endpoint is there that someone will need; see the
    /// methods that return one.
    ///
    /// # Errors
    ///
    /// `metadata_invalid` when the issuer is another one (RFC 8414 section 3.3, compared code
    /// point by code point) or a member has the wrong type; `url_insecure` for an endpoint that is
    /// not https.
    pub fn read(document: &Object, issuer: &Issuer, transport: Transport) -> Result<Self, Error> {
        if document.get("issuer").and_then(Value::as_str) != Some(issuer.as_str()) {
            return Err(invalid("issuer"));
        }
        let mut metadata = Self {
            endpoints: Vec::new(),
            lists: Vec::new(),
            switches: Vec::new(),
        };
        for (name, value) in document.iter() {
            if !matches!(value, Value::Null) {
                metadata.take(name, value, transport)?;
            }
        }
        Ok(metadata)
    }

    /// Takes a member, if it is one of those that are asked for.
    fn take(&mut self, name: &str, value: &Value, transport: Transport) -> Result<(), Error> {
        if let Some(name) = among(ENDPOINTS, name) {
            let text = value.as_str().ok_or_else(|| invalid(name))?;
            // Other schemes (javascript:, file:) are refused here as well as http.
            let url = Url::parse(text)
                .filter(|url| url.is_allowed(transport) && !url.has_fragment())
                .ok_or_else(|| Error::new(ErrorKind::UrlInsecure, name))?;
            self.endpoints.push((name, url));
        } else if let Some(name) = among(LISTS, name) {
            let list = value.as_strings().ok_or_else(|| invalid(name))?;
            let list = list.into_iter().map(String::from).collect();
            self.lists.push((name, list));
        } else if let Some(name) = among(SWITCHES, name) {
            let value = value.as_bool().ok_or_else(|| invalid(name))?;
            self.switches.push((name, value));
        }
        Ok(())
    }

    fn endpoint(&self, name: &'static str) -> Option<&Url> {
        let found = self.endpoints.iter().find(|(known, _)| *known == name);
        found.map(|(_, url)| url)
    }

    fn needed(&self, name: &'static str) -> Result<&Url, Error> {
        self.endpoint(name).ok_or_else(|| invalid(name))
    }

    fn list(&self, name: &'static str) -> Option<&[String]> {
        let found = self.lists.iter().find(|(known, _)| *known == name);
        found.map(|(_, list)| list.as_slice())
    }

    /// Whether there is a list without this name.
    fn rules_out(&self, list: &'static str, name: &str) -> bool {
        let list = self.list(list);
        list.is_some_and(|names| !names.iter().any(|known| known == name))
    }

    fn says(&self, name: &'static str) -> Option<bool> {
        let found = self.switches.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| *value)
    }

    /// Where users sign in.
    ///
    /// # Errors
    ///
    /// `metadata_invalid` when there is none.
    pub fn authorization_endpoint(&self) -> Result<&Url, Error> {
        self.needed(AUTHORIZATION)
    }

    /// Where tokens are issued.
    ///
    /// # Errors
    ///
    /// `metadata_invalid` when there is none.
    pub fn token_endpoint(&self) -> Result<&Url, Error> {
        self.needed(TOKEN)
    }

    /// Where the keys are.
    ///
    /// # Errors
    ///
    /// `metadata_invalid` when there is none.
    pub fn jwks_uri(&self) -> Result<&Url, Error> {
        self.needed(JWKS)
    }

    /// Where users sign out, if the provider offers that.
    pub fn end_session_endpoint(&self) -> Option<&Url> {
        self.endpoint(END_SESSION)
    }

    /// Where tokens are ended (RFC 7009), if the provider offers that.
    pub fn revocation_endpoint(&self) -> Option<&Url> {
        self.endpoint(REVOCATION)
    }

    /// Where the provider says what a token stands for (RFC 7662).
    ///
    /// # Errors
    ///
    /// `metadata_invalid` when there is none.
    pub fn introspection_endpoint(&self) -> Result<&Url, Error> {
        self.needed(INTROSPECTION)
    }

    /// Where the provider says what it knows of a user.
    ///
    /// # Errors
    ///
    /// `metadata_invalid` when there is none.
    pub fn userinfo_endpoint(&self) -> Result<&Url, Error> {
        self.needed(USERINFO)
    }

    /// Where devices without a browser begin (RFC 8628).
    ///
    /// # Errors
    ///
    /// `metadata_invalid` when there is none.
    #[cfg(feature = "backend")]
    pub fn device_authorization_endpoint(&self) -> Result<&Url, Error> {
        self.needed(DEVICE)
    }

    /// Where clients register themselves (RFC 7591).
    ///
    /// # Errors
    ///
    /// `metadata_invalid` when there is none.
    #[cfg(feature = "backend")]
    pub fn registration_endpoint(&self) -> Result<&Url, Error> {
        self.needed(REGISTRATION)
    }

    /// Whether proofs of an attested client may be signed so: unless there is a list without it.
    #[cfg(feature = "backend")]
    pub fn allows_attestation_algorithm(&self, algorithm: Algorithm) -> bool {
        !self.rules_out(ATTESTATION_ALGORITHMS, algorithm.name())
    }

    /// Whether clients may show who they are in this way: unless there is a list without it.
    #[cfg(any(feature = "backend", feature = "guard"))]
    pub fn allows_authentication(&self, method: &str) -> bool {
        !self.rules_out(AUTHENTICATION_METHODS, method)
    }

    /// Whether assertions of clients may be signed so: unless there is a list without it.
    #[cfg(any(feature = "backend", feature = "guard"))]
    pub fn allows_assertion_algorithm(&self, algorithm: Algorithm) -> bool {
        !self.rules_out(ASSERTION_ALGORITHMS, algorithm.name())
    }

    /// Whether authorization requests may be signed so (RFC 9101): unless it says that it takes none
    /// or has a list without this algorithm.
    #[cfg(feature = "backend")]
    pub fn allows_request_object(&self, algorithm: Algorithm) -> bool {
        self.says(REQUEST_OBJECTS) != Some(false)
            && !self.rules_out(REQUEST_OBJECT_ALGORITHMS, algorithm.name())
    }

    /// Whether it takes no authorization request but signed ones (RFC 9101 section 10.5).
    pub fn requires_signed_requests(&self) -> bool {
        self.says(SIGNED_REQUESTS) == Some(true)
    }

    /// Where authorization requests are pushed (RFC 9126 section 5).
    ///
    /// # Errors
    ///
    /// `metadata_invalid` when there is none.
    pub fn pushed_authorization_request_endpoint(&self) -> Result<&Url, Error> {
        self.needed(PUSHED_REQUEST)
    }

    /// Whether it takes no authorization request but pushed ones (RFC 9126 section 5).
    pub fn requires_pushed_requests(&self) -> bool {
        self.says(PUSHED_REQUESTS) == Some(true)
    }

    /// Whether callbacks must carry `iss` (RFC 9207).
    pub fn names_itself_in_callbacks(&self) -> bool {
        self.says(NAMES_ITSELF) == Some(true)
    }

    /// Whether PKCE with S256 is ruled out: there is a list of methods and S256 is not on it.
    pub fn rules_out_s256(&self) -> bool {
        self.rules_out(CHALLENGE_METHODS, "S256")
    }

    /// Whether there is a list of PKCE's methods at all.
    pub fn names_challenge_methods(&self) -> bool {
        self.list(CHALLENGE_METHODS).is_some()
    }

    /// The algorithms with which it signs ID tokens, if it says so.
    pub fn id_token_algorithms(&self) -> Option<Vec<&str>> {
        let list = self.list(ID_TOKEN_ALGORITHMS)?;
        Some(list.iter().map(String::as_str).collect())
    }

    /// Whether it says that it does not sign authorization responses with this algorithm (JARM
    /// section 4).
    #[cfg(feature = "backend")]
    pub fn rules_out_response(&self, algorithm: &str) -> bool {
        self.rules_out(RESPONSE_ALGORITHMS, algorithm)
    }

    /// Whether it says that it does not take DPoP proofs with this algorithm (RFC 9449 section
    /// 5.1). One that says nothing may take them all the same.
    pub fn rules_out_dpop(&self, algorithm: &str) -> bool {
        self.rules_out(DPOP_ALGORITHMS, algorithm)
    }
}

// Not a copy for each list.
#[inline(never)]
fn among(names: &[&'static str], name: &str) -> Option<&'static str> {
    names.iter().copied().find(|known| *known == name)
}

fn invalid(name: &'static str) -> Error {
    Error::new(ErrorKind::MetadataInvalid, name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::json;

    fn read(text: &str) -> Result<Metadata, Error> {
        let issuer = Issuer::parse("https://as.example/t", Transport::Secure)?;
        let document = json::read_object(text.as_bytes(), 1 << 20).unwrap();
        Metadata::read(&document, &issuer, Transport::Secure)
    }

    #[test]
    fn an_issuer_is_https_without_query_and_fragment() {
        let kind = |text: &str| {
            Issuer::parse(text, Transport::Secure)
                .err()
                .map(|error| error.kind())
        };
        assert_eq!(kind("https://as.example/t"), None);
        assert_eq!(kind("http://as.example"), Some(ErrorKind::UrlInsecure));
        assert_eq!(kind("http://127.0.0.1:1"), Some(ErrorKind::UrlInsecure));
        for text in [
            "https://as.example?x=1",
            "https://as.example/#f",
            "https://u:p@as.example",
            "as.example",
            "",
        ] {
            assert_eq!(kind(text), Some(ErrorKind::ConfigInvalid), "{text}");
        }
    }

    #[test]
    fn another_issuer_is_refused_whatever_the_difference() {
        for issuer in [
            "https://as.example/t/",
            "https://AS.example/t",
            "https://as.example:443/t",
            "https://as.example",
        ] {
            let error = read(&format!(r#"{{"issuer":"{issuer}"}}"#)).unwrap_err();
            assert_eq!(
                (error.kind(), error.at()),
                (ErrorKind::MetadataInvalid, "issuer")
            );
        }
        assert!(read(r#"{"issuer":1}"#).is_err());
        assert!(read("{}").is_err());
    }

    #[test]
    fn endpoints_are_secure_or_the_document_is_refused() {
        for name in [
            "authorization_endpoint",
            "token_endpoint",
            "jwks_uri",
            "end_session_endpoint",
        ] {
            for url in [
                "http://as.example/x",
                "javascript:alert(1)",
                "data:text/html,x",
                "file:///etc/passwd",
            ] {
                let error = read(&format!(
                    r#"{{"issuer":"https://as.example/t","{name}":"{url}"}}"#
                ))
                .unwrap_err();
                assert_eq!(
                    (error.kind(), error.at()),
                    (ErrorKind::UrlInsecure, name),
                    "{url}"
                );
            }
        }
    }

    #[test]
    fn null_counts_as_absent_and_other_types_do_not() {
        let metadata =
            read(r#"{"issuer":"https://as.example/t","token_endpoint":null,"x":{}}"#).unwrap();
        let error = metadata.token_endpoint().unwrap_err();
        assert_eq!(
            (error.kind(), error.at()),
            (ErrorKind::MetadataInvalid, "token_endpoint")
        );
        assert!(read(r#"{"issuer":"https://as.example/t","token_endpoint":1}"#).is_err());
        assert!(
            read(r#"{"issuer":"https://as.example/t","code_challenge_methods_supported":"S256"}"#)
                .is_err()
        );
        assert!(read(r#"{"issuer":"https://as.example/t","authorization_response_iss_parameter_supported":"true"}"#).is_err());
    }

    #[test]
    fn s256_is_ruled_out_only_by_a_list_without_it() {
        let rules_out = |list: &str| {
            read(&format!(r#"{{"issuer":"https://as.example/t"{list}}}"#))
                .unwrap()
                .rules_out_s256()
        };
        assert!(!rules_out(""));
        assert!(!rules_out(
            r#","code_challenge_methods_supported":["plain","S256"]"#
        ));
        assert!(rules_out(
            r#","code_challenge_methods_supported":["plain"]"#
        ));
        assert!(rules_out(r#","code_challenge_methods_supported":[]"#));
    }
}
