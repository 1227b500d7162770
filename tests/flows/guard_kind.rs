//! Whether a token was issued for a user, or to a client for itself (RFC 9700 section 4.15).

use gatepass::guard::PrincipalKind;
use serde_json::{Value, json};

use crate::support::{GuardWorld, Members};

/// The kind that a token of this profile has, and whether it opens what needs a user.
fn kind(
    profile: Value,
    edit: impl FnOnce(&mut Members),
) -> (Option<PrincipalKind>, Result<(), (u16, &'static str)>) {
    let mut world = GuardWorld::with(json!({"profile": profile}));
    let token = world.edited(|token| edit(&mut token.claims));
    let kind = world.check(&token).unwrap().kind();
    let opened = world.needing(&token, json!({"user": true}));
    let opened = opened.map(drop);
    (
        kind,
        opened.map_err(|refusal| (refusal.status(), refusal.error().code())),
    )
}

const USER: (Option<PrincipalKind>, Result<(), (u16, &str)>) = (Some(PrincipalKind::User), Ok(()));
const CLIENT: (Option<PrincipalKind>, Result<(), (u16, &str)>) =
    (Some(PrincipalKind::Client), Err((403, "user_required")));

#[test]
fn clm_46_a_client_that_is_named_like_a_user_is_told_apart() {
    assert_eq!(kind(json!("rfc9068"), |_| {}), USER);
    // The client credentials grant: sub is the client, which somebody named like the victim.
    let named_alike = kind(json!("rfc9068"), |claims| {
        claims
            .set("sub", json!("user-1"))
            .set("client_id", json!("user-1"));
    });
    assert_eq!(named_alike, CLIENT);
}

#[test]
fn clm_46_vendors_say_in_their_own_way_that_no_user_is_involved() {
    let of_auth0 = |sub: &'static str| {
        kind(json!("auth0"), move |claims| {
            claims.set("sub", json!(sub)).set("azp", json!("spa"));
        })
    };
    assert_eq!(of_auth0("auth0|1"), USER);
    assert_eq!(of_auth0("spa@clients"), CLIENT);

    let of_keycloak = |name: Value| {
        kind(json!("keycloak"), move |claims| {
            claims
                .set("typ", json!("Bearer"))
                .set("azp", json!("spa"))
                .set("preferred_username", name);
        })
    };
    assert_eq!(of_keycloak(json!("ada")), USER);
    assert_eq!(of_keycloak(json!("service-account-spa")), CLIENT);

    let of_okta = |client: &'static str| {
        kind(json!({"base": "okta", "typ": "at+jwt"}), move |claims| {
            claims
                .set("cid", json!(client))
                .set("scp", json!(["read"]))
                .remove("scope");
        })
    };
    assert_eq!(of_okta("spa"), USER);
    assert_eq!(of_okta("user-1"), CLIENT);
}

#[test]
fn clm_46_at_entra_only_what_a_user_delegated_has_scp() {
    let tenant = "11111111-2222-4333-8444-555555555555";
    let issuer = format!("https://login.example/{tenant}/v2.0");
    let mut world = GuardWorld::with(json!({"issuer": issuer, "profile": "entra"}));
    let mut of = |scp: Option<&str>, idtyp: Option<&str>| {
        let token = world.edited(|token| {
            token.header.set("typ", json!("JWT"));
            let claims = &mut token.claims;
            claims
                .set("ver", json!("2.0"))
                .set("azp", json!("spa"))
                .set("tid", json!(tenant));
            if let Some(scp) = scp {
                claims.set("scp", json!(scp));
            }
            if let Some(idtyp) = idtyp {
                claims.set("idtyp", json!(idtyp));
            }
        });
        world.check(&token).unwrap().kind()
    };
    assert_eq!(of(Some("read"), None), Some(PrincipalKind::User));
    assert_eq!(of(Some("read"), Some("user")), Some(PrincipalKind::User));
    assert_eq!(of(None, None), Some(PrincipalKind::Client));
    assert_eq!(of(Some("read"), Some("app")), Some(PrincipalKind::Client));
}

#[test]
fn clm_46_what_a_provider_does_not_say_is_not_taken_for_a_user() {
    for (missing, expected) in [
        ("sub", None),
        ("client_id", None),
        ("jti", Some(PrincipalKind::User)),
    ] {
        let mut world = GuardWorld::introspecting(json!({}));
        let token = world.opaque_with(|answer| {
            answer.remove(missing);
        });
        assert_eq!(world.check(&token).unwrap().kind(), expected, "{missing}");
        let opened = world.needing(&token, json!({"user": true})).is_ok();
        assert_eq!(opened, expected.is_some(), "{missing}");
    }
    let mut world = GuardWorld::introspecting(json!({}));
    let token = world.opaque_with(|answer| {
        answer.set("sub", json!("spa"));
    });
    let kind = world.check(&token).unwrap().kind();
    assert_eq!(kind, Some(PrincipalKind::Client));
}
