//! How large the answers of an issuer may be.

use crate::http::Purpose;
use crate::jose::MAX_KEYS;

/// How much of what an issuer says is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AnswerLimits {
    /// Its metadata, in bytes.
    pub metadata: usize,
    /// Its keys, in bytes.
    pub key_set: usize,
    /// How many keys.
    pub keys: usize,
    /// What it answers about a token or a user, in bytes.
    pub answer: usize,
}

impl AnswerLimits {
    /// The largest answer that a program may have read. Isolates of 128 MB must hold several.
    #[cfg(feature = "guard")]
    pub const MOST_BYTES: usize = 4 * 1024 * 1024;
}

impl Default for AnswerLimits {
    fn default() -> Self {
        Self {
            metadata: Purpose::Discovery.max_body(),
            key_set: Purpose::Keys.max_body(),
            keys: MAX_KEYS,
            answer: Purpose::UserInfo.max_body(),
        }
    }
}
