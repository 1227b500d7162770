//! Absolute http(s) URLs that are kept letter by letter.
//!
//! The `url` crate would cost 75 kB compressed (Unicode tables), and normalising is what must not
//! happen to an issuer: strings are compared as they were given. So this reader accepts the ASCII
//! subset that every other reader understands alike, and refuses the rest.

use core::fmt;

use crate::http::form::Form;

/// The longest URL that is accepted; common servers stop at 8 KiB.
const MAX_LENGTH: usize = 8192;

/// Which transports a URL may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// https only.
    Secure,
    /// https, and http to this machine itself: for development and tests.
    SecureOrLoopback,
}

/// An absolute http or https URL without userinfo; equality is that of the text.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    text: String,
    secure: bool,
    host: String,
    port: Option<u16>,
    /// Where the path begins, which is the end of the authority.
    path_at: usize,
}

impl Url {
    /// Reads an absolute http(s) URL; `None` when it is anything else.
    ///
    /// Refused are userinfo, empty hosts and ports, control characters, spaces, backslashes and
    /// everything beyond ASCII (write hosts in punycode, paths percent-encoded).
    /// What it does not check: whether http is acceptable, see [`Url::is_allowed`]; whether everybody
    /// asks where it says, see [`Url::is_unambiguous`].
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |byte: u8| {
            (0x21..=0x7e).contains(&byte)
                && !matches!(
                    byte,
                    b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}'
                )
        };
        if text.len() > MAX_LENGTH || !text.bytes().all(allowed) {
            return None;
        }
        // No search for "://" anywhere: the library's search for texts is 3 kB.
        let (secure, rest) = match text.strip_prefix("https://") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("http://")?),
        };
        let authority_length = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let authority = rest.get(..authority_length)?;
        let path_at = text
            .len()
            .checked_sub(rest.len())?
            .checked_add(authority_length)?;
        // The first bracket pair is an IPv6 address, whose colons are no port.
        let (host, port) = match authority.strip_prefix('[') {
            Some(inner) => {
                let (address, after) = inner.split_once(']')?;
                let valid = !address.is_empty()
                    && address
                        .bytes()
                        .all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'));
                if !valid {
                    return None;
                }
                let port = match after {
                    "" => None,
                    after => Some(after.strip_prefix(':')?),
                };
                (format!("[{address}]"), port)
            }
            None => {
                let (host, port) = match authority.split_once(':') {
                    Some((host, port)) => (host, Some(port)),
                    None => (authority, None),
                };
                let valid = !host.is_empty()
                    && host.bytes().all(|byte| {
                        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
                    });
                if !valid {
                    return None;
                }
                (host.to_ascii_lowercase(), port)
            }
        };
        let port = match port {
            None => None,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse::<u16>().ok().filter(|port| *port > 0)?)
            }
            Some(_) => return None,
        };
        Some(Self {
            text: text.into(),
            secure,
            host,
            port,
            path_at,
        })
    }

    /// The URL as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether readers that normalise URLs ask where it says. They read a number for a host as an
    /// IPv4 address (`2130706433`, `0x7f.1`), and leave segments `.` and `..` out.
    pub fn is_unambiguous(&self) -> bool {
        is_name_or_address(&self.host) && !self.path().split('/').any(is_dots)
    }

    /// Whether the transport may be used: https always, http to loopback where that is allowed.
    pub fn is_allowed(&self, transport: Transport) -> bool {
        self.secure || (transport == Transport::SecureOrLoopback && self.is_loopback())
    }

    /// Whether the host is this machine itself, by name or address.
    pub fn is_loopback(&self) -> bool {
        matches!(self.host.as_str(), "127.0.0.1" | "[::1]" | "localhost")
    }

    /// The host, in lower case.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether the scheme is https.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Scheme, host and port as RFC 6454 compares them: lower case, no default port.
    pub fn origin(&self) -> String {
        let (scheme, default_port) = if self.secure {
            ("https", 443)
        } else {
            ("http", 80)
        };
        match self.port {
            Some(port) if port != default_port => format!("{scheme}://{}:{port}", self.host),
            _ => format!("{scheme}://{}", self.host),
        }
    }

    /// The path, empty when there is none.
    pub fn path(&self) -> &str {
        let rest = self.after_authority();
        rest.split(['?', '#']).next().unwrap_or(rest)
    }

    /// The query without its question mark.
    pub fn query(&self) -> Option<&str> {
        let rest = self.after_authority();
        let rest = rest.split('#').next().unwrap_or(rest);
        rest.split_once('?').map(|(_, query)| query)
    }

    /// Whether there is a fragment, even an empty one.
    pub fn has_fragment(&self) -> bool {
        self.text.contains('#')
    }

    /// The URL up to its query: what may be shown and logged.
    pub fn without_query(&self) -> &str {
        self.text.split(['?', '#']).next().unwrap_or(&self.text)
    }

    /// This URL with more query parameters; a query that is there stays (RFC 6749 section 3.1).
    pub fn with_query(&self, form: &Form) -> String {
        let (base, fragment) = match self.text.split_once('#') {
            Some((base, fragment)) => (base, Some(fragment)),
            None => (self.text.as_str(), None),
        };
        let joint = match base.split_once('?') {
            None => "?",
            Some((_, "")) => "",
            Some((_, query)) if query.ends_with('&') => "",
            Some(_) => "&",
        };
        let mut text = format!("{base}{joint}{}", form.encoded());
        if let Some(fragment) = fragment {
            text.push('#');
            text.push_str(fragment);
        }
        text
    }

    /// Path, query and fragment, as they stand.
    pub fn after_origin(&self) -> &str {
        self.after_authority()
    }

    fn after_authority(&self) -> &str {
        self.text.get(self.path_at..).unwrap_or_default()
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({})", self.without_query())
    }
}

/// Whether a host that ends with a number is four decimal numbers up to 255 (URL standard, IPv4
/// parser).
fn is_name_or_address(host: &str) -> bool {
    let is_number = |label: &str| match label.strip_prefix("0x") {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_digit()),
    };
    let is_octet = |label: &str| {
        let is_canonical = label == "0" || !label.starts_with('0');
        is_canonical
            && is_number(label)
            && (label.len() < 3 || (label.len() == 3 && label <= "255"))
    };
    // A dot at the end belongs to no label.
    let labels = host.strip_suffix('.').unwrap_or(host);
    let (mut count, mut last, mut are_octets) = (0_usize, "", true);
    for label in labels.split('.') {
        (count, last) = (count.saturating_add(1), label);
        are_octets &= is_octet(label);
    }
    !is_number(last) || (count == 4 && are_octets && !host.ends_with('.'))
}

/// Whether others leave this segment of a path out (URL standard, single-dot and double-dot path
/// segment).
fn is_dots(segment: &str) -> bool {
    let mut rest = segment;
    let mut dots = 0_u8;
    while let Some(after) = rest
        .strip_prefix('.')
        .or_else(|| rest.strip_prefix("%2e"))
        .or_else(|| rest.strip_prefix("%2E"))
    {
        rest = after;
        dots = dots.saturating_add(1);
    }
    rest.is_empty() && (1..=2).contains(&dots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found() {
        let url = Url::parse("https://AS.example:8443/a/b?x=1&y=2#f").unwrap();
        assert_eq!(url.origin(), "https://as.example:8443");
        assert_eq!(url.path(), "/a/b");
        assert_eq!(url.query(), Some("x=1&y=2"));
        assert!(url.has_fragment());
        assert_eq!(url.without_query(), "https://AS.example:8443/a/b");
        let bare = Url::parse("https://as.example").unwrap();
        assert_eq!((bare.path(), bare.query()), ("", None));
        assert_eq!(
            Url::parse("https://as.example:443/").unwrap().origin(),
            "https://as.example"
        );
        assert_eq!(
            Url::parse("http://[::1]:8080/").unwrap().origin(),
            "http://[::1]:8080"
        );
        assert_eq!(
            Url::parse("https://as.example?x").unwrap().query(),
            Some("x")
        );
    }

    #[test]
    fn cch_16_what_readers_disagree_about_is_refused() {
        for text in [
            "",
            "as.example",
            "//as.example",
            "https://",
            "https:///x",
            "https:as.example",
            "https://u@as.example",
            "https://u:p@as.example",
            "https://as.example:",
            "https://as.example:0",
            "https://as.example:65536",
            "https://as.example:8a",
            "https://as.example\\@evil",
            "https://as.example/ x",
            "https://as.example/\n",
            "https://\u{e9}.example",
            "javascript://as.example",
            "file:///etc",
            "HTTPS://as.example",
            "https://[::1",
            "https://[]",
            "https://[::1]x",
            "https://as%2eexample",
            "https://as.example/\u{e9}",
        ] {
            assert!(Url::parse(text).is_none(), "{text}");
        }
        for text in [
            "https://2130706433",
            "https://0x7f.1",
            "https://0X7F.0.0.1",
            "https://127.1",
            "https://127.0.0.01",
            "https://127.0.0.256",
            "https://127.0.0.1.",
            "https://as.1",
            "https://as.0x",
            "https://as.example/a/../b",
            "https://as.example/.",
            "https://as.example/%2e%2E/b",
            "https://as.example/.%2e",
        ] {
            assert!(!Url::parse(text).unwrap().is_unambiguous(), "{text}");
        }
        for text in [
            "https://127.0.0.1",
            "https://0.255.10.1/",
            "https://1.example",
            "https://as.example.",
            "https://0xyz.example",
            "https://as.example/.well-known/x..y/...",
            "https://as.example/%2e.a?x=/../#/../",
        ] {
            assert!(Url::parse(text).unwrap().is_unambiguous(), "{text}");
        }
    }

    #[test]
    fn http_is_for_loopback_alone_and_only_on_demand() {
        let allowed =
            |text: &str, transport| Url::parse(text).is_some_and(|url| url.is_allowed(transport));
        assert!(allowed("https://as.example", Transport::Secure));
        assert!(!allowed("http://127.0.0.1:8000", Transport::Secure));
        for host in ["127.0.0.1:8000", "localhost", "[::1]:1"] {
            assert!(allowed(
                &format!("http://{host}/"),
                Transport::SecureOrLoopback
            ));
        }
        for host in [
            "as.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "2130706433",
            "127.1",
        ] {
            assert!(
                !allowed(&format!("http://{host}/"), Transport::SecureOrLoopback),
                "{host}"
            );
        }
    }

    #[test]
    fn a_query_that_is_there_stays() {
        let mut form = Form::new();
        form.push("a", "b c");
        let add = |text: &str| Url::parse(text).unwrap().with_query(&form);
        assert_eq!(
            add("https://as.example/authorize"),
            "https://as.example/authorize?a=b+c"
        );
        assert_eq!(
            add("https://as.example/authorize?t=1"),
            "https://as.example/authorize?t=1&a=b+c"
        );
        assert_eq!(
            add("https://as.example/authorize?"),
            "https://as.example/authorize?a=b+c"
        );
    }
}
