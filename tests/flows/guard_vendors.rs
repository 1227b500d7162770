//! Whole access tokens as vendors document them, claim by claim, and who their bearer is. The values
//! are made up; the shapes are those of the pages that `src/guard/profile.rs` names.

use serde_json::{Value, json};

use crate::support::{GuardWorld, Token};

const TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";

/// What a guard for this issuer, audience and profile says of a token with such header and claims.
fn bearer(profile: &str, audience: &str, header: Value, mut claims: Value) -> Value {
    let issuer = claims["iss"].as_str().unwrap().to_owned();
    let mut world = GuardWorld::with(json!({
        "issuer": issuer, "audience": audience, "profile": profile,
    }));
    let now = world.net.now.seconds();
    for (name, after) in [
        ("iat", -60),
        ("nbf", -60),
        ("auth_time", -90),
        ("exp", 3600),
    ] {
        if claims.get(name).is_some() {
            claims[name] = json!(now + after);
        }
    }
    let key = world.net.idps[0].key().clone();
    let mut token = Token::by(&key, "x");
    token.header.remove("typ");
    for (name, value) in header.as_object().unwrap() {
        token.header.set(name, value);
    }
    for (name, value) in claims.as_object().unwrap() {
        token.claims.set(name, value);
    }
    let principal = match world.check(&token.sign(&key)) {
        Ok(principal) => principal,
        Err(error) => return json!([error.code(), error.at()]),
    };
    json!({
        "subject": principal.subject(),
        "client": principal.client_id(),
        "kind": principal.kind().map(|kind| kind.name()),
        "scopes": principal.scopes(),
        "roles": principal.roles(),
        "permissions": principal.permissions(),
    })
}

#[test]
fn auth0_a_users_token_in_its_own_dialect() {
    let claims = json!({
        "iss": "https://example.eu.auth0.com/",
        "sub": "auth0|5f7c8ec7c33c6c004bbafe82",
        "aud": ["https://api.example.com", "https://example.eu.auth0.com/userinfo"],
        "azp": "my_client_id",
        "exp": 0, "iat": 0,
        "scope": "openid profile read:admin",
        "permissions": ["read:admin", "delete:items"],
    });
    assert_eq!(
        bearer(
            "auth0",
            "https://api.example.com",
            json!({"typ": "JWT"}),
            claims
        ),
        json!({
            "subject": "auth0|5f7c8ec7c33c6c004bbafe82", "client": "my_client_id", "kind": "user",
            "scopes": ["openid", "profile", "read:admin"], "roles": [],
            "permissions": ["read:admin", "delete:items"],
        })
    );
}

#[test]
fn auth0_a_users_token_in_the_dialect_of_rfc_9068() {
    let claims = json!({
        "iss": "https://example.eu.auth0.com/",
        "sub": "auth0|5f7c8ec7c33c6c004bbafe82",
        "aud": ["https://api.example.com", "https://example.eu.auth0.com/userinfo"],
        "client_id": "my_client_id",
        "exp": 0, "iat": 0,
        "jti": "73WakrfVbNJBaAmhQtEeDv",
        "scope": "openid profile read:admin",
    });
    assert_eq!(
        bearer(
            "auth0",
            "https://api.example.com",
            json!({"typ": "at+jwt"}),
            claims
        ),
        json!({
            "subject": "auth0|5f7c8ec7c33c6c004bbafe82", "client": "my_client_id", "kind": "user",
            "scopes": ["openid", "profile", "read:admin"], "roles": [], "permissions": [],
        })
    );
}

#[test]
fn auth0_a_machines_token() {
    let claims = json!({
        "iss": "https://example.eu.auth0.com/",
        "sub": "my_machine@clients",
        "aud": "https://api.example.com",
        "azp": "my_machine",
        "exp": 0, "iat": 0,
        "scope": "read:items",
        "gty": "client-credentials",
    });
    assert_eq!(
        bearer(
            "auth0",
            "https://api.example.com",
            json!({"typ": "JWT"}),
            claims
        ),
        json!({
            "subject": "my_machine@clients", "client": "my_machine", "kind": "client",
            "scopes": ["read:items"], "roles": [], "permissions": [],
        })
    );
}

#[test]
fn okta_a_users_token_of_a_custom_authorization_server() {
    let claims = json!({
        "ver": 1,
        "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
        "iss": "https://example.okta.com/oauth2/default",
        "aud": "api://default",
        "sub": "ada@example.com",
        "iat": 0, "exp": 0, "auth_time": 0,
        "cid": "nmdP1fcyvdVO11AL7ECm",
        "uid": "00ujmkLgagxeRrAg20g3",
        "scp": ["openid", "items.read"],
        "groups": ["Everyone", "Editors"],
    });
    assert_eq!(
        bearer("okta", "api://default", json!({}), claims),
        json!({
            "subject": "ada@example.com", "client": "nmdP1fcyvdVO11AL7ECm", "kind": "user",
            "scopes": ["openid", "items.read"], "roles": ["Everyone", "Editors"],
            "permissions": [],
        })
    );
}

#[test]
fn okta_a_machines_token() {
    let claims = json!({
        "ver": 1,
        "jti": "AT.5Y2zPSJBQ8kPZbm3cBiKhsWvBMpXTQ3aBO4xFBOz0Ds",
        "iss": "https://example.okta.com/oauth2/default",
        "aud": "api://default",
        "sub": "0oa1machine",
        "iat": 0, "exp": 0,
        "cid": "0oa1machine",
        "scp": ["items.read"],
    });
    assert_eq!(
        bearer("okta", "api://default", json!({}), claims),
        json!({
            "subject": "0oa1machine", "client": "0oa1machine", "kind": "client",
            "scopes": ["items.read"], "roles": [], "permissions": [],
        })
    );
}

#[test]
fn entra_a_users_token_of_version_2() {
    let claims = json!({
        "aud": "6e74172b-be56-4843-9ff4-e66a39bb12e3",
        "iss": format!("https://login.microsoftonline.com/{TENANT}/v2.0"),
        "iat": 0, "nbf": 0, "exp": 0,
        "aio": "AXQAi/8IAAAAtAaZLo3ChMif6KOnttRB7eBq4/DccQzjcJGxPYy/C3jDaNGxXd6wNIIVGRghNRnwJ1lOcAnNZcjvkoyrFxCttv33140RioOFJ4bCCGVuoCag1uOTT22222gHwLPYQ/uf79QX+0KIijdrmp69RctzmQ==",
        "azp": "6e74172b-be56-4843-9ff4-e66a39bb12e4",
        "azpacr": "0",
        "name": "Ada Lovelace",
        "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
        "preferred_username": "ada@example.com",
        "rh": "I",
        "roles": ["Items.Edit"],
        "scp": "access_as_user items.read",
        "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
        "tid": TENANT,
        "uti": "fqiBqXLPj0eQa82S-IYFAA",
        "ver": "2.0",
    });
    let audience = "6e74172b-be56-4843-9ff4-e66a39bb12e3";
    assert_eq!(
        bearer("entra", audience, json!({"typ": "JWT"}), claims),
        json!({
            "subject": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
            "client": "6e74172b-be56-4843-9ff4-e66a39bb12e4", "kind": "user",
            "scopes": ["access_as_user", "items.read"], "roles": ["Items.Edit"],
            "permissions": [],
        })
    );
}

#[test]
fn entra_an_applications_token_of_version_2() {
    let claims = json!({
        "aud": "6e74172b-be56-4843-9ff4-e66a39bb12e3",
        "iss": format!("https://login.microsoftonline.com/{TENANT}/v2.0"),
        "iat": 0, "nbf": 0, "exp": 0,
        "aio": "E2ZgYDDZ9bb7",
        "azp": "a1b2c3d4-0000-4000-8000-000000000001",
        "azpacr": "1",
        "oid": "b1b2c3d4-0000-4000-8000-000000000002",
        "rh": "0.AXAA",
        "roles": ["Items.Read.All"],
        "sub": "b1b2c3d4-0000-4000-8000-000000000002",
        "tid": TENANT,
        "uti": "fqiBqXLPj0eQa82S-IYFAA",
        "ver": "2.0",
    });
    let audience = "6e74172b-be56-4843-9ff4-e66a39bb12e3";
    assert_eq!(
        bearer("entra", audience, json!({"typ": "JWT"}), claims),
        json!({
            "subject": "b1b2c3d4-0000-4000-8000-000000000002",
            "client": "a1b2c3d4-0000-4000-8000-000000000001", "kind": "client",
            "scopes": [], "roles": ["Items.Read.All"], "permissions": [],
        })
    );
}

#[test]
fn entra_a_users_token_of_version_1() {
    let claims = json!({
        "aud": "api://items",
        "iss": format!("https://sts.windows.net/{TENANT}/"),
        "iat": 0, "nbf": 0, "exp": 0,
        "acr": "1",
        "aio": "AXQAi/8IAAAA",
        "amr": ["pwd", "mfa"],
        "appid": "75dbe77f-10a3-4e59-85fd-8c127544f17c",
        "appidacr": "0",
        "family_name": "Lovelace",
        "given_name": "Ada",
        "ipaddr": "192.0.2.7",
        "name": "Ada Lovelace",
        "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
        "rh": "I",
        "scp": "user_impersonation",
        "sub": "l3_roISQU222bULS9yi2k0XpqpOiMz5H3ZACo1GeXA",
        "tid": TENANT,
        "unique_name": "ada@example.com",
        "uti": "fqiBqXLPj0eQa82S-IYFAA",
        "ver": "1.0",
    });
    assert_eq!(
        bearer("entra-v1", "api://items", json!({"typ": "JWT"}), claims),
        json!({
            "subject": "l3_roISQU222bULS9yi2k0XpqpOiMz5H3ZACo1GeXA",
            "client": "75dbe77f-10a3-4e59-85fd-8c127544f17c", "kind": "user",
            "scopes": ["user_impersonation"], "roles": [], "permissions": [],
        })
    );
}

#[test]
fn entra_a_token_of_the_other_version_is_typ_mismatch() {
    let claims = |version: &str, issuer: String| {
        json!({
            "aud": "api://items", "iss": issuer, "iat": 0, "exp": 0, "sub": "s", "tid": TENANT,
            "azp": "app", "appid": "app", "scp": "read", "ver": version,
        })
    };
    let v1 = format!("https://sts.windows.net/{TENANT}/");
    let v2 = format!("https://login.microsoftonline.com/{TENANT}/v2.0");
    for (profile, version, issuer) in [("entra", "1.0", v2), ("entra-v1", "2.0", v1)] {
        assert_eq!(
            bearer(
                profile,
                "api://items",
                json!({"typ": "JWT"}),
                claims(version, issuer)
            ),
            json!(["typ_mismatch", "ver"])
        );
    }
}

#[test]
fn keycloak_a_users_token() {
    let claims = json!({
        "exp": 0, "iat": 0, "auth_time": 0,
        "jti": "onrtac:2f1b1d0e-8b7a-4f5d-8a54-0d0e6f9a4c11",
        "iss": "https://sso.example.com/realms/shop",
        "aud": ["shop-api", "account"],
        "sub": "f3a0c1f4-7f43-4d2c-9a51-0b6d1c1a7e55",
        "typ": "Bearer",
        "azp": "shop-web",
        "sid": "0a3a7a0e-30a6-4e33-8ab4-0c7f4b2b4f9f",
        "acr": "1",
        "allowed-origins": ["https://shop.example.com"],
        "realm_access": {"roles": ["default-roles-shop", "offline_access"]},
        "resource_access": {
            "shop-api": {"roles": ["editor"]},
            "account": {"roles": ["manage-account", "view-profile"]},
        },
        "scope": "openid email profile",
        "email_verified": true,
        "name": "Ada Lovelace",
        "preferred_username": "ada",
        "given_name": "Ada",
        "family_name": "Lovelace",
        "email": "ada@example.com",
    });
    assert_eq!(
        bearer("keycloak", "shop-api", json!({"typ": "JWT"}), claims),
        json!({
            "subject": "f3a0c1f4-7f43-4d2c-9a51-0b6d1c1a7e55", "client": "shop-web",
            "kind": "user", "scopes": ["openid", "email", "profile"],
            "roles": ["default-roles-shop", "offline_access", "editor"], "permissions": [],
        })
    );
}

#[test]
fn keycloak_a_token_that_is_bound_to_a_key() {
    let mut claims = json!({
        "exp": 0, "iat": 0,
        "jti": "onrtac:2f1b1d0e-8b7a-4f5d-8a54-0d0e6f9a4c12",
        "iss": "https://sso.example.com/realms/shop",
        "aud": "shop-api",
        "sub": "f3a0c1f4-7f43-4d2c-9a51-0b6d1c1a7e55",
        "typ": "DPoP",
        "azp": "shop-web",
        "cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"},
    });
    // It is an access token, and no good without its proof.
    let shown = |claims: &Value| {
        bearer(
            "keycloak",
            "shop-api",
            json!({"typ": "JWT"}),
            claims.clone(),
        )
    };
    assert_eq!(shown(&claims), json!(["binding_mismatch", "cnf.jkt"]));
    claims.as_object_mut().unwrap().remove("cnf");
    assert_eq!(shown(&claims), json!(["typ_mismatch", "typ"]));
}

#[test]
fn keycloak_a_service_accounts_token() {
    let claims = json!({
        "exp": 0, "iat": 0,
        "jti": "trrtcc:6d0e3a1c-6a3e-4c7f-9e0d-5f1a7b3c9d22",
        "iss": "https://sso.example.com/realms/shop",
        "aud": "shop-api",
        "sub": "9d0f7e56-52a0-4a2b-8f3c-3a2f1a0b9c88",
        "typ": "Bearer",
        "azp": "shop-jobs",
        "acr": "1",
        "resource_access": {"shop-api": {"roles": ["importer"]}},
        "scope": "profile email",
        "clientHost": "192.0.2.7",
        "email_verified": false,
        "preferred_username": "service-account-shop-jobs",
        "clientAddress": "192.0.2.7",
        "client_id": "shop-jobs",
    });
    assert_eq!(
        bearer("keycloak", "shop-api", json!({"typ": "JWT"}), claims),
        json!({
            "subject": "9d0f7e56-52a0-4a2b-8f3c-3a2f1a0b9c88", "client": "shop-jobs",
            "kind": "client", "scopes": ["profile", "email"], "roles": ["importer"],
            "permissions": [],
        })
    );
}

#[test]
fn cognito_a_users_token() {
    let claims = json!({
        "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        "device_key": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeef",
        "cognito:groups": ["admin"],
        "iss": "https://cognito-idp.us-west-2.amazonaws.com/us-west-2_example",
        "version": 2,
        "client_id": "xxxxxxxxxxxxexample",
        "origin_jti": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeee0",
        "event_id": "64f513be-32db-42b0-b78e-b02127b4f463",
        "token_use": "access",
        "scope": "phone openid profile resourceserver.1/appclient2 email",
        "auth_time": 0, "exp": 0, "iat": 0,
        "jti": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeee1",
        "username": "my-test-user",
    });
    assert_eq!(
        bearer("cognito", "xxxxxxxxxxxxexample", json!({}), claims),
        json!({
            "subject": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "client": "xxxxxxxxxxxxexample",
            "kind": "user",
            "scopes": ["phone", "openid", "profile", "resourceserver.1/appclient2", "email"],
            "roles": ["admin"], "permissions": [],
        })
    );
}

#[test]
fn google_a_token_between_services() {
    let claims = json!({
        "aud": "https://items-abc123-ew.a.run.app",
        "azp": "102988888888888888888",
        "email": "caller@project.iam.gserviceaccount.com",
        "email_verified": true,
        "exp": 0, "iat": 0,
        "iss": "https://accounts.google.com",
        "sub": "102988888888888888888",
    });
    assert_eq!(
        bearer(
            "google",
            "https://items-abc123-ew.a.run.app",
            json!({"typ": "JWT"}),
            claims
        ),
        json!({
            "subject": "102988888888888888888", "client": "102988888888888888888",
            "kind": "client", "scopes": [], "roles": [], "permissions": [],
        })
    );
}
