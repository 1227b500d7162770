//! Signing out at the provider (OpenID Connect RP-Initiated Logout 1.0).

use crate::client::Client;
use crate::error::{Error, ErrorKind, Phase};
use crate::flow::{Event, Flow, Step};
use crate::http::form::Form;
use crate::issuer::Discover;
use crate::secret::Secret;
use crate::time::Timestamp;

/// The flow that ends a session.
///
/// The session is gone here before anything is sent, so that signing out works while the provider
/// is down. The result is the URL that ends it there; none when the provider offers none.
#[derive(Debug)]
pub struct SignOut {
    discover: Discover,
    id_token: Option<Secret<String>>,
}

impl SignOut {
    /// Ends the client's session and begins the flow.
    pub fn new(client: &mut Client) -> Self {
        let id_token = client
            .session()
            .and_then(|session| session.id_token())
            .cloned();
        client.forget_session();
        Self {
            discover: Discover::new(),
            id_token,
        }
    }
}

impl Flow for SignOut {
    type Shared = Client;
    type Output = Option<Secret<String>>;

    fn step(
        &mut self,
        client: &mut Client,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<Option<Secret<String>>>, Error> {
        let step = self.discover.step(&mut client.provider, now, event);
        match step.map_err(|error| error.during(Phase::SignOut))? {
            Step::Send(request) => Ok(Step::Send(request)),
            Step::Done(()) => Ok(Step::Done(self.url(client))),
            _ => Err(ErrorKind::FlowMisused.into()),
        }
    }
}

impl SignOut {
    fn url(&self, client: &Client) -> Option<Secret<String>> {
        let endpoint = client.provider().metadata()?.end_session_endpoint()?;
        let mut form = Form::new();
        if let Some(token) = &self.id_token {
            // EXPOSE: the provider takes it as a hint who signs out (section 2).
            form.push("id_token_hint", token.expose());
        }
        form.push("client_id", &client.config().client_id);
        if let Some(uri) = &client.config().post_logout_redirect_uri {
            form.push("post_logout_redirect_uri", uri.as_str());
        }
        // With the hint in it the URL is as good as the ID token.
        Some(Secret::new(endpoint.with_query(&form)))
    }
}
