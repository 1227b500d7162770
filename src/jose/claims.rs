//! A claims set (RFC 7519 section 4), read so that absent, malformed and wrong stay apart.

use core::fmt;

#[cfg(feature = "primitives")]
use crate::base64url;
use crate::error::{Error, ErrorKind};
use crate::http::json::{self, Object, Value};
#[cfg(feature = "primitives")]
use crate::jose::{Compact, Header};
use crate::time::{Lifetime, Timestamp};

/// The members of a token's payload. Its `Debug` shows nothing of them.
#[derive(Clone)]
pub struct Claims {
    members: Object,
    /// The text that they were read from, where JavaScript reads the same from it.
    #[cfg(feature = "guard")]
    text: Option<String>,
}

impl Claims {
    /// Reads the payload.
    ///
    /// # Errors
    ///
    /// `token_malformed` when it is no strict JSON object.
    pub(super) fn read(payload: Vec<u8>, max_depth: usize) -> Result<Self, Error> {
        let malformed = || Error::new(ErrorKind::TokenMalformed, "payload");
        let text = String::from_utf8(payload).map_err(|_| malformed())?;
        let (members, is_same) = json::read_object_of(&text, max_depth).map_err(|_| malformed())?;
        Ok(Self::of(members, is_same.then_some(text)))
    }

    fn of(members: Object, text: Option<String>) -> Self {
        #[cfg(not(feature = "guard"))]
        drop(text);
        Self {
            members,
            #[cfg(feature = "guard")]
            text,
        }
    }

    /// Claims that were checked before and kept since, such as those of a stored session.
    #[cfg(feature = "flows")]
    pub(crate) fn kept(members: Object) -> Self {
        Self::of(members, None)
    }

    /// Members that no signature covers and somebody else vouches for: a provider's answer.
    #[cfg(feature = "guard")]
    pub(crate) fn vouched(members: Object) -> Self {
        Self::of(members, None)
    }

    /// All of them.
    pub fn as_object(&self) -> &Object {
        &self.members
    }

    /// Writes all of them as JSON for JavaScript, see [`Value::to_json`].
    #[cfg(feature = "guard")]
    pub(crate) fn write(&self, out: &mut String) {
        match &self.text {
            Some(text) => out.push_str(text),
            None => self.members.write(out),
        }
    }

    /// A string claim that may be absent.
    ///
    /// # Errors
    ///
    /// `claim_invalid` when it is there and no string.
    pub fn string(&self, name: &'static str) -> Result<Option<&str>, Error> {
        match self.members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Error::new(ErrorKind::ClaimInvalid, name)),
        }
    }

    /// A string claim that must be there and must not be empty.
    ///
    /// # Errors
    ///
    /// `claim_missing`, `claim_invalid`.
    pub fn required_string(&self, name: &'static str) -> Result<&str, Error> {
        match self.string(name)? {
            None => Err(Error::new(ErrorKind::ClaimMissing, name)),
            Some("") => Err(Error::new(ErrorKind::ClaimInvalid, name)),
            Some(text) => Ok(text),
        }
    }

    /// A NumericDate (RFC 7519 section 2) that may be absent; fractions of a second are kept to
    /// the millisecond.
    ///
    /// # Errors
    ///
    /// `claim_invalid` when it is no number, negative or beyond the year 9999.
    pub fn date(&self, name: &'static str) -> Result<Option<Timestamp>, Error> {
        let invalid = || Error::new(ErrorKind::ClaimInvalid, name);
        match self.members.get(name) {
            None => Ok(None),
            Some(Value::Number(number)) => {
                let millis = number.scaled(3).ok_or_else(invalid)?;
                Timestamp::from_millis(millis).map(Some).ok_or_else(invalid)
            }
            Some(_) => Err(invalid()),
        }
    }

    /// A NumericDate that must be there.
    ///
    /// # Errors
    ///
    /// `claim_missing`, `claim_invalid`.
    pub fn required_date(&self, name: &'static str) -> Result<Timestamp, Error> {
        self.date(name)?
            .ok_or_else(|| Error::new(ErrorKind::ClaimMissing, name))
    }

    /// Checks `exp`, which must be there, and `nbf` and `iat` where they are.
    ///
    /// What it does not check: how old the token is.
    ///
    /// # Errors
    ///
    /// `claim_missing` and `claim_invalid` for the dates themselves and when one lies behind
    /// `exp`; `token_expired`, `token_not_active`, `issued_in_future`.
    pub fn check_lifetime(&self, now: Timestamp, tolerance: Lifetime) -> Result<(), Error> {
        // RFC 7519 section 4.1.4: the current time must be before exp.
        let expires_at = self.required_date("exp")?;
        if now >= expires_at.after(tolerance) {
            return Err(ErrorKind::TokenExpired.into());
        }
        self.check_begun(now, tolerance, Some(expires_at))
    }

    /// Checks `nbf` and `iat` where they are.
    fn check_begun(
        &self,
        now: Timestamp,
        tolerance: Lifetime,
        expires_at: Option<Timestamp>,
    ) -> Result<(), Error> {
        // RFC 7519 section 4.1.5 and 4.1.6.
        for (name, kind) in [
            ("nbf", ErrorKind::TokenNotActive),
            ("iat", ErrorKind::IssuedInFuture),
        ] {
            if let Some(date) = self.date(name)? {
                if expires_at.is_some_and(|expires_at| date > expires_at) {
                    return Err(Error::new(ErrorKind::ClaimInvalid, name));
                }
                if date > now.after(tolerance) {
                    return Err(kind.into());
                }
            }
        }
        Ok(())
    }

    /// Checks `exp`, `nbf` and `iat` where they are: for answers, in which all three are optional.
    ///
    /// # Errors
    ///
    /// As [`Claims::check_lifetime`], but for `claim_missing`.
    pub(crate) fn check_dates(&self, now: Timestamp, tolerance: Lifetime) -> Result<(), Error> {
        if self.members.get("exp").is_some() {
            return self.check_lifetime(now, tolerance);
        }
        self.check_begun(now, tolerance, None)
    }

    /// The audience, a string or an array of strings (RFC 7519 section 4.1.3).
    ///
    /// # Errors
    ///
    /// `claim_missing`, `claim_invalid`; an array with one member that is no string is no list.
    pub fn audience(&self) -> Result<Vec<&str>, Error> {
        let invalid = || Error::new(ErrorKind::ClaimInvalid, "aud");
        match self.members.get("aud") {
            None => Err(Error::new(ErrorKind::ClaimMissing, "aud")),
            Some(Value::String(text)) => Ok(vec![text]),
            Some(value) => value.as_strings().ok_or_else(invalid),
        }
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Claims([redacted])")
    }
}

/// Header and claims as they came, read strictly and not verified at all.
///
/// # Errors
///
/// `token_too_large`, `token_malformed`.
#[cfg(feature = "primitives")]
pub(crate) fn decode(token: &str, max_bytes: usize) -> Result<(Object, Object), Error> {
    let token = Compact::parse(token, max_bytes)?;
    let header = Header::members(&token)?;
    let payload = base64url::decode(token.payload)
        .ok_or_else(|| Error::new(ErrorKind::TokenMalformed, "payload"))?;
    Ok((header, Claims::read(payload, token.max_depth)?.members))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(text: &str) -> Claims {
        Claims::read(text.into(), json::MAX_DEPTH).unwrap()
    }

    #[cfg(feature = "guard")]
    #[test]
    fn claims_are_written_as_they_came_unless_javascript_would_read_another_number() {
        let write = |text: &str| {
            let mut out = String::new();
            claims(text).write(&mut out);
            out
        };
        let text = " { \"a\" : \"\\u0041\" ,\n\"exp\":1e3 } ";
        assert_eq!(write(text), text);
        assert_eq!(
            write(r#"{ "id" : 9007199254740993 }"#),
            r#"{"id":"9007199254740993"}"#
        );
    }

    #[test]
    fn absent_malformed_and_wrong_are_three_facts() {
        let claims = claims(r#"{"sub":"a","iss":1,"nonce":null,"empty":""}"#);
        assert_eq!(claims.string("sub").unwrap(), Some("a"));
        assert_eq!(claims.string("azp").unwrap(), None);
        assert_eq!(
            claims.string("iss").unwrap_err().kind(),
            ErrorKind::ClaimInvalid
        );
        assert_eq!(
            claims.string("nonce").unwrap_err().kind(),
            ErrorKind::ClaimInvalid
        );
        assert_eq!(
            claims.required_string("azp").unwrap_err().kind(),
            ErrorKind::ClaimMissing
        );
        assert_eq!(
            claims.required_string("empty").unwrap_err().kind(),
            ErrorKind::ClaimInvalid
        );
    }

    #[test]
    fn dates_may_have_fractions_and_nothing_else() {
        let date = |text: &str| claims(&format!(r#"{{"exp":{text}}}"#)).date("exp");
        assert_eq!(
            date("1795214860.606253").unwrap().unwrap().millis(),
            1_795_214_860_606
        );
        assert_eq!(date("0").unwrap().unwrap().millis(), 0);
        for text in [
            "\"1\"",
            "null",
            "true",
            "[]",
            "{}",
            "-1",
            "1e300",
            "253402300800",
            "9007199254740993",
        ] {
            assert_eq!(
                date(text).unwrap_err().kind(),
                ErrorKind::ClaimInvalid,
                "{text}"
            );
        }
    }

    #[test]
    fn a_token_lives_from_nbf_until_just_before_exp() {
        let now = Timestamp::from_seconds(1000).unwrap();
        let check = |text: &str, tolerance| {
            claims(text)
                .check_lifetime(now, Lifetime::from_seconds(tolerance))
                .err()
                .map(|error| error.kind())
        };
        assert_eq!(check(r#"{"exp":1001,"iat":1000,"nbf":1000}"#, 0), None);
        assert_eq!(check(r#"{"exp":1000}"#, 0), Some(ErrorKind::TokenExpired));
        assert_eq!(check(r#"{"exp":971}"#, 30), None);
        assert_eq!(check(r#"{"exp":970}"#, 30), Some(ErrorKind::TokenExpired));
        assert_eq!(check(r#"{"exp":0}"#, 30), Some(ErrorKind::TokenExpired));
        assert_eq!(check(r#"{"exp":2000,"nbf":1029}"#, 30), None);
        assert_eq!(
            check(r#"{"exp":2000,"nbf":1031}"#, 30),
            Some(ErrorKind::TokenNotActive)
        );
        assert_eq!(
            check(r#"{"exp":2000,"iat":1031}"#, 30),
            Some(ErrorKind::IssuedInFuture)
        );
        assert_eq!(
            check(r#"{"exp":2000,"iat":2001}"#, 30),
            Some(ErrorKind::ClaimInvalid)
        );
        assert_eq!(
            check(r#"{"exp":2000,"nbf":2001}"#, 30),
            Some(ErrorKind::ClaimInvalid)
        );
        assert_eq!(check("{}", 30), Some(ErrorKind::ClaimMissing));
    }

    #[test]
    fn an_audience_is_strings_only() {
        let audience = |text: &str| {
            claims(&format!(r#"{{"aud":{text}}}"#))
                .audience()
                .map(|list| list.join(" "))
        };
        assert_eq!(audience("\"a\"").unwrap(), "a");
        assert_eq!(audience("[\"a\",\"b\"]").unwrap(), "a b");
        assert_eq!(audience("[]").unwrap(), "");
        for text in [
            "1",
            "null",
            "{\"a\":1}",
            "[[\"a\"]]",
            "[\"a\",1]",
            "[\"a\",null]",
        ] {
            assert_eq!(
                audience(text).unwrap_err().kind(),
                ErrorKind::ClaimInvalid,
                "{text}"
            );
        }
    }
}
