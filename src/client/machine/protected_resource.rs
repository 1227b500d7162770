//! What an API says of itself to its clients (RFC 9728): above all, whose tokens it takes.

use crate::error::{Error, ErrorKind, Phase};
use crate::flow::{Event, Flow, Step};
use crate::http::json::{Object, Value};
use crate::http::{HttpRequest, HttpResponse, Purpose, Transport, Url};
use crate::issuer::Issuer;
use crate::options::{Options, invalid};
use crate::time::{Lifetime, Timestamp};

/// The most authorization servers that are believed. Real ones have one or two.
const MOST_SERVERS: usize = 32;

/// The metadata of an API, which speaks for the resource that was asked about and for no other.
///
/// What it does not say: whether one of the servers is to be trusted. Whoever answers for the API's
/// address can name any: keep a list of those that you have credentials for, by their issuer.
#[derive(Clone, Debug)]
pub struct ProtectedResource {
    resource: String,
    authorization_servers: Vec<String>,
    scopes_supported: Vec<String>,
    requires_dpop: bool,
}

impl ProtectedResource {
    /// The issuers whose tokens the API takes; at least one.
    pub fn authorization_servers(&self) -> &[String] {
        &self.authorization_servers
    }

    /// The metadata with the names of the public API.
    pub fn to_object(&self) -> Object {
        Object::new()
            .with("resource", self.resource.as_str())
            .with("authorizationServers", self.authorization_servers.clone())
            .with("scopesSupported", self.scopes_supported.clone())
            .with("requiresDpop", self.requires_dpop)
    }
}

/// The flow that asks an API for its metadata. It sends one request.
#[derive(Debug)]
pub struct DiscoverResource {
    resource: String,
    place: Url,
    transport: Transport,
    timeout: Lifetime,
    stage: Stage,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Ready,
    Asking,
    Over,
}

impl DiscoverResource {
    /// Reads the options of the public API.
    ///
    /// | option | meaning | default |
    /// |---|---|---|
    /// | `resource` | the API's resource identifier: a URL | required |
    /// | `timeout` | seconds, 1 to 120 | 10 |
    /// | `dangerouslyAllowHttpLoopback` | http to this machine itself | false |
    ///
    /// # Errors
    ///
    /// `config_invalid`, `url_insecure`.
    pub fn from_options(object: &Object) -> Result<Self, Error> {
        read_options(object).map_err(|error| error.during(Phase::Config))
    }
}

fn read_options(object: &Object) -> Result<DiscoverResource, Error> {
    let known = ["dangerouslyAllowHttpLoopback", "resource", "timeout"];
    let options = Options::new(object, &known)?;
    let transport = options.transport()?;
    let text = options.required_string("resource")?;
    let url = Url::parse(text).filter(|url| !url.has_fragment());
    let url = url.ok_or_else(|| invalid("resource"))?;
    if !url.is_allowed(transport) {
        return Err(Error::new(ErrorKind::UrlInsecure, "resource"));
    }
    if !url.is_unambiguous() {
        return Err(invalid("resource"));
    }
    // Section 3.1: between the host and what follows it; a slash that ends the host goes, before a query too.
    let rest = url.after_origin();
    let authority = text.strip_suffix(rest).unwrap_or(text);
    let rest = match (url.path(), rest.strip_prefix('/')) {
        ("/", Some(query)) => query,
        _ => rest,
    };
    let place = [authority, "/.well-known/oauth-protected-resource", rest].concat();
    Ok(DiscoverResource {
        resource: text.into(),
        place: Url::parse(&place).ok_or_else(|| invalid("resource"))?,
        transport,
        timeout: options.timeout(10)?,
        stage: Stage::Ready,
    })
}

impl Flow for DiscoverResource {
    type Shared = ();
    type Output = ProtectedResource;

    /// As [`Flow::step`].
    ///
    /// # Errors
    ///
    /// `metadata_invalid` at `resource` when the document is about another resource (section 3.3), at
    /// `authorization_servers` when that is no list of https URLs with one member at least;
    /// `response_malformed`, `upstream_status`, `redirect_refused` and those of the network.
    fn step(
        &mut self,
        _: &mut (),
        _: Timestamp,
        event: Event,
    ) -> Result<Step<ProtectedResource>, Error> {
        match core::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Ready if matches!(event, Event::Start) => {
                self.stage = Stage::Asking;
                let place = self.place.clone();
                Ok(Step::Send(HttpRequest::get(
                    Purpose::Discovery,
                    place,
                    self.timeout,
                )))
            }
            Stage::Asking => {
                let answer = event.into_answer()?.map_err(Error::from);
                let read = answer.and_then(|response| self.read(&response));
                read.map(Step::Done)
                    .map_err(|error| error.during(Phase::Discovery))
            }
            _ => Err(ErrorKind::FlowMisused.into()),
        }
    }
}

impl DiscoverResource {
    fn read(&self, response: &HttpResponse) -> Result<ProtectedResource, Error> {
        let invalid = |at: &'static str| Error::new(ErrorKind::MetadataInvalid, at);
        let document = response.json(
            &["application/json"],
            Purpose::Discovery.max_body(),
            ErrorKind::ResponseMalformed,
        )?;
        // Section 3.3: letter by letter, or it must not be used.
        if document.get("resource").and_then(Value::as_str) != Some(&self.resource) {
            return Err(invalid("resource"));
        }
        let list = |name: &'static str| match document.get(name) {
            None => Ok(None),
            Some(value) => value.as_strings().ok_or_else(|| invalid(name)).map(Some),
        };
        let servers = list("authorization_servers")?.unwrap_or_default();
        let is_issuer = |text: &&str| Issuer::parse(text, self.transport).is_ok();
        let is_good = (1..=MOST_SERVERS).contains(&servers.len()) && servers.iter().all(is_issuer);
        if !is_good {
            return Err(invalid("authorization_servers"));
        }
        let own = |list: Vec<&str>| list.into_iter().map(String::from).collect();
        let requires_dpop = document.get("dpop_bound_access_tokens_required");
        Ok(ProtectedResource {
            resource: self.resource.clone(),
            authorization_servers: own(servers),
            scopes_supported: own(list("scopes_supported")?.unwrap_or_default()),
            requires_dpop: requires_dpop.and_then(Value::as_bool) == Some(true),
        })
    }
}
