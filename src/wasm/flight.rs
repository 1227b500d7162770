//! One request for all who ask the same at the same time.

use std::cell::{OnceCell, RefCell};
use std::future::Future;
use std::rc::Rc;

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::http::{HttpResponse, Unreachable};
use crate::wasm::ambient;

type Answer = Result<HttpResponse, Unreachable>;

/// The requests that are under way, by their URL or the name under which others ask the same.
#[derive(Default)]
pub(super) struct Flights {
    under_way: RefCell<Vec<(String, Rc<Flight>)>>,
    shares: OnceCell<bool>,
}

/// A request that is under way.
struct Flight {
    landing: Promise,
    answer: RefCell<Option<Answer>>,
}

/// Ends a flight when it is dropped, however that comes.
struct Landing<'a> {
    flights: &'a Flights,
    flight: Rc<Flight>,
    land: Option<Function>,
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        let mut under_way = self.flights.under_way.borrow_mut();
        under_way.retain(|(_, flight)| !Rc::ptr_eq(flight, &self.flight));
        if let Some(land) = &self.land {
            let _ = land.call0(&JsValue::UNDEFINED);
        }
    }
}

impl Flights {
    /// The answer to a request of this name: one that is under way, or else `send`.
    ///
    /// On Workers each request sends for itself: there it must not await what another one began.
    pub(super) async fn join(&self, name: &str, send: impl Future<Output = Answer>) -> Answer {
        if !*self.shares.get_or_init(ambient::shares_promises) {
            return send.await;
        }
        let known = self
            .under_way
            .borrow()
            .iter()
            .find_map(|(of, flight)| (of == name).then(|| Rc::clone(flight)));
        if let Some(flight) = known {
            // It is resolved and never rejected.
            let _ = JsFuture::from(flight.landing.clone()).await;
            let answer = flight.answer.borrow().clone();
            return answer.unwrap_or(Err(Unreachable::Network));
        }
        let mut land = None;
        let flight = Rc::new(Flight {
            landing: Promise::new(&mut |resolve, _| land = Some(resolve)),
            answer: RefCell::default(),
        });
        self.under_way
            .borrow_mut()
            .push((name.into(), Rc::clone(&flight)));
        let landing = Landing {
            flights: self,
            flight,
            land,
        };
        let answer = send.await;
        landing.flight.answer.replace(Some(answer.clone()));
        answer
    }
}
