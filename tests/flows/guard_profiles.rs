//! The shapes of vendors' access tokens, several issuers, and tenants in an issuer.

use gatepass::guard::Guard;
use gatepass::http::Purpose;
use serde_json::{Value, json};

use crate::support::{GuardWorld, Idp, Token, code, code_at, options};

const NOW: i64 = 1_800_000_000;
const TENANT: &str = "11111111-2222-4333-8444-555555555555";
const OTHER_TENANT: &str = "99999999-2222-4333-8444-555555555555";

/// What a vendor's access token looks like, as its documentation shows it.
struct Vendor {
    profile: &'static str,
    issuer: String,
    typ: Option<&'static str>,
    claims: Value,
    /// What stands for the client, and a claim that no ID token of this vendor has, or has otherwise.
    client: &'static str,
}

fn vendors() -> Vec<Vendor> {
    let vendor = |profile, issuer: &str, typ, client, claims| Vendor {
        profile,
        issuer: issuer.into(),
        typ,
        claims,
        client,
    };
    vec![
        vendor(
            "rfc9068",
            "https://as.example",
            Some("at+jwt"),
            "client_id",
            json!({"aud": "api", "client_id": "app", "jti": "1", "scope": "read write",
                "roles": ["admin"], "groups": ["g"], "entitlements": ["e"]}),
        ),
        vendor(
            "auth0",
            "https://tenant.eu.auth0.com/",
            Some("JWT"),
            "azp",
            json!({"aud": ["api", "https://tenant.eu.auth0.com/userinfo"], "azp": "app",
                "scope": "read write", "permissions": ["items:delete"], "gty": "password"}),
        ),
        vendor(
            "okta",
            "https://org.okta.com/oauth2/default",
            None,
            "cid",
            json!({"ver": 1, "jti": "AT.1", "aud": "api", "cid": "app", "uid": "00u",
                "scp": ["read", "write"], "groups": ["admin"]}),
        ),
        vendor(
            "entra",
            &format!("https://login.microsoftonline.com/{TENANT}/v2.0"),
            Some("JWT"),
            "azp",
            json!({"aud": "api", "azp": "app", "azpacr": "1", "scp": "read write",
                "roles": ["admin"], "tid": TENANT, "ver": "2.0", "oid": "o", "uti": "u"}),
        ),
        vendor(
            "entra-v1",
            &format!("https://sts.windows.net/{TENANT}/"),
            Some("JWT"),
            "appid",
            json!({"aud": "api", "appid": "app", "appidacr": "1", "scp": "read write",
                "roles": ["admin"], "tid": TENANT, "ver": "1.0", "oid": "o"}),
        ),
        vendor(
            "keycloak",
            "https://sso.example/realms/main",
            Some("JWT"),
            "azp",
            json!({"jti": "1", "aud": ["api", "account"], "typ": "Bearer", "azp": "app",
                "scope": "read write", "realm_access": {"roles": ["admin"]},
                "resource_access": {"api": {"roles": ["clerk"]}, "account": {"roles": ["other"]}}}),
        ),
        vendor(
            "cognito",
            "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_abc",
            None,
            "client_id",
            json!({"client_id": "api", "token_use": "access", "version": 2, "jti": "1",
                "scope": "read write", "username": "u", "cognito:groups": ["admin"]}),
        ),
        vendor(
            "google",
            "https://accounts.google.com",
            Some("JWT"),
            "azp",
            json!({"aud": "api", "azp": "app", "email": "x@y.iam.gserviceaccount.com"}),
        ),
    ]
}

impl Vendor {
    fn world(&self) -> GuardWorld {
        GuardWorld::with(json!({"issuer": self.issuer, "profile": self.profile}))
    }

    fn token(&self, world: &GuardWorld) -> Token {
        let mut token = Token::by(world.net.idps[0].key(), "x");
        match self.typ {
            Some(typ) => token.header.set("typ", json!(typ)),
            None => token.header.remove("typ"),
        };
        token
            .claims
            .set("iss", json!(self.issuer))
            .set("sub", json!("user-1"))
            .set("iat", NOW)
            .set("exp", NOW + 300);
        for (name, value) in self.claims.as_object().unwrap() {
            token.claims.set(name, value);
        }
        token
    }

    /// The code and place for a token of this vendor with one change.
    fn edited(&self, edit: impl FnOnce(&mut Token)) -> (&'static str, String) {
        let mut world = self.world();
        let mut token = self.token(&world);
        edit(&mut token);
        let token = token.sign(world.net.idps[0].key());
        code_at(world.check(&token))
    }
}

fn vendor(name: &str) -> Vendor {
    vendors()
        .into_iter()
        .find(|vendor| vendor.profile == name)
        .unwrap()
}

#[test]
fn each_vendors_token_is_accepted_by_its_own_profile() {
    for vendor in vendors() {
        let mut world = vendor.world();
        let token = vendor.token(&world).sign(world.net.idps[0].key());
        let principal = world.check(&token).unwrap();
        assert_eq!(principal.subject(), Some("user-1"), "{}", vendor.profile);
        let client = if vendor.profile == "cognito" {
            "api"
        } else {
            "app"
        };
        assert_eq!(principal.client_id(), Some(client), "{}", vendor.profile);
        assert!(principal.audience().contains(&"api".into()));
        let scopes: &[&str] = match vendor.profile {
            "google" => &[],
            _ => &["read", "write"],
        };
        assert_eq!(principal.scopes(), scopes, "{}", vendor.profile);
        let roles: &[&str] = match vendor.profile {
            "auth0" | "google" => &[],
            "keycloak" => &["admin", "clerk"],
            _ => &["admin"],
        };
        assert_eq!(principal.roles(), roles, "{}", vendor.profile);
        let permissions: &[&str] = match vendor.profile {
            "auth0" => &["items:delete"],
            _ => &[],
        };
        assert_eq!(principal.permissions(), permissions, "{}", vendor.profile);
    }
}

#[test]
fn a_vendors_token_is_refused_by_rfc_9068() {
    for vendor in vendors().iter().skip(1) {
        let mut world = GuardWorld::with(json!({"issuer": vendor.issuer}));
        let token = vendor.token(&world).sign(world.net.idps[0].key());
        assert_eq!(world.code(&token), "typ_mismatch", "{}", vendor.profile);
        // Known before a key is fetched.
        assert_eq!(world.net.count(Purpose::Keys), 0);
    }
}

#[test]
fn a_token_without_its_client_is_refused_by_every_profile() {
    for vendor in vendors() {
        let (code, _) = vendor.edited(|token| {
            token.claims.remove(vendor.client);
        });
        assert_eq!(code, "claim_missing", "{}", vendor.profile);
        for value in [json!(1), json!(null), json!({}), json!(["app", 1])] {
            let (code, at) = vendor.edited(|token| {
                token.claims.set(vendor.client, &value);
            });
            assert_eq!(code, "claim_invalid", "{} {value}", vendor.profile);
            assert_eq!(at, vendor.client);
        }
    }
}

#[test]
fn every_profile_checks_audience_and_lifetime_and_issuer() {
    for vendor in vendors() {
        let aud = vendor.edited(|token| {
            token.claims.set("aud", json!("other"));
        });
        assert_eq!(aud.0, "audience_mismatch", "{}", vendor.profile);
        let exp = vendor.edited(|token| {
            token.claims.set("exp", NOW - 31).set("iat", NOW - 600);
        });
        assert_eq!(exp.0, "token_expired", "{}", vendor.profile);
        for name in ["sub", "iat", "exp", "iss"] {
            let missing = vendor.edited(|token| {
                token.claims.remove(name);
            });
            assert_eq!(
                missing,
                ("claim_missing", name.into()),
                "{}",
                vendor.profile
            );
        }
    }
}

#[test]
fn a_claim_that_says_which_kind_of_token_it_is_must_say_access_token() {
    for (profile, name, others) in [
        ("cognito", "token_use", ["id", "refresh", "Access"]),
        ("keycloak", "typ", ["ID", "Refresh", "bearer"]),
        ("entra", "ver", ["1.0", "2", "2.0 "]),
        ("entra-v1", "ver", ["2.0", "1", "1.00"]),
    ] {
        for other in others {
            let result = vendor(profile).edited(|token| {
                token.claims.set(name, json!(other));
            });
            assert_eq!(result, ("typ_mismatch", name.into()), "{profile} {other}");
        }
        let missing = vendor(profile).edited(|token| {
            token.claims.remove(name);
        });
        assert_eq!(missing, ("claim_missing", name.into()));
        let wrong = vendor(profile).edited(|token| {
            token.claims.set(name, 2);
        });
        assert_eq!(wrong, ("claim_invalid", name.into()));
    }
}

#[test]
fn an_id_token_of_the_same_issuer_and_audience_is_no_access_token() {
    // For Auth0, Okta and Entra an ID token has no claim for the client beside its audience.
    for profile in ["auth0", "okta", "entra", "entra-v1"] {
        let vendor = vendor(profile);
        let result = vendor.edited(|token| {
            token.claims.remove(vendor.client).set("nonce", json!("n"));
        });
        assert_eq!(result.0, "claim_missing", "{profile}");
    }
}

#[test]
fn a_typ_of_another_kind_is_typ_mismatch() {
    for vendor in vendors() {
        for typ in [
            "id_token+jwt",
            "logout+jwt",
            "dpop+jwt",
            "okta-internal-at+jwt",
            "",
        ] {
            let result = vendor.edited(|token| {
                token.header.set("typ", json!(typ));
            });
            assert_eq!(result.0, "typ_mismatch", "{} {typ}", vendor.profile);
        }
        let without = vendor.edited(|token| {
            token.header.remove("typ");
        });
        let expected = match vendor.typ {
            None => "accepted",
            Some(_) => "typ_mismatch",
        };
        assert_eq!(without.0, expected, "{}", vendor.profile);
    }
}

#[test]
fn auth0_in_its_rfc_9068_dialect_is_accepted_too() {
    let result = vendor("auth0").edited(|token| {
        token.header.set("typ", json!("at+jwt"));
        token.claims.remove("azp").set("client_id", json!("app"));
    });
    assert_eq!(result.0, "accepted");
}

#[test]
fn cognito_has_the_client_in_place_of_an_audience_and_prefers_the_audience() {
    let other = vendor("cognito").edited(|token| {
        token.claims.set("client_id", json!("other"));
    });
    assert_eq!(other.0, "audience_mismatch");
    // Bound to another resource: that the client is right does not help.
    let bound = vendor("cognito").edited(|token| {
        token.claims.set("aud", json!("https://other.example"));
    });
    assert_eq!(bound.0, "audience_mismatch");
    let ours = vendor("cognito").edited(|token| {
        token
            .claims
            .set("aud", json!("api"))
            .set("client_id", json!("other"));
    });
    assert_eq!(ours.0, "accepted");
}

#[test]
fn roles_at_another_client_of_keycloak_do_not_count() {
    let vendor = vendor("keycloak");
    let mut world = vendor.world();
    let token = vendor.token(&world).sign(world.net.idps[0].key());
    assert_eq!(world.check(&token).unwrap().roles(), ["admin", "clerk"]);
    assert_eq!(
        world
            .needing(&token, json!({"roles": "other"}))
            .unwrap_err()
            .error()
            .code(),
        "role_insufficient"
    );
}

#[test]
fn rsr_29_roles_groups_and_entitlements_of_another_type_are_claim_invalid() {
    for name in ["roles", "groups", "entitlements"] {
        for value in [
            json!("admin"),
            json!(1),
            json!(null),
            json!({"admin": true}),
            json!([1]),
            json!(["a", null]),
            json!([["a"]]),
            json!([{"display": "a"}]),
            json!([{"value": 1}]),
        ] {
            let result = vendor("rfc9068").edited(|token| {
                token.claims.set(name, &value);
            });
            assert_eq!(result, ("claim_invalid", name.into()), "{value}");
        }
        for value in [
            json!([]),
            json!(["a"]),
            json!([{"value": "a", "display": "A"}]),
        ] {
            let result = vendor("rfc9068").edited(|token| {
                token.claims.set(name, &value);
            });
            assert_eq!(result.0, "accepted", "{name} {value}");
        }
    }
}

#[test]
fn rsr_29_what_holds_roles_scopes_and_permissions_has_its_vendors_form() {
    for (profile, name, value) in [
        ("okta", "scp", json!("read write")),
        ("okta", "scp", json!(["read", 1])),
        ("entra", "scp", json!(["read"])),
        ("entra", "roles", json!("admin")),
        ("keycloak", "realm_access", json!(["admin"])),
        ("keycloak", "realm_access", json!({"roles": "admin"})),
        ("keycloak", "resource_access", json!({"api": ["admin"]})),
        ("keycloak", "resource_access", json!({"api": {"roles": {}}})),
        ("cognito", "cognito:groups", json!("admin")),
        ("auth0", "permissions", json!("all")),
        ("auth0", "scope", json!(["read"])),
    ] {
        let result = vendor(profile).edited(|token| {
            token.claims.set(name, &value);
        });
        assert_eq!(result, ("claim_invalid", name.into()), "{profile} {value}");
    }
    let absent = vendor("keycloak").edited(|token| {
        token
            .claims
            .remove("realm_access")
            .remove("resource_access");
    });
    assert_eq!(absent.0, "accepted");
}

#[test]
fn each_issuer_may_have_a_profile_of_its_own() {
    let okta = vendor("okta");
    let mut world = GuardWorld::with(json!({
        "issuer": ["https://as.example", okta.issuer],
        "profiles": {(okta.issuer.clone()): "okta"},
    }));
    let now = world.net.now;
    let good = world.net.idps[0]
        .access_token(now)
        .sign(world.net.idps[0].key());
    assert_eq!(world.code(&good), "accepted");
    let token = okta.token(&world).sign(world.net.idps[1].key());
    assert_eq!(world.code(&token), "accepted");
    // Okta's shape at the other issuer, and RFC 9068 at Okta's.
    let mut wrong = okta.token(&world);
    wrong.claims.set("iss", json!("https://as.example"));
    let wrong = wrong.sign(world.net.idps[0].key());
    assert_eq!(world.code(&wrong), "typ_mismatch");
    let wrong = world.net.idps[1]
        .access_token(now)
        .sign(world.net.idps[1].key());
    assert_eq!(
        code_at(world.check(&wrong)),
        ("claim_missing", "cid".into())
    );
}

#[test]
fn a_custom_profile_says_where_everything_stands() {
    let profile = json!({
        "typ": ["JWT", "x+jwt"],
        "required": ["tenant", "iat"],
        "client": ["app", "azp"],
        "audience": "https://x.example/aud",
        "scopes": ["scopes", "scope"],
        "roles": [["auth", "roles"], "https://x.example/roles"],
        "permissions": [["at", "{audience}"]],
    });
    let mut world = GuardWorld::with(json!({"profile": profile}));
    let mut check = |edit: &dyn Fn(&mut Token)| {
        let token = world.edited(|token| {
            token.header.set("typ", json!("JWT"));
            token.claims.remove("aud").remove("client_id").remove("jti");
            token
                .claims
                .set("tenant", json!("t"))
                .set("azp", json!("app-1"))
                .set("https://x.example/aud", json!(["api"]))
                .set("scopes", json!(["admin"]))
                .set("auth", json!({"roles": ["a", "b"]}))
                .set("https://x.example/roles", json!(["b", "c"]))
                .set("at", json!({"api": ["p"], "other": ["q"]}));
            edit(token);
        });
        world.check(&token)
    };
    let principal = check(&|_| {}).unwrap();
    assert_eq!(principal.client_id(), Some("app-1"));
    assert_eq!(principal.audience(), ["api"]);
    assert_eq!(principal.scopes(), ["admin", "read", "write"]);
    assert_eq!(principal.roles(), ["a", "b", "c"]);
    assert_eq!(principal.permissions(), ["p"]);
    let tenant = check(&|token| {
        token.claims.remove("tenant");
    });
    assert_eq!(code_at(tenant), ("claim_missing", "tenant".into()));
    for empty in [json!(null), json!("")] {
        let tenant = check(&|token| {
            token.claims.set("tenant", &empty);
        });
        assert_eq!(code_at(tenant), ("claim_invalid", "tenant".into()));
    }
    let audience = check(&|token| {
        token.claims.remove("https://x.example/aud");
    });
    assert_eq!(
        code_at(audience),
        ("claim_missing", "https://x.example/aud".into())
    );
    let typ = check(&|token| {
        token.header.set("typ", json!("at+jwt"));
    });
    assert_eq!(code(typ), "typ_mismatch");
}

#[test]
fn a_custom_profile_keeps_what_it_does_not_change() {
    let mut world = GuardWorld::with(json!({"profile": {"base": "cognito", "typOptional": false,
        "typ": "JWT"}}));
    let token = vendor("cognito")
        .token(&world)
        .sign(world.net.idps[0].key());
    assert_eq!(world.code(&token), "issuer_mismatch");
    let token = world.edited(|token| {
        token.header.set("typ", json!("JWT"));
    });
    assert_eq!(
        code_at(world.check(&token)),
        ("claim_missing", "token_use".into())
    );
}

// CFG-01, CFG-02.
#[test]
fn cfg_01_02_a_profile_is_known_and_its_members_have_their_types() {
    for (at, profile) in [
        ("profile", json!("Auth0")),
        ("profile", json!("")),
        ("profile", json!(null)),
        ("profile", json!(["auth0"])),
        ("profile", json!({"base": "cognito", "typOptional": false})),
        ("base", json!({"base": "other"})),
        ("base", json!({"base": {}})),
        ("type", json!({"type": "JWT"})),
        ("typ", json!({"typ": []})),
        ("typ", json!({"typ": 1})),
        ("typOptional", json!({"typOptional": "yes"})),
        ("client", json!({"client": []})),
        ("audience", json!({"audience": ""})),
        ("required", json!({"required": [1]})),
        ("scopes", json!({"scopes": [["a", "b"]]})),
        ("roles", json!({"roles": [[]]})),
        ("roles", json!({"roles": [["a", 1]]})),
        ("roles", json!({"roles": ""})),
        ("permissions", json!({"permissions": null})),
    ] {
        let given = json!({"issuer": "https://as.example", "audience": "api", "profile": profile});
        assert_eq!(
            code_at(Guard::from_options(&options(&given))),
            ("config_invalid", at.into()),
            "{profile}"
        );
    }
}

/// The outcome of reading these options of a guard.
fn configured(more: Value) -> (&'static str, String) {
    let mut given = json!({"audience": "api"});
    for (name, value) in more.as_object().unwrap() {
        given[name] = value.clone();
    }
    code_at(Guard::from_options(&options(&given)))
}

const V2: &str = "https://login.microsoftonline.com/{tenantid}/v2.0";

#[test]
fn clm_32_a_template_needs_a_profile_with_tenants_and_their_names() {
    let with = |issuer: &str, profile: &str, tenants: Value| {
        configured(json!({"issuer": issuer, "profile": profile, "tenants": tenants}))
    };
    assert_eq!(with(V2, "entra", json!(TENANT)).0, "accepted");
    assert_eq!(
        with(V2, "entra", json!([TENANT, OTHER_TENANT])).0,
        "accepted"
    );
    for profile in ["rfc9068", "auth0", "keycloak"] {
        assert_eq!(
            with(V2, profile, json!(TENANT)),
            ("config_invalid", "issuer".into())
        );
    }
    for tenants in [
        json!([]),
        json!(null),
        json!("*"),
        json!("common"),
        json!("contoso.onmicrosoft.com"),
        json!(TENANT.to_uppercase().replace('1', "A")),
        json!([TENANT, "x/y"]),
        json!([TENANT, 1]),
    ] {
        assert_eq!(
            with(V2, "entra", tenants.clone()),
            ("config_invalid", "tenants".into()),
            "{tenants}"
        );
    }
    let without = configured(json!({"issuer": V2, "profile": "entra"}));
    assert_eq!(without, ("config_invalid", "tenants".into()));
    let unused = configured(json!({"issuer": "https://as.example", "tenants": TENANT}));
    assert_eq!(unused, ("config_invalid", "tenants".into()));
    let twice = with(V2, "entra", json!([TENANT, TENANT]));
    assert_eq!(twice, ("config_invalid", "issuer".into()));
    let other = configured(json!({"issuer": "https://as.example/{tenant}", "profile": "entra"}));
    assert_eq!(other, ("config_invalid", "issuer".into()));
}

/// A guard for two tenants of Entra, with a provider for each.
fn tenants() -> GuardWorld {
    let mut world = GuardWorld::new();
    let issuer = |tenant| V2.replace("{tenantid}", tenant);
    world.net.idps = [TENANT, OTHER_TENANT]
        .map(|tenant| Idp::new(&issuer(tenant)))
        .into();
    let given = json!({
        "issuer": V2, "profiles": {(V2): "entra"}, "tenants": [TENANT, OTHER_TENANT],
        "audience": "api",
    });
    world.guard = Guard::from_options(&options(&given)).unwrap();
    world
}

fn of_tenant(world: &GuardWorld, issuer: &str, tid: Value) -> String {
    let mut token = vendor("entra").token(world);
    token.claims.set("iss", json!(issuer)).set("tid", tid);
    token.sign(world.net.idps[0].key())
}

#[test]
fn clm_32_a_template_accepts_the_named_tenants_and_no_other() {
    let mut world = tenants();
    let issuer = |tenant: &str| V2.replace("{tenantid}", tenant);
    let good = of_tenant(&world, &issuer(TENANT), json!(TENANT));
    let principal = world.check(&good).unwrap();
    assert_eq!(principal.issuer(), issuer(TENANT));
    assert!(principal.checked().contains(&"tid"));
    world.net.clear();
    for tenant in [
        "22222222-2222-4333-8444-555555555555",
        "{tenantid}",
        "common",
        "organizations",
    ] {
        let token = of_tenant(&world, &issuer(tenant), json!(tenant));
        assert_eq!(world.code(&token), "issuer_mismatch", "{tenant}");
    }
    assert!(world.net.sent.is_empty());
}

#[test]
fn clm_32_the_tokens_tenant_is_the_issuers() {
    let mut world = tenants();
    let issuer = V2.replace("{tenantid}", TENANT);
    for tid in [
        json!(OTHER_TENANT),
        json!("login.microsoftonline.com.evil"),
        json!(&TENANT[..35]),
        json!(TENANT.to_uppercase().replace('1', "A")),
    ] {
        let token = of_tenant(&world, &issuer, tid.clone());
        assert_eq!(
            code_at(world.check(&token)),
            ("issuer_mismatch", "tid".into()),
            "{tid}"
        );
    }
    for tid in [json!(1), json!(""), json!(null)] {
        let token = of_tenant(&world, &issuer, tid);
        assert_eq!(
            code_at(world.check(&token)),
            ("claim_invalid", "tid".into())
        );
    }
    // The same without a template.
    let missing = vendor("entra").edited(|token| {
        token.claims.remove("tid");
    });
    assert_eq!(missing, ("claim_missing", "tid".into()));
    let other = vendor("entra").edited(|token| {
        token.claims.set("tid", json!(OTHER_TENANT));
    });
    assert_eq!(other, ("issuer_mismatch", "tid".into()));
}

#[test]
fn a_profile_for_an_issuer_that_is_not_there_is_config_invalid() {
    for profiles in [
        json!({"https://other.example": "okta"}),
        json!({"https://as.example/": "okta"}),
        json!({"https://as.example": "other"}),
        json!([]),
        json!("okta"),
    ] {
        assert_eq!(
            configured(json!({"issuer": "https://as.example", "profiles": profiles})),
            ("config_invalid", "profiles".into()),
            "{profiles}"
        );
    }
}

#[test]
fn a_thousand_issuers_are_each_found_by_name() {
    let issuer = |number: usize| format!("https://as.example/{}", (number * 7919) % 1000);
    let issuers: Vec<_> = (0..1000).map(issuer).collect();
    let given = json!({"issuer": issuers, "audience": "api"});
    let mut world = GuardWorld::new();
    world.guard = Guard::from_options(&options(&given)).unwrap();
    for number in [0, 1, 499, 500, 998, 999] {
        world.net.idps = vec![Idp::new(&issuer(number))];
        let token = world.good();
        assert_eq!(world.code(&token), "accepted");
    }
    world.net.clear();
    world.net.idps = vec![Idp::new("https://as.example/1000")];
    let token = world.good();
    assert_eq!(world.code(&token), "issuer_mismatch");
    assert!(world.net.sent.is_empty());
}

#[test]
fn a_custom_profile_may_require_nothing_more_and_have_no_scopes() {
    let profile = json!({"required": [], "scopes": []});
    let mut world = GuardWorld::with(json!({"profile": profile}));
    let token = world.edited(|token| {
        token.claims.remove("jti").remove("iat");
    });
    let principal = world.check(&token).unwrap();
    assert!(principal.scopes().is_empty());
    for name in ["typ", "client", "audience"] {
        let given =
            json!({"issuer": "https://as.example", "audience": "api", "profile": {name: []}});
        let refused = code_at(Guard::from_options(&options(&given)));
        assert_eq!(refused, ("config_invalid", name.into()));
    }
}
