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
        match object {
            Some(object) => Self::read(object),
            None => Ok(Self::usual()),
        }
    }

    fn usual() -> Self {
        Self {
            token: TokenLimits::default(),
            answers: AnswerLimits {
                metadata: 1024 * 1024,
                ..AnswerLimits::default()
            },
        }
    }

    #[inline(never)]
    fn read(object: &Object) -> Result<Self, Error> {
        let options = Options::new(
            object,
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
        let limit = |name, range, place: &mut usize| {
            if let Some(count) = options.count(name, range)? {
                *place = usize::try_from(count).unwrap_or(usize::MAX);
            }
            Ok::<_, Error>(())
        };
        let Self {
            mut token,
            mut answers,
        } = Self::usual();
        limit("maxTokenBytes", KIB..=64 * KIB, &mut token.bytes)?;
        limit("maxHeaderBytes", 256..=16 * KIB, &mut token.header)?;
        limit("maxJsonDepth", 4..=128, &mut token.depth)?;
        limit("maxKeys", 1..=1000, &mut answers.keys)?;
        limit("maxKeySetBytes", KIB..=4 * MIB, &mut answers.key_set)?;
        limit("maxMetadataBytes", KIB..=4 * MIB, &mut answers.metadata)?;
        limit("maxAnswerBytes", KIB..=4 * MIB, &mut answers.answer)?;
        Ok(Self { token, answers })
    }
}
