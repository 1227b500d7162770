//! The protected header (RFC 7515 section 4).

use crate::base64url;
use crate::error::{Error, ErrorKind};
use crate::http::json::{self, Object, Value};
use crate::jose::{Algorithm, Algorithms, Compact};

/// What a token says of itself, before anything of it is believed.
#[derive(Clone, Debug)]
pub struct Header {
    algorithm: Algorithm,
    key_id: Option<String>,
    typ: Option<String>,
}

impl Header {
    /// Reads the header of a token and refuses algorithms that are not on the list.
    ///
    /// Members that point to keys (`jwk`, `jku`, `x5u`, `x5c`, `x5t`) are not looked at: keys come
    /// from the issuer alone. What it does not check: `typ`, see [`Header::is_type`].
    ///
    /// # Errors
    ///
    /// `token_malformed`, `alg_not_allowed`, `crit_unsupported`.
    pub fn read(token: &Compact<'_>, allowed: &Algorithms) -> Result<Self, Error> {
        Self::from_members(&Self::members(token)?, allowed)
    }

    /// The header's members as they are.
    pub(super) fn members(token: &Compact<'_>) -> Result<Object, Error> {
        let malformed = || Error::new(ErrorKind::TokenMalformed, "header");
        let bytes = base64url::decode(token.header).ok_or_else(malformed)?;
        json::read_object_within(&bytes, token.max_depth).map_err(|_| malformed())
    }

    /// What the members say, with the checks of [`Header::read`].
    pub(super) fn from_members(header: &Object, allowed: &Algorithms) -> Result<Self, Error> {
        let malformed = |at: &'static str| Error::new(ErrorKind::TokenMalformed, at);
        let alg = header
            .get("alg")
            .and_then(Value::as_str)
            .ok_or_else(|| malformed("alg"))?;
        let text = |name: &'static str| match header.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(malformed(name)),
        };
        let key_id = text("kid")?;
        let typ = text("typ")?;

        // RFC 7515 section 4.1.11: an extension that must be understood. None is; b64 (RFC 7797)
        // is forbidden in tokens by its own section 7.
        if header.get("crit").is_some() {
            return Err(ErrorKind::CritUnsupported.into());
        }
        check_payload_form(header)?;

        let algorithm = Algorithm::from_name(alg)
            .filter(|algorithm| allowed.contains(*algorithm))
            .ok_or(ErrorKind::AlgNotAllowed)?;
        Ok(Self {
            algorithm,
            key_id,
            typ,
        })
    }

    /// The algorithm, which is on the list.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key's name. It is compared, never used in a path, a query or a log.
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// Whether `typ` is this one; case and an `application/` before it do not matter
    /// (RFC 7515 section 4.1.9).
    pub fn is_type(&self, name: &str) -> bool {
        self.typ
            .as_deref()
            .is_some_and(|typ| typ == name || is_same_type(typ, name))
    }

    /// Whether there is a `typ` at all.
    pub fn has_type(&self) -> bool {
        self.typ.is_some()
    }
}

/// As RFC 7515 section 4.1.9 compares types.
#[inline(never)]
fn is_same_type(typ: &str, name: &str) -> bool {
    let short = match typ.split_at_checked("application/".len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("application/") => rest,
        _ => typ,
    };
    short.eq_ignore_ascii_case(name)
}

/// Refuses what would make the payload something else than a claims set.
fn check_payload_form(header: &Object) -> Result<(), Error> {
    // RFC 7797 section 6: b64 without crit. RFC 7519 section 5.2: cty names a nested token.
    // RFC 7516 section 4.1.3: zip belongs to encryption.
    for name in ["b64", "cty", "zip"] {
        if header.get(name).is_some() {
            return Err(Error::new(ErrorKind::TokenMalformed, name));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::MAX_TOKEN;

    fn read(header: &str) -> Result<Header, Error> {
        let token = format!("{}.e30.", base64url::encode(header.as_bytes()));
        Header::read(&Compact::parse(&token, MAX_TOKEN)?, &Algorithms::all())
    }

    fn kind(header: &str) -> Option<ErrorKind> {
        read(header).err().map(|error| error.kind())
    }

    #[test]
    fn a_plain_header_is_read() {
        let header = read(r#"{"alg":"RS256","kid":"k1","typ":"at+jwt","x-other":1}"#).unwrap();
        assert_eq!(header.algorithm(), Algorithm::Rs256);
        assert_eq!(header.key_id(), Some("k1"));
        for typ in [
            "at+jwt",
            "AT+JWT",
            "application/at+jwt",
            "Application/AT+jwt",
        ] {
            assert!(
                read(&format!(r#"{{"alg":"RS256","typ":"{typ}"}}"#))
                    .unwrap()
                    .is_type("at+jwt")
            );
        }
        assert!(
            !read(r#"{"alg":"RS256","typ":"JWT"}"#)
                .unwrap()
                .is_type("at+jwt")
        );
        assert!(!read(r#"{"alg":"RS256"}"#).unwrap().is_type("at+jwt"));
    }

    #[test]
    fn none_and_hmac_are_not_algorithms() {
        for alg in [
            "none",
            "None",
            "NONE",
            "nOnE",
            "HS256",
            "rs256",
            "ML-DSA-44",
            "",
        ] {
            assert_eq!(
                kind(&format!(r#"{{"alg":"{alg}"}}"#)),
                Some(ErrorKind::AlgNotAllowed),
                "{alg}"
            );
        }
        assert_eq!(kind(r#"{"typ":"JWT"}"#), Some(ErrorKind::TokenMalformed));
        assert_eq!(kind(r#"{"alg":1}"#), Some(ErrorKind::TokenMalformed));
    }

    #[test]
    fn members_of_the_wrong_type_are_not_absent() {
        for member in [
            r#""kid":1"#,
            r#""kid":null"#,
            r#""kid":["k"]"#,
            r#""typ":1"#,
            r#""typ":null"#,
        ] {
            assert_eq!(
                kind(&format!(r#"{{"alg":"RS256",{member}}}"#)),
                Some(ErrorKind::TokenMalformed),
                "{member}"
            );
        }
    }

    #[test]
    fn every_crit_is_refused() {
        for crit in [
            r#"["x"]"#,
            "[]",
            r#""exp""#,
            "{}",
            "1",
            "null",
            r#"["alg"]"#,
            r#"["b64"]"#,
            "[1]",
        ] {
            assert_eq!(
                kind(&format!(r#"{{"alg":"RS256","x":1,"crit":{crit}}}"#)),
                Some(ErrorKind::CritUnsupported),
                "{crit}"
            );
        }
    }

    #[test]
    fn other_payload_forms_are_refused() {
        for member in [
            r#""b64":false"#,
            r#""b64":true"#,
            r#""cty":"JWT""#,
            r#""zip":"DEF""#,
        ] {
            assert_eq!(
                kind(&format!(r#"{{"alg":"RS256",{member}}}"#)),
                Some(ErrorKind::TokenMalformed),
                "{member}"
            );
        }
    }

    #[test]
    fn a_header_is_one_json_object() {
        for header in [
            "null",
            "\"x\"",
            "1",
            "[]",
            "{}{}",
            "{\"alg\":\"RS256\",}",
            "{\"alg\":\"none\",\"alg\":\"RS256\"}",
        ] {
            assert_eq!(kind(header), Some(ErrorKind::TokenMalformed), "{header}");
        }
    }
}
