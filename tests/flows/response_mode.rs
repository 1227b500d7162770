//! Where the authorization response stands: query, fragment or the body of a POST.

use gatepass::http::{Purpose, form};
use serde_json::json;

use crate::support::{World, code, code_at};

/// A world whose provider answers so, and the right callback.
fn answering(mode: &str) -> (World, String) {
    let mut world = World::with(json!({"responseMode": mode}));
    let url = world.begin().unwrap();
    let query = form::decode(url.split_once('?').unwrap().1).unwrap();
    assert_eq!(form::once(&query, "response_mode"), Ok(Some(mode)));
    let callback = world.agree(&url);
    (world, callback)
}

#[test]
fn a_response_is_read_where_it_was_asked_for() {
    for mode in ["query", "fragment", "form_post"] {
        let (mut world, callback) = answering(mode);
        world.finish(&callback).unwrap();
        assert_eq!(code(world.finish(&callback)), "flow_reused", "{mode}");
    }
}

#[test]
fn without_the_option_none_is_asked_for() {
    let mut world = World::new();
    assert!(!world.begin().unwrap().contains("response_mode"));
    let refused = |mode: &str| {
        let options =
            json!({"issuer": "https://as.example", "clientId": "a", "responseMode": mode});
        code_at(gatepass::client::Client::from_options(
            &crate::support::options(&options),
        ))
    };
    for mode in ["jwt", "query.jwt", "web_message", "QUERY"] {
        assert_eq!(refused(mode), ("config_invalid", "responseMode".into()));
    }
}

#[test]
fn cbk_26_a_response_in_another_place_is_response_mode_mismatch() {
    let places = ["?", "#", "\n"];
    for (mode, right) in [("query", "?"), ("fragment", "#"), ("form_post", "\n")] {
        for place in places.iter().filter(|place| **place != right) {
            let (mut world, callback) = answering(mode);
            let moved = callback.replace(right, place);
            assert_eq!(
                code(world.finish(&moved)),
                "response_mode_mismatch",
                "{mode} {place:?}"
            );
            assert_eq!(world.net.count(Purpose::Token), 0);
            // The login waits on for its own callback.
            world.finish(&callback).unwrap();
        }
    }
}

#[test]
fn a_body_that_cannot_be_decoded_is_param_invalid() {
    for body in ["state=%zz", "state=a&code=%FF", &"a".repeat(64 * 1024 + 1)] {
        let (mut world, _) = answering("form_post");
        assert_eq!(
            code_at(world.finish(&format!("https://app.example/cb\n{body}"))),
            ("param_invalid", "body".into())
        );
    }
    let (mut world, _) = answering("fragment");
    assert_eq!(
        code_at(world.finish("https://app.example/cb#state=%zz")),
        ("param_invalid", "fragment".into())
    );
}

#[test]
fn a_body_that_says_nothing_is_state_missing() {
    for body in ["", "code=a", "STATE=a"] {
        let (mut world, _) = answering("form_post");
        let callback = format!("https://app.example/cb\n{body}");
        assert_eq!(code(world.finish(&callback)), "state_missing");
    }
}

#[test]
fn a_parameter_of_the_page_itself_does_not_matter() {
    let (mut world, callback) = answering("fragment");
    world.finish(&callback.replace('#', "?tab=1#")).unwrap();
    let (mut world, callback) = answering("form_post");
    world.finish(&callback.replace('\n', "?tab=1\n")).unwrap();
}

// JARM (response_mode=jwt) is not offered: whatever comes in its form was not asked for.
#[test]
fn cbk_30_whatever_comes_as_a_jwt_is_refused_before_it_is_read() {
    for response in [
        "eyJhbGciOiJub25lIn0.e30.",
        "eyJhbGciOiJFUzI1NiJ9.e30.AAAA",
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJodHRwczovL2V2aWwuZXhhbXBsZSJ9.AAAA",
        "eyJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJvdGhlciJ9.AAAA",
        "eyJhbGciOiJFUzI1NiJ9.eyJleHAiOjF9.AAAA",
        "e30.e30.AA",
        "",
        "x",
    ] {
        for mode in ["query", "fragment", "form_post"] {
            let (mut world, callback) = answering(mode);
            for place in ["?", "#", "\n"] {
                let alone = format!("https://app.example/cb{place}response={response}");
                assert_eq!(code(world.finish(&alone)), "response_mode_mismatch");
                let beside = match place {
                    "\n" => continue,
                    _ if callback.contains(place) => format!("{callback}&response={response}"),
                    _ => continue,
                };
                assert_eq!(code(world.finish(&beside)), "response_mode_mismatch");
            }
            assert_eq!(world.net.count(Purpose::Token), 0);
            world.finish(&callback).unwrap();
        }
    }
}
