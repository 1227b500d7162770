//! Values that must not be seen: tokens, codes, verifiers, client secrets.

use core::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroize;

/// A value that shows nothing of itself when printed and is wiped when dropped.
///
/// There is no `Display` and no `PartialEq`: compare with [`Secret::ct_eq`], read with
/// [`Secret::expose`] and say beside it why (`// EXPOSE: why`).
#[derive(Clone)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Takes a value into custody.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. Each call carries an `// EXPOSE:` comment that says why.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl Secret<String> {
    /// Compares without telling by its duration where the first difference stands.
    ///
    /// The lengths are not hidden.
    pub fn ct_eq(&self, other: &str) -> bool {
        self.0.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

#[cfg(feature = "guard")]
impl Secret<String> {
    /// The same as bytes, in the same place.
    pub(crate) fn into_bytes(mut self) -> Secret<Vec<u8>> {
        Secret(core::mem::take(&mut self.0).into_bytes())
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([redacted])")
    }
}

impl<T: Zeroize> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

/// Compares two public strings, such as a state or a hash, in constant time.
///
/// Used wherever an attacker may try values one by one.
#[cfg(any(feature = "flows", feature = "guard"))]
pub(crate) fn ct_eq(left: &str, right: &str) -> bool {
    left.as_bytes().ct_eq(right.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        let secret = Secret::new(String::from("eyJ-token"));
        assert_eq!(format!("{secret:?}"), "Secret([redacted])");
        assert_eq!(format!("{:?}", Some(&secret)), "Some(Secret([redacted]))");
    }

    #[test]
    fn equality_is_by_value() {
        let secret = Secret::new(String::from("abc"));
        assert!(secret.ct_eq("abc"));
        assert!(!secret.ct_eq("abd"));
        assert!(!secret.ct_eq("abcd"));
        assert!(!secret.ct_eq(""));
    }
}
