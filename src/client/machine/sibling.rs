//! Clients of many users at one provider, as servers have them: each request has a client of its own
//! for as long as it takes, and what one learns of the provider the others know.

use crate::client::Client;
use crate::jose::TokenNames;
use crate::time::Lifetime;

/// When an access token is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // Early or late: there is no third.
pub enum Renewal {
    /// Ahead of its end, as [`ClientConfig::refresh_skew`](crate::client::ClientConfig) says.
    Early,
    /// When it is over.
    Late,
}

impl Client {
    /// A client with the same configuration, key and knowledge of the provider, and without a session.
    ///
    /// The seed names its proofs of possession: 32 bytes that a cryptographically secure generator made
    /// for this call. Nothing that was granted to the one is the other's.
    ///
    /// What it does not check: that the seed is random.
    pub fn sibling(&self, renewal: Renewal, seed: [u8; 32]) -> Self {
        let mut config = self.config.clone();
        if renewal == Renewal::Late {
            config.refresh_skew = Lifetime::from_seconds(0);
        }
        let names = || TokenNames::new(seed);
        Self {
            dpop: self.dpop.as_ref().map(|key| key.sibling(names())),
            machine: self.machine.sibling(),
            ..Self::new(config, self.provider.sibling())
        }
    }

    /// Takes over what a sibling learnt of the provider, its metadata, keys and nonces, unless
    /// something newer is known here. Its session is not taken over.
    pub fn learn_from(&mut self, sibling: Self) {
        self.provider.learn_from(sibling.provider);
        if sibling.dpop.is_some() {
            self.dpop = sibling.dpop;
        }
    }
}
