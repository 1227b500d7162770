//! What a page that came in place of an answer says, for people who look for the cause.

use crate::error::clean;

/// How much of a body is looked at: proxies say what they have to say in the beginning.
const MOST_BYTES: usize = 8 * 1024;
/// The longest word that is no token.
const LONGEST_WORD: usize = 24;
/// The longest number that is a status or a port and no code.
const LONGEST_NUMBER: usize = 5;

/// The text of a page, at most 512 characters of it, without markup and without anything that could
/// be a token, a code or a secret.
///
/// Nothing of JSON is shown: its values may be secrets, and what is wrong with it is named by its
/// member. What `hide` takes out is not shown. Words that stand in quotes or behind an equals sign, that are long, or that have
/// other characters than letters are replaced by dots.
pub(super) fn snippet(body: &[u8], hide: impl Fn(&str) -> String) -> Option<String> {
    let head = body.get(..MOST_BYTES).unwrap_or(body);
    let text = match core::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) => core::str::from_utf8(head.get(..error.valid_up_to())?).ok()?,
    };
    let text = text.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '\u{FEFF}');
    if text.starts_with(['{', '[', '"']) {
        return None;
    }
    let text = hide(text);
    let mut shown = String::new();
    let mut word = String::new();
    let mut is_hidden = false;
    let mut in_tag = false;
    for c in text.chars().chain([' ']) {
        match c {
            '<' => in_tag = true,
            '>' if in_tag => in_tag = false,
            _ if in_tag => continue,
            c if is_letter(c) || c.is_ascii_digit() || "-._~+/%@".contains(c) => {
                word.push(c);
                continue;
            }
            _ => {}
        }
        // Something else than a word ends the one before.
        if !word.is_empty() {
            let is_shown = !is_hidden && is_harmless(&word);
            shown.push_str(if is_shown { &word } else { "..." });
            word.clear();
        }
        is_hidden = matches!(c, '"' | '\'' | '=' | '`');
        if c.is_ascii_whitespace() || c == '>' || c == '<' {
            if !shown.is_empty() && !shown.ends_with(' ') {
                shown.push(' ');
            }
        } else {
            shown.push(c);
        }
    }
    let shown = clean(shown.trim_ascii_end());
    (!shown.is_empty()).then_some(shown)
}

/// What is not ASCII counts as one: the tables that tell exactly are larger than the rest of this.
fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic() || !c.is_ascii()
}

/// Tokens are long, or mix letters with other characters; a JWT begins with eyJ.
fn is_harmless(word: &str) -> bool {
    let word = word.trim_end_matches('.');
    let all = |is: fn(char) -> bool| word.chars().all(is);
    let is_word = all(is_letter) && word.len() <= LONGEST_WORD;
    let is_number = all(|c| c.is_ascii_digit()) && word.len() <= LONGEST_NUMBER;
    (is_word && !word.starts_with("eyJ")) || is_number
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> String {
        snippet(text.as_bytes(), str::to_owned).unwrap_or_default()
    }

    #[test]
    fn a_page_is_shown_as_its_text() {
        assert_eq!(
            of(
                "<!doctype html><title>502 Bad Gateway</title>\n<p>The upstream, sadly, is down.</p>"
            ),
            "502 Bad Gateway The upstream, sadly, is down."
        );
        assert_eq!(of("  Not found\r\n"), "Not found");
        assert_eq!(of(""), "");
        assert_eq!(of("<html"), "");
    }

    #[test]
    fn nothing_of_json_is_shown() {
        for text in [r#"{"access_token":"abc"}"#, " [1]", r#""abc""#, "\u{feff}{"] {
            assert_eq!(snippet(text.as_bytes(), str::to_owned), None, "{text}");
        }
    }

    #[test]
    fn what_could_be_a_secret_is_not_shown() {
        for secret in [
            "eyJhbGciOiJub25lIn0.e30.",
            "eyJ",
            "SplxlOBeZQQYbYS6WxSbIA",
            "access-S3CRET-1",
            "abcdefghijklmnopqrstuvwxyz",
            "a1",
            "secret-of-the-page",
            "123456",
        ] {
            for text in [
                format!("got {secret} there"),
                format!("<p title='{secret}'>got {secret}</p>"),
                format!("code={secret}&x"),
                format!("<a href=\"/cb?code={secret}\">x</a>"),
            ] {
                assert!(!of(&text).contains(secret), "{text}");
            }
        }
        // Short words too, where a value stands.
        assert_eq!(
            of("token=abc and 'def' and \"ghi\""),
            "token=... and '...' and \"...\""
        );
    }

    #[test]
    fn a_long_page_is_cut_and_broken_bytes_end_it() {
        assert_eq!(of(&"word ".repeat(5000)).chars().count(), 512);
        assert_eq!(snippet(b"fine \xff rest", str::to_owned).unwrap(), "fine");
        assert_eq!(snippet(b"\xff", str::to_owned), None);
    }
}
