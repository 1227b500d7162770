//! How options are read: known names, right types, values in range.
//!
//! Options come as a JSON object with the names of the public API, from JavaScript, a file or a
//! Rust program. An unknown name is an error because a check that is not configured does not run.

use crate::error::{Error, ErrorKind, Field};
use crate::http::Transport;
use crate::http::json::{Object, Value};
use crate::time::Lifetime;

/// The options of one object, all of whose names are known.
pub(crate) struct Options<'a> {
    object: &'a Object,
}

impl<'a> Options<'a> {
    /// Refuses names that are not in the list.
    ///
    /// # Errors
    ///
    /// `config_invalid` at the unknown name.
    #[inline(never)]
    pub(crate) fn new(object: &'a Object, known: &[&str]) -> Result<Self, Error> {
        match object.iter().find(|(name, _)| !known.contains(name)) {
            Some((name, _)) => Err(Error::new(ErrorKind::ConfigInvalid, Field::option(name))),
            None => Ok(Self { object }),
        }
    }

    /// The value as it is.
    pub(crate) fn value(&self, name: &'static str) -> Option<&'a Value> {
        self.object.get(name)
    }

    /// A value read by `read`, which says no to another type.
    fn typed<T>(
        &self,
        name: &'static str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        match self.object.get(name) {
            None => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| invalid(name)),
        }
    }

    /// A string that is not empty.
    #[inline(never)]
    pub(crate) fn string(&self, name: &'static str) -> Result<Option<&'a str>, Error> {
        self.typed(name, |value| value.as_str().filter(|text| !text.is_empty()))
    }

    /// A string that must be given.
    #[cfg(feature = "flows")]
    pub(crate) fn required_string(&self, name: &'static str) -> Result<&'a str, Error> {
        self.string(name)?.ok_or_else(|| invalid(name))
    }

    /// A string or a list of strings, none empty; an empty list is an error.
    #[inline(never)]
    pub(crate) fn strings(&self, name: &'static str) -> Result<Option<Vec<&'a str>>, Error> {
        self.typed(name, |value| {
            let list = match value {
                Value::String(text) => vec![text.as_str()],
                value => value.as_strings()?,
            };
            (!list.is_empty() && list.iter().all(|text| !text.is_empty())).then_some(list)
        })
    }

    /// A switch, off when it is not given.
    pub(crate) fn switch(&self, name: &'static str) -> Result<bool, Error> {
        self.choice(name, false)
    }

    /// A boolean with its default.
    #[inline(never)]
    pub(crate) fn choice(&self, name: &'static str, default: bool) -> Result<bool, Error> {
        Ok(self.typed(name, Value::as_bool)?.unwrap_or(default))
    }

    /// Whole seconds within a range.
    #[inline(never)]
    pub(crate) fn whole_seconds(
        &self,
        name: &'static str,
        most: u32,
    ) -> Result<Option<u32>, Error> {
        self.typed(name, |value| {
            let seconds = u32::try_from(value.as_number()?.as_integer()?).ok()?;
            (seconds <= most).then_some(seconds)
        })
    }

    /// A whole number within a range.
    #[cfg(feature = "guard")]
    #[inline(never)]
    pub(crate) fn count(
        &self,
        name: &'static str,
        range: core::ops::RangeInclusive<u32>,
    ) -> Result<Option<u32>, Error> {
        self.typed(name, |value| {
            let count = u32::try_from(value.as_number()?.as_integer()?).ok()?;
            range.contains(&count).then_some(count)
        })
    }

    /// Seconds, possibly with a fraction, within a range.
    #[inline(never)]
    pub(crate) fn seconds(
        &self,
        name: &'static str,
        range: core::ops::RangeInclusive<u32>,
        default: u32,
    ) -> Result<Lifetime, Error> {
        let given = self.typed(name, |value| {
            let millis = value.as_number()?.scaled(3)?;
            let least = Lifetime::from_seconds(*range.start()).millis();
            let most = Lifetime::from_seconds(*range.end()).millis();
            (least..=most)
                .contains(&millis)
                .then(|| Lifetime::from_millis(millis))
        })?;
        Ok(given.unwrap_or(Lifetime::from_seconds(default)))
    }

    /// Which URLs of the provider will do.
    #[inline(never)]
    pub(crate) fn transport(&self) -> Result<Transport, Error> {
        Ok(match self.switch("dangerouslyAllowHttpLoopback")? {
            true => Transport::SecureOrLoopback,
            false => Transport::Secure,
        })
    }

    /// How long one request may take; so many seconds where nothing is said.
    pub(crate) fn timeout(&self, default: u32) -> Result<Lifetime, Error> {
        self.seconds("timeout", 1..=120, default)
    }

    /// An object.
    pub(crate) fn object(&self, name: &'static str) -> Result<Option<&'a Object>, Error> {
        self.typed(name, Value::as_object)
    }
}

/// The error of an option.
#[inline(never)]
pub(crate) fn invalid(name: &'static str) -> Error {
    Error::new(ErrorKind::ConfigInvalid, name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::json;

    fn object(text: &str) -> Object {
        json::read_object(text.as_bytes(), 1000).unwrap()
    }

    #[test]
    fn an_unknown_name_is_an_error_that_names_it() {
        let object = object(r#"{"audiance":"x"}"#);
        let error = Options::new(&object, &["audience"]).err().unwrap();
        assert_eq!(
            (error.kind(), error.at()),
            (ErrorKind::ConfigInvalid, "audiance")
        );
    }

    #[cfg(feature = "flows")]
    #[test]
    fn values_of_the_wrong_type_are_errors() {
        let object = object(
            r#"{"text":1,"null":null,"empty":"","list":["a",1],"none":[],"blank":["a",""],"switch":"yes"}"#,
        );
        let known = ["text", "null", "empty", "list", "none", "blank", "switch"];
        let options = Options::new(&object, &known).unwrap();
        assert!(options.string("text").is_err());
        assert!(options.string("null").is_err());
        assert!(options.string("empty").is_err());
        assert!(options.strings("list").is_err());
        assert!(options.strings("none").is_err());
        assert!(options.strings("blank").is_err());
        assert!(options.switch("switch").is_err());
        assert!(options.string("absent").unwrap().is_none());
        assert!(options.required_string("absent").is_err());
    }

    #[test]
    fn seconds_have_a_range() {
        let read = |text: &str| {
            let object = object(&format!(r#"{{"clockTolerance":{text}}}"#));
            Options::new(&object, &["clockTolerance"])
                .unwrap()
                .seconds("clockTolerance", 0..=300, 30)
                .map(Lifetime::millis)
        };
        assert_eq!(read("0").unwrap(), 0);
        assert_eq!(read("1.5").unwrap(), 1500);
        assert_eq!(read("300").unwrap(), 300_000);
        for text in ["301", "-1", "\"60\"", "null", "1e300", "true"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
