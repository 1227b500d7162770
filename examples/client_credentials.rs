//! A token for this program itself, by client credentials (RFC 6749 section 4.4).
//!
//! ```sh
//! export FLYTE_ENDPOINT=dns:///flyte.example.com:443
//! export FLYTE_CLIENT_ID=my-client FLYTE_CLIENT_SECRET=my-secret
//! cargo run --example client_credentials
//! ```
//!
//! The endpoint is the issuer, as a URL or in the form of gRPC; `FLYTE_SCOPES` and `FLYTE_AUDIENCE`
//! are optional. The token is used and not printed.

#![allow(clippy::print_stdout, clippy::expect_used)]

pub(crate) mod driver;

use driver::{Driver, now, seed};
use gatepass::Error;
use gatepass::client::Client;
use gatepass::client::machine::{AuthConfig, Grant, GrantRequest};
use gatepass::http::json::Object;

fn main() -> Result<(), Error> {
    let config = AuthConfig::from_variables("FLYTE_", |name| std::env::var(name).ok())?;
    let mut client = config.client()?;
    let driver = Driver::new();
    println!("{}", describe(&driver, &mut client)?);
    // Kept until its end is near: nothing is sent for this one.
    println!("{}", describe(&driver, &mut client)?);
    Ok(())
}

/// Says what a call to an API would carry.
pub(crate) fn describe(driver: &Driver, client: &mut Client) -> Result<String, Error> {
    let header = authorization(driver, client)?;
    Ok(format!(
        "authorization: Bearer and {} characters",
        header.len() - 7
    ))
}

/// The `Authorization` header of a call to an API.
pub(crate) fn authorization(driver: &Driver, client: &mut Client) -> Result<String, Error> {
    // What is not said here is as the client was configured.
    let grant = Grant::client_credentials(&Object::new(), client)?;
    if client.granted(&grant, now()).is_none() {
        let mut flow = GrantRequest::new(grant.clone(), seed());
        driver.run(&mut flow, client)?;
    }
    let token = client.granted_last(&grant).expect("it was just granted");
    // EXPOSE: it goes into the header of a call.
    Ok(format!("Bearer {}", token.expose()))
}
