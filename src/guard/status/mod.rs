//! Whether an issuer took a token back before its time: Token Status List
//! (draft-ietf-oauth-status-list).
//!
//! A token says in which list it stands and where (`status.status_list`). The list is a signed token of
//! the same issuer. It is fetched once for all the tokens that it speaks of and kept for as long as it
//! says, within a bound.

mod inflate;

use core::fmt;

use crate::base64url;
use crate::error::{Error, ErrorKind};
use crate::flow::{Event, Flow as _, Step};
use crate::guard::Guard;
use crate::http::json::{Number, Object, Value};
use crate::http::{HttpRequest, HttpResponse, Purpose, Transport, Url};
use crate::issuer::{KeyTrials, Verify};
use crate::jose::{Claims, Unverified, Verified};
use crate::options::{Options, invalid};
use crate::time::{Lifetime, Timestamp};
use inflate::inflate;

const MEDIA_TYPE: &str = "application/statuslist+jwt";
/// The `typ` of a list.
const TYPE: &str = "statuslist+jwt";
/// What a list may take once it is inflated: eight million tokens at one bit each.
const MOST_BYTES: usize = 1024 * 1024;
/// How many lists are kept, of all issuers; those that end first go first.
const MOST_LISTS: usize = 16;
/// How long a list that could not be had is not asked for again.
const PAUSE: Lifetime = Lifetime::from_seconds(5);
/// For how long a list is used that does not say, in seconds, and the bounds of what one can say here.
const DEFAULT_AGE: u32 = 300;
const MOST_AGE: u32 = 24 * 3600;

/// The lists that a guard knows.
#[derive(Debug)]
pub(super) struct StatusLists {
    max_age: Lifetime,
    transport: Transport,
    known: Vec<Known>,
}

#[derive(Debug)]
struct Known {
    /// The place of its issuer among the guard's.
    place: usize,
    uri: Url,
    /// Before that the clock was set back and its age is unknown.
    since: Timestamp,
    until: Timestamp,
    /// Nothing where it could not be had.
    list: Option<List>,
}

/// A list, inflated.
struct List {
    /// Of one status: 1, 2, 4 or 8.
    bits: u8,
    bytes: Vec<u8>,
}

impl List {
    /// The status at this place. The lowest bits of a byte come first (section 4.1).
    fn status(&self, index: u64) -> Option<u8> {
        let bits = u64::from(self.bits);
        let in_byte = 8 / bits;
        let byte = *self.bytes.get(usize::try_from(index / in_byte).ok()?)?;
        let shift = u32::try_from(index % in_byte * bits).ok()?;
        let mask = u8::MAX.checked_shr(8_u32.checked_sub(u32::from(self.bits))?)?;
        Some(byte.checked_shr(shift)? & mask)
    }
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "List({} bytes)", self.bytes.len())
    }
}

impl StatusLists {
    /// Reads the option `statusList`: a boolean, or `maxAge`.
    ///
    /// # Errors
    ///
    /// `config_invalid`.
    pub(super) fn from_option(
        value: Option<&Value>,
        transport: Transport,
    ) -> Result<Option<Self>, Error> {
        let max_age = match value {
            None | Some(Value::Bool(false)) => return Ok(None),
            Some(Value::Bool(true)) => Lifetime::from_seconds(DEFAULT_AGE),
            Some(Value::Object(object)) => {
                Options::new(object, &["maxAge"])?.seconds("maxAge", 1..=MOST_AGE, DEFAULT_AGE)?
            }
            Some(_) => return Err(invalid("statusList")),
        };
        Ok(Some(Self {
            max_age,
            transport,
            known: Vec::new(),
        }))
    }

    fn find(&self, place: usize, uri: &Url, now: Timestamp) -> Option<&Known> {
        let is_it = |one: &&Known| one.place == place && one.uri == *uri;
        let found = self.known.iter().find(is_it)?;
        (found.since <= now && now < found.until).then_some(found)
    }

    /// Keeps what was learned, unless what is there is better: where each request asks for itself, a
    /// late answer may be an older list, or none.
    fn keep(&mut self, known: Known, now: Timestamp) {
        let is_better =
            |one: &Known| one.list.is_some() && (known.list.is_none() || known.since < one.since);
        if !self
            .find(known.place, &known.uri, now)
            .is_some_and(is_better)
        {
            self.put(known);
        }
    }

    fn put(&mut self, known: Known) {
        self.known
            .retain(|one| one.place != known.place || one.uri != known.uri);
        if self.known.len() >= MOST_LISTS {
            let ends_first = (0..).zip(&self.known).min_by_key(|(_, one)| one.until);
            if let Some(place) = ends_first.map(|(place, _)| place) {
                self.known.swap_remove(place);
            }
        }
        self.known.push(known);
    }
}

/// The flow that looks a token up in its list. It answers until when what it found holds.
#[derive(Debug)]
pub(super) struct StatusCheck {
    place: usize,
    uri: Url,
    index: u64,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Ready,
    /// The list was asked for at this time.
    Asking(Timestamp),
    Verifying(Box<Verify>, Timestamp),
    Over,
}

impl StatusCheck {
    /// A flow for a token that stands in a list, where lists are looked at. `place` is that of its
    /// issuer among the guard's.
    ///
    /// # Errors
    ///
    /// `claim_invalid` where what it says of its status cannot be read.
    pub(super) fn of(claims: &Claims, place: usize, guard: &Guard) -> Result<Option<Self>, Error> {
        match &guard.status_lists {
            Some(lists) => Self::read(claims, place, lists),
            None => Ok(None),
        }
    }

    #[inline(never)]
    fn read(claims: &Claims, place: usize, lists: &StatusLists) -> Result<Option<Self>, Error> {
        let invalid = || Error::new(ErrorKind::ClaimInvalid, "status");
        let Some(status) = claims.as_object().get("status") else {
            return Ok(None);
        };
        // Other ways to say it stand beside this one (section 6.1).
        let Some(named) = status.as_object().ok_or_else(invalid)?.get("status_list") else {
            return Ok(None);
        };
        let named = named.as_object().ok_or_else(invalid)?;
        let index = named.get("idx").and_then(Value::as_number);
        let index = index
            .and_then(Number::as_integer)
            .and_then(|index| u64::try_from(index).ok());
        let uri = named
            .get("uri")
            .and_then(Value::as_str)
            .and_then(Url::parse);
        let uri = uri.filter(|uri| uri.is_allowed(lists.transport) && !uri.has_fragment());
        Ok(Some(Self {
            place,
            uri: uri.ok_or_else(invalid)?,
            index: index.ok_or_else(invalid)?,
            stage: Stage::Ready,
        }))
    }

    /// As [`crate::flow::Flow::step`]. A list that cannot be had, or is none, says nothing of a token:
    /// that is `keys_unavailable` and no verdict; a token that is not valid is `token_inactive`.
    pub(super) fn step(
        &mut self,
        guard: &mut Guard,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<Timestamp>, Error> {
        match (core::mem::replace(&mut self.stage, Stage::Over), event) {
            (Stage::Ready, Event::Start) => {
                let lists = guard.status_lists.as_ref();
                let lists = lists.ok_or(ErrorKind::FlowMisused)?;
                match lists.find(self.place, &self.uri, now) {
                    Some(known) => self.judge(known).map(Step::Done),
                    None => self.ask(guard, now),
                }
            }
            (Stage::Asking(asked_at), event) => {
                let parsed = match event.into_answer()? {
                    Ok(response) => parse(&response, guard),
                    Err(_) => None,
                };
                match parsed {
                    Some(token) => {
                        let verify = Box::new(Verify::new(token, KeyTrials::UpToFour));
                        self.verify(verify, guard, asked_at, now, Event::Start)
                    }
                    None => self.settle(guard, None, asked_at, now),
                }
            }
            (Stage::Verifying(verify, asked_at), event) => {
                self.verify(verify, guard, asked_at, now, event)
            }
            _ => Err(ErrorKind::FlowMisused.into()),
        }
    }

    fn ask(&mut self, guard: &Guard, now: Timestamp) -> Result<Step<Timestamp>, Error> {
        let provider = guard.providers.get(self.place);
        let provider = provider.ok_or(ErrorKind::FlowMisused)?;
        let mut request =
            HttpRequest::get(Purpose::StatusList, self.uri.clone(), provider.timeout());
        request.accept = MEDIA_TYPE;
        request.max_body = guard.config.limits.answers.answer;
        self.stage = Stage::Asking(now);
        Ok(Step::Send(request))
    }

    fn verify(
        &mut self,
        mut verify: Box<Verify>,
        guard: &mut Guard,
        asked_at: Timestamp,
        now: Timestamp,
        event: Event,
    ) -> Result<Step<Timestamp>, Error> {
        let provider = guard.providers.get_mut(self.place);
        let provider = provider.ok_or(ErrorKind::FlowMisused)?;
        let step = match verify.step(provider, now, event) {
            Ok(Step::Send(request)) => Step::Send(request),
            Ok(Step::Verify(check)) => Step::Verify(check),
            Ok(Step::Load(key)) => Step::Load(key),
            Ok(Step::Done(verified)) => {
                return self.settle(guard, Some(verified), asked_at, now);
            }
            Ok(_) => return Err(ErrorKind::FlowMisused.into()),
            Err(error) if error.kind() == ErrorKind::FlowMisused => return Err(error),
            Err(_) => return self.settle(guard, None, asked_at, now),
        };
        self.stage = Stage::Verifying(verify, asked_at);
        Ok(step)
    }

    /// Keeps a list, or that there is none, and says what it says.
    fn settle(
        &self,
        guard: &mut Guard,
        verified: Option<Verified>,
        asked_at: Timestamp,
        now: Timestamp,
    ) -> Result<Step<Timestamp>, Error> {
        let tolerance = guard.config.clock_tolerance;
        let issuer = guard.providers.get(self.place);
        let issuer = issuer.ok_or(ErrorKind::FlowMisused)?.issuer().as_str();
        let max_age = guard.status_lists.as_ref().map(|lists| lists.max_age);
        let max_age = max_age.ok_or(ErrorKind::FlowMisused)?;
        let read = verified.and_then(|verified| {
            let claims = verified.into_claims();
            self.check(&claims, issuer, now, tolerance).ok()?;
            let until = asked_at.after(age(&claims, max_age)?);
            let end = claims.date("exp").ok()?.map(|end| end.after(tolerance));
            Some((list(&claims)?, end.map_or(until, |end| end.min(until))))
        });
        let (list, until) = match read {
            Some((list, until)) => (Some(list), until),
            None => (None, now.after(PAUSE)),
        };
        let known = Known {
            place: self.place,
            uri: self.uri.clone(),
            since: asked_at,
            until,
            list,
        };
        let judged = self.judge(&known);
        let lists = guard.status_lists.as_mut();
        let lists = lists.ok_or(ErrorKind::FlowMisused)?;
        lists.keep(known, now);
        match lists.find(self.place, &self.uri, now) {
            Some(kept) => self.judge(kept),
            None => judged,
        }
        .map(Step::Done)
    }

    /// What a list must say of itself (section 5.1): whose it is, and that it is of now.
    fn check(
        &self,
        claims: &Claims,
        issuer: &str,
        now: Timestamp,
        tolerance: Lifetime,
    ) -> Result<(), Error> {
        if claims.required_string("sub")? != self.uri.as_str() {
            return Err(Error::new(ErrorKind::ClaimInvalid, "sub"));
        }
        if claims.string("iss")?.is_some_and(|named| named != issuer) {
            return Err(ErrorKind::IssuerMismatch.into());
        }
        claims.required_date("iat")?;
        claims.check_dates(now, tolerance)
    }

    /// What a list says of the token (section 8.3).
    fn judge(&self, known: &Known) -> Result<Timestamp, Error> {
        let list = known.list.as_ref();
        let list = list.ok_or_else(|| Error::new(ErrorKind::KeysUnavailable, "status_list"))?;
        match list.status(self.index) {
            Some(0) => Ok(known.until),
            // Beyond the end stands nothing that could be valid.
            _ => Err(Error::new(ErrorKind::TokenInactive, "status")),
        }
    }
}

/// The token in an answer.
fn parse(response: &HttpResponse, guard: &Guard) -> Option<Unverified> {
    if response.status() != 200 {
        return None;
    }
    let text = response
        .text(&[MEDIA_TYPE], ErrorKind::KeysUnavailable)
        .ok()?;
    let most = guard.config.limits.answers.answer;
    let token = Unverified::parse(text, most, &guard.config.algorithms).ok()?;
    token.header().is_type(TYPE).then_some(token)
}

/// For how long it may be used: as `ttl` says, and no longer than is said here.
fn age(claims: &Claims, max_age: Lifetime) -> Option<Lifetime> {
    let Some(ttl) = claims.as_object().get("ttl") else {
        return Some(max_age);
    };
    let seconds = ttl.as_number()?.as_integer().filter(|ttl| *ttl > 0)?;
    let most = Lifetime::from_seconds(MOST_AGE);
    let ttl = u32::try_from(seconds).map_or(most, Lifetime::from_seconds);
    Some(ttl.min(max_age))
}

fn list(claims: &Claims) -> Option<List> {
    let object: &Object = claims.as_object().get("status_list")?.as_object()?;
    let bits = object.get("bits")?.as_number()?.as_integer()?;
    let bits = u8::try_from(bits).ok()?;
    if !matches!(bits, 1 | 2 | 4 | 8) {
        return None;
    }
    let packed = base64url::decode(object.get("lst")?.as_str()?)?;
    let bytes = inflate(&packed, MOST_BYTES)?;
    Some(List { bits, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_of_the_draft_say_what_they_say_there() {
        // Section 4.1: sixteen tokens at one bit, and twelve at two.
        for (bits, text, expected) in [
            (1, "eNrbuRgAAhcBXQ", "1001110111000101"),
            (2, "eNo76fITAAPfAgc", "120301011233"),
        ] {
            let bytes = inflate(&base64url::decode(text).unwrap(), 3).unwrap();
            let list = List { bits, bytes };
            for (index, digit) in (0..).zip(expected.chars()) {
                let status = list.status(index).map(u32::from);
                assert_eq!(status, digit.to_digit(10), "{bits} bits, {index}");
            }
            let count = u64::try_from(expected.len()).unwrap();
            assert_eq!(list.status(count), None);
            assert_eq!(list.status(u64::MAX), None);
        }
    }

    #[test]
    fn a_list_is_not_printed() {
        let list = List {
            bits: 1,
            bytes: vec![1, 2],
        };
        assert_eq!(format!("{list:?}"), "List(2 bytes)");
    }
}
