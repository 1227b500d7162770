//! What machines do: tokens without a user's browser.
//!
//! A [`Grant`] says what is asked for, [`GrantRequest`] asks for it. What came of client credentials
//! is kept in the [`Client`] and lent out until its end is near, see [`Client::granted`].
//! [`DeviceLogin`] signs a user in who has a browser somewhere else.

mod auth_config;
mod device;
mod grant;
mod granted;
mod request;

pub use auth_config::AuthConfig;
pub use device::{DeviceLogin, DevicePrompt, DeviceStart};
pub use grant::Grant;
pub use granted::{Granted, TokenSet};
pub use request::GrantRequest;

use crate::client::Client;
use crate::error::Error;
use crate::issuer::ClientAuthentication;
use crate::jose::Algorithm;

/// What a client is besides, where it is a machine.
#[derive(Debug)]
pub(super) struct Machine {
    /// How it shows who it is.
    pub(super) authentication: ClientAuthentication,
    /// The scope of the options, if one was given: that of a user's sign-in has a default.
    pub(super) scope: Option<String>,
    /// What it was granted.
    granted: Granted,
}

impl Machine {
    /// A machine that shows itself so.
    pub(super) fn new(authentication: ClientAuthentication, scope: Option<String>) -> Self {
        Self {
            authentication,
            scope,
            granted: Granted::default(),
        }
    }
}

impl Client {
    /// Whether a key is needed that nobody has given yet, see [`Client::set_key`].
    pub fn lacks_key(&self) -> bool {
        self.machine.authentication.lacks_key()
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
}
