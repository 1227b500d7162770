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

    /// The value of the header.
    pub fn as_str(&self) -> &str {
        &self.text
    }
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
}
