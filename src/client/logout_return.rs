//! The user's return from signing out at the provider (OpenID Connect RP-Initiated Logout 1.0,
//! section 3).

use crate::client::Client;
use crate::client::callback::Callback;
use crate::error::{Error, ErrorKind, Phase};
use crate::http::json::{self, Object, Value};
use crate::secret::ct_eq;
use crate::time::{Lifetime, Timestamp};

/// How long a user may take at the provider.
const LOGOUT_TIME: Lifetime = Lifetime::from_seconds(600);
/// The most sign-outs that wait: users close the page at the provider.
const MOST: usize = 5;
/// The longest text that is read back.
const MAX_BYTES: usize = 64 * 1024;

/// What is kept of a sign-out until the user's return.
#[derive(Clone, Debug)]
pub struct PendingLogout {
    state: String,
    return_to: Option<String>,
    started_at: Timestamp,
}

impl PendingLogout {
    pub(super) fn new(state: String, return_to: Option<String>, started_at: Timestamp) -> Self {
        Self {
            state,
            return_to,
            started_at,
        }
    }

    fn to_value(&self) -> Value {
        Object::new()
            .with("state", self.state.as_str())
            .with_some("return_to", self.return_to.as_deref())
            .with("started_at", self.started_at.millis())
            .into()
    }

    fn read(value: &Value) -> Option<Self> {
        let object = value.as_object()?;
        let return_to = match object.get("return_to") {
            None => None,
            Some(value) => Some(value.as_str()?.into()),
        };
        let state = object.get("state")?.as_str()?;
        let started_at = object.get("started_at")?.as_number()?.as_integer()?;
        Some(Self {
            state: Some(state).filter(|state| !state.is_empty())?.into(),
            return_to,
            started_at: Timestamp::from_millis(started_at)?,
        })
    }
}

/// The sign-outs of one client that wait for the user's return.
#[derive(Clone, Debug, Default)]
pub struct PendingLogouts(Vec<PendingLogout>);

impl PendingLogouts {
    /// Reads what [`PendingLogouts::to_json`] wrote. Anything else counts as nothing.
    pub fn read(text: Option<&str>) -> Self {
        text.and_then(Self::parse).unwrap_or_default()
    }

    fn parse(text: &str) -> Option<Self> {
        let object = json::read_object(text.as_bytes(), MAX_BYTES).ok()?;
        let waiting = object.get("waiting")?.as_array()?;
        let waiting = waiting.iter().map(PendingLogout::read);
        let waiting: Vec<_> = waiting.collect::<Option<_>>()?;
        (waiting.len() <= MOST).then_some(Self(waiting))
    }

    /// The text to store, where other origins cannot write.
    pub fn to_json(&self) -> String {
        let waiting = self.0.iter().map(PendingLogout::to_value).collect();
        Value::from(Object::new().with("waiting", Value::Array(waiting))).to_json()
    }

    /// Adds a sign-out; the oldest ones go when there are too many or their time is over.
    pub fn add(&mut self, logout: PendingLogout, now: Timestamp) {
        let waiting = &mut self.0;
        waiting.retain(|logout| now.since(logout.started_at) <= LOGOUT_TIME);
        let surplus = waiting.len().saturating_sub(MOST.saturating_sub(1));
        waiting.drain(..surplus);
        waiting.push(logout);
        while self.0.len() > 1 && self.to_json().len() > MAX_BYTES {
            self.0.remove(0);
        }
    }

    /// Checks the URL to which the provider sent the user back, and takes the sign-out that waited
    /// for it: where the application goes on, if it said so. It can be taken once.
    ///
    /// The session ended when the user left; nothing here ends or begins one.
    ///
    /// # Errors
    ///
    /// `logout_state_missing`, `logout_state_mismatch` when others wait but not this one,
    /// `logout_unknown` when none waits, or not any more, or the user came to another place than
    /// `postLogoutRedirectUri`; `param_invalid`, `response_mode_mismatch`.
    pub fn take(
        &mut self,
        url: &str,
        client: &Client,
        now: Timestamp,
    ) -> Result<Option<String>, Error> {
        self.claim(url, client, now)
            .map_err(|error| error.during(Phase::SignOut))
    }

    fn claim(
        &mut self,
        url: &str,
        client: &Client,
        now: Timestamp,
    ) -> Result<Option<String>, Error> {
        let callback = Callback::parse(url)?;
        let state = callback
            .once("state")?
            .ok_or(ErrorKind::LogoutStateMissing)?;
        let index = self.0.iter().position(|logout| ct_eq(&logout.state, state));
        let logout = match index {
            Some(index) => self.0.remove(index),
            None if self.0.is_empty() => return Err(ErrorKind::LogoutUnknown.into()),
            None => return Err(ErrorKind::LogoutStateMismatch.into()),
        };
        let expected = client.config().post_logout_redirect_uri.as_ref();
        let is_here = expected.is_some_and(|expected| callback.came_to(expected.as_str()));
        if !is_here || now.since(logout.started_at) > LOGOUT_TIME {
            return Err(ErrorKind::LogoutUnknown.into());
        }
        Ok(logout.return_to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds).unwrap()
    }

    fn logout(state: &str) -> PendingLogout {
        PendingLogout::new(state.into(), Some("/bye".into()), at(0))
    }

    #[test]
    fn a_stored_sign_out_reads_the_same() {
        let mut logouts = PendingLogouts::default();
        logouts.add(logout("a"), at(0));
        logouts.add(PendingLogout::new("b".into(), None, at(1)), at(1));
        let text = logouts.to_json();
        let read = PendingLogouts::read(Some(&text));
        assert_eq!(read.to_json(), text);
        assert_eq!(read.0.len(), 2);
    }

    #[test]
    fn foreign_content_counts_as_nothing() {
        let good = logout("a").to_value().to_json();
        for text in [
            "",
            "null",
            "{}",
            "{\"waiting\":{}}",
            "{\"waiting\":[{}]}",
            &format!("{{\"waiting\":[{}]}}", good.replace("\"a\"", "\"\"")),
            &format!("{{\"waiting\":[{}]}}", good.replace("\"/bye\"", "1")),
            &format!("{{\"waiting\":[{}]}}", [good.as_str(); 6].join(",")),
        ] {
            assert!(PendingLogouts::read(Some(text)).0.is_empty(), "{text}");
        }
    }

    #[test]
    fn few_wait_and_not_for_long() {
        let mut logouts = PendingLogouts::default();
        for index in 0..20 {
            logouts.add(logout(&index.to_string()), at(0));
        }
        assert_eq!(logouts.0.len(), MOST);
        logouts.add(PendingLogout::new("x".into(), None, at(601)), at(601));
        assert_eq!(logouts.0.len(), 1);
    }

    #[test]
    fn what_is_kept_is_never_too_long_to_be_read() {
        // As long as the option may be, and six times as long in JSON.
        let long = Some(format!("/{}", "\u{1}".repeat(8191)));
        let mut logouts = PendingLogouts::default();
        for state in ["a", "b", "c"] {
            logouts.add(PendingLogout::new(state.into(), long.clone(), at(0)), at(0));
        }
        let text = logouts.to_json();
        assert!(text.len() <= MAX_BYTES);
        let read = PendingLogouts::read(Some(&text));
        assert_eq!(read.0.len(), 1);
        assert_eq!(read.0[0].state, "c");
    }
}
