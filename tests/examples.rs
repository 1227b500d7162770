//! The examples for native programs, run against the provider of the tests over real sockets.

#![cfg(all(
    not(target_arch = "wasm32"),
    feature = "backend",
    feature = "guard",
    feature = "rust-crypto"
))]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    unreachable_pub,
    missing_docs
)]
// Both examples and the tests of flows bring more than is used here.
#![allow(dead_code, unused_imports, clippy::duplicate_mod)]

#[path = "../examples/client_credentials.rs"]
mod client_credentials;
#[path = "../examples/device_login.rs"]
mod device_login;
#[path = "flows/support/mod.rs"]
mod support;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use gatepass::client::Client;
use gatepass::client::machine::AuthConfig;
use gatepass::http::{Method, Purpose};
use gatepass::time::Lifetime;
use serde_json::json;
use support::{Idp, Reply, Sent, options};

/// A provider on this machine: its issuer, and what it was sent.
fn serve(prepare: fn(&mut Idp)) -> (String, Receiver<Sent>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let issuer = format!("http://{}", listener.local_addr().unwrap());
    let (sender, receiver) = channel();
    let name = issuer.clone();
    thread::spawn(move || {
        let mut idp = Idp::new(&name);
        prepare(&mut idp);
        for stream in listener.incoming() {
            answer(&mut stream.unwrap(), &name, &mut idp, &sender);
        }
    });
    (issuer, receiver)
}

fn answer(stream: &mut TcpStream, issuer: &str, idp: &mut Idp, sender: &Sender<Sent>) {
    let mut bytes = Vec::new();
    let (head, request) = loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((found, body)) = text.split_once("\r\n\r\n") {
            let length = header(found, "content-length").map_or(0, |it| it.parse().unwrap());
            if body.len() >= length {
                break (found.to_owned(), body.to_owned());
            }
        }
        let mut more = [0; 4096];
        let count = stream.read(&mut more).unwrap();
        assert!(count > 0, "the request ends early");
        bytes.extend(&more[..count]);
    };
    let mut line = head.lines().next().unwrap().split(' ');
    let (method, path) = (line.next().unwrap(), line.next().unwrap());
    let is_device = request.contains("device_code");
    let sent = Sent {
        purpose: match path {
            "/token" => Purpose::Token,
            "/jwks" => Purpose::Keys,
            "/device" => Purpose::DeviceAuthorization,
            _ => Purpose::Discovery,
        },
        method: if method == "POST" {
            Method::Post
        } else {
            Method::Get
        },
        url: format!("{issuer}{path}"),
        accept: "application/json",
        authorization: header(&head, "authorization"),
        attestation: None,
        media_type: "application/x-www-form-urlencoded",
        dpop: header(&head, "dpop"),
        body: Some(request),
        timeout: Lifetime::from_seconds(0),
    };
    assert!(!is_device || sent.purpose == Purpose::Token);
    sender.send(sent.clone()).unwrap();
    let now = client_credentials::driver::now();
    let reply = idp.answer(&sent, now);
    let (status, body) = reply.parts();
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
}

fn header(head: &str, name: &str) -> Option<String> {
    let mut lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    Some(value.trim().to_owned())
}

/// Also S3-01 and S3-18: the example is a native program. S3-03: what is sent and read is told from
/// the sending by `Driver`, which is not of the crate.
#[test]
fn s3_07_s3_08_client_credentials_asks_on_first_use_and_once() {
    use client_credentials::driver::Driver;
    let (issuer, sent) = serve(|_| {});
    let config = AuthConfig::new(issuer, "my-client", "my-secret").with_scopes(["all"]);
    let mut client = config.client().unwrap();
    assert!(sent.try_recv().is_err());
    let driver = Driver::new();
    let first = client_credentials::authorization(&driver, &mut client).unwrap();
    assert!(first.starts_with("Bearer access-"));
    let said = client_credentials::describe(&driver, &mut client).unwrap();
    assert!(!said.contains("access-"));
    let sent: Vec<_> = sent.try_iter().collect();
    let purposes: Vec<_> = sent.iter().map(|sent| sent.purpose).collect();
    assert_eq!(purposes, [Purpose::Discovery, Purpose::Token]);
    // my-client:my-secret
    assert_eq!(
        sent[1].authorization.as_deref(),
        Some("Basic bXktY2xpZW50Om15LXNlY3JldA==")
    );
    assert_eq!(sent[1].field("scope").as_deref(), Some("all"));
}

#[test]
fn s0_01_device_login_shows_where_to_go_and_ends_in_a_session() {
    use device_login::driver::Driver;
    let (issuer, sent) = serve(|idp| {
        let mut answer = idp.device_authorization();
        answer.set(
            "verification_uri",
            json!(format!("{}/activate", idp.issuer)),
        );
        answer.set("interval", 0);
        idp.reply(Purpose::DeviceAuthorization, Reply::json(answer));
        let pending = Reply::json(json!({"error": "authorization_pending"})).with_status(400);
        idp.reply(Purpose::Token, pending);
    });
    let given = json!({
        "issuer": issuer, "clientId": "my-device", "dangerouslyAllowHttpLoopback": true,
    });
    let mut client = Client::from_options(&options(&given)).unwrap();
    let mut shown = None;
    let who = device_login::sign_in(&Driver::new(), &mut client, |prompt| {
        shown = Some(prompt.user_code.clone());
    });
    assert_eq!(who.unwrap(), "user-1");
    assert_eq!(shown.as_deref(), Some("WDJB-MJHT"));
    assert!(client.session().is_some());
    let polls = sent
        .try_iter()
        .filter(|sent| sent.purpose == Purpose::Token);
    assert_eq!(polls.count(), 2);
}

#[test]
fn a_provider_that_is_down_is_unreachable() {
    use client_credentials::driver::Driver;
    // A port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let config = AuthConfig::new(format!("http://{address}"), "a", "b");
    let mut client = config.client().unwrap();
    let error = client_credentials::authorization(&Driver::new(), &mut client).unwrap_err();
    assert_eq!(error.code(), "upstream_unreachable");
}
