//! How often each outcome came up.

use crate::error::{Error, ErrorKind};
use crate::http::json::{Object, Value};

/// Counts by outcome. They never hold anything of a token.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    accepted: u32,
    refused: Vec<(ErrorKind, u32)>,
}

impl Tally {
    pub(super) fn accept(&mut self) {
        self.accepted = self.accepted.saturating_add(1);
    }

    pub(super) fn refuse(&mut self, error: &Error) {
        match self
            .refused
            .iter_mut()
            .find(|(kind, _)| *kind == error.kind())
        {
            Some((_, count)) => *count = count.saturating_add(1),
            None => self.refused.push((error.kind(), 1)),
        }
    }

    /// A request that was accepted is refused after all.
    pub(super) fn withdraw(&mut self, error: &Error) {
        self.accepted = self.accepted.saturating_sub(1);
        self.refuse(error);
    }

    /// How many requests were accepted.
    pub fn accepted(&self) -> u32 {
        self.accepted
    }

    /// How many requests were refused for this reason.
    pub fn refused(&self, kind: ErrorKind) -> u32 {
        self.refused
            .iter()
            .find_map(|(known, count)| (*known == kind).then_some(*count))
            .unwrap_or(0)
    }

    /// As JSON for JavaScript: `accepted` and every code that came up.
    pub fn to_json(&self) -> String {
        Value::from(self.to_object()).to_json()
    }

    pub(super) fn to_object(&self) -> Object {
        let start = Object::new().with("accepted", i64::from(self.accepted));
        self.refused.iter().fold(start, |object, (kind, count)| {
            object.with(kind.code(), i64::from(*count))
        })
    }
}
