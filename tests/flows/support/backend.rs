//! A backend that hears of sign-outs over the back channel.

use gatepass::Error;
use gatepass::client::{CheckLogout, LogoutReceiver, LogoutRequest, LogoutToken};
use gatepass::http::form;
use serde_json::{Value, json};

use super::{Idp, Net, Token, options};

/// The event of a logout token.
pub(crate) const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// The media type of its request.
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// A backend of the client `spa` with its provider.
pub(crate) struct Backend {
    pub(crate) net: Net,
    pub(crate) receiver: LogoutReceiver,
    count: u32,
}

impl Backend {
    /// The usual backend.
    pub(crate) fn new() -> Self {
        Self::with(json!({}))
    }

    /// The usual backend with more or other options.
    pub(crate) fn with(more: Value) -> Self {
        let mut given = json!({"issuer": "https://as.example", "clientId": "spa"});
        for (name, value) in more.as_object().unwrap() {
            given[name] = value.clone();
        }
        Self {
            net: Net::new(vec![Idp::new("https://as.example")]),
            receiver: LogoutReceiver::from_options(&options(&given)).unwrap(),
            count: 0,
        }
    }

    /// A good token, before it is signed.
    pub(crate) fn token(&mut self) -> Token {
        self.count += 1;
        let now = self.net.now.seconds();
        let mut token = Token::by(self.net.idps[0].key(), "logout+jwt");
        token
            .claims
            .set("iss", json!("https://as.example"))
            .set("aud", json!("spa"))
            .set("iat", now)
            .set("exp", now + 120)
            .set("jti", json!(format!("logout-{}", self.count)))
            .set("sub", json!("user-1"))
            .set("sid", json!("session-1"))
            .set("events", json!({EVENT: {}}));
        token
    }

    /// Checks a token as it stands.
    pub(crate) fn check_text(&mut self, token: &str) -> Result<LogoutToken, Error> {
        if token.len() > 20 {
            self.net.keep_secret(token);
        }
        let mut body = form::Form::new();
        body.push("logout_token", token);
        let request = LogoutRequest::read("POST", Some(FORM), body.encoded())?;
        self.net.assert_silent(&format!("{request:?}"));
        let mut flow = CheckLogout::new(request);
        self.net.run(&mut flow, &mut self.receiver)
    }

    /// Checks a good token after this change.
    pub(crate) fn check(&mut self, edit: impl FnOnce(&mut Token)) -> Result<LogoutToken, Error> {
        let mut token = self.token();
        edit(&mut token);
        let text = token.sign(self.net.idps[0].key());
        self.check_text(&text)
    }
}
