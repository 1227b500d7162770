//! Nothing that comes from outside makes the core panic: every entry point, fed with what is nearly
//! right, for as many runs as one likes.
//!
//! `tests/properties.rs` says what holds for such input; here it is only that the core lives, and so a
//! run takes microseconds. `GATEPASS_FUZZ_RUNS` is how often each entry point is entered, where twenty
//! seconds in all are not enough, and `GATEPASS_FUZZ_SEED` where the randomness begins.

#![cfg(all(
    not(target_arch = "wasm32"),
    feature = "backend",
    feature = "client",
    feature = "guard"
))]
// Clippy allows these in tests; here the helpers of tests are functions of their own.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use gatepass::client::machine::{Grant, GrantRequest};
use gatepass::client::{
    CheckLogout, Client, Completion, FedCmRequest, LogoutReceiver, LogoutRequest, PendingLogins,
    PendingLogouts, Refresh, Session, SignIn, SignInOptions, SignOut, SignOutOptions, UserInfo,
    remedy,
};
use gatepass::flow::{Event, Flow, Step};
use gatepass::guard::{BearerToken, Check, Guard, Need};
use gatepass::http::json::{self, Object, Value};
use gatepass::http::{HttpResponse, Transport, Unreachable, Url, form};
use gatepass::issuer::{Issuer, Metadata};
use gatepass::jose::{Algorithms, Compact, Header, JwkSet, MAX_TOKEN, Unverified, VerificationKey};
use gatepass::random::Entropy;
use gatepass::secret::Secret;
use gatepass::time::Timestamp;

/// How long all entry points together are fed when nobody says how often.
const PATIENCE: Duration = Duration::from_secs(20);
/// The fewest runs of each, however slow the machine.
const FEWEST: u64 = 500;

/// What is right, to be spoilt.
const TEXTS: &[&str] = &[
    METADATA,
    JWKS,
    r#"{"access_token":"a","token_type":"Bearer","expires_in":300,"refresh_token":"r","scope":"openid"}"#,
    r#"{"access_token":"a","token_type":"DPoP","expires_in":"3e2","authorization_details":[{"type":"t"}]}"#,
    r#"{"error":"invalid_grant","error_description":"no\u0000\ud83d\ude00"}"#,
    r#"{"active":true,"aud":["api"],"sub":"u","exp":1800000300,"scope":"read","cnf":{"jkt":"x"}}"#,
    r#"{"issuer":"https://as.example","clientId":"spa","redirectUri":"https://app.example/cb","dpop":{"bindCode":false},"clockTolerance":30}"#,
    r#"{"issuer":["https://as.example","https://b.example/t"],"audience":["api"],"profile":"entra","limits":{"token":9000}}"#,
    r#"{"scopes":"read write","anyRoles":["a"],"acr":["x"],"maxAge":60,"user":true}"#,
    r#"{"prompt":"none","claims":{"id_token":{"acr":{"essential":true,"values":["a"]}}},"maxAge":1e1,"authorizationDetails":[{"type":"x"}],"returnTo":"/a"}"#,
    r#"{"waiting":[{"state":"ab","nonce":"n","verifier":"v","started_at":0,"issuer":"https://as.example"}],"used":["cd"]}"#,
    r#"{"form":1,"issuer":"https://as.example","client_id":"spa","access_token":"a","refresh_token":"r","id_token":"i","user":{"sub":"alice","sid":"s1"},"signed_in_as":{"sub":"alice"},"scope":"openid","received_at":1000,"expires_in":300000}"#,
    r#"{"providers":[{"configURL":"https://as.example/fedcm.json","nonce":"n","params":{}}]}"#,
    r#"{"configUrl":"https://as.example/fedcm.json","params":{"a":"b"},"mode":"active","context":"use"}"#,
    r#"{"alg":"ES256","typ":"at+jwt","kid":"k1","crit":["b64"]}"#,
    r#"{"iss":"https://as.example","aud":"api","sub":"u","client_id":"c","iat":1,"exp":9999999999,"jti":"t","nonce":"n","at_hash":"x"}"#,
    "https://app.example/cb?code=abc&state=ab&iss=https%3A%2F%2Fas.example",
    "https://app.example/cb#error=access_denied&error_description=no+%ff&state=ab",
    "https://app.example/bye?state=ab",
    "https://[::1]:8443/a/../%2e%2e/b?c#d",
    "code=abc&state=ab&id_token=x&%zz=%00",
    r#"Bearer realm="a\"b", error="insufficient_scope", scope="read", DPoP algs="ES256", error="use_dpop_nonce""#,
    r#"DPoP error="invalid_token", Bearer error="insufficient_user_authentication", max_age="5", acr_values="x""#,
    "Bearer eyJhbGciOiJFUzI1NiJ9.e30.AAAA",
    "DPoP abc.def",
    "openid profile \u{e9}",
];
const METADATA: &str = r#"{"issuer":"https://as.example","authorization_endpoint":"https://as.example/a","token_endpoint":"https://as.example/t","jwks_uri":"https://as.example/k","userinfo_endpoint":"https://as.example/u","end_session_endpoint":"https://as.example/o","revocation_endpoint":"https://as.example/r","pushed_authorization_request_endpoint":"https://as.example/p","introspection_endpoint":"https://as.example/i","code_challenge_methods_supported":["S256"],"authorization_response_iss_parameter_supported":true}"#;
/// A key whose signatures nobody here can make; RFC 7515 appendix A.3.
const JWKS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"k1","alg":"ES256","use":"sig","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;

/// What is put where something else stood.
const PIECES: &[&str] = &[
    "",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\",
    "\\u",
    "\\ud83d",
    ":",
    ",",
    "null",
    "true",
    "-",
    "0",
    "1e400",
    "-0.0",
    "9223372036854775808",
    "999999999999999999999999",
    "\u{0}",
    "\u{7f}",
    "\u{2028}",
    "\u{1F600}",
    "%",
    "%00",
    "%2e",
    "&",
    "=",
    "?",
    "#",
    "//",
    "\\",
    " ",
    "\t",
    "\r\n",
    ".",
    "..",
    "A",
    "aaaaaaaaaaaaaaaaaaaa",
    "https://",
    "eyJ",
    "__proto__",
    "e30",
    "\"a\":",
    "[[[[[[[[[[[[[[[[",
    "{\"a\":{\"a\":{\"a\":{\"a\":",
];

/// Xorshift, which is the same in each run of the same seed.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end.max(1)).unwrap();
        usize::try_from(self.next() % end).unwrap()
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    /// Something that is right, or nearly so, or not at all.
    fn bytes(&mut self) -> Vec<u8> {
        let mut bytes = match self.below(8) {
            0 => (0..self.below(64))
                .map(|_| self.next().to_be_bytes()[0])
                .collect(),
            1 => self.pick(PIECES).repeat(self.below(200)).into_bytes(),
            _ => self.pick(TEXTS).as_bytes().to_vec(),
        };
        for _ in 0..self.below(5) {
            let from = self.below(bytes.len() + 1);
            let to = (from + self.below(12)).min(bytes.len());
            let piece = match self.below(3) {
                0 => vec![self.next().to_be_bytes()[0]],
                1 => self.pick(TEXTS).as_bytes().to_vec(),
                _ => self.pick(PIECES).as_bytes().to_vec(),
            };
            bytes.splice(from..to, piece);
        }
        bytes
    }

    fn text(&mut self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// What often reads as an object.
    fn object(&mut self) -> Object {
        let bytes = self.bytes();
        json::read_object(&bytes, 1 << 20).unwrap_or_default()
    }

    /// A token whose parts are drawn, or what is none.
    fn token(&mut self) -> String {
        if self.below(4) == 0 {
            return self.text();
        }
        let part = |bytes: &[u8]| {
            use base64::Engine as _;
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
        };
        let header = match self.below(2) {
            0 => self.bytes(),
            _ => br#"{"alg":"ES256","kid":"k1"}"#.to_vec(),
        };
        let (claims, signature) = (self.bytes(), vec![7; self.below(80)]);
        format!("{}.{}.{}", part(&header), part(&claims), part(&signature))
    }

    fn event(&mut self) -> Event {
        match self.below(12) {
            0 => Event::Start,
            1 => Event::Unreachable(Unreachable::Timeout),
            // A check of signatures never says yes here: nobody signed.
            2 => Event::Signature(false),
            3 => Event::Signed(vec![1; self.below(200)]),
            4 => Event::Woke,
            5 => Event::SignFailed,
            _ => {
                let status = *self.pick(&[200, 200, 200, 201, 302, 400, 401, 429, 503, 999]);
                let media = *self.pick(&["application/json", "application/json", "text/html", ""]);
                let mut headers = vec![("content-type", media.to_owned())];
                if self.below(4) == 0 {
                    let name = *self.pick(&[
                        "www-authenticate",
                        "dpop-nonce",
                        "retry-after",
                        "cache-control",
                    ]);
                    headers.push((name, self.text()));
                }
                let body = match self.below(4) {
                    0 => METADATA.into(),
                    1 => JWKS.into(),
                    2 => format!(
                        r#"{{"access_token":"a","token_type":"Bearer","id_token":"{}"}}"#,
                        self.token()
                    )
                    .into_bytes(),
                    _ => self.bytes(),
                };
                Event::Answer(HttpResponse::new(status, headers, body))
            }
        }
    }

    fn now(&mut self) -> Timestamp {
        let millis = *self.pick(&[0, 1000, 1_800_000_000_000, 253_402_300_799_999]);
        Timestamp::from_millis(millis).unwrap()
    }

    /// Steps a flow through whatever comes.
    fn drive<F: Flow>(&mut self, flow: &mut F, shared: &mut F::Shared) -> Option<F::Output> {
        let now = self.now();
        let good = vec![("content-type", "application/json".to_owned())];
        let good = Event::Answer(HttpResponse::new(200, good, METADATA.into()));
        let first = if self.below(3) > 0 {
            vec![Event::Start, good]
        } else {
            Vec::new()
        };
        for event in first {
            if let Ok(Step::Done(output)) = flow.step(shared, now, event) {
                return Some(output);
            }
        }
        for _ in 0..self.below(10) {
            let event = self.event();
            if let Ok(Step::Done(output)) = flow.step(shared, now, event) {
                return Some(output);
            }
        }
        None
    }
}

fn object(text: &str) -> Object {
    json::read_object(text.as_bytes(), 1 << 20).unwrap()
}

fn client() -> Client {
    Client::from_options(&object(
        r#"{"issuer":"https://as.example","clientId":"spa","redirectUri":"https://app.example/cb"}"#,
    ))
    .unwrap()
}

fn entropy() -> Entropy {
    let mut bytes = [0; Entropy::BYTES];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::try_from(index).unwrap();
    }
    Entropy::new(bytes).unwrap()
}

type Entry = (&'static str, fn(&mut Draw));

/// Everything that takes something from outside.
const ENTRIES: &[Entry] = &[
    ("json", |draw| {
        let limit = *draw.pick(&[0, 50, 1 << 20]);
        if let Ok(object) = json::read_object(&draw.bytes(), limit) {
            let text = Value::from(object).to_json();
            assert!(json::read_object(text.as_bytes(), 1 << 20).is_ok());
        }
    }),
    ("form", |draw| {
        if let Some(parameters) = form::decode(&draw.text()) {
            let _ = form::once(&parameters, "state");
        }
    }),
    ("url", |draw| {
        if let Some(url) = Url::parse(&draw.text()) {
            let _ = (
                url.origin(),
                url.path(),
                url.query(),
                url.without_query(),
                url.is_unambiguous(),
            );
        }
        if let Ok(issuer) = Issuer::parse(&draw.text(), Transport::SecureOrLoopback) {
            let _ = gatepass::issuer::well_known_urls(&issuer);
        }
    }),
    ("token", |draw| {
        let (text, limit) = (draw.token(), *draw.pick(&[10, MAX_TOKEN]));
        let _ = Unverified::parse(&text, limit, &Algorithms::all());
        if let Ok(compact) = Compact::parse(&text, limit) {
            let _ = (
                Header::read(&compact, &Algorithms::all()),
                compact.decode().is_ok(),
            );
        }
    }),
    ("keys", |draw| {
        let object = draw.object();
        if let Ok(set) = JwkSet::read(&object) {
            let compact = "eyJhbGciOiJFUzI1NiIsImtpZCI6ImsxIn0.e30.AAAA";
            let compact = Compact::parse(compact, MAX_TOKEN).unwrap();
            let _ = set.select(&Header::read(&compact, &Algorithms::all()).unwrap());
        }
        if let Some(key) = VerificationKey::read(&object) {
            let _ = key.to_public_jwk();
        }
    }),
    ("metadata", |draw| {
        let issuer = Issuer::parse("https://as.example", Transport::Secure).unwrap();
        let _ = Metadata::read(&draw.object(), &issuer, Transport::Secure);
    }),
    ("header", |draw| {
        let text = draw.text();
        let _ = BearerToken::read(Some(&text));
        let status = *draw.pick(&[401, 403, 400]);
        let _ = remedy(client().config(), status, Some(&text));
    }),
    ("stores", |draw| {
        let (text, mut client) = (draw.text(), client());
        let logins = PendingLogins::read(Some(&text)).to_json();
        assert_eq!(PendingLogins::read(Some(&logins)).to_json(), logins);
        let mut logouts = PendingLogouts::read(Some(&text));
        let (url, now) = (draw.text(), draw.now());
        let _ = logouts.take(&url, &client, now);
        if let Some(session) = Session::read(&text, client.config(), client.provider().issuer()) {
            let _ = (
                session.attach(client.config(), now),
                session.renewal_in(client.config(), now),
            );
            client.restore_session(session);
            let _ = client.frontchannel_logout(&url);
        }
    }),
    ("options", |draw| {
        let object = draw.object();
        let _ = (Client::from_options(&object), Guard::from_options(&object));
        let _ = (
            Need::from_options(&object),
            LogoutReceiver::from_options(&object),
        );
        let _ = (
            SignInOptions::from_options(&object),
            SignOutOptions::from_options(&object),
        );
        let client = client();
        let _ = Grant::client_credentials(&object, &client);
        if let Ok(request) = FedCmRequest::new(&object, &client, &entropy()) {
            assert!(FedCmRequest::read(&request.to_json()).is_ok());
        }
    }),
    ("callback", |draw| {
        let (mut client, mut logins) = (client(), PendingLogins::default());
        let begun = draw.drive(
            &mut SignIn::new(SignInOptions::default(), entropy()),
            &mut client,
        );
        let state = begun
            .as_ref()
            .map(|request| request.login.state().to_owned());
        let now = draw.now();
        if let Some(request) = begun {
            logins.add(request.login, now);
        }
        let url = match draw.below(3) {
            0 => draw.text(),
            _ => {
                let state = state.unwrap_or_default();
                format!("https://app.example/cb?code=c&state={state}&iss=https%3A%2F%2Fas.example")
            }
        };
        let posted = draw.text();
        let flow = match draw.below(4) {
            0 => Completion::posted("https://app.example/cb", &posted, &mut logins, &client, now),
            _ => Completion::new(&url, &mut logins, &client, now),
        };
        if let Ok(mut flow) = flow {
            assert!(draw.drive(&mut flow, &mut client).is_none());
        }
        assert!(client.session().is_none());
    }),
    ("the browser's token", |draw| {
        let (mut client, text, token) = (client(), draw.text(), draw.token());
        let given = object(r#"{"configUrl":"https://as.example/fedcm.json"}"#);
        let request = FedCmRequest::read(&text);
        let request = request.or_else(|_| FedCmRequest::new(&given, &client, &entropy()));
        let mut flow = Completion::fedcm(Secret::new(token), request.unwrap());
        assert!(draw.drive(&mut flow, &mut client).is_none());
        assert!(client.session().is_none());
    }),
    ("a session", |draw| {
        let mut client = client();
        let stored = TEXTS
            .iter()
            .find(|text| text.starts_with(r#"{"form""#))
            .unwrap();
        let session = Session::read(stored, client.config(), client.provider().issuer());
        client.restore_session(session.unwrap());
        let (mut asks, mut renews) = (UserInfo::new(&client), Refresh::new(&client));
        let _ = draw.drive(&mut asks, &mut client);
        let _ = draw.drive(&mut renews, &mut client);
        let mut leaves = SignOut::new(&mut client, SignOutOptions::default(), entropy());
        let _ = draw.drive(&mut leaves, &mut client);
    }),
    ("a machine", |draw| {
        let mut client = client();
        let grant = Grant::client_credentials(&Object::new(), &client).unwrap();
        let _ = draw.drive(&mut GrantRequest::new(grant, [1; 32]), &mut client);
    }),
    ("a guard", |draw| {
        let options = match draw.below(2) {
            0 => r#"{"issuer":"https://as.example","audience":"api"}"#,
            _ => {
                r#"{"issuer":"https://as.example","audience":"api","introspection":{"clientId":"rs","clientSecret":"s"}}"#
            }
        };
        let mut guard = Guard::from_options(&object(options)).unwrap();
        let token = draw.token();
        let mut check = Check::new(&guard, Ok(BearerToken::new(&token)), &Need::nothing());
        let _ = draw.drive(&mut check, &mut guard);
    }),
    ("a logout token", |draw| {
        let text = draw.text();
        let kind = Some("application/x-www-form-urlencoded");
        let _ = LogoutRequest::read("POST", kind, &text);
        let mut form = form::Form::new();
        form.push("logout_token", &draw.token());
        if let Ok(request) = LogoutRequest::read("POST", kind, form.encoded()) {
            let options = object(r#"{"issuer":"https://as.example","clientId":"spa"}"#);
            let mut receiver = LogoutReceiver::from_options(&options).unwrap();
            assert!(
                draw.drive(&mut CheckLogout::new(request), &mut receiver)
                    .is_none()
            );
        }
    }),
];

/// A number from the environment.
fn given(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {text}")),
    )
}

#[test]
fn wsm_01_no_entry_point_panics_whatever_comes() {
    let seed = given("GATEPASS_FUZZ_SEED")
        .unwrap_or(0x9e37_79b9_7f4a_7c15)
        .max(1);
    let wanted = given("GATEPASS_FUZZ_RUNS");
    let share = PATIENCE / u32::try_from(ENTRIES.len()).unwrap();
    for (name, enter) in ENTRIES {
        let (begun, mut runs, mut draw) = (Instant::now(), 0_u64, Draw(seed));
        let goes_on = |runs: u64| match wanted {
            Some(wanted) => runs < wanted,
            None => runs < FEWEST || begun.elapsed() < share,
        };
        while goes_on(runs) {
            let state = draw.0;
            let entered = catch_unwind(AssertUnwindSafe(|| enter(&mut draw)));
            assert!(
                entered.is_ok(),
                "{name} panicked; again with GATEPASS_FUZZ_SEED={state}"
            );
            runs += 1;
        }
        println!(
            "{name}: {runs} runs, {} us each",
            begun.elapsed().as_micros() / u128::from(runs.max(1))
        );
    }
}

#[test]
fn what_is_drawn_is_often_right_and_often_wrong() {
    let mut draw = Draw(1);
    let read = (0..2000)
        .filter(|_| json::read_object(&draw.bytes(), 1 << 20).is_ok())
        .count();
    assert!((200..1800).contains(&read), "{read} of 2000 are objects");
    let tokens = (0..2000)
        .filter(|_| Unverified::parse(&draw.token(), MAX_TOKEN, &Algorithms::all()).is_ok())
        .count();
    assert!((50..1900).contains(&tokens), "{tokens} of 2000 are tokens");
}
