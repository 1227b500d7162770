//! Steps a flow of gatepass in a native program: a clock, a generator, an HTTP client and keys.
//!
//! gatepass decides and does nothing by itself. A program that steps its flows does what each step
//! says, and tells the flow what came of it. This one does so with a blocking HTTP client; the same
//! loop with `.await` in it runs on any other.

// Each example uses a part of it.
#![allow(dead_code, clippy::expect_used)]

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gatepass::Error;
use gatepass::flow::{Event, Flow, Step};
use gatepass::http::{HttpRequest, HttpResponse, Method, Unreachable};
use gatepass::jose::KeyName;
use gatepass::jose::rust_crypto::{self, PrivateKey};
use gatepass::time::{Lifetime, Timestamp};

/// What flows need of the world.
pub(crate) struct Driver {
    agent: ureq::Agent,
    /// The keys that sign, by the names under which flows ask for them.
    pub(crate) keys: Vec<(KeyName, PrivateKey)>,
}

impl Driver {
    /// A driver without keys.
    pub(crate) fn new() -> Self {
        // Redirects are not followed, and a status is an answer: both are for the flow to judge.
        let agent = ureq::Agent::config_builder()
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .build();
        Self {
            agent: agent.into(),
            keys: Vec::new(),
        }
    }

    /// Steps a flow to its end.
    pub(crate) fn run<F: Flow>(
        &self,
        flow: &mut F,
        shared: &mut F::Shared,
    ) -> Result<F::Output, Error> {
        let mut event = Event::Start;
        loop {
            event = match flow.step(shared, now(), event)? {
                Step::Done(output) => return Ok(output),
                Step::Send(request) => match self.send(&request) {
                    Ok(response) => Event::Answer(response),
                    Err(cause) => Event::Unreachable(cause),
                },
                Step::Verify(check) => Event::Signature(rust_crypto::verify(&check)),
                Step::Sign(request) => {
                    let key = self.keys.iter().find(|(name, _)| *name == request.key());
                    match key.map(|(_, key)| key.sign(&request, seed())) {
                        Some(Ok(signature)) => Event::Signed(signature),
                        _ => Event::SignFailed,
                    }
                }
                Step::Sleep(lifetime) => {
                    thread::sleep(duration(lifetime));
                    Event::Woke
                }
                // Nothing here remembers used proofs; flows of a client do not ask.
                _ => Event::Remembered(None),
            };
        }
    }

    /// Sends a request as its documentation demands: no redirects, no cookies, a limit of time and
    /// one of size.
    fn send(&self, request: &HttpRequest) -> Result<HttpResponse, Unreachable> {
        let timeout = Some(duration(request.timeout));
        let url = request.url.as_str();
        let answer = match request.method {
            Method::Post => {
                let builder = self.agent.post(url).header("accept", request.accept);
                // EXPOSE: both go to the endpoint that they were made for.
                let builder = match &request.authorization {
                    Some(value) => builder.header("authorization", value.expose()),
                    None => builder,
                };
                let builder = match &request.attestation {
                    Some(shown) => builder
                        .header("oauth-client-attestation", shown.attestation.expose())
                        .header("oauth-client-attestation-pop", shown.proof.expose()),
                    None => builder,
                };
                let body = request.body.as_ref().map_or("", |body| body.expose());
                builder
                    .content_type(request.media_type())
                    .config()
                    .timeout_global(timeout)
                    .build()
                    .send(body)
            }
            _ => {
                let builder = self.agent.get(url).header("accept", request.accept);
                // EXPOSE: it goes to the endpoint that it was made for.
                let builder = match &request.authorization {
                    Some(value) => builder.header("authorization", value.expose()),
                    None => builder,
                };
                builder.config().timeout_global(timeout).build().call()
            }
        };
        let mut answer = answer.map_err(|error| unreachable(&error))?;
        let headers = HttpResponse::HEADERS.iter().filter_map(|name| {
            let value = answer.headers().get(*name)?.to_str().ok()?;
            Some((*name, value.to_owned()))
        });
        let headers = headers.collect();
        let limit = u64::try_from(request.max_body).unwrap_or(u64::MAX);
        let body = answer.body_mut().with_config().limit(limit).read_to_vec();
        let body = body.map_err(|error| unreachable(&error))?;
        Ok(request.answer(answer.status().as_u16(), headers, body))
    }
}

fn unreachable(error: &ureq::Error) -> Unreachable {
    match error {
        ureq::Error::Timeout(_) => Unreachable::Timeout,
        ureq::Error::BodyExceedsLimit(_) => Unreachable::TooLarge,
        _ => Unreachable::Network,
    }
}

fn duration(lifetime: Lifetime) -> Duration {
    Duration::from_millis(u64::try_from(lifetime.millis()).unwrap_or(0))
}

/// The clock, which the core does not read itself.
#[allow(clippy::disallowed_methods)]
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    });
    Timestamp::from_millis(millis).expect("the clock is between 1970 and 9999")
}

/// Random bytes of the operating system, which the core does not draw itself.
pub(crate) fn seed() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    bytes
}
