//! What a request needs beyond a valid token.

use crate::error::{Error, ErrorKind, Phase};
use crate::guard::Principal;
use crate::http::json::Object;
use crate::options::{Options, invalid};

/// What a request needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Need {
    scopes: Vec<String>,
}

impl Need {
    /// Nothing beyond a valid token.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// All of these scopes; `None` when one has characters that no scope has (RFC 6749 section 3.3).
    pub fn of_scopes<'a>(scopes: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let is_scope = |scope: &str| {
            !scope.is_empty()
                && scope
                    .bytes()
                    .all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
        };
        let scopes: Vec<String> = scopes.into_iter().map(String::from).collect();
        scopes
            .iter()
            .all(|scope| is_scope(scope))
            .then_some(Self { scopes })
    }

    /// Reads `scopes`.
    ///
    /// # Errors
    ///
    /// `config_invalid`.
    pub fn from_options(object: &Object) -> Result<Self, Error> {
        let read = || {
            let options = Options::new(object, &["scopes"])?;
            let scopes = options.strings("scopes")?.unwrap_or_default();
            Self::of_scopes(scopes).ok_or_else(|| invalid("scopes"))
        };
        read().map_err(|error: Error| error.during(Phase::Config))
    }

    /// Both needs together.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let mut scopes = self.scopes.clone();
        scopes.extend(
            other
                .scopes
                .iter()
                .filter(|scope| !self.scopes.contains(scope))
                .cloned(),
        );
        Self { scopes }
    }

    /// The scopes, separated by spaces, as a challenge names them.
    pub fn scope(&self) -> String {
        self.scopes.join(" ")
    }

    /// Whether this principal has what is needed.
    ///
    /// # Errors
    ///
    /// `scope_insufficient`.
    pub(super) fn check(&self, principal: &mut Principal) -> Result<(), Error> {
        if self.scopes.is_empty() {
            return Ok(());
        }
        if self
            .scopes
            .iter()
            .all(|scope| principal.scopes().contains(scope))
        {
            principal.note("scope");
            Ok(())
        } else {
            Err(ErrorKind::ScopeInsufficient.into())
        }
    }
}
