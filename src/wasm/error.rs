//! Errors as JavaScript sees them: real `Error`s with a stable code and a hint.

use js_sys::Reflect;
use wasm_bindgen::prelude::*;

use crate::error::Error;

/// An `Error` named `GatepassError` with `code`, `phase`, `hint`, `retryable` and, where they are
/// known, `at` and `details`.
pub(super) fn to_js(error: &Error) -> JsValue {
    let object = js_sys::Error::new(&error.to_string());
    object.set_name("GatepassError");
    let set = |name: &str, value: JsValue| {
        // Setting a member of an object that was just made cannot fail.
        let _ = Reflect::set(&object, &name.into(), &value);
    };
    set("code", error.code().into());
    set(
        "phase",
        error.phase().map_or("config", |phase| phase.name()).into(),
    );
    set("hint", error.advice().into());
    set("retryable", error.retryable().into());
    if !error.at().is_empty() {
        set("at", error.at().into());
    }
    if let Some(details) = error.details() {
        let members = js_sys::Object::new();
        let set_detail = |name: &str, value: Option<JsValue>| {
            if let Some(value) = value {
                let _ = Reflect::set(&members, &name.into(), &value);
            }
        };
        set_detail("status", details.status.map(JsValue::from));
        set_detail("error", details.error.as_deref().map(JsValue::from));
        set_detail(
            "errorDescription",
            details.error_description.as_deref().map(JsValue::from),
        );
        set_detail("scope", details.scope.as_deref().map(JsValue::from));
        set_detail(
            "acrValues",
            details.acr_values.as_deref().map(JsValue::from),
        );
        set_detail("maxAge", details.max_age.map(JsValue::from));
        set_detail("snippet", details.snippet.as_deref().map(JsValue::from));
        set_detail("clockOffset", details.clock_offset.map(JsValue::from));
        set_detail(
            "requestId",
            details.request_id.as_deref().map(JsValue::from),
        );
        set_detail("retryAfter", details.retry_after.map(JsValue::from));
        set("details", members.into());
    }
    object.into()
}
