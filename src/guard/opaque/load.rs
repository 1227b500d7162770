//! How much the provider is asked: so many questions at a time, and none while it is down.

use crate::error::{Error, ErrorKind};
use crate::guard::cache::Key;
use crate::issuer::AskingPause;
use crate::time::{Lifetime, Timestamp};

/// So many failures in a row begin a pause: one lost answer must not refuse everybody.
const FAILURES_IN_A_ROW: u32 = 3;

/// The questions that are under way and how the last ones ended.
#[derive(Debug)]
pub(super) struct Load {
    most: usize,
    /// After this a question is over, whatever became of the request that asked it: a runtime may
    /// drop a request between two steps, and its place must not be lost.
    longest: Lifetime,
    under_way: Vec<Question>,
    numbers: u64,
    failures: u32,
    last_failure: Option<Error>,
    pause: AskingPause,
}

/// A question that is under way.
#[derive(Debug)]
struct Question {
    number: u64,
    /// The token that it is about.
    key: Key,
    /// When it last sent something.
    at: Timestamp,
    /// Whether the provider has answered it.
    is_answered: bool,
}

/// A place among the questions that are under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    number: u64,
    /// Whether it gets the answer to another one, about the same token.
    pub(super) follows: bool,
}

impl Load {
    /// At most so many questions at a time, each of whose requests takes at most `timeout`.
    pub(super) fn new(most: usize, timeout: Lifetime) -> Self {
        Self {
            most,
            longest: Lifetime::from_millis(timeout.millis().saturating_mul(2)),
            under_way: Vec::new(),
            numbers: 0,
            failures: 0,
            last_failure: None,
            pause: AskingPause::default(),
        }
    }

    /// Begins a question about this token. Where those that ask at the same time get one answer, the first
    /// one asks, and those that follow take no place.
    ///
    /// # Errors
    ///
    /// The last failure while the pause after it lasts, `introspection_busy` when there is no
    /// place; both say when it is worth asking again.
    pub(super) fn begin(
        &mut self,
        key: Key,
        shares_answers: bool,
        now: Timestamp,
    ) -> Result<Place, Error> {
        if let Some(failure) = &self.last_failure
            && !self.pause.is_over(now)
        {
            return Err(failure.clone().retry_after(self.pause.seconds_left(now)));
        }
        self.under_way
            .retain(|asked| now >= asked.at && now.since(asked.at) <= self.longest);
        if shares_answers && self.is_asking(&key) {
            return Ok(Place {
                number: 0,
                follows: true,
            });
        }
        if self.under_way.len() >= self.most {
            return Err(Error::from(ErrorKind::IntrospectionBusy).retry_after(1));
        }
        self.numbers = self.numbers.wrapping_add(1);
        let number = self.numbers;
        self.under_way.push(Question {
            number,
            key,
            at: now,
            is_answered: false,
        });
        Ok(Place {
            number,
            follows: false,
        })
    }

    /// Whether somebody asks about this token, and has no answer yet: one of before is not for who comes later.
    fn is_asking(&self, key: &Key) -> bool {
        let asks = |asked: &Question| !asked.is_answered && asked.key == *key;
        self.under_way.iter().any(asks)
    }

    /// The provider answered the question.
    pub(super) fn note_answer(&mut self, place: Place) {
        for asked in &mut self.under_way {
            asked.is_answered |= asked.number == place.number;
        }
    }

    /// The question sends once more.
    pub(super) fn go_on(&mut self, place: Place, now: Timestamp) {
        for asked in &mut self.under_way {
            if asked.number == place.number {
                asked.at = now;
            }
        }
    }

    /// The question is over.
    pub(super) fn end(&mut self, place: Place) {
        self.under_way.retain(|asked| asked.number != place.number);
    }

    /// The provider answered as it should.
    pub(super) fn answered(&mut self) {
        self.failures = 0;
        self.last_failure = None;
        self.pause.end();
    }

    /// It did not; `Some` when a pause begins now: the operator should know.
    pub(super) fn failed(&mut self, error: &Error, now: Timestamp) -> Option<Error> {
        // Who refuses our credentials will refuse them again, and may lock us out. A 403 may be about the
        // token, whose text is its bearer's choice: some firewall's.
        let status = error.details().and_then(|details| details.status);
        let is_final = error.kind() == ErrorKind::CredentialsRefused && status != Some(403);
        let is_new = self.last_failure.is_none();
        // What may be about this token alone says nothing of the next one.
        if !is_final && !error.retryable() {
            let is_told = is_new && error.kind() == ErrorKind::CredentialsRefused;
            self.last_failure = self.last_failure.take().or(is_told.then(|| error.clone()));
            return is_told.then(|| error.clone());
        }
        self.failures = self.failures.saturating_add(1);
        let begins = is_final || self.failures >= FAILURES_IN_A_ROW;
        // Answers to questions of before the pause do not prolong it.
        let is_paused = self.last_failure.is_some() && !self.pause.is_over(now);
        if !begins || is_paused {
            return None;
        }
        self.pause.begin(now, now);
        self.last_failure = Some(error.clone());
        Some(error.clone())
    }

    /// In how many seconds it is worth asking again.
    pub(super) fn seconds_left(&self, now: Timestamp) -> u32 {
        self.pause.seconds_left(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds).unwrap()
    }

    fn begin(load: &mut Load, now: Timestamp) -> Result<Place, Error> {
        load.begin([0; 32], false, now)
    }

    #[test]
    fn those_who_ask_about_one_token_at_the_same_time_take_one_place() {
        let mut load = load();
        let mut ask = |key: u8| load.begin([key; 32], true, at(100));
        assert!(!ask(1).unwrap().follows);
        for _ in 0..100 {
            assert!(ask(1).unwrap().follows);
        }
        let second = ask(2).unwrap();
        assert!(!second.follows);
        assert_eq!(ask(3).unwrap_err().kind(), ErrorKind::IntrospectionBusy);
        // What one that follows ends is its own.
        let follower = ask(2).unwrap();
        load.end(follower);
        assert!(load.begin([3; 32], true, at(100)).is_err());
        load.end(second);
        assert!(!load.begin([3; 32], true, at(100)).unwrap().follows);
    }

    fn load() -> Load {
        Load::new(2, Lifetime::from_seconds(5))
    }

    #[test]
    fn there_are_so_many_places_and_they_are_given_back() {
        let mut load = load();
        let first = begin(&mut load, at(100)).unwrap();
        begin(&mut load, at(100)).unwrap();
        let error = begin(&mut load, at(100)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::IntrospectionBusy);
        assert_eq!(error.details().unwrap().retry_after, Some(1));
        load.end(first);
        assert!(begin(&mut load, at(100)).is_ok());
    }

    #[test]
    fn a_place_whose_request_was_dropped_comes_back_by_itself() {
        let mut load = load();
        begin(&mut load, at(100)).unwrap();
        let second = begin(&mut load, at(100)).unwrap();
        load.go_on(second, at(108));
        assert!(begin(&mut load, at(110)).is_err());
        assert!(begin(&mut load, at(111)).is_ok());
        assert!(begin(&mut load, at(111)).is_err());
    }

    #[test]
    fn three_failures_in_a_row_begin_a_pause_and_one_answer_ends_it() {
        let mut load = load();
        let failure = Error::from(ErrorKind::UpstreamTimeout);
        assert!(load.failed(&failure, at(100)).is_none());
        assert!(load.failed(&failure, at(100)).is_none());
        load.answered();
        assert!(load.failed(&failure, at(100)).is_none());
        assert!(load.failed(&failure, at(100)).is_none());
        assert!(load.failed(&failure, at(100)).is_some());
        // Those that were under way do not prolong it.
        assert!(load.failed(&failure, at(100)).is_none());
        assert_eq!(
            begin(&mut load, at(100)).unwrap_err().kind(),
            failure.kind()
        );
        assert!(begin(&mut load, at(101)).is_ok());
        // The next one does, twice as long.
        assert!(load.failed(&failure, at(101)).is_some());
        let error = begin(&mut load, at(101)).unwrap_err();
        assert_eq!(error.details().unwrap().retry_after, Some(2));
        load.answered();
        assert!(begin(&mut load, at(101)).is_ok());
    }

    #[test]
    fn credentials_that_are_refused_once_are_not_shown_again_at_once() {
        let mut load = load();
        let refused = Error::from(ErrorKind::CredentialsRefused);
        assert!(load.failed(&refused, at(100)).is_some());
        assert_eq!(
            begin(&mut load, at(100)).unwrap_err().kind(),
            refused.kind()
        );
    }
}
