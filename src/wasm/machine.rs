//! What machines do, for JavaScript.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::client::machine::{
    DeviceLogin, DeviceStart, DiscoverResource, Grant, GrantRequest, Register, Renewal,
};
use crate::client::{Remedy, remedy};
use crate::error::{Error, ErrorKind, Phase};
use crate::http::json::{Object, Value};
use crate::jose::KeyName;
use crate::options::{Options, invalid};
use crate::wasm::abort::{Abort, Signal};
use crate::wasm::client::{JsClient, State, Tried};
use crate::wasm::drive::{Host, promise};
use crate::wasm::error::to_js;
use crate::wasm::private_key::Given;
use crate::wasm::store::JsStore;
use crate::wasm::{ambient, options};

/// What a client has besides, where it is a machine.
#[derive(Default)]
pub(super) struct Machine {
    /// The grants that are asked for at the moment, by their keys.
    under_way: RefCell<Vec<(String, Promise)>>,
    /// Whether one call may wait for what another one began.
    shares: OnceCell<bool>,
    /// The device login whose code was shown last, unless somebody waits for it; by its number.
    device: RefCell<(u32, Option<DeviceLogin>)>,
}

/// Asks an API for its metadata, with the fetch that is given: as JSON text.
#[wasm_bindgen(js_name = discoverResource, unchecked_return_type = "Promise<string>")]
pub fn discover_resource(options_json: &str, fetch: Option<Function>) -> Promise {
    let options = options(options_json);
    promise(async move {
        let flow = DiscoverResource::from_options(&options?);
        let mut flow = flow.map_err(|error| to_js(&error))?;
        let host = Host::new(fetch, None);
        let found = host.run(&RefCell::new(()), &mut flow).await;
        let found = found.map_err(|error| to_js(&error))?;
        Ok(Value::from(found.to_object()).to_json().into())
    })
}

/// Registers a client, with the fetch that is given: as JSON text.
#[wasm_bindgen(js_name = registerClient, unchecked_return_type = "Promise<string>")]
pub fn register_client(options_json: &str, fetch: Option<Function>) -> Promise {
    let options = options(options_json);
    promise(async move {
        let read = Register::from_options(&options?);
        let (provider, mut flow) = read.map_err(|error| to_js(&error))?;
        let host = Host::new(fetch, None);
        let registered = host.run(&RefCell::new(provider), &mut flow).await;
        let registered = registered.map_err(|error| to_js(&error))?;
        // EXPOSE: whoever registered the client keeps them.
        Ok(registered.to_json().expose().as_str().into())
    })
}

#[wasm_bindgen(js_class = Client)]
impl JsClient {
    /// Gives the key of `private_key_jwt`, or nothing where none is needed: a CryptoKey, a JWK as an object, or PKCS #8 in PEM, with
    /// its algorithm and its `kid` where it does not have them itself.
    ///
    /// # Errors
    ///
    /// `config_invalid` at `key` when there is none, none is needed, or it cannot be used; at `alg`
    /// when the algorithm is missing or another one.
    #[wasm_bindgen(js_name = setKey)]
    pub fn set_key(
        &self,
        key: JsValue,
        alg: Option<String>,
        kid: Option<String>,
    ) -> Result<(), JsValue> {
        let state = &self.0;
        if key.is_undefined() {
            return match state.client.borrow().lacks_key() {
                true => Err(to_js(&invalid("key"))),
                false => Ok(()),
            };
        }
        let given = Given::read(key, alg.as_deref(), kid).map_err(|error| to_js(&error))?;
        state
            .client
            .borrow_mut()
            .set_key(given.algorithm(), given.key_id())
            .map_err(|error| to_js(&error))?;
        state
            .host
            .signing_keys
            .hold(KeyName::ClientAssertion, given.into_held());
        Ok(())
    }

    /// Gives the key that authorization requests are signed with, as [`JsClient::set_key`].
    ///
    /// # Errors
    ///
    /// `config_invalid` at `requestObject` when there is none, at `key` when none is needed or it
    /// cannot be used, at `alg` when the algorithm is missing or another one.
    #[wasm_bindgen(js_name = setRequestKey)]
    pub fn set_request_key(
        &self,
        key: JsValue,
        alg: Option<String>,
        kid: Option<String>,
    ) -> Result<(), JsValue> {
        let state = &self.0;
        if key.is_undefined() {
            return match state.client.borrow().lacks_request_key() {
                true => Err(to_js(&invalid("requestObject"))),
                false => Ok(()),
            };
        }
        let given = Given::read(key, alg.as_deref(), kid).map_err(|error| to_js(&error))?;
        state
            .client
            .borrow_mut()
            .set_request_key(given.algorithm(), given.key_id())
            .map_err(|error| to_js(&error))?;
        let keys = &state.host.signing_keys;
        keys.hold(KeyName::RequestObject, given.into_held());
        Ok(())
    }

    /// A client for the session of one request, with stores and a lock as the constructor's. It knows
    /// of the provider what this one knows, and signs with the same keys. With `late` it renews an
    /// access token when that is over and not before.
    ///
    /// # Errors
    ///
    /// `config_invalid` where there is no randomness.
    pub fn sibling(
        &self,
        logins: JsStore,
        session: JsStore,
        lock: Function,
        late: bool,
    ) -> Result<Self, JsValue> {
        let seed = ambient::random_key().map_err(|error| to_js(&error))?;
        let renewal = if late { Renewal::Late } else { Renewal::Early };
        let client = self.0.client.borrow().sibling(renewal, seed);
        let host = Rc::clone(&self.0.host);
        Ok(Self::with(client, host, logins, Some(session), Some(lock)))
    }

    /// Takes over what a sibling learnt of the provider. The sibling is of no use afterwards.
    #[wasm_bindgen(js_name = learnFrom)]
    pub fn learn_from(&self, sibling: Self) {
        // What it began and nobody waits for may hold it still: then the next one learns that.
        if let Ok(state) = Rc::try_unwrap(sibling.0) {
            self.0
                .client
                .borrow_mut()
                .learn_from(state.client.into_inner());
        }
    }

    /// What a request carries for client credentials, as [`JsClient::pass_for`].
    #[wasm_bindgen(js_name = grantedPassFor, unchecked_return_type = "Promise<string | undefined>")]
    pub fn granted_pass_for(&self, grant_json: &str, method: String, url: String) -> Promise {
        self.0.with_grant(grant_json, |state, grant| {
            if !grant.allows(&url) {
                return Promise::resolve(&JsValue::UNDEFINED);
            }
            let token = state.granted(grant);
            state.pass_with(token, method, url, Tried::default())
        })
    }

    /// What a request that was refused carries when it is sent once more, as
    /// [`JsClient::pass_after`].
    #[wasm_bindgen(js_name = grantedPassAfter, unchecked_return_type = "Promise<string | undefined>")]
    pub fn granted_pass_after(
        &self,
        grant_json: &str,
        status: u16,
        www_authenticate: Option<String>,
        method: String,
        url: String,
        used: &str,
    ) -> Promise {
        self.0.with_grant(grant_json, |state, grant| {
            let challenge = www_authenticate.as_deref();
            let remedy = remedy(state.client.borrow().config(), status, challenge);
            let read = remedy.and_then(|remedy| Ok((remedy, Tried::read(used)?)));
            let (remedy, (used, mut tried)) = match read {
                Ok(read) => read,
                Err(error) => return Promise::reject(&to_js(&error)),
            };
            // Each once, whatever the other did.
            let token = match remedy {
                Remedy::Prove if !tried.nonce => {
                    tried.nonce = true;
                    Promise::resolve(&JsValue::from(used))
                }
                Remedy::Renew if !tried.renewal => {
                    tried.renewal = true;
                    state.client.borrow_mut().refused(&grant, &used);
                    state.granted(grant)
                }
                _ => return Promise::resolve(&JsValue::UNDEFINED),
            };
            state.pass_with(token, method, url, tried)
        })
    }

    /// The access token for client credentials, from what is kept or from the provider.
    #[wasm_bindgen(js_name = grantedToken, unchecked_return_type = "Promise<string>")]
    pub fn granted_token(&self, grant_json: &str) -> Promise {
        self.0
            .with_grant(grant_json, |state, grant| state.granted(grant))
    }

    /// The same for a request to this URL; nothing for one that must not carry it.
    #[wasm_bindgen(js_name = grantedTokenFor, unchecked_return_type = "Promise<string | undefined>")]
    pub fn granted_token_for(&self, grant_json: &str, url: &str) -> Promise {
        self.0.with_grant(grant_json, |state, grant| {
            if grant.allows(url) {
                state.granted(grant)
            } else {
                Promise::resolve(&JsValue::UNDEFINED)
            }
        })
    }

    /// The access token with which a request that was refused is to be sent once more; nothing
    /// when the refusal is to be handed on.
    #[wasm_bindgen(js_name = grantedTokenAfter, unchecked_return_type = "Promise<string | undefined>")]
    pub fn granted_token_after(
        &self,
        grant_json: &str,
        status: u16,
        www_authenticate: Option<String>,
        used: &str,
    ) -> Promise {
        self.0.with_grant(grant_json, |state, grant| {
            let remedy = remedy(
                state.client.borrow().config(),
                status,
                www_authenticate.as_deref(),
            );
            match remedy {
                Ok(Remedy::Renew) => {
                    state.client.borrow_mut().refused(&grant, used);
                    state.granted(grant)
                }
                Ok(_) => Promise::resolve(&JsValue::UNDEFINED),
                Err(error) => Promise::reject(&to_js(&error)),
            }
        })
    }

    /// Tokens for a grant that is not kept: `token_exchange`, `jwt_bearer` or `refresh_token`. They
    /// come as JSON text.
    #[wasm_bindgen(js_name = requestTokens, unchecked_return_type = "Promise<string>")]
    pub fn request_tokens(&self, kind: &str, options_json: &str) -> Promise {
        let state = Rc::clone(&self.0);
        let read = match kind {
            "token_exchange" => Grant::token_exchange,
            "jwt_bearer" => Grant::jwt_bearer,
            _ => Grant::refresh_token,
        };
        let options = options(options_json);
        promise(async move {
            let grant = read(&options?, &state.client.borrow());
            let grant = grant.map_err(|error| to_js(&error))?;
            let tokens = state.request(grant).await.map_err(|error| to_js(&error))?;
            // EXPOSE: the program asked for them.
            Ok(tokens.map_or(JsValue::UNDEFINED, |text| text.as_str().into()))
        })
    }

    /// Asks for a code for this device: what the user is to be shown and the `number` of the login, as
    /// JSON text. A code that was shown before is forgotten.
    #[wasm_bindgen(js_name = startDevice, unchecked_return_type = "Promise<string>")]
    pub fn start_device(&self, options_json: &str) -> Promise {
        let state = Rc::clone(&self.0);
        let options = options(options_json);
        promise(async move {
            let options = options?;
            let prompt = state.start_device(&options).await;
            prompt.map(JsValue::from).map_err(|error| to_js(&error))
        })
    }

    /// Waits until the user has signed in elsewhere: `{ user?, checks }` as JSON text. The signal ends
    /// it while it pauses, and then it can be called again.
    #[wasm_bindgen(js_name = finishDevice, unchecked_return_type = "Promise<string>")]
    pub fn finish_device(
        &self,
        number: u32,
        options_json: &str,
        signal: Option<Signal>,
    ) -> Promise {
        let state = Rc::clone(&self.0);
        let given = options(options_json);
        promise(async move {
            // It has none but the signal.
            let none = Options::new(&given?, &[]).map(|_| ());
            none.map_err(|error| to_js(&error.during(Phase::SignIn)))?;
            let result = state.finish_device(number, signal).await;
            result.map(JsValue::from).map_err(|error| to_js(&error))
        })
    }
}

impl State {
    fn with_grant(
        self: &Rc<Self>,
        grant_json: &str,
        work: impl FnOnce(&Rc<Self>, Grant) -> Promise,
    ) -> Promise {
        let grant = options(grant_json).and_then(|options| {
            Grant::client_credentials(&options, &self.client.borrow())
                .map_err(|error| to_js(&error))
        });
        match grant {
            Ok(grant) => work(self, grant),
            Err(error) => Promise::reject(&error),
        }
    }

    /// A pass with the token that a promise gives.
    fn pass_with(
        self: &Rc<Self>,
        token: Promise,
        method: String,
        url: String,
        tried: Tried,
    ) -> Promise {
        let state = Rc::clone(self);
        promise(async move {
            let token = JsFuture::from(token).await?.as_string();
            let token = token.ok_or_else(|| to_js(&ErrorKind::Internal.into()))?;
            let pass = state.pass(&method, &url, token, tried).await;
            pass.map_err(|error| to_js(&error))
        })
    }

    /// Names for assertions, where some are made: not before the first request, because Workers have
    /// no random numbers until then.
    pub(super) fn need_seed(&self) -> Result<(), Error> {
        if self.client.borrow().lacks_seed() {
            let seed = ambient::random_key()?;
            self.client.borrow_mut().give_seed(seed);
        }
        Ok(())
    }

    /// The token of a grant: the one that is kept, or one for all who ask meanwhile.
    fn granted(self: &Rc<Self>, grant: Grant) -> Promise {
        let known = ambient::now().map(|now| {
            let client = self.client.borrow();
            // EXPOSE: the program asked for it.
            client
                .granted(&grant, now)
                .map(|token| token.expose().clone())
        });
        match known {
            Ok(Some(token)) => return Promise::resolve(&JsValue::from(token)),
            Ok(None) => {}
            Err(error) => return Promise::reject(&to_js(&error)),
        }
        let shares = *self.machine.shares.get_or_init(ambient::shares_promises);
        if shares {
            let under_way = self.machine.under_way.borrow();
            let same = under_way.iter().find(|(key, _)| key == grant.key());
            if let Some((_, promise)) = same {
                return promise.clone();
            }
        }
        let key = String::from(grant.key());
        let state = Rc::clone(self);
        let work = promise(async move {
            let token = state.ask(&grant).await;
            let mut under_way = state.machine.under_way.borrow_mut();
            under_way.retain(|(key, _)| key != grant.key());
            token.map(JsValue::from).map_err(|error| to_js(&error))
        });
        if shares {
            self.machine
                .under_way
                .borrow_mut()
                .push((key, work.clone()));
        }
        work
    }

    async fn ask(&self, grant: &Grant) -> Result<String, Error> {
        let asked = self.request(grant.clone()).await;
        let now = ambient::now()?;
        let client = self.client.borrow();
        let token = match asked {
            Ok(_) => client.granted_last(grant).ok_or(ErrorKind::Internal)?,
            Err(error) => {
                // While the provider cannot be asked, what lives still serves.
                let alive = client.granted_alive(grant, now);
                alive.filter(|_| error.retryable()).ok_or(error)?
            }
        };
        // EXPOSE: the program asked for it.
        Ok(token.expose().clone())
    }

    /// Asks for tokens; those that are not kept come as JSON text.
    async fn request(&self, grant: Grant) -> Result<Option<String>, Error> {
        self.need_key().await?;
        let mut flow = GrantRequest::new(grant, ambient::random_key()?);
        let tokens = self.host.run(&self.client, &mut flow).await?;
        // EXPOSE: whoever asked gets them.
        Ok(tokens.map(|tokens| tokens.to_json().expose().clone()))
    }

    async fn start_device(&self, options: &Object) -> Result<String, Error> {
        self.need_key().await?;
        let seed = ambient::random_key()?;
        let mut flow = DeviceStart::new(options, &self.client.borrow(), seed)?;
        let login = self.host.run(&self.client, &mut flow).await?;
        let mut device = self.machine.device.borrow_mut();
        let number = device.0.wrapping_add(1);
        let prompt = login.prompt().to_object().with("number", i64::from(number));
        *device = (number, Some(login));
        Ok(Value::from(prompt).to_json())
    }

    async fn finish_device(&self, number: u32, signal: Option<Signal>) -> Result<String, Error> {
        let login = {
            let mut device = self.machine.device.borrow_mut();
            let is_it = device.0 == number;
            device.1.take_if(|_| is_it)
        };
        let misused = Error::from(ErrorKind::FlowMisused).during(Phase::SignIn);
        let mut login = login.ok_or(misused)?;
        let work = async {
            let abort = signal.map(Abort::listen).transpose()?;
            self.host
                .run_until(&self.client, &mut login, abort.as_ref())
                .await
        };
        let result: Result<_, Error> = work.await;
        if let Err(error) = &result
            && error.kind() == ErrorKind::Aborted
        {
            login.begin_anew();
            // Unless another one was begun meanwhile.
            let mut device = self.machine.device.borrow_mut();
            if device.0 == number {
                device.1 = Some(login);
            }
        }
        let signed_in = result.map_err(|error| error.during(Phase::SignIn))?;
        self.store_sign_in().await?;
        let client = self.client.borrow();
        let user = client.session().and_then(|session| session.user());
        let result = Object::new()
            .with_some("user", user.map(|claims| claims.as_object().clone()))
            .with("checks", signed_in.id_token_checked);
        Ok(Value::from(result).to_json())
    }
}
