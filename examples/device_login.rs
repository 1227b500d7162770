//! Signs a user in on a device without a browser (RFC 8628).
//!
//! ```sh
//! export OIDC_ISSUER=https://as.example OIDC_CLIENT_ID=my-device
//! cargo run --example device_login
//! ```

#![allow(clippy::print_stdout)]

pub(crate) mod driver;

use driver::{Driver, seed};
use gatepass::Error;
use gatepass::client::Client;
use gatepass::client::machine::{DevicePrompt, DeviceStart};
use gatepass::http::json::{Object, Value};

fn main() -> Result<(), Error> {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let options = Object::new()
        .with("issuer", variable("OIDC_ISSUER"))
        .with("clientId", variable("OIDC_CLIENT_ID"))
        .with("scope", "openid")
        .with("dangerouslyAllowHttpLoopback", Value::Bool(true));
    let mut client = Client::from_options(&options)?;
    let who = sign_in(&Driver::new(), &mut client, |prompt| {
        println!("Go to {}", prompt.verification_uri.as_str());
        println!("and type {}", prompt.user_code);
    })?;
    println!("Signed in as {who}");
    Ok(())
}

/// Shows a user where to go and waits until they have signed in there. The session is then the
/// client's: `Session::attach` hands out its token, `Refresh` renews it.
pub(crate) fn sign_in(
    driver: &Driver,
    client: &mut Client,
    show: impl FnOnce(&DevicePrompt),
) -> Result<String, Error> {
    let mut start = DeviceStart::new(&Object::new(), client, seed())?;
    let mut login = driver.run(&mut start, client)?;
    show(login.prompt());
    driver.run(&mut login, client)?;
    let user = client.session().and_then(|session| session.user());
    let subject = user.map(|user| user.required_string("sub")).transpose()?;
    Ok(subject.unwrap_or("someone").to_owned())
}
