//! How metadata is found (OpenID Connect Discovery section 4, RFC 8414 section 3).

use crate::error::{Error, ErrorKind, Phase};
use crate::flow::{Event, Flow, Step};
use crate::http::{HttpRequest, HttpResponse, Purpose, Unreachable, Url};
use crate::issuer::{Issuer, Metadata, Provider};
use crate::time::Timestamp;

/// Where an issuer's metadata may stand, in the order in which the places are tried.
///
/// OpenID Connect appends the well-known path to the issuer, OAuth inserts it before the path;
/// one slash at the end of the issuer is left out.
pub fn well_known_urls(issuer: &Issuer) -> Vec<Url> {
    let text = issuer.as_str();
    let text = text.strip_suffix('/').unwrap_or(text);
    let path = issuer.url().path();
    let path = path.strip_suffix('/').unwrap_or(path);
    let authority = text.strip_suffix(path).unwrap_or(text);
    [
        format!("{text}/.well-known/openid-configuration"),
        format!("{authority}/.well-known/oauth-authorization-server{path}"),
    ]
    .iter()
    .filter_map(|text| Url::parse(text))
    .collect()
}

/// The flow that fetches metadata when there is none or it is old.
#[derive(Debug, Default)]
pub struct Discover {
    /// The places that are left to try; the first one was asked.
    places: Vec<Url>,
    /// When the first one was asked, or nothing had to be.
    begun: Option<Timestamp>,
    paced: bool,
}

impl Discover {
    /// A flow that asks whenever it has to: for what a user does.
    pub fn new() -> Self {
        Self::default()
    }

    /// A flow that keeps a pause after failures: for what others do, who may come a thousand times
    /// a second.
    pub fn paced() -> Self {
        Self {
            paced: true,
            ..Self::default()
        }
    }

    fn ask(&self, provider: &Provider) -> Result<Step<()>, Error> {
        match self.places.first() {
            Some(url) => {
                let mut request =
                    HttpRequest::get(Purpose::Discovery, url.clone(), provider.timeout);
                request.max_body = provider.limits.metadata;
                Ok(Step::Send(request))
            }
            None => Err(ErrorKind::FlowMisused.into()),
        }
    }

    /// What was good yesterday serves on while the provider is down, whatever answers in its place;
    /// not where it says something that is no good.
    fn failed(&self, provider: &Provider, error: Error, now: Timestamp) -> Result<Step<()>, Error> {
        if provider.metadata.is_some() && is_no_word(&error) {
            return Ok(Step::Done(()));
        }
        let error = error.during(Phase::Discovery);
        Err(if self.paced {
            error.retry_after(provider.discovery_pause.seconds_left(now))
        } else {
            error
        })
    }
}

impl Flow for Discover {
    type Shared = Provider;
    type Output = ();

    fn step(
        &mut self,
        provider: &mut Provider,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<()>, Error> {
        if matches!(event, Event::Start) {
            if self.begun.replace(now).is_some() {
                return Err(ErrorKind::FlowMisused.into());
            }
            if !provider.needs_discovery(now) {
                return Ok(Step::Done(()));
            }
            if self.paced && !provider.discovery_pause.is_over(now) {
                let failure = provider.discovery_failure.clone();
                return self.failed(provider, failure.ok_or(ErrorKind::FlowMisused)?, now);
            }
            self.places = well_known_urls(&provider.issuer);
            return self.ask(provider);
        }
        if self.places.is_empty() {
            return Err(ErrorKind::FlowMisused.into());
        }
        let answer = event.into_answer()?;
        // Not found here: it may stand at the next place.
        if matches!(&answer, Ok(response) if response.status() == 404) && self.places.len() > 1 {
            self.places.remove(0);
            return self.ask(provider);
        }
        self.places.clear();
        match read(answer, provider, now) {
            Ok(metadata) => {
                provider.metadata = Some(metadata);
                provider.report("metadata", vec!["issuer", "endpoints"]);
                provider.fetched_at = Some(now);
                provider.discovery_failure = None;
                provider.discovery_pause.end();
                Ok(Step::Done(()))
            }
            Err(error) => {
                provider.discovery_failure = Some(error.clone());
                let asked_at = self.begun.unwrap_or(now);
                provider.discovery_pause.begin(asked_at, now);
                self.failed(provider, error, now)
            }
        }
    }
}

/// Whether it is of an answer that is no metadata: somebody else's, or none.
pub(super) fn is_no_word(error: &Error) -> bool {
    !matches!(
        error.kind(),
        ErrorKind::MetadataInvalid | ErrorKind::UrlInsecure
    )
}

fn read(
    answer: Result<HttpResponse, Unreachable>,
    provider: &Provider,
    now: Timestamp,
) -> Result<Metadata, Error> {
    let response = answer?;
    let document = response.json(
        &["application/json"],
        provider.limits.metadata,
        ErrorKind::ResponseMalformed,
    );
    // Guards have a pace of their own.
    #[cfg(feature = "flows")]
    let document = document.map_err(|error| response.told_when(error, now));
    #[cfg(not(feature = "flows"))]
    let _ = now;
    Metadata::read(&document?, &provider.issuer, provider.transport)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Transport;

    fn urls(issuer: &str) -> Vec<String> {
        let issuer = Issuer::parse(issuer, Transport::Secure).unwrap();
        well_known_urls(&issuer)
            .iter()
            .map(|url| url.as_str().to_owned())
            .collect()
    }

    #[test]
    fn openid_appends_and_oauth_inserts() {
        assert_eq!(
            urls("https://as.example"),
            [
                "https://as.example/.well-known/openid-configuration",
                "https://as.example/.well-known/oauth-authorization-server",
            ]
        );
        assert_eq!(
            urls("https://as.example:8443/tenant/a"),
            [
                "https://as.example:8443/tenant/a/.well-known/openid-configuration",
                "https://as.example:8443/.well-known/oauth-authorization-server/tenant/a",
            ]
        );
    }

    #[test]
    fn one_slash_at_the_end_is_left_out() {
        assert_eq!(urls("https://as.example/"), urls("https://as.example"));
        assert_eq!(urls("https://as.example/t/"), urls("https://as.example/t"));
    }
}
