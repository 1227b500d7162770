//! What a request needs beyond a valid token, and what the client is told when it lacks that.

use gatepass::guard::{Guard, Need};
use serde_json::{Value, json};

use crate::support::{GuardWorld, Members, code_at, options};

const NOW: i64 = 1_800_000_000;

/// The code, status and challenge for a token with these claims and a request with this need.
fn refused(edit: impl FnOnce(&mut Members), need: Value) -> (&'static str, u16, String) {
    let mut world = GuardWorld::new();
    let token = world.edited(|token| edit(&mut token.claims));
    let refusal = world.needing(&token, need).unwrap_err();
    let challenge = refusal.challenge().unwrap_or_default().to_owned();
    (refusal.error().code(), refusal.status(), challenge)
}

/// What was checked of such a token for such a request.
fn accepted(edit: impl FnOnce(&mut Members), need: Value) -> Vec<&'static str> {
    let mut world = GuardWorld::new();
    let token = world.edited(|token| edit(&mut token.claims));
    world.needing(&token, need).unwrap().checked().to_vec()
}

fn nothing(_: &mut Members) {}

const MORE_PRIVILEGES: &str = "Bearer error=\"insufficient_scope\"";

#[test]
fn rsr_13_one_of_several_scopes_is_enough() {
    assert!(accepted(nothing, json!({"anyScopes": ["admin", "write"]})).contains(&"scope"));
    let (code, status, challenge) = refused(nothing, json!({"anyScopes": ["admin", "root"]}));
    assert_eq!((code, status), ("scope_insufficient", 403));
    assert_eq!(
        challenge,
        "Bearer error=\"insufficient_scope\", scope=\"admin root\""
    );
}

#[test]
fn rsr_13_all_scopes_and_one_of_several_stand_in_one_challenge_each_once() {
    let need = json!({"scopes": ["read", "audit"], "anyScopes": ["audit", "admin"]});
    let (_, _, challenge) = refused(nothing, need);
    assert_eq!(
        challenge,
        "Bearer error=\"insufficient_scope\", scope=\"read audit admin\""
    );
}

#[test]
fn all_roles_are_needed_or_one_of_several() {
    let roles = |claims: &mut Members| {
        claims.set("roles", json!(["editor", "viewer"]));
    };
    for need in [
        json!({"roles": "editor"}),
        json!({"roles": ["viewer", "editor"]}),
        json!({"anyRoles": ["admin", "viewer"]}),
    ] {
        assert!(accepted(roles, need).contains(&"roles"));
    }
    for need in [
        json!({"roles": ["editor", "admin"]}),
        json!({"anyRoles": ["admin", "Editor", "edit"]}),
    ] {
        assert_eq!(
            refused(roles, need),
            ("role_insufficient", 403, MORE_PRIVILEGES.into())
        );
    }
    assert_eq!(
        refused(nothing, json!({"roles": "editor"})).0,
        "role_insufficient"
    );
}

#[test]
fn all_permissions_are_needed() {
    let mut world = GuardWorld::with(json!({"profile": {"permissions": "permissions"}}));
    let token = world.edited(|token| {
        token.claims.set("permissions", json!(["a", "b"]));
    });
    assert!(
        world
            .needing(&token, json!({"permissions": ["b", "a"]}))
            .is_ok()
    );
    let refusal = world
        .needing(&token, json!({"permissions": ["a", "c"]}))
        .unwrap_err();
    assert_eq!(refusal.error().code(), "permission_insufficient");
    assert_eq!(
        (refusal.status(), refusal.challenge()),
        (403, Some(MORE_PRIVILEGES))
    );
    // RFC 9068 names no claim for permissions.
    let mut plain = GuardWorld::new();
    let refusal = plain
        .needing(&token, json!({"permissions": "a"}))
        .unwrap_err();
    assert_eq!(refusal.error().code(), "permission_insufficient");
}

#[test]
fn one_of_several_permissions_is_enough() {
    let mut world = GuardWorld::with(json!({"profile": {"permissions": "permissions"}}));
    let token = world.edited(|token| {
        token.claims.set("permissions", json!(["a", "b"]));
    });
    let mut code = |need: Value| match world.needing(&token, need) {
        Ok(_) => "accepted",
        Err(refusal) => refusal.error().code(),
    };
    assert_eq!(code(json!({"anyPermissions": ["x", "b"]})), "accepted");
    assert_eq!(
        code(json!({"anyPermissions": ["x", "y"]})),
        "permission_insufficient"
    );
    assert_eq!(
        code(json!({"anyPermissions": "a", "permissions": "x"})),
        "permission_insufficient"
    );
}

const STEP_UP: &str = "Bearer error=\"insufficient_user_authentication\", \
     error_description=\"A different or more recent sign-in is needed\"";

#[test]
fn rsr_14_another_authentication_context_is_asked_for_by_name() {
    let acr = |value: &'static str| {
        move |claims: &mut Members| {
            claims.set("acr", json!(value));
        }
    };
    let need = json!({"acr": ["phr", "phrh"]});
    assert!(accepted(acr("phrh"), need.clone()).contains(&"acr"));
    for value in ["pwd", "", "phr phrh", "PHR"] {
        assert_eq!(
            refused(acr(value), need.clone()),
            (
                "authentication_insufficient",
                401,
                format!("{STEP_UP}, acr_values=\"phr phrh\"")
            )
        );
    }
    assert_eq!(
        refused(nothing, need.clone()).0,
        "authentication_insufficient"
    );
    let wrong = |claims: &mut Members| {
        claims.set("acr", json!(["phr"]));
    };
    assert_eq!(refused(wrong, need).0, "claim_invalid");
}

#[test]
fn rsr_14_an_older_sign_in_is_told_the_age() {
    let signed_in = |ago: i64| {
        move |claims: &mut Members| {
            claims.set("auth_time", NOW - ago);
        }
    };
    let need = json!({"maxAge": 600});
    // The tolerance of the clocks is 30 seconds.
    for ago in [0, 600, 630, -30] {
        assert!(
            accepted(signed_in(ago), need.clone()).contains(&"auth_time"),
            "{ago}"
        );
    }
    for ago in [631, 6000, -31] {
        assert_eq!(
            refused(signed_in(ago), need.clone()),
            (
                "authentication_insufficient",
                401,
                format!("{STEP_UP}, max_age=\"600\"")
            ),
            "{ago}"
        );
    }
    assert_eq!(
        refused(nothing, need.clone()).0,
        "authentication_insufficient"
    );
    let wrong = |claims: &mut Members| {
        claims.set("auth_time", json!("1800000000"));
    };
    assert_eq!(refused(wrong, need).0, "claim_invalid");
}

#[test]
fn rsr_14_a_step_up_names_everything_that_is_needed() {
    let (_, _, challenge) = refused(nothing, json!({"maxAge": 0, "acr": "mfa"}));
    assert_eq!(
        challenge,
        format!("{STEP_UP}, acr_values=\"mfa\", max_age=\"0\"")
    );
}

#[test]
fn what_no_sign_in_would_give_is_told_first() {
    let need = json!({"acr": "mfa", "scopes": "admin", "roles": "x"});
    assert_eq!(refused(nothing, need).0, "scope_insufficient");
}

#[test]
fn needs_are_judged_after_the_token() {
    let (code, status, _) = refused(
        |claims| {
            claims.set("exp", 0);
        },
        json!({"acr": "mfa", "roles": "x", "permissions": "p", "maxAge": 1}),
    );
    assert_eq!((code, status), ("token_expired", 401));
}

#[test]
fn two_needs_are_both_needed_with_the_stricter_sign_in() {
    let need = |value: Value| Need::from_options(&options(&value)).unwrap();
    let first = need(json!({"anyScopes": ["a", "b"], "acr": ["x", "y"], "maxAge": 60}));
    let second = need(json!({"anyScopes": ["b", "c"], "acr": ["y", "z"], "maxAge": 30}));
    let both = first.and(&second);
    assert_eq!(both.scope(), "a b c");
    assert_eq!(both.acr_values().as_deref(), Some("y"));
    assert_eq!(both.max_age(), Some(30));
    assert_eq!(first.and(&first), first);
    assert_eq!(Need::nothing().and(&first), first);
    assert_eq!(
        (Need::nothing().acr_values(), Need::nothing().max_age()),
        (None, None)
    );
}

// CFG-02, CFG-05.
#[test]
fn cfg_02_05_a_need_has_known_members_of_the_right_type() {
    for (name, value) in [
        ("scopes", json!([])),
        ("scopes", json!([""])),
        ("scopes", json!(1)),
        ("anyScopes", json!([])),
        ("anyScopes", json!(["a b"])),
        ("roles", json!([])),
        ("roles", json!([1])),
        ("anyRoles", json!(null)),
        ("permissions", json!([""])),
        ("anyPermissions", json!([])),
        ("user", json!("yes")),
        ("user", json!(null)),
        ("acr", json!("a b")),
        ("acr", json!("a\"b")),
        ("acr", json!([])),
        ("maxAge", json!("60")),
        ("maxAge", json!(-1)),
        ("maxAge", json!(1.5)),
        ("maxAge", json!(1e300)),
        ("maxAge", json!(null)),
        ("predicate", json!(null)),
        ("role", json!("admin")),
    ] {
        let mut given = json!({});
        given[name] = value.clone();
        assert_eq!(
            code_at(Need::from_options(&options(&given))),
            ("config_invalid", name.into()),
            "{value}"
        );
    }
}

// CLM-21, CLM-22.
#[test]
fn clm_21_22_a_token_may_be_so_old_and_must_say_how_old_it_is() {
    // A profile that does not ask for iat.
    let profile = json!({"required": ["jti"]});
    let mut world = GuardWorld::with(json!({"maxTokenAge": 86_400, "profile": profile}));
    let mut issued = |iat: Option<i64>| {
        world.claims(|claims| {
            match iat {
                Some(ago) => claims.set("iat", NOW - ago),
                None => claims.remove("iat"),
            };
        })
    };
    assert_eq!(issued(Some(0)).0, "accepted");
    assert_eq!(issued(Some(86_430)).0, "accepted");
    assert_eq!(issued(Some(86_431)), ("token_too_old", "iat".into()));
    assert_eq!(issued(Some(7 * 86_400)), ("token_too_old", "iat".into()));
    assert_eq!(issued(None), ("claim_missing", "iat".into()));
    let mut without = GuardWorld::with(json!({"profile": profile}));
    let token = without.edited(|token| {
        token.claims.remove("iat");
    });
    assert_eq!(without.code(&token), "accepted");
}

#[test]
fn clm_24_a_token_may_live_so_long() {
    let mut world = GuardWorld::with(json!({"maxTokenLifetime": 86_400}));
    let mut lives = |seconds: i64| {
        world.claims(|claims| {
            claims.set("iat", NOW - 10).set("exp", NOW - 10 + seconds);
        })
    };
    assert_eq!(lives(86_400).0, "accepted");
    assert_eq!(lives(86_401), ("token_too_old", "exp".into()));
    assert_eq!(lives(30 * 86_400), ("token_too_old", "exp".into()));
}

#[test]
fn cfg_02_bounds_of_a_tokens_age_are_whole_seconds_up_to_a_year() {
    for name in ["maxTokenAge", "maxTokenLifetime"] {
        for value in [
            json!(0),
            json!(-1),
            json!(1.5),
            json!("1d"),
            json!(null),
            json!(40_000_000),
        ] {
            let mut given = json!({"issuer": "https://as.example", "audience": "api"});
            given[name] = value.clone();
            assert_eq!(
                code_at(Guard::from_options(&options(&given))),
                ("config_invalid", name.into()),
                "{value}"
            );
        }
    }
}

#[test]
fn clm_54_a_chain_of_actors_has_eight_links_at_most() {
    let chain = |name: &str, depth: usize| {
        (0..depth).fold(json!(null), |inner, _| match inner {
            Value::Null => json!({"sub": "x"}),
            inner => {
                let mut actor = json!({"sub": "x"});
                actor[name] = inner;
                actor
            }
        })
    };
    let mut world = GuardWorld::new();
    for name in ["act", "may_act"] {
        let mut check = |value: Value| {
            world.claims(|claims| {
                claims.set(name, value);
            })
        };
        assert_eq!(check(chain(name, 1)).0, "accepted");
        assert_eq!(check(chain(name, 8)).0, "accepted");
        assert_eq!(check(chain(name, 9)), ("claim_invalid", name.into()));
        assert_eq!(check(chain(name, 40)), ("claim_invalid", name.into()));
        for value in [json!("x"), json!(null), json!([]), json!({name: 1})] {
            assert_eq!(check(value), ("claim_invalid", name.into()));
        }
    }
}

#[test]
fn an_acceptance_that_the_predicate_takes_back_is_counted_as_a_refusal() {
    use gatepass::guard::Refusal;
    let mut world = GuardWorld::new();
    let token = world.good();
    world.check(&token).unwrap();
    let error = world.guard.withdraw();
    let refusal = Refusal::new(error, &Need::nothing());
    assert_eq!(refusal.error().code(), "predicate_refused");
    assert_eq!(
        (refusal.status(), refusal.challenge()),
        (403, Some(MORE_PRIVILEGES))
    );
    let tally: Value = serde_json::from_str(&world.guard.tally().to_json()).unwrap();
    assert_eq!(tally, json!({"accepted": 0, "predicate_refused": 1}));
}

#[test]
fn what_a_provider_says_of_an_opaque_token_is_judged_by_the_same_rules() {
    let mut world = GuardWorld::introspecting_with(json!({}), json!({"maxTokenAge": 60}));
    let token = world.opaque_with(|answer| {
        answer
            .set("iat", NOW)
            .set("roles", json!(["editor"]))
            .set("acr", json!("mfa"));
    });
    let need = json!({"roles": "editor", "acr": "mfa", "scopes": "read"});
    assert_eq!(world.needing(&token, need).unwrap().roles(), ["editor"]);
    let refusal = world
        .needing(&token, json!({"roles": "admin"}))
        .unwrap_err();
    assert_eq!(refusal.error().code(), "role_insufficient");
    let old = world.opaque_with(|answer| {
        answer.set("iat", NOW - 100);
    });
    assert_eq!(world.code(&old), "token_too_old");
    let deep = json!({"act": {"act": {"act": {"act": {"act": {"act": {"act": {"act": {}}}}}}}}});
    let deep = world.opaque_with(|answer| {
        answer.set("iat", NOW).set("act", deep);
    });
    assert_eq!(world.code(&deep), "claim_invalid");
}
