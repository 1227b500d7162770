//! The client for JavaScript.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::client::{
    Attach, Client, Completion, PendingLogins, Refresh, Remedy, SignIn, SignInOptions, SignOut,
    remedy,
};
use crate::error::{Error, ErrorKind, Phase};
use crate::http::json::{Object, Value};
use crate::wasm::drive::Host;
use crate::wasm::error::to_js;
use crate::wasm::keep::{Found, Keep};
use crate::wasm::share::{Shared, Turns, promise};
use crate::wasm::store::{JsStore, Place};
use crate::wasm::{ambient, options};

/// A client; every method may be called while another one is under way.
#[wasm_bindgen(js_name = Client)]
pub struct JsClient(Rc<State>);

struct State {
    client: RefCell<Client>,
    host: Host,
    /// Where sign-ins wait for their callback.
    logins: Place,
    logins_turns: Turns,
    /// Where the session is kept.
    keep: Keep,
    /// One completion for each callback, however often it is asked for.
    completion: Shared,
    refresh: Shared,
}

#[wasm_bindgen(js_class = Client)]
impl JsClient {
    /// A client from its options as JSON text, a store for pending logins, and, where they are
    /// given, a fetch, a listener for events as JSON text, a store for the session, and a lock for
    /// stores that tabs share: `(name, work) => Promise` runs `work` while no other tab does.
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

    /// Takes over the session that is stored, and what other tabs did to it since.
    #[wasm_bindgen(unchecked_return_type = "Promise<void>")]
    pub fn sync(&self) -> Promise {
        let state = Rc::clone(&self.0);
        promise(async move {
            state.look().await.map_err(|error| to_js(&error))?;
            Ok(JsValue::UNDEFINED)
        })
    }

    /// Makes an authorization request: the URL to go to.
    #[wasm_bindgen(js_name = signIn, unchecked_return_type = "Promise<string>")]
    pub fn sign_in(&self, options_json: &str) -> Promise {
        let state = Rc::clone(&self.0);
        let options = options(options_json);
        promise(async move {
            let options = SignInOptions::from_options(&options?).map_err(|error| to_js(&error))?;
            let url = state
                .sign_in(options)
                .await
                .map_err(|error| to_js(&error))?;
            Ok(url.into())
        })
    }

    /// Completes a sign-in from its callback: `{ user?, returnTo?, checks }` as JSON text.
    #[wasm_bindgen(unchecked_return_type = "Promise<string>")]
    pub fn complete(&self, url: String) -> Promise {
        let state = Rc::clone(&self.0);
        let key = url.clone();
        self.0.completion.begin(&key, async move {
            let result = state.complete(&url).await;
            if result.is_err() {
                state.completion.end(&url);
            }
            result.map(JsValue::from).map_err(|error| to_js(&error))
        })
    }

    /// The access token, renewed when its end is near.
    #[wasm_bindgen(js_name = accessToken, unchecked_return_type = "Promise<string>")]
    pub fn access_token(&self) -> Promise {
        let state = Rc::clone(&self.0);
        promise(async move {
            state.look().await.map_err(|error| to_js(&error))?;
            let token = match state.token().map_err(|error| to_js(&error))? {
                Some(token) => token,
                None => {
                    let renewal = JsFuture::from(state.refresh()).await.map(|_| ());
                    state.token_after(renewal)?
                }
            };
            Ok(token.into())
        })
    }

    /// The access token for a request to this URL; nothing for one that must not carry it.
    #[wasm_bindgen(js_name = tokenFor, unchecked_return_type = "Promise<string | undefined>")]
    pub fn token_for(&self, url: &str) -> Promise {
        if self.0.client.borrow().config().allows(url) {
            self.access_token()
        } else {
            Promise::resolve(&JsValue::UNDEFINED)
        }
    }

    /// The access token with which a request that was refused is to be sent once more; nothing
    /// when the refusal is to be handed on.
    #[wasm_bindgen(js_name = tokenAfter, unchecked_return_type = "Promise<string | undefined>")]
    pub fn token_after_refusal(
        &self,
        status: u16,
        www_authenticate: Option<String>,
        used: String,
    ) -> Promise {
        let state = Rc::clone(&self.0);
        promise(async move {
            match remedy(status, www_authenticate.as_deref()).map_err(|error| to_js(&error))? {
                Remedy::Renew => {}
                _ => return Ok(JsValue::UNDEFINED),
            }
            // Someone may have renewed it since the request was sent.
            state.look().await.map_err(|error| to_js(&error))?;
            let renewal = if state.has_token(&used) {
                JsFuture::from(state.refresh()).await.map(|_| ())
            } else {
                Ok(())
            };
            renewal?;
            state.token_after(Ok(())).map(JsValue::from)
        })
    }

    /// Renews the session now.
    #[wasm_bindgen(unchecked_return_type = "Promise<void>")]
    pub fn refresh(&self) -> Promise {
        self.0.refresh()
    }

    /// Ends the session here: the URL that ends it at the provider, if it offers that.
    #[wasm_bindgen(js_name = signOut, unchecked_return_type = "Promise<string | undefined>")]
    pub fn sign_out(&self) -> Promise {
        let state = Rc::clone(&self.0);
        // Before anything is awaited the session is gone.
        let mut flow = SignOut::new(&mut state.client.borrow_mut());
        state.completion.clear();
        state.host.emit(Object::new().with("type", "signed_out"));
        promise(async move {
            // Also where the provider cannot be reached, and before it is asked.
            state.save().await;
            let url = state
                .host
                .run(&state.client, &mut flow)
                .await
                .map_err(|error| to_js(&error))?;
            // EXPOSE: the page goes there.
            Ok(url.map_or(JsValue::UNDEFINED, |url| url.expose().as_str().into()))
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
                .with_some("expiresAt", session.expires_at().map(|at| at.seconds()))
                .with_some("subject", subject),
        )
        .to_json()
    }
}

impl JsClient {
    fn make(
        options: &Object,
        host: Host,
        logins: JsStore,
        session: Option<JsStore>,
        lock: Option<Function>,
    ) -> Result<Self, JsValue> {
        let client = Client::from_options(options).map_err(|error| to_js(&error))?;
        let key = |what: &str| {
            let (issuer, client_id) = (client.provider().issuer(), &client.config().client_id);
            ["gatepass:", what, ":", issuer.as_str(), " ", client_id].concat()
        };
        let place = session.map(|store| Place::new(store, key("session")));
        Ok(Self(Rc::new(State {
            logins: Place::new(logins, key("logins")),
            keep: Keep::new(place, lock, key("session")),
            client: RefCell::new(client),
            host,
            logins_turns: Turns::default(),
            completion: Shared::default(),
            refresh: Shared::default(),
        })))
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
        let kind = match found {
            Found::Known => return Ok(found),
            Found::Other => "session_changed",
            Found::Gone => "signed_out",
            Found::Foreign => "session_discarded",
        };
        self.host.emit(Object::new().with("type", kind));
        Ok(found)
    }

    /// Stores the session. Where that fails it goes on in this page, and the program is told.
    async fn save(&self) {
        if let Err(error) = self.keep.save(&self.client).await {
            let event = Object::new().with("type", "store_failed");
            self.host.emit(event.with("code", error.code()));
        }
    }

    async fn sign_in(&self, options: SignInOptions) -> Result<String, Error> {
        let mut flow = SignIn::new(options, ambient::entropy()?);
        let request = self.host.run(&self.client, &mut flow).await?;
        let _turn = self.logins_turns.take().await;
        let mut logins = self
            .load_logins()
            .await
            .map_err(|error| error.during(Phase::SignIn))?;
        logins.add(request.login, ambient::now()?);
        self.save_logins(&logins)
            .await
            .map_err(|error| error.during(Phase::SignIn))?;
        Ok(request.url)
    }

    async fn complete(&self, url: &str) -> Result<String, Error> {
        let mut flow = self.claim(url).await?;
        let signed_in = match self.host.run(&self.client, &mut flow).await {
            Ok(signed_in) => signed_in,
            Err(error) if error.retryable() => {
                self.give_back(&flow).await?;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        self.save().await;
        self.host.emit(Object::new().with("type", "signed_in"));
        let checks = [signed_in.callback_checked, signed_in.id_token_checked].concat();
        let client = self.client.borrow();
        let user = client.session().and_then(|session| session.user());
        let result = Object::new()
            .with_some("user", user.map(|claims| claims.as_object().clone()))
            .with_some("returnTo", signed_in.return_to)
            .with("checks", checks);
        Ok(Value::from(result).to_json())
    }

    /// Takes the login that waits for a callback out of the store.
    async fn claim(&self, url: &str) -> Result<Completion, Error> {
        let _turn = self.logins_turns.take().await;
        let mut logins = self
            .load_logins()
            .await
            .map_err(|error| error.during(Phase::Callback))?;
        let now = ambient::now()?;
        let flow = Completion::new(url, &mut logins, &self.client.borrow(), now);
        // Also when the callback is refused: a state that was shown is used up.
        self.save_logins(&logins)
            .await
            .map_err(|error| error.during(Phase::Callback))?;
        flow
    }

    async fn give_back(&self, flow: &Completion) -> Result<(), Error> {
        let _turn = self.logins_turns.take().await;
        let mut logins = self.load_logins().await?;
        logins.give_back(flow.login(), ambient::now()?);
        self.save_logins(&logins).await
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
            .is_some_and(|session| session.access_token().ct_eq(token))
    }

    /// The access token after an attempt to renew it.
    fn token_after(&self, renewal: Result<(), JsValue>) -> Result<String, JsValue> {
        let now = ambient::now().map_err(|error| to_js(&error))?;
        let client = self.client.borrow();
        let token = client.session().and_then(|session| match renewal {
            Ok(()) => Some(session.access_token()),
            Err(_) => session.access_token_alive(now),
        });
        match (token, renewal) {
            // EXPOSE: the program asked for it.
            (Some(token), _) => Ok(token.expose().clone()),
            (None, Err(error)) => Err(error),
            (None, Ok(())) => Err(to_js(
                &Error::from(ErrorKind::LoginRequired).during(Phase::Session),
            )),
        }
    }

    /// Renews the session, once for all who ask meanwhile, in this tab and in others.
    fn refresh(self: &Rc<Self>) -> Promise {
        let state = Rc::clone(self);
        let changes = self.keep.changes();
        self.refresh.begin("", async move {
            let alone = Rc::clone(&state);
            let work = move || promise(async move { alone.renew(changes).await });
            let result = state.keep.alone(work).await;
            state.refresh.end("");
            result
        })
    }

    /// Renews the session, unless another tab has done so since `changes` were counted.
    async fn renew(&self, changes: u32) -> Result<JsValue, JsValue> {
        let looked = self.look().await;
        let is_renewed = self.keep.changes() != changes && matches!(self.token(), Ok(Some(_)));
        let result = match looked {
            Ok(_) if is_renewed => return Ok(JsValue::UNDEFINED),
            Ok(_) => self.renew_now().await,
            Err(error) => Err(error),
        };
        let event = match &result {
            Ok(()) => Object::new().with("type", "refreshed"),
            Err(error) => Object::new()
                .with("type", "refresh_failed")
                .with("code", error.code()),
        };
        self.host.emit(event);
        result
            .map(|()| JsValue::UNDEFINED)
            .map_err(|error| to_js(&error))
    }

    async fn renew_now(&self) -> Result<(), Error> {
        let mut flow = Refresh::new(&self.client.borrow());
        let result = self.host.run(&self.client, &mut flow).await;
        // The new refresh token is stored before anybody gets the new access token; a session that
        // the provider ended is removed. After a network failure nothing has changed.
        let has_ended = self.client.borrow().session().is_none();
        match &result {
            Ok(()) => self.save().await,
            Err(_) if has_ended => {
                // A tab without our lock may have been faster: then its session is the one.
                if let Found::Other = self.look().await? {
                    return Ok(());
                }
                self.save().await;
            }
            Err(_) => {}
        }
        result
    }
}
