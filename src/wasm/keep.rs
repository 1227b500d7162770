//! Keeps a client's session in a store, so that it outlives the page and other tabs see it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::client::{Client, Session};
use crate::error::Error;
use crate::secret::Secret;
use crate::time::Lifetime;
use crate::wasm::ambient;
use crate::wasm::share::Turns;
use crate::wasm::store::Place;

/// How old what was read may be when something is done on the strength of it: much less than the
/// lock lasts, which others take from a page that hangs or sleeps.
pub(super) const FRESH: Lifetime = Lifetime::from_seconds(2);
/// A store that is always slower, or never holds what was read there, is taken at its word.
const MOST_READS: u32 = 5;

/// The session's place in a store; without a store a session lives as long as its page.
pub(super) struct Keep {
    place: Option<Place>,
    /// Runs work while no other tab does: `(name, work, seconds) => Promise`. Whoever holds it
    /// for longer than so many seconds hangs and loses it: then `work` was given a function that
    /// answers false.
    lock: Option<Function>,
    name: String,
    /// The text that was read or written last: another one comes from another tab.
    seen: RefCell<Option<Secret<String>>>,
    /// Counts the changes that other tabs made.
    changes: Cell<u32>,
    /// A look and a save never overlap: one would take the other's text for another tab's.
    turns: Turns,
    /// How many changes were made here that are not stored yet.
    pending: Rc<Cell<u32>>,
}

/// A change that was made here and is not stored yet: until it is dropped nothing of another tab is
/// taken over in its place.
pub(super) struct Change(Rc<Cell<u32>>);

impl Drop for Change {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// What a look into the store found.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// What was known, or there is no store.
    Known,
    /// Another tab renewed the session or signed in.
    Other,
    /// Another tab signed out.
    Gone,
    /// Something that is no session of this client; it was removed.
    Foreign,
}

/// What a text may be written over.
#[derive(Clone, Copy)]
enum Over {
    Anything,
    /// What was seen last.
    Seen,
}

/// That no other tab renews the session, for as long as the lock is not taken away.
pub(super) struct Turn(Option<Function>);

impl Turn {
    pub(super) fn is_over(&self) -> bool {
        let is_mine = |ask: &Function| ask.call0(&JsValue::UNDEFINED).ok()?.as_bool();
        self.0.as_ref().and_then(is_mine) == Some(false)
    }
}

impl Keep {
    pub(super) fn new(place: Option<Place>, lock: Option<Function>, name: String) -> Self {
        Self {
            place,
            lock,
            name,
            seen: RefCell::default(),
            changes: Cell::default(),
            turns: Turns::default(),
            pending: Rc::default(),
        }
    }

    /// Notes that the session was changed here, before anything is awaited.
    pub(super) fn change(&self) -> Change {
        self.pending.set(self.pending.get().saturating_add(1));
        Change(Rc::clone(&self.pending))
    }

    /// How many changes of other tabs were taken over so far.
    pub(super) fn changes(&self) -> u32 {
        self.changes.get()
    }

    /// Takes over what other tabs did to the session since the last look.
    ///
    /// # Errors
    ///
    /// `storage_unavailable`.
    pub(super) async fn look(&self, client: &RefCell<Client>) -> Result<Found, Error> {
        let _turn = self.turns.take().await;
        let Some(text) = self.unknown().await? else {
            return Ok(Found::Known);
        };
        // Whoever changed the session here meanwhile sees to what is there.
        if self.pending.get() > 0 {
            return Ok(Found::Known);
        }
        let found = self.take_over(text, client);
        if found == Found::Foreign {
            client.borrow_mut().forget_session();
            self.write(client, Over::Seen).await?;
        }
        Ok(found)
    }

    /// Stores the session as it is now, or removes it.
    ///
    /// # Errors
    ///
    /// `storage_unavailable`.
    pub(super) async fn save(
        &self,
        client: &RefCell<Client>,
        _change: Change,
    ) -> Result<(), Error> {
        let _turn = self.turns.take().await;
        self.write(client, Over::Anything).await.map(|_| ())
    }

    /// As [`Keep::save`], and hands over what another tab stored meanwhile, which is written over.
    ///
    /// # Errors
    ///
    /// `storage_unavailable`; what cannot be read is written over all the same.
    pub(super) async fn save_over(
        &self,
        client: &RefCell<Client>,
        _change: Change,
        mut other: impl FnMut(&Session),
    ) -> Result<(), Error> {
        let _turn = self.turns.take().await;
        for _ in 1..MOST_READS {
            match self.unknown().await {
                Ok(None) => {}
                Ok(Some(text)) => {
                    if let Some(session) = text.as_deref().and_then(|text| read(text, client)) {
                        other(&session);
                    }
                    self.seen.replace(text.map(Secret::new));
                }
                Err(_) => break,
            }
            if self.write(client, Over::Seen).await? {
                return Ok(());
            }
        }
        self.write(client, Over::Anything).await.map(|_| ())
    }

    /// As [`Keep::save`], unless another tab did something to the session meanwhile: that is taken
    /// over instead, so that nobody is signed in again who has just signed out, and no newer refresh
    /// token is lost. Where the session was changed here once more meanwhile, that change sees to it.
    ///
    /// # Errors
    ///
    /// `storage_unavailable`.
    pub(super) async fn save_unless_changed(
        &self,
        client: &RefCell<Client>,
        _change: Change,
    ) -> Result<Found, Error> {
        let _turn = self.turns.take().await;
        for tries in 1.. {
            if let Some(text) = self.unknown().await? {
                if self.pending.get() > 1 {
                    break;
                }
                if let found @ (Found::Other | Found::Gone) = self.take_over(text, client) {
                    return Ok(found);
                }
            }
            // Another tab may write between this look and the write; then it looks again.
            let over = match tries < MOST_READS {
                true => Over::Seen,
                false => Over::Anything,
            };
            if self.write(client, over).await? {
                break;
            }
        }
        Ok(Found::Known)
    }

    /// What the store holds, when it is not what was seen there last.
    async fn unknown(&self) -> Result<Option<Option<String>>, Error> {
        let Some(place) = &self.place else {
            return Ok(None);
        };
        let mut reads = 1;
        let text = loop {
            let asked = ambient::now()?;
            let text = place.read().await?;
            // A page that slept meanwhile looks again: others may have come first.
            if reads == MOST_READS || ambient::now()?.since(asked) <= FRESH {
                break text;
            }
            reads += 1;
        };
        let is_known = match (&text, &*self.seen.borrow()) {
            (Some(text), Some(seen)) => seen.ct_eq(text),
            (None, None) => true,
            _ => false,
        };
        Ok((!is_known).then_some(text))
    }

    fn take_over(&self, text: Option<String>, client: &RefCell<Client>) -> Found {
        self.changes.set(self.changes.get().wrapping_add(1));
        let Some(text) = text else {
            self.seen.replace(None);
            client.borrow_mut().forget_session();
            return Found::Gone;
        };
        let session = read(&text, client);
        self.seen.replace(Some(Secret::new(text)));
        match session {
            Some(session) => {
                client.borrow_mut().restore_session(session);
                Found::Other
            }
            None => Found::Foreign,
        }
    }

    /// Whether it was written: not when it would be over something else.
    async fn write(&self, client: &RefCell<Client>, over: Over) -> Result<bool, Error> {
        let Some(place) = &self.place else {
            return Ok(true);
        };
        let text = {
            let client = client.borrow();
            let (config, issuer) = (client.config(), client.provider().issuer());
            client
                .session()
                .map(|session| session.to_json(config, issuer))
        };
        // EXPOSE: it is stored, and compared with what is.
        let exposed = text.as_ref().map(|text| text.expose().as_str());
        let expected = match over {
            Over::Anything => JsValue::UNDEFINED,
            Over::Seen => match &*self.seen.borrow() {
                Some(seen) => seen.expose().as_str().into(),
                None => JsValue::NULL,
            },
        };
        let is_written = place.change(exposed, &expected).await?;
        // Only now: what a full store still holds is not another tab's.
        if is_written {
            self.seen.replace(text);
        }
        Ok(is_written)
    }

    /// Runs work while no other tab does, where tabs share the store; it is told whether that is
    /// still so.
    pub(super) async fn alone(
        &self,
        patience: Lifetime,
        work: impl FnOnce(Turn) -> Promise + 'static,
    ) -> Result<JsValue, JsValue> {
        let promise = match &self.lock {
            None => work(Turn(None)),
            Some(lock) => {
                let work = Closure::once_into_js(move |is_mine| work(Turn(Some(is_mine))));
                let (name, patience) = (self.name.as_str().into(), patience.whole_seconds().into());
                lock.call3(&JsValue::UNDEFINED, &name, &work, &patience)?
                    .unchecked_into()
            }
        };
        JsFuture::from(promise).await
    }
}

/// The session in a text of the store; none where it is no session of this client.
fn read(text: &str, client: &RefCell<Client>) -> Option<Session> {
    let client = client.borrow();
    Session::read(text, client.config(), client.provider().issuer())
}
