//! The authorization response (RFC 6749 section 4.1.2, RFC 9207), also as a signed JWT (JARM).

#[cfg(feature = "backend")]
use crate::client::machine::signed_response::SignedResponse;
use crate::client::{Client, PendingLogin, PendingLogins, ResponseMode};
use crate::error::{Details, Error, ErrorKind, clean};
use crate::http::Url;
use crate::http::form::{self, Repeated};
use crate::secret::Secret;
use crate::time::Timestamp;

/// The longest code that is passed on; providers that put tokens into codes stay below.
const MAX_CODE: usize = 8 * 1024;

/// A callback taken apart, not checked yet.
pub(super) struct Callback {
    place: String,
    parameters: Vec<(String, String)>,
    /// What was checked of it before.
    checked: Vec<&'static str>,
    /// The JWT in which its parameters stand, as long as nobody has verified it.
    #[cfg(feature = "backend")]
    pub(super) signed: Option<SignedResponse>,
}

impl Callback {
    /// Takes the URL of a callback apart whose response stands in its query.
    ///
    /// # Errors
    ///
    /// Those of [`Callback::parse_in`].
    pub(super) fn parse(url: &str) -> Result<Self, Error> {
        Self::parse_in(url, None, None)
    }

    /// Takes a callback apart: its URL, and its body where it was posted.
    ///
    /// The URL is what a browser shows, so its query may hold characters that [`Url`] refuses.
    ///
    /// # Errors
    ///
    /// `response_mode_mismatch` for a response in another place or form than was asked for,
    /// `param_invalid` for one that cannot be decoded; `token_malformed`, `token_too_large`,
    /// `alg_not_allowed` and `crit_unsupported` for a JWT that is none.
    pub(super) fn parse_in(
        url: &str,
        body: Option<&str>,
        mode: Option<ResponseMode>,
    ) -> Result<Self, Error> {
        let (rest, fragment) = url.split_once('#').unwrap_or((url, ""));
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let places = [
            (ResponseMode::Query, "query", query),
            (ResponseMode::Fragment, "fragment", fragment),
            (ResponseMode::FormPost, "body", body.unwrap_or_default()),
        ];
        let mode = mode.unwrap_or(ResponseMode::Query);
        let mut parameters = Vec::new();
        for (place, name, text) in places {
            let decoded = form::decode(text);
            let has = |name: &str| {
                let mut names = decoded.iter().flatten();
                names.any(|(key, _)| key == name)
            };
            let is_asked = mode.place() == place;
            // A JWT stands in one parameter `response`, and nothing stands beside it (JARM section 2.3).
            let (right, wrong) = match mode.is_signed() {
                true => ("response", "state"),
                false => ("state", "response"),
            };
            if has(wrong) || (!is_asked && has(right)) {
                return Err(ErrorKind::ResponseModeMismatch.into());
            }
            if is_asked {
                parameters = decoded.ok_or_else(|| Error::new(ErrorKind::ParamInvalid, name))?;
            }
        }
        Ok(Self {
            #[cfg(feature = "backend")]
            signed: match mode.is_signed() {
                true => Some(SignedResponse::read(&parameters)?),
                false => None,
            },
            place: place.into(),
            parameters,
            checked: Vec::new(),
        })
    }

    /// The callback whose parameters stood elsewhere, where this was checked of them.
    #[cfg(feature = "backend")]
    pub(super) fn with(
        mut self,
        parameters: Vec<(String, String)>,
        checked: Vec<&'static str>,
    ) -> Self {
        self.parameters = parameters;
        self.checked = checked;
        self
    }

    pub(super) fn once(&self, name: &'static str) -> Result<Option<&str>, Error> {
        form::once(&self.parameters, name)
            .map_err(|Repeated| Error::new(ErrorKind::ParamInvalid, name))
    }

    /// Finds the login that waits for this callback; it can be found once.
    ///
    /// # Errors
    ///
    /// `state_missing`, `param_invalid` and those of [`PendingLogins::take`]; `state_mismatch` when
    /// the login belongs to another provider or client, for whom it waits on; `flow_unknown` when
    /// the callback came to another place than the login asked for.
    pub(super) fn claim(
        &self,
        logins: &mut PendingLogins,
        client: &Client,
        now: Timestamp,
    ) -> Result<PendingLogin, Error> {
        let state = self.once("state")?;
        #[cfg(feature = "backend")]
        let state = match &self.signed {
            Some(signed) => signed.claimed_state()?,
            None => state,
        };
        let state = state.ok_or(ErrorKind::StateMissing)?;
        let is_ours = |login: &PendingLogin| {
            login.issuer == client.provider().issuer().as_str()
                && login.client_id == client.config().client_id
        };
        // RFC 9700 section 4.4: the state of one provider is worth nothing at another.
        if !logins.find(state).is_none_or(is_ours) {
            return Err(ErrorKind::StateMismatch.into());
        }
        let login = logins.take(state, now)?;
        if self.came_to(&login.redirect_uri) {
            Ok(login)
        } else {
            Err(Error::new(ErrorKind::FlowUnknown, "redirect_uri"))
        }
    }

    /// Whether the callback came to the redirect URI, its query aside; an empty path is "/".
    pub(super) fn came_to(&self, redirect_uri: &str) -> bool {
        let (Some(place), Some(expected)) = (Url::parse(&self.place), Url::parse(redirect_uri))
        else {
            return false;
        };
        let path = |url: &Url| {
            if url.path().is_empty() {
                String::from("/")
            } else {
                url.path().into()
            }
        };
        place.origin() == expected.origin() && path(&place) == path(&expected)
    }
}

/// An authorization code whose response was checked: nothing else can be exchanged.
#[derive(Debug)]
pub struct CallbackCode {
    code: Secret<String>,
    login: PendingLogin,
    checked: Vec<&'static str>,
}

impl CallbackCode {
    /// Checks a response against the login that waited for it, whose `state` is equal already.
    ///
    /// # Errors
    ///
    /// `iss_missing`, `iss_mismatch`, `server_error_response`, `login_required`, `code_missing`, `param_invalid`.
    pub(super) fn check(
        callback: &Callback,
        login: PendingLogin,
        client: &Client,
    ) -> Result<Self, Error> {
        #[cfg(feature = "backend")]
        if callback.signed.is_some() {
            return Err(ErrorKind::FlowMisused.into());
        }
        // RFC 9207 section 2.4: compared as strings, also for error responses, before anything is sent.
        let iss = callback.once("iss")?;
        match iss {
            Some(iss) if iss != login.issuer => return Err(ErrorKind::IssMismatch.into()),
            None if client
                .provider()
                .metadata()
                .is_some_and(|metadata| metadata.names_itself_in_callbacks()) =>
            {
                return Err(ErrorKind::IssMissing.into());
            }
            _ => {}
        }
        // RFC 6749 section 4.1.2.1.
        let code = callback.once("code")?;
        if let Some(error) = callback.once("error")? {
            // OpenID Connect Core section 3.1.2.6: what was to go on without the user needs them.
            let kind = match error {
                "login_required"
                | "interaction_required"
                | "consent_required"
                | "account_selection_required" => ErrorKind::LoginRequired,
                _ => ErrorKind::ServerErrorResponse,
            };
            return Err(Error::from(kind).with_details(Details {
                error: Some(clean(error)),
                error_description: callback.once("error_description")?.map(clean),
                ..Details::default()
            }));
        }
        // RFC 6749 appendix A.11: printable ASCII and spaces.
        match code {
            None | Some("") => Err(ErrorKind::CodeMissing.into()),
            Some(code)
                if code.len() > MAX_CODE
                    || !code.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) =>
            {
                Err(Error::new(ErrorKind::ParamInvalid, "code"))
            }
            Some(code) => Ok(Self {
                code: Secret::new(code.into()),
                login,
                checked: [
                    callback.checked.as_slice(),
                    &["state"],
                    if iss.is_some() { &["iss"] } else { &[] },
                    &["code"],
                ]
                .concat(),
            }),
        }
    }

    /// What was checked, in order.
    pub fn checked(&self) -> &[&'static str] {
        &self.checked
    }

    /// The code, for the token request.
    pub(super) fn code(&self) -> &Secret<String> {
        &self.code
    }

    /// The login that it belongs to.
    pub(super) fn login(&self) -> &PendingLogin {
        &self.login
    }

    /// The login alone, after the exchange.
    pub(super) fn into_login(self) -> PendingLogin {
        self.login
    }
}
