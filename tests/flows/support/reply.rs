//! What a provider answers, written down before it is asked.

use gatepass::http::{HttpRequest, HttpResponse, Unreachable};

/// An answer, or none.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    unreachable: Option<Unreachable>,
}

impl Reply {
    /// Status 200 with a JSON body.
    pub(crate) fn json(body: impl ToString) -> Self {
        Self::body(body.to_string()).of_type("application/json")
    }

    /// Status 200 with a body and no headers.
    pub(crate) fn body(body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            body: body.into(),
            unreachable: None,
        }
    }

    /// Status 200 with a page.
    pub(crate) fn html() -> Self {
        Self::body("<!doctype html><title>Sign in</title>").of_type("text/html")
    }

    /// A status with a page that says nothing.
    pub(crate) fn status(status: u16) -> Self {
        Self::html().with_status(status)
    }

    /// No answer.
    pub(crate) fn none(cause: Unreachable) -> Self {
        Self {
            unreachable: Some(cause),
            ..Self::body("")
        }
    }

    pub(crate) fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub(crate) fn of_type(self, content_type: &str) -> Self {
        self.with_header("content-type", content_type)
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.into()));
        self
    }

    /// Status and body, for whoever sends it over a socket.
    #[allow(dead_code)] // The tests of flows have no sockets.
    pub(crate) fn parts(&self) -> (u16, &[u8]) {
        (self.status, &self.body)
    }

    pub(crate) fn into_answer(self, request: &HttpRequest) -> Result<HttpResponse, Unreachable> {
        match self.unreachable {
            Some(cause) => Err(cause),
            None => Ok(request.answer(self.status, self.headers, self.body)),
        }
    }
}
