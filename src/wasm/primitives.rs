//! The steps of a sign-in for JavaScript, one function each. They keep nothing between calls.

use std::future::Future;

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::future_to_promise;

use crate::client::{Beside, CodeVerifier, Login, SignInOptions, Steps, decode};
use crate::error::{Error, ErrorKind, Phase};
use crate::flow::{Event, Flow as _, Step};
use crate::http::json::{Object, Value};
use crate::http::{HttpRequest, HttpResponse, Unreachable};
use crate::issuer::{Discover, Provider};
use crate::options::{Options, invalid};
use crate::secret::Secret;
use crate::wasm::error::to_js;
use crate::wasm::{ambient, fetch, options};

/// A fresh verifier with its challenge: `{ codeVerifier, codeChallenge, codeChallengeMethod }`.
///
/// # Errors
///
/// `config_invalid` without randomness.
#[wasm_bindgen(js_name = createPkce)]
pub fn create_pkce() -> Result<String, JsValue> {
    let bytes = ambient::random_key().map_err(|error| to_js(&error))?;
    let verifier = CodeVerifier::make(&bytes);
    Ok(text(
        Object::new()
            // EXPOSE: the program asked for it.
            .with("codeVerifier", verifier.expose())
            .with("codeChallenge", verifier.challenge())
            .with("codeChallengeMethod", "S256"),
    ))
}

/// The metadata of an issuer as it came, once it was checked: `{ issuer, timeout,
/// dangerouslyAllowHttpLoopback }`.
#[wasm_bindgen(unchecked_return_type = "Promise<string>")]
pub fn discover(options_json: &str, fetch: Option<Function>) -> Promise {
    let provider = options(options_json)
        .and_then(|object| provider(&object).map_err(|error| to_js(&error.during(Phase::Config))));
    answered(async move {
        let mut provider = provider?;
        let found = find(&mut provider, fetch.as_ref()).await;
        found.map_err(|error| to_js(&error.during(Phase::Discovery)))
    })
}

/// `{ url, state, login }` of an authorization request.
///
/// # Errors
///
/// Those of [`Steps::authorize`].
#[wasm_bindgen(js_name = authorizationUrl)]
pub fn authorization_url(client_json: &str, options_json: &str) -> Result<String, JsValue> {
    let make = |client: &Object, options: &Object| {
        let steps = Steps::from_options(client)?;
        let options = SignInOptions::from_options(options)?;
        let request = steps.authorize(&options, ambient::now()?, ambient::entropy()?)?;
        let login = Login::from(request.login);
        let object = Object::new()
            .with("url", request.url)
            .with("state", login.state());
        Ok::<_, Error>(object.with("login", login.to_json()))
    };
    let object = make(&options(client_json)?, &options(options_json)?);
    object.map(text).map_err(|error| to_js(&error))
}

/// `{ code, returnTo?, checks }` of a callback; `form` is the body of one that was posted.
///
/// # Errors
///
/// Those of [`Steps::callback`].
#[wasm_bindgen(js_name = parseCallback)]
pub fn parse_callback(
    client_json: &str,
    login: &str,
    url: &str,
    form: Option<String>,
) -> Result<String, JsValue> {
    let parse = |client: &Object| {
        let login = Login::read(login)?;
        let now = ambient::now()?;
        let code = Steps::from_options(client)?.callback(&login, url, form.as_deref(), now)?;
        Ok::<_, Error>(
            Object::new()
                // EXPOSE: the program asked for it.
                .with("code", code.code.expose().as_str())
                .with_some("returnTo", code.return_to)
                .with("checks", code.checked),
        )
    };
    let object = parse(&options(client_json)?);
    object.map(text).map_err(|error| to_js(&error))
}

/// The token response for a code.
#[wasm_bindgen(js_name = exchangeCode, unchecked_return_type = "Promise<string>")]
pub fn exchange_code(
    client_json: &str,
    login: &str,
    code: String,
    fetch: Option<Function>,
) -> Promise {
    let steps = steps(client_json);
    let login = Login::read(login).map_err(|error| to_js(&error));
    answered(async move {
        let (steps, login) = (steps?, login?);
        let request = steps.exchange(&login, &Secret::new(code));
        tokens(&steps, request, Some(&login), fetch, Phase::Exchange).await
    })
}

/// The token response for a refresh token.
#[wasm_bindgen(js_name = refreshTokens, unchecked_return_type = "Promise<string>")]
pub fn refresh_tokens(
    client_json: &str,
    refresh_token: String,
    fetch: Option<Function>,
) -> Promise {
    let steps = steps(client_json);
    answered(async move {
        let steps = steps?;
        let request = steps.refresh(&Secret::new(refresh_token));
        tokens(&steps, request, None, fetch, Phase::Refresh).await
    })
}

/// `{ claims, checks }` of an ID token whose signature is not looked at.
///
/// # Errors
///
/// Those of [`Steps::check_claims`].
#[wasm_bindgen(js_name = checkClaims)]
pub fn check_claims(
    client_json: &str,
    id_token: String,
    login: Option<String>,
    access_token: Option<String>,
    code: Option<String>,
    refreshed: bool,
) -> Result<String, JsValue> {
    let check = |client: &Object| {
        let login = login.as_deref().map(Login::read).transpose()?;
        let beside = Beside {
            access_token: access_token.as_deref(),
            code: code.as_deref(),
            refreshed,
        };
        let steps = Steps::from_options(client)?;
        let token = Secret::new(id_token);
        let (claims, checks) =
            steps.check_claims(&token, login.as_ref(), &beside, ambient::now()?)?;
        let object = Object::new().with("claims", claims.as_object().clone());
        Ok::<_, Error>(object.with("checks", checks))
    };
    let object = check(&options(client_json)?);
    object.map(text).map_err(|error| to_js(&error))
}

/// `{ header, claims }` of a token that nobody verified.
///
/// # Errors
///
/// `token_too_large`, `token_malformed`.
#[wasm_bindgen(js_name = decodeJwt)]
pub fn decode_jwt(token: &str) -> Result<String, JsValue> {
    let (header, claims) = decode(token).map_err(|error| to_js(&error.during(Phase::IdToken)))?;
    let object = Object::new().with("header", header);
    Ok(text(object.with("claims", claims)))
}

fn steps(client_json: &str) -> Result<Steps, JsValue> {
    Steps::from_options(&options(client_json)?).map_err(|error| to_js(&error))
}

fn text(object: Object) -> String {
    Value::from(object).to_json()
}

fn answered(work: impl Future<Output = Result<String, JsValue>> + 'static) -> Promise {
    future_to_promise(async move { work.await.map(JsValue::from) })
}

async fn tokens(
    steps: &Steps,
    request: Result<HttpRequest, Error>,
    login: Option<&Login>,
    fetch: Option<Function>,
    phase: Phase,
) -> Result<String, JsValue> {
    let ask = async {
        let answer = fetch::send(fetch.as_ref(), &request?).await?;
        Ok::<_, Error>(steps.tokens(&answer, login)?.expose())
    };
    let object = ask.await;
    object
        .map(text)
        .map_err(|error| to_js(&error.during(phase)))
}

/// A provider of which only its issuer identifier is known.
fn provider(object: &Object) -> Result<Provider, Error> {
    let known = ["dangerouslyAllowHttpLoopback", "issuer", "timeout"];
    let options = Options::new(object, &known)?;
    let transport = options.transport()?;
    let timeout = options.timeout(10)?;
    if options.string("issuer")?.is_none() {
        return Err(invalid("issuer"));
    }
    Provider::from_option(options.value("issuer"), transport, timeout)
}

/// Steps the discovery; the text of the answer that it was content with.
async fn find(provider: &mut Provider, fetch: Option<&Function>) -> Result<String, Error> {
    let mut flow = Discover::new();
    let mut event = Event::Start;
    let mut found: Option<HttpResponse> = None;
    loop {
        match flow.step(provider, ambient::now()?, event)? {
            Step::Send(request) => {
                let answer: Result<HttpResponse, Unreachable> = fetch::send(fetch, &request).await;
                found = answer.as_ref().ok().cloned();
                event = answer.map_or_else(Event::Unreachable, Event::Answer);
            }
            Step::Done(()) => {
                let answer = found.ok_or(ErrorKind::FlowMisused)?;
                return Ok(answer.into_text());
            }
            _ => return Err(ErrorKind::FlowMisused.into()),
        }
    }
}
