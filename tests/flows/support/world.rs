//! The two worlds of the tests: an application that signs users in, and an API that is guarded.

use gatepass::Error;
use gatepass::client::machine::{Grant, GrantRequest, TokenSet};
use gatepass::client::{
    Client, Completion, PendingLogins, PendingLogouts, Refresh, SignIn, SignInOptions, SignOut,
    SignOutOptions, SignedIn, SignedOut, UserInfo,
};
use gatepass::guard::{BearerToken, Check, Guard, Need, Principal, Refusal};
use gatepass::http::json::{self, Object};
use gatepass::random::Entropy;
use serde_json::{Value, json};

use super::{Idp, Net, Token};

/// Options as the core reads them.
pub(crate) fn options(value: &Value) -> Object {
    json::read_object(value.to_string().as_bytes(), 1 << 20).unwrap()
}

/// An application at `https://app.example` with its provider at `https://as.example`.
pub(crate) struct World {
    pub(crate) net: Net,
    pub(crate) client: Client,
    pub(crate) logins: PendingLogins,
    pub(crate) logouts: PendingLogouts,
    entropy: u8,
    seeds: u32,
}

impl World {
    /// The usual client.
    pub(crate) fn new() -> Self {
        Self::with(json!({}))
    }

    /// The usual client with more or other options.
    pub(crate) fn with(more: Value) -> Self {
        let mut given = json!({
            "issuer": "https://as.example",
            "clientId": "spa",
            "redirectUri": "https://app.example/cb",
        });
        for (name, value) in more.as_object().unwrap() {
            given[name] = value.clone();
        }
        let issuer = given["issuer"].as_str().unwrap_or("https://as.example");
        Self {
            net: Net::new(vec![Idp::new(issuer)]),
            client: Client::from_options(&options(&given)).unwrap(),
            logins: PendingLogins::default(),
            logouts: PendingLogouts::default(),
            entropy: 0,
            seeds: 0,
        }
    }

    /// The provider.
    pub(crate) fn idp(&mut self) -> &mut Idp {
        &mut self.net.idps[0]
    }

    /// Random bytes that are different each time, and the same in each run.
    pub(crate) fn entropy(&mut self) -> Entropy {
        self.entropy += 1;
        let mut bytes = [0; Entropy::BYTES];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::try_from(index).unwrap() ^ self.entropy.wrapping_mul(37);
        }
        Entropy::new(bytes).unwrap()
    }

    /// Begins a sign-in: the URL to which the user goes.
    pub(crate) fn begin(&mut self) -> Result<String, Error> {
        self.begin_with(json!({}))
    }

    /// Begins a sign-in with options.
    pub(crate) fn begin_with(&mut self, given: Value) -> Result<String, Error> {
        let given = SignInOptions::from_options(&options(&given))?;
        let mut flow = SignIn::new(given, self.entropy());
        let request = self.net.run(&mut flow, &mut self.client)?;
        self.logins.add(request.login, self.net.now);
        // As a page does, through storage; the verifiers in it must never be printed.
        let stored = self.logins.to_json();
        let read: Value = serde_json::from_str(&stored).unwrap();
        for login in read["waiting"].as_array().unwrap() {
            self.net.keep_secret(login["verifier"].as_str().unwrap());
        }
        // The one token that a URL holds is the hint, which stands there by specification.
        let url = request.url.split("&id_token_hint=").next().unwrap();
        self.net.assert_silent(&format!("{url} {:?}", self.logins));
        self.logins = PendingLogins::read(Some(&stored));
        Ok(request.url)
    }

    /// The browser comes back with this URL.
    pub(crate) fn finish(&mut self, url: &str) -> Result<SignedIn, Error> {
        let (logins, client, now) = (&mut self.logins, &self.client, self.net.now);
        let flow = match url.split_once('\n') {
            Some((url, form)) => Completion::posted(url, form, logins, client, now),
            None => Completion::new(url, logins, client, now),
        };
        let mut flow =
            flow.inspect_err(|error| self.net.assert_silent(&format!("{error} {error:?}")))?;
        self.net.run(&mut flow, &mut self.client)
    }

    /// The user agrees: the URL to which the browser comes back.
    pub(crate) fn agree(&mut self, url: &str) -> String {
        let now = self.net.now;
        self.idp().authorize(url, now)
    }

    /// A whole sign-in.
    pub(crate) fn sign_in(&mut self) -> Result<SignedIn, Error> {
        let url = self.begin()?;
        let callback = self.agree(&url);
        self.finish(&callback)
    }

    /// Random bytes that are different each time.
    pub(crate) fn seed(&mut self) -> [u8; 32] {
        self.seeds += 1;
        let mut seed = [7; 32];
        for (place, byte) in seed.iter_mut().zip(self.seeds.to_be_bytes()) {
            *place = byte;
        }
        seed
    }

    /// The access token for client credentials, asked for when there is none.
    pub(crate) fn granted(&mut self, given: Value) -> Result<String, Error> {
        let grant = Grant::client_credentials(&options(&given), &self.client)?;
        let now = self.net.now;
        if self.client.granted(&grant, now).is_none() {
            let mut flow = GrantRequest::new(grant.clone(), self.seed());
            self.net.run(&mut flow, &mut self.client)?;
        }
        let now = self.net.now;
        let token = self.client.granted_alive(&grant, now).unwrap();
        Ok(token.expose().clone())
    }

    /// What comes of another grant.
    pub(crate) fn tokens_of(&mut self, grant: Grant) -> Result<TokenSet, Error> {
        let mut flow = GrantRequest::new(grant, self.seed());
        let tokens = self.net.run(&mut flow, &mut self.client)?;
        Ok(tokens.unwrap())
    }

    /// Renews the tokens.
    pub(crate) fn refresh(&mut self) -> Result<(), Error> {
        let mut flow = Refresh::new(&self.client);
        self.net.run(&mut flow, &mut self.client)
    }

    /// Asks for what the provider says of the user, as JSON.
    pub(crate) fn userinfo(&mut self) -> Result<Value, Error> {
        let mut flow = UserInfo::new(&self.client);
        let claims = self.net.run(&mut flow, &mut self.client)?;
        let text = json::Value::from(claims.as_object().clone()).to_json();
        Ok(serde_json::from_str(&text).unwrap())
    }

    /// Signs out: the URL that ends the session at the provider.
    pub(crate) fn sign_out(&mut self) -> Result<Option<String>, Error> {
        let signed_out = self.sign_out_with(json!({}))?;
        Ok(signed_out.url.map(|url| url.expose().clone()))
    }

    /// Signs out with options.
    pub(crate) fn sign_out_with(&mut self, given: Value) -> Result<SignedOut, Error> {
        let given = SignOutOptions::from_options(&options(&given))?;
        let entropy = self.entropy();
        let mut flow = SignOut::new(&mut self.client, given, entropy);
        let signed_out = self.net.run(&mut flow, &mut self.client)?;
        self.net.assert_silent(&format!("{signed_out:?}"));
        if let Some(logout) = &signed_out.logout {
            // As a page does, through storage.
            self.logouts.add(logout.clone(), self.net.now);
            self.logouts = PendingLogouts::read(Some(&self.logouts.to_json()));
        }
        Ok(signed_out)
    }

    /// The browser comes back from the provider's sign-out.
    pub(crate) fn come_back(&mut self, url: &str) -> Result<Option<String>, Error> {
        self.logouts.take(url, &self.client, self.net.now)
    }

    /// The outcome of a sign-in whose ID token was changed.
    pub(crate) fn sign_in_with_id_token(
        &mut self,
        edit: impl Fn(&mut Token) + 'static,
    ) -> Result<SignedIn, Error> {
        self.idp().edit_id_token = Some(Box::new(edit));
        self.sign_in()
    }
}

/// An API with its guard.
pub(crate) struct GuardWorld {
    pub(crate) net: Net,
    pub(crate) guard: Guard,
}

impl GuardWorld {
    /// An API named `api` that trusts `https://as.example`.
    pub(crate) fn new() -> Self {
        Self::with(json!({}))
    }

    /// The usual guard with more or other options. There is a provider for each issuer.
    pub(crate) fn with(more: Value) -> Self {
        let mut given = json!({"issuer": "https://as.example", "audience": "api"});
        for (name, value) in more.as_object().unwrap() {
            given[name] = value.clone();
        }
        let issuers = match &given["issuer"] {
            Value::Array(list) => list.clone(),
            one => vec![one.clone()],
        };
        let idps = issuers
            .iter()
            .map(|issuer| Idp::new(issuer.as_str().unwrap_or("https://as.example")))
            .collect();
        Self {
            net: Net::new(idps),
            guard: Guard::from_options(&options(&given)).unwrap(),
        }
    }

    /// The provider.
    pub(crate) fn idp(&mut self) -> &mut Idp {
        &mut self.net.idps[0]
    }

    /// A good access token, before it is signed.
    pub(crate) fn token(&self) -> Token {
        self.net.idps[0].access_token(self.net.now)
    }

    /// A good access token.
    pub(crate) fn good(&self) -> String {
        self.token().sign(self.net.idps[0].key())
    }

    /// A token that is right but for one change, signed.
    pub(crate) fn edited(&self, edit: impl FnOnce(&mut Token)) -> String {
        let mut token = self.token();
        edit(&mut token);
        token.sign(self.net.idps[0].key())
    }

    /// Checks a token.
    pub(crate) fn check(&mut self, token: &str) -> Result<Principal, Error> {
        self.check_need(Ok(BearerToken::new(token)), &Need::nothing())
            .map_err(|refusal| refusal.error().clone())
    }

    /// Checks an `Authorization` header.
    pub(crate) fn header(&mut self, header: Option<&str>) -> Result<Principal, Refusal> {
        self.check_need(BearerToken::read(header), &Need::nothing())
    }

    /// Checks a token for a request that needs these scopes.
    pub(crate) fn scoped(&mut self, token: &str, scopes: &[&str]) -> Result<Principal, Refusal> {
        let need = Need::of_scopes(scopes.iter().copied()).unwrap();
        self.check_need(Ok(BearerToken::new(token)), &need)
    }

    /// An API that asks its provider about opaque tokens, as `rs`.
    pub(crate) fn introspecting(more: Value) -> Self {
        Self::introspecting_with(more, json!({}))
    }

    /// The same with more or other options of the guard itself.
    pub(crate) fn introspecting_with(more: Value, mut guard: Value) -> Self {
        let mut introspection = json!({"clientId": "rs", "clientSecret": "S3CRET-of-rs"});
        for (name, value) in more.as_object().unwrap() {
            introspection[name] = value.clone();
        }
        guard["introspection"] = introspection;
        let mut world = Self::with(guard);
        world.net.keep_secret("S3CRET-of-rs");
        world
    }

    /// A good opaque token.
    pub(crate) fn opaque(&mut self) -> String {
        self.opaque_with(|_| {})
    }

    /// An opaque token about which the provider says something else.
    pub(crate) fn opaque_with(&mut self, edit: impl FnOnce(&mut super::Members)) -> String {
        let now = self.net.now;
        let token = self.idp().opaque_token(now);
        self.net.keep_secret(&token);
        edit(self.idp().opaque.get_mut(&token).unwrap());
        token
    }

    /// The refusal of a token.
    #[track_caller]
    pub(crate) fn refusal(&mut self, token: &str) -> Refusal {
        self.check_need(Ok(BearerToken::new(token)), &Need::nothing())
            .unwrap_err()
    }

    /// Checks a token for a request with this need.
    pub(crate) fn needing(&mut self, token: &str, need: Value) -> Result<Principal, Refusal> {
        let need = Need::from_options(&options(&need)).unwrap();
        self.check_need(Ok(BearerToken::new(token)), &need)
    }

    fn check_need(
        &mut self,
        token: Result<BearerToken, Error>,
        need: &Need,
    ) -> Result<Principal, Refusal> {
        self.net.assert_silent(&format!("{token:?}"));
        let mut flow = Check::new(&self.guard, token, need);
        let checked = self.net.run(&mut flow, &mut self.guard);
        checked.map_err(|error| flow.refusal(&self.guard, error))
    }

    /// The code of a check, or `accepted`. The token must not be printed by anything.
    pub(crate) fn code(&mut self, token: &str) -> &'static str {
        if (20..20_000).contains(&token.len()) {
            self.net.keep_secret(token);
        }
        super::code(self.check(token))
    }

    /// The code and place for a token with one change to its claims.
    pub(crate) fn claims(
        &mut self,
        edit: impl FnOnce(&mut super::Members),
    ) -> (&'static str, String) {
        let token = self.edited(|token| edit(&mut token.claims));
        super::code_at(self.check(&token))
    }
}
