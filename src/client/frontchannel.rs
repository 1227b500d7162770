//! Signing out because the provider says so in a frame (OpenID Connect Front-Channel Logout 1.0).

use crate::client::Client;
use crate::client::callback::Callback;

impl Client {
    /// Ends the session when the URL that the provider opened is about it, and says whether it did.
    ///
    /// The URL comes from whoever can open a frame. So by default it must name this issuer and the
    /// `sid` of this session, which an outsider does not know; with
    /// `frontchannelLogoutSessionRequired: false` a URL without both is believed as well. One
    /// without the other, another issuer, another session and what cannot be read change nothing
    /// (section 2).
    ///
    /// What it does not do: reach a session that is not there, as in a frame of another site, where
    /// browsers keep storage apart. Back-channel logout has no such limit.
    pub fn frontchannel_logout(&mut self, url: &str) -> bool {
        let is_ours = self.is_about_us(url).unwrap_or(false);
        if is_ours {
            self.leave();
        }
        is_ours
    }

    fn is_about_us(&self, url: &str) -> Option<bool> {
        let session = self.session()?;
        let callback = Callback::parse(url).ok()?;
        let of = |name| callback.once(name).ok();
        Some(match (of("iss")?, of("sid")?) {
            (Some(iss), Some(sid)) => {
                let own = session.signed_in_as()?.string("sid").ok()??;
                iss == self.provider().issuer().as_str() && crate::secret::ct_eq(sid, own)
            }
            (None, None) => !self.config().frontchannel_logout_session_required,
            _ => false,
        })
    }
}
