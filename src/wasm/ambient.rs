//! What the surroundings give: the clock, randomness, and what the runtime's fetch understands.

#[cfg(any(feature = "client", feature = "guard"))]
use js_sys::Function;
#[cfg(feature = "backend")]
use js_sys::Promise;
use js_sys::Reflect;
#[cfg(any(feature = "client", feature = "guard"))]
use wasm_bindgen::prelude::*;
#[cfg(feature = "backend")]
use wasm_bindgen_futures::JsFuture;

use crate::error::{Error, ErrorKind, NO_RANDOMNESS};
#[cfg(feature = "backend")]
use crate::time::Lifetime;
use crate::time::Timestamp;

/// The current time.
///
/// # Errors
///
/// `time_invalid` when the clock gives no date between 1970 and the year 9999.
#[allow(clippy::disallowed_methods)] // The one place that reads the clock.
pub(super) fn now() -> Result<Timestamp, Error> {
    let millis = js_sys::Date::now();
    if !(1.0..253_402_300_800_000.0).contains(&millis) {
        return Err(ErrorKind::TimeInvalid.into());
    }
    // Within the range that was just checked nothing is lost but the fraction.
    #[allow(clippy::as_conversions, clippy::cast_possible_truncation)]
    let millis = millis as i64;
    Timestamp::from_millis(millis).ok_or_else(|| ErrorKind::TimeInvalid.into())
}

/// Milliseconds for telling how long something took, from whatever the clock says.
#[allow(clippy::disallowed_methods)]
pub(super) fn ticks() -> f64 {
    js_sys::Date::now()
}

/// Fresh entropy from `crypto.getRandomValues`; there is no other source.
///
/// # Errors
///
/// `config_invalid` at [`NO_RANDOMNESS`] when there is none.
#[cfg(feature = "flows")]
pub(super) fn entropy() -> Result<crate::random::Entropy, Error> {
    let mut bytes = [0; crate::random::Entropy::BYTES];
    getrandom::fill(&mut bytes).map_err(|_| Error::new(ErrorKind::ConfigInvalid, NO_RANDOMNESS))?;
    crate::random::Entropy::new(bytes)
        .ok_or_else(|| Error::new(ErrorKind::ConfigInvalid, NO_RANDOMNESS))
}

/// A fresh key from `crypto.getRandomValues`, for what only this instance makes and recognises.
///
/// # Errors
///
/// `config_invalid` at [`NO_RANDOMNESS`] when there is none.
pub(super) fn random_key() -> Result<[u8; 32], Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| Error::new(ErrorKind::ConfigInvalid, NO_RANDOMNESS))?;
    Ok(bytes)
}

/// Whether requests know this member. Workers refuse requests with members that they do not know.
pub(super) fn request_knows(member: &str) -> bool {
    // Node loads its fetch, some megabytes, when somebody looks at it first: until then there is an
    // accessor. It knows them all.
    #[cfg(any(feature = "backend", feature = "guard"))]
    if Reflect::get_own_property_descriptor(&js_sys::global(), &"Request".into())
        .is_ok_and(|found| Reflect::has(&found, &"get".into()).unwrap_or(false))
        && node_crypto().is_some()
        && shares_promises()
    {
        return true;
    }
    let prototype = Reflect::get(&js_sys::global(), &"Request".into())
        .and_then(|request| Reflect::get(&request, &"prototype".into()));
    prototype.is_ok_and(|prototype| Reflect::has(&prototype, &member.into()).unwrap_or(false))
}

#[cfg(feature = "backend")]
#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = setTimeout, catch)]
    fn set_timeout(work: &Function, millis: i32) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(js_name = clearTimeout, catch)]
    fn clear_timeout(timer: &JsValue) -> Result<(), JsValue>;
}

/// A timer that is over when nobody waits any more.
#[cfg(feature = "backend")]
struct Timer(JsValue);

#[cfg(feature = "backend")]
impl Drop for Timer {
    fn drop(&mut self) {
        let _ = clear_timeout(&self.0);
    }
}

/// Waits; a runtime without timers does not wait at all.
#[cfg(feature = "backend")]
pub(super) async fn sleep(lifetime: Lifetime) {
    // A timer that is longer than its number goes off at once.
    let millis = i32::try_from(lifetime.millis()).unwrap_or(i32::MAX);
    let mut timer = None;
    let over = Promise::new(&mut |resolve, _| match set_timeout(&resolve, millis) {
        Ok(set) => timer = Some(Timer(set)),
        Err(_) => {
            let _ = resolve.call0(&JsValue::UNDEFINED);
        }
    });
    // It is resolved and never rejected.
    let _ = JsFuture::from(over).await;
    drop(timer);
}

/// `crypto.subtle`.
///
/// # Errors
///
/// `unsupported_host` when there is none, as in pages without a secure context.
#[cfg(any(feature = "client", feature = "guard"))]
pub(super) fn subtle() -> Result<web_sys::SubtleCrypto, Error> {
    let subtle = Reflect::get(&js_sys::global(), &"crypto".into())
        .and_then(|crypto| Reflect::get(&crypto, &"subtle".into()));
    match subtle {
        Ok(subtle) if subtle.is_object() => Ok(subtle.unchecked_into()),
        _ => Err(Error::new(ErrorKind::UnsupportedHost, "crypto.subtle")),
    }
}

/// `node:crypto`, where the runtime has it built in. Asked for when it is used, so that no bundler
/// sees an import.
#[cfg(any(feature = "client", feature = "guard"))]
pub(super) fn node_crypto() -> Option<super::subtle::NodeCrypto> {
    let process = Reflect::get(&js_sys::global(), &"process".into()).ok()?;
    let load = Reflect::get(&process, &"getBuiltinModule".into()).ok()?;
    let module = load
        .dyn_ref::<Function>()?
        .call1(&process, &"node:crypto".into())
        .ok()?;
    ["createPublicKey", "verify"]
        .iter()
        .all(|name| Reflect::get(&module, &(*name).into()).is_ok_and(|it| it.is_function()))
        .then(|| module.unchecked_into())
}

/// Whether this is Deno.
#[cfg(feature = "guard")]
pub(super) fn is_deno() -> bool {
    Reflect::has(&js_sys::global(), &"Deno".into()).unwrap_or(false)
}

/// Whether one request may await a promise that another one made. On Cloudflare Workers it hangs
/// or is refused there.
#[cfg(any(feature = "client", feature = "guard"))]
pub(super) fn shares_promises() -> bool {
    let agent = Reflect::get(&js_sys::global(), &"navigator".into())
        .and_then(|navigator| Reflect::get(&navigator, &"userAgent".into()));
    agent.ok().and_then(|agent| agent.as_string()).as_deref() != Some("Cloudflare-Workers")
}

/// A number to spread attempts by; nothing secret hangs on it.
#[cfg(feature = "guard")]
pub(super) fn spread() -> u32 {
    // Not crypto.getRandomValues: Workers refuse it where guards are usually made, at the top.
    // A float within the range of the integer loses its fraction and nothing else.
    #[allow(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::disallowed_methods
    )]
    let seed = (js_sys::Math::random() * f64::from(u32::MAX)) as u32;
    seed
}
