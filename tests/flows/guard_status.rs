//! Tokens that stand in a list of their issuer (draft-ietf-oauth-status-list).

use gatepass::flow::{Event, Step};
use gatepass::guard::{BearerToken, Check, Need, Recall, Verdict};
use gatepass::http::{HttpRequest, Purpose, Unreachable};
use serde_json::{Value, json};

use crate::support::{GuardWorld, Key, Reply, Token, base64url};

const URI: &str = "https://as.example/lists/1";

/// A stream of zlib that holds these bytes as they are.
fn packed(bytes: &[u8]) -> String {
    let length = u16::try_from(bytes.len()).unwrap();
    let (mut low, mut high) = (1_u32, 0_u32);
    for byte in bytes {
        low = (low + u32::from(*byte)) % 65_521;
        high = (high + low) % 65_521;
    }
    let mut out = vec![0x78, 1, 1];
    out.extend(length.to_le_bytes());
    out.extend((!length).to_le_bytes());
    out.extend(bytes);
    out.extend((high << 16 | low).to_be_bytes());
    base64url(&out)
}

/// A good list of these bytes, before it is signed.
fn list(world: &GuardWorld, bits: i64, bytes: &[u8]) -> Token {
    let mut list = Token::by(world.net.idps[0].key(), "statuslist+jwt");
    let now = world.net.now.seconds();
    list.claims
        .set("sub", json!(URI))
        .set("iat", now)
        .set("exp", now + 3600)
        .set("ttl", 600)
        .set("status_list", json!({"bits": bits, "lst": packed(bytes)}));
    list
}

fn publish(world: &mut GuardWorld, list: &Token) {
    let text = list.sign(world.net.idps[0].key());
    let reply = Reply::body(text).of_type("application/statuslist+jwt");
    world.idp().always(Purpose::StatusList, reply);
}

/// A guard that looks at lists, and the list that it finds.
fn world(bits: i64, bytes: &[u8]) -> GuardWorld {
    let mut world = GuardWorld::with(json!({"statusList": true}));
    let list = list(&world, bits, bytes);
    publish(&mut world, &list);
    world
}

/// A token that stands at this place of the list.
fn at(world: &GuardWorld, index: u64) -> String {
    saying(world, json!({"status_list": {"idx": index, "uri": URI}}))
}

fn saying(world: &GuardWorld, status: Value) -> String {
    world.edited(|token| {
        let end = world.net.now.seconds() + 100_000;
        token.claims.set("status", status).set("exp", end);
    })
}

fn verdict_on(world: &mut GuardWorld, token: &str) -> Verdict {
    let mut flow = Check::new(&world.guard, Ok(BearerToken::new(token)), &Need::nothing());
    world.net.run(&mut flow, &mut world.guard).unwrap();
    flow.verdict().unwrap()
}

#[test]
fn clm_56_a_token_is_good_while_its_list_says_so() {
    for (bits, bytes, expected) in [
        (1, vec![0b0000_1010], [0, 1, 0, 1]),
        (2, vec![0b1101_0010], [2, 0, 1, 3]),
        (4, vec![0x10, 0x0F], [0, 1, 15, 0]),
        (8, vec![0, 255, 0, 1], [0, 255, 0, 1]),
    ] {
        let mut world = world(bits, &bytes);
        for (index, status) in (0..).zip(expected) {
            let token = at(&world, index);
            let code = match status {
                0 => "accepted",
                _ => "token_inactive",
            };
            assert_eq!(world.code(&token), code, "{bits} bits, {index}");
        }
        let asked: Vec<_> = world.net.sent.iter().collect();
        let asked: Vec<_> = asked
            .iter()
            .filter(|sent| sent.purpose == Purpose::StatusList)
            .collect();
        assert_eq!(asked.len(), 1, "one list for all of its tokens");
        assert_eq!(asked[0].url, URI);
        assert_eq!(asked[0].accept, "application/statuslist+jwt");
        assert!(asked[0].authorization.is_none());
    }
}

#[test]
fn clm_56_a_place_that_is_not_in_the_list_is_token_inactive() {
    let mut world = world(1, &[0, 0]);
    for (index, code) in [
        (15, "accepted"),
        (16, "token_inactive"),
        (1 << 40, "token_inactive"),
    ] {
        let token = at(&world, index);
        assert_eq!(world.code(&token), code, "{index}");
    }
    let refusal = world.header(Some(&format!("Bearer {}", at(&world, 16))));
    assert_eq!(refusal.unwrap_err().status(), 401);
}

/// The code and status with a list that was changed before it was signed.
fn with(edit: impl FnOnce(&mut Token)) -> (&'static str, u16) {
    let mut world = world(1, &[0]);
    let mut list = list(&world, 1, &[0]);
    edit(&mut list);
    publish(&mut world, &list);
    outcome(&mut world)
}

fn outcome(world: &mut GuardWorld) -> (&'static str, u16) {
    let token = at(world, 0);
    match world.header(Some(&format!("Bearer {token}"))) {
        Ok(_) => ("accepted", 200),
        Err(refusal) => (refusal.error().code(), refusal.status()),
    }
}

const UNAVAILABLE: (&str, u16) = ("keys_unavailable", 503);

#[test]
fn clm_56_a_list_that_is_over_not_yet_or_undated_is_keys_unavailable() {
    let now = GuardWorld::new().net.now.seconds();
    for (name, value, expected) in [
        ("exp", json!(now - 31), UNAVAILABLE),
        ("exp", json!(now - 29), ("accepted", 200)),
        ("exp", json!("later"), UNAVAILABLE),
        ("nbf", json!(now + 60), UNAVAILABLE),
        ("iat", json!(now + 60), UNAVAILABLE),
        ("iat", Value::Null, UNAVAILABLE),
        ("ttl", json!(0), UNAVAILABLE),
        ("ttl", json!("600"), UNAVAILABLE),
    ] {
        let found = with(|list| {
            list.claims.set("iat", now - 3600).set(name, &value);
        });
        assert_eq!(found, expected, "{name} {value}");
    }
    let undated = with(|list| {
        list.claims.remove("exp").remove("ttl");
    });
    assert_eq!(undated, ("accepted", 200));
    let never = with(|list| {
        list.claims.remove("iat");
    });
    assert_eq!(never, UNAVAILABLE);
}

#[test]
fn clm_56_a_list_with_another_sub_is_keys_unavailable() {
    for sub in [
        json!("https://as.example/lists/2"),
        json!("https://as.example/lists/1/"),
        json!(1),
    ] {
        let found = with(|list| {
            list.claims.set("sub", &sub);
        });
        assert_eq!(found, UNAVAILABLE, "{sub}");
    }
    assert_eq!(
        with(|list| {
            list.claims.remove("sub");
        }),
        UNAVAILABLE
    );
}

#[test]
fn clm_56_bits_are_1_2_4_or_8_and_the_list_can_be_read() {
    for status_list in [
        json!({"bits": 0, "lst": packed(&[0])}),
        json!({"bits": 3, "lst": packed(&[0])}),
        json!({"bits": 16, "lst": packed(&[0])}),
        json!({"bits": "1", "lst": packed(&[0])}),
        json!({"bits": 1.5, "lst": packed(&[0])}),
        json!({"bits": -1, "lst": packed(&[0])}),
        json!({"lst": packed(&[0])}),
        json!({"bits": 1}),
        json!({"bits": 1, "lst": "AAAA"}),
        json!({"bits": 1, "lst": "not base64url!"}),
        json!({"bits": 1, "lst": ""}),
        json!([]),
    ] {
        let found = with(|list| {
            list.claims.set("status_list", &status_list);
        });
        assert_eq!(found, UNAVAILABLE, "{status_list}");
    }
}

#[test]
fn clm_56_a_list_that_inflates_beyond_its_bound_is_given_up() {
    // A megabyte of zeros in a kilobyte: 258 of them for two bits. Then twice as much.
    let begin = [
        0x78, 0xda, 0xed, 0xc1, 0x31, 0x01, 0, 0, 0, 0xc2, 0xa0, 0xf5, 0x4f, 0x6d, 0x08, 0x5f, 0xa0,
    ];
    let end = [0x3e, 0x03, 0x00, 0xf0, 0x00, 0x01];
    for (zeros, expected) in [
        (1016, ("accepted", 200)),
        (2032, UNAVAILABLE),
        (500_000, UNAVAILABLE),
    ] {
        let lst = base64url([&begin[..], &vec![0; zeros], &end].concat());
        let found = with(|list| {
            list.claims
                .set("status_list", json!({"bits": 8, "lst": lst}));
        });
        assert_eq!(found, expected, "{zeros}");
    }
}

#[test]
fn clm_56_a_list_is_of_the_tokens_issuer_and_of_its_own_kind() {
    for typ in ["at+jwt", "JWT", "statuslist+cwt"] {
        let found = with(|list| {
            list.header.set("typ", json!(typ));
        });
        assert_eq!(found, UNAVAILABLE, "{typ}");
    }
    let elsewhere = with(|list| {
        list.claims.set("iss", json!("https://other.example"));
    });
    assert_eq!(elsewhere, UNAVAILABLE);
    let named = with(|list| {
        list.claims.set("iss", json!("https://as.example"));
    });
    assert_eq!(named, ("accepted", 200));
    // Signed with somebody else's key of the same name.
    let mut forged = world(1, &[0]);
    let list = list(&forged, 1, &[0]);
    let mut key = Key::new("other", "ES256", 99);
    key.kid.clone_from(&forged.net.idps[0].key().kid);
    let reply = Reply::body(list.sign(&key)).of_type("application/statuslist+jwt");
    forged.idp().always(Purpose::StatusList, reply);
    assert_eq!(outcome(&mut forged), UNAVAILABLE);
}

#[test]
fn clm_56_a_list_that_cannot_be_had_is_keys_unavailable_and_left_alone_for_a_while() {
    for reply in [
        Reply::status(404),
        Reply::status(302),
        Reply::status(500),
        Reply::html(),
        Reply::json("{}"),
        Reply::none(Unreachable::Network),
        Reply::none(Unreachable::Timeout),
        Reply::none(Unreachable::TooLarge),
    ] {
        let mut world = world(1, &[0]);
        world.idp().always(Purpose::StatusList, reply);
        for _ in 0..10 {
            assert_eq!(outcome(&mut world), UNAVAILABLE);
        }
        assert_eq!(world.net.count(Purpose::StatusList), 1);
        world.net.pass(5);
        let list = list(&world, 1, &[0]);
        publish(&mut world, &list);
        assert_eq!(outcome(&mut world), ("accepted", 200));
    }
}

#[test]
fn a_list_is_used_as_long_as_it_says_and_no_longer_than_is_allowed() {
    for (option, ttl, exp, lasts) in [
        (json!(true), Some(60), 3600, 60),
        (json!(true), Some(6000), 3600, 300),
        (json!(true), None, 3600, 300),
        (json!({"maxAge": 10}), Some(60), 3600, 10),
        (json!({}), Some(6000), 100, 130),
    ] {
        let mut world = GuardWorld::with(json!({"statusList": option}));
        let mut first = list(&world, 1, &[0]);
        first.claims.set("exp", world.net.now.seconds() + exp);
        match ttl {
            Some(ttl) => first.claims.set("ttl", ttl),
            None => first.claims.remove("ttl"),
        };
        publish(&mut world, &first);
        let token = at(&world, 0);
        assert_eq!(world.code(&token), "accepted");
        world.net.pass(lasts - 1);
        assert_eq!(world.code(&token), "accepted");
        assert_eq!(world.net.count(Purpose::StatusList), 1, "{option}");
        world.net.pass(1);
        let next = list(&world, 1, &[0]);
        publish(&mut world, &next);
        assert_eq!(world.code(&token), "accepted");
        assert_eq!(world.net.count(Purpose::StatusList), 2, "{option}");
    }
}

#[test]
fn a_verdict_ends_with_the_list() {
    let mut world = world(1, &[0]);
    let token = at(&world, 0);
    let verdict = verdict_on(&mut world, &token);
    world.net.pass(299);
    let now = world.net.now;
    assert_eq!(world.guard.recall(verdict, now), Recall::Holds);
    let taken_back = list(&world, 1, &[1]);
    publish(&mut world, &taken_back);
    world.net.pass(1);
    let now = world.net.now;
    assert_eq!(world.guard.recall(verdict, now), Recall::CheckAnew);
    assert_eq!(world.code(&token), "token_inactive");
}

#[test]
fn a_status_that_cannot_be_read_is_claim_invalid() {
    let mut world = world(1, &[0]);
    let named = |idx: Value, uri: &str| json!({"status_list": {"idx": idx, "uri": uri}});
    for status in [
        json!("valid"),
        json!([]),
        json!({"status_list": 1}),
        json!({"status_list": {}}),
        named(json!(-1), URI),
        named(json!(1.5), URI),
        named(json!("0"), URI),
        named(json!(0), ""),
        named(json!(0), "http://as.example/lists/1"),
        named(json!(0), "https://user@as.example/lists/1"),
        named(json!(0), "https://as.example/lists/1#x"),
        json!({"status_list": {"idx": 0, "uri": ["https://as.example"]}}),
    ] {
        let token = saying(&world, status.clone());
        assert_eq!(world.code(&token), "claim_invalid", "{status}");
    }
    assert_eq!(world.net.count(Purpose::StatusList), 0);
    // Other ways to say it are for others.
    let token = saying(&world, json!({"other": {}}));
    assert_eq!(world.code(&token), "accepted");
}

/// Steps a check, whose signatures are good, to the next request that it sends or to its end.
fn go_on(
    world: &mut GuardWorld,
    check: &mut Check,
    mut event: Event,
) -> Result<HttpRequest, &'static str> {
    loop {
        event = match world.net.step(check, &mut world.guard, event) {
            Ok(Step::Send(request)) => return Ok(request),
            Ok(Step::Verify(_)) => Event::Signature(true),
            Ok(_) => return Err("accepted"),
            Err(error) => return Err(error.code()),
        };
    }
}

#[test]
fn a_late_answer_replaces_no_newer_one() {
    // Where each request asks for itself, the answer to the first may come last.
    for late_is_lost in [false, true] {
        let mut world = world(1, &[0]);
        let token = at(&world, 0);
        assert_eq!(world.code(&token), "accepted");
        world.net.pass(3600);
        let old = list(&world, 1, &[0]);
        publish(&mut world, &old);
        let begin = |world: &mut GuardWorld| {
            let mut check =
                Check::new(&world.guard, Ok(BearerToken::new(&token)), &Need::nothing());
            let mut event = Event::Start;
            loop {
                let request = go_on(world, &mut check, event).unwrap();
                event = world.net.answer(&request);
                if request.purpose == Purpose::StatusList {
                    return (check, event);
                }
            }
        };
        let (mut first, late) = begin(&mut world);
        world.net.pass(1);
        let new = list(&world, 1, &[1]);
        publish(&mut world, &new);
        let (mut second, answer) = begin(&mut world);
        let code = go_on(&mut world, &mut second, answer).unwrap_err();
        assert_eq!(code, "token_inactive");
        let late = match late_is_lost {
            true => Event::Unreachable(Unreachable::Network),
            false => late,
        };
        let code = go_on(&mut world, &mut first, late).unwrap_err();
        assert_eq!(code, "token_inactive");
        assert_eq!(world.code(&token), "token_inactive");
    }
}

#[test]
fn without_the_option_nobody_asks_for_a_list() {
    for more in [json!({}), json!({"statusList": false})] {
        let mut world = GuardWorld::with(more);
        let token = saying(&world, json!({"status_list": {"idx": 0, "uri": URI}}));
        assert_eq!(world.code(&token), "accepted");
        assert_eq!(world.net.count(Purpose::StatusList), 0);
    }
}
