//! The client for JavaScript.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::client::{
    Attach, Client, Completion, DpopKey, FedCmRequest, Owner, PendingLogins, PendingLogouts, Prove,
    Refresh, Remedy, SignIn, SignInOptions, SignOut, SignOutOptions, UserInfo, fedcm_error, remedy,
};
use crate::error::{Error, ErrorKind, Phase};
use crate::http::Unreachable;
use crate::http::json::{self, Object, Value};
use crate::jose::{KeyName, TokenNames};
use crate::secret::Secret;
use crate::time::{Lifetime, Timestamp};
use crate::wasm::drive::{ClientHost, Host, promise};
use crate::wasm::error::to_js;
use crate::wasm::fetch::Deadline;
use crate::wasm::keep::{Change, FRESH, Found, Keep, Turn};
use crate::wasm::keyring::{JsKeyring, Keyring};
#[cfg(feature = "backend")]
use crate::wasm::machine::Machine;
use crate::wasm::share::{Shared, Turn as LoginsTurn, Turns};
use crate::wasm::store::{JsStore, Place};
use crate::wasm::{MAX_OPTIONS, ambient, options};

/// A client; every method may be called while another one is under way.
#[wasm_bindgen(js_name = Client)]
pub struct JsClient(pub(super) Rc<State>);

pub(super) struct State {
    pub(super) client: RefCell<Client>,
    pub(super) host: ClientHost,
    /// Where sign-ins wait for their callback.
    logins: Place,
    /// Where sign-outs wait for the user's return.
    logouts: Place,
    logins_turns: Turns,
    /// Where the session is kept.
    keep: Keep,
    /// One completion for each callback, however often it is asked for.
    completion: Shared,
    refresh: Shared,
    /// Whether a session that was renewed is not stored yet.
    is_saving: Cell<bool>,
    /// Counts sign-outs, so that a sign-in that was only being looked up is stopped by one.
    departures: Cell<u32>,
    /// How many renewals failed since the last that did not.
    failures: Cell<u32>,
    /// How the last of them said when to come back, in seconds: `None` is never.
    come_back: Cell<Option<u32>>,
    #[cfg(feature = "backend")]
    pub(super) machine: Machine,
    keyring: Keyring,
}

#[wasm_bindgen(js_class = Client)]
impl JsClient {
    /// A client from its options as JSON text, a store for pending logins, and, where they are
    /// given, a fetch, a listener for events as JSON text, a store for the session, and a lock for
    /// stores that tabs share: `(name, work, seconds) => Promise` runs `work` while no other tab
    /// does, and takes the lock away from one that holds it for longer than so many seconds.
    ///
    /// # Errors
    ///
    /// Those of [`Client::from_options`].
    #[wasm_bindgen(constructor)]
    pub fn new(
        options_json: &str,
        logins: JsStore,
        fetch: Option<Function>,
        on_event: Option<Function>,
        session: Option<JsStore>,
        lock: Option<Function>,
    ) -> Result<Self, JsValue> {
        let host = Host::new(fetch, on_event);
        Self::make(&options(options_json)?, host, logins, session, lock)
    }

    /// As the constructor, from its options as an object. Leave out what is not given.
    ///
    /// # Errors
    ///
    /// Those of [`Client::from_options`].
    #[cfg(feature = "serde")]
    #[wasm_bindgen(js_name = fromObject)]
    pub fn from_object(
        options: JsValue,
        logins: JsStore,
        fetch: Option<Function>,
        on_event: Option<Function>,
        session: Option<JsStore>,
        lock: Option<Function>,
    ) -> Result<Self, JsValue> {
        let options = crate::wasm::options_of(options)?;
        Self::make(&options, Host::new(fetch, on_event), logins, session, lock)
    }

    /// Takes the key that tokens are bound to from here, with the option `dpop`.
    #[wasm_bindgen(js_name = useKeyring)]
    pub fn use_keyring(&self, keyring: JsKeyring) {
        self.0.keyring.fill(keyring);
    }

    /// What a server wants to see in the next proof for its origin.
    #[wasm_bindgen(js_name = learnNonce)]
    pub fn learn_nonce(&self, url: &str, nonce: &str) {
        self.0.client.borrow_mut().learn_nonce(url, nonce);
    }

    /// Takes over the session that is stored, and what other tabs did to it since.
    #[wasm_bindgen(unchecked_return_type = "Promise<void>")]
    pub fn sync(&self) -> Promise {
        let state = Rc::clone(&self.0);
        promise(async move {
            state.look().await.map_err(|error| to_js(&error))?;
            Ok(JsValue::UNDEFINED)
        })
    }

    /// Makes an authorization request: `{ url, state, timeout }` as JSON text.
    #[wasm_bindgen(js_name = signIn, unchecked_return_type = "Promise<string>")]
    pub fn sign_in(&self, options_json: &str) -> Promise {
        let state = Rc::clone(&self.0);
        let options = options(options_json);
        promise(async move {
            let options = SignInOptions::from_options(&options?).map_err(|error| to_js(&error))?;
            let request = state.sign_in(options).await;
            request.map(JsValue::from).map_err(|error| to_js(&error))
        })
    }

    /// Completes a sign-in from its callback, whose body is given where it was posted:
    /// `{ user?, returnTo?, checks }` as JSON text.
    #[wasm_bindgen(unchecked_return_type = "Promise<string>")]
    pub fn complete(&self, url: String, form: Option<String>) -> Promise {
        let key = [url.as_str(), "\n", form.as_deref().unwrap_or_default()].concat();
        self.0.completed(key, Came::Callback(url, form))
    }

    /// What the browser is asked for to sign in by FedCM, and what goes back with its answer:
    /// the member `identity` as JSON text.
    ///
    /// # Errors
    ///
    /// Those of [`FedCmRequest::new`].
    #[wasm_bindgen(js_name = fedCmRequest)]
    pub fn fedcm_request(&self, options_json: &str) -> Result<String, JsValue> {
        let entropy = ambient::entropy().map_err(|error| to_js(&error))?;
        let options = options(options_json)?;
        let request = FedCmRequest::new(&options, &self.0.client.borrow(), &entropy);
        let request = request.map_err(|error| to_js(&error))?;
        Ok(request.to_json())
    }

    /// How often somebody signed out of this client.
    pub fn departures(&self) -> u32 {
        self.0.departures.get()
    }

    /// Completes a sign-in from the token that the browser gave: as [`Self::complete`]. Without a
    /// token its answer was none. It comes to nothing where somebody signed out since the browser was
    /// asked: `departures` of then.
    #[wasm_bindgen(js_name = completeFedCm, unchecked_return_type = "Promise<string>")]
    pub fn complete_fedcm(
        &self,
        request: String,
        token: Option<String>,
        departures: u32,
    ) -> Promise {
        let came = Came::FedCm(request.clone(), token, departures);
        self.0.completed(request, came)
    }

    /// Why the browser gave no token, by the name of its exception; a provider's own refusal comes
    /// with a code.
    #[wasm_bindgen(js_name = fedCmError)]
    pub fn fedcm_error(&self, name: &str, code: Option<String>) -> JsValue {
        to_js(&fedcm_error(name, code.as_deref()))
    }

    /// The connection that FedCM made for the session, as what `IdentityCredential.disconnect`
    /// takes, in JSON text.
    #[wasm_bindgen(js_name = fedCmConnection)]
    pub fn fedcm_connection(&self) -> Option<String> {
        let client = self.0.client.borrow();
        let session = client.session()?;
        let connection = Object::new()
            .with("configURL", session.fedcm()?)
            .with("clientId", client.config().client_id.as_str())
            .with_some("accountHint", session.user()?.string("sub").ok()?);
        Some(Value::from(connection).to_json())
    }

    /// The error of a popup or frame, by its code.
    #[wasm_bindgen(js_name = windowError)]
    pub fn window_error(&self, code: &str) -> JsValue {
        let kind = [
            ErrorKind::PopupBlocked,
            ErrorKind::PopupClosed,
            ErrorKind::WindowTimeout,
        ];
        let kind = kind.into_iter().find(|kind| kind.code() == code);
        let error = Error::from(kind.unwrap_or(ErrorKind::Internal));
        to_js(&error.during(Phase::SignIn))
    }

    /// The access token, renewed when its end is near.
    #[wasm_bindgen(js_name = accessToken, unchecked_return_type = "Promise<string>")]
    pub fn access_token(&self) -> Promise {
        let (state, owner) = self.owned();
        promise(async move { state.fresh_token(&owner).await.map(JsValue::from) })
    }

    /// What a request carries: `{ scheme, token, proof? }` as JSON text; nothing for one that must
    /// not carry the token.
    #[wasm_bindgen(js_name = passFor, unchecked_return_type = "Promise<string | undefined>")]
    pub fn pass_for(&self, method: String, url: String) -> Promise {
        let (state, owner) = self.owned();
        promise(async move {
            if !state.client.borrow().config().allows(&url) {
                return Ok(JsValue::UNDEFINED);
            }
            let token = state.fresh_token(&owner).await?;
            let tried = Tried {
                owner: state.client.borrow().owner(),
                ..Tried::default()
            };
            let pass = state.pass(&method, &url, token, tried).await;
            pass.map_err(|error| to_js(&error))
        })
    }

    /// What a request that was refused carries when it is sent once more; nothing when the refusal
    /// is to be handed on. `used` is what it carried.
    #[wasm_bindgen(js_name = passAfter, unchecked_return_type = "Promise<string | undefined>")]
    pub fn pass_after(
        &self,
        status: u16,
        www_authenticate: Option<String>,
        method: String,
        url: String,
        used: String,
    ) -> Promise {
        let state = Rc::clone(&self.0);
        promise(async move {
            let remedy = remedy(
                state.client.borrow().config(),
                status,
                www_authenticate.as_deref(),
            );
            let (used, mut tried) = Tried::read(&used).map_err(|error| to_js(&error))?;
            // Each once, whatever the other did.
            let token = match remedy.map_err(|error| to_js(&error))? {
                Remedy::Prove if !tried.nonce => {
                    tried.nonce = true;
                    used
                }
                Remedy::Renew if !tried.renewal => {
                    tried.renewal = true;
                    // Someone may have renewed it since the request was sent.
                    state.look().await.map_err(|error| to_js(&error))?;
                    if state.is_saving.get() || state.has_token(&used) {
                        JsFuture::from(state.refresh()).await?;
                    }
                    // Somebody else signed in: the refusal is for whoever asked.
                    if state.belongs_to_another(&tried.owner) {
                        return Ok(JsValue::UNDEFINED);
                    }
                    state.token_after(Ok(()))?
                }
                _ => return Ok(JsValue::UNDEFINED),
            };
            let pass = state.pass(&method, &url, token, tried).await;
            pass.map_err(|error| to_js(&error))
        })
    }

    /// What the provider says of the user, as JSON text.
    #[wasm_bindgen(unchecked_return_type = "Promise<string>")]
    pub fn userinfo(&self) -> Promise {
        let (state, owner) = self.owned();
        promise(async move {
            let used = state.fresh_token(&owner).await?;
            let mut asked = state.ask_userinfo().await;
            let error = asked.as_ref().err().and_then(Error::details);
            if error.and_then(|details| details.error.as_deref()) == Some("invalid_token") {
                // As an API's refusal: renewed once, unless someone has.
                if state.is_saving.get() || state.has_token(&used) {
                    JsFuture::from(state.refresh()).await?;
                }
                if state.belongs_to_another(&owner) {
                    return Err(someone_else());
                }
                asked = state.ask_userinfo().await;
            }
            asked.map(JsValue::from).map_err(|error| to_js(&error))
        })
    }

    /// Renews the session now.
    #[wasm_bindgen(unchecked_return_type = "Promise<void>")]
    pub fn refresh(&self) -> Promise {
        self.0.refresh()
    }

    /// Renews the session ahead of time when it is time to, and answers in how many milliseconds
    /// to ask again; nothing while there is nothing to renew.
    #[wasm_bindgen(unchecked_return_type = "Promise<number | undefined>")]
    pub fn tend(&self) -> Promise {
        let state = Rc::clone(&self.0);
        promise(async move { state.tend().await })
    }

    /// Ends the session here and its tokens at the provider: the URL that ends the session there, if
    /// it offers that.
    #[wasm_bindgen(js_name = signOut, unchecked_return_type = "Promise<string | undefined>")]
    pub fn sign_out(&self, options_json: &str) -> Promise {
        let state = Rc::clone(&self.0);
        // Before anything is awaited the session is gone.
        let begun = state.begin_sign_out(options_json);
        promise(async move {
            let url = match begun {
                Ok((flow, change, logins)) => state.sign_out(flow, change, logins).await,
                Err(error) => Err(error),
            };
            // EXPOSE: the page goes there.
            let url = url.map_err(|error| to_js(&error))?;
            Ok(url.map_or(JsValue::UNDEFINED, |url| url.expose().as_str().into()))
        })
    }

    /// Checks the URL to which the provider sent the user back after signing out: where the
    /// application goes on.
    #[wasm_bindgen(js_name = completeSignOut, unchecked_return_type = "Promise<string | undefined>")]
    pub fn complete_sign_out(&self, url: String) -> Promise {
        let state = Rc::clone(&self.0);
        promise(async move {
            let returned = state.returned(&url).await;
            let returned = returned.map_err(|error| to_js(&error.during(Phase::SignOut)))?;
            Ok(returned.map_or(JsValue::UNDEFINED, JsValue::from))
        })
    }

    /// Ends the session here when the URL that the provider opened in a frame is about it.
    #[wasm_bindgen(js_name = frontchannelLogout, unchecked_return_type = "Promise<boolean>")]
    pub fn frontchannel_logout(&self, url: String) -> Promise {
        let state = Rc::clone(&self.0);
        promise(async move {
            // Where the store cannot be read, what is known here counts.
            let _ = state.look().await;
            let is_over = state.client.borrow_mut().frontchannel_logout(&url);
            if is_over {
                let change = state.keep.change();
                let logins = state.leave();
                // The key first, as for a sign-out.
                state.told(state.keyring.forget().await);
                state.save(change).await;
                state.left(logins).await;
            }
            Ok(is_over.into())
        })
    }

    /// Ends the session here because the user signed out in a tab with a session of its own, and its
    /// tokens at the provider where they are not to live on; that of another user goes on, where both
    /// are known, and one that was stored since.
    #[wasm_bindgen(js_name = signedOutElsewhere, unchecked_return_type = "Promise<void>")]
    pub fn signed_out_elsewhere(&self, subject: Option<String>, revokes: bool) -> Promise {
        let state = Rc::clone(&self.0);
        promise(async move {
            // Where the store cannot be read, what is known here counts.
            let is_known = matches!(state.look().await, Ok(Found::Known) | Err(_));
            // No other tab knows these.
            let tokens = state.client.borrow().session().map(SignOut::of_tokens);
            let tokens = tokens.filter(|_| revokes);
            let is_over = is_known
                && state
                    .client
                    .borrow_mut()
                    .signed_out_elsewhere(subject.as_deref());
            if is_over {
                let change = state.keep.change();
                // The key that all tabs share ended there.
                let logins = state.leave();
                let saved = state.keep.save_unless_changed(&state.client, change).await;
                let is_gone = matches!(saved, Ok(Found::Known) | Err(_));
                match saved {
                    Ok(found) => state.tell(found),
                    Err(error) => state.store_failed(&error),
                }
                state.left(logins).await;
                if let Some(mut tokens) = tokens.filter(|_| is_gone) {
                    let ended = state.host.run(&state.client, &mut tokens).await;
                    state.told_revoked(ended.ok().and_then(|ended| ended.revocation_failure));
                }
            }
            Ok(JsValue::UNDEFINED)
        })
    }

    /// The claims of the ID token as JSON text, while someone is signed in.
    pub fn user(&self) -> Option<String> {
        let client = self.0.client.borrow();
        let user = client.session()?.user()?.as_object().clone();
        Some(Value::from(user).to_json())
    }

    /// What can be told of the session without its tokens, as JSON text.
    pub fn state(&self) -> String {
        let client = self.0.client.borrow();
        let Some(session) = client.session() else {
            return Value::from(Object::new().with("signedIn", false)).to_json();
        };
        let subject = session
            .user()
            .and_then(|user| user.string("sub").ok())
            .flatten();
        Value::from(
            Object::new()
                .with("signedIn", true)
                .with("scope", session.scope())
                .with("canRefresh", session.can_refresh())
                .with_some(
                    "authorizationDetails",
                    session.authorization_details().cloned(),
                )
                .with_some("expiresAt", session.expires_at().map(|at| at.seconds()))
                .with_some("subject", subject),
        )
        .to_json()
    }
}

impl JsClient {
    /// The state, and whose session it is before anything is awaited.
    fn owned(&self) -> (Rc<State>, Option<Owner>) {
        (Rc::clone(&self.0), self.0.client.borrow().owner())
    }

    fn make(
        options: &Object,
        host: Host,
        logins: JsStore,
        session: Option<JsStore>,
        lock: Option<Function>,
    ) -> Result<Self, JsValue> {
        let client = Client::from_options(options).map_err(|error| to_js(&error))?;
        #[cfg(feature = "backend")]
        let host = Rc::new(host);
        Ok(Self::with(client, host, logins, session, lock))
    }

    /// A client, and what it has of its surroundings.
    pub(super) fn with(
        client: Client,
        host: ClientHost,
        logins: JsStore,
        session: Option<JsStore>,
        lock: Option<Function>,
    ) -> Self {
        let key = |what: &str| {
            let (issuer, client_id) = (client.provider().issuer(), &client.config().client_id);
            ["gatepass:", what, ":", issuer.as_str(), " ", client_id].concat()
        };
        let keyring = Keyring::new(key("dpop"));
        let place = session.map(|store| Place::new(store, key("session")));
        Self(Rc::new(State {
            logouts: Place::new(logins.clone(), key("logouts")),
            logins: Place::new(logins, key("logins")),
            keep: Keep::new(place, lock, key("session")),
            client: RefCell::new(client),
            host,
            logins_turns: Turns::default(),
            completion: Shared::default(),
            refresh: Shared::default(),
            is_saving: Cell::default(),
            departures: Cell::default(),
            #[cfg(feature = "backend")]
            machine: Machine::default(),
            failures: Cell::default(),
            come_back: Cell::default(),
            keyring,
        }))
    }
}

impl State {
    async fn load_logins(&self) -> Result<PendingLogins, Error> {
        let text = self.logins.read().await?;
        Ok(PendingLogins::read(text.as_deref()))
    }

    async fn save_logins(&self, logins: &PendingLogins) -> Result<(), Error> {
        self.logins.write(&logins.to_json()).await
    }

    /// Takes over what other tabs did to the session, and tells of it.
    async fn look(&self) -> Result<Found, Error> {
        let found = self.keep.look(&self.client).await?;
        let found = self.check_key(found).await?;
        self.tell(found);
        Ok(found)
    }

    /// Asks for the key that tokens are bound to, when there is one to be and it is not known yet.
    pub(super) async fn need_key(&self) -> Result<(), Error> {
        #[cfg(feature = "backend")]
        self.need_seed()?;
        let is_missing = {
            let client = self.client.borrow();
            client.config().dpop.is_some() && client.dpop_key().is_none()
        };
        if is_missing {
            self.look_for_key().await?;
        }
        Ok(())
    }

    /// Asks for the key that there is now: another tab may have ended the one that is known. Until it
    /// is there, what is under way goes on with that one.
    async fn look_for_key(&self) -> Result<(), Error> {
        if self.client.borrow().config().dpop.is_none() {
            return Ok(());
        }
        let (key, public) = self.keyring.take().await?;
        let names = TokenNames::new(ambient::random_key()?);
        let public = DpopKey::new(&public, names)?;
        let is_known = {
            let client = self.client.borrow();
            let known = client.dpop_key();
            known.is_some_and(|known| known.thumbprint() == public.thumbprint())
        };
        // The same one goes on, with what servers want to see in its proofs.
        if !is_known {
            self.host.signing_keys.keep(KeyName::DpopProof, key);
            self.client.borrow_mut().set_dpop_key(Some(public));
        }
        Ok(())
    }

    /// What another tab left may be bound to another key: that of a newer sign-in, or one that is
    /// gone, with which it is of no use.
    async fn check_key(&self, found: Found) -> Result<Found, Error> {
        match found {
            Found::Other if !self.client.borrow().holds_session_key() => {}
            // Who signed out has ended the key as well.
            Found::Gone => {
                self.client.borrow_mut().set_dpop_key(None);
                return Ok(found);
            }
            _ => return Ok(found),
        }
        self.look_for_key().await?;
        if self.client.borrow().holds_session_key() {
            return Ok(found);
        }
        self.client.borrow_mut().forget_session();
        let change = self.keep.change();
        match self.keep.save_unless_changed(&self.client, change).await? {
            Found::Known => Ok(Found::Foreign),
            found => Ok(found),
        }
    }

    fn tell(&self, found: Found) {
        let kind = match found {
            Found::Known => return,
            Found::Other => "session_changed",
            Found::Gone => "signed_out",
            Found::Foreign => "session_discarded",
        };
        // What was refused was another session's.
        self.failures.set(0);
        let code = (found == Found::Foreign).then(|| ErrorKind::StorageInvalid.code());
        let event = Object::new().with("type", kind).with_some("code", code);
        self.host.emit(event);
    }

    /// Stores the session. Where that fails it goes on in this page, and the program is told.
    pub(super) async fn save(&self, change: Change) {
        self.told(self.keep.save(&self.client, change).await);
    }

    /// Tells the program that something could not be stored.
    fn told(&self, stored: Result<(), Error>) {
        if let Err(error) = stored {
            self.store_failed(&error);
        }
    }

    fn store_failed(&self, error: &Error) {
        let event = Object::new().with("type", "store_failed");
        self.host.emit(event.with("code", error.code()));
    }

    async fn sign_in(&self, options: SignInOptions) -> Result<String, Error> {
        let timeout = options.timeout.whole_seconds();
        if self.client.borrow().session().is_none() {
            self.look_for_key().await?;
        }
        self.need_key().await?;
        let mut flow = SignIn::new(options, ambient::entropy()?);
        let request = self.host.run(&self.client, &mut flow).await?;
        if request.is_long() {
            self.host.emit(Object::new().with("type", "url_long"));
        }
        let _turn = self.logins_turns.take().await;
        let mut logins = self
            .load_logins()
            .await
            .map_err(|error| error.during(Phase::SignIn))?;
        let result = Object::new()
            .with("url", request.url)
            .with("state", request.login.state())
            .with("timeout", i64::from(timeout));
        logins.add(request.login, ambient::now()?);
        self.save_logins(&logins)
            .await
            .map_err(|error| error.during(Phase::SignIn))?;
        Ok(Value::from(result).to_json())
    }

    /// The promise of a completed sign-in, the same for each time that it is asked for.
    fn completed(self: &Rc<Self>, key: String, came: Came) -> Promise {
        let state = Rc::clone(self);
        let begun = key.clone();
        self.completion.begin(&key, async move {
            let result = state.complete(came).await;
            if result.is_err() {
                state.completion.end(&begun);
            }
            result.map(JsValue::from).map_err(|error| to_js(&error))
        })
    }

    async fn complete(&self, came: Came) -> Result<String, Error> {
        let departures = match &came {
            Came::Callback(..) => self.departures.get(),
            Came::FedCm(.., departures) => *departures,
        };
        self.need_key().await?;
        let mut flow = match came {
            Came::Callback(url, form) => self.claim(&url, form.as_deref()).await?,
            Came::FedCm(request, token, _) => {
                let token = token.ok_or_else(|| {
                    Error::new(ErrorKind::ResponseMalformed, "token").during(Phase::IdToken)
                })?;
                Completion::fedcm(Secret::new(token), FedCmRequest::read(&request)?)
            }
        };
        if self.departures.get() != departures {
            return Err(Error::from(ErrorKind::LoginRequired).during(Phase::SignIn));
        }
        let signed_in = match self.host.run(&self.client, &mut flow).await {
            Ok(signed_in) => signed_in,
            Err(error) if error.retryable() => {
                self.give_back(&flow).await?;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        self.store_sign_in().await?;
        let checks = [signed_in.callback_checked, signed_in.id_token_checked].concat();
        let client = self.client.borrow();
        let user = client.session().and_then(|session| session.user());
        let result = Object::new()
            .with_some("user", user.map(|claims| claims.as_object().clone()))
            .with_some("returnTo", signed_in.return_to)
            .with("checks", checks);
        Ok(Value::from(result).to_json())
    }

    /// Stores the session that just began, and tells of it.
    pub(super) async fn store_sign_in(&self) -> Result<(), Error> {
        let change = self.keep.change();
        self.save(change).await;
        if self.client.borrow().session().is_none() {
            return Err(Error::from(ErrorKind::LoginRequired).during(Phase::SignIn));
        }
        self.failures.set(0);
        self.host.emit(Object::new().with("type", "signed_in"));
        Ok(())
    }

    /// Takes the login that waits for a callback out of the store.
    async fn claim(&self, url: &str, form: Option<&str>) -> Result<Completion, Error> {
        let _turn = self.logins_turns.take().await;
        let mut logins = self
            .load_logins()
            .await
            .map_err(|error| error.during(Phase::Callback))?;
        let now = ambient::now()?;
        let flow = match form {
            None => Completion::new(url, &mut logins, &self.client.borrow(), now),
            Some(form) => Completion::posted(url, form, &mut logins, &self.client.borrow(), now),
        };
        // Also when the callback is refused: a state that was shown is used up.
        self.save_logins(&logins)
            .await
            .map_err(|error| error.during(Phase::Callback))?;
        flow
    }

    fn begin_sign_out(
        &self,
        options_json: &str,
    ) -> Result<(SignOut, Change, impl Future<Output = LoginsTurn> + use<>), Error> {
        let options = json::read_object(options_json.as_bytes(), MAX_OPTIONS)
            .map_err(|_| Error::new(ErrorKind::ConfigInvalid, "options"))?;
        let options = SignOutOptions::from_options(&options)?;
        #[cfg(feature = "backend")]
        self.need_seed()?;
        let flow = SignOut::new(&mut self.client.borrow_mut(), options, ambient::entropy()?);
        let change = self.keep.change();
        let logins = self.leave();
        Ok((flow, change, logins))
    }

    /// Forgets what belonged to the session that just ended; the turn is that of the sign-ins that wait.
    fn leave(&self) -> impl Future<Output = LoginsTurn> + use<> {
        self.client.borrow_mut().set_dpop_key(None);
        self.completion.clear();
        let departures = self.departures.get();
        self.departures.set(departures.wrapping_add(1));
        self.logins_turns.take()
    }

    /// Forgets the sign-ins that waited in this tab, which belonged to whoever just left, and tells of
    /// the sign-out: whoever signs in because of it begins anew.
    async fn left(&self, logins: impl Future<Output = LoginsTurn>) {
        let turn = logins.await;
        let nothing = PendingLogins::default();
        self.told(self.save_logins(&nothing).await);
        drop(turn);
        self.host.emit(Object::new().with("type", "signed_out"));
    }

    async fn sign_out(
        &self,
        mut flow: SignOut,
        change: Change,
        logins: impl Future<Output = LoginsTurn>,
    ) -> Result<Option<Secret<String>>, Error> {
        // Also where the provider cannot be reached, and before it is asked. The key first: who hears
        // that the session is gone finds no key of it.
        self.told(self.keyring.forget().await);
        // Another tab may have renewed the session meanwhile: then its tokens are those that live, and
        // end.
        let other = |session: &_| flow.take(session);
        self.told(self.keep.save_over(&self.client, change, other).await);
        self.left(logins).await;
        let revokes = flow.revokes();
        let signed_out = self.host.run(&self.client, &mut flow).await?;
        self.told_revoked(signed_out.revocation_failure);
        // A renewal that is under way ends the tokens that come of it, unless the page leaves before.
        if let Some(renewal) = self.refresh.current().filter(|_| revokes) {
            let deadline = Deadline::after(MOST_PATIENCE);
            let waited = deadline.wait(Ok(renewal.into())).await;
            let is_late = waited == Err(Unreachable::Timeout);
            self.told_revoked(is_late.then(|| ErrorKind::UpstreamTimeout.into()));
        }
        if let Some(logout) = signed_out.logout {
            let text = self.logouts.read().await;
            let mut logouts = PendingLogouts::read(text.ok().flatten().as_deref());
            logouts.add(logout, ambient::now()?);
            self.told(self.logouts.write(&logouts.to_json()).await);
        }
        Ok(signed_out.url)
    }

    fn told_revoked(&self, failure: Option<Error>) {
        if let Some(error) = failure {
            let event = Object::new().with("type", "revocation_failed");
            self.host.emit(event.with("code", error.code()));
        }
    }

    async fn returned(&self, url: &str) -> Result<Option<String>, Error> {
        let text = self.logouts.read().await?;
        let mut logouts = PendingLogouts::read(text.as_deref());
        let returned = logouts.take(url, &self.client.borrow(), ambient::now()?);
        self.logouts.write(&logouts.to_json()).await?;
        returned
    }

    async fn give_back(&self, flow: &Completion) -> Result<(), Error> {
        let Some(login) = flow.login() else {
            return Ok(());
        };
        let _turn = self.logins_turns.take().await;
        let mut logins = self.load_logins().await?;
        logins.give_back(login, ambient::now()?);
        self.save_logins(&logins).await
    }

    /// The access token, renewed when its end is near, for whoever was signed in when it was asked for.
    async fn fresh_token(self: &Rc<Self>, owner: &Option<Owner>) -> Result<String, JsValue> {
        self.look().await.map_err(|error| to_js(&error))?;
        let token = match self.token().map_err(|error| to_js(&error))? {
            Some(token) if !self.is_saving.get() => token,
            // Also for one that came while this was looking, and is not stored yet.
            _ => {
                let renewal = JsFuture::from(self.refresh()).await.map(|_| ());
                self.token_after(renewal)?
            }
        };
        if self.belongs_to_another(owner) {
            return Err(someone_else());
        }
        Ok(token)
    }

    /// Whether there is a session, and it is not that of whoever was signed in then.
    fn belongs_to_another(&self, owner: &Option<Owner>) -> bool {
        match (owner, self.client.borrow().owner()) {
            (Some(then), Some(now)) => !then.is(&now),
            _ => false,
        }
    }

    async fn ask_userinfo(&self) -> Result<String, Error> {
        self.need_key().await?;
        let mut flow = UserInfo::new(&self.client.borrow());
        let claims = self.host.run(&self.client, &mut flow).await?;
        Ok(Value::from(claims.as_object().clone()).to_json())
    }

    /// What a request carries with this token.
    pub(super) async fn pass(
        &self,
        method: &str,
        url: &str,
        token: String,
        tried: Tried,
    ) -> Result<JsValue, Error> {
        let scheme = self.client.borrow().config().token_type();
        let token = Secret::new(token);
        // Another call may just be asking for another one.
        self.need_key().await?;
        let proof = if self.client.borrow().config().dpop.is_some() {
            let mut flow = Prove::new(method, url, &token);
            Some(self.host.run(&self.client, &mut flow).await?)
        } else {
            None
        };
        // EXPOSE: they are sent to the API.
        let pass = Object::new()
            .with("scheme", scheme)
            .with("token", token.expose().as_str())
            .with_some("proof", proof.as_ref().map(|proof| proof.expose().as_str()))
            .with("nonce", tried.nonce)
            .with("renewal", tried.renewal)
            .with_some("owner", tried.owner.map(|owner| owner.to_text()));
        Ok(Value::from(pass).to_json().into())
    }

    /// The access token if it lives long enough; `None` when it has to be renewed first.
    fn token(&self) -> Result<Option<String>, Error> {
        let now = ambient::now()?;
        let client = self.client.borrow();
        let attach = client
            .session()
            .map(|session| session.attach(client.config(), now));
        match attach {
            // EXPOSE: the program asked for it.
            Some(Attach::Token(token)) => Ok(Some(token.expose().clone())),
            Some(Attach::Refresh) => Ok(None),
            _ => Err(Error::from(ErrorKind::LoginRequired).during(Phase::Session)),
        }
    }

    /// Whether this is still the access token.
    fn has_token(&self, token: &str) -> bool {
        let client = self.client.borrow();
        client
            .session()
            .and_then(|session| session.access_token())
            .is_some_and(|own| own.ct_eq(token))
    }

    /// The access token after an attempt to renew it.
    fn token_after(&self, renewal: Result<(), JsValue>) -> Result<String, JsValue> {
        let now = ambient::now().map_err(|error| to_js(&error))?;
        let client = self.client.borrow();
        let token = client.session().and_then(|session| match renewal {
            Ok(()) => session.access_token(),
            Err(_) => session.access_token_alive(now),
        });
        match (token, renewal) {
            // EXPOSE: the program asked for it.
            (Some(token), _) => Ok(token.expose().clone()),
            (None, Err(error)) => Err(error),
            (None, Ok(())) => Err(someone_else()),
        }
    }

    /// Renews the session, once for all who ask meanwhile, in this tab and in others.
    fn refresh(self: &Rc<Self>) -> Promise {
        let state = Rc::clone(self);
        let changes = self.keep.changes();
        self.refresh.begin("", async move {
            let result = loop {
                let alone = Rc::clone(&state);
                let work = move |turn| promise(async move { alone.renew(changes, turn).await });
                let result = state.keep.alone(state.longest_renewal(), work).await;
                if result != Ok(LOST_ITS_TURN) {
                    break result;
                }
            };
            state.refresh.end("");
            result
        })
    }

    /// How long a tab that lives can take to renew the session: two places where metadata may
    /// stand, the token endpoint, the keys, and a moment for the store.
    fn longest_renewal(&self) -> Lifetime {
        let timeout = self.client.borrow().provider().timeout().millis();
        Lifetime::from_millis(timeout.saturating_mul(4).saturating_add(5000))
    }

    /// Renews the session, unless another tab has done so since `changes` were counted.
    async fn renew(&self, changes: u32, turn: Turn) -> Result<JsValue, JsValue> {
        let is_renewed = || self.keep.changes() != changes && matches!(self.token(), Ok(Some(_)));
        // Here, by the same user or by another one, which is for whoever asked for the token to see.
        let since = || {
            self.client
                .borrow()
                .session()
                .map(|session| session.since())
        };
        let began_as = since();
        let is_anew = || since() != began_as && matches!(self.token(), Ok(Some(_)));
        let mut tries = 1;
        let result = loop {
            // Before it: a tab may sleep while the store answers, and what comes then is as old as that.
            let began = ambient::now().map_err(|error| to_js(&error))?;
            let result = match self.look().await {
                Ok(_) if is_renewed() => Ok(false),
                // The store took so long that another tab has the lock, and may be renewing it now.
                Ok(_) if turn.is_over() => return Ok(LOST_ITS_TURN),
                Ok(_) => {
                    let fresh = (tries < MOST_TRIES).then(|| began.after(FRESH));
                    self.renew_now(fresh).await
                }
                Err(error) => Err(error),
            };
            match result {
                // Another tab took the lock from this one, which slept, and was faster.
                Err(_) if is_renewed() => break Ok(false),
                Err(error) if error.kind() == ErrorKind::LoginRequired && is_anew() => {
                    break Ok(false);
                }
                // It slept between its look and its request, and looks again.
                Err(error) if error.kind() == ErrorKind::FlowExpired && tries < MOST_TRIES => {
                    tries += 1;
                }
                result => break result,
            }
        };
        match result {
            Ok(is_mine) => {
                self.failures.set(0);
                if is_mine {
                    self.host.emit(Object::new().with("type", "refreshed"));
                }
                Ok(JsValue::UNDEFINED)
            }
            Err(error) => {
                self.failures.set(self.failures.get().saturating_add(1));
                // What a provider refuses by name it refuses again.
                let is_final = error.kind() == ErrorKind::ServerErrorResponse && !error.retryable();
                let told = error.details().and_then(|details| details.retry_after);
                self.come_back
                    .set((!is_final).then(|| told.unwrap_or_default()));
                let event = Object::new().with("type", "refresh_failed");
                self.host.emit(event.with("code", error.code()));
                Err(to_js(&error))
            }
        }
    }

    /// Whether the session that is there now was renewed by this tab; `flow_expired` when it would be
    /// renewed long after the last look into the store.
    async fn renew_now(&self, send_by: Option<Timestamp>) -> Result<bool, Error> {
        #[cfg(feature = "backend")]
        self.need_seed()?;
        self.need_key().await?;
        let had_session = self.client.borrow().session().is_some();
        let mut flow = Refresh::new(&self.client.borrow());
        if let Some(send_by) = send_by {
            flow = flow.sent_before(send_by);
        }
        let result = self.host.run(&self.client, &mut flow).await;
        // The new refresh token is stored before anybody gets the new access token; a session that
        // the provider ended is removed. After a network failure nothing has changed, and who signed
        // out meanwhile sees to what is stored.
        let has_ended = had_session && self.client.borrow().session().is_none();
        if let Err(error) = &result
            && (!has_ended || error.kind() == ErrorKind::LoginRequired)
        {
            return result.map(|()| false);
        }
        let change = self.keep.change();
        let renewed = self.client.borrow().session().map(SignOut::of_tokens);
        self.is_saving.set(result.is_ok());
        let saved = self.keep.save_unless_changed(&self.client, change).await;
        self.is_saving.set(false);
        match saved {
            Ok(Found::Known) => {}
            // A tab to which the lock was lost may have been faster: then its session is the one.
            Ok(found) => {
                // Somebody signed out in another tab, who does not know the tokens that just came.
                if let (Found::Gone, Some(mut renewed)) = (found, renewed) {
                    let ended = self.host.run(&self.client, &mut renewed).await;
                    self.told_revoked(ended.ok().and_then(|ended| ended.revocation_failure));
                }
                let found = self.check_key(found).await?;
                self.tell(found);
                return match self.client.borrow().session() {
                    Some(_) => Ok(false),
                    None => Err(Error::from(ErrorKind::LoginRequired).during(Phase::Refresh)),
                };
            }
            Err(error) => self.store_failed(&error),
        }
        if result.is_err() {
            self.host.emit(Object::new().with("type", "expired"));
        }
        result.map(|()| true)
    }

    async fn tend(self: &Rc<Self>) -> Result<JsValue, JsValue> {
        self.look().await.map_err(|error| to_js(&error))?;
        let mut wait = self.renewal_in()?;
        if wait == Some(0) {
            // Whoever wants to know has heard it by the events.
            let _ = JsFuture::from(self.refresh()).await;
            wait = self.renewal_in()?;
        }
        let floor = match (self.failures.get(), self.come_back.get()) {
            // However short tokens live, what nobody asked for is not done all the time.
            (0, _) => 10_000,
            (_, None) => return Ok(JsValue::UNDEFINED),
            (failures, Some(told)) => {
                let least = (1000_i64 << failures.min(6)).max(i64::from(told).saturating_mul(1000));
                // Up to a quarter more: pages that failed together do not come back together.
                let now = ambient::now().map_err(|error| to_js(&error))?.millis();
                least.saturating_add(least.saturating_mul(now % 1000) / 4000)
            }
        };
        // Timers end with 2^31, and a clock may be set anew meanwhile.
        let wait = wait.map(|wait| i32::try_from(wait.max(floor).min(3_600_000)));
        Ok(wait.map_or(JsValue::UNDEFINED, |wait| wait.unwrap_or(i32::MAX).into()))
    }

    /// In how many milliseconds the session is to be renewed.
    fn renewal_in(&self) -> Result<Option<i64>, JsValue> {
        let now = ambient::now().map_err(|error| to_js(&error))?;
        let client = self.client.borrow();
        let session = client.session();
        let left = session.and_then(|session| session.renewal_in(client.config(), now));
        Ok(left.map(Lifetime::millis))
    }
}

/// What a sign-in is completed from.
enum Came {
    /// The URL of a callback, and the form that was posted there.
    Callback(String, Option<String>),
    /// The request that the browser got, the token that it gave (FedCM), and how often somebody had
    /// signed out when it was asked.
    FedCm(String, Option<String>, u32),
}

/// What is said to whoever asked as somebody who is signed in no more.
fn someone_else() -> JsValue {
    to_js(&Error::from(ErrorKind::LoginRequired).during(Phase::Session))
}

/// What was tried for one request so far.
#[derive(Clone, Default)]
pub(super) struct Tried {
    pub(super) nonce: bool,
    pub(super) renewal: bool,
    /// Whose request it is.
    pub(super) owner: Option<Owner>,
}

impl Tried {
    /// The token of a pass, and what had been tried before it.
    pub(super) fn read(pass: &str) -> Result<(String, Self), Error> {
        let misused = |_| Error::from(ErrorKind::FlowMisused);
        let pass = json::read_object(pass.as_bytes(), MAX_PASS).map_err(misused)?;
        let is = |name: &str| pass.get(name).and_then(Value::as_bool) == Some(true);
        let token = pass.get("token").and_then(Value::as_str);
        let tried = Self {
            nonce: is("nonce"),
            renewal: is("renewal"),
            owner: pass
                .get("owner")
                .and_then(Value::as_str)
                .and_then(Owner::read),
        };
        Ok((token.ok_or(ErrorKind::FlowMisused)?.into(), tried))
    }
}

/// What comes of a renewal that did not begin, because it was another tab's turn.
const LOST_ITS_TURN: JsValue = JsValue::FALSE;

/// How often a renewal begins anew that was late.
const MOST_TRIES: u32 = 3;
/// How long whoever leaves waits for a renewal that is under way.
const MOST_PATIENCE: Lifetime = Lifetime::from_seconds(3);

/// The longest pass that is read back: a token at its limit and a proof.
const MAX_PASS: usize = 128 * 1024;
