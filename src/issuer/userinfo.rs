//! What a provider says of a user (OpenID Connect Core section 5.3), as JSON or signed.

use crate::error::{Error, ErrorKind};
use crate::flow::{Event, Flow, Step};
use crate::http::json::Object;
use crate::http::{HttpRequest, HttpResponse, Purpose};
use crate::issuer::{KeyTrials, Provider, Verify};
use crate::jose::{Algorithm, Algorithms, Unverified, Verified};
use crate::secret::Secret;
use crate::time::{Lifetime, Timestamp};

/// The media type of a signed answer (section 5.3.2).
const SIGNED_MEDIA_TYPE: &str = "application/jwt";

/// What an answer is checked against.
#[derive(Clone, Debug)]
pub(crate) struct UserInfoRules {
    /// The algorithm that was agreed upon (`userinfo_signed_response_alg`): then the answer is
    /// signed with it. Without one both forms are read.
    pub(crate) algorithm: Option<Algorithm>,
    /// Whom a signed answer may be for.
    pub(crate) audience: Vec<String>,
    /// How far clocks may differ.
    pub(crate) clock_tolerance: Lifetime,
}

/// The flow that reads the answer to one question.
///
/// What it does not check: `sub`, which must be that of whoever the caller asked about (section
/// 5.3.2: the answer must not be used otherwise).
#[derive(Debug)]
pub(crate) struct AskUserInfo {
    rules: UserInfoRules,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Asking,
    Verifying(Box<Verify>),
    Over,
}

impl AskUserInfo {
    /// The question, with the access token under its scheme in its header and nowhere else (section 5.3.1), and the
    /// flow that takes what came of it; there is no [`Event::Start`].
    ///
    /// # Errors
    ///
    /// `metadata_invalid` when the provider has no such endpoint; `flow_misused` when its metadata
    /// is not known yet.
    pub(crate) fn new(
        provider: &Provider,
        scheme: &str,
        token: &Secret<String>,
        rules: UserInfoRules,
        timeout: Lifetime,
    ) -> Result<(Self, HttpRequest), Error> {
        let metadata = provider.metadata().ok_or(ErrorKind::FlowMisused)?;
        let url = metadata.userinfo_endpoint()?.clone();
        let mut request = HttpRequest::get(Purpose::UserInfo, url, timeout);
        request.accept = match rules.algorithm {
            Some(_) => SIGNED_MEDIA_TYPE,
            None => "application/json, application/jwt",
        };
        // EXPOSE: it goes to the provider that issued it.
        let header = [scheme, " ", token.expose()].concat();
        request.authorization = Some(Secret::new(header));
        let stage = Stage::Asking;
        Ok((Self { rules, stage }, request))
    }

    fn read(
        &mut self,
        provider: &mut Provider,
        response: &HttpResponse,
        now: Timestamp,
    ) -> Result<Step<Object>, Error> {
        let malformed = ErrorKind::ResponseMalformed;
        if self.rules.algorithm.is_none() && !response.has_type(&[SIGNED_MEDIA_TYPE]) {
            let types = &["application/json"];
            let object = response.json(types, Purpose::UserInfo.max_body(), malformed)?;
            return Ok(Step::Done(object));
        }
        let text = response.text(&[SIGNED_MEDIA_TYPE], malformed)?;
        let allowed = match self.rules.algorithm {
            Some(algorithm) => Algorithms::only([algorithm]),
            None => Some(Algorithms::all()),
        };
        let allowed = allowed.ok_or(ErrorKind::FlowMisused)?;
        let parsed = Unverified::parse(text, Purpose::UserInfo.max_body(), &allowed);
        let token = parsed.map_err(|error| match error.kind() {
            ErrorKind::TokenMalformed => error.recast(malformed),
            _ => error,
        })?;
        // RFC 8725 section 3.11: a typ, where there is one, must not be that of another token.
        if token.header().has_type() && !token.header().is_type("JWT") {
            return Err(ErrorKind::TypMismatch.into());
        }
        let verify = Box::new(Verify::new(token, KeyTrials::UpToFour));
        self.verify(provider, verify, now, Event::Start)
    }

    fn verify(
        &mut self,
        provider: &mut Provider,
        mut verify: Box<Verify>,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<Object>, Error> {
        match verify.step(provider, now, event)?.split() {
            Ok(verified) => self.judge(provider, verified, now).map(Step::Done),
            Err(step) => {
                self.stage = Stage::Verifying(verify);
                Ok(step)
            }
        }
    }

    /// Section 5.3.2: a signed answer names its issuer and for whom it is. There it says "should";
    /// without them the answer to another client would do as well.
    fn judge(
        &self,
        provider: &Provider,
        verified: Verified,
        now: Timestamp,
    ) -> Result<Object, Error> {
        let claims = verified.into_claims();
        if claims.required_string("iss")? != provider.issuer().as_str() {
            return Err(ErrorKind::IssuerMismatch.into());
        }
        let is_ours = |name: &&str| self.rules.audience.iter().any(|own| own == name);
        if !claims.audience()?.iter().any(is_ours) {
            return Err(ErrorKind::AudienceMismatch.into());
        }
        claims.check_dates(now, self.rules.clock_tolerance)?;
        Ok(claims.as_object().clone())
    }
}

impl Flow for AskUserInfo {
    type Shared = Provider;
    type Output = Object;

    fn step(
        &mut self,
        provider: &mut Provider,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<Object>, Error> {
        match core::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Asking => {
                let response = event.into_answer()??;
                self.read(provider, &response, now)
            }
            Stage::Verifying(verify) => self.verify(provider, verify, now, event),
            Stage::Over => Err(ErrorKind::FlowMisused.into()),
        }
    }
}
