//! What holds for every input: nothing panics, nothing that is written reads differently, and
//! whatever this crate accepts as JSON another reader accepts with the same value.

#![cfg(all(
    not(target_arch = "wasm32"),
    feature = "backend",
    feature = "client",
    feature = "guard"
))]
// Clippy allows these in tests; here the helpers of tests are functions of their own.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]

use gatepass::client::machine::{DeviceStart, DiscoverResource, Grant, GrantRequest};
use gatepass::client::{
    CheckLogout, Client, Completion, DpopKey, LogoutReceiver, LogoutRequest, PendingLogins,
    PendingLogouts, Refresh, Session, SignIn, SignInOptions, SignOut, SignOutOptions, UserInfo,
};
use gatepass::flow::{Event, Flow, Step};
use gatepass::guard::{BearerToken, Check, Guard, Need};
use gatepass::http::json::{self, Object, Value};
use gatepass::http::{HttpResponse, Transport, Unreachable, Url, form};
use gatepass::issuer::{Issuer, Metadata};
use gatepass::jose::{
    Algorithm, Algorithms, Compact, Header, JwkSet, MAX_TOKEN, TokenNames, Unverified,
    VerificationKey,
};
use gatepass::random::Entropy;
use gatepass::time::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;

/// Bytes that are often nearly JSON.
fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
    let parts = prop_oneof![
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just(","),
        Just(":"),
        Just("\""),
        Just("\\"),
        Just("\\u"),
        Just("d83d"),
        Just("\\ude00"),
        Just("\"a\""),
        Just("\"a\":"),
        Just("\"b\":1,"),
        Just("true"),
        Just("null"),
        Just("-"),
        Just("0"),
        Just("17"),
        Just("."),
        Just("e"),
        Just("E+"),
        Just("999999999999999999999"),
        Just(" "),
        Just("\n"),
        Just("\u{e9}"),
        Just("\u{1F600}"),
    ];
    prop_oneof![
        vec(any::<u8>(), 0..200),
        vec(parts, 0..40).prop_map(|parts| parts.concat().into_bytes()),
    ]
}

/// A number as JSON writes it, often near the edge of doubles.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|value| value.to_string()),
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?",
        "-?1\\.797693134862315[0-9]{0,12}[eE]\\+?30[6-9]",
        "-?0\\.0{0,9}[0-9]{1,20}[eE]3[0-9]{2}",
    ]
}

/// A JSON value that this crate accepts or not, written with the escapes and spaces that JSON has.
fn json_text() -> impl Strategy<Value = String> {
    let string = vec(
        prop_oneof![
            any::<char>().prop_map(|c| match c {
                '"' | '\\' => format!("\\{c}"),
                c if u32::from(c) < 0x20 => format!("\\u{:04x}", u32::from(c)),
                c => c.to_string(),
            }),
            any::<u16>().prop_map(|unit| format!("\\u{unit:04X}")),
            Just("\\ud83d\\ude00".to_owned()),
            Just("\\/".to_owned()),
            Just("\\b\\f\\n\\r\\t".to_owned()),
        ],
        0..6,
    )
    .prop_map(|parts| format!("\"{}\"", parts.concat()));
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        number(),
        string.clone(),
    ];
    leaf.prop_recursive(6, 40, 5, move |inner| {
        let member = (string.clone(), inner.clone());
        prop_oneof![
            vec(inner, 0..5).prop_map(|items| format!("[ {} ]", items.join(" ,\t"))),
            vec(member, 0..5).prop_map(|members| {
                let members: Vec<_> = members
                    .into_iter()
                    .map(|(name, value)| format!("{name}\n: {value}"))
                    .collect();
                format!("{{{}}}", members.join(", "))
            }),
        ]
    })
}

/// Whether two readers read the same.
fn is_same(ours: &Value, theirs: &serde_json::Value) -> bool {
    use serde_json::Value as Theirs;
    match (ours, theirs) {
        (Value::Null, Theirs::Null) => true,
        (Value::Bool(ours), Theirs::Bool(theirs)) => ours == theirs,
        (Value::String(ours), Theirs::String(theirs)) => ours == theirs,
        (Value::Number(ours), Theirs::Number(theirs)) => {
            // Ours is the text; read as a double it is what another reader has.
            let double: f64 = ours.as_text().parse().unwrap();
            double.is_finite() && theirs.as_f64() == Some(double)
        }
        (Value::Array(ours), Theirs::Array(theirs)) => {
            ours.len() == theirs.len()
                && ours
                    .iter()
                    .zip(theirs)
                    .all(|(ours, theirs)| is_same(ours, theirs))
        }
        (Value::Object(ours), Theirs::Object(theirs)) => {
            ours.iter().len() == theirs.len()
                && ours.iter().all(|(name, value)| {
                    theirs
                        .get(name)
                        .is_some_and(|theirs| is_same(value, theirs))
                })
        }
        _ => false,
    }
}

/// Whether a text has a number that is written as a string because a double would round it.
fn has_long_integer(value: &Value) -> bool {
    match value {
        Value::Number(number) => {
            number.as_text().parse::<f64>().unwrap().abs() > 9_007_199_254_740_992.0
        }
        Value::Array(items) => items.iter().any(has_long_integer),
        Value::Object(object) => object.iter().any(|(_, value)| has_long_integer(value)),
        _ => false,
    }
}

/// A value made of parts.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-9_007_199_254_740_992_i64..=9_007_199_254_740_992).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::Array),
            vec((any::<String>(), inner), 0..5).prop_map(|members| {
                let start = Object::new();
                let object = members
                    .into_iter()
                    .fold(start, |object, (name, value)| object.with(&name, value));
                Value::Object(object)
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn json_never_panics_and_keeps_its_limit(text in nearly_json(), limit in 0_usize..300) {
        let result = json::read(&text, limit);
        if text.len() > limit {
            prop_assert_eq!(result, Err(json::Fault::TooLarge));
        }
    }

    #[test]
    fn json_that_is_accepted_is_accepted_by_another_reader_with_the_same_value(
        text in prop_oneof![nearly_json(), json_text().prop_map(String::into_bytes)],
    ) {
        if let Ok(ours) = json::read(&text, 1 << 20) {
            let theirs: serde_json::Value = serde_json::from_slice(&text).unwrap();
            prop_assert!(is_same(&ours, &theirs), "{}", theirs);
        }
    }

    #[test]
    fn json_that_is_refused_for_its_syntax_is_refused_by_another_reader(
        text in prop_oneof![nearly_json(), json_text().prop_map(String::into_bytes)],
    ) {
        if let Err(json::Fault::Syntax) = json::read(&text, 1 << 20) {
            let theirs = serde_json::from_slice::<serde_json::Value>(&text);
            prop_assert!(theirs.is_err());
        }
    }

    #[test]
    fn numbers_that_fit_a_double_are_accepted(text in number()) {
        let double: f64 = text.parse().unwrap();
        let result = json::read(text.as_bytes(), 1000);
        if !double.is_finite() {
            prop_assert_eq!(result, Err(json::Fault::Number));
        } else if double.abs() < 1.797_693_134_862_315e308 {
            prop_assert!(result.is_ok());
        }
    }

    #[test]
    fn numbers_are_cut_and_not_rounded(text in number(), places in 0_i32..4) {
        let Ok(Value::Number(number)) = json::read(text.as_bytes(), 1000) else {
            return Ok(());
        };
        let Some(scaled) = number.scaled(places) else {
            return Ok(());
        };
        // Doubles are exact enough where the result is small.
        if scaled.unsigned_abs() < 1 << 40 {
            let exact = text.parse::<f64>().unwrap() * 10_f64.powi(places);
            let low = exact.floor();
            let difference = low - scaled.to_string().parse::<f64>().unwrap();
            prop_assert!(difference.abs() <= 1.0, "{text}: {scaled} against {exact}");
        }
        if let Some(integer) = number.as_integer() {
            prop_assert_eq!(number.scaled(0), Some(integer));
        }
    }

    #[test]
    fn what_is_written_reads_the_same(value in value()) {
        let text = value.to_json();
        let read = json::read(text.as_bytes(), 1 << 20);
        prop_assert_eq!(read.as_ref(), Ok(&value));
        let theirs: serde_json::Value = serde_json::from_str(&text).unwrap();
        prop_assert!(is_same(&value, &theirs));
    }

    #[test]
    fn what_was_read_is_written_and_read_the_same(text in json_text()) {
        if let Ok(value) = json::read(text.as_bytes(), 1 << 20) {
            let again = json::read(value.to_json().as_bytes(), 1 << 20).unwrap();
            if !has_long_integer(&value) {
                prop_assert_eq!(&again, &value);
            }
            prop_assert_eq!(again.to_json(), value.to_json());
        }
    }

    #[test]
    fn a_form_decodes_to_what_was_put_in(
        parameters in vec((any::<String>(), any::<String>()), 0..20),
    ) {
        let mut form = form::Form::new();
        for (name, value) in &parameters {
            form.push(name, value);
        }
        prop_assert_eq!(form::decode(form.encoded()), Some(parameters));
        let is_safe = |c: char| c.is_ascii_alphanumeric() || "*-._+%&=".contains(c);
        prop_assert!(form.encoded().chars().all(is_safe));
    }

    #[test]
    fn form_decoding_never_panics(text in prop_oneof![any::<String>(), "[a-c=&%+0-9zF]{0,60}"]) {
        if let Some(parameters) = form::decode(&text) {
            prop_assert!(parameters.len() <= 64);
            let _ = form::once(&parameters, "a");
        }
    }

    #[test]
    fn urls_never_panic_and_stay_as_they_are(
        text in prop_oneof![
            any::<String>(),
            "https?://[a-zA-Z0-9.:@\\[\\]%_-]{0,20}[/?#a-z0-9%&=.]{0,30}",
            "https://[a-z]{1,5}\\.example(:[0-9]{1,6})?(/[a-z.%0-9]{0,6}){0,3}(\\?[a-z=&]{0,8})?(#[a-z]{0,4})?",
        ],
    ) {
        if let Some(url) = Url::parse(&text) {
            prop_assert_eq!(url.as_str(), text.as_str());
            prop_assert!(text.starts_with(url.without_query()));
            prop_assert!(text.contains(url.path()));
            let origin = Url::parse(&url.origin()).unwrap();
            prop_assert_eq!(origin.origin(), url.origin());
            let mut form = form::Form::new();
            form.push("a b", "c&d");
            let longer = Url::parse(&url.with_query(&form));
            if let Some(longer) = longer {
                prop_assert_eq!(longer.origin(), url.origin());
                prop_assert_eq!(longer.path(), url.path());
                prop_assert!(longer.query().unwrap().ends_with("a+b=c%26d"));
            }
        }
    }

    #[test]
    fn tokens_never_panic(
        text in prop_oneof![
            any::<String>(),
            "[A-Za-z0-9_-]{0,40}(\\.[A-Za-z0-9_-]{0,40}){0,5}",
            nearly_json().prop_map(|header| token(&header, b"{}")),
            nearly_json().prop_map(|payload| token(br#"{"alg":"ES256"}"#, &payload)),
        ],
        limit in prop_oneof![Just(MAX_TOKEN), 0_usize..100],
    ) {
        let all = Algorithms::all();
        let parsed = Unverified::parse(&text, limit, &all);
        match Compact::parse(&text, limit) {
            Err(_) => prop_assert!(parsed.is_err()),
            Ok(compact) => {
                prop_assert!(text.len() <= limit);
                prop_assert_eq!(Compact::is_outline(&text), true);
                let header = Header::read(&compact, &all);
                prop_assert_eq!(parsed.is_ok(), header.is_ok() && compact.decode().is_ok() && is_claims(&compact));
            }
        }
    }

    #[test]
    fn authorization_headers_never_panic(
        header in prop_oneof![any::<String>(), "[Bb]ear(er)?[ \t]{0,2}[a-zA-Z0-9._~+/=, -]{0,30}"],
    ) {
        let read = BearerToken::read(Some(&header));
        if read.is_ok() {
            let (scheme, token) = header.split_once(' ').unwrap();
            prop_assert!(scheme.eq_ignore_ascii_case("bearer"));
            prop_assert!(!token.is_empty() && !token.contains([' ', ',']));
        }
    }

    #[test]
    fn stored_logins_never_panic_and_write_what_they_read(
        text in prop_oneof![any::<String>(), json_text(), stored()],
    ) {
        let logins = PendingLogins::read(Some(&text));
        let written = logins.to_json();
        prop_assert_eq!(PendingLogins::read(Some(&written)).to_json(), written);
    }

    #[test]
    fn key_sets_never_panic(keys in vec(jwk(), 0..5)) {
        let text = format!("{{\"keys\":[{}]}}", keys.join(","));
        let object = json::read_object(text.as_bytes(), 1 << 20).unwrap();
        let set = JwkSet::read(&object).unwrap();
        prop_assert!(set.len() <= keys.len());
        let token = token(br#"{"alg":"ES256","kid":"a"}"#, b"{}");
        let compact = Compact::parse(&token, MAX_TOKEN).unwrap();
        let header = Header::read(&compact, &Algorithms::all()).unwrap();
        let _ = set.select(&header);
    }

    #[test]
    fn a_key_that_was_read_is_written_as_the_same_key(jwk in jwk()) {
        let object = json::read_object(jwk.as_bytes(), 1 << 20).unwrap();
        if let Some(key) = VerificationKey::read(&object) {
            let public = key.to_public_jwk();
            let again = VerificationKey::read(&public).unwrap().to_public_jwk();
            prop_assert_eq!(Value::from(again).to_json(), Value::from(public).to_json());
        }
    }

    #[test]
    fn metadata_never_panics(members in vec((metadata_name(), json_text()), 0..6)) {
        let members: Vec<_> = members
            .iter()
            .map(|(name, value)| format!("\"{name}\":{value}"))
            .collect();
        let text = format!("{{\"issuer\":\"https://as.example\",{}}}", members.join(","))
            .replace(",}", "}");
        if let Ok(document) = json::read_object(text.as_bytes(), 1 << 20) {
            let issuer = Issuer::parse("https://as.example", Transport::Secure).unwrap();
            let _ = Metadata::read(&document, &issuer, Transport::Secure);
        }
    }

    #[test]
    fn issuers_never_panic(text in prop_oneof![any::<String>(), "https://[a-z.:/?#@0-9]{0,20}"]) {
        if let Ok(issuer) = Issuer::parse(&text, Transport::Secure) {
            prop_assert_eq!(issuer.as_str(), text.as_str());
            for url in gatepass::issuer::well_known_urls(&issuer) {
                prop_assert_eq!(url.origin(), issuer.url().origin());
            }
        }
    }

    #[test]
    fn wsm_01_flows_of_the_client_never_panic(
        events in vec(event(), 0..12),
        url in prop_oneof![any::<String>(), callback()],
        now in timestamp(),
    ) {
        let mut client = client();
        let mut logins = PendingLogins::default();
        for with_metadata in [false, true] {
            let given = SignInOptions::default();
            let flow = &mut SignIn::new(given, entropy());
            if let Some(request) = drive(flow, &mut client, now, with_metadata, &events) {
                logins.add(request.login, now);
            }
        }
        let state = state_of(&logins);
        for url in [url.clone(), url.replace("STATE", &state)] {
            if let Ok(mut flow) = Completion::new(&url, &mut logins, &client, now) {
                let with_metadata = client.provider().metadata().is_none();
                let done = drive(&mut flow, &mut client, now, with_metadata, &events);
                // Nobody signs in without a signature of the provider.
                prop_assert!(done.is_none());
            }
        }
        prop_assert!(client.session().is_none());
        let mut refresh = Refresh::new(&client);
        drive(&mut refresh, &mut client, now, true, &events);
        let mut sign_out = SignOut::new(&mut client, SignOutOptions::default(), entropy());
        drive(&mut sign_out, &mut client, now, true, &events);
    }

    #[test]
    fn wsm_01_flows_of_servers_and_machines_never_panic(
        events in vec(event(), 0..14),
        now in timestamp(),
        signs in any::<[bool; 3]>(),
    ) {
        let mut client = server(signs);
        let nothing = Object::new();
        for with_metadata in [false, true] {
            let flow = &mut SignIn::new(SignInOptions::default(), entropy());
            drive(flow, &mut client, now, with_metadata, &events);
            let grant = Grant::client_credentials(&nothing, &client).unwrap();
            let flow = &mut GrantRequest::new(grant, [1; 32]);
            drive(flow, &mut client, now, with_metadata, &events);
            let flow = &mut DeviceStart::new(&nothing, &client, [2; 32]).unwrap();
            if let Some(mut login) = drive(flow, &mut client, now, with_metadata, &events) {
                drive(&mut login, &mut client, now, false, &events);
            }
        }
        // No answer made a session without a signature of the provider.
        prop_assert!(client.session().is_none());
        let options = object(r#"{"resource":"https://as.example"}"#);
        let flow = &mut DiscoverResource::from_options(&options).unwrap();
        drive(flow, &mut (), now, false, &events);
    }

    #[test]
    fn flows_that_share_a_session_never_panic_and_let_nobody_else_in(
        steps in vec((0_usize..3, event_of_a_session()), 0..16),
        leaves_at in 0_usize..16,
        now in timestamp(),
    ) {
        let mut client = client_of_alice();
        let mut asks = UserInfo::new(&client);
        let mut renews = Refresh::new(&client);
        let mut leaves = None;
        for (index, (flow, event)) in steps.iter().enumerate() {
            if index == leaves_at {
                leaves = Some(SignOut::new(&mut client, SignOutOptions::default(), entropy()));
            }
            let before = access_token_of(&client);
            match flow {
                0 => if let Ok(Step::Done(claims)) = asks.step(&mut client, now, event.event()) {
                    prop_assert!(leaves.is_none());
                    prop_assert_eq!(claims.string("sub").unwrap(), Some("alice"));
                },
                1 => if let Ok(Step::Done(())) = renews.step(&mut client, now, event.event()) {
                    // Only an answer with a token renews, and only a session that is there.
                    prop_assert!(leaves.is_none());
                    prop_assert_ne!(access_token_of(&client), before.clone());
                },
                _ => if let Some(leaves) = &mut leaves
                    && let Ok(Step::Done(left)) = leaves.step(&mut client, now, event.event())
                {
                    prop_assert!(left.revoked.len() <= 2);
                    let url = left.url.map(|url| url.expose().clone());
                    prop_assert!(url.is_none_or(|url| url.starts_with("https://as.example/o?")));
                },
            }
            // Whoever left is gone, whatever comes.
            prop_assert!(leaves.is_none() || client.session().is_none());
            if *flow != 1 && client.session().is_some() {
                prop_assert_eq!(access_token_of(&client), before);
            }
        }
    }

    #[test]
    fn a_frame_ends_a_session_only_by_its_name(
        url in prop_oneof![
            any::<String>(),
            "https://app\\.example/f[?#](iss=https%3A%2F%2Fas\\.example(%2F)?&?)?(sid=s[0-9]&?)?(iss=x|sid=s1)?",
        ],
    ) {
        let mut client = client_of_alice();
        if client.frontchannel_logout(&url) {
            prop_assert!(client.session().is_none());
            let parameters = form::decode(url.split_once('?').unwrap().1).unwrap();
            prop_assert_eq!(form::once(&parameters, "iss"), Ok(Some("https://as.example")));
            prop_assert_eq!(form::once(&parameters, "sid"), Ok(Some("s1")));
        } else {
            prop_assert!(client.session().is_some());
        }
    }

    #[test]
    fn returns_from_signing_out_never_panic_and_need_their_state(
        url in prop_oneof![any::<String>(), "https://app\\.example/bye[?#](state=[a-z]{0,3}&?){0,2}"],
        text in prop_oneof![any::<String>(), json_text(), Just(LOGOUTS.to_owned())],
        now in timestamp(),
    ) {
        let client = client_of_alice();
        let mut logouts = PendingLogouts::read(Some(&text));
        let written = logouts.to_json();
        prop_assert_eq!(&PendingLogouts::read(Some(&written)).to_json(), &written);
        match logouts.take(&url, &client, now) {
            Ok(_) => {
                prop_assert!(url.contains("state=ab"));
                prop_assert_ne!(logouts.to_json(), written);
            }
            Err(error) => prop_assert_eq!(error.phase().unwrap().name(), "sign_out"),
        }
    }

    #[test]
    fn logout_tokens_never_panic_and_end_nothing_without_a_signature(
        events in vec(event(), 0..8),
        text in prop_oneof![
            any::<String>(),
            nearly_json().prop_map(|claims| token(LOGOUT_HEADER, &claims)),
            Just(token(LOGOUT_HEADER, LOGOUT_CLAIMS.as_bytes())),
        ],
        body in any::<String>(),
        now in timestamp(),
    ) {
        let _ = LogoutRequest::read("POST", Some(FORM), &body);
        let mut form = form::Form::new();
        form.push("logout_token", &text);
        if let Ok(request) = LogoutRequest::read("POST", Some(FORM), form.encoded()) {
            let mut receiver = receiver();
            let mut check = CheckLogout::new(request);
            prop_assert!(drive(&mut check, &mut receiver, now, true, &events).is_none());
        }
    }

    #[test]
    fn logout_tokens_that_are_signed_name_someone_and_the_event(
        members in vec((logout_claim(), logout_value()), 0..4),
        removed in vec(logout_claim(), 0..2),
    ) {
        let mut claims: serde_json::Value = serde_json::from_str(LOGOUT_CLAIMS).unwrap();
        let object = claims.as_object_mut().unwrap();
        for (name, value) in members {
            object.insert(name.into(), value);
        }
        for name in removed {
            object.remove(name);
        }
        let text = token(LOGOUT_HEADER, claims.to_string().as_bytes());
        let mut form = form::Form::new();
        form.push("logout_token", &text);
        let request = LogoutRequest::read("POST", Some(FORM), form.encoded()).unwrap();
        let (mut receiver, mut check) = (receiver(), CheckLogout::new(request));
        let answers = [METADATA, JWKS].map(|body| Happens::Answer(200, "application/json", body.into()));
        let now = Timestamp::from_seconds(1000).unwrap();
        let mut step = check.step(&mut receiver, now, Event::Start);
        for answer in &answers {
            prop_assert!(matches!(step, Ok(Step::Send(_))));
            step = check.step(&mut receiver, now, answer.event());
        }
        prop_assert!(matches!(step, Ok(Step::Verify(_))));
        match check.step(&mut receiver, now, Event::Signature(true)) {
            Ok(Step::Done(logout)) => {
                prop_assert!(claims.get("nonce").is_none());
                prop_assert!(claims["events"][LOGOUT_EVENT].is_object());
                prop_assert_eq!(&claims["iss"], "https://as.example");
                let aud = &claims["aud"];
                prop_assert!(aud == "spa" || aud == &serde_json::json!(["spa"]));
                prop_assert_eq!(logout.subject(), claims.get("sub").and_then(|sub| sub.as_str()));
                prop_assert_eq!(logout.session_id(), claims.get("sid").and_then(|sid| sid.as_str()));
                prop_assert!(logout.subject().is_some() || logout.session_id().is_some());
                prop_assert!(claims["jti"].is_string() && claims["exp"].is_number());
            }
            Ok(_) => prop_assert!(false, "it is at its end"),
            Err(error) => prop_assert_ne!(error.code(), "flow_misused"),
        }
    }

    #[test]
    fn wsm_01_flows_of_the_guard_never_panic(
        events in vec(event(), 0..12),
        text in prop_oneof![any::<String>(), nearly_json().prop_map(|claims| access_token(&claims)), Just(access_token(CLAIMS))],
        now in timestamp(),
    ) {
        let mut guard = guard();
        let mut check = Check::new(&guard, Ok(BearerToken::new(&text)), &Need::nothing());
        let done = drive(&mut check, &mut guard, now, true, &events);
        prop_assert!(done.is_none());
        prop_assert_eq!(guard.tally().accepted(), 0);
    }

    #[test]
    fn answers_about_opaque_tokens_never_panic_and_open_nothing_unless_they_say_so(
        members in vec((answer_name(), answer_value()), 0..7),
        body in nearly_json(),
        good in any::<bool>(),
        is_object in any::<bool>(),
        now in timestamp(),
    ) {
        let start = if good { r#""active":true,"aud":"api""# } else { r#""x":0"# };
        let members = members.iter().map(|(name, value)| format!("{name}:{value}"));
        let members: Vec<_> = std::iter::once(start.into()).chain(members).collect();
        let text = format!("{{{}}}", members.join(","));
        let answer = if is_object { text.clone().into_bytes() } else { body };
        let mut guard = asking_guard();
        let mut check = Check::new(&guard, Ok(BearerToken::new("opaque")), &Need::nothing());
        let asked = check.step(&mut guard, now, Event::Start);
        prop_assert!(matches!(asked, Ok(Step::Send(_))));
        let json = vec![("content-type", "application/json".into())];
        let event = Event::Answer(HttpResponse::new(200, json, answer));
        match check.step(&mut guard, now, event) {
            Ok(Step::Done(principal)) => {
                prop_assert!(is_object && text.contains("\"active\":true"));
                prop_assert!(principal.audience().contains(&"api".into()));
                prop_assert!(principal.expires_at().is_none_or(|end| now < end));
            }
            Ok(_) => prop_assert!(false, "it asks once"),
            Err(error) => prop_assert_ne!(error.code(), "flow_misused"),
        }
    }
}

fn answer_name() -> impl Strategy<Value = String> {
    let names = [
        "active",
        "active",
        "aud",
        "aud",
        "exp",
        "iat",
        "nbf",
        "iss",
        "sub",
        "scope",
        "client_id",
        "token_type",
        "cnf",
        "typ",
    ];
    prop::sample::select(names.map(|name| format!("\"{name}\"")).to_vec())
}

fn answer_value() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just("true".into()),
        3 => Just("\"api\"".into()),
        1 => Just("[\"other\",\"api\"]".into()),
        1 => Just("9999999999.5".into()),
        1 => Just("\"Bearer\"".into()),
        2 => json_text(),
    ]
}

/// A guard that asks about opaque tokens, and has no tolerance.
fn asking_guard() -> Guard {
    let options = r#"{"issuer":"https://as.example","audience":"api","clockTolerance":0,
        "introspection":{"clientId":"rs","clientSecret":"x","endpoint":"https://as.example/i"}}"#;
    Guard::from_options(&object(options)).unwrap()
}

/// A client at which Alice is signed in.
fn client_of_alice() -> Client {
    let text = r#"{"issuer":{"issuer":"https://as.example","token_endpoint":"https://as.example/t",
        "userinfo_endpoint":"https://as.example/u","revocation_endpoint":"https://as.example/r",
        "end_session_endpoint":"https://as.example/o","jwks_uri":"https://as.example/k"},
        "clientId":"spa","postLogoutRedirectUri":"https://app.example/bye"}"#;
    let mut client = Client::from_options(&object(text)).unwrap();
    let stored = r#"{"form":1,"issuer":"https://as.example","client_id":"spa","access_token":"a-token",
        "refresh_token":"r-token","id_token":"i-token","user":{"sub":"alice"},
        "signed_in_as":{"sub":"alice","sid":"s1"},"scope":"openid","received_at":1000,"expires_in":300000}"#;
    let session = Session::read(stored, client.config(), client.provider().issuer()).unwrap();
    client.restore_session(session);
    client
}

fn access_token_of(client: &Client) -> Option<String> {
    // EXPOSE: the test compares it.
    let token = client
        .session()
        .and_then(|session| Some(session.access_token()?.expose()));
    token.cloned()
}

/// An event that a session's flows may meet: also answers that are right.
fn event_of_a_session() -> impl Strategy<Value = Happens> {
    let answer = |body: &'static str| Just(Happens::Answer(200, "application/json", body.into()));
    prop_oneof![
        4 => Just(Happens::Start),
        2 => answer(r#"{"sub":"alice","email":"a@example.com"}"#),
        2 => answer(r#"{"sub":"mallory"}"#),
        2 => answer(r#"{"access_token":"new-token","token_type":"Bearer","expires_in":60}"#),
        4 => event(),
    ]
}

/// What waits for a return with this state.
const LOGOUTS: &str = r#"{"waiting":[{"state":"ab","return_to":"/x","started_at":0}]}"#;

const FORM: &str = "application/x-www-form-urlencoded";
const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
const LOGOUT_HEADER: &[u8] = br#"{"alg":"ES256","typ":"logout+jwt","kid":"k1"}"#;
const LOGOUT_CLAIMS: &str = r#"{"iss":"https://as.example","aud":"spa","iat":1000,"exp":1060,"jti":"t",
    "sub":"alice","sid":"s1","events":{"http://schemas.openid.net/event/backchannel-logout":{}}}"#;

fn receiver() -> LogoutReceiver {
    let options = r#"{"issuer":"https://as.example","clientId":"spa"}"#;
    LogoutReceiver::from_options(&object(options)).unwrap()
}

fn logout_claim() -> impl Strategy<Value = &'static str> {
    let names = [
        "iss", "aud", "iat", "exp", "jti", "sub", "sid", "events", "nonce",
    ];
    prop::sample::select(names.to_vec())
}

fn logout_value() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::json;
    let values = [
        json!(null),
        json!("x"),
        json!(""),
        json!("spa"),
        json!(["spa"]),
        json!(["spa", "other"]),
        json!(1000),
        json!(999_999),
        json!({}),
        json!({LOGOUT_EVENT: {}}),
        json!({LOGOUT_EVENT: []}),
        json!("https://as.example"),
    ];
    prop::sample::select(values.to_vec())
}

fn base64url(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// A token with a signature of the right length.
fn token(header: &[u8], payload: &[u8]) -> String {
    let signature = base64url(&[7; 64]);
    format!("{}.{}.{signature}", base64url(header), base64url(payload))
}

fn is_claims(compact: &Compact<'_>) -> bool {
    let payload = compact.decode().unwrap().0;
    json::read_object(&payload, payload.len()).is_ok()
}

const CLAIMS: &[u8] = br#"{"iss":"https://as.example","aud":"api","sub":"u","client_id":"c","iat":1,"exp":9999999999,"jti":"t"}"#;

fn access_token(claims: &[u8]) -> String {
    token(br#"{"alg":"ES256","typ":"at+jwt","kid":"k1"}"#, claims)
}

const METADATA: &str = r#"{"issuer":"https://as.example","authorization_endpoint":"https://as.example/a","token_endpoint":"https://as.example/t","jwks_uri":"https://as.example/k"}"#;

/// A key whose signatures nobody here can make; RFC 7515 appendix A.3.
const JWKS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"k1","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;

fn object(text: &str) -> Object {
    json::read_object(text.as_bytes(), 1 << 20).unwrap()
}

fn client() -> Client {
    let text = r#"{"issuer":"https://as.example","clientId":"spa","redirectUri":"https://app.example/cb"}"#;
    Client::from_options(&object(text)).unwrap()
}

/// A client that shows an assertion, binds its tokens and signs what it asks for, or not.
fn server([authenticates, binds, signs]: [bool; 3]) -> Client {
    let auth = if authenticates {
        r#","clientAuth":{"method":"private_key_jwt"}"#
    } else {
        ""
    };
    let dpop = if binds { r#","dpop":true"# } else { "" };
    let request = if signs { r#","requestObject":{}"# } else { "" };
    let mut client = Client::from_options(&object(&format!(
        r#"{{"issuer":"https://as.example","clientId":"spa","redirectUri":"https://app.example/cb"{auth}{dpop}{request}}}"#
    )))
    .unwrap();
    if authenticates {
        client.set_key(Algorithm::Es256, None).unwrap();
        client.give_seed([3; 32]);
    }
    if binds {
        // The key of RFC 7517 appendix A.1.
        let jwk = object(
            r#"{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}"#,
        );
        let key = DpopKey::new(&jwk, TokenNames::new([4; 32])).unwrap();
        client.set_dpop_key(Some(key));
    }
    if signs {
        client.set_request_key(Algorithm::Es256, None).unwrap();
    }
    client
}

fn guard() -> Guard {
    Guard::from_options(&object(
        r#"{"issuer":"https://as.example","audience":"api"}"#,
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

fn state_of(logins: &PendingLogins) -> String {
    let read: serde_json::Value = serde_json::from_str(&logins.to_json()).unwrap();
    let state = read["waiting"][0]["state"].as_str();
    state.unwrap_or_default().to_owned()
}

fn timestamp() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        Just(1_800_000_000_000),
        Just(0),
        Just(253_402_300_799_999),
        0..=253_402_300_799_999_i64,
    ]
    .prop_map(|millis| Timestamp::from_millis(millis).unwrap())
}

/// An event, as a description because events are used up.
#[derive(Clone, Debug)]
enum Happens {
    Start,
    Answer(u16, &'static str, Vec<u8>),
    Unreachable,
    Refused,
    Signed(usize),
    SignFailed,
    Woke,
}

impl Happens {
    fn event(&self) -> Event {
        match self {
            Self::Start => Event::Start,
            Self::Answer(status, media_type, body) => {
                let headers = vec![("content-type", (*media_type).to_owned())];
                Event::Answer(HttpResponse::new(*status, headers, body.clone()))
            }
            Self::Unreachable => Event::Unreachable(Unreachable::Timeout),
            // A check of signatures never says yes here: nobody signed.
            Self::Refused => Event::Signature(false),
            Self::Signed(length) => Event::Signed(vec![1; *length]),
            Self::SignFailed => Event::SignFailed,
            Self::Woke => Event::Woke,
        }
    }
}

fn event() -> impl Strategy<Value = Happens> {
    let body = prop_oneof![
        Just(METADATA.as_bytes().to_vec()),
        Just(JWKS.as_bytes().to_vec()),
        Just(tokens().into_bytes()),
        Just(br#"{"error":"invalid_grant"}"#.to_vec()),
        nearly_json(),
        json_text().prop_map(String::into_bytes),
    ];
    let status = prop_oneof![4 => Just(200_u16), 1 => Just(400), 1 => Just(302), 1 => any::<u16>()];
    let media_type =
        prop_oneof![4 => Just("application/json"), 1 => Just("text/html"), 1 => Just("")];
    prop_oneof![
        1 => Just(Happens::Start),
        6 => (status, media_type, body).prop_map(|(status, media_type, body)| {
            Happens::Answer(status, media_type, body)
        }),
        1 => Just(Happens::Unreachable),
        1 => Just(Happens::Refused),
        3 => prop_oneof![4 => Just(64_usize), 1 => 0_usize..300].prop_map(Happens::Signed),
        1 => Just(Happens::SignFailed),
        1 => Just(Happens::Woke),
    ]
}

fn tokens() -> String {
    let id_token = token(br#"{"alg":"ES256","kid":"k1"}"#, CLAIMS);
    format!(r#"{{"access_token":"a","token_type":"Bearer","id_token":"{id_token}"}}"#)
}

/// Steps a flow through events, whatever it asked for; the first answer may be good metadata.
fn drive<F: Flow>(
    flow: &mut F,
    shared: &mut F::Shared,
    now: Timestamp,
    with_metadata: bool,
    events: &[Happens],
) -> Option<F::Output> {
    let good = Happens::Answer(200, "application/json", METADATA.into());
    let first = [Happens::Start, good];
    let first = if with_metadata {
        &first[..]
    } else {
        &first[..1]
    };
    for event in first.iter().chain(events) {
        if let Ok(Step::Done(output)) = flow.step(shared, now, event.event()) {
            return Some(output);
        }
    }
    None
}

fn callback() -> impl Strategy<Value = String> {
    "https://app\\.example/cb[?#](code=[a-z]{0,5}&)?(state=(STATE|[a-z]{0,4})&)?(iss=https%3A%2F%2Fas\\.example&)?(error=[a-z%0-9]{0,5})?"
}

fn stored() -> impl Strategy<Value = String> {
    let member = prop_oneof![json_text(), Just("\"https://as.example\"".to_owned())];
    vec(member, 4).prop_map(|values| {
        format!(
            r#"{{"waiting":[{{"state":"s","nonce":{},"verifier":"{}","issuer":{},"client_id":"c","redirect_uri":{},"scope":"openid","started_at":1,"return_to":{}}}],"used":[]}}"#,
            values[0],
            "v".repeat(43),
            values[1],
            values[2],
            values[3],
        )
    })
}

fn metadata_name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("authorization_endpoint".to_owned()),
        Just("token_endpoint".to_owned()),
        Just("jwks_uri".to_owned()),
        Just("code_challenge_methods_supported".to_owned()),
        Just("id_token_signing_alg_values_supported".to_owned()),
        Just("authorization_response_iss_parameter_supported".to_owned()),
        "[a-z_]{1,12}",
    ]
}

fn jwk() -> impl Strategy<Value = String> {
    let bytes = prop_oneof![
        vec(any::<u8>(), 32),
        vec(any::<u8>(), 48),
        vec(any::<u8>(), 66),
        vec(any::<u8>(), 256),
        vec(any::<u8>(), 0..70),
        Just(vec![1, 0, 1]),
    ];
    let curve = prop_oneof![
        Just("P-256"),
        Just("P-384"),
        Just("P-521"),
        Just("Ed25519"),
        Just("x")
    ];
    let kind = prop_oneof![Just("EC"), Just("RSA"), Just("OKP"), Just("oct")];
    let kid = prop_oneof![Just("\"a\"".to_owned()), json_text()];
    (kind, curve, vec(bytes, 4), kid).prop_filter_map(
        "the kid makes no JSON that is read",
        |(kind, curve, bytes, kid)| {
            let [x, y, n, e] = bytes.as_slice() else {
                return None;
            };
            let text = format!(
                r#"{{"kty":"{kind}","crv":"{curve}","x":"{}","y":"{}","n":"{}","e":"{}","kid":{kid}}}"#,
                base64url(x),
                base64url(y),
                base64url(n),
                base64url(e),
            );
            json::read_object(text.as_bytes(), 1 << 20).is_ok().then_some(text)
        },
    )
}
