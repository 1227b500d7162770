//! What a client is configured with.

#[cfg(feature = "backend")]
use crate::client::machine::Machine;
use crate::client::{Client, DpopConfig};
use crate::error::{Error, ErrorKind, Field, Phase};
use crate::http::json::{Object, Value};
use crate::http::{Transport, Url};
#[cfg(feature = "backend")]
use crate::issuer::ClientAuthentication;
use crate::issuer::Provider;
use crate::jose::Algorithm;
use crate::options::{Options, invalid};
use crate::time::Lifetime;

/// Parameters that gatepass sets itself; whoever could set them could switch a check off.
const RESERVED: &[&str] = &[
    "authorization_details",
    "client_id",
    "client_secret",
    "code_challenge",
    "code_challenge_method",
    "dpop_jkt",
    "id_token_hint",
    "max_age",
    "nonce",
    "redirect_uri",
    "request",
    "request_uri",
    "response_mode",
    "response_type",
    "scope",
    "state",
];

/// How the provider hands over its authorization response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResponseMode {
    /// In the query of the callback's URL, which is the default of the code flow.
    Query,
    /// In the fragment of the callback's URL, which no server sees.
    Fragment,
    /// In the body of a POST (OAuth 2.0 Form Post Response Mode).
    FormPost,
    /// As a JWT that the provider signed, in the query (JARM section 2.3).
    #[cfg(feature = "backend")]
    QueryJwt,
    /// As a JWT that the provider signed, in the fragment.
    #[cfg(feature = "backend")]
    FragmentJwt,
    /// As a JWT that the provider signed, in the body of a POST.
    #[cfg(feature = "backend")]
    FormPostJwt,
    /// As a JWT that the provider signed, where the code flow answers by default: in the query.
    #[cfg(feature = "backend")]
    Jwt,
}

impl ResponseMode {
    /// The value of `response_mode`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Fragment => "fragment",
            Self::FormPost => "form_post",
            #[cfg(feature = "backend")]
            Self::QueryJwt => "query.jwt",
            #[cfg(feature = "backend")]
            Self::FragmentJwt => "fragment.jwt",
            #[cfg(feature = "backend")]
            Self::FormPostJwt => "form_post.jwt",
            #[cfg(feature = "backend")]
            Self::Jwt => "jwt",
        }
    }

    /// Where the response stands, as one of the first three.
    pub(super) fn place(self) -> Self {
        match self {
            #[cfg(feature = "backend")]
            Self::QueryJwt | Self::Jwt => Self::Query,
            #[cfg(feature = "backend")]
            Self::FragmentJwt => Self::Fragment,
            #[cfg(feature = "backend")]
            Self::FormPostJwt => Self::FormPost,
            in_the_clear => in_the_clear,
        }
    }

    /// Whether the response is a JWT.
    pub(super) fn is_signed(self) -> bool {
        self.place() != self
    }
}

/// Whether authorization requests are pushed (RFC 9126).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Par {
    /// Where the provider requires it.
    Auto,
    /// Always.
    Require,
    /// Never: a provider that requires it gets no request at all.
    Off,
}

/// A client's configuration.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientConfig {
    /// The client identifier.
    pub client_id: String,
    /// Where the provider sends the user back to; sent as it stands here.
    pub redirect_uri: Option<Url>,
    /// Where the provider sends the user after signing out.
    pub post_logout_redirect_uri: Option<Url>,
    /// The parameter that says so: `post_logout_redirect_uri`, or what a provider has in its place.
    pub post_logout_redirect_parameter: &'static str,
    /// The scopes, separated by single spaces.
    pub scope: String,
    /// The resources that the access token is for (RFC 8707).
    pub resource: Vec<String>,
    /// The `audience` parameter of providers that use it in place of `resource`.
    pub audience: Option<String>,
    /// How the provider is asked to answer; without it, it is not asked and answers by query.
    pub response_mode: Option<ResponseMode>,
    /// Whether authorization requests are pushed.
    pub par: Par,
    /// Whether the provider's metadata must say that it knows PKCE; without it, it may be silent.
    pub require_pkce_support: bool,
    /// The registrable domain that page and provider share, for silent sign-ins.
    pub site: Option<String>,
    /// More parameters of the authorization request.
    pub authorization_params: Vec<(String, String)>,
    /// Audiences that an ID token may have besides this client.
    pub trusted_audiences: Vec<String>,
    /// Whether front-channel logout must name the session.
    pub frontchannel_logout_session_required: bool,
    /// The algorithm with which the provider signs what it says of users, if that was agreed upon.
    pub userinfo_signed_response_alg: Option<Algorithm>,
    /// The origins whose requests get the access token.
    pub allowed_origins: Vec<String>,
    /// How far clocks may differ.
    pub clock_tolerance: Lifetime,
    /// How long before its end an access token is renewed; never more than half of its life.
    pub refresh_skew: Lifetime,
    /// How tokens are bound to a key of the client (RFC 9449); none are without it.
    pub dpop: Option<DpopConfig>,
}

impl Client {
    /// Reads the options of the public API.
    ///
    /// | option | meaning | default |
    /// |---|---|---|
    /// | `issuer` | issuer identifier, or a metadata document in place of discovery | required |
    /// | `clientId` | client identifier | required |
    /// | `redirectUri` | callback URL, as registered | none |
    /// | `postLogoutRedirectUri` | where signing out ends, as registered | none |
    /// | `postLogoutRedirectParameter` | the parameter that says so, `logout_uri` at Cognito | `post_logout_redirect_uri` |
    /// | `clientAuth` | how the client shows who it is (feature `backend`) | a public client |
    /// | `scope` | scopes, separated by spaces | `openid` |
    /// | `resource` | resource indicators (RFC 8707) | none |
    /// | `audience` | `audience` parameter | none |
    /// | `requestObject` | `{}`: authorization requests are signed with the key of [`Client::set_request_key`] (RFC 9101; feature `backend`) | they are not |
    /// | `responseMode` | `query`, `fragment` or `form_post`; with the feature `backend` also `jwt` and each with `.jwt` (JARM) | not sent, which means `query` |
    /// | `par` | pushed requests (RFC 9126): `auto`, `require` or `off` | `auto` |
    /// | `site` | the registrable domain that page and provider share | the same host alone |
    /// | `authorizationParams` | more parameters of the authorization request | none |
    /// | `trustedAudiences` | audiences that an ID token may have besides this client | none |
    /// | `allowedOrigins` | origins whose requests get the access token | those of `resource` |
    /// | `clockTolerance` | seconds, 0 to 300 | 30 |
    /// | `dpop` | true, or `{ bindCode }`: tokens are bound to a key (RFC 9449) | none are |
    /// | `refreshSkew` | seconds, 0 to 3600 | 60 |
    /// | `timeout` | seconds for one request, 1 to 120 | 10 |
    /// | `frontchannelLogoutSessionRequired` | whether front-channel logout must name the session | true |
    /// | `userinfoSignedResponseAlg` | algorithm with which UserInfo answers are signed | either form |
    /// | `dangerouslyAllowHttpLoopback` | http to this machine itself | false |
    ///
    /// # Errors
    ///
    /// `config_invalid` for an unknown option or a value of the wrong type or out of range,
    /// `url_insecure` for URLs that are not https, `metadata_invalid` for a metadata document.
    pub fn from_options(options: &Object) -> Result<Self, Error> {
        read(options).map_err(|error| error.during(Phase::Config))
    }
}

fn read(object: &Object) -> Result<Client, Error> {
    let options = Options::new(
        object,
        &[
            "allowedOrigins",
            "audience",
            "authorizationParams",
            #[cfg(feature = "backend")]
            "clientAuth",
            "clientId",
            "clockTolerance",
            "dangerouslyAllowHttpLoopback",
            "dpop",
            "frontchannelLogoutSessionRequired",
            "issuer",
            "par",
            "postLogoutRedirectParameter",
            "postLogoutRedirectUri",
            "redirectUri",
            "refreshSkew",
            #[cfg(feature = "backend")]
            "requestObject",
            "requirePkceSupport",
            "resource",
            "responseMode",
            "scope",
            "site",
            "timeout",
            "trustedAudiences",
            "userinfoSignedResponseAlg",
        ],
    )?;
    let transport = options.transport()?;
    let timeout = options.timeout(10)?;
    let resource = resources(&options)?;
    let config = ClientConfig {
        allowed_origins: allowed_origins(&options, &resource)?,
        client_id: client_id(&options)?.into(),
        redirect_uri: page(&options, "redirectUri")?,
        post_logout_redirect_uri: page(&options, "postLogoutRedirectUri")?,
        post_logout_redirect_parameter: match options.string("postLogoutRedirectParameter")? {
            None | Some("post_logout_redirect_uri") => "post_logout_redirect_uri",
            Some("logout_uri") => "logout_uri",
            Some(_) => return Err(invalid("postLogoutRedirectParameter")),
        },
        scope: scope(options.string("scope")?)?,
        resource,
        audience: options.string("audience")?.map(String::from),
        response_mode: response_mode(&options)?,
        par: par(&options)?,
        require_pkce_support: options.choice("requirePkceSupport", false)?,
        site: site(&options)?,
        authorization_params: parameters(options.object("authorizationParams")?)?,
        trusted_audiences: owned(options.strings("trustedAudiences")?),
        frontchannel_logout_session_required: options
            .choice("frontchannelLogoutSessionRequired", true)?,
        userinfo_signed_response_alg: algorithm(&options, "userinfoSignedResponseAlg")?,
        clock_tolerance: options.seconds("clockTolerance", 0..=300, 30)?,
        refresh_skew: options.seconds("refreshSkew", 0..=3600, 60)?,
        dpop: dpop(options.value("dpop"))?,
    };
    #[cfg(feature = "backend")]
    let machine = {
        let authentication = options.object("clientAuth")?;
        let authentication = ClientAuthentication::from_object(authentication, &config.client_id)?;
        let request_object = options.object("requestObject")?;
        if let Some(object) = request_object {
            // Its key does not come as an option.
            Options::new(object, &[])?;
        }
        Machine::new(authentication, options.string("scope")?.map(String::from))
            .signing_requests(request_object.is_some())
    };
    let provider = Provider::from_option(options.value("issuer"), transport, timeout)?;
    Ok(Client {
        #[cfg(feature = "backend")]
        machine,
        ..Client::new(config, provider)
    })
}

/// An identifier that is a URL is that of a document about the client (Client ID Metadata Document
/// section 3): https with a path, without fragment, userinfo and dot segments, and the client has no
/// secret.
fn client_id<'a>(options: &Options<'a>) -> Result<&'a str, Error> {
    let id = options.required_string("clientId")?;
    if !id.starts_with("https://") && !id.starts_with("http://") {
        return Ok(id);
    }
    let url = Url::parse(id).filter(|url| {
        url.is_secure()
            && url.is_unambiguous()
            && !url.has_fragment()
            && !matches!(url.path(), "" | "/")
    });
    #[cfg(feature = "backend")]
    if let Some(authentication) = options.object("clientAuth")?
        && authentication.get("clientSecret").is_some()
    {
        return Err(invalid("clientSecret"));
    }
    url.map(|_| id).ok_or_else(|| invalid("clientId"))
}

/// A page of the application: https, or http to this machine (RFC 8252 section 7.3), no fragment.
fn page(options: &Options<'_>, name: &'static str) -> Result<Option<Url>, Error> {
    let Some(text) = options.string(name)? else {
        return Ok(None);
    };
    let url = Url::parse(text)
        .filter(|url| !url.has_fragment())
        .ok_or_else(|| invalid(name))?;
    if url.is_allowed(Transport::SecureOrLoopback) {
        Ok(Some(url))
    } else {
        Err(Error::new(ErrorKind::UrlInsecure, name))
    }
}

fn response_mode(options: &Options<'_>) -> Result<Option<ResponseMode>, Error> {
    let Some(name) = options.string("responseMode")? else {
        return Ok(None);
    };
    let modes = [
        ResponseMode::Query,
        ResponseMode::Fragment,
        ResponseMode::FormPost,
        #[cfg(feature = "backend")]
        ResponseMode::QueryJwt,
        #[cfg(feature = "backend")]
        ResponseMode::FragmentJwt,
        #[cfg(feature = "backend")]
        ResponseMode::FormPostJwt,
        #[cfg(feature = "backend")]
        ResponseMode::Jwt,
    ];
    let mode = modes.into_iter().find(|mode| mode.name() == name);
    mode.map(Some).ok_or_else(|| invalid("responseMode"))
}

fn par(options: &Options<'_>) -> Result<Par, Error> {
    match options.string("par")? {
        None | Some("auto") => Ok(Par::Auto),
        Some("require") => Ok(Par::Require),
        Some("off") => Ok(Par::Off),
        Some(_) => Err(invalid("par")),
    }
}

/// A domain of two labels or more, in lower case. Whether it is a registrable one (and not `co.uk`)
/// only the Public Suffix List could tell, which browsers have and a page does not.
fn site(options: &Options<'_>) -> Result<Option<String>, Error> {
    let Some(site) = options.string("site")? else {
        return Ok(None);
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
    };
    // Not a part of an IP address.
    let is_name = !site.ends_with(|last: char| last.is_ascii_digit());
    if is_name && site.contains('.') && site.split('.').all(is_label) {
        Ok(Some(site.into()))
    } else {
        Err(invalid("site"))
    }
}

/// Scope tokens have printable ASCII without quotes and backslashes (RFC 6749 section 3.3).
pub(super) fn scope(text: Option<&str>) -> Result<String, Error> {
    let text = text.unwrap_or("openid");
    let is_token = |token: &str| {
        !token.is_empty()
            && token
                .bytes()
                .all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
    };
    if text.split(' ').all(is_token) {
        Ok(text.into())
    } else {
        Err(invalid("scope"))
    }
}

/// Absolute URIs without fragment (RFC 8707 section 2).
pub(super) fn resources(options: &Options<'_>) -> Result<Vec<String>, Error> {
    let list = owned(options.strings("resource")?);
    let is_absolute = |uri: &String| {
        let scheme = uri
            .split_once(':')
            .map(|(scheme, rest)| (scheme, rest.is_empty()));
        let named = matches!(scheme, Some((scheme, false)) if scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')));
        named && !uri.contains('#') && uri.bytes().all(|byte| (0x21..=0x7e).contains(&byte))
    };
    if list.iter().all(is_absolute) {
        Ok(list)
    } else {
        Err(invalid("resource"))
    }
}

/// Origins and nothing behind them; without the option those of the resources that are URLs.
pub(super) fn allowed_origins(
    options: &Options<'_>,
    resource: &[String],
) -> Result<Vec<String>, Error> {
    let Some(list) = options.strings("allowedOrigins")? else {
        let origin = |uri: &String| Url::parse(uri).map(|url| url.origin());
        return Ok(resource.iter().filter_map(origin).collect());
    };
    list.into_iter()
        .map(|text| {
            let url =
                Url::parse(text).filter(|url| url.without_query() == text && url.path().is_empty());
            let url = url.ok_or_else(|| invalid("allowedOrigins"))?;
            if url.is_allowed(Transport::SecureOrLoopback) {
                Ok(url.origin())
            } else {
                Err(Error::new(ErrorKind::UrlInsecure, "allowedOrigins"))
            }
        })
        .collect()
}

/// An algorithm with a public key: a page keeps no secret, and `none` is none.
fn algorithm(options: &Options<'_>, name: &'static str) -> Result<Option<Algorithm>, Error> {
    let named = options.string(name)?;
    let known = |name| Algorithm::from_name(name).filter(|algorithm| !algorithm.is_symmetric());
    named
        .map(|text| known(text).ok_or_else(|| invalid(name)))
        .transpose()
}

/// Yes or no, or yes with its own options.
fn dpop(value: Option<&Value>) -> Result<Option<DpopConfig>, Error> {
    let binds_code = match value {
        None | Some(Value::Bool(false)) => return Ok(None),
        Some(Value::Bool(true)) => true,
        Some(Value::Object(object)) => match Options::new(object, &["bindCode"])?.value("bindCode")
        {
            None => true,
            Some(value) => value.as_bool().ok_or_else(|| invalid("bindCode"))?,
        },
        Some(_) => return Err(invalid("dpop")),
    };
    Ok(Some(DpopConfig { binds_code }))
}

/// Parameters beyond those that gatepass sets.
pub(super) fn parameters(object: Option<&Object>) -> Result<Vec<(String, String)>, Error> {
    let Some(object) = object else {
        return Ok(Vec::new());
    };
    object
        .iter()
        .map(|(name, value)| match value.as_str() {
            Some(value) if !name.is_empty() && !RESERVED.contains(&name) => {
                Ok((name.into(), value.into()))
            }
            _ => Err(Error::new(ErrorKind::ConfigInvalid, Field::option(name))),
        })
        .collect()
}

fn owned(list: Option<Vec<&str>>) -> Vec<String> {
    list.unwrap_or_default()
        .into_iter()
        .map(String::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::json;

    fn client(more: &str) -> Result<Client, Error> {
        let text = format!(r#"{{"issuer":"https://as.example","clientId":"spa"{more}}}"#);
        Client::from_options(&json::read_object(text.as_bytes(), 10_000).unwrap())
    }

    #[track_caller]
    fn refused(more: &str, at: &str) {
        let error = client(more).err().unwrap();
        assert_eq!(
            (error.kind(), error.at()),
            (ErrorKind::ConfigInvalid, at),
            "{more}"
        );
        assert_eq!(error.phase(), Some(Phase::Config));
    }

    #[test]
    fn defaults_are_those_of_the_documentation() {
        let client = client("").unwrap();
        let config = client.config();
        assert_eq!(config.scope, "openid");
        assert_eq!(config.clock_tolerance, Lifetime::from_seconds(30));
        assert_eq!(config.refresh_skew, Lifetime::from_seconds(60));
        assert_eq!(client.provider().timeout(), Lifetime::from_seconds(10));
        assert_eq!(client.provider().transport(), Transport::Secure);
    }

    #[test]
    fn req_38_an_identifier_that_is_a_url_names_a_document_and_has_no_secret() {
        let read = |id: &str, more: &str| {
            let text = format!(r#"{{"issuer":"https://as.example","clientId":"{id}"{more}}}"#);
            Client::from_options(&json::read_object(text.as_bytes(), 10_000).unwrap())
        };
        assert!(read("https://app.example/client.json", "").is_ok());
        assert!(read("https://app.example:8443/oauth/client", "").is_ok());
        for id in [
            "http://app.example/client.json",
            "https://app.example",
            "https://app.example/",
            "https://app.example/client.json#f",
            "https://u:p@app.example/client.json",
            "https://app.example/a/../client.json",
            "https://app.example/./client.json",
        ] {
            let error = read(id, "").err().unwrap();
            assert_eq!(
                (error.kind(), error.at()),
                (ErrorKind::ConfigInvalid, "clientId"),
                "{id}"
            );
        }
        #[cfg(feature = "backend")]
        {
            let auth = r#","clientAuth":{"method":"client_secret_post","clientSecret":"x"}"#;
            let error = read("https://app.example/client.json", auth).err().unwrap();
            assert_eq!(
                (error.kind(), error.at()),
                (ErrorKind::ConfigInvalid, "clientSecret")
            );
        }
        // Other identifiers are the provider's own affair.
        assert!(read("urn:client:1", "").is_ok());
    }

    #[test]
    fn unknown_options_and_wrong_types_are_refused() {
        refused(r#","clientid":"x""#, "clientid");
        refused(r#","scope":["openid"]"#, "scope");
        refused(r#","scope":"openid  email""#, "scope");
        refused(r#","scope":"a\"b""#, "scope");
        refused(r#","clockTolerance":301"#, "clockTolerance");
        refused(r#","clockTolerance":null"#, "clockTolerance");
        refused(r#","timeout":0"#, "timeout");
        refused(
            r#","dangerouslyAllowHttpLoopback":"true""#,
            "dangerouslyAllowHttpLoopback",
        );
        refused(r#","resource":"api""#, "resource");
        refused(r#","resource":"https://api.example/#f""#, "resource");
        refused(r#","authorizationParams":{"prompt":1}"#, "prompt");
        refused(
            r#","allowedOrigins":["https://api.example/"]"#,
            "allowedOrigins",
        );
        refused(
            r#","allowedOrigins":["https://api.example?x"]"#,
            "allowedOrigins",
        );
        refused(r#","allowedOrigins":"*""#, "allowedOrigins");
    }

    #[test]
    fn dpop_is_a_switch_or_options() {
        let binds_code = |more: &str| client(more).unwrap().config().dpop.map(|it| it.binds_code);
        assert_eq!(binds_code(""), None);
        assert_eq!(binds_code(r#","dpop":false"#), None);
        assert_eq!(binds_code(r#","dpop":true"#), Some(true));
        assert_eq!(binds_code(r#","dpop":{}"#), Some(true));
        assert_eq!(binds_code(r#","dpop":{"bindCode":false}"#), Some(false));
        refused(r#","dpop":"yes""#, "dpop");
        refused(r#","dpop":null"#, "dpop");
        refused(r#","dpop":{"key":1}"#, "key");
        refused(r#","dpop":{"bindCode":0}"#, "bindCode");
    }

    #[test]
    fn parameters_that_carry_checks_cannot_be_overridden() {
        for name in RESERVED {
            refused(&format!(r#","authorizationParams":{{"{name}":"x"}}"#), name);
        }
        assert!(client(r#","authorizationParams":{"ui_locales":"de"}"#).is_ok());
    }

    #[test]
    fn redirect_uris_are_pages() {
        for url in [
            "/cb",
            "javascript:alert(1)",
            "data:text/html,x",
            "https://app.example/cb#f",
        ] {
            refused(&format!(r#","redirectUri":"{url}""#), "redirectUri");
        }
        let error = client(r#","redirectUri":"http://app.example/cb""#)
            .err()
            .unwrap();
        assert_eq!(
            (error.kind(), error.at()),
            (ErrorKind::UrlInsecure, "redirectUri")
        );
        let kept = client(r#","redirectUri":"https://app.example""#).unwrap();
        assert_eq!(
            kept.config().redirect_uri.as_ref().unwrap().as_str(),
            "https://app.example"
        );
        assert!(client(r#","redirectUri":"http://127.0.0.1:8088/cb""#).is_ok());
    }

    #[test]
    fn http_issuers_need_the_switch_and_loopback() {
        let read =
            |text: &str| Client::from_options(&json::read_object(text.as_bytes(), 1000).unwrap());
        let error = read(r#"{"issuer":"http://127.0.0.1:1","clientId":"a"}"#)
            .err()
            .unwrap();
        assert_eq!(error.kind(), ErrorKind::UrlInsecure);
        assert!(read(r#"{"issuer":"http://127.0.0.1:1","clientId":"a","dangerouslyAllowHttpLoopback":true}"#).is_ok());
        assert!(read(r#"{"issuer":"http://as.example","clientId":"a","dangerouslyAllowHttpLoopback":true}"#).is_err());
    }

    #[test]
    fn a_metadata_document_replaces_discovery() {
        let text = r#"{"issuer":{"issuer":"https://as.example","token_endpoint":"https://as.example/t"},"clientId":"a"}"#;
        let client =
            Client::from_options(&json::read_object(text.as_bytes(), 1000).unwrap()).unwrap();
        assert_eq!(client.provider().issuer().as_str(), "https://as.example");
        assert!(client.provider().metadata().is_some());
    }
}
