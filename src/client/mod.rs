//! Gets a pass: signs a user in and keeps the tokens fresh.
//!
//! The story of a sign-in:
//!
//! 1. [`SignIn`] finds the provider and makes the authorization request, with fresh `state`,
//!    `nonce` and PKCE verifier. The page goes to its URL; the [`PendingLogin`] waits in storage.
//! 2. [`Completion`] takes the callback: the pending login is found by `state`, the response is
//!    checked, the code exchanged, the ID token verified. What comes out is a [`Session`].
//! 3. [`Session::attach`] hands out the access token, or says that [`Refresh`] is due or that
//!    someone must sign in.
//!    What an API refuses, [`remedy`] reads.
//!    With the option `dpop` the tokens are bound to a [`DpopKey`], which [`Prove`] shows.
//!    [`UserInfo`] asks the provider what it knows of the user.
//!    With a [`FedCmRequest`] an ID token of the browser's own account chooser takes the place of a
//!    callback.
//! 4. [`SignOut`] ends the session here, its tokens at the provider, and makes the URL that ends the
//!    provider's own session; [`PendingLogouts`] checks the return from there.
//!    [`Client::frontchannel_logout`] hears the provider's own word; [`CheckLogout`] does in a
//!    backend, without a client.
//!
//! What the flows share is a [`Client`]. They never import the guard. [`Steps`] are the parts of 1 and 2
//! one by one, for programs that drive a sign-in themselves.

mod authorize;
mod callback;
mod complete;
mod config;
mod dpop;
mod exchange;
mod fedcm;
mod frontchannel;
mod id_token;
mod logout;
mod logout_return;
#[cfg(feature = "backend")]
mod logout_token;
#[cfg(feature = "backend")]
pub mod machine;
mod pending;
mod pkce;
mod push;
mod refresh;
mod resource;
mod revocation;
mod session;
#[cfg(feature = "primitives")]
mod steps;
mod userinfo;

pub use authorize::{AuthorizationRequest, Mode, SignIn, SignInOptions};
pub use callback::CallbackCode;
pub use complete::{Completion, SignedIn};
pub use config::{ClientConfig, Par, ResponseMode};
pub use dpop::{DpopConfig, DpopKey, Prove};
pub use exchange::Tokens;
pub use fedcm::{FedCmRequest, fedcm_error};
pub use id_token::{IdToken, IdTokenChecks};
pub use logout::{SignOut, SignOutOptions, SignedOut};
pub use logout_return::{PendingLogout, PendingLogouts};
#[cfg(feature = "backend")]
pub use logout_token::{
    CheckLogout, LogoutAnswer, LogoutReceiver, LogoutRequest, LogoutToken, MAX_LOGOUT_REQUEST,
    ends_session,
};
pub use pending::{PendingLogin, PendingLogins};
pub use pkce::{CodeVerifier, challenge};
pub use refresh::Refresh;
pub use resource::{Remedy, remedy};
pub use session::{Attach, Session};
#[cfg(feature = "primitives")]
pub use steps::{Beside, Login, StepCode, Steps, decode};
pub use userinfo::UserInfo;

use crate::error::Error;
use crate::flow::{Checked, Reports};
#[cfg(feature = "backend")]
use crate::issuer::ClientAuthentication;
use crate::issuer::Provider;

/// A client at one provider: its configuration, what is known of the provider, and its session.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    provider: Provider,
    session: Option<Session>,
    /// The key that tokens are bound to, once the host has told of it.
    dpop: Option<DpopKey>,
    /// Counts sessions, so that an answer that was under way when one ended is not stored.
    generation: u64,
    /// Counts sign-outs, so that a sign-in that was under way when somebody left comes to nothing.
    departures: u32,
    /// Whether the last sign-out was to leave the tokens alive at the provider.
    keeps_tokens: bool,
    /// What the program should know and nobody waits for.
    alerts: Vec<Error>,
    #[cfg(feature = "backend")]
    machine: machine::Machine,
}

/// As whom a sign-in begins: it comes to nothing when somebody signs out meanwhile, or when the key is
/// another one that its tokens are bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    departures: u32,
    key: Option<String>,
}

impl Reports for Client {
    fn take_reports(&mut self) -> Vec<Checked> {
        self.provider.take_reports()
    }

    fn take_alerts(&mut self) -> Vec<Error> {
        core::mem::take(&mut self.alerts)
    }
}

/// Whose session it is: of which sign-in, and of which user where an ID token says so.
#[derive(Clone, Debug)]
pub struct Owner {
    since: i64,
    subject: Option<String>,
}

impl Owner {
    /// Whether it is the same user, as far as anybody knows: by the sign-in, or by the name.
    pub fn is(&self, other: &Self) -> bool {
        self.since == other.since || (self.subject.is_some() && self.subject == other.subject)
    }

    /// As text, for a caller across a boundary.
    pub fn to_text(&self) -> String {
        let subject = self.subject.as_deref().unwrap_or_default();
        [&self.since.to_string(), " ", subject].concat()
    }

    /// From such a text; `None` for another one.
    pub fn read(text: &str) -> Option<Self> {
        let (since, subject) = text.split_once(' ')?;
        Some(Self {
            since: since.parse().ok()?,
            subject: Some(subject.into()).filter(|subject: &String| !subject.is_empty()),
        })
    }
}

impl Client {
    /// A client without a session.
    pub fn new(config: ClientConfig, provider: Provider) -> Self {
        Self {
            #[cfg(feature = "backend")]
            machine: machine::Machine::new(ClientAuthentication::public(&config.client_id), None),
            config,
            provider,
            session: None,
            dpop: None,
            generation: 0,
            departures: 0,
            keeps_tokens: false,
            alerts: Vec::new(),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &ClientConfig {
        &self.config
    }

    /// The provider.
    pub fn provider(&self) -> &Provider {
        &self.provider
    }

    /// The session, while someone is signed in.
    pub fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// The key that tokens are bound to, with the option `dpop`.
    pub fn dpop_key(&self) -> Option<&DpopKey> {
        self.dpop.as_ref()
    }

    /// From now on tokens are bound to this key, or, until another one is given, nothing is sent
    /// that needs one.
    pub fn set_dpop_key(&mut self, key: Option<DpopKey>) {
        self.dpop = key;
    }

    /// What a server wants to see in the next proof for its origin (RFC 9449 section 8.2).
    pub fn learn_nonce(&mut self, url: &str, nonce: &str) {
        if let (Some(key), Some(server)) = (&mut self.dpop, resource::server_of(url)) {
            key.learn(&server.origin(), nonce);
        }
    }

    /// Whether the session is bound as this client binds its tokens: to its key, or not at all. One
    /// of before the option `dpop` was turned on is not, and one without tokens needs no key.
    pub fn holds_session_key(&self) -> bool {
        let key = self.dpop.as_ref().map(|key| key.thumbprint().as_str());
        self.session.as_ref().is_none_or(|session| {
            let is_bound = session.thumbprint().is_some();
            session.access_token().is_none()
                || is_bound == self.config.dpop.is_some() && session.thumbprint() == key
        })
    }

    /// Goes on with a session that was stored, in place of the one that is there.
    ///
    /// Refreshes that are under way come to nothing.
    pub fn restore_session(&mut self, session: Session) {
        self.set_session(Some(session));
    }

    /// Ends the session here. Refreshes that are under way come to nothing.
    pub fn forget_session(&mut self) {
        self.set_session(None);
    }

    /// Ends the session here because somebody signed out where another session is kept, and says
    /// whether it did: that of another user goes on, where both are known.
    pub fn signed_out_elsewhere(&mut self, subject: Option<&str>) -> bool {
        let Some(session) = self.session() else {
            return false;
        };
        let own = session.user().and_then(|user| user.string("sub").ok());
        let is_other = matches!((own.flatten(), subject), (Some(own), Some(other)) if own != other);
        if !is_other {
            self.leave();
        }
        !is_other
    }

    /// Whose session it is, to be compared later: what was begun for one user must not go on as another.
    /// `None` where nobody is signed in.
    pub fn owner(&self) -> Option<Owner> {
        let session = self.session()?;
        let user = session.signed_in_as();
        Some(Owner {
            since: session.since().millis(),
            subject: user.and_then(|user| user.string("sub").ok().flatten().map(String::from)),
        })
    }

    /// As whom something begins now.
    pub(crate) fn standing(&self) -> Standing {
        let key = self.dpop.as_ref().map(|key| key.thumbprint().as_str());
        Standing {
            departures: self.departures,
            key: key.map(String::from),
        }
    }

    /// Ends the session here: somebody signed out.
    fn leave(&mut self) {
        self.forget_session();
        self.departures = self.departures.wrapping_add(1);
    }

    fn set_session(&mut self, session: Option<Session>) {
        self.keeps_tokens &= session.is_none();
        self.session = session;
        self.generation = self.generation.wrapping_add(1);
    }
}
