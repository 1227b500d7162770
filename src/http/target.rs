//! Where a request goes, in one spelling: so that two who write it differently mean the same.

use crate::http::Url;

/// The longest URL that is compared. Servers refuse lines beyond 8 KiB.
const MAX_LENGTH: usize = 8 * 1024;

/// The target of a request, after the syntax-based and scheme-based normalisation of RFC 3986
/// sections 6.2.2 and 6.2.3 and without query and fragment (RFC 9449 section 4.3).
///
/// Never for issuers, redirect URIs or resources: those are compared letter by letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(String);

impl Target {
    /// Reads an absolute http(s) URL; `None` when it is anything else.
    pub fn read(url: &str) -> Option<Self> {
        let (origin, path) = split(url)?;
        Some(Self(origin_of(origin)? + &normal_path(path)))
    }

    /// As [`Target::read`], but at another origin: the one under which clients know a server that
    /// stands behind a proxy.
    pub fn read_at(origin: &str, url: &str) -> Option<Self> {
        let (_, path) = split(url)?;
        Some(Self(origin_of(origin)? + &normal_path(path)))
    }
}

/// An origin in lower case and without its default port; `None` when there is more than an origin.
pub(crate) fn origin_of(text: &str) -> Option<String> {
    // 6.2.2.1: scheme and host are compared without case.
    let url = Url::parse(&text.to_ascii_lowercase())?;
    let is_bare = url.without_query().len() == text.len() && matches!(url.path(), "" | "/");
    // 6.2.3: a default port is none.
    is_bare.then(|| url.origin())
}

/// The part up to the path, and the path without query and fragment.
fn split(url: &str) -> Option<(&str, &str)> {
    if url.len() > MAX_LENGTH || !url.bytes().all(|byte| (0x21..=0x7e).contains(&byte)) {
        return None;
    }
    // RFC 9449 section 4.3: query and fragment are ignored.
    let url = url.split(['?', '#']).next()?;
    let authority_at = url
        .find(':')?
        .checked_add(3)
        .filter(|at| url.get(..*at).is_some_and(|scheme| scheme.ends_with("://")))?;
    let path_at = url
        .get(authority_at..)?
        .find('/')
        .map_or(Some(url.len()), |length| authority_at.checked_add(length))?;
    url.split_at_checked(path_at)
}

/// A path whose escapes are written in one way and that has no dot segments; `/` when it is empty.
fn normal_path(path: &str) -> String {
    let decoded = normal_escapes(path);
    // 5.2.4: "." stays where it is, ".." goes one up; either at the end leaves a slash.
    let mut segments: Vec<&str> = Vec::new();
    let mut ends_open = true;
    for segment in decoded.split('/').skip(1) {
        ends_open = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let mut text = String::with_capacity(decoded.len().saturating_add(1));
    for segment in segments {
        text.push('/');
        text.push_str(segment);
    }
    if ends_open {
        text.push('/');
    }
    text
}

/// 6.2.2.2: what need not be escaped is not; 6.2.2.1: other escapes are in upper case. Characters
/// that no path has, which some parsers let through, are escaped.
fn normal_escapes(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        match (byte, after) {
            (b'%', [high, low, after @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    let byte = high << 4 | low;
                    push(byte, is_unreserved(byte), &mut text);
                    rest = after;
                }
                // No escape: it stays what it is, here and in the other URL.
                _ => text.push('%'),
            },
            _ => push(*byte, !is_foreign(*byte), &mut text),
        }
    }
    text
}

fn push(byte: u8, as_it_is: bool, text: &mut String) {
    if as_it_is {
        text.push(byte.into());
        return;
    }
    text.push('%');
    for half in [byte >> 4, byte & 15] {
        text.extend(char::from_digit(half.into(), 16).map(|digit| digit.to_ascii_uppercase()));
    }
}

fn digit(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

/// RFC 3986 section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Whether no URI has this character (RFC 3986 section 2).
fn is_foreign(byte: u8) -> bool {
    !(0x21..=0x7e).contains(&byte)
        || matches!(
            byte,
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn same(left: &str, right: &str) {
        let target = Target::read(left);
        assert!(target.is_some(), "{left}");
        assert_eq!(target, Target::read(right));
    }

    #[track_caller]
    fn different(left: &str, right: &str) {
        let (left, right) = (Target::read(left).unwrap(), Target::read(right).unwrap());
        assert_ne!(left, right);
    }

    #[test]
    fn dpp_14_spellings_of_one_target_are_the_same() {
        let base = "https://api.example/a/b~c";
        for other in [
            "HTTPS://api.example/a/b~c",
            "https://API.Example/a/b~c",
            "https://api.example:443/a/b~c",
            "https://api.example/a/b%7Ec",
            "https://api.example/a/b%7ec",
            "https://api.example/%61/b~c",
            "https://api.example/x/../a/./b~c",
            "https://api.example/x/%2E%2e/a/b~c",
            "https://api.example/../a/b~c",
        ] {
            same(base, other);
        }
        same("http://api.example:80", "http://api.example/");
        same("https://api.example/a%3db", "https://api.example/a%3Db");
        same("https://api.example/a|b", "https://api.example/a%7Cb");
        same("https://api.example/a/.", "https://api.example/a/");
        same("https://api.example/a/b/..", "https://api.example/a/");
        same("https://[::AB]/", "https://[::ab]/");
        same("https://api.example/a%zz", "https://api.example/a%zz");
    }

    #[test]
    fn dpp_13_query_and_fragment_do_not_count() {
        same("https://api.example/a?x=1", "https://api.example/a#f");
        same("https://api.example?x=/b", "https://api.example/#/c");
    }

    #[test]
    fn dpp_12_other_targets_are_different() {
        let base = "https://api.example/a";
        for other in [
            "http://api.example/a",
            "https://api.example:444/a",
            "https://api.example.evil/a",
            "https://api.example/b",
            "https://api.example/A",
            "https://api.example/a/",
            "https://api.example//a",
            "https://api.example/",
        ] {
            different(base, other);
        }
        // A separator that is escaped is none.
        different("https://api.example/a%2Fb", "https://api.example/a/b");
        different("https://api.example/a%25zz", "https://api.example/a%zz");
    }

    #[test]
    fn what_is_no_absolute_url_is_no_target() {
        for text in [
            "",
            "/a",
            "//api.example/a",
            "api.example/a",
            "https:/api.example",
            "https://",
            "https://u@api.example/",
            "ftp://api.example/",
            "https://api.example/a b",
            "https://api.example/\u{e9}",
            "https://api.example:x/",
            "https://api.example\\@evil/",
            "javascript://a/",
        ] {
            assert_eq!(Target::read(text), None, "{text}");
        }
        let long = "a".repeat(MAX_LENGTH);
        assert_eq!(
            Target::read(&("https://api.example/".to_owned() + &long)),
            None
        );
    }

    #[test]
    fn dpp_15_a_public_origin_replaces_the_one_that_a_server_sees() {
        let seen = "http://10.0.0.7:8080/a/b?x";
        assert_eq!(
            Target::read_at("https://api.example", seen),
            Target::read("https://api.example/a/b")
        );
        assert_eq!(
            origin_of("https://API.example:443/").unwrap(),
            "https://api.example"
        );
        for text in [
            "",
            "api.example",
            "https://api.example/v1",
            "https://a.example/?",
            "https://a.example#",
        ] {
            assert_eq!(origin_of(text), None, "{text}");
        }
    }
}
