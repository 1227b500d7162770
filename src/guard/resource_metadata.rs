//! What this API says of itself, so that a client finds out where to get a token (RFC 9728).

use crate::error::{Error, ErrorKind, Field};
use crate::http::json::{Object, Value};
use crate::http::{Transport, Url};
use crate::options::invalid;

/// RFC 9728 section 3: what stands between host and path.
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// How long the document may be kept: it changes with a deployment.
const CACHE_CONTROL: &str = "public, max-age=3600";

/// The kind of a member that a program may add.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Url,
    Texts,
    Switch,
}

/// RFC 9728 section 2, without what the guard writes itself (`resource`, `authorization_servers`,
/// `bearer_methods_supported`) and without `signed_metadata`, which it cannot make.
const MEMBERS: &[(&str, Kind)] = &[
    ("authorization_details_types_supported", Kind::Texts),
    ("dpop_bound_access_tokens_required", Kind::Switch),
    ("dpop_signing_alg_values_supported", Kind::Texts),
    ("jwks_uri", Kind::Url),
    ("resource_documentation", Kind::Url),
    ("resource_name", Kind::Text),
    ("resource_policy_uri", Kind::Url),
    ("resource_signing_alg_values_supported", Kind::Texts),
    ("resource_tos_uri", Kind::Url),
    ("scopes_supported", Kind::Texts),
    ("tls_client_certificate_bound_access_tokens", Kind::Switch),
];

/// The metadata document of a protected resource and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceMetadata {
    document: String,
    url: String,
    /// The path under which the resource's own document is.
    path: String,
}

/// The answer to a request for the document: public, and the same for everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// The HTTP status: 200, 204 or 405.
    pub status: u16,
    /// The headers, in lower case.
    pub headers: Vec<(&'static str, &'static str)>,
    /// The document, for GET.
    pub body: Option<String>,
}

impl ResourceMetadata {
    /// The document for a resource identifier, these issuers and members that the program adds.
    ///
    /// # Errors
    ///
    /// `config_invalid` for an identifier with a query or a fragment, and for a member that is unknown,
    /// of the wrong type or written by the guard; `url_insecure` when the identifier is not https.
    #[inline(never)]
    pub(super) fn new(
        resource: &str,
        issuers: Vec<String>,
        more: Option<&Object>,
        transport: Transport,
    ) -> Result<Self, Error> {
        // 1.2: an https URL without fragment. A query is allowed and should not be there; it would
        // have to be part of the document's URL.
        let resource = Url::parse(resource)
            .filter(|url| !url.has_fragment() && url.query().is_none())
            .ok_or_else(|| invalid("resource"))?;
        if !resource.is_allowed(transport) {
            return Err(Error::new(ErrorKind::UrlInsecure, "resource"));
        }
        let mut document = Object::new()
            .with("resource", resource.as_str())
            .with("authorization_servers", issuers)
            .with("bearer_methods_supported", vec!["header"]);
        for (name, value) in more.into_iter().flat_map(Object::iter) {
            if !is_member(name, value) {
                return Err(Error::new(ErrorKind::ConfigInvalid, Field::option(name)));
            }
            document = document.with(name, value.clone());
        }
        // 3.1: a slash that ends the identifier's host goes, the path comes behind.
        let suffix = match resource.path() {
            "/" => "",
            path => path,
        };
        let mut path = String::from(WELL_KNOWN);
        path.push_str(suffix);
        let mut url = resource.origin();
        url.push_str(&path);
        Ok(Self {
            document: Value::from(document).to_json(),
            url,
            path,
        })
    }

    /// Where the document is: what challenges name.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The document, as JSON.
    pub fn document(&self) -> &str {
        &self.document
    }

    /// The answer to a request with this method and this URL; `None` when it is not for the document.
    ///
    /// The path decides, exactly as it is written: at the identifier's own well-known path and at the
    /// root, where clients look next. Host and query do not matter, a proxy may have changed them.
    pub fn answer(&self, method: &str, url: &str) -> Option<Answer> {
        let path = path_of(url);
        if path != self.path && path != WELL_KNOWN {
            return None;
        }
        // Pages of every origin may read it: it is public, and carries no credentials.
        let mut headers = vec![("access-control-allow-origin", "*")];
        let (status, body) = match method {
            "GET" | "HEAD" => {
                headers.push(("content-type", "application/json"));
                headers.push(("cache-control", CACHE_CONTROL));
                (200, (method == "GET").then(|| self.document.clone()))
            }
            "OPTIONS" => {
                headers.push(("access-control-allow-methods", "GET, HEAD"));
                headers.push(("access-control-allow-headers", "*"));
                (204, None)
            }
            _ => {
                headers.push(("allow", "GET, HEAD, OPTIONS"));
                (405, None)
            }
        };
        Some(Answer {
            status,
            headers,
            body,
        })
    }
}

impl Answer {
    /// As JSON for JavaScript.
    pub fn to_json(&self) -> String {
        let headers = self
            .headers
            .iter()
            .fold(Object::new(), |object, (name, value)| {
                object.with(name, *value)
            });
        Value::from(
            Object::new()
                .with("status", i64::from(self.status))
                .with("headers", headers)
                .with_some("body", self.body.as_deref()),
        )
        .to_json()
    }
}

/// The path of an absolute URL or of a request's target.
fn path_of(url: &str) -> &str {
    let rest = match url.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or(""),
        None => url,
    };
    rest.split(['?', '#']).next().unwrap_or(rest)
}

/// Whether a program may add this member with this value.
fn is_member(name: &str, value: &Value) -> bool {
    // 2.1: texts may be there in several languages.
    let plain = name.split('#').next().unwrap_or(name);
    let Some((_, kind)) = MEMBERS.iter().find(|(known, _)| *known == plain) else {
        return false;
    };
    let text = value.as_str().filter(|text| !text.is_empty());
    match kind {
        Kind::Text => text.is_some(),
        Kind::Url => text.and_then(Url::parse).is_some(),
        Kind::Texts if plain == name => value
            .as_strings()
            .is_some_and(|list| !list.is_empty() && list.iter().all(|text| !text.is_empty())),
        Kind::Switch if plain == name => value.as_bool().is_some(),
        Kind::Texts | Kind::Switch => false,
    }
}
