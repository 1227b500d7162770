//! What a request needs beyond a valid token.

use crate::error::{Error, ErrorKind, Phase};
use crate::guard::{Principal, PrincipalKind};
use crate::http::json::Object;
use crate::options::{Options, invalid};
use crate::time::{Lifetime, Timestamp};

/// The longest `maxAge`: a sign-in of a year ago is as good as none.
const MOST_MAX_AGE: u32 = 366 * 24 * 3600;

/// One thing that a request needs.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    Scopes(Vec<String>),
    AnyScope(Vec<String>),
    Roles(Vec<String>),
    AnyRole(Vec<String>),
    Permissions(Vec<String>),
    AnyPermission(Vec<String>),
    /// A user who had a part in it.
    User,
    /// One of these authentication contexts (RFC 9470 section 3).
    Acr(Vec<String>),
    /// A sign-in at most this many seconds ago.
    MaxAge(u32),
}

/// An option that is a list: its name, the rule that it makes, and what may stand in it.
type ListOption = (&'static str, fn(Vec<String>) -> Rule, fn(&str) -> bool);

const LISTS: [ListOption; 7] = [
    ("scopes", Rule::Scopes, is_scope),
    ("anyScopes", Rule::AnyScope, is_scope),
    ("roles", Rule::Roles, |_| true),
    ("anyRoles", Rule::AnyRole, |_| true),
    ("permissions", Rule::Permissions, |_| true),
    ("anyPermissions", Rule::AnyPermission, |_| true),
    // acr_values is a list separated by spaces.
    ("acr", Rule::Acr, is_scope),
];

/// What a request needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Need {
    rules: Vec<Rule>,
}

impl Need {
    /// Nothing beyond a valid token.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// All of these scopes; `None` when one has characters that no scope has (RFC 6749 section 3.3).
    pub fn of_scopes<'a>(scopes: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let scopes: Vec<String> = scopes.into_iter().map(String::from).collect();
        if !scopes.iter().all(|scope| is_scope(scope)) {
            return None;
        }
        let mut need = Self::default();
        if !scopes.is_empty() {
            need.rules.push(Rule::Scopes(scopes));
        }
        Some(need)
    }

    /// Reads what a request needs.
    ///
    /// | member | the token must have |
    /// |---|---|
    /// | `scopes`, `roles`, `permissions` | all of these |
    /// | `anyScopes`, `anyRoles`, `anyPermissions` | one of these |
    /// | `user` | true: been issued for a user and not to a client for itself |
    /// | `acr` | one of these authentication contexts |
    /// | `maxAge` | a sign-in at most this many whole seconds ago, up to a year |
    ///
    /// # Errors
    ///
    /// `config_invalid`.
    pub fn from_options(object: &Object) -> Result<Self, Error> {
        Self::read(object).map_err(|error| error.during(Phase::Config))
    }

    fn read(object: &Object) -> Result<Self, Error> {
        let options = Options::new(
            object,
            &[
                "acr",
                "anyPermissions",
                "anyRoles",
                "anyScopes",
                "maxAge",
                "permissions",
                "roles",
                "scopes",
                "user",
            ],
        )?;
        let mut rules = Vec::new();
        if options.switch("user")? {
            rules.push(Rule::User);
        }
        for (name, rule, is_valid) in LISTS {
            let Some(list) = options.strings(name)? else {
                continue;
            };
            if !list.iter().all(|item| is_valid(item)) {
                return Err(invalid(name));
            }
            rules.push(rule(list.into_iter().map(String::from).collect()));
        }
        if let Some(seconds) = options.whole_seconds("maxAge", MOST_MAX_AGE)? {
            rules.push(Rule::MaxAge(seconds));
        }
        Ok(Self { rules })
    }

    /// Both needs together.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        // As most guards and requests are.
        if self.rules.is_empty() && other.rules.is_empty() {
            return Self::nothing();
        }
        self.joined(other)
    }

    #[inline(never)]
    fn joined(&self, other: &Self) -> Self {
        let mut rules = self.rules.clone();
        let more = other.rules.iter().filter(|rule| !self.rules.contains(rule));
        rules.extend(more.cloned());
        Self { rules }
    }

    /// The scopes, separated by spaces, as a challenge names them: all that are needed and all of
    /// which one is needed, each once.
    pub fn scope(&self) -> String {
        let mut scopes: Vec<&str> = Vec::new();
        for rule in &self.rules {
            if let Rule::Scopes(list) | Rule::AnyScope(list) = rule {
                for scope in list {
                    if !scopes.contains(&scope.as_str()) {
                        scopes.push(scope);
                    }
                }
            }
        }
        scopes.join(" ")
    }

    /// The authentication contexts that are enough, separated by spaces; `None` when any is.
    pub fn acr_values(&self) -> Option<String> {
        let mut lists = self.rules.iter().filter_map(|rule| match rule {
            Rule::Acr(list) => Some(list),
            _ => None,
        });
        let mut values = lists.next()?.clone();
        for list in lists {
            values.retain(|value| list.contains(value));
        }
        Some(values.join(" "))
    }

    /// How long ago the user may have signed in, in seconds; `None` when that does not matter.
    pub fn max_age(&self) -> Option<u32> {
        let ages = self.rules.iter().filter_map(|rule| match rule {
            Rule::MaxAge(seconds) => Some(*seconds),
            _ => None,
        });
        ages.min()
    }

    /// Whether this principal has what is needed.
    ///
    /// # Errors
    ///
    /// `user_required`, `scope_insufficient`, `role_insufficient`, `permission_insufficient`; then
    /// `authentication_insufficient` at `acr` or `auth_time`, also when the token says nothing of
    /// them (RFC 9470 section 5); `claim_invalid` when they have the wrong type.
    pub(super) fn check(
        &self,
        principal: &mut Principal,
        now: Timestamp,
        tolerance: Lifetime,
    ) -> Result<(), Error> {
        // What nobody can sign in for is told before what a new sign-in would give.
        for is_later in [false, true] {
            for rule in &self.rules {
                if matches!(rule, Rule::Acr(_) | Rule::MaxAge(_)) != is_later {
                    continue;
                }
                let (holds, check, refusal) = rule.judge(principal, now, tolerance)?;
                if !holds {
                    return Err(refusal);
                }
                principal.note(check);
            }
        }
        Ok(())
    }
}

impl Rule {
    /// Whether it holds, what the report calls it, and the error when it does not.
    #[inline(never)]
    fn judge(
        &self,
        principal: &Principal,
        now: Timestamp,
        tolerance: Lifetime,
    ) -> Result<(bool, &'static str, Error), Error> {
        let all = |wanted: &[String], had: &[String]| wanted.iter().all(|one| had.contains(one));
        let any = |wanted: &[String], had: &[String]| wanted.iter().any(|one| had.contains(one));
        let (scopes, roles) = (principal.scopes(), principal.roles());
        Ok(match self {
            Self::Scopes(list) => (
                all(list, scopes),
                "scope",
                ErrorKind::ScopeInsufficient.into(),
            ),
            Self::AnyScope(list) => (
                any(list, scopes),
                "scope",
                ErrorKind::ScopeInsufficient.into(),
            ),
            Self::Roles(list) => (
                all(list, roles),
                "roles",
                ErrorKind::RoleInsufficient.into(),
            ),
            Self::AnyRole(list) => (
                any(list, roles),
                "roles",
                ErrorKind::RoleInsufficient.into(),
            ),
            Self::Permissions(list) => (
                all(list, principal.permissions()),
                "permissions",
                ErrorKind::PermissionInsufficient.into(),
            ),
            Self::AnyPermission(list) => (
                any(list, principal.permissions()),
                "permissions",
                ErrorKind::PermissionInsufficient.into(),
            ),
            Self::User => (
                principal.kind() == Some(PrincipalKind::User),
                "user",
                ErrorKind::UserRequired.into(),
            ),
            Self::Acr(list) => {
                let acr = principal.claims().string("acr")?;
                let holds = acr.is_some_and(|acr| list.iter().any(|one| one == acr));
                (holds, "acr", stronger_sign_in("acr"))
            }
            Self::MaxAge(seconds) => {
                let signed_in = principal.claims().date("auth_time")?;
                let holds = signed_in.is_some_and(|at| {
                    at <= now.after(tolerance)
                        && now <= at.after(Lifetime::from_seconds(*seconds)).after(tolerance)
                });
                (holds, "auth_time", stronger_sign_in("auth_time"))
            }
        })
    }
}

fn stronger_sign_in(at: &'static str) -> Error {
    Error::new(ErrorKind::AuthenticationInsufficient, at)
}

/// RFC 6749 section 3.3.
fn is_scope(scope: &str) -> bool {
    !scope.is_empty()
        && scope
            .bytes()
            .all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}
