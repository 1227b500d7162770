//! What a provider says of a token (RFC 7662 section 2.2, RFC 9701 section 5), read and judged.

use core::fmt;

use crate::error::{Error, ErrorKind};
use crate::guard::binding::{KEY_BOUND, names_key};
use crate::guard::opaque::Audience;
use crate::guard::{GuardConfig, Profile};
use crate::http::json::{self, Object, Value};
use crate::jose::{Claims, Verified};
use crate::time::{Lifetime, Timestamp};

/// The `typ` of a signed answer.
pub(super) const SIGNED_TYPE: &str = "token-introspection+jwt";

/// How old a signed answer may be: it was just asked for, and an old one may be out of date.
const MOST_AGE: Lifetime = Lifetime::from_seconds(300);

/// The members that decide, with the types that they must have.
const TEXTS: &[&str] = &["client_id", "iss", "scope", "sub", "token_type"];
const DATES: &[&str] = &["exp", "iat", "nbf"];

/// The members of an answer that only UserInfo may not add: they decide what a token is good for.
const DECISIVE: &[&str] = &[
    "acr",
    "act",
    "active",
    "amr",
    "aud",
    "auth_time",
    "client_id",
    "cnf",
    "exp",
    "iat",
    "iss",
    "jti",
    "may_act",
    "nbf",
    "scope",
    "token_type",
    "token_use",
    "typ",
];

/// The members of an answer that says that a token is active. Only [`read`] makes one.
#[derive(Clone, Debug)]
pub(super) struct Active(Claims);

/// An answer as it is kept, which only [`Active::to_kept`] makes: as text, which takes half the memory
/// of the members that were read and is read again in a microsecond.
pub(super) struct Kept(Form);

enum Form {
    Text(Box<str>),
    /// With a number that does not come out of a text as it went in.
    Members(Active),
}

/// As deep as an answer can be nested, whatever the limits say.
const DEEPEST: usize = 128;

impl Kept {
    /// About how many bytes it holds.
    pub(super) fn size(&self) -> usize {
        match &self.0 {
            Form::Text(text) => text.len(),
            Form::Members(Active(claims)) => size(&Value::from(claims.as_object().clone())),
        }
    }

    /// The answer that was kept.
    pub(super) fn restore(&self) -> Option<Active> {
        match &self.0 {
            Form::Text(text) => json::read_object_of(text, DEEPEST)
                .ok()
                .map(|(members, _)| Active(Claims::vouched(members))),
            Form::Members(active) => Some(active.clone()),
        }
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept(..)")
    }
}

/// Reads an answer; `None` when the token is not active.
///
/// What it does not check: whether the token is good here and now, see [`Active::judge`].
///
/// # Errors
///
/// `response_malformed` at the member that does not have its type.
pub(super) fn read(answer: Object) -> Result<Option<Active>, Error> {
    let malformed = |error: Error| error.recast(ErrorKind::ResponseMalformed);
    // 2.2: active is required, and a boolean: "true" is not.
    match answer.get("active") {
        Some(Value::Bool(true)) => {}
        // Nothing else that stands in the answer matters.
        Some(Value::Bool(false)) => return Ok(None),
        _ => return Err(Error::new(ErrorKind::ResponseMalformed, "active")),
    }
    let claims = Claims::vouched(answer);
    for name in TEXTS {
        claims.string(name).map_err(malformed)?;
    }
    for name in DATES {
        claims.date(name).map_err(malformed)?;
    }
    if claims.as_object().get("aud").is_some() {
        claims.audience().map_err(malformed)?;
    }
    Ok(Some(Active(claims)))
}

/// The answer in a signed one, whose signature was verified with a key of `issuer`.
///
/// # Errors
///
/// `claim_missing`, `claim_invalid`, `issuer_mismatch`, `audience_mismatch`, `issued_in_future`,
/// `response_malformed`, at `exp` or `nbf` also where the answer itself is over or not good yet.
pub(super) fn of_signed(
    token: Verified,
    issuer: &str,
    client_id: Option<&str>,
    config: &GuardConfig,
    now: Timestamp,
) -> Result<Object, Error> {
    let claims = token.into_claims();
    // RFC 9701 section 5: iss, aud and iat are there, and ours.
    if claims.required_string("iss")? != issuer {
        return Err(ErrorKind::IssuerMismatch.into());
    }
    let is_ours =
        |name: &&str| client_id == Some(*name) || config.audience.iter().any(|own| own == name);
    if !claims.audience()?.iter().any(is_ours) {
        return Err(ErrorKind::AudienceMismatch.into());
    }
    let issued_at = claims.required_date("iat")?;
    if issued_at > now.after(config.clock_tolerance) {
        return Err(ErrorKind::IssuedInFuture.into());
    }
    if now.since(issued_at.after(config.clock_tolerance)) > MOST_AGE {
        return Err(Error::new(ErrorKind::ResponseMalformed, "iat"));
    }
    // Those of the answer, where it has them; the token's own stand inside.
    if let Err(error) = claims.check_dates(now, config.clock_tolerance) {
        let is_early = error.kind() == ErrorKind::TokenNotActive;
        let name = if is_early { "nbf" } else { "exp" };
        return Err(Error::new(ErrorKind::ResponseMalformed, name));
    }
    match claims.as_object().get("token_introspection") {
        Some(Value::Object(answer)) => Ok(answer.clone()),
        _ => Err(Error::new(
            ErrorKind::ResponseMalformed,
            "token_introspection",
        )),
    }
}

/// What a provider says of the user of this token in a signed answer of UserInfo, whose signature was
/// verified with a key of `issuer` (OpenID Connect Core section 5.3.2).
///
/// What it does not check: that its `sub` is that of the token, see [`Active::with_user`].
///
/// # Errors
///
/// `claim_missing`, `claim_invalid`, `issuer_mismatch`, `audience_mismatch`, `token_expired`,
/// `token_not_active`, `issued_in_future`.
pub(super) fn of_signed_user(
    token: Verified,
    issuer: &str,
    clients: [Option<&str>; 2],
    config: &GuardConfig,
    now: Timestamp,
) -> Result<Object, Error> {
    let claims = token.into_claims();
    // 5.3.2: a signed answer names its issuer, and the client for which it was made.
    if claims.required_string("iss")? != issuer {
        return Err(ErrorKind::IssuerMismatch.into());
    }
    let is_ours = |name: &&str| clients.contains(&Some(*name));
    if !claims.audience()?.iter().any(is_ours) {
        return Err(ErrorKind::AudienceMismatch.into());
    }
    claims.check_dates(now, config.clock_tolerance)?;
    Ok(claims.as_object().clone())
}

impl Active {
    /// The client that the token was issued to.
    pub(super) fn client_id(&self) -> Option<&str> {
        // Its type was checked when it was read.
        self.0.string("client_id").ok().flatten()
    }

    /// Whether the token is good for this API at this time: what was checked, in order.
    ///
    /// `issuer` is the provider that answered. RFC 7662 makes every member optional; what is there
    /// is checked, and `aud` must be there unless the configuration says otherwise.
    ///
    /// # Errors
    ///
    /// `issuer_mismatch`, `claim_missing`, `audience_mismatch`, `token_expired`,
    /// `token_not_active`, `issued_in_future`, `typ_mismatch`, `binding_mismatch`.
    pub(super) fn judge(
        &self,
        issuer: &str,
        audience: Audience,
        config: &GuardConfig,
        now: Timestamp,
    ) -> Result<Vec<&'static str>, Error> {
        let Self(claims) = self;
        let has = |name: &str| claims.as_object().get(name).is_some();
        let mut checked = vec!["active"];
        if let Some(named) = claims.string("iss")? {
            if named != issuer {
                return Err(ErrorKind::IssuerMismatch.into());
            }
            checked.push("iss");
        }
        if has("aud") || audience == Audience::Required {
            let named = claims.audience()?;
            if !named
                .iter()
                .any(|name| config.audience.iter().any(|own| own == name))
            {
                return Err(ErrorKind::AudienceMismatch.into());
            }
            checked.push("aud");
        }
        claims.check_dates(now, config.clock_tolerance)?;
        checked.extend(DATES.iter().filter(|name| has(name)));
        self.check_kind()?;
        // RFC 9449 section 6.2, RFC 8705 section 3.2: a bound token is good with its proof only,
        // which is compared with it as that of any token.
        if has("cnf") && self.confirmation().is_none() {
            return Err(Error::new(ErrorKind::BindingMismatch, "cnf"));
        }
        Ok(checked)
    }

    /// What the token is bound to.
    fn confirmation(&self) -> Option<&Object> {
        self.0.as_object().get("cnf")?.as_object()
    }

    /// Providers introspect their refresh and ID tokens too. None of them opens an API.
    fn check_kind(&self) -> Result<(), Error> {
        let Self(claims) = self;
        let mismatch = |at: &'static str| Err(Error::new(ErrorKind::TypMismatch, at));
        let is_one_of =
            |text: &str, names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(text));
        match claims.string("token_type")? {
            Some(text) if is_one_of(text, &[KEY_BOUND]) && names_key(claims.as_object()) => {}
            Some(text) if is_one_of(text, &["DPoP", "PoP", "mac"]) => {
                return Err(Error::new(ErrorKind::BindingMismatch, "token_type"));
            }
            Some(text) if !is_one_of(text, &["Bearer", "access_token"]) => {
                return mismatch("token_type");
            }
            _ => {}
        }
        // Members of vendors: Ory and Amazon say token_use, Keycloak says typ.
        for (name, allowed) in [
            ("token_use", &["access_token", "access"][..]),
            ("typ", &["Bearer", "at+jwt", "JWT", "application/at+jwt"]),
        ] {
            match claims.as_object().get(name) {
                None => {}
                Some(Value::String(text)) if is_one_of(text, allowed) => {}
                Some(Value::String(text))
                    if name == "typ" && text == KEY_BOUND && names_key(claims.as_object()) => {}
                Some(_) => return mismatch(name),
            }
        }
        Ok(())
    }

    /// Whether the token is bound to a key or a certificate.
    pub(super) fn is_bound(&self) -> bool {
        self.confirmation().is_some()
    }

    /// Until when it may be kept: so long from when it was asked for, and never past `exp`.
    pub(super) fn good_until(&self, asked_at: Timestamp, ttl: Lifetime) -> Timestamp {
        let end = asked_at.after(ttl);
        // The dates were read before.
        match self.0.date("exp") {
            Ok(Some(expires_at)) => end.min(expires_at),
            _ => end,
        }
    }

    /// Whether it grants one of these scopes.
    pub(super) fn grants(&self, scopes: &[String]) -> bool {
        let granted = self.0.string("scope").ok().flatten().unwrap_or_default();
        granted
            .split(' ')
            .any(|scope| scopes.iter().any(|known| known == scope))
    }

    /// As it is kept.
    pub(super) fn to_kept(&self) -> Kept {
        let members = self.0.as_object();
        let mut text = String::new();
        members.write(&mut text);
        let is_same = json::read_object_of(&text, DEEPEST).is_ok_and(|(read, _)| read == *members);
        Kept(if is_same {
            Form::Text(text.into())
        } else {
            Form::Members(self.clone())
        })
    }

    /// Adds what the provider says of the user. Members that are there stay, and those that decide
    /// what the token is good for come from introspection alone.
    ///
    /// # Errors
    ///
    /// `response_malformed` when `sub` is not that of the token (OpenID Connect Core section 5.3.2).
    pub(super) fn with_user(self, user: &Object, profile: &Profile) -> Result<Self, Error> {
        let subject = user.get("sub").and_then(Value::as_str);
        if subject.is_none() || subject != self.0.string("sub")? {
            return Err(Error::new(ErrorKind::ResponseMalformed, "sub"));
        }
        let mut members = self.0.as_object().clone();
        for (name, value) in user.iter() {
            let decides = DECISIVE.contains(&name) || profile.decides(name);
            if members.get(name).is_none() && !decides {
                members = members.with(name, value.clone());
            }
        }
        Ok(Self(Claims::vouched(members)))
    }

    /// Its members.
    pub(super) fn into_claims(self) -> Claims {
        self.0
    }
}

/// The size of a value as it lies in memory, roughly.
fn size(value: &Value) -> usize {
    let own = size_of::<Value>();
    let more = match value {
        Value::String(text) => text.len(),
        Value::Number(number) => number.as_text().len(),
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(object) => object
            .iter()
            .map(|(name, value)| name.len().saturating_add(24).saturating_add(size(value)))
            .sum(),
        _ => 0,
    };
    own.saturating_add(more)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &str) -> (Active, Kept) {
        let active = read(json::read_object(text.as_bytes(), 1000).unwrap());
        let active = active.unwrap().unwrap();
        let kept = active.to_kept();
        (active, kept)
    }

    #[test]
    fn an_answer_comes_out_as_it_went_in() {
        for (text, is_text) in [
            (
                r#"{"active":true,"sub":"a","exp":1700000000.5,"aud":["x","y"]}"#,
                true,
            ),
            (
                r#"{"active":true,"name":"\u00fc \" \u2028","n":[{"a":null}],"m":-0}"#,
                true,
            ),
            // A double would round these, so that they are written as texts.
            (r#"{"active":true,"id":9007199254740993}"#, false),
            (r#"{"active":true,"id":1.00000000000000000001}"#, true),
        ] {
            let (active, kept) = kept(text);
            assert_eq!(matches!(kept.0, Form::Text(_)), is_text, "{text}");
            let restored = kept.restore().unwrap();
            assert!(restored.0.as_object() == active.0.as_object(), "{text}");
        }
    }

    #[test]
    fn what_is_kept_is_not_printed_and_small() {
        let (_, kept) = kept(r#"{"active":true,"sub":"alice"}"#);
        assert_eq!(format!("{kept:?}"), "Kept(..)");
        assert_eq!(kept.size(), 29);
    }
}
