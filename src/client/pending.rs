//! Logins that wait for their callback.
//!
//! They survive the page's visit to the provider in storage (a page's sessionStorage), as one
//! JSON text that only this file writes and reads.

use crate::client::CodeVerifier;
use crate::error::{Error, ErrorKind};
use crate::http::json::{self, Object, Value};
use crate::secret::ct_eq;
use crate::time::{Lifetime, Timestamp};

/// How long a user may take at the provider.
const LOGIN_TIME: Lifetime = Lifetime::from_seconds(600);
/// For how long an expired login is remembered, so that a late callback is told why.
const MEMORY: Lifetime = Lifetime::from_seconds(24 * 3600);
/// The most logins that wait, and the most used states that are remembered: several tabs and
/// several tries, no heap of leftovers.
const MOST: usize = 10;
/// The longest text that is read back.
const MAX_BYTES: usize = 64 * 1024;

/// What is kept of an authorization request until its callback.
#[derive(Clone, Debug)]
pub struct PendingLogin {
    pub(super) state: String,
    pub(super) nonce: Option<String>,
    pub(super) verifier: CodeVerifier,
    pub(super) issuer: String,
    pub(super) client_id: String,
    pub(super) redirect_uri: String,
    pub(super) scope: String,
    pub(super) max_age: Option<u32>,
    /// The values of `acr` that will do; any or none will when it is empty.
    pub(super) acr: Vec<String>,
    /// The only user whom the answer may be about.
    pub(super) subject: Option<String>,
    /// The types of the authorization details that were asked for (RFC 9396).
    pub(super) details: Vec<String>,
    pub(super) return_to: Option<String>,
    pub(super) started_at: Timestamp,
}

impl PendingLogin {
    /// The `state` by which its callback is known.
    pub fn state(&self) -> &str {
        &self.state
    }

    pub(super) fn to_value(&self) -> Value {
        Object::new()
            .with("state", self.state.as_str())
            .with_some("nonce", self.nonce.as_deref())
            .with("verifier", self.verifier.expose())
            .with("issuer", self.issuer.as_str())
            .with("client_id", self.client_id.as_str())
            .with("redirect_uri", self.redirect_uri.as_str())
            .with("scope", self.scope.as_str())
            .with_some("max_age", self.max_age.map(i64::from))
            .with("acr", texts(&self.acr))
            .with_some("subject", self.subject.as_deref())
            .with("details", texts(&self.details))
            .with_some("return_to", self.return_to.as_deref())
            .with("started_at", self.started_at.millis())
            .into()
    }

    pub(super) fn read(value: &Value) -> Option<Self> {
        let object = value.as_object()?;
        let text = |name: &str| object.get(name)?.as_str().map(String::from);
        // Absent is one thing, of another type is another: without its nonce a login would be
        // taken for one that expects no ID token.
        let optional = |name: &str| match object.get(name) {
            None => Some(None),
            Some(value) => value.as_str().map(|text| Some(text.to_owned())),
        };
        let (scope, nonce) = (text("scope")?, optional("nonce")?);
        if nonce.is_some() != scope.split(' ').any(|scope| scope == "openid") {
            return None;
        }
        let max_age = match object.get("max_age") {
            None => None,
            Some(value) => Some(u32::try_from(value.as_number()?.as_integer()?).ok()?),
        };
        let list = |name: &str| {
            let list = object.get(name)?.as_strings()?;
            Some(list.into_iter().map(String::from).collect())
        };
        Some(Self {
            state: text("state").filter(|state| !state.is_empty())?,
            nonce,
            verifier: CodeVerifier::read(&text("verifier")?)?,
            issuer: text("issuer")?,
            client_id: text("client_id")?,
            redirect_uri: text("redirect_uri")?,
            scope,
            max_age,
            acr: list("acr")?,
            subject: optional("subject")?,
            details: list("details")?,
            return_to: optional("return_to")?,
            started_at: Timestamp::from_millis(
                object.get("started_at")?.as_number()?.as_integer()?,
            )?,
        })
    }
}

fn texts(list: &[String]) -> Vec<&str> {
    list.iter().map(String::as_str).collect()
}

/// The logins of one client that wait, and the states that were used.
#[derive(Clone, Debug, Default)]
pub struct PendingLogins {
    waiting: Vec<PendingLogin>,
    used: Vec<String>,
}

impl PendingLogins {
    /// Reads what [`PendingLogins::to_json`] wrote. Anything else, such as the text of another
    /// version or of someone who tampered, counts as nothing: its logins are unknown.
    pub fn read(text: Option<&str>) -> Self {
        text.and_then(Self::parse).unwrap_or_default()
    }

    fn parse(text: &str) -> Option<Self> {
        let object = json::read_object(text.as_bytes(), MAX_BYTES).ok()?;
        let waiting = object.get("waiting")?.as_array()?;
        let used = object.get("used")?.as_strings()?;
        if waiting.len() > MOST || used.len() > MOST {
            return None;
        }
        Some(Self {
            waiting: waiting
                .iter()
                .map(PendingLogin::read)
                .collect::<Option<_>>()?,
            used: used.into_iter().map(String::from).collect(),
        })
    }

    /// The text to store. It holds verifiers: it belongs where only this page can read it.
    pub fn to_json(&self) -> String {
        let waiting = self.waiting.iter().map(PendingLogin::to_value).collect();
        Value::from(
            Object::new()
                .with("waiting", Value::Array(waiting))
                .with("used", texts(&self.used)),
        )
        .to_json()
    }

    /// Adds a login; the oldest ones go when there are too many, when their text is too long to be
    /// read back, or a day has passed.
    pub fn add(&mut self, login: PendingLogin, now: Timestamp) {
        self.waiting
            .retain(|login| now.since(login.started_at) <= MEMORY);
        let surplus = self.waiting.len().saturating_sub(MOST.saturating_sub(1));
        self.waiting.drain(..surplus);
        self.waiting.push(login);
        while self.waiting.len() > 1 && self.to_json().len() > MAX_BYTES {
            self.waiting.remove(0);
        }
    }

    /// The login that waits for this state.
    pub(super) fn find(&self, state: &str) -> Option<&PendingLogin> {
        self.waiting.iter().find(|login| ct_eq(&login.state, state))
    }

    /// Takes the login that waits for this state. It can be taken once.
    ///
    /// # Errors
    ///
    /// `flow_reused` when the state was used, `flow_expired` when the user took too long,
    /// `state_mismatch` when others wait but not this one, `flow_unknown` when none waits.
    pub fn take(&mut self, state: &str, now: Timestamp) -> Result<PendingLogin, Error> {
        let Some(index) = self
            .waiting
            .iter()
            .position(|login| ct_eq(&login.state, state))
        else {
            return Err(if self.used.iter().any(|used| ct_eq(used, state)) {
                ErrorKind::FlowReused
            } else if self.waiting.is_empty() {
                ErrorKind::FlowUnknown
            } else {
                ErrorKind::StateMismatch
            }
            .into());
        };
        let login = self.waiting.remove(index);
        let surplus = self.used.len().saturating_sub(MOST.saturating_sub(1));
        self.used.drain(..surplus);
        self.used.push(login.state.clone());
        if now.since(login.started_at) > LOGIN_TIME {
            return Err(ErrorKind::FlowExpired.into());
        }
        Ok(login)
    }

    /// Gives a login back whose completion failed for want of a network, so that the same callback
    /// can be tried again. Should the code have been used up, the provider will say so.
    pub fn give_back(&mut self, login: &PendingLogin, now: Timestamp) {
        self.used.retain(|used| *used != login.state);
        self.add(login.clone(), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds).unwrap()
    }

    fn login(state: &str, started_at: Timestamp) -> PendingLogin {
        PendingLogin {
            state: state.into(),
            nonce: Some("n".into()),
            verifier: CodeVerifier::make(&[3; 32]),
            issuer: "https://as.example".into(),
            client_id: "spa".into(),
            redirect_uri: "https://app.example/cb".into(),
            scope: "openid".into(),
            max_age: Some(0),
            acr: vec!["mfa".into()],
            subject: Some("alice".into()),
            details: Vec::new(),
            return_to: None,
            started_at,
        }
    }

    fn kind(result: Result<PendingLogin, Error>) -> Option<ErrorKind> {
        result.err().map(|error| error.kind())
    }

    #[test]
    fn a_login_is_taken_once_also_across_storage() {
        let mut logins = PendingLogins::default();
        logins.add(login("a", at(0)), at(0));
        logins.add(login("b", at(1)), at(1));
        let mut logins = PendingLogins::read(Some(&logins.to_json()));
        let taken = logins.take("b", at(2)).unwrap();
        assert_eq!((taken.state.as_str(), taken.max_age), ("b", Some(0)));
        let mut logins = PendingLogins::read(Some(&logins.to_json()));
        assert_eq!(kind(logins.take("b", at(2))), Some(ErrorKind::FlowReused));
        assert_eq!(kind(logins.take("a", at(2))), None);
    }

    #[test]
    fn what_waits_can_be_read_back_however_long_it_is() {
        let mut logins = PendingLogins::default();
        for state in ["a", "b", "c", "d", "e", "f", "g", "h", "i"] {
            let mut long = login(state, at(0));
            long.return_to = Some(format!("/{}", "x".repeat(8000)));
            logins.add(long, at(0));
        }
        let mut logins = PendingLogins::read(Some(&logins.to_json()));
        assert_eq!(
            kind(logins.take("a", at(1))),
            Some(ErrorKind::StateMismatch)
        );
        assert_eq!(kind(logins.take("i", at(1))), None);
    }

    #[test]
    fn a_state_of_someone_else_is_told_from_no_login_at_all() {
        let mut logins = PendingLogins::default();
        assert_eq!(kind(logins.take("x", at(0))), Some(ErrorKind::FlowUnknown));
        logins.add(login("a", at(0)), at(0));
        for state in ["x", "", "A", "a "] {
            assert_eq!(
                kind(logins.take(state, at(0))),
                Some(ErrorKind::StateMismatch),
                "{state}"
            );
        }
    }

    #[test]
    fn a_login_ends_after_ten_minutes() {
        let mut logins = PendingLogins::default();
        logins.add(login("a", at(0)), at(0));
        logins.add(login("b", at(0)), at(0));
        assert_eq!(kind(logins.take("a", at(600))), None);
        assert_eq!(
            kind(logins.take("b", at(601))),
            Some(ErrorKind::FlowExpired)
        );
    }

    #[test]
    fn a_login_that_was_given_back_can_be_taken_again() {
        let mut logins = PendingLogins::default();
        logins.add(login("a", at(0)), at(0));
        let taken = logins.take("a", at(1)).unwrap();
        logins.give_back(&taken, at(2));
        assert_eq!(kind(logins.take("a", at(3))), None);
        assert_eq!(kind(logins.take("a", at(3))), Some(ErrorKind::FlowReused));
    }

    #[test]
    fn ten_logins_wait_at_the_most() {
        let mut logins = PendingLogins::default();
        for index in 0..30 {
            logins.add(login(&format!("s{index}"), at(index)), at(index));
        }
        assert_eq!(logins.waiting.len(), MOST);
        for index in 0..30 {
            let _ = logins.take(&format!("s{index}"), at(30));
        }
        assert_eq!(logins.used.len(), MOST);
        assert!(logins.to_json().len() < MAX_BYTES);
    }

    #[test]
    fn foreign_content_counts_as_nothing() {
        let login = login("a", at(0)).to_value().to_json();
        let broken = login.replace("\"verifier\":\"", "\"verifier\":\"=");
        for text in [
            "",
            "null",
            "[]",
            "{}",
            "{\"waiting\":[],\"used\":[1]}",
            "{\"waiting\":{},\"used\":[]}",
            "{\"waiting\":[{}],\"used\":[]}",
            "{\"__proto__\":{\"waiting\":[]}}",
            &format!("{{\"waiting\":[{broken}],\"used\":[]}}"),
        ] {
            assert_eq!(
                kind(PendingLogins::read(Some(text)).take("a", at(0))),
                Some(ErrorKind::FlowUnknown),
                "{text}"
            );
        }
        let good = format!("{{\"waiting\":[{login}],\"used\":[]}}");
        assert_eq!(
            kind(PendingLogins::read(Some(&good)).take("a", at(0))),
            None
        );
    }

    #[test]
    fn debug_shows_no_verifier() {
        let login = login("a", at(0));
        assert!(!format!("{login:?}").contains(login.verifier.expose()));
    }
}
