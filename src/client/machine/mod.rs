//! What machines do: tokens without a user's browser.
//!
//! A [`Grant`] says what is asked for, [`GrantRequest`] asks for it. What came of client credentials
//! is kept in the [`Client`] and lent out until its end is near, see [`Client::granted`].
//! [`DeviceLogin`] signs a user in who has a browser somewhere else.

mod auth_config;
mod bound;
mod device;
mod grant;
mod granted;
mod protected_resource;
mod registration;
mod request;
pub(super) mod request_object;
mod sibling;
pub(super) mod signed_response;

pub use auth_config::AuthConfig;
pub use device::{DeviceLogin, DevicePrompt, DeviceStart};
pub use grant::Grant;
pub use granted::{Granted, TokenSet};
pub use protected_resource::{DiscoverResource, ProtectedResource};
pub use registration::{ClientRegistration, Register};
pub use request::GrantRequest;
pub use sibling::Renewal;

use crate::client::Client;
use crate::error::{Error, Phase};
use crate::http::form::Form;
use crate::issuer::{ClientAuthentication, Provider, Shown};
use crate::jose::{Algorithm, KeyName, SigningKey, TokenNames};
use crate::options::invalid;
use crate::time::Timestamp;

/// What a client is besides, where it is a machine.
#[derive(Debug)]
pub(super) struct Machine {
    /// How it shows who it is.
    pub(super) authentication: ClientAuthentication,
    /// The scope of the options, if one was given: that of a user's sign-in has a default.
    pub(super) scope: Option<String>,
    /// What it was granted.
    granted: Granted,
    /// Names for assertions.
    names: Option<TokenNames>,
    /// Whether its authorization requests are signed (RFC 9101).
    signs_requests: bool,
    /// With what, once the host has told of it.
    request_key: Option<SigningKey>,
}

impl Machine {
    /// A machine that shows itself so.
    pub(super) fn new(authentication: ClientAuthentication, scope: Option<String>) -> Self {
        Self {
            authentication,
            scope,
            granted: Granted::default(),
            names: None,
            signs_requests: false,
            request_key: None,
        }
    }

    /// The same, and it signs its authorization requests.
    pub(super) fn signing_requests(self, signs_requests: bool) -> Self {
        Self {
            signs_requests,
            ..self
        }
    }

    /// The same, to which nothing was granted and whose assertions are not named yet.
    pub(super) fn sibling(&self) -> Self {
        Self {
            authentication: self.authentication.clone(),
            scope: self.scope.clone(),
            granted: Granted::default(),
            names: None,
            signs_requests: self.signs_requests,
            request_key: self.request_key.clone(),
        }
    }

    /// Adds to a form, and says, what shows the provider who this is.
    pub(super) fn show(
        &mut self,
        form: &mut Form,
        provider: &Provider,
        now: Timestamp,
    ) -> Result<Shown, Error> {
        let making = self.names.as_mut().map(|names| (names, now));
        self.authentication
            .apply(form, provider.issuer(), provider.metadata(), making)
    }
}

impl Client {
    /// Whether a key is needed that nobody has given yet, see [`Client::set_key`].
    pub fn lacks_key(&self) -> bool {
        self.machine.authentication.lacks_key()
    }

    /// Names the assertions with which users' sign-ins, refreshes and sign-outs show who the client
    /// is, by a seed that a cryptographically secure generator made for this call. Without it
    /// `client_secret_jwt` and `private_key_jwt` fail there with `config_invalid` at `method`; grants
    /// and device logins have seeds of their own. An earlier seed stays.
    pub fn give_seed(&mut self, seed: [u8; 32]) {
        let names = &mut self.machine.names;
        names.get_or_insert_with(|| TokenNames::new(seed));
    }

    /// Whether a seed is needed that nobody has given yet, see [`Client::give_seed`].
    pub fn lacks_seed(&self) -> bool {
        self.machine.names.is_none() && self.machine.authentication.makes_assertions()
    }

    /// Says with which key the host signs for this client, for `private_key_jwt`, and under which
    /// `kid` the provider knows it.
    ///
    /// # Errors
    ///
    /// `config_invalid` at `key` when the way of authentication needs none, at `alg` for HMAC.
    pub fn set_key(&mut self, algorithm: Algorithm, key_id: Option<String>) -> Result<(), Error> {
        self.machine.authentication.set_key(algorithm, key_id)
    }

    /// Whether authorization requests are to be signed and nobody has given the key yet, see
    /// [`Client::set_request_key`].
    pub fn lacks_request_key(&self) -> bool {
        self.machine.signs_requests && self.machine.request_key.is_none()
    }

    /// Says with which key the host signs authorization requests, as
    /// [`KeyName::RequestObject`], with the option `requestObject`, and under which `kid` the
    /// provider knows it.
    ///
    /// # Errors
    ///
    /// `config_invalid` at `key` without that option, at `alg` for HMAC.
    pub fn set_request_key(
        &mut self,
        algorithm: Algorithm,
        key_id: Option<String>,
    ) -> Result<(), Error> {
        if algorithm.is_symmetric() {
            return Err(invalid("alg").during(Phase::Config));
        }
        if !self.machine.signs_requests {
            return Err(invalid("key").during(Phase::Config));
        }
        let key = SigningKey::new(KeyName::RequestObject, algorithm, key_id);
        self.machine.request_key = Some(key);
        Ok(())
    }
}
