//! Asks for tokens with a grant.

use crate::client::exchange;
use crate::client::machine::bound::AskBound;
use crate::client::machine::{Grant, TokenSet};
use crate::client::{Client, Tokens};
use crate::error::{Error, ErrorKind, Phase};
use crate::flow::{Event, Flow, Step};
use crate::http::{HttpResponse, Purpose};
use crate::issuer::{Ask, Metadata};
use crate::jose::TokenNames;
use crate::time::Timestamp;

/// The flow that asks for tokens with a [`Grant`]. What comes of client credentials is kept in the
/// client; their refresh token, which they should not have (RFC 6749 section 4.4.3), is dropped.
///
/// What it does not check: an ID token that comes along, which is dropped too.
#[derive(Debug)]
pub struct GrantRequest {
    grant: Grant,
    ask: AskBound,
    names: TokenNames,
}

impl GrantRequest {
    /// A request with a grant. The seed is fresh for each and from a cryptographically secure
    /// generator: names of assertions come of it.
    pub fn new(grant: Grant, seed: [u8; 32]) -> Self {
        Self {
            ask: AskBound::new(Ask::new(
                Purpose::Token,
                Metadata::token_endpoint,
                grant.form_with_scope(),
                grant.retry(),
            )),
            grant,
            names: TokenNames::new(seed),
        }
    }
}

impl Flow for GrantRequest {
    type Shared = Client;
    /// Nothing for what is kept, see [`Client::granted`].
    type Output = Option<TokenSet>;

    fn step(
        &mut self,
        client: &mut Client,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<Option<TokenSet>>, Error> {
        let step = self.ask.step(client, &mut self.names, now, event);
        let response = match step.map_err(|error| error.during(Phase::Exchange))?.split() {
            Ok(response) => response,
            Err(step) => return Ok(step),
        };
        // RFC 8693 section 2.2.1: what was exchanged may be no access token.
        let both = [client.config().token_type(), "N_A"];
        let accepts = match self.grant.exchange() {
            Some(_) => both.as_slice(),
            None => both.get(..1).unwrap_or_default(),
        };
        let mut tokens = read(&response, accepts, now)?;
        if let Some(requested) = self.grant.exchange() {
            check_issued_type(&tokens, requested)?;
        }
        client
            .provider
            .report("token_response", tokens.checked.clone());
        if self.grant.key().is_empty() {
            let tokens = TokenSet::new(tokens, &self.grant, now);
            return Ok(Step::Done(Some(tokens)));
        }
        tokens.refresh_token = None;
        let tokens = TokenSet::new(tokens, &self.grant, now);
        client.keep_granted(&self.grant, tokens);
        Ok(Step::Done(None))
    }
}

/// Reads a token response; what a refusal says of when to come back goes along.
pub(super) fn read(
    response: &HttpResponse,
    accepts: &[&'static str],
    now: Timestamp,
) -> Result<Tokens, Error> {
    exchange::read_as(response, accepts)
        .map_err(|error| response.told_when(error, now).during(Phase::Exchange))
}

/// RFC 8693 section 2.2.1: the answer says what was issued, and it is what was asked for.
fn check_issued_type(tokens: &Tokens, requested: Option<&str>) -> Result<(), Error> {
    let issued = tokens.issued_token_type.as_deref();
    if issued.is_some() && requested.is_none_or(|requested| issued == Some(requested)) {
        Ok(())
    } else {
        Err(Error::new(ErrorKind::ResponseMalformed, "issued_token_type").during(Phase::Exchange))
    }
}
