//! What an issuer's access tokens look like: one table for RFC 9068 and the vendors.
//!
//! The checks read this table and know no vendor. A row says how a token shows that it is an access
//! token at all, which claims it must carry, and where client, audience, scopes, roles and
//! permissions stand.
//!
//! An ID token of the same issuer is signed with the same keys. RFC 9068 keeps it out by `typ`;
//! where a vendor writes `JWT` or nothing there, the row names something else that no ID token of
//! this vendor has: a marker claim, or the claim that stands for the client.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Field};
use crate::guard::PrincipalKind;
use crate::guard::binding::{KEY_BOUND, names_key};
use crate::http::json::{Object, Value};
use crate::jose::{Claims, Header};
use crate::options::{Options, invalid};

/// How scopes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// One string, separated by spaces
    Text,
    /// An array of strings
    List,
    /// Either: what a profile of the program accepts
    Either,
}

/// What stands in a path in place of this API's own names.
const OWN_NAME: &str = "{audience}";

/// One row of the table.
struct Row {
    name: &'static str,
    /// Accepted values of the header's `typ`.
    types: &'static [&'static str],
    /// Whether a header without `typ` is accepted.
    type_optional: bool,
    /// A claim whose value says that this is an access token of this shape.
    marker: Option<(&'static str, &'static [&'static str])>,
    /// Claims that must be there beyond `iss`, `sub`, `exp`, the audience and the client.
    required: &'static [&'static str],
    /// What stands for the client: the first one that is there.
    client: &'static [&'static str],
    /// What stands for the audience: the first one that is there.
    audience: &'static [&'static str],
    scopes: &'static [(&'static str, Form)],
    roles: &'static [&'static [&'static str]],
    permissions: &'static [&'static [&'static str]],
    /// Whether `tid` must name a tenant that stands in the issuer.
    tenant: bool,
    /// What shows that no user is involved, besides a subject that is the client.
    machine: Machine,
}

/// What shows that a token was issued to a client for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Machine {
    /// Nothing but `sub`, which is the client (RFC 9068 section 2.2).
    Subject,
    /// `sub` ends with `@clients`.
    Suffix,
    /// There is no `scp`, which only delegated permissions have, or `idtyp` is `app`.
    Undelegated,
    /// `preferred_username` begins with `service-account-`.
    ServiceAccount,
}

/// RFC 9068 sections 2.1 and 2.2: what every access token is and carries.
const RFC_9068: Row = Row {
    name: "rfc9068",
    types: &["at+jwt"],
    type_optional: false,
    marker: None,
    required: &["jti", "iat"],
    client: &["client_id"],
    audience: &["aud"],
    scopes: &[("scope", Form::Text)],
    // Section 2.2.3.1; what `groups` and `entitlements` mean is not ours to guess.
    roles: &[&["roles"]],
    permissions: &[],
    tenant: false,
    machine: Machine::Subject,
};

const TABLE: &[Row] = &[
    RFC_9068,
    // auth0.com/docs/secure/tokens/access-tokens/access-token-profiles: the dialect `access_token`
    // has `typ` JWT and `azp` and no `jti`, `rfc9068_profile` has at+jwt and `client_id`; both have
    // `permissions` when RBAC adds them. Auth0's ID tokens have neither of the two for the client.
    Row {
        name: "auth0",
        types: &["at+jwt", "JWT"],
        required: &["iat"],
        client: &["client_id", "azp"],
        roles: &[],
        permissions: &[&["permissions"]],
        machine: Machine::Suffix,
        ..RFC_9068
    },
    // developer.okta.com/docs/api/openapi/okta-oauth/guides/overview (access token payload): `cid`,
    // `scp` as an array, `uid`; the header has `kid` and `alg`. ID tokens have no `cid`. Tokens of
    // the org authorization server say application/okta-internal-at+jwt and are Okta's own.
    Row {
        name: "okta",
        types: &["at+jwt", "JWT"],
        type_optional: true,
        required: &["jti", "iat"],
        client: &["cid"],
        scopes: &[("scp", Form::List)],
        roles: &[&["groups"]],
        ..RFC_9068
    },
    // learn.microsoft.com/entra/identity-platform/access-token-claims-reference: `typ` is always JWT,
    // `ver` tells the two shapes apart, `azp` (2.0) and `appid` (1.0) are the client, `scp` is a
    // string, `roles` an array, `tid` the tenant. ID tokens have neither `azp` nor `appid`.
    Row {
        name: "entra",
        types: &["JWT"],
        marker: Some(("ver", &["2.0"])),
        required: &["iat"],
        client: &["azp"],
        scopes: &[("scp", Form::Text)],
        tenant: true,
        machine: Machine::Undelegated,
        ..RFC_9068
    },
    Row {
        name: "entra-v1",
        types: &["JWT"],
        marker: Some(("ver", &["1.0"])),
        required: &["iat"],
        client: &["appid"],
        scopes: &[("scp", Form::Text)],
        tenant: true,
        machine: Machine::Undelegated,
        ..RFC_9068
    },
    // Keycloak's server_admin guide and TokenUtil: header JWT (at+jwt by a switch of the client), the
    // claim `typ` tells Bearer from ID and Refresh; roles of the realm and of each client. The roles
    // of this API are those under its own name; roles at other clients do not count here.
    Row {
        name: "keycloak",
        types: &["at+jwt", "JWT"],
        marker: Some(("typ", &["Bearer", KEY_BOUND])),
        required: &["jti", "iat"],
        client: &["azp"],
        roles: &[
            &["realm_access", "roles"],
            &["resource_access", OWN_NAME, "roles"],
        ],
        machine: Machine::ServiceAccount,
        ..RFC_9068
    },
    // docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html:
    // no `typ`, `token_use` is access, `client_id`, and `aud` only where a resource was bound; without
    // one the client stands for the audience, so `audience` is the app client's id.
    Row {
        name: "cognito",
        types: &[],
        type_optional: true,
        marker: Some(("token_use", &["access"])),
        audience: &["aud", "client_id"],
        roles: &[&["cognito:groups"]],
        ..RFC_9068
    },
    // developers.google.com/identity/openid-connect/openid-connect (ID token payload): Google's access
    // tokens are opaque; what its services send each other (Cloud Run, Tasks, Pub/Sub) are ID tokens
    // whose audience is the API. With a web client's id as `audience` its users' ID tokens fit too.
    Row {
        name: "google",
        types: &["JWT"],
        required: &["iat"],
        client: &["azp"],
        scopes: &[],
        roles: &[],
        ..RFC_9068
    },
];

/// The shape of an issuer's access tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    types: Vec<String>,
    type_optional: bool,
    marker: Option<(&'static str, &'static [&'static str])>,
    required: Vec<String>,
    client: Vec<String>,
    audience: Vec<String>,
    scopes: Vec<(String, Form)>,
    roles: Vec<Vec<String>>,
    permissions: Vec<Vec<String>>,
    tenant: bool,
    machine: Machine,
}

impl Profile {
    /// The shape of this name: `rfc9068`, `auth0`, `okta`, `entra`, `entra-v1`, `keycloak`, `cognito`
    /// or `google`.
    pub fn named(name: &str) -> Option<Self> {
        TABLE
            .iter()
            .find_map(|row| (row.name == name).then(|| Self::from_row(row)))
    }

    fn from_row(row: &Row) -> Self {
        let names = |list: &[&str]| list.iter().map(|name| String::from(*name)).collect();
        let paths = |list: &[&[&str]]| list.iter().map(|path| names(path)).collect();
        Self {
            types: names(row.types),
            type_optional: row.type_optional,
            marker: row.marker,
            required: names(row.required),
            client: names(row.client),
            audience: names(row.audience),
            scopes: row
                .scopes
                .iter()
                .map(|(name, form)| (String::from(*name), *form))
                .collect(),
            roles: paths(row.roles),
            permissions: paths(row.permissions),
            tenant: row.tenant,
            machine: row.machine,
        }
    }

    /// Reads the option `profile`: a name, or an object that changes a named one.
    ///
    /// | member | meaning |
    /// |---|---|
    /// | `base` | the named profile that is changed, `rfc9068` when it is not given |
    /// | `typ` | the accepted values of the header's `typ` |
    /// | `typOptional` | whether a header without `typ` is accepted |
    /// | `required` | claims that must be there beyond `iss`, `sub`, `exp`, audience and client |
    /// | `client`, `audience` | what stands for them: the first claim that is there |
    /// | `scopes` | claims that hold scopes, as one string or as an array |
    /// | `roles`, `permissions` | where they stand: a claim, or an array of names for one inside others |
    ///
    /// # Errors
    ///
    /// `config_invalid`.
    #[inline(never)]
    pub(super) fn from_option(value: &Value, at: &'static str) -> Result<Self, Error> {
        match value {
            Value::String(name) => Self::named(name).ok_or_else(|| invalid(at)),
            Value::Object(object) => Self::from_object(object, at),
            _ => Err(invalid(at)),
        }
    }

    fn from_object(object: &Object, at: &'static str) -> Result<Self, Error> {
        let options = Options::new(
            object,
            &[
                "audience",
                "base",
                "client",
                "permissions",
                "required",
                "roles",
                "scopes",
                "typ",
                "typOptional",
            ],
        )?;
        let mut profile = match options.value("base") {
            None => Self::from_row(&RFC_9068),
            Some(base @ Value::String(_)) => Self::from_option(base, "base")?,
            Some(_) => return Err(invalid("base")),
        };
        let names = |name: &'static str| -> Result<Option<Vec<String>>, Error> {
            let is_none =
                matches!(options.value(name), Some(Value::Array(list)) if list.is_empty());
            // Nothing more may be required, and there may be no scopes.
            if is_none && matches!(name, "required" | "scopes") {
                return Ok(Some(Vec::new()));
            }
            let list = options.strings(name)?;
            Ok(list.map(|list| list.into_iter().map(String::from).collect()))
        };
        let paths = |name: &'static str| match options.value(name) {
            None => Ok(None),
            Some(value) => read_paths(value).map(Some).ok_or_else(|| invalid(name)),
        };
        if let Some(types) = names("typ")? {
            profile.types = types;
        }
        if options.value("typOptional").is_some() {
            profile.type_optional = options.switch("typOptional")?;
        }
        // A profile that accepts nothing is a mistake.
        if profile.types.is_empty() && !profile.type_optional {
            return Err(invalid(at));
        }
        if let Some(required) = names("required")? {
            profile.required = required;
        }
        if let Some(client) = names("client")? {
            profile.client = client;
        }
        if let Some(audience) = names("audience")? {
            profile.audience = audience;
        }
        if let Some(scopes) = names("scopes")? {
            profile.scopes = scopes
                .into_iter()
                .map(|name| (name, Form::Either))
                .collect();
        }
        if let Some(roles) = paths("roles")? {
            profile.roles = roles;
        }
        if let Some(permissions) = paths("permissions")? {
            profile.permissions = permissions;
        }
        Ok(profile)
    }

    /// Whether its tokens name a tenant that must stand in the issuer.
    pub(super) fn has_tenant(&self) -> bool {
        self.tenant
    }

    /// Refuses tokens that say that they are of another kind, before any key is fetched.
    ///
    /// # Errors
    ///
    /// `typ_mismatch`.
    pub(super) fn check_type(&self, header: &Header) -> Result<(), Error> {
        let accepted = if header.has_type() {
            self.types.iter().any(|name| header.is_type(name))
        } else {
            self.type_optional
        };
        if accepted {
            Ok(())
        } else {
            Err(ErrorKind::TypMismatch.into())
        }
    }

    /// Checks that a claims set is one of an access token of this shape, and that what must be
    /// there is. Adds the names for the report.
    ///
    /// What it does not check: issuer, audience and lifetime.
    ///
    /// # Errors
    ///
    /// `typ_mismatch` at the marker, `claim_missing`, `claim_invalid`, `issuer_mismatch` at `tid`.
    pub(super) fn check_shape(
        &self,
        claims: &Claims,
        issuer: &str,
        checked: &mut Vec<&'static str>,
    ) -> Result<(), Error> {
        if let Some((name, values)) = self.marker {
            let value = claims.required_string(name)?;
            if !values.contains(&value) || value == KEY_BOUND && !names_key(claims.as_object()) {
                return Err(Error::new(ErrorKind::TypMismatch, name));
            }
            checked.push(name);
        }
        claims.required_string("sub")?;
        checked.push("sub");
        self.client(claims)?;
        checked.push("client_id");
        for name in &self.required {
            match name.as_str() {
                "jti" => {
                    claims.required_string("jti")?;
                    checked.push("jti");
                }
                "iat" => {
                    claims.required_date("iat")?;
                    checked.push("iat");
                }
                name => match claims.as_object().get(name) {
                    None => return Err(Error::new(ErrorKind::ClaimMissing, Field::claim(name))),
                    Some(Value::Null) => return Err(claim_invalid(name)),
                    Some(Value::String(text)) if text.is_empty() => {
                        return Err(claim_invalid(name));
                    }
                    Some(_) => {}
                },
            }
        }
        if self.tenant {
            // The tenant of the token is the tenant of the issuer whose key signed it.
            let tenant = claims.required_string("tid")?;
            if !issuer.split('/').any(|segment| segment == tenant) {
                return Err(Error::new(ErrorKind::IssuerMismatch, "tid"));
            }
            checked.push("tid");
        }
        Ok(())
    }

    /// The client that the token was issued to.
    ///
    /// # Errors
    ///
    /// `claim_missing`, `claim_invalid`.
    pub(super) fn client<'a>(&self, claims: &'a Claims) -> Result<&'a str, Error> {
        let (name, value) = first(&self.client, claims)?;
        match value {
            Value::String(text) if !text.is_empty() => Ok(text),
            _ => Err(claim_invalid(name)),
        }
    }

    /// For whom the token was issued, of which these are subject and client.
    pub(super) fn kind(&self, claims: &Claims, subject: &str, client: &str) -> PrincipalKind {
        let text = |name: &str| claims.as_object().get(name).and_then(Value::as_str);
        let is_machine = subject == client
            || match self.machine {
                Machine::Subject => false,
                Machine::Suffix => subject.ends_with("@clients"),
                Machine::Undelegated => {
                    claims.as_object().get("scp").is_none() || text("idtyp") == Some("app")
                }
                Machine::ServiceAccount => text("preferred_username")
                    .is_some_and(|name| name.starts_with("service-account-")),
            };
        if is_machine {
            PrincipalKind::Client
        } else {
            PrincipalKind::User
        }
    }

    /// Whether a claim of this name says what a token is good for.
    pub(super) fn decides(&self, name: &str) -> bool {
        let paths = [&self.roles, &self.permissions];
        let mut paths = paths.into_iter().flatten();
        ["groups", "entitlements", "roles", "scp", "idtyp"].contains(&name)
            || self.scopes.iter().any(|(scopes, _)| scopes == name)
            || paths.any(|path| path.first().is_some_and(|first| first == name))
    }

    /// Whom the token is meant for.
    ///
    /// # Errors
    ///
    /// `claim_missing`, `claim_invalid`; an array with one member that is no string is no list.
    pub(super) fn audience<'a>(&self, claims: &'a Claims) -> Result<Vec<&'a str>, Error> {
        let (name, value) = first(&self.audience, claims)?;
        match value {
            Value::String(text) => Ok(vec![text]),
            value => value.as_strings().ok_or_else(|| claim_invalid(name)),
        }
    }

    /// What the token allows, of all claims that hold scopes.
    ///
    /// # Errors
    ///
    /// `claim_invalid` for another form than this profile's.
    pub(super) fn scopes(&self, claims: &Claims) -> Result<Vec<String>, Error> {
        let mut scopes = Vec::new();
        for (name, form) in &self.scopes {
            match (claims.as_object().get(name), form) {
                (None, _) => {}
                // RFC 6749 section 3.3: split at single spaces; empty items are none.
                (Some(Value::String(text)), Form::Text | Form::Either) => {
                    scopes.extend(
                        text.split(' ')
                            .filter(|scope| !scope.is_empty())
                            .map(String::from),
                    );
                }
                (Some(value @ Value::Array(_)), Form::List | Form::Either) => {
                    let list = value.as_strings().ok_or_else(|| claim_invalid(name))?;
                    scopes.extend(list.into_iter().map(String::from));
                }
                (Some(_), _) => return Err(claim_invalid(name)),
            }
        }
        Ok(scopes)
    }

    /// The roles at this API, whose own names these are.
    ///
    /// # Errors
    ///
    /// `claim_invalid`, also when `groups` or `entitlements` are no lists (RFC 9068 section 2.2.3.1).
    pub(super) fn roles(&self, claims: &Claims, own: &[String]) -> Result<Vec<String>, Error> {
        for name in ["groups", "entitlements"] {
            if let Some(value) = claims.as_object().get(name) {
                read_list(value).ok_or_else(|| claim_invalid(name))?;
            }
        }
        collect(&self.roles, claims, own)
    }

    /// The permissions at this API.
    ///
    /// # Errors
    ///
    /// `claim_invalid`.
    pub(super) fn permissions(
        &self,
        claims: &Claims,
        own: &[String],
    ) -> Result<Vec<String>, Error> {
        collect(&self.permissions, claims, own)
    }
}

/// The options `profile`, for all issuers, and `profiles`, for some of them.
#[derive(Debug)]
pub(super) struct Profiles<'a> {
    usual: Arc<Profile>,
    by_issuer: Vec<(&'a str, Arc<Profile>)>,
}

impl<'a> Profiles<'a> {
    /// Reads both options.
    ///
    /// # Errors
    ///
    /// `config_invalid`.
    pub(super) fn from_options(
        profile: Option<&Value>,
        profiles: Option<&'a Value>,
    ) -> Result<Self, Error> {
        let usual = match profile {
            None => Profile::from_row(&RFC_9068),
            Some(value) => Profile::from_option(value, "profile")?,
        };
        let mut by_issuer = Vec::new();
        if let Some(value) = profiles {
            let object = value.as_object().ok_or_else(|| invalid("profiles"))?;
            for (issuer, value) in object.iter() {
                let profile = Profile::from_option(value, "profiles")?;
                by_issuer.push((issuer, Arc::new(profile)));
            }
        }
        let usual = Arc::new(usual);
        Ok(Self { usual, by_issuer })
    }

    /// The profile of an issuer, or of an issuer template.
    pub(super) fn of(&self, issuer: &str) -> &Arc<Profile> {
        self.by_issuer
            .iter()
            .find_map(|(name, profile)| (*name == issuer).then_some(profile))
            .unwrap_or(&self.usual)
    }

    /// The issuers and templates that have a profile of their own.
    pub(super) fn named(&self) -> impl Iterator<Item = &'a str> {
        self.by_issuer.iter().map(|(name, _)| *name)
    }
}

fn claim_invalid(name: &str) -> Error {
    Error::new(ErrorKind::ClaimInvalid, Field::claim(name))
}

/// The first of these claims that is there, with its name.
fn first<'n, 'c>(names: &'n [String], claims: &'c Claims) -> Result<(&'n str, &'c Value), Error> {
    names
        .iter()
        .find_map(|name| Some((name.as_str(), claims.as_object().get(name)?)))
        .ok_or_else(|| {
            let name = names.first().map_or("", String::as_str);
            Error::new(ErrorKind::ClaimMissing, Field::claim(name))
        })
}

/// What stands at these places, each name once.
fn collect(paths: &[Vec<String>], claims: &Claims, own: &[String]) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    for path in paths {
        let Some((name, rest)) = path.split_first() else {
            continue;
        };
        if let Some(value) = claims.as_object().get(name) {
            walk(value, rest, own, &mut found).ok_or_else(|| claim_invalid(name))?;
        }
    }
    let mut seen: Vec<String> = Vec::with_capacity(found.len());
    for item in found {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    Ok(seen)
}

/// Follows a path; what is absent holds nothing, what is no object on the way is `None`.
fn walk(value: &Value, path: &[String], own: &[String], found: &mut Vec<String>) -> Option<()> {
    let Some((name, rest)) = path.split_first() else {
        found.extend(read_list(value)?);
        return Some(());
    };
    let object = value.as_object()?;
    let names = if name == OWN_NAME {
        own
    } else {
        core::slice::from_ref(name)
    };
    for name in names {
        if let Some(value) = object.get(name) {
            walk(value, rest, own, found)?;
        }
    }
    Some(())
}

/// A list of names: strings, or SCIM values with a `value` (RFC 7643 section 2.4).
fn read_list(value: &Value) -> Option<Vec<String>> {
    value
        .as_array()?
        .iter()
        .map(|item| match item {
            Value::String(text) => Some(text.clone()),
            Value::Object(object) => object.get("value")?.as_str().map(String::from),
            _ => None,
        })
        .collect()
}

/// A claim, or a list of claims and paths; a path is a list of names.
fn read_paths(value: &Value) -> Option<Vec<Vec<String>>> {
    let name = |value: &Value| {
        value
            .as_str()
            .filter(|text| !text.is_empty())
            .map(String::from)
    };
    match value {
        Value::String(_) => Some(vec![vec![name(value)?]]),
        Value::Array(items) => items
            .iter()
            .map(|item| match item {
                Value::Array(path) if !path.is_empty() => path.iter().map(name).collect(),
                item => Some(vec![name(item)?]),
            })
            .collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_name_of_its_own_and_says_what_stands_for_client_and_audience() {
        let mut names: Vec<_> = TABLE.iter().map(|row| row.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TABLE.len());
        for row in TABLE {
            assert!(!row.client.is_empty() && !row.audience.is_empty());
            // Whatever does not insist on at+jwt tells access tokens by something else.
            let is_typed = row.types == ["at+jwt"] && !row.type_optional;
            let is_marked = row.marker.is_some() || row.client != RFC_9068.client;
            assert!(is_typed || is_marked, "{}", row.name);
        }
        assert!(Profile::named("Auth0").is_none());
    }
}
