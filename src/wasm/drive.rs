//! Runs every flow: does what its steps say and tells it what came of it.

use std::cell::RefCell;

use js_sys::Function;
use wasm_bindgen::prelude::*;

use crate::error::Error;
use crate::flow::{Checked, Event, Flow, Reports as _, Step};
use crate::http::json::{Object, Value};
use crate::http::{HttpRequest, HttpResponse, Unreachable};
use crate::wasm::subtle::ImportedKeys;
use crate::wasm::{ambient, fetch};

/// What a client or guard has of its surroundings.
#[derive(Default)]
pub(super) struct Host {
    /// A fetch that the program gave.
    fetch: Option<Function>,
    /// Where events go, as JSON text.
    on_event: Option<Function>,
    keys: ImportedKeys,
}

impl Host {
    pub(super) fn new(fetch: Option<Function>, on_event: Option<Function>) -> Self {
        Self {
            fetch,
            on_event,
            keys: ImportedKeys::default(),
        }
    }

    /// Steps a flow to its end. What it shares is borrowed for each step and never in between.
    pub(super) async fn run<F: Flow>(
        &self,
        shared: &RefCell<F::Shared>,
        flow: &mut F,
    ) -> Result<F::Output, Error> {
        let mut event = Event::Start;
        loop {
            let now = ambient::now()?;
            let step = flow.step(&mut shared.borrow_mut(), now, event);
            let reports = shared.borrow_mut().take_reports();
            for Checked {
                subject, checks, ..
            } in reports
            {
                let event = Object::new()
                    .with("type", "checked")
                    .with("subject", subject);
                self.emit(event.with("checks", checks));
            }
            let step = step?;
            event = match step {
                Step::Send(request) => match self.send(&request).await {
                    Ok(response) => Event::Answer(response),
                    Err(cause) => Event::Unreachable(cause),
                },
                Step::Verify(check) => Event::Signature(self.keys.verify(&check).await?),
                Step::Done(output) => return Ok(output),
            };
        }
    }

    async fn send(&self, request: &HttpRequest) -> Result<HttpResponse, Unreachable> {
        let started = ambient::now();
        let answer = fetch::send(self.fetch.as_ref(), request).await;
        if self.on_event.is_some() {
            let duration = match (started, ambient::now()) {
                (Ok(started), Ok(now)) => now.since(started).millis(),
                _ => 0,
            };
            let object = Object::new()
                .with("type", "request")
                .with("purpose", request.purpose.name())
                .with("method", request.method.name())
                .with("url", request.url.without_query())
                .with("parameters", request.parameters())
                .with("durationMs", duration);
            self.emit(match &answer {
                Ok(response) => object.with("status", i64::from(response.status())),
                Err(cause) => object.with("code", Error::from(*cause).code()),
            });
        }
        answer
    }

    /// Tells the program. What its listener throws is its own affair.
    pub(super) fn emit(&self, event: Object) {
        if let Some(listener) = &self.on_event {
            let _ = listener.call1(&JsValue::UNDEFINED, &Value::from(event).to_json().into());
        }
    }
}
