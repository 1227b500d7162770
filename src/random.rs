//! Entropy, given by the caller.

use core::fmt;

use zeroize::Zeroize;

use crate::secret::Secret;

/// How many bytes one value takes: 256 bits, which base64url writes as 43 characters.
pub const VALUE_BYTES: usize = 32;

/// Fresh random bytes for one authorization request.
///
/// It is neither `Clone` nor `Copy` and is used up by the request, so the same bytes cannot
/// stand behind two of them. What it does not check: that the bytes are random.
pub struct Entropy {
    values: Secret<[[u8; VALUE_BYTES]; 3]>,
}

impl Entropy {
    /// How many bytes to draw from the operating system's or the browser's generator.
    pub const BYTES: usize = 3 * VALUE_BYTES;

    /// Takes bytes that a cryptographically secure generator made for this call.
    ///
    /// `None` when two of the three values are equal: that is a generator that does not work.
    pub fn new(mut bytes: [u8; Self::BYTES]) -> Option<Self> {
        let mut values = [[0_u8; VALUE_BYTES]; 3];
        for (value, chunk) in values.iter_mut().zip(bytes.chunks_exact(VALUE_BYTES)) {
            value.copy_from_slice(chunk);
        }
        bytes.zeroize();
        let [a, b, c] = &values;
        if a == b || b == c || a == c {
            return None;
        }
        Some(Self {
            values: Secret::new(values),
        })
    }

    /// The three values, each for one purpose.
    pub(crate) fn values(&self) -> &[[u8; VALUE_BYTES]; 3] {
        // EXPOSE: they become state, nonce and code_verifier.
        self.values.expose()
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        let mut bytes = [1; Entropy::BYTES];
        (bytes[0], bytes[40]) = (2, 3);
        let entropy = Entropy::new(bytes).unwrap();
        assert_eq!(format!("{entropy:?}"), "Entropy([redacted])");
    }

    #[test]
    fn a_generator_that_repeats_itself_is_refused() {
        assert!(Entropy::new([0; Entropy::BYTES]).is_none());
        assert!(Entropy::new([7; Entropy::BYTES]).is_none());
        let mut bytes = [0; Entropy::BYTES];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::try_from(index).unwrap();
        }
        assert!(Entropy::new(bytes).is_some());
    }
}
