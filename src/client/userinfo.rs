//! What the provider says of the user who is signed in (OpenID Connect Core section 5.3).

use crate::client::dpop::proof_for;
use crate::client::resource::refusal;
use crate::client::{Client, Owner, Remedy, remedy};
use crate::error::{Error, ErrorKind, Phase};
use crate::flow::{Event, Flow, Step};
use crate::http::HttpRequest;
use crate::http::json::Object;
use crate::issuer::{AskUserInfo, Discover, UserInfoRules};
use crate::jose::{Claims, UnsignedToken};
use crate::secret::{Secret, ct_eq};
use crate::time::Timestamp;

/// The flow that asks for the user's claims with the session's access token.
///
/// It takes the token as it is: whoever needs a fresh one looks at
/// [`Session::attach`](crate::client::Session::attach) first. The claims are of now and are not
/// kept; what the ID token said stays as it was.
#[derive(Debug)]
pub struct UserInfo {
    stage: Stage,
    /// Whose session this flow began with. That another tab renewed it meanwhile is no matter.
    owner: Option<Owner>,
    /// After how many sign-outs.
    departures: u32,
}

#[derive(Debug)]
enum Stage {
    Discovering(Discover),
    Proving(Box<Asking>, UnsignedToken),
    Asking(Box<Asking>),
    Over,
}

#[derive(Debug)]
struct Asking {
    request: HttpRequest,
    token: Secret<String>,
    ask: AskUserInfo,
    has_retried: bool,
    /// What comes from now on are keys.
    is_answered: bool,
}

impl UserInfo {
    /// A flow for the client's present session.
    pub fn new(client: &Client) -> Self {
        Self {
            stage: Stage::Discovering(Discover::new()),
            owner: client.owner(),
            departures: client.departures,
        }
    }

    fn advance(
        &mut self,
        client: &mut Client,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<Claims>, Error> {
        // Someone signed out, or somebody else in, while the answer was under way: it is dropped.
        let is_theirs = match (&self.owner, client.owner()) {
            (Some(asked), Some(now)) => asked.is(&now),
            (None, None) => true,
            _ => false,
        };
        if !is_theirs || self.departures != client.departures {
            return Err(ErrorKind::LoginRequired.into());
        }
        match core::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Discovering(mut discover) => {
                let step = discover.step(&mut client.provider, now, event)?;
                if let Err(step) = step.split::<Claims>() {
                    self.stage = Stage::Discovering(discover);
                    return Ok(step);
                }
                let session = client.session().ok_or(ErrorKind::LoginRequired)?;
                // Without an ID token nobody could tell whom the answer is about.
                let id_token = Error::new(ErrorKind::ClaimMissing, "id_token");
                session.signed_in_as().ok_or(id_token)?;
                let rules = UserInfoRules {
                    algorithm: client.config().userinfo_signed_response_alg,
                    audience: vec![client.config().client_id.clone()],
                    clock_tolerance: client.config().clock_tolerance,
                };
                let token = session.access_token().ok_or(ErrorKind::LoginRequired)?;
                let token = token.clone();
                let timeout = client.provider.timeout();
                let scheme = client.config().token_type();
                let (ask, request) =
                    AskUserInfo::new(&client.provider, scheme, &token, rules, timeout)?;
                let asking = Box::new(Asking {
                    request,
                    token,
                    ask,
                    has_retried: false,
                    is_answered: false,
                });
                self.send(asking, client, now)
            }
            Stage::Proving(mut asking, proof) => {
                asking.request.dpop = Some(event.into_signed(proof)?);
                let request = asking.request.clone();
                self.stage = Stage::Asking(asking);
                Ok(Step::Send(request))
            }
            Stage::Asking(mut asking) => {
                // RFC 9449 sections 8.2 and 9: the next proof has the nonce that came last.
                if let Event::Answer(response) = &event
                    && !asking.is_answered
                    && let Some(nonce) = response.header("dpop-nonce")
                {
                    client.learn_nonce(asking.request.url.as_str(), nonce);
                }
                if let Event::Answer(response) = &event
                    && !asking.is_answered
                    && response.status() >= 400
                {
                    let challenge = response.header("www-authenticate");
                    let remedy = remedy(client.config(), response.status(), challenge);
                    if matches!(remedy, Ok(Remedy::Prove))
                        && !core::mem::replace(&mut asking.has_retried, true)
                    {
                        return self.send(asking, client, now);
                    }
                    // RFC 6750 section 3: why stands in the challenge; some say it in the body.
                    let refusal = refusal(
                        response.status(),
                        response.header("www-authenticate"),
                        client.config().token_type(),
                    );
                    let error = refusal.unwrap_or_else(|| response.refusal());
                    return Err(response.told_when(error, now));
                }
                asking.is_answered = true;
                match asking.ask.step(&mut client.provider, now, event)?.split() {
                    Ok(object) => of_user(client, object).map(Step::Done),
                    Err(step) => {
                        self.stage = Stage::Asking(asking);
                        Ok(step)
                    }
                }
            }
            Stage::Over => Err(ErrorKind::FlowMisused.into()),
        }
    }

    /// Sends the question, with a proof where the token is bound to a key (RFC 9449 section 7).
    fn send(
        &mut self,
        asking: Box<Asking>,
        client: &mut Client,
        now: Timestamp,
    ) -> Result<Step<Claims>, Error> {
        if client.config().dpop.is_none() {
            let request = asking.request.clone();
            self.stage = Stage::Asking(asking);
            return Ok(Step::Send(request));
        }
        let proof = proof_for(client, &asking.request, Some(&asking.token), now)?;
        let request = proof.request();
        self.stage = Stage::Proving(asking, proof);
        Ok(Step::Sign(request))
    }
}

impl Flow for UserInfo {
    type Shared = Client;
    type Output = Claims;

    /// As [`Flow::step`].
    ///
    /// # Errors
    ///
    /// `login_required` when nobody is signed in, or not the same session any more; `claim_missing`
    /// at `id_token` for a sign-in without `openid`, at `sub`, `iss` or `aud`; `claim_invalid` at
    /// `sub` when the answer is about someone else; `metadata_invalid` without an endpoint;
    /// `scope_insufficient`, `step_up_required`, `server_error_response` (with `details.error`
    /// `invalid_token` the access token is no good any more) and `upstream_status` for refusals;
    /// `response_malformed`; for signed answers also those of [`Verify`](crate::issuer::Verify),
    /// `typ_mismatch`, `issuer_mismatch`, `audience_mismatch`, `token_expired`, `token_not_active`,
    /// `issued_in_future`.
    fn step(
        &mut self,
        client: &mut Client,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<Claims>, Error> {
        self.advance(client, now, event)
            .map_err(|error| error.during(Phase::UserInfo))
    }
}

/// Section 5.3.2: the answer is about the subject of the ID token, letter by letter, or it must not
/// be used.
fn of_user(client: &Client, object: Object) -> Result<Claims, Error> {
    let claims = Claims::kept(object);
    let signed_in_as = client.session().and_then(|session| session.signed_in_as());
    let signed_in_as = signed_in_as.ok_or(ErrorKind::LoginRequired)?;
    let subject = signed_in_as.required_string("sub")?;
    if !ct_eq(claims.required_string("sub")?, subject) {
        return Err(Error::new(ErrorKind::ClaimInvalid, "sub"));
    }
    Ok(claims)
}
