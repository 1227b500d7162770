//! Signing out.

use gatepass::client::Refresh;
use gatepass::flow::{Event, Step};
use gatepass::http::{Purpose, Unreachable, form};
use serde_json::json;

use crate::support::{Reply, World, code};

#[test]
fn lgo_16_the_url_carries_the_hint_the_client_and_the_page_to_return_to() {
    let mut world = World::with(json!({
        "postLogoutRedirectUri": "https://app.example/bye?x=1",
    }));
    let url = world.begin().unwrap();
    let callback = world.agree(&url);
    world.finish(&callback).unwrap();
    let url = world.sign_out().unwrap().unwrap();
    let (place, query) = url.split_once('?').unwrap();
    assert_eq!(place, "https://as.example/logout");
    let parameters = form::decode(query).unwrap();
    let names: Vec<_> = parameters.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        ["id_token_hint", "client_id", "post_logout_redirect_uri"]
    );
    assert_eq!(parameters[0].1.split('.').count(), 3);
    assert_eq!(parameters[1].1, "spa");
    assert_eq!(parameters[2].1, "https://app.example/bye?x=1");
}

#[test]
fn without_a_page_to_return_to_the_provider_keeps_the_user() {
    let mut world = World::new();
    world.sign_in().unwrap();
    let url = world.sign_out().unwrap().unwrap();
    assert!(!url.contains("post_logout_redirect_uri"));
}

#[test]
fn a_query_of_the_end_session_endpoint_stays() {
    let mut world = World::new();
    world.idp().metadata["end_session_endpoint"] = json!("https://as.example/logout?tenant=1");
    world.sign_in().unwrap();
    let url = world.sign_out().unwrap().unwrap();
    assert!(url.starts_with("https://as.example/logout?tenant=1&id_token_hint="));
}

#[test]
fn the_session_is_gone_at_once() {
    let mut world = World::new();
    world.sign_in().unwrap();
    let _flow = gatepass::client::SignOut::new(&mut world.client);
    assert!(world.client.session().is_none());
}

#[test]
fn signing_out_works_while_the_provider_is_down() {
    let mut world = World::new();
    world.sign_in().unwrap();
    world.net.pass(48 * 3600);
    world
        .idp()
        .always(Purpose::Discovery, Reply::none(Unreachable::Network));
    assert!(world.sign_out().unwrap().is_some());
    assert!(world.client.session().is_none());
}

#[test]
fn signing_out_without_a_session_needs_no_hint() {
    let mut world = World::new();
    let url = world.sign_out().unwrap().unwrap();
    assert_eq!(url, "https://as.example/logout?client_id=spa");
}

#[test]
fn a_provider_without_the_endpoint_gives_no_url() {
    let mut world = World::new();
    world.idp().metadata["end_session_endpoint"] = json!(null);
    world.sign_in().unwrap();
    assert_eq!(world.sign_out().unwrap(), None);
    assert!(world.client.session().is_none());
}

#[test]
fn rfr_18_signing_out_during_a_refresh_drops_its_answer() {
    let mut world = World::new();
    world.sign_in().unwrap();
    let mut refresh = Refresh::new(&world.client);
    let Ok(Step::Send(request)) = world
        .net
        .step(&mut refresh, &mut world.client, Event::Start)
    else {
        panic!("nothing was sent");
    };
    let answer = world.net.answer(&request);
    world.sign_out().unwrap();
    let late = world.net.step(&mut refresh, &mut world.client, answer);
    assert_eq!(code(late), "login_required");
    assert!(world.client.session().is_none());
}
