//! `WWW-Authenticate` challenges (RFC 9110 section 11.6.1, RFC 6750 section 3).

/// A challenge that is written: a scheme and its parameters, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    text: String,
    bare: bool,
}

impl Challenge {
    /// A challenge without parameters.
    pub fn new(scheme: &'static str) -> Self {
        Self {
            text: scheme.into(),
            bare: true,
        }
    }

    /// Adds a parameter.
    ///
    /// Characters that could end the quoted string or the header are left out: RFC 6750 section 3
    /// allows printable ASCII without `"` and `\`.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.text.push_str(if self.bare { " " } else { ", " });
        self.bare = false;
        self.text.push_str(name);
        self.text.push_str("=\"");
        self.text.extend(
            value
                .chars()
                .filter(|c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\')),
        );
        self.text.push('"');
        self
    }

    /// Another challenge behind this one: the client chooses (RFC 9110 section 11.6.1).
    #[cfg(feature = "guard")]
    #[must_use]
    pub fn or(mut self, other: &Self) -> Self {
        self.text.push_str(", ");
        self.text.push_str(&other.text);
        self
    }

    /// The value of the header.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// A challenge that was read: a scheme and its parameters.
#[cfg(feature = "flows")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    scheme: String,
    parameters: Vec<(String, String)>,
}

/// The longest header that is read; servers send at most some hundred bytes.
#[cfg(feature = "flows")]
const MAX_LENGTH: usize = 16 * 1024;

#[cfg(feature = "flows")]
impl Demand {
    /// Reads the challenges of a `WWW-Authenticate` header, several of which may stand in one
    /// value (RFC 9110 section 11.6.1); `None` when it does not follow the grammar, is too long
    /// or names a parameter twice.
    ///
    /// What stands in a token68 form is passed over: no scheme of OAuth uses it.
    pub fn read(header: &str) -> Option<Vec<Self>> {
        if header.len() > MAX_LENGTH {
            return None;
        }
        let mut demands: Vec<Self> = Vec::new();
        let mut rest = skip(header, &[' ', '\t', ',']);
        while !rest.is_empty() {
            let (name, after) = token(rest)?;
            let spaced = skip(after, &[' ', '\t']);
            rest = if let Some(value) = spaced.strip_prefix('=').filter(|_| !demands.is_empty()) {
                // A parameter of the challenge that is open.
                let (value, after) = parameter_value(skip(value, &[' ', '\t']))?;
                let parameters = &mut demands.last_mut()?.parameters;
                let name = name.to_ascii_lowercase();
                if parameters.iter().any(|(known, _)| *known == name) {
                    return None;
                }
                parameters.push((name, value));
                separated(after)?
            } else {
                // A scheme; what follows it after a space may be a token68.
                demands.push(Self {
                    scheme: name.to_ascii_lowercase(),
                    parameters: Vec::new(),
                });
                match token68(spaced).filter(|_| spaced.len() < after.len()) {
                    Some(after) => separated(after)?,
                    None => skip(spaced, &[',', ' ', '\t']),
                }
            };
        }
        Some(demands)
    }

    /// Whether it is a challenge of this scheme; case does not matter.
    pub fn is(&self, scheme: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(scheme)
    }

    /// A parameter, by its lower-case name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find_map(|(known, value)| (known == name).then_some(value.as_str()))
    }
}

#[cfg(feature = "flows")]
fn skip<'a>(text: &'a str, characters: &[char]) -> &'a str {
    text.trim_start_matches(characters)
}

/// After a parameter or a token68: the end, or a comma.
#[cfg(feature = "flows")]
fn separated(text: &str) -> Option<&str> {
    let text = skip(text, &[' ', '\t']);
    (text.is_empty() || text.starts_with(',')).then(|| skip(text, &[',', ' ', '\t']))
}

/// RFC 9110 section 5.6.2.
#[cfg(feature = "flows")]
fn token(text: &str) -> Option<(&str, &str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    text.split_at_checked(end)
        .filter(|(token, _)| !token.is_empty())
}

/// What follows a token68, if there is one and it cannot be a parameter.
#[cfg(feature = "flows")]
fn token68(text: &str) -> Option<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-._~+/".contains(c);
    let body = text.find(|c| !is_part(c)).unwrap_or(text.len());
    let (body, after) = text
        .split_at_checked(body)
        .filter(|(body, _)| !body.is_empty())?;
    let after = after.trim_start_matches('=');
    let ends = after.is_empty() || after.trim_start_matches([' ', '\t']).starts_with(',');
    // "realm=" with nothing behind it is a broken parameter, "abc==" and "abc" are token68.
    (ends && !body.is_empty()).then_some(after)
}

/// A token or a quoted string (RFC 9110 section 5.6.4).
#[cfg(feature = "flows")]
fn parameter_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        return token(text).map(|(value, rest)| (value.into(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((value, quoted.get(at.checked_add(1)?..)?)),
            '\\' => value.push(characters.next()?.1),
            c if c.is_control() && c != '\t' => return None,
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_written_with_quotes_and_commas() {
        assert_eq!(Challenge::new("Bearer").as_str(), "Bearer");
        let challenge = Challenge::new("Bearer")
            .with("error", "invalid_token")
            .with("scope", "a b");
        assert_eq!(
            challenge.as_str(),
            "Bearer error=\"invalid_token\", scope=\"a b\""
        );
    }

    #[test]
    fn a_value_cannot_break_out() {
        let challenge = Challenge::new("Bearer").with("scope", "a\"\r\nSet-Cookie: x=\\1\u{e9}");
        assert_eq!(challenge.as_str(), "Bearer scope=\"aSet-Cookie: x=1\"");
    }

    #[cfg(feature = "flows")]
    fn read(header: &str) -> Option<Vec<(String, String)>> {
        let flat = |demand: Demand| {
            let parameters: Vec<_> = demand
                .parameters
                .iter()
                .map(|(k, v)| format!("{k}={v}"))
                .collect();
            (demand.scheme, parameters.join("&"))
        };
        Demand::read(header).map(|list| list.into_iter().map(flat).collect())
    }

    #[cfg(feature = "flows")]
    #[test]
    fn challenges_are_read_one_or_several() {
        let pair =
            |scheme: &str, parameters: &str| (String::from(scheme), String::from(parameters));
        for (header, expected) in [
            ("Bearer", vec![pair("bearer", "")]),
            ("", vec![]),
            (" , ,", vec![]),
            (
                "Bearer error=\"invalid_token\"",
                vec![pair("bearer", "error=invalid_token")],
            ),
            (
                "bearer ERROR = invalid_token , scope=\"a b\"",
                vec![pair("bearer", "error=invalid_token&scope=a b")],
            ),
            (
                "Basic realm=\"x, y\", Bearer error=\"invalid_token\"",
                vec![
                    pair("basic", "realm=x, y"),
                    pair("bearer", "error=invalid_token"),
                ],
            ),
            (
                "Negotiate, Bearer",
                vec![pair("negotiate", ""), pair("bearer", "")],
            ),
            (
                "Negotiate YWJj==, Bearer realm=r",
                vec![pair("negotiate", ""), pair("bearer", "realm=r")],
            ),
            (
                "Bearer realm=\"a\\\"b\\\\c\"",
                vec![pair("bearer", "realm=a\"b\\c")],
            ),
            (
                "DPoP algs=\"ES256\", error=\"use_dpop_nonce\"",
                vec![pair("dpop", "algs=ES256&error=use_dpop_nonce")],
            ),
        ] {
            assert_eq!(read(header), Some(expected), "{header}");
        }
    }

    #[cfg(feature = "flows")]
    #[test]
    fn cch_14_what_does_not_follow_the_grammar_is_no_challenge() {
        for header in [
            "Bearer error=\"invalid",
            "Bearer error=\"a\\",
            "=x",
            "\"Bearer\"",
            "Bearer error=a error=b",
            "Bearer error=\"a\"b",
            "Bearer realm=\"a\", realm=\"b\"",
            "Bearer Realm=a, realm=a",
            "Bearer error=\"a\nb\"",
            "(Bearer)",
        ] {
            assert_eq!(read(header), None, "{header}");
        }
        assert_eq!(read(&"a".repeat(MAX_LENGTH + 1)), None);
        // As many parameters as fit are read, in one pass each.
        let many: Vec<String> = (0..1000).map(|index| format!("p{index}=1")).collect();
        assert!(read(&format!("Bearer {}", many.join(","))).is_some());
    }
}
