//! The boundary to JavaScript, met from Rust's side: real `fetch` semantics, real WebCrypto,
//! promises that overlap. The same tests for every runtime; the runtimes are in the files beside.

use gatepass::wasm::{JsClient, JsGuard};
use js_sys::{Array, Function, JSON, Object, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use wasm_bindgen_test::wasm_bindgen_test;

/// The provider made of values that all JavaScript tests share.
const PROVIDER: &str = include_str!("../support/provider.mjs");

/// Runs JavaScript with `provider` and `args` in reach, and waits for what it returns.
async fn run(code: &str, args: &[&JsValue]) -> Result<JsValue, JsValue> {
    let names = ["a", "b", "c"].get(..args.len()).unwrap().join(",");
    let body = format!("return (async () => {{ {code} }})()");
    let function = Function::new_with_args(&names, &body);
    let list: Array = args.iter().copied().collect();
    let promise: Promise = function.apply(&JsValue::UNDEFINED, &list)?.unchecked_into();
    JsFuture::from(promise).await
}

async fn provider(options: &str) -> JsValue {
    let source = PROVIDER.replace("export ", "");
    run(&format!("{source}; return makeProvider({options});"), &[])
        .await
        .unwrap()
}

fn get(object: &JsValue, name: &str) -> JsValue {
    Reflect::get(object, &name.into()).unwrap()
}

fn text(object: &JsValue, name: &str) -> String {
    get(object, name).as_string().unwrap_or_default()
}

fn parse(text: &JsValue) -> JsValue {
    JSON::parse(&text.as_string().unwrap()).unwrap()
}

/// What a guard answered: `{ principal, common }` or `{ refusal }`.
fn outcome(answer: &JsValue) -> JsValue {
    let answer = answer.as_string().unwrap();
    let lines: Vec<&str> = answer.splitn(5, '\n').collect();
    let json = match lines.as_slice() {
        [refusal] => format!(r#"{{"refusal":{refusal}}}"#),
        [_, _, common, names, claims] => {
            // End, client and subject, or an object where one is missing.
            let plain: Vec<&str> = names.split('\t').collect();
            let names = match plain.as_slice() {
                [end, client, subject] => {
                    format!(r#"{{"expiresAt":{end},"clientId":"{client}","subject":"{subject}""#)
                }
                [object] => object.strip_suffix('}').unwrap().into(),
                _ => unreachable!("{} names", plain.len()),
            };
            format!(r#"{{"principal":{names},"claims":{claims}}},"common":{common}}}"#)
        }
        _ => unreachable!("{} lines", lines.len()),
    };
    JSON::parse(&json).unwrap()
}

fn memory_store() -> JsValue {
    let code = "const m = new Map(); return {
        get: (key) => m.get(key), set: (key, value) => void m.set(key, value), remove: (key) => void m.delete(key) }";
    Function::new_no_args(code)
        .call0(&JsValue::UNDEFINED)
        .unwrap()
}

const CLIENT: &str = r#"{"issuer":"https://as.example","clientId":"spa","scope":"openid read",
    "redirectUri":"https://app.example/callback","timeout":1}"#;
const GUARD: &str =
    r#"{"issuer":"https://as.example","audience":"https://api.example","timeout":1}"#;

fn client_with(fetch: &JsValue, store: &JsValue) -> JsClient {
    let fetch: Function = fetch.clone().unchecked_into();
    JsClient::new(
        CLIENT,
        store.clone().unchecked_into(),
        Some(fetch),
        None,
        None,
        None,
    )
    .unwrap()
}

fn guard_with(fetch: &JsValue) -> JsGuard {
    JsGuard::new(GUARD, Some(fetch.clone().unchecked_into()), None).unwrap()
}

async fn code_of(promise: Promise) -> String {
    text(&JsFuture::from(promise).await.unwrap_err(), "code")
}

/// Signs in up to the callback's URL.
async fn callback(client: &JsClient, provider: &JsValue) -> String {
    let url = JsFuture::from(client.sign_in("{}")).await.unwrap();
    let callback = run("return a.signInAt(JSON.parse(b).url)", &[provider, &url])
        .await
        .unwrap();
    callback.as_string().unwrap()
}

async fn count(provider: &JsValue, path: &str) -> f64 {
    run("return a.count(b)", &[provider, &path.into()])
        .await
        .unwrap()
        .as_f64()
        .unwrap()
}

#[wasm_bindgen_test]
fn an_error_is_an_error_with_code_and_hint() {
    let options = r#"{"issuer":"https://as.example","clientId":"spa","audiance":"x"}"#;
    let error = JsClient::new(
        options,
        memory_store().unchecked_into(),
        None,
        None,
        None,
        None,
    )
    .err()
    .unwrap();
    assert!(error.is_instance_of::<js_sys::Error>());
    assert_eq!(text(&error, "name"), "GatepassError");
    assert_eq!(text(&error, "code"), "config_invalid");
    assert_eq!(text(&error, "at"), "audiance");
    assert_eq!(text(&error, "phase"), "config");
    assert_eq!(get(&error, "retryable"), JsValue::FALSE);
    assert!(text(&error, "hint").len() > 30);
    assert!(text(&error, "message").starts_with("config_invalid (audiance): "));
}

#[wasm_bindgen_test]
fn options_that_are_no_json_object_are_refused() {
    for options in ["", "null", "[]", "{\"issuer\":1,\"issuer\":2}"] {
        let error = JsGuard::new(options, None, None).err().unwrap();
        assert_eq!(text(&error, "code"), "config_invalid", "{options}");
    }
}

#[wasm_bindgen_test]
fn options_as_an_object_are_read_as_strictly_as_text() {
    for options in [
        r#"{"issuer":"https://as.example","audience":["api"],"clockTolerance":1.5}"#,
        r#"{"issuer":"https://as.example","audience":"api","audiance":"x"}"#,
        r#"{"issuer":"https://as.example","audience":null}"#,
        r#"{"issuer":"https://as.example","audience":"api","clockTolerance":-1}"#,
        r#"{"issuer":"http://as.example","audience":"api"}"#,
        "[]",
        "null",
    ] {
        let outcome = |result: Result<JsGuard, JsValue>| match result {
            Ok(_) => String::from("accepted"),
            Err(error) => text(&error, "message"),
        };
        let as_text = outcome(JsGuard::new(options, None, None));
        let as_object = outcome(JsGuard::from_object(
            JSON::parse(options).unwrap(),
            None,
            None,
        ));
        assert_eq!(as_text, as_object, "{options}");
    }
    for value in [
        "NaN",
        "Infinity",
        "() => 1",
        "Symbol('x')",
        "new Date()",
        "new Map([['a', 1]])",
    ] {
        let code =
            format!("return {{ issuer: 'https://as.example', audience: 'api', timeout: {value} }}");
        let object = Function::new_no_args(&code)
            .call0(&JsValue::UNDEFINED)
            .unwrap();
        let error = JsGuard::from_object(object, None, None).err().unwrap();
        assert_eq!(text(&error, "code"), "config_invalid", "{value}");
    }
}

#[wasm_bindgen_test]
async fn a_sign_in_ends_with_a_session_whose_id_token_was_checked() {
    let provider = provider("").await;
    let client = client_with(&get(&provider, "fetch"), &memory_store());
    assert!(client.user().is_none());
    let callback = callback(&client, &provider).await;
    let signed_in = parse(
        &JsFuture::from(client.complete(callback, None))
            .await
            .unwrap(),
    );
    let checks: Vec<String> = Array::from(&get(&signed_in, "checks"))
        .iter()
        .map(|c| c.as_string().unwrap())
        .collect();
    let expected = "state iss code signature ES256|iss|aud|exp|iat|nonce|at_hash|sub";
    assert_eq!(checks.join("|").replacen('|', " ", 3), expected);
    let user = parse(&client.user().unwrap().into());
    assert_eq!(text(&user, "name"), "Alice");
    let token = JsFuture::from(client.access_token())
        .await
        .unwrap()
        .as_string()
        .unwrap();
    assert_eq!(token.split('.').count(), 3);
    assert!(!client.state().contains(&token));
    let url = JsFuture::from(client.sign_out("{}"))
        .await
        .unwrap()
        .as_string()
        .unwrap();
    assert!(url.starts_with("https://as.example/logout?id_token_hint="));
    assert!(client.user().is_none());
    assert_eq!(code_of(client.access_token()).await, "login_required");
}

#[wasm_bindgen_test]
async fn a_forged_id_token_gives_no_session() {
    for (change, code) in [
        ("{ idToken: { nonce: 'other' } }", "nonce_mismatch"),
        ("{ idToken: { aud: 'other' } }", "audience_mismatch"),
        (
            "{ idToken: { iss: 'https://as.example/' } }",
            "issuer_mismatch",
        ),
        (
            "{ idToken: { at_hash: 'AAAAAAAAAAAAAAAAAAAAAA' } }",
            "hash_mismatch",
        ),
    ] {
        let provider = provider(change).await;
        let client = client_with(&get(&provider, "fetch"), &memory_store());
        let callback = callback(&client, &provider).await;
        assert_eq!(code_of(client.complete(callback, None)).await, code);
        assert!(client.state().contains("\"signedIn\":false"), "{change}");
    }
}

#[wasm_bindgen_test]
async fn a_callback_handled_twice_gives_the_same_result() {
    let provider = provider("").await;
    let client = client_with(&get(&provider, "fetch"), &memory_store());
    let callback = callback(&client, &provider).await;
    let (first, second) = (
        client.complete(callback.clone(), None),
        client.complete(callback.clone(), None),
    );
    let first = JsFuture::from(first).await.unwrap();
    assert_eq!(first, JsFuture::from(second).await.unwrap());
    assert_eq!(
        first,
        JsFuture::from(client.complete(callback, None))
            .await
            .unwrap()
    );
    assert_eq!(count(&provider, "/token").await, 1.0);
}

#[wasm_bindgen_test]
async fn a_callback_that_was_used_is_refused_by_a_new_page() {
    let provider = provider("").await;
    let store = memory_store();
    let client = client_with(&get(&provider, "fetch"), &store);
    let callback = callback(&client, &provider).await;
    JsFuture::from(client.complete(callback.clone(), None))
        .await
        .unwrap();
    let reloaded = client_with(&get(&provider, "fetch"), &store);
    assert_eq!(
        code_of(reloaded.complete(callback, None)).await,
        "flow_reused"
    );
    assert_eq!(count(&provider, "/token").await, 1.0);
}

#[wasm_bindgen_test]
async fn a_callback_can_be_tried_again_after_the_network_failed() {
    let provider = provider("{ answer: (url) => { if (globalThis.gatepassDown && url.endsWith('/token')) throw new TypeError('down') } }").await;
    let client = client_with(&get(&provider, "fetch"), &memory_store());
    let callback = callback(&client, &provider).await;
    run("globalThis.gatepassDown = true", &[]).await.unwrap();
    assert_eq!(
        code_of(client.complete(callback.clone(), None)).await,
        "upstream_unreachable"
    );
    run("delete globalThis.gatepassDown", &[]).await.unwrap();
    JsFuture::from(client.complete(callback, None))
        .await
        .unwrap();
}

#[wasm_bindgen_test]
async fn parallel_sign_ins_do_not_lose_each_other_in_a_slow_store() {
    let provider = provider("").await;
    let store = run(
        "const m = new Map(), nap = () => new Promise(r => setTimeout(r, 5));
         return { get: async k => { await nap(); return m.get(k) }, set: async (k, v) => { await nap(); m.set(k, v) } }",
        &[],
    )
    .await
    .unwrap();
    let client = client_with(&get(&provider, "fetch"), &store);
    let urls = Array::of3(
        &client.sign_in("{}"),
        &client.sign_in("{}"),
        &client.sign_in("{}"),
    );
    let urls = JsFuture::from(Promise::all(&urls)).await.unwrap();
    for url in Array::from(&urls).iter() {
        let callback = run("return a.signInAt(JSON.parse(b).url)", &[&provider, &url])
            .await
            .unwrap();
        JsFuture::from(client.complete(callback.as_string().unwrap(), None))
            .await
            .unwrap();
    }
}

#[wasm_bindgen_test]
async fn calls_during_a_pending_one_work() {
    let provider = provider("{ answer: (url) => url.endsWith('configuration') ? new Promise(r => setTimeout(r, 50)) : undefined }").await;
    let client = client_with(&get(&provider, "fetch"), &memory_store());
    let pending = client.sign_in("{}");
    assert!(client.state().contains("false"));
    assert!(client.user().is_none());
    assert_eq!(code_of(client.access_token()).await, "login_required");
    JsFuture::from(client.sign_out("{}")).await.unwrap();
    JsFuture::from(pending).await.unwrap();
}

#[wasm_bindgen_test]
async fn rfr_01_callers_that_come_together_share_one_refresh() {
    let provider = provider("{ expiresIn: 0 }").await;
    let client = client_with(&get(&provider, "fetch"), &memory_store());
    let callback = callback(&client, &provider).await;
    JsFuture::from(client.complete(callback, None))
        .await
        .unwrap();
    let together = Array::new();
    for _ in 0..10 {
        together.push(&client.access_token());
    }
    let tokens = Array::from(&JsFuture::from(Promise::all(&together)).await.unwrap());
    assert!(tokens.iter().all(|token| token == tokens.get(0)));
    assert_eq!(count(&provider, "/token").await, 2.0);
}

/// What tabs of one origin share: a store, and a lock like Web Locks.
struct Tabs {
    provider: JsValue,
    store: JsValue,
    lock: JsValue,
    events: Array,
}

impl Tabs {
    async fn new(options: &str) -> Self {
        let lock =
            "let last = Promise.resolve(); return (name, work) => (last = last.then(work, work))";
        Self {
            provider: provider(options).await,
            store: memory_store(),
            lock: Function::new_no_args(lock)
                .call0(&JsValue::UNDEFINED)
                .unwrap(),
            events: Array::new(),
        }
    }

    /// A page that has just been opened.
    async fn open(&self, lock: Option<&JsValue>) -> JsClient {
        let listener = run("return (text) => void a.push(text)", &[&self.events])
            .await
            .unwrap();
        let client = JsClient::new(
            CLIENT,
            self.store.clone().unchecked_into(),
            Some(get(&self.provider, "fetch").unchecked_into()),
            Some(listener.unchecked_into()),
            Some(self.store.clone().unchecked_into()),
            lock.map(|lock| lock.clone().unchecked_into()),
        )
        .unwrap();
        JsFuture::from(client.sync()).await.unwrap();
        client
    }

    async fn open_and_sign_in(&self) -> JsClient {
        let client = self.open(Some(&self.lock)).await;
        let callback = callback(&client, &self.provider).await;
        JsFuture::from(client.complete(callback, None))
            .await
            .unwrap();
        client
    }

    fn saw(&self, text: &str) -> bool {
        self.events.join("\n").as_string().unwrap().contains(text)
    }
}

#[wasm_bindgen_test]
async fn a_session_that_is_stored_outlives_its_page() {
    let tabs = Tabs::new("").await;
    let first = tabs.open_and_sign_in().await;
    let reloaded = tabs.open(Some(&tabs.lock)).await;
    assert_eq!(first.user(), reloaded.user());
    assert_eq!(first.state(), reloaded.state());
    let token = JsFuture::from(reloaded.access_token()).await.unwrap();
    assert_eq!(token, JsFuture::from(first.access_token()).await.unwrap());
    assert_eq!(count(&tabs.provider, "/token").await, 1.0);
}

#[wasm_bindgen_test]
async fn rfr_02_tabs_that_share_a_store_make_one_refresh() {
    let tabs = Tabs::new("{ expiresIn: 0 }").await;
    tabs.open_and_sign_in().await;
    // The provider gives each refresh token once; a second use would be an error.
    run("a.longLived()", &[&tabs.provider]).await.unwrap();
    let mut open = Vec::new();
    for _ in 0..6 {
        open.push(tabs.open(Some(&tabs.lock)).await);
    }
    let together: Array = open
        .iter()
        .map(|tab| JsValue::from(tab.access_token()))
        .collect();
    let tokens = Array::from(&JsFuture::from(Promise::all(&together)).await.unwrap());
    assert!(tokens.iter().all(|token| token == tokens.get(0)));
    assert_eq!(count(&tabs.provider, "/token").await, 2.0);
    assert!(!tabs.saw("refresh_failed"));
}

#[wasm_bindgen_test]
async fn a_tab_that_loses_the_lock_over_its_look_into_the_store_waits_for_its_turn() {
    let mut tabs = Tabs::new("").await;
    let turns = Array::new();
    // Another tab takes the first turn away before the look is over.
    let stolen = "return (name, work) => work(() => a.push(a.length) > 1)";
    tabs.lock = run(stolen, &[&turns]).await.unwrap();
    let tab = tabs.open_and_sign_in().await;
    JsFuture::from(tab.refresh()).await.unwrap();
    assert_eq!(turns.length(), 2);
    assert_eq!(count(&tabs.provider, "/token").await, 2.0);
    assert!(!tabs.saw("refresh_failed"));
}

#[wasm_bindgen_test]
async fn a_tab_whose_refresh_token_was_used_by_another_takes_over_its_session() {
    let tabs = Tabs::new("{ expiresIn: 0 }").await;
    tabs.open_and_sign_in().await;
    run("a.longLived()", &[&tabs.provider]).await.unwrap();
    // Neither waits for the other: there are no locks.
    let (one, two) = (tabs.open(None).await, tabs.open(None).await);
    let both = Array::of2(&one.access_token(), &two.access_token());
    JsFuture::from(Promise::all(&both)).await.unwrap();
    assert!(one.state().contains("\"signedIn\":true"));
    assert!(two.state().contains("\"signedIn\":true"));
}

#[wasm_bindgen_test]
async fn lgo_19_signing_out_reaches_the_other_tabs() {
    let tabs = Tabs::new("").await;
    let first = tabs.open_and_sign_in().await;
    let second = tabs.open(Some(&tabs.lock)).await;
    JsFuture::from(first.sign_out("{}")).await.unwrap();
    assert_eq!(code_of(second.access_token()).await, "login_required");
    assert!(second.user().is_none());
    assert_eq!(
        code_of(tabs.open(None).await.access_token()).await,
        "login_required"
    );
}

#[wasm_bindgen_test]
async fn a_session_that_the_provider_ended_is_removed_from_the_store() {
    let tabs = Tabs::new("").await;
    let client = tabs.open_and_sign_in().await;
    run("a.revoke()", &[&tabs.provider]).await.unwrap();
    assert_eq!(code_of(client.refresh()).await, "server_error_response");
    assert_eq!(
        code_of(tabs.open(None).await.access_token()).await,
        "login_required"
    );
}

#[wasm_bindgen_test]
async fn brw_05_foreign_content_of_the_store_is_discarded_and_told() {
    for content in [
        "garbage",
        "{}",
        "null",
        "{\"form\":1}",
        "{\"__proto__\":{\"form\":1}}",
    ] {
        let tabs = Tabs::new("").await;
        let key = "gatepass:session:https://as.example spa";
        run("a.set(b, c)", &[&tabs.store, &key.into(), &content.into()])
            .await
            .unwrap();
        let client = tabs.open(None).await;
        let told = "{\"type\":\"session_discarded\",\"code\":\"storage_invalid\"}";
        assert!(tabs.saw(told), "{content}");
        assert_eq!(code_of(client.access_token()).await, "login_required");
        let left = run("return a.get(b)", &[&tabs.store, &key.into()])
            .await
            .unwrap();
        assert!(left.is_undefined(), "{content}");
    }
}

#[wasm_bindgen_test]
async fn a_store_that_is_full_does_not_end_the_session() {
    let tabs = Tabs::new("").await;
    let client = tabs.open(Some(&tabs.lock)).await;
    let callback = callback(&client, &tabs.provider).await;
    run("const set = a.set; a.set = (k, v) => { if (k.includes('session')) throw new Error('full'); return set(k, v) }", &[&tabs.store]).await.unwrap();
    JsFuture::from(client.complete(callback, None))
        .await
        .unwrap();
    assert!(tabs.saw("\"store_failed\",\"code\":\"storage_unavailable\""));
    assert!(client.user().is_some());
}

#[wasm_bindgen_test]
async fn a_store_that_is_full_does_not_bring_back_the_refresh_token_that_was_used() {
    let tabs = Tabs::new("{ expiresIn: 0 }").await;
    let client = tabs.open_and_sign_in().await;
    run("const set = a.set; a.set = (k, v) => { if (k.includes('session')) throw new Error('full'); return set(k, v) }", &[&tabs.store]).await.unwrap();
    for _ in 0..3 {
        JsFuture::from(client.refresh()).await.unwrap();
    }
    assert!(tabs.saw("store_failed") && !tabs.saw("refresh_failed"));
}

/// A provider whose next refresh waits until `a.go()`.
async fn slow_refresh(tabs: &Tabs) {
    let source = "
        const fetch = a.fetch;
        a.go = undefined;
        a.fetch = async (url, init) => {
            const answer = await fetch(url, init);
            const isRefresh = String(init?.body).includes('grant_type=refresh_token');
            if (isRefresh && !a.go) await new Promise((go) => (a.go = go));
            return answer;
        };";
    run(source, &[&tabs.provider]).await.unwrap();
}

const UNTIL_SLOW: &str = "while (!a.go) await new Promise((go) => setTimeout(go, 5))";

#[wasm_bindgen_test]
async fn rfr_18_signing_out_in_another_tab_drops_the_refresh_that_runs() {
    let tabs = Tabs::new("").await;
    slow_refresh(&tabs).await;
    let first = tabs.open_and_sign_in().await;
    let second = tabs.open(Some(&tabs.lock)).await;
    let refresh = first.refresh();
    run(UNTIL_SLOW, &[&tabs.provider]).await.unwrap();
    JsFuture::from(second.sign_out("{}")).await.unwrap();
    run("a.go()", &[&tabs.provider]).await.unwrap();
    assert_eq!(code_of(refresh).await, "login_required");
    assert!(first.user().is_none());
    let third = tabs.open(None).await;
    assert_eq!(code_of(third.access_token()).await, "login_required");
}

#[wasm_bindgen_test]
async fn a_tab_that_lost_its_lock_does_not_overwrite_the_session_of_the_thief() {
    let tabs = Tabs::new("").await;
    slow_refresh(&tabs).await;
    let first = tabs.open_and_sign_in().await;
    let thief = tabs.open(None).await;
    let refresh = first.refresh();
    run(UNTIL_SLOW, &[&tabs.provider]).await.unwrap();
    // Somebody signs in anew meanwhile; the slow answer belongs to the old session.
    let callback = callback(&thief, &tabs.provider).await;
    JsFuture::from(thief.complete(callback, None))
        .await
        .unwrap();
    run("a.go()", &[&tabs.provider]).await.unwrap();
    JsFuture::from(refresh).await.unwrap();
    let token = JsFuture::from(thief.access_token()).await.unwrap();
    assert_eq!(JsFuture::from(first.access_token()).await.unwrap(), token);
    let reloaded = tabs.open(None).await;
    assert_eq!(
        JsFuture::from(reloaded.access_token()).await.unwrap(),
        token
    );
    assert!(!tabs.saw("refresh_failed"));
}

#[wasm_bindgen_test]
async fn rfr_21_a_session_that_is_tended_is_renewed_ahead_of_time() {
    let tabs = Tabs::new("{ expiresIn: 0 }").await;
    let client = tabs.open(Some(&tabs.lock)).await;
    let tend = async || JsFuture::from(client.tend()).await.unwrap().as_f64();
    assert_eq!(tend().await, None);
    let callback = callback(&client, &tabs.provider).await;
    JsFuture::from(client.complete(callback, None))
        .await
        .unwrap();
    // RFR-22: a token that is over at once is not renewed all the time.
    assert_eq!(tend().await, Some(10_000.0));
    assert_eq!(count(&tabs.provider, "/token").await, 2.0);
    run("a.longLived()", &[&tabs.provider]).await.unwrap();
    let wait = tend().await.unwrap();
    assert!((239_000.0..=240_000.0).contains(&wait), "{wait}");
    // Another tab has nothing to do.
    let other = tabs.open(Some(&tabs.lock)).await;
    JsFuture::from(other.tend()).await.unwrap();
    assert_eq!(count(&tabs.provider, "/token").await, 3.0);
}

#[wasm_bindgen_test]
async fn what_is_tended_is_tried_again_later_and_later_until_the_provider_says_no() {
    let tabs = Tabs::new("{ expiresIn: 0, answer: () => globalThis.outage?.() }").await;
    let client = tabs.open_and_sign_in().await;
    run("globalThis.outage = () => { throw new TypeError() }", &[])
        .await
        .unwrap();
    for wait in [2000.0, 4000.0, 8000.0] {
        let answered = JsFuture::from(client.tend()).await.unwrap();
        let answered = answered.as_f64().unwrap();
        // Not all pages at the same moment.
        assert!((wait..=1.25 * wait).contains(&answered), "{answered}");
    }
    assert!(client.user().is_some() && !tabs.saw("expired"));
    run(
        "globalThis.outage = undefined; a.revoke()",
        &[&tabs.provider],
    )
    .await
    .unwrap();
    let answered = JsFuture::from(client.tend()).await.unwrap();
    assert!(answered.is_undefined());
    assert!(client.user().is_none() && tabs.saw("{\"type\":\"expired\"}"));
}

#[wasm_bindgen_test]
async fn net_42_a_fetch_that_misbehaves_gives_a_typed_error() {
    // Node ends while nothing but the timers of AbortSignal.timeout are left.
    let awake = run("return setInterval(() => {}, 1000)", &[])
        .await
        .unwrap();
    for (fetch, code) in [
        ("() => { throw new Error('now') }", "upstream_unreachable"),
        (
            "() => Promise.reject(new TypeError('later'))",
            "upstream_unreachable",
        ),
        ("() => 5", "upstream_unreachable"),
        ("() => ({})", "upstream_unreachable"),
        ("() => ({ status: 200 })", "upstream_unreachable"),
        (
            "() => ({ status: 200, headers: { get() { throw 1 } } })",
            "upstream_unreachable",
        ),
        ("() => new Promise(() => {})", "upstream_timeout"),
        (
            "() => ({ type: 'opaqueredirect', status: 0 })",
            "redirect_refused",
        ),
        (
            "() => new Response('', { status: 302 })",
            "redirect_refused",
        ),
        (
            "() => new Response('<html>', { headers: { 'content-type': 'text/html' } })",
            "response_malformed",
        ),
        (
            "() => new Response('{', { headers: { 'content-type': 'application/json' } })",
            "response_malformed",
        ),
        ("() => new Response('', { status: 503 })", "upstream_status"),
        (
            "() => new Response('x'.repeat(2 ** 20 + 1), { headers: { 'content-type': 'application/json' } })",
            "response_too_large",
        ),
        (
            "() => new Response(new ReadableStream({ pull: c => c.enqueue(new Uint8Array(65536)) }), { headers: { 'content-type': 'application/json' } })",
            "response_too_large",
        ),
        (
            "() => new Response(new ReadableStream({ pull: () => new Promise(() => {}) }), { headers: { 'content-type': 'application/json' } })",
            "upstream_timeout",
        ),
        (
            "async () => { const r = new Response('{}', { headers: { 'content-type': 'application/json' } }); await r.text(); return r }",
            "upstream_unreachable",
        ),
    ] {
        let function = Function::new_no_args(&format!("return {fetch}"))
            .call0(&JsValue::UNDEFINED)
            .unwrap();
        let client = client_with(&function, &memory_store());
        assert_eq!(code_of(client.sign_in("{}")).await, code, "{fetch}");
    }
    run("clearInterval(a)", &[&awake]).await.unwrap();
}

#[wasm_bindgen_test]
async fn brw_04_a_store_that_fails_stops_the_sign_in_before_the_page_leaves() {
    let provider = provider("").await;
    for store in [
        "{ get() { throw 1 }, set() {} }",
        "{ get: () => null, set() { throw 1 } }",
        "{ get: () => 5, set() {} }",
    ] {
        let store = Function::new_no_args(&format!("return {store}"))
            .call0(&JsValue::UNDEFINED)
            .unwrap();
        let client = client_with(&get(&provider, "fetch"), &store);
        assert_eq!(code_of(client.sign_in("{}")).await, "storage_unavailable");
    }
}

#[wasm_bindgen_test]
async fn tok_40_a_request_says_what_it_must_and_no_more() {
    let provider = provider("").await;
    let client = client_with(&get(&provider, "fetch"), &memory_store());
    let callback = callback(&client, &provider).await;
    JsFuture::from(client.complete(callback, None))
        .await
        .unwrap();
    let init = run(
        "return a.requests.find(r => r.url.endsWith('/token')).init",
        &[&provider],
    )
    .await
    .unwrap();
    assert_eq!(text(&init, "method"), "POST");
    assert_eq!(text(&init, "redirect"), "manual");
    assert_eq!(text(&init, "credentials"), "omit");
    assert_eq!(text(&init, "cache"), "no-store");
    assert_eq!(text(&init, "referrerPolicy"), "no-referrer");
    let headers = get(&init, "headers");
    assert_eq!(Object::keys(headers.unchecked_ref::<Object>()).length(), 2);
    assert_eq!(text(&headers, "accept"), "application/json");
    assert_eq!(
        text(&headers, "content-type"),
        "application/x-www-form-urlencoded"
    );
}

async fn decide(guard: &JsGuard, token: &JsValue) -> JsValue {
    let header = format!("Bearer {}", token.as_string().unwrap());
    settled(guard, guard.check(Some(header.into()), None, None)).await
}

/// Waits for what a check waits for, as the package does.
async fn settled(guard: &JsGuard, answer: Result<JsValue, JsValue>) -> JsValue {
    let mut answer = answer.unwrap();
    while answer.as_string().is_none() {
        let number = guard.waiting();
        let came = JsFuture::from(Promise::resolve(&answer)).await;
        answer = match number {
            0 => came.unwrap(),
            number => match came {
                Ok(came) => match came.as_bool() {
                    Some(fits) => guard.resume(number, fits).unwrap(),
                    None => guard.resume_with(number, false, came).unwrap(),
                },
                Err(cause) => guard.resume_with(number, true, cause).unwrap(),
            },
        };
    }
    outcome(&answer)
}

#[wasm_bindgen_test]
async fn a_check_that_waits_is_gone_on_with_once() {
    let provider = provider("").await;
    let guard = guard_with(&get(&provider, "fetch"));
    let code = |result: Result<JsValue, JsValue>| text(&result.unwrap_err(), "code");
    assert_eq!(code(guard.resume(1, true)), "flow_misused");
    assert_eq!(
        code(guard.resume_with(1, false, JsValue::NULL)),
        "flow_misused"
    );
    let token = run("return a.accessToken()", &[&provider]).await.unwrap();
    // The first one fetches and imports the key.
    assert!(get(&decide(&guard, &token).await, "principal").is_object());
    let header = format!("Bearer {}", token.as_string().unwrap());
    let begin = || {
        guard
            .check(Some(header.clone().into()), None, None)
            .unwrap()
    };
    let answer = begin();
    if answer.is_string() {
        // The host answers at once: nothing waits.
        assert_eq!(guard.waiting(), 0);
        return;
    }
    let (first, _) = (guard.waiting(), begin());
    let second = guard.waiting();
    assert!(first > 0 && second > first);
    assert_eq!(guard.waiting(), 0);
    // Each goes its own way, whichever comes first, and a no is a no.
    let refused = outcome(&guard.resume(second, false).unwrap());
    assert_eq!(text(&get(&refused, "refusal"), "code"), "signature_invalid");
    let accepted = outcome(&guard.resume(first, true).unwrap());
    assert!(get(&accepted, "principal").is_object());
    for number in [first, second] {
        assert_eq!(code(guard.resume(number, true)), "flow_misused");
    }
    // What is no boolean is no yes, whatever it is.
    for (is_rejected, value) in [
        (false, JsValue::UNDEFINED),
        (false, JsValue::from(1)),
        (true, JsValue::TRUE),
    ] {
        begin();
        let number = guard.waiting();
        let refused = outcome(&guard.resume_with(number, is_rejected, value).unwrap());
        assert_eq!(text(&get(&refused, "refusal"), "code"), "signature_invalid");
    }
}

#[wasm_bindgen_test]
async fn the_hosts_crypto_checks_every_kind_of_signature() {
    for alg in ["ES256", "ES384", "ES512", "RS256", "PS256", "Ed25519"] {
        let provider = provider(&format!("{{ alg: '{alg}' }}")).await;
        let guard = guard_with(&get(&provider, "fetch"));
        let token = run("return a.accessToken()", &[&provider]).await.unwrap();
        let accepted = decide(&guard, &token).await;
        assert_eq!(
            text(&get(&accepted, "principal"), "subject"),
            "alice",
            "{alg}"
        );
        let tampered = run("const [h, p, s] = a.split('.'); return `${h}.${p}.${s[0] === 'A' ? 'B' : 'A'}${s.slice(1)}`", &[&token]).await.unwrap();
        let refused = get(&decide(&guard, &tampered).await, "refusal");
        assert_eq!(text(&refused, "code"), "signature_invalid", "{alg}");
        assert_eq!(get(&refused, "status"), JsValue::from(401));
        // The keys were fetched once for both.
        assert_eq!(count(&provider, "/jwks").await, 1.0, "{alg}");
    }
}

#[wasm_bindgen_test]
async fn a_claim_named_proto_is_plain_data() {
    let provider = provider("").await;
    let guard = guard_with(&get(&provider, "fetch"));
    let token = run(
        "return a.accessToken(JSON.parse('{\"__proto__\":{\"admin\":true},\"id\":1}'))",
        &[&provider],
    )
    .await
    .unwrap();
    let forged = run(
        "return a.accessToken({ ['__proto__']: { admin: true } })",
        &[&provider],
    )
    .await
    .unwrap();
    for token in [token, forged] {
        let claims = get(&get(&decide(&guard, &token).await, "principal"), "claims");
        assert!(get(&claims, "admin").is_undefined());
        assert!(get(&Object::new(), "admin").is_undefined());
    }
}

fn introspecting(fetch: &JsValue, more: &str) -> JsGuard {
    let options = format!(
        r#"{{"issuer":"https://as.example","audience":"https://api.example",
            "introspection":{{"clientId":"rs","clientSecret":"rs-secret"{more}}}}}"#
    );
    JsGuard::new(&options, Some(fetch.clone().unchecked_into()), None).unwrap()
}

#[wasm_bindgen_test]
async fn int_16_a_question_about_a_token_says_what_it_must_and_no_more() {
    let provider = provider("").await;
    let guard = introspecting(&get(&provider, "fetch"), "");
    let token = run("return a.opaqueToken()", &[&provider]).await.unwrap();
    let accepted = decide(&guard, &token).await;
    assert_eq!(text(&get(&accepted, "principal"), "subject"), "alice");
    let sent = run("return a.requests.at(-1)", &[&provider]).await.unwrap();
    assert_eq!(text(&sent, "url"), "https://as.example/introspect");
    let init = get(&sent, "init");
    assert_eq!(text(&init, "method"), "POST");
    assert_eq!(text(&init, "redirect"), "manual");
    assert_eq!(text(&init, "credentials"), "omit");
    assert_eq!(
        text(&init, "body"),
        format!(
            "token={}&token_type_hint=access_token",
            token.as_string().unwrap()
        )
    );
    let headers = get(&init, "headers");
    assert_eq!(Object::keys(headers.unchecked_ref::<Object>()).length(), 3);
    assert_eq!(text(&headers, "accept"), "application/json");
    assert_eq!(text(&headers, "authorization"), "Basic cnM6cnMtc2VjcmV0");
}

#[wasm_bindgen_test]
async fn int_31_questions_that_overlap_get_their_own_answers() {
    // The first question is answered last.
    let provider = provider(
        "{ answer: (url) => url.endsWith('/introspect')
            ? new Promise(r => setTimeout(r, 40 - 10 * (globalThis.gatepassAsked = (globalThis.gatepassAsked ?? 0) + 1)))
            : undefined }",
    )
    .await;
    let guard = introspecting(&get(&provider, "fetch"), "");
    let together = Array::new();
    for name in ["ada", "bob", "eve"] {
        let token = run(
            "return a.opaqueToken({ sub: b })",
            &[&provider, &name.into()],
        )
        .await
        .unwrap();
        let header = format!("Bearer {}", token.as_string().unwrap());
        together.push(&guard.check(Some(header.into()), None, None).unwrap());
    }
    let answers = Array::from(&JsFuture::from(Promise::all(&together)).await.unwrap());
    let subjects: Vec<_> = answers
        .iter()
        .map(|answer| text(&get(&outcome(&answer), "principal"), "subject"))
        .collect();
    assert_eq!(subjects, ["ada", "bob", "eve"]);
    run("delete globalThis.gatepassAsked", &[]).await.unwrap();
}

#[wasm_bindgen_test]
async fn int_28_a_signed_answer_is_checked_by_the_hosts_crypto() {
    let provider = provider(
        "{ answer: async (url) => url.endsWith('/introspect')
            ? new Response(await globalThis.gatepassAnswer(), { headers: { 'content-type': 'application/token-introspection+jwt' } })
            : undefined }",
    )
    .await;
    let guard = introspecting(
        &get(&provider, "fetch"),
        r#","jwtResponse":true,"cache":{"ttl":0}"#,
    );
    for (tamper, code) in [("s", ""), ("'A'.repeat(86)", "signature_invalid")] {
        let answer = format!(
            "globalThis.gatepassAnswer = async () => {{
                const token_introspection = {{ active: true, sub: 'alice', aud: a.audience }};
                const iat = Math.floor(Date.now() / 1000);
                const answer = await a.signer.sign({{ iss: a.issuer, aud: 'rs', iat, token_introspection }}, {{ typ: 'token-introspection+jwt' }});
                const [h, p, s] = answer.split('.');
                return `${{h}}.${{p}}.${{{tamper}}}`;
            }}"
        );
        run(&answer, &[&provider]).await.unwrap();
        let outcome = decide(&guard, &"opaque".into()).await;
        let refusal = get(&outcome, "refusal");
        if code.is_empty() {
            assert_eq!(text(&get(&outcome, "principal"), "subject"), "alice");
        } else {
            assert_eq!(text(&refusal, "code"), code);
            assert_eq!(get(&refusal, "status"), JsValue::from(503));
        }
    }
    run("delete globalThis.gatepassAnswer", &[]).await.unwrap();
}

#[wasm_bindgen_test]
async fn keys_that_cannot_be_fetched_refuse_with_503() {
    let provider = provider("{ answer: (url) => url.endsWith('/jwks') ? new Response('', { status: 500 }) : undefined }").await;
    let guard = guard_with(&get(&provider, "fetch"));
    let token = run("return a.accessToken()", &[&provider]).await.unwrap();
    let refused = get(&decide(&guard, &token).await, "refusal");
    assert_eq!(text(&refused, "code"), "keys_unavailable");
    assert_eq!(get(&refused, "status"), JsValue::from(503));
    assert!(get(&refused, "challenge").is_undefined());
    assert!(guard.tally().contains("\"keys_unavailable\":1"));
}

#[wasm_bindgen_test]
async fn events_hold_no_token() {
    let provider = provider("").await;
    let events = Array::new();
    let listener: Function = run("return (text) => void a.push(text)", &[&events])
        .await
        .unwrap()
        .unchecked_into();
    let fetch: Function = get(&provider, "fetch").unchecked_into();
    let client = JsClient::new(
        CLIENT,
        memory_store().unchecked_into(),
        Some(fetch),
        Some(listener),
        None,
        None,
    )
    .unwrap();
    let callback = callback(&client, &provider).await;
    JsFuture::from(client.complete(callback.clone(), None))
        .await
        .unwrap();
    JsFuture::from(client.refresh()).await.unwrap();
    JsFuture::from(client.sign_out("{}")).await.unwrap();
    let all = events.join("\n").as_string().unwrap();
    for kind in [
        "\"request\"",
        "\"checked\"",
        "\"signed_in\"",
        "\"refreshed\"",
        "\"signed_out\"",
    ] {
        assert!(all.contains(kind), "{kind}");
    }
    assert!(!all.contains("eyJ"));
    assert!(!all.contains("refresh-"));
    for secret in callback
        .split(['=', '&'])
        .filter(|part| part.len() > 20 && !part.contains("as.example"))
    {
        assert!(!all.contains(secret));
    }
}

/// The client that proves possession, which all JavaScript tests share.
const PROVER: &str = include_str!("../support/prover.mjs");

/// Checks a bound token with a proof for this URL.
async fn decide_proven(guard: &JsGuard, provider: &JsValue, htu: &str) -> JsValue {
    let source = PROVER.replace("export ", "");
    let code = format!(
        "{source}; const prover = await makeProver();
        const token = await a.accessToken({{ cnf: {{ jkt: prover.jkt }} }});
        const dpop = await prover.proof('GET', b, token);
        const shown = {{ method: 'GET', url: 'https://api.example/a?b', dpop }};
        return [`DPoP ${{token}}`, JSON.stringify(shown)];"
    );
    let asked = run(&code, &[provider, &htu.into()]).await.unwrap();
    let [header, shown] = [0, 1].map(|place| Array::from(&asked).get(place).as_string());
    let header = header.map(String::into_bytes);
    settled(guard, guard.check(header, None, shown)).await
}

#[wasm_bindgen_test]
async fn the_hosts_crypto_checks_a_proof_of_possession() {
    let provider = provider("").await;
    let fetch: Function = get(&provider, "fetch").unchecked_into();
    let options = GUARD.replace('}', r#","dpop":"accept"}"#);
    let guard = JsGuard::new(&options, Some(fetch), None).unwrap();
    let good = decide_proven(&guard, &provider, "https://api.example/a").await;
    assert_eq!(text(&get(&good, "principal"), "subject"), "alice");
    let other = decide_proven(&guard, &provider, "https://api.example/b").await;
    assert_eq!(text(&get(&other, "refusal"), "code"), "dpop_invalid");
    assert_eq!(text(&get(&other, "refusal"), "at"), "htu");
}

#[wasm_bindgen_test]
async fn nonces_are_made_with_a_key_that_the_host_draws() {
    let provider = provider("").await;
    let fetch: Function = get(&provider, "fetch").unchecked_into();
    let options = GUARD.replace('}', r#","dpop":"accept","dpopNonce":true}"#);
    let make = || JsGuard::new(&options, Some(fetch.clone()), None).unwrap();
    let (first, second) = (make(), make());
    let mut nonces = Vec::new();
    for guard in [&first, &second] {
        let refused = decide_proven(guard, &provider, "https://api.example/a").await;
        let refusal = get(&refused, "refusal");
        assert_eq!(text(&refusal, "code"), "use_dpop_nonce");
        assert_eq!(text(&refusal, "dpopNonce").len(), 43);
        nonces.push(text(&refusal, "dpopNonce"));
    }
    assert_ne!(nonces[0], nonces[1]);
}

#[wasm_bindgen_test]
async fn an_acceptance_that_is_taken_back_is_a_refusal() {
    let provider = provider("").await;
    let guard = guard_with(&get(&provider, "fetch"));
    let token = run("return a.accessToken()", &[&provider]).await.unwrap();
    decide(&guard, &token).await;
    let refusal = parse(&guard.withdraw(Some("{}".into()), None).unwrap().into());
    assert_eq!(text(&refusal, "code"), "predicate_refused");
    assert_eq!(get(&refusal, "status"), JsValue::from(403));
    let error = guard.withdraw(None, None).unwrap_err();
    assert_eq!(text(&error, "code"), "predicate_refused");
    assert!(guard.tally().contains("\"predicate_refused\":2"));
}

/// A token that WebCrypto signs with a secret.
const HMAC_TOKEN: &str = r#"
    const bytes = new TextEncoder();
    const encode = (data) => btoa(String.fromCharCode(...data))
        .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
    const part = (value) => encode(bytes.encode(JSON.stringify(value)));
    const now = Math.floor(Date.now() / 1000);
    const input = part({ alg: b, typ: "at+jwt" }) + "." + part({ iss: "https://as.example",
        aud: "https://api.example", sub: "alice", client_id: "spa", jti: "1", iat: now, exp: now + 300 });
    const algorithm = { name: "HMAC", hash: b.replace("HS", "SHA-") };
    const key = await crypto.subtle.importKey("raw", bytes.encode(a), algorithm, false, ["sign"]);
    return input + "." + encode(new Uint8Array(await crypto.subtle.sign("HMAC", key, bytes.encode(input))));
"#;

#[wasm_bindgen_test]
async fn the_hosts_crypto_checks_signatures_with_a_secret() {
    let provider = provider("").await;
    let secret = "0123456789abcdef".repeat(4);
    let other = "fedcba9876543210".repeat(4);
    for alg in ["HS256", "HS384", "HS512"] {
        let options = format!(
            r#"{{"issuer":"https://as.example","audience":"https://api.example","secret":"{secret}","algorithms":"{alg}"}}"#
        );
        for (with, expected) in [(&secret, ""), (&other, "signature_invalid")] {
            let token = run(HMAC_TOKEN, &[&with.as_str().into(), &alg.into()])
                .await
                .unwrap();
            let fetch = get(&provider, "fetch").unchecked_into();
            let guard = JsGuard::new(&options, Some(fetch), None).unwrap();
            let outcome = decide(&guard, &token).await;
            let code = match get(&outcome, "refusal") {
                refusal if refusal.is_undefined() => String::new(),
                refusal => text(&refusal, "code"),
            };
            assert_eq!(code, expected, "{alg}");
        }
    }
    assert_eq!(count(&provider, "/jwks").await, 0.0);
}

#[wasm_bindgen_test]
fn the_metadata_of_an_api_is_served_where_it_belongs() {
    let options =
        r#"{"issuer":"https://as.example","audience":"api","resource":"https://api.example/mcp"}"#;
    let guard = JsGuard::new(options, None, None).unwrap();
    let url = "https://api.example/.well-known/oauth-protected-resource/mcp";
    let answer = parse(&guard.metadata("GET", url).unwrap().into());
    assert_eq!(get(&answer, "status"), JsValue::from(200));
    assert!(text(&answer, "body").contains("\"resource\":\"https://api.example/mcp\""));
    assert!(guard.metadata("GET", "https://api.example/mcp").is_none());
    let without = JsGuard::new(GUARD, None, None).unwrap();
    assert!(without.metadata("GET", url).is_none());
}
