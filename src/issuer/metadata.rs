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
        if url.query().is_some() || url.has_fragment() {
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

/// A provider's metadata, whose issuer is the one that was asked and whose URLs are secure.
#[derive(Clone, Debug)]
pub struct Metadata {
    authorization_endpoint: Option<Url>,
    token_endpoint: Option<Url>,
    jwks_uri: Option<Url>,
    end_session_endpoint: Option<Url>,
    introspection_endpoint: Option<Url>,
    revocation_endpoint: Option<Url>,
    userinfo_endpoint: Option<Url>,
    #[cfg(feature = "backend")]
    device_authorization_endpoint: Option<Url>,
    #[cfg(any(feature = "backend", feature = "guard"))]
    authentication_methods: Option<Vec<String>>,
    #[cfg(any(feature = "backend", feature = "guard"))]
    assertion_algorithms: Option<Vec<String>>,
    #[cfg(feature = "backend")]
    registration_endpoint: Option<Url>,
    #[cfg(feature = "backend")]
    attestation_algorithms: Option<Vec<String>>,
    #[cfg(feature = "backend")]
    request_object_algorithms: Option<Vec<String>>,
    /// Whether it says that it takes no request objects by value (OpenID Connect Discovery section
    /// 3).
    #[cfg(feature = "backend")]
    refuses_request_objects: bool,
    /// Whether it takes no authorization request but signed ones (RFC 9101 section 10.5).
    requires_signed_requests: bool,
    pushed_authorization_request_endpoint: Option<Url>,
    /// Whether it takes no authorization request but pushed ones (RFC 9126 section 5).
    requires_pushed_requests: bool,
    /// Whether it names itself in callbacks (RFC 9207 section 3).
    names_itself_in_callbacks: bool,
    challenge_methods: Option<Vec<String>>,
    id_token_algorithms: Option<Vec<String>>,
    #[cfg(feature = "backend")]
    response_algorithms: Option<Vec<String>>,
    dpop_algorithms: Option<Vec<String>>,
}

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
        let invalid = |at: &'static str| Error::new(ErrorKind::MetadataInvalid, at);
        if document.get("issuer").and_then(Value::as_str) != Some(issuer.as_str()) {
            return Err(invalid("issuer"));
        }
        let present = |name: &str| document.get(name).filter(|value| **value != Value::Null);
        let endpoint = |name: &'static str| match present(name) {
            None => Ok(None),
            Some(value) => {
                let text = value.as_str().ok_or_else(|| invalid(name))?;
                // Other schemes (javascript:, file:) are refused here as well as http.
                match Url::parse(text) {
                    Some(url) if url.is_allowed(transport) && !url.has_fragment() => Ok(Some(url)),
                    _ => Err(Error::new(ErrorKind::UrlInsecure, name)),
                }
            }
        };
        let list = |name: &'static str| {
            let Some(value) = present(name) else {
                return Ok(None);
            };
            let list = value.as_strings().ok_or_else(|| invalid(name))?;
            Ok::<_, Error>(Some(list.into_iter().map(String::from).collect()))
        };
        let says = |name: &'static str| match present(name) {
            None => Ok(false),
            Some(value) => value.as_bool().ok_or_else(|| invalid(name)),
        };
        Ok(Self {
            authorization_endpoint: endpoint("authorization_endpoint")?,
            token_endpoint: endpoint("token_endpoint")?,
            jwks_uri: endpoint("jwks_uri")?,
            end_session_endpoint: endpoint("end_session_endpoint")?,
            introspection_endpoint: endpoint("introspection_endpoint")?,
            revocation_endpoint: endpoint("revocation_endpoint")?,
            userinfo_endpoint: endpoint("userinfo_endpoint")?,
            #[cfg(feature = "backend")]
            device_authorization_endpoint: endpoint("device_authorization_endpoint")?,
            #[cfg(any(feature = "backend", feature = "guard"))]
            authentication_methods: list("token_endpoint_auth_methods_supported")?,
            #[cfg(any(feature = "backend", feature = "guard"))]
            assertion_algorithms: list("token_endpoint_auth_signing_alg_values_supported")?,
            #[cfg(feature = "backend")]
            registration_endpoint: endpoint("registration_endpoint")?,
            #[cfg(feature = "backend")]
            attestation_algorithms: list("client_attestation_pop_signing_alg_values_supported")?,
            #[cfg(feature = "backend")]
            request_object_algorithms: list("request_object_signing_alg_values_supported")?,
            #[cfg(feature = "backend")]
            refuses_request_objects: present("request_parameter_supported").is_some()
                && !says("request_parameter_supported")?,
            requires_signed_requests: says("require_signed_request_object")?,
            pushed_authorization_request_endpoint: endpoint(
                "pushed_authorization_request_endpoint",
            )?,
            requires_pushed_requests: says("require_pushed_authorization_requests")?,
            names_itself_in_callbacks: says("authorization_response_iss_parameter_supported")?,
            challenge_methods: list("code_challenge_methods_supported")?,
            id_token_algorithms: list("id_token_signing_alg_values_supported")?,
            #[cfg(feature = "backend")]
            response_algorithms: list("authorization_signing_alg_values_supported")?,
            dpop_algorithms: list("dpop_signing_alg_values_supported")?,
        })
    }

    /// Where users sign in.
    ///
    /// # Errors
    ///
    /// `metadata_invalid` when there is none.
    pub fn authorization_endpoint(&self) -> Result<&Url, Error> {
        needed(
            self.authorization_endpoint.as_ref(),
            "authorization_endpoint",
        )
    }

    /// Where tokens are issued.
    ///
    /// # Errors
    ///
    /// `metadata_invalid` when there is none.
    pub fn token_endpoint(&self) -> Result<&Url, Error> {
        needed(self.token_endpoint.as_ref(), "token_endpoint")
    }

    /// Where the keys are.
    ///
    /// # Errors
    ///
    /// `metadata_invalid` when there is none.
    pub fn jwks_uri(&self) -> Result<&Url, Error> {
        needed(self.jwks_uri.as_ref(), "jwks_uri")
    }

    /// Where users sign out, if the provider offers that.
    pub fn end_session_endpoint(&self) -> Option<&Url> {
        self.end_session_endpoint.as_ref()
    }

    /// Where tokens are ended (RFC 7009), if the provider offers that.
    pub fn revocation_endpoint(&self) -> Option<&Url> {
        self.revocation_endpoint.as_ref()
    }

    /// Where the provider says what a token stands for (RFC 7662).
    ///
    /// # Errors
    ///
    /// `metadata_invalid` when there is none.
    pub fn introspection_endpoint(&self) -> Result<&Url, Error> {
        needed(
            self.introspection_endpoint.as_ref(),
            "introspection_endpoint",
        )
    }

    /// Where the provider says what it knows of a user.
    ///
    /// # Errors
    ///
    /// `metadata_invalid` when there is none.
    pub fn userinfo_endpoint(&self) -> Result<&Url, Error> {
        needed(self.userinfo_endpoint.as_ref(), "userinfo_endpoint")
    }

    /// Where devices without a browser begin (RFC 8628).
    ///
    /// # Errors
    ///
    /// `metadata_invalid` when there is none.
    #[cfg(feature = "backend")]
    pub fn device_authorization_endpoint(&self) -> Result<&Url, Error> {
        needed(
            self.device_authorization_endpoint.as_ref(),
            "device_authorization_endpoint",
        )
    }

    /// Where clients register themselves (RFC 7591).
    ///
    /// # Errors
    ///
    /// `metadata_invalid` when there is none.
    #[cfg(feature = "backend")]
    pub fn registration_endpoint(&self) -> Result<&Url, Error> {
        needed(self.registration_endpoint.as_ref(), "registration_endpoint")
    }

    /// Whether proofs of an attested client may be signed so: unless there is a list without it.
    #[cfg(feature = "backend")]
    pub fn allows_attestation_algorithm(&self, algorithm: Algorithm) -> bool {
        let algorithms = self.attestation_algorithms.as_ref();
        algorithms.is_none_or(|names| names.iter().any(|name| name == algorithm.name()))
    }

    /// Whether clients may show who they are in this way: unless there is a list without it.
    #[cfg(any(feature = "backend", feature = "guard"))]
    pub fn allows_authentication(&self, method: &str) -> bool {
        let methods = self.authentication_methods.as_ref();
        methods.is_none_or(|methods| methods.iter().any(|known| known == method))
    }

    /// Whether assertions of clients may be signed so: unless there is a list without it.
    #[cfg(any(feature = "backend", feature = "guard"))]
    pub fn allows_assertion_algorithm(&self, algorithm: Algorithm) -> bool {
        let algorithms = self.assertion_algorithms.as_ref();
        algorithms.is_none_or(|names| names.iter().any(|name| name == algorithm.name()))
    }

    /// Whether authorization requests may be signed so (RFC 9101): unless it says that it takes none
    /// or has a list without this algorithm.
    #[cfg(feature = "backend")]
    pub fn allows_request_object(&self, algorithm: Algorithm) -> bool {
        let algorithms = self.request_object_algorithms.as_ref();
        !self.refuses_request_objects
            && algorithms.is_none_or(|names| names.iter().any(|name| name == algorithm.name()))
    }

    /// Whether it takes no authorization request but signed ones (RFC 9101 section 10.5).
    pub fn requires_signed_requests(&self) -> bool {
        self.requires_signed_requests
    }

    /// Where authorization requests are pushed (RFC 9126 section 5).
    ///
    /// # Errors
    ///
    /// `metadata_invalid` when there is none.
    pub fn pushed_authorization_request_endpoint(&self) -> Result<&Url, Error> {
        needed(
            self.pushed_authorization_request_endpoint.as_ref(),
            "pushed_authorization_request_endpoint",
        )
    }

    /// Whether it takes no authorization request but pushed ones (RFC 9126 section 5).
    pub fn requires_pushed_requests(&self) -> bool {
        self.requires_pushed_requests
    }

    /// Whether callbacks must carry `iss` (RFC 9207).
    pub fn names_itself_in_callbacks(&self) -> bool {
        self.names_itself_in_callbacks
    }

    /// Whether PKCE with S256 is ruled out: there is a list of methods and S256 is not on it.
    pub fn rules_out_s256(&self) -> bool {
        self.challenge_methods
            .as_ref()
            .is_some_and(|methods| !methods.iter().any(|method| method == "S256"))
    }

    /// Whether there is a list of PKCE's methods at all.
    pub fn names_challenge_methods(&self) -> bool {
        self.challenge_methods.is_some()
    }

    /// The algorithms with which it signs ID tokens, if it says so.
    pub fn id_token_algorithms(&self) -> Option<Vec<&str>> {
        let list = self.id_token_algorithms.as_ref()?;
        Some(list.iter().map(String::as_str).collect())
    }

    /// Whether it says that it does not sign authorization responses with this algorithm (JARM
    /// section 4).
    #[cfg(feature = "backend")]
    pub fn rules_out_response(&self, algorithm: &str) -> bool {
        let named = self.response_algorithms.as_ref();
        named.is_some_and(|names| !names.iter().any(|name| name == algorithm))
    }

    /// Whether it says that it does not take DPoP proofs with this algorithm (RFC 9449 section
    /// 5.1). One that says nothing may take them all the same.
    pub fn rules_out_dpop(&self, algorithm: &str) -> bool {
        let named = self.dpop_algorithms.as_ref();
        named.is_some_and(|names| !names.iter().any(|name| name == algorithm))
    }
}

fn needed<'a>(url: Option<&'a Url>, name: &'static str) -> Result<&'a Url, Error> {
    url.ok_or_else(|| Error::new(ErrorKind::MetadataInvalid, name))
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
