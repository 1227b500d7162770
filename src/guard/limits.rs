//! How large what comes in may be.

use crate::error::Error;
use crate::http::json::Object;
use crate::issuer::AnswerLimits;
use crate::jose::TokenLimits;
use crate::options::Options;

/// How large tokens may be, and the answers of their issuers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GuardLimits {
    /// Tokens.
    pub token: TokenLimits,
    /// Metadata, keys and what is said about tokens.
    pub answers: AnswerLimits,
}

const KIB: u32 = 1024;
const MIB: u32 = 1024 * 1024;

impl GuardLimits {
    /// Reads the option `limits`.
    ///
    /// # Errors
    ///
    /// `config_invalid` at the member that is out of its range.
    pub(super) fn from_option(object: Option<&Object>) -> Result<Self, Error> {
        let none = Object::new();
        let options = Options::new(
            object.unwrap_or(&none),
            &[
                "maxAnswerBytes",
                "maxHeaderBytes",
                "maxJsonDepth",
                "maxKeySetBytes",
                "maxKeys",
                "maxMetadataBytes",
                "maxTokenBytes",
            ],
        )?;
        let limit = |name, range, default| {
            let count = options.count(name, range, default)?;
            Ok::<_, Error>(usize::try_from(count).unwrap_or(usize::MAX))
        };
        let token = TokenLimits {
            bytes: limit("maxTokenBytes", KIB..=64 * KIB, 16 * KIB)?,
            header: limit("maxHeaderBytes", 256..=16 * KIB, 4 * KIB)?,
            depth: limit("maxJsonDepth", 4..=128, 64)?,
        };
        let answers = AnswerLimits {
            keys: limit("maxKeys", 1..=1000, 100)?,
            key_set: limit("maxKeySetBytes", KIB..=4 * MIB, 512 * KIB)?,
            metadata: limit("maxMetadataBytes", KIB..=4 * MIB, MIB)?,
            answer: limit("maxAnswerBytes", KIB..=4 * MIB, MIB)?,
        };
        Ok(Self { token, answers })
    }
}
