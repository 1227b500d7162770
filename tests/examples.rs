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
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use gatepass::client::Client;
use gatepass::client::machine::{AuthConfig, Grant, GrantRequest};
use gatepass::flow::{Event, Flow as _, Step};
use gatepass::http::json::Object;
use gatepass::http::{HttpResponse, Method, Purpose};
use gatepass::time::{Lifetime, Timestamp};
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

/// Builds what is asked for and reads what is answered; nothing here can send.
#[test]
fn s3_03_requests_for_tokens_are_built_and_answers_read_without_sending() {
    let config = AuthConfig::new("https://as.example", "my-client", "my-secret");
    let config = config
        .with_scopes(["all"])
        .with_audience("https://api.example");
    let mut client = config.client().unwrap();
    let grant = Grant::client_credentials(&Object::new(), &client).unwrap();
    let mut flow = GrantRequest::new(grant.clone(), [7; 32]);
    let now = Timestamp::from_seconds(1_700_000_000).unwrap();

    let metadata = json!({
        "issuer": "https://as.example", "token_endpoint": "https://as.example/token",
    });
    let answered = json!({"access_token": "a-token", "token_type": "Bearer", "expires_in": 300});
    let mut event = Event::Start;
    let mut asked = Vec::new();
    let granted = loop {
        match flow.step(&mut client, now, event).unwrap() {
            Step::Send(request) => {
                let answer = match request.purpose {
                    Purpose::Token => &answered,
                    _ => &metadata,
                };
                let headers = vec![("content-type", "application/json".to_owned())];
                let body = serde_json::to_vec(answer).unwrap();
                event = Event::Answer(request.answer(200, headers, body));
                asked.push(request);
            }
            Step::Done(granted) => break granted,
            other => panic!("no {other:?} is called for"),
        }
    };
    drop(granted);
    let request = asked.last().unwrap();
    assert_eq!(request.method, Method::Post);
    assert_eq!(request.url.as_str(), "https://as.example/token");
    assert_eq!(
        request.body.as_ref().unwrap().expose(),
        "grant_type=client_credentials&audience=https%3A%2F%2Fapi.example&scope=all"
    );
    // my-client:my-secret
    assert_eq!(
        request.authorization.as_ref().unwrap().expose(),
        "Basic bXktY2xpZW50Om15LXNlY3JldA=="
    );
    assert!(client.granted(&grant, now).unwrap().ct_eq("a-token"));
    let nearly = now.after(Lifetime::from_seconds(299));
    assert!(client.granted(&grant, nearly).is_none(), "its end is near");
}

/// A token of the provider over a socket, asked for once and kept in the client.
#[test]
fn s3_01_a_native_program_gets_a_token_and_keeps_it() {
    use client_credentials::driver::{Driver, now};
    let (issuer, sent) = serve(|_| {});
    let mut client = AuthConfig::new(issuer, "my-client", "my-secret")
        .client()
        .unwrap();
    let driver = Driver::new();
    let grant = Grant::client_credentials(&Object::new(), &client).unwrap();
    assert!(client.granted(&grant, now()).is_none());
    let mut flow = GrantRequest::new(grant.clone(), client_credentials::driver::seed());
    driver.run(&mut flow, &mut client).unwrap();
    let header = client_credentials::authorization(&driver, &mut client).unwrap();
    assert_eq!(
        header.strip_prefix("Bearer "),
        client
            .granted(&grant, now())
            .map(|token| token.expose().as_str())
    );
    let tokens = sent
        .try_iter()
        .filter(|sent| sent.purpose == Purpose::Token);
    assert_eq!(tokens.count(), 1);
}

/// An example as a program of its own, as `cargo test` builds it beside the tests.
fn example(name: &str) -> Command {
    let own = std::env::current_exe().unwrap();
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let program = own.parent().unwrap().with_file_name("examples").join(file);
    if !program.exists() {
        // Only this file was asked for.
        let mut build = Command::new(env!("CARGO"));
        let built = build.args(["build", "--all-features", "--example", name]);
        assert!(built.status().unwrap().success());
    }
    let mut command = Command::new(program);
    command.env_clear();
    command
}

fn ran(command: &mut Command) -> (bool, String) {
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn s3_18_s3_17_client_credentials_runs_with_the_variables_of_its_documentation() {
    let (issuer, sent) = serve(|_| {});
    let mut command = example("client_credentials");
    command
        .env("FLYTE_ENDPOINT", issuer)
        .env("FLYTE_CLIENT_ID", "my-client");
    let (is_good, said) = ran(&mut command);
    assert!(!is_good && said.contains("config_invalid"), "{said}");
    let (is_good, said) = ran(command.env("FLYTE_CLIENT_SECRET", "my-secret"));
    assert!(is_good, "{said}");
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    for line in lines {
        assert!(line.starts_with("authorization: Bearer and "), "{said}");
    }
    assert!(!said.contains("my-secret") && !said.contains("access-"));
    let tokens = sent
        .try_iter()
        .filter(|sent| sent.purpose == Purpose::Token);
    assert_eq!(tokens.count(), 1);
}

#[test]
fn s3_18_device_login_runs_and_says_who_signed_in() {
    let (issuer, _sent) = serve(|idp| {
        let mut answer = idp.device_authorization();
        answer.set(
            "verification_uri",
            json!(format!("{}/activate", idp.issuer)),
        );
        answer.set("interval", 0);
        idp.reply(Purpose::DeviceAuthorization, Reply::json(answer));
    });
    let mut command = example("device_login");
    let command = command
        .env("OIDC_ISSUER", &issuer)
        .env("OIDC_CLIENT_ID", "my-device");
    let (is_good, said) = ran(command);
    assert!(is_good, "{said}");
    let expected = format!("Go to {issuer}/activate\nand type WDJB-MJHT\nSigned in as user-1\n");
    assert_eq!(said, expected);
}

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
