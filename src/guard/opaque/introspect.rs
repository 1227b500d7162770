//! The flow that asks the provider about one token.

use sha2::{Digest as _, Sha256};

use crate::base64url;
use crate::error::{Details, Error, ErrorKind, Phase};
use crate::flow::{Event, Flow as _, Step};
use crate::guard::cache::Key;
use crate::guard::opaque::answer::{self, Active, SIGNED_TYPE};
use crate::guard::opaque::load::Place;
use crate::guard::opaque::{AsksUser, Form, Introspection, Known};
use crate::guard::{BearerToken, Guard, GuardConfig, Principal, Profile, access_token};
use crate::http::form::Form as Parameters;
use crate::http::json::Object;
use crate::http::{HttpRequest, HttpResponse, Purpose, Unreachable, Url};
use crate::issuer::{Discover, KeyTrials, Provider, Shown, Verify, bearer, push_assertion};
use crate::jose::{MAX_TOKEN, UnsignedToken, Unverified};
use crate::time::Timestamp;

/// The longest signed answer: the token's claims in base64url, twice as large as any token.
const MAX_SIGNED_ANSWER: usize = 4 * MAX_TOKEN;

/// The media type of a signed answer (RFC 9701 section 4).
const SIGNED_MEDIA_TYPE: &str = "application/token-introspection+jwt";

/// The flow for one token. No request ever gets the answer about another token. Where those who ask at the
/// same time get one answer, the first one keeps it, and what is counted is counted once.
#[derive(Debug)]
pub(in crate::guard) struct Introspect {
    token: BearerToken,
    key: Key,
    place: Option<Place>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Ready,
    Discovering(Discover),
    /// The question waits for the signature that shows who asks.
    Signing(Box<HttpRequest>, Parameters, UnsignedToken),
    /// The question was sent at this time.
    Asking(Timestamp),
    /// The signature of the answer to the question of this time is being checked.
    Verifying(Box<Verify>, Timestamp),
    /// The answer to the question of this time is here, the provider is asked for the user.
    AskingUser(Active, Timestamp),
    /// The same, and the signature of what it says of the user is being checked.
    VerifyingUser(Box<Verify>, Active, Timestamp),
    Over,
}

/// What a step needs of its guard.
struct Parts<'a> {
    introspection: &'a mut Introspection,
    provider: &'a mut Provider,
    profile: &'a Profile,
    config: &'a GuardConfig,
    /// What the operator should know.
    alerts: &'a mut Vec<Error>,
}

impl Introspect {
    /// A flow for this token.
    pub(in crate::guard) fn new(token: BearerToken) -> Self {
        // EXPOSE: its hash is what an answer is found by; the token itself is never kept.
        let key = Sha256::digest(token.expose().as_bytes()).into();
        Self {
            token,
            key,
            place: None,
            stage: Stage::Ready,
        }
    }

    /// As [`crate::flow::Flow::step`].
    #[inline(never)]
    pub(in crate::guard) fn step(
        &mut self,
        guard: &mut Guard,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<Principal>, Error> {
        let introspection = guard
            .introspection
            .as_deref_mut()
            .ok_or(ErrorKind::FlowMisused)?;
        let provider = guard
            .providers
            .get_mut(introspection.provider)
            .ok_or(ErrorKind::FlowMisused)?;
        let profile = guard
            .profiles
            .get(introspection.provider)
            .ok_or(ErrorKind::FlowMisused)?;
        let mut parts = Parts {
            introspection,
            provider,
            profile,
            config: &guard.config,
            alerts: &mut guard.alerts,
        };
        let step = self.advance(&mut parts, now, event);
        let place = self.place.filter(|_| !is_waiting(&step));
        if let Some(place) = place {
            parts.introspection.load.end(place);
            self.place = None;
        }
        step
    }

    fn advance(
        &mut self,
        parts: &mut Parts<'_>,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<Principal>, Error> {
        match (core::mem::replace(&mut self.stage, Stage::Over), event) {
            (Stage::Ready, Event::Start) => {
                check_shape(&self.token, parts.config.limits.token.bytes)?;
                if let Some(known) = self.known(parts, now) {
                    return known.map(Step::Done);
                }
                let introspection = &mut *parts.introspection;
                let place = introspection
                    .load
                    .begin(self.key, introspection.shares_answers, now);
                self.place = Some(place.map_err(|error| error.during(Phase::Introspection))?);
                let is_known = parts.introspection.endpoint.is_some();
                if is_known && parts.introspection.asks_user == AsksUser::Never {
                    return self.ask(parts, now);
                }
                self.discover(Discover::paced(), parts, now, Event::Start)
            }
            (Stage::Discovering(discover), event) => self.discover(discover, parts, now, event),
            (Stage::Signing(mut request, mut form, token), event) => {
                let assertion = event.into_signed(token);
                let assertion = assertion.map_err(|error| error.during(Phase::Introspection))?;
                push_assertion(&mut form, &assertion);
                request.body = Some(form.into_body());
                Ok(self.send(parts, *request, now))
            }
            (Stage::Asking(asked_at), event) => {
                let answer = event.into_answer()?;
                if let Some(place) = self.place {
                    parts.introspection.load.note_answer(place);
                }
                let read = self.read(parts, answer, asked_at, now);
                self.judged(parts, read, asked_at, now)
            }
            (Stage::Verifying(verify, asked_at), event) => {
                let read = self.verify(verify, parts, asked_at, now, event);
                self.judged(parts, read, asked_at, now)
            }
            (Stage::AskingUser(active, asked_at), event) => {
                match read_user(event.into_answer()?, parts.config) {
                    Ok(User::Said(user)) => self.add_user(parts, active, &user, asked_at, now),
                    Ok(User::Signed(token)) => {
                        let verify = Box::new(Verify::new(token, KeyTrials::UpToFour));
                        self.verify_user(parts, verify, (active, asked_at), now, Event::Start)
                    }
                    Err(error) => self.unknown(parts, (active, asked_at), error, now),
                }
            }
            (Stage::VerifyingUser(verify, active, asked_at), event) => {
                self.verify_user(parts, verify, (active, asked_at), now, event)
            }
            _ => Err(ErrorKind::FlowMisused.into()),
        }
    }

    /// The outcome by an answer of before, judged again.
    fn known(&self, parts: &mut Parts<'_>, now: Timestamp) -> Option<Result<Principal, Error>> {
        let introspection = &mut *parts.introspection;
        let known = match introspection.active.find(&self.key, now) {
            Some(known) => known,
            None => introspection.refused.find(&self.key, now)?,
        };
        let known = match known {
            Known::Active(kept) => Ok(kept.restore()?),
            Known::Refused(kind) => Err(*kind),
        };
        let tally = &mut introspection.tally;
        Some(match known {
            Ok(active) => {
                tally.cached = tally.cached.saturating_add(1);
                principal(parts, active, now)
            }
            Err(kind) => {
                tally.cached_refusals = tally.cached_refusals.saturating_add(1);
                Err(kind.into())
            }
        })
    }

    fn discover(
        &mut self,
        mut discover: Discover,
        parts: &mut Parts<'_>,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<Principal>, Error> {
        match discover.step(parts.provider, now, event)? {
            Step::Send(request) => {
                self.stage = Stage::Discovering(discover);
                self.goes_on(parts, now);
                Ok(Step::Send(request))
            }
            Step::Done(()) => self.ask(parts, now),
            _ => Err(ErrorKind::FlowMisused.into()),
        }
    }

    /// The question (RFC 7662 section 2.1): a form in a body, so that no log of URLs has the token.
    fn ask(&mut self, parts: &mut Parts<'_>, now: Timestamp) -> Result<Step<Principal>, Error> {
        let url = introspection_endpoint(parts)
            .map_err(|error| error.during(Phase::Introspection))?
            .clone();
        let mut form = Parameters::new();
        // EXPOSE: it goes to the provider that is to say what it stands for.
        form.push("token", self.token.expose());
        form.push("token_type_hint", "access_token");
        let introspection = &mut *parts.introspection;
        let names = introspection.names.as_mut();
        let issuer = parts.provider.issuer();
        let shown = introspection
            .authentication
            .apply(&mut form, issuer, None, names.map(|names| (names, now)))
            .map_err(|error| error.during(Phase::Introspection))?;
        let mut request = HttpRequest::post(
            Purpose::Introspection,
            url,
            Parameters::new().into_body(),
            introspection.timeout,
        );
        request.shared_as = self.shared_as("token ", introspection);
        request.max_body = parts.config.limits.answers.answer;
        if introspection.form == Form::Signed {
            request.accept = SIGNED_MEDIA_TYPE;
        }
        match shown {
            Shown::Form => {}
            Shown::Header(header) => request.authorization = Some(header),
            Shown::Unsigned(token) => {
                let step = Step::Sign(token.request());
                self.stage = Stage::Signing(Box::new(request), form, token);
                self.goes_on(parts, now);
                return Ok(step);
            }
        }
        request.body = Some(form.into_body());
        Ok(self.send(parts, request, now))
    }

    fn send(
        &mut self,
        parts: &mut Parts<'_>,
        request: HttpRequest,
        now: Timestamp,
    ) -> Step<Principal> {
        let tally = &mut parts.introspection.tally;
        if !self.follows() {
            tally.asked = tally.asked.saturating_add(1);
        }
        self.stage = Stage::Asking(now);
        self.goes_on(parts, now);
        Step::Send(request)
    }

    /// Reads the answer as far as its form goes.
    fn read(
        &mut self,
        parts: &mut Parts<'_>,
        answer: Result<HttpResponse, Unreachable>,
        asked_at: Timestamp,
        now: Timestamp,
    ) -> Result<Read, Error> {
        if !self.follows() {
            parts.introspection.tally.took(asked_at, now);
        }
        let response = answer?;
        // 2.3: these are about us and not about the token.
        if matches!(response.status(), 401 | 403) {
            return Err(
                Error::from(ErrorKind::CredentialsRefused).with_details(Details {
                    status: Some(response.status()),
                    ..Details::default()
                }),
            );
        }
        match parts.introspection.form {
            Form::Json => {
                let object = response.json(
                    &["application/json"],
                    parts.config.limits.answers.answer,
                    ErrorKind::ResponseMalformed,
                )?;
                answer::read(object).map(Read::Answer)
            }
            Form::Signed => {
                let text = response.text(&[SIGNED_MEDIA_TYPE], ErrorKind::ResponseMalformed)?;
                let token = Unverified::parse(text, MAX_SIGNED_ANSWER, &parts.config.algorithms)?;
                // RFC 9701 section 5: and no other, lest another token of the issuer be an answer.
                if !token.header().is_type(SIGNED_TYPE) {
                    return Err(ErrorKind::TypMismatch.into());
                }
                let verify = Box::new(Verify::new(token, KeyTrials::UpToFour));
                self.verify(verify, parts, asked_at, now, Event::Start)
            }
        }
    }

    fn verify(
        &mut self,
        mut verify: Box<Verify>,
        parts: &mut Parts<'_>,
        asked_at: Timestamp,
        now: Timestamp,
        event: Event,
    ) -> Result<Read, Error> {
        let step = match verify.step(parts.provider, now, event)? {
            Step::Done(verified) => {
                let object = answer::of_signed(
                    verified,
                    parts.provider.issuer().as_str(),
                    parts.introspection.authentication.client_id(),
                    parts.config,
                    now,
                )?;
                return answer::read(object).map(Read::Answer);
            }
            Step::Send(request) => Step::Send(request),
            Step::Verify(check) => Step::Verify(check),
            Step::Load(key) => Step::Load(key),
            _ => return Err(ErrorKind::FlowMisused.into()),
        };
        self.stage = Stage::Verifying(verify, asked_at);
        self.goes_on(parts, now);
        Ok(Read::NotYet(step))
    }

    /// Takes an answer that was read, or why it could not be.
    fn judged(
        &mut self,
        parts: &mut Parts<'_>,
        read: Result<Read, Error>,
        asked_at: Timestamp,
        now: Timestamp,
    ) -> Result<Step<Principal>, Error> {
        let active = match read {
            Ok(Read::NotYet(step)) => return Ok(step),
            Ok(Read::Answer(active)) => active,
            Err(error) => return Err(self.failed(parts, error, now)),
        };
        if !self.follows() {
            parts.introspection.load.answered();
        }
        let Some(active) = active else {
            return Err(self.refused(parts, ErrorKind::TokenInactive.into(), asked_at));
        };
        // What is no good anyway is not worth another question.
        judge(parts, &active, now).map_err(|error| self.refused(parts, error, asked_at))?;
        // A bound token is good with its proof only, which nobody but its bearer can make.
        let is_shown = !active.is_bound() && active.grants(&["openid".into()]);
        if parts.introspection.asks_user != AsksUser::Never && is_shown {
            let metadata = parts.provider.metadata();
            let metadata = metadata.ok_or(ErrorKind::FlowMisused)?;
            let url = match metadata.userinfo_endpoint() {
                Ok(url) => url.clone(),
                Err(error) if parts.introspection.asks_user == AsksUser::Optional => {
                    return self.unknown(parts, (active, asked_at), error, now);
                }
                Err(error) => return Err(error.during(Phase::Introspection)),
            };
            let mut request = HttpRequest::get(Purpose::UserInfo, url, parts.introspection.timeout);
            request.max_body = parts.config.limits.answers.answer;
            request.accept = "application/json, application/jwt";
            request.shared_as = self.shared_as("user ", parts.introspection);
            // EXPOSE: it goes to the provider that issued it.
            request.authorization = Some(bearer(self.token.expose()));
            self.stage = Stage::AskingUser(active, asked_at);
            self.goes_on(parts, now);
            return Ok(Step::Send(request));
        }
        self.finish(parts, active, asked_at, now)
    }

    fn verify_user(
        &mut self,
        parts: &mut Parts<'_>,
        mut verify: Box<Verify>,
        (active, asked_at): (Active, Timestamp),
        now: Timestamp,
        event: Event,
    ) -> Result<Step<Principal>, Error> {
        let user = match verify.step(parts.provider, now, event) {
            Ok(Step::Done(verified)) => answer::of_signed_user(
                verified,
                parts.provider.issuer().as_str(),
                [
                    active.client_id(),
                    parts.introspection.authentication.client_id(),
                ],
                parts.config,
                now,
            ),
            Ok(step) => {
                let step = match step {
                    Step::Send(request) => Step::Send(request),
                    Step::Verify(check) => Step::Verify(check),
                    Step::Load(key) => Step::Load(key),
                    _ => return Err(ErrorKind::FlowMisused.into()),
                };
                self.stage = Stage::VerifyingUser(verify, active, asked_at);
                self.goes_on(parts, now);
                return Ok(step);
            }
            Err(error) => Err(error),
        };
        match user {
            Ok(user) => self.add_user(parts, active, &user, asked_at, now),
            Err(error) => self.unknown(parts, (active, asked_at), error, now),
        }
    }

    fn add_user(
        &mut self,
        parts: &mut Parts<'_>,
        active: Active,
        user: &Object,
        asked_at: Timestamp,
        now: Timestamp,
    ) -> Result<Step<Principal>, Error> {
        match active.with_user(user, parts.profile) {
            Ok(active) => self.finish(parts, active, asked_at, now),
            Err(error) => Err(self.failed(parts, error, now)),
        }
    }

    /// The user of a good token cannot be told of: that is refused, or let be and told as an alert.
    fn unknown(
        &self,
        parts: &mut Parts<'_>,
        (active, asked_at): (Active, Timestamp),
        error: Error,
        now: Timestamp,
    ) -> Result<Step<Principal>, Error> {
        if parts.introspection.asks_user != AsksUser::Optional {
            return Err(self.failed(parts, error, now));
        }
        if !self.follows() {
            parts.alerts.push(error.during(Phase::Introspection));
        }
        self.finish(parts, active, asked_at, now)
    }

    /// Keeps an answer that is good, and says whose token it is.
    fn finish(
        &self,
        parts: &mut Parts<'_>,
        active: Active,
        asked_at: Timestamp,
        now: Timestamp,
    ) -> Result<Step<Principal>, Error> {
        if self.follows() {
            return principal(parts, active, now).map(Step::Done);
        }
        let introspection = &mut *parts.introspection;
        introspection.refused.remove(&self.key);
        if !active.grants(&introspection.no_cache_scopes) {
            let until = active.good_until(asked_at, introspection.ttl);
            let kept = active.to_kept();
            let size = kept.size();
            introspection
                .active
                .keep(self.key, Known::Active(kept), size, (asked_at, until));
        }
        principal(parts, active, now).map(Step::Done)
    }

    /// Remembers for a short time that a token is no good, where waiting does not make it so.
    fn refused(&self, parts: &mut Parts<'_>, error: Error, asked_at: Timestamp) -> Error {
        if self.follows() {
            return error;
        }
        let introspection = &mut *parts.introspection;
        introspection.active.remove(&self.key);
        let is_lasting = matches!(
            error.kind(),
            ErrorKind::AudienceMismatch
                | ErrorKind::IssuerMismatch
                | ErrorKind::TokenExpired
                | ErrorKind::TokenInactive
                | ErrorKind::TypMismatch
        );
        if is_lasting {
            let until = asked_at.after(introspection.negative_ttl);
            introspection.refused.keep(
                self.key,
                Known::Refused(error.kind()),
                0,
                (asked_at, until),
            );
        }
        error
    }

    /// The provider did not answer as it should: nothing is known of the token, and nothing is kept.
    fn failed(&self, parts: &mut Parts<'_>, error: Error, now: Timestamp) -> Error {
        let introspection = &mut *parts.introspection;
        let error = error.during(Phase::Introspection);
        if !self.follows() {
            introspection.tally.failed = introspection.tally.failed.saturating_add(1);
        }
        // That there are no keys for its signature is no failure of the endpoint.
        if error.kind() == ErrorKind::KeysUnavailable {
            return error;
        }
        // One lost answer is one failure, however many waited for it.
        if !self.follows()
            && let Some(alert) = introspection.load.failed(&error, now)
        {
            parts.alerts.push(alert);
        }
        error.retry_after(introspection.load.seconds_left(now))
    }

    /// Whether another flow is about the same token, and keeps and counts what both are told.
    fn follows(&self) -> bool {
        self.place.is_some_and(|place| place.follows)
    }

    /// The name under which others ask the same.
    fn shared_as(&self, what: &str, introspection: &Introspection) -> Option<String> {
        introspection
            .shares_answers
            .then(|| [what, &base64url::encode(&self.key)].concat())
    }

    fn goes_on(&self, parts: &mut Parts<'_>, now: Timestamp) {
        if let Some(place) = self.place {
            parts.introspection.load.go_on(place, now);
        }
    }
}

/// Whether a step goes on later.
fn is_waiting(step: &Result<Step<Principal>, Error>) -> bool {
    matches!(
        step,
        Ok(Step::Send(_) | Step::Sign(_) | Step::Verify(_) | Step::Load(_))
    )
}

/// How far an answer was read.
#[allow(clippy::large_enum_variant)] // It is looked at at once and never kept.
enum Read {
    /// To its end; `None` when the token is not active.
    Answer(Option<Active>),
    /// Its signature is being checked.
    NotYet(Step<Principal>),
}

/// Refuses what cannot be a token before anybody is asked about it.
fn check_shape(token: &BearerToken, max_bytes: usize) -> Result<(), Error> {
    // EXPOSE: its characters are looked at.
    let text = token.expose();
    if text.len() > max_bytes {
        return Err(ErrorKind::TokenTooLarge.into());
    }
    // RFC 6750 section 2.1, RFC 6749 appendix A.12: no spaces, no letters beyond ASCII.
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(ErrorKind::TokenMalformed.into());
    }
    Ok(())
}

fn introspection_endpoint<'a>(parts: &'a Parts<'_>) -> Result<&'a Url, Error> {
    match &parts.introspection.endpoint {
        Some(url) => Ok(url),
        None => parts
            .provider
            .metadata()
            .ok_or(ErrorKind::FlowMisused)?
            .introspection_endpoint(),
    }
}

fn judge(parts: &Parts<'_>, active: &Active, now: Timestamp) -> Result<Vec<&'static str>, Error> {
    active.judge(
        parts.provider.issuer().as_str(),
        parts.introspection.audience,
        parts.config,
        now,
    )
}

fn principal(parts: &Parts<'_>, active: Active, now: Timestamp) -> Result<Principal, Error> {
    let checked = judge(parts, &active, now)?;
    let issuer = parts.provider.issuer().as_str();
    let claims = active.into_claims();
    access_token::check_age(&claims, parts.config, now)?;
    access_token::check_actors(&claims)?;
    Principal::introspected(claims, issuer, parts.profile, parts.config, checked)
}

/// What UserInfo answered.
#[allow(clippy::large_enum_variant)] // It is looked at at once and never kept.
enum User {
    Said(Object),
    /// Its signature is not checked yet.
    Signed(Unverified),
}

/// OpenID Connect Core section 5.3.2: JSON, or a signed token, as the client was registered.
fn read_user(
    answer: Result<HttpResponse, Unreachable>,
    config: &GuardConfig,
) -> Result<User, Error> {
    let response = answer?;
    let Ok(text) = response.text(&["application/jwt"], ErrorKind::ResponseMalformed) else {
        return response
            .json(
                &["application/json"],
                config.limits.answers.answer,
                ErrorKind::ResponseMalformed,
            )
            .map(User::Said);
    };
    let token = Unverified::parse(text, MAX_SIGNED_ANSWER, &config.algorithms)?;
    // Other tokens of the issuer say which kind they are.
    if token.header().has_type() && !token.header().is_type("JWT") {
        return Err(ErrorKind::TypMismatch.into());
    }
    Ok(User::Signed(token))
}
