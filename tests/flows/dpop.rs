//! Proofs of possession at the resource server (RFC 9449).

use gatepass::ErrorKind;
use gatepass::guard::{BearerToken, Check, Guard, Need, RequestFacts};
use serde_json::{Value, json};

use crate::support::{DpopWorld, GuardWorld, Key, base64url, code_at, options, thumbprint};

/// What a proof is refused with at this place.
fn invalid(at: &str) -> (&'static str, String) {
    ("dpop_invalid", at.to_owned())
}

fn accepted() -> (&'static str, String) {
    ("accepted", String::new())
}

#[test]
fn a_bound_token_with_its_proof_is_accepted() {
    let mut world = DpopWorld::new();
    let token = world.bound();
    let proof = world.proof(&token).sign(&world.key);
    let principal = world.send(&token, Some(&proof)).unwrap();
    assert_eq!(principal.subject(), Some("user-1"));
    let checked = principal.checked();
    assert_eq!(
        checked[checked.len() - 3..],
        ["cnf.jkt", "dpop", "dpop jti"]
    );
}

#[test]
fn dpp_01_a_bound_token_under_bearer_is_refused_in_every_mode() {
    for mode in ["off", "accept"] {
        let mut world = DpopWorld::with(json!({"dpop": mode}));
        let token = world.bound();
        let proof = world.proof(&token).sign(&world.key);
        world.scheme = "Bearer";
        // With its proof too: the scheme says whether one is looked at.
        for proof in [None, Some(proof.as_str())] {
            let refusal = world.send(&token, proof).unwrap_err();
            assert_eq!(refusal.error().code(), "binding_mismatch", "{mode}");
            assert_eq!(refusal.status(), 401);
            let challenge = refusal.challenge().unwrap();
            assert!(challenge.starts_with("Bearer error=\"invalid_token\""));
            assert_eq!(challenge.contains(", DPoP algs=\""), mode == "accept");
        }
        // Also where the program hands the token over.
        assert_eq!(world.world.code(&token), "binding_mismatch");
        assert_eq!(world.world.code(&world.world.good()), "accepted");
    }
}

#[test]
fn dpp_02_an_unbound_token_under_dpop_is_refused() {
    let mut world = DpopWorld::new();
    let token = world.world.good();
    let proof = world.proof(&token).sign(&world.key);
    let refusal = world.send(&token, Some(&proof)).unwrap_err();
    assert_eq!(refusal.error().code(), "binding_mismatch");
    assert_eq!(refusal.status(), 401);
    let challenge = refusal.challenge().unwrap();
    assert!(challenge.starts_with("DPoP error=\"invalid_token\""));
    assert!(challenge.contains("algs=\""));
    // The same token under Bearer is fine.
    world.scheme = "Bearer";
    assert!(world.send(&token, None).is_ok());
}

#[test]
fn dpp_03_a_missing_proof_is_refused() {
    let mut world = DpopWorld::new();
    let token = world.bound();
    let refusal = world.send(&token, None).unwrap_err();
    assert_eq!(code_at::<()>(Err(refusal.error().clone())), invalid("DPoP"));
    assert_eq!(refusal.status(), 401);
    let challenge = refusal.challenge().unwrap();
    assert!(challenge.starts_with("DPoP error=\"invalid_dpop_proof\", algs=\""));
    assert!(!challenge.contains("Bearer"));
    assert!(world.world.net.sent.is_empty());
}

#[test]
fn dpp_04_more_than_one_proof_is_refused() {
    let mut world = DpopWorld::new();
    let token = world.bound();
    let proof = world.proof(&token).sign(&world.key);
    assert_eq!(
        world.code(Some(&format!("{proof}, {proof}"))),
        invalid("DPoP")
    );
    assert_eq!(world.code(Some(&format!("{proof},"))), invalid("DPoP"));
    assert_eq!(world.code(Some(&proof)), accepted());
}

#[test]
fn dpp_05_what_is_no_signed_token_is_no_proof() {
    let mut world = DpopWorld::new();
    let token = world.bound();
    let proof = world.proof(&token).sign(&world.key);
    let (start, _) = proof.rsplit_once('.').unwrap();
    let long = format!("{}.e30.AA", "a".repeat(9000));
    for value in ["", "x", start, "a.b.c.d.e", "e30.e30", "!.e30.AA", &long] {
        assert_eq!(world.code(Some(value)), invalid("DPoP"), "{value}");
    }
    assert_eq!(
        world.edited(|proof| proof.raw_payload = Some(b"[]".to_vec())),
        invalid("DPoP")
    );
    assert_eq!(
        world.edited(|proof| {
            proof.claims.add("jti", json!("twice"));
        }),
        invalid("DPoP")
    );
}

#[test]
fn dpp_06_another_type_is_no_proof() {
    let mut world = DpopWorld::new();
    for typ in [json!("JWT"), json!("at+jwt"), json!("dpop"), json!("")] {
        let refused = world.edited(|proof| {
            proof.header.set("typ", &typ);
        });
        assert_eq!(refused, invalid("typ"), "{typ}");
    }
    let refused = world.edited(|proof| {
        proof.header.remove("typ");
    });
    assert_eq!(refused, invalid("typ"));
    // Its case does not matter (RFC 7515 section 4.1.9).
    let accepted_case = world.edited(|proof| {
        proof.header.set("typ", json!("DPoP+JWT"));
    });
    assert_eq!(accepted_case, accepted());
}

#[test]
fn dpp_07_algorithms_off_the_list_are_refused() {
    let mut world = DpopWorld::with(json!({"dpop": "accept", "dpopAlgorithms": "EdDSA"}));
    assert_eq!(world.edited(|_| {}), invalid("alg"));
    let mut world = DpopWorld::new();
    for alg in ["none", "HS256", "ES256K", "es256"] {
        let refused = world.edited(|proof| {
            proof.header.set("alg", json!(alg));
        });
        assert_eq!(refused, invalid("alg"), "{alg}");
    }
    // The algorithms of tokens are another list.
    let mut world = DpopWorld::with(json!({"dpop": "accept", "dpopAlgorithms": "ES256"}));
    assert_eq!(world.edited(|_| {}), accepted());
}

#[test]
fn dpp_08_a_key_that_is_missing_private_or_symmetric_is_refused() {
    let mut world = DpopWorld::new();
    let private = {
        let mut jwk = world.key.bare_jwk();
        jwk["d"] = json!("AQ");
        jwk
    };
    let symmetric = json!({"kty": "oct", "k": "AQ"});
    for jwk in [
        private,
        symmetric,
        json!({}),
        json!("x"),
        json!(null),
        json!([]),
    ] {
        let refused = world.edited(|proof| {
            proof.header.set("jwk", &jwk);
        });
        assert_eq!(refused, invalid("jwk"), "{jwk}");
    }
    let refused = world.edited(|proof| {
        proof.header.remove("jwk");
    });
    assert_eq!(refused, invalid("jwk"));
    // A key of another kind than alg.
    let refused = world.edited(|proof| {
        proof.header.set("alg", json!("ES384"));
    });
    assert_eq!(refused, invalid("jwk"));
}

#[test]
fn dpp_09_a_signature_by_another_key_is_refused() {
    let mut world = DpopWorld::new();
    let token = world.bound();
    let other = Key::new("other", "ES256", 78);
    let proof = world.proof(&token).sign(&other);
    assert_eq!(world.code(Some(&proof)), invalid("signature"));
    let proof = world.proof(&token).with_signature([7; 63]);
    assert_eq!(world.code(Some(&proof)), invalid("signature"));
    let proof = world.proof(&token).with_signature([]);
    assert_eq!(world.code(Some(&proof)), invalid("signature"));
}

/// The code for a proof with this key, and with a token that is bound to it as far as anyone knows.
fn with_key(alg: &str, jwk: &Value, signature: usize) -> (&'static str, String) {
    let mut world = DpopWorld::new();
    let token = world.bound();
    let mut proof = world.proof(&token);
    proof.header.set("alg", json!(alg)).set("jwk", jwk);
    let proof = proof.with_signature(vec![0; signature]);
    world.code(Some(&proof))
}

#[test]
fn dpp_10_weak_keys_are_refused() {
    let rsa = |bytes: usize, e: &str| {
        let modulus = vec![0xff; bytes];
        json!({"kty": "RSA", "n": base64url(modulus), "e": e})
    };
    assert_eq!(with_key("RS256", &rsa(128, "AQAB"), 128), invalid("jwk"));
    assert_eq!(with_key("RS256", &rsa(256, "AQ"), 256), invalid("jwk"));
    assert_eq!(with_key("RS256", &rsa(256, "Aw"), 256), invalid("jwk"));
    let point = json!({"kty": "OKP", "crv": "Ed25519", "x": base64url([0; 32])});
    assert_eq!(with_key("EdDSA", &point, 64), invalid("jwk"));
}

#[test]
fn dpp_10_a_point_off_its_curve_is_refused() {
    let mut world = DpopWorld::new();
    let mut jwk = world.key.bare_jwk();
    jwk["y"] = jwk["x"].clone();
    let (x, y) = (jwk["x"].to_string(), jwk["y"].to_string());
    let text = format!(r#"{{"crv":"P-256","kty":"EC","x":{x},"y":{y}}}"#);
    use sha2::Digest as _;
    let token = world.confirmed(json!({"jkt": base64url(sha2::Sha256::digest(text))}));
    let mut proof = world.proof(&token);
    proof.header.set("jwk", &jwk);
    let proof = proof.sign(&world.key);
    let refusal = world.send(&token, Some(&proof)).unwrap_err();
    assert_eq!(refusal.error().code(), "dpop_invalid");
}

#[test]
fn dpp_10_a_key_that_the_host_refuses_is_the_proofs_fault() {
    use gatepass::flow::{Event, Flow as _};
    let mut world = DpopWorld::new();
    let mut flow = up_to_the_proof(&mut world);
    let now = world.world.net.now;
    let error = flow
        .step(
            &mut world.world.guard,
            now,
            Event::CheckFailed(ErrorKind::KeyUnsuitable.into()),
        )
        .err()
        .unwrap();
    assert_eq!((error.kind(), error.at()), (ErrorKind::DpopInvalid, "jwk"));
}

/// A check of a good request up to where it waits for the signature of its proof.
fn up_to_the_proof(world: &mut DpopWorld) -> Check {
    use gatepass::flow::{Event, Flow as _, Step};
    // The issuer's keys are fetched with the first check.
    assert_eq!(world.edited(|_| {}), accepted());
    let token = world.bound();
    let proof = world.proof(&token).sign(&world.key);
    let facts = RequestFacts::read(Some(&format!("DPoP {token}")))
        .at("GET", &world.url)
        .with_dpop(&proof);
    let guard = &mut world.world.guard;
    let now = world.world.net.now;
    let mut flow = Check::new(guard, facts, &Need::nothing());
    assert!(matches!(
        flow.step(guard, now, Event::Start),
        Ok(Step::Verify(_))
    ));
    let step = flow.step(guard, now, Event::Signature(true));
    assert!(matches!(step, Ok(Step::Verify(_))));
    flow
}

#[test]
fn events_that_do_not_fit_a_proof_are_misuse() {
    use gatepass::flow::{Event, Flow as _, Step};
    use gatepass::http::Unreachable;
    let mut world = DpopWorld::new();
    world.world.net.replay_store = Some(true);
    world.world.guard.remember_proofs_elsewhere();
    let now = world.world.net.now;
    let unfit = [
        || Event::Start,
        || Event::Remembered(Some(true)),
        || Event::Unreachable(Unreachable::Network),
    ];
    for event in unfit {
        let mut flow = up_to_the_proof(&mut world);
        let error = flow.step(&mut world.world.guard, now, event());
        assert_eq!(error.err().unwrap().code(), "flow_misused");
    }
    let unfit = [
        || Event::Start,
        || Event::Signature(true),
        || Event::CheckFailed(ErrorKind::KeyUnsuitable.into()),
        || Event::Unreachable(Unreachable::Network),
    ];
    for event in unfit {
        let mut flow = up_to_the_proof(&mut world);
        let guard = &mut world.world.guard;
        let step = flow.step(guard, now, Event::Signature(true));
        assert!(matches!(step, Ok(Step::Remember(_))));
        let error = flow.step(guard, now, event());
        assert_eq!(error.err().unwrap().code(), "flow_misused");
    }
}

#[test]
fn a_bound_token_has_no_verdict() {
    use gatepass::flow::{Event, Flow as _, Step};
    let mut world = DpopWorld::new();
    let mut flow = up_to_the_proof(&mut world);
    let now = world.world.net.now;
    let step = flow.step(&mut world.world.guard, now, Event::Signature(true));
    assert!(matches!(step, Ok(Step::Done(_))));
    assert!(flow.verdict().is_none());
}

#[test]
fn dpp_11_another_method_is_refused() {
    let mut world = DpopWorld::new();
    for method in ["get", "POST", "Get", "", "GET "] {
        let refused = world.claims(|claims| {
            claims.set("htm", json!(method));
        });
        assert_eq!(refused, invalid("htm"), "{method}");
    }
    for value in [json!(null), json!(1)] {
        let refused = world.claims(|claims| {
            claims.set("htm", &value);
        });
        assert_eq!(refused, invalid("htm"));
    }
    let refused = world.claims(|claims| {
        claims.remove("htm");
    });
    assert_eq!(refused, invalid("htm"));
    world.method = "POST";
    let post = world.claims(|claims| {
        claims.set("htm", json!("POST"));
    });
    assert_eq!(post, accepted());
}

#[test]
fn dpp_12_another_target_is_refused() {
    let mut world = DpopWorld::new();
    for htu in [
        json!("https://evil.example/items"),
        json!("https://api.example/other"),
        json!("http://api.example/items"),
        json!("https://api.example:8443/items"),
        json!("https://api.example/items/"),
        json!("/items"),
        json!("api.example/items"),
        json!(""),
        json!(1),
        json!(null),
    ] {
        let refused = world.claims(|claims| {
            claims.set("htu", &htu);
        });
        assert_eq!(refused, invalid("htu"), "{htu}");
    }
    let refused = world.claims(|claims| {
        claims.remove("htu");
    });
    assert_eq!(refused, invalid("htu"));
}

#[test]
fn dpp_13_query_and_fragment_are_ignored_on_both_sides() {
    let mut world = DpopWorld::new();
    world.url = "https://api.example/items?page=2#top".into();
    assert_eq!(world.edited(|_| {}), accepted());
    let both = world.claims(|claims| {
        claims.set("htu", json!("https://api.example/items?x=1#y"));
    });
    assert_eq!(both, accepted());
}

#[test]
fn dpp_14_another_spelling_of_the_target_is_the_target() {
    let mut world = DpopWorld::new();
    for htu in [
        "https://api.example:443/items",
        "https://API.EXAMPLE/items",
        "HTTPS://api.example/items",
        "https://api.example/%69tems",
        "https://api.example/a/../items",
        "https://api.example/./items",
    ] {
        let outcome = world.claims(|claims| {
            claims.set("htu", json!(htu));
        });
        assert_eq!(outcome, accepted(), "{htu}");
    }
}

#[test]
fn dpp_15_the_public_origin_replaces_the_one_behind_a_proxy() {
    let mut world = DpopWorld::with(json!({
        "dpop": "accept",
        "publicOrigin": "https://api.example",
    }));
    world.url = "http://10.0.0.7:8080/items?x".into();
    assert_eq!(world.edited(|_| {}), accepted());
    // What the server itself sees is nobody's target then.
    let inner = world.claims(|claims| {
        claims.set("htu", json!("http://10.0.0.7:8080/items"));
    });
    assert_eq!(inner, invalid("htu"));
    // Without it the origin of the request counts.
    let mut world = DpopWorld::new();
    world.url = "http://10.0.0.7:8080/items".into();
    assert_eq!(world.edited(|_| {}), invalid("htu"));
}

#[test]
fn dpp_16_a_proof_is_for_now() {
    let mut world = DpopWorld::new();
    let now = world.world.net.now.seconds();
    let mut at = |iat: Value| {
        world.claims(|claims| {
            claims.set("iat", iat);
        })
    };
    // 60 seconds and the tolerance of 30.
    assert_eq!(at(json!(now - 90)), accepted());
    assert_eq!(at(json!(now - 91)), invalid("iat"));
    assert_eq!(at(json!(now + 30)), accepted());
    assert_eq!(at(json!(now + 31)), invalid("iat"));
    for iat in [
        json!(now + 3600),
        json!(now.to_string()),
        json!(null),
        json!(-1),
        json!(0),
    ] {
        assert_eq!(at(iat.clone()), invalid("iat"), "{iat}");
    }
    let missing = world.claims(|claims| {
        claims.remove("iat");
    });
    assert_eq!(missing, invalid("iat"));
}

#[test]
fn dpp_17_a_jti_has_1_to_256_bytes() {
    let mut world = DpopWorld::new();
    let mut with = |jti: Value| {
        world.claims(|claims| {
            claims.set("jti", jti);
        })
    };
    for jti in [json!(""), json!("j".repeat(257)), json!(1), json!(null)] {
        assert_eq!(with(jti), invalid("jti"));
    }
    assert_eq!(with(json!("j".repeat(256))), accepted());
    assert_eq!(with(json!("j")), accepted());
    let missing = world.claims(|claims| {
        claims.remove("jti");
    });
    assert_eq!(missing, invalid("jti"));
}

#[test]
fn dpp_18_a_proof_is_good_once() {
    let mut world = DpopWorld::new();
    let token = world.bound();
    let proof = world.proof(&token).sign(&world.key);
    assert!(world.send(&token, Some(&proof)).is_ok());
    world.world.net.pass(60);
    let refusal = world.send(&token, Some(&proof)).unwrap_err();
    assert_eq!(refusal.error().code(), "dpop_replayed");
    assert_eq!(refusal.status(), 401);
    let challenge = refusal.challenge().unwrap();
    assert!(challenge.starts_with("DPoP error=\"invalid_dpop_proof\""));
    // Up to its last moment; then it is too old.
    world.world.net.pass(30);
    let refusal = world.send(&token, Some(&proof)).unwrap_err();
    assert_eq!(refusal.error().code(), "dpop_replayed");
    world.world.net.pass(1);
    let refusal = world.send(&token, Some(&proof)).unwrap_err();
    assert_eq!(refusal.error().code(), "dpop_invalid");
}

#[test]
fn dpp_18_a_jti_is_used_up_per_key() {
    let mut world = DpopWorld::new();
    let same = |world: &mut DpopWorld| {
        world.claims(|claims| {
            claims.set("jti", json!("same"));
        })
    };
    assert_eq!(same(&mut world), accepted());
    assert_eq!(same(&mut world).0, "dpop_replayed");
    // Nobody can use up the jti of someone else.
    world.key = Key::new("second", "ES256", 79);
    assert_eq!(same(&mut world), accepted());
}

#[test]
fn dpp_18_only_good_proofs_of_good_tokens_are_remembered() {
    let mut world = DpopWorld::new();
    let token = world.bound();
    let proof = world.proof(&token);
    let forged = proof.sign(&Key::new("other", "ES256", 78));
    assert_eq!(world.code(Some(&forged)), invalid("signature"));
    // The forgery has not used up the jti.
    assert_eq!(world.code(Some(&proof.sign(&world.key))), accepted());
}

#[test]
fn dpp_20_two_guards_do_not_know_each_others_proofs() {
    // As two isolates at the edge: a nonce or a shared store is what helps there.
    let mut first = DpopWorld::new();
    let token = first.bound();
    let proof = first.proof(&token).sign(&first.key);
    assert!(first.send(&token, Some(&proof)).is_ok());
    let mut second = DpopWorld::new();
    assert!(second.send(&token, Some(&proof)).is_ok());
    assert!(second.send(&token, Some(&proof)).is_err());
}

#[test]
fn dpp_20_someone_else_may_remember_proofs() {
    let mut world = DpopWorld::new();
    world.world.guard.remember_proofs_elsewhere();
    world.world.net.replay_store = Some(true);
    assert_eq!(world.edited(|_| {}), accepted());
    assert_eq!(world.edited(|_| {}), accepted());
    let uses = world.world.net.remembered.clone();
    assert_eq!(uses.len(), 2);
    assert_ne!(uses[0].key, uses[1].key);
    assert_eq!(uses[0].key.len(), 22);
    assert_eq!(uses[0].lifetime.whole_seconds(), 90);
    world.world.net.replay_store = Some(false);
    assert_eq!(world.edited(|_| {}).0, "dpop_replayed");
}

#[test]
fn dpp_20_a_store_that_does_not_answer_refuses() {
    let mut world = DpopWorld::new();
    world.world.guard.remember_proofs_elsewhere();
    world.world.net.replay_store = None;
    let token = world.bound();
    let proof = world.proof(&token).sign(&world.key);
    let refusal = world.send(&token, Some(&proof)).unwrap_err();
    assert_eq!(refusal.error().code(), "replay_store_unavailable");
    assert_eq!((refusal.status(), refusal.challenge()), (503, None));
}

#[test]
fn dpp_21_the_hash_of_the_token_is_there_and_right() {
    let mut world = DpopWorld::new();
    let token = world.bound();
    let other = world.proof("other").claims.text("ath").unwrap();
    let right = world.proof(&token).claims.text("ath").unwrap();
    for ath in [
        json!(other),
        json!(right.clone() + "="),
        json!(right.to_lowercase()),
        json!("not base64url!"),
        json!(""),
        json!(1),
        json!(null),
    ] {
        let refused = world.claims(|claims| {
            claims.set("ath", &ath);
        });
        assert_eq!(refused, invalid("ath"), "{ath}");
    }
    let missing = world.claims(|claims| {
        claims.remove("ath");
    });
    assert_eq!(missing, invalid("ath"));
}

#[test]
fn dpp_22_a_token_bound_to_another_key_is_refused() {
    let mut world = DpopWorld::new();
    let token = world.confirmed(json!({"jkt": thumbprint(&Key::new("x", "ES256", 80))}));
    let proof = world.proof(&token).sign(&world.key);
    let refusal = world.send(&token, Some(&proof)).unwrap_err();
    assert_eq!(refusal.error().code(), "binding_mismatch");
    assert_eq!(refusal.error().at(), "cnf.jkt");
    let challenge = refusal.challenge().unwrap();
    assert!(challenge.starts_with("DPoP error=\"invalid_token\""));
}

#[test]
fn dpp_23_the_thumbprint_is_compared_letter_by_letter() {
    let mut world = DpopWorld::new();
    let jkt = thumbprint(&world.key);
    for other in [
        jkt.clone() + "=",
        jkt.to_lowercase(),
        format!(" {jkt}"),
        jkt[..42].to_owned(),
        String::new(),
    ] {
        let token = world.confirmed(json!({"jkt": other}));
        let proof = world.proof(&token).sign(&world.key);
        let refusal = world.send(&token, Some(&proof)).unwrap_err();
        assert_eq!(refusal.error().code(), "binding_mismatch", "{other}");
    }
    for jkt in [json!(null), json!(1), json!([jkt])] {
        let token = world.confirmed(json!({"jkt": jkt}));
        let proof = world.proof(&token).sign(&world.key);
        let refusal = world.send(&token, Some(&proof)).unwrap_err();
        assert_eq!(refusal.error().code(), "claim_invalid");
    }
}

#[test]
fn dpp_24_the_scheme_is_compared_without_case() {
    let mut world = DpopWorld::new();
    for scheme in ["DPoP", "dpop", "DPOP", "dPoP"] {
        world.scheme = scheme;
        assert_eq!(world.edited(|_| {}), accepted(), "{scheme}");
    }
    for header in ["DPoP", "DPoP ", "DPoP  x", "DPoP\tx", "dpop x y"] {
        let facts = RequestFacts::read(Some(header));
        let mut flow = Check::new(&world.world.guard, facts, &Need::nothing());
        let error = world
            .world
            .net
            .run(&mut flow, &mut world.world.guard)
            .unwrap_err();
        assert_eq!(error.code(), "request_invalid", "{header}");
        let refusal = flow.refusal(&world.world.guard, error);
        assert_eq!(refusal.status(), 400);
    }
}

/// A guard that wants nonces.
fn with_nonces() -> DpopWorld {
    let mut world = DpopWorld::with(json!({"dpop": "accept", "dpopNonce": true}));
    assert!(world.world.guard.lacks_nonce_key());
    world.world.guard.give_nonce_key([7; 32]);
    assert!(!world.world.guard.lacks_nonce_key());
    world
}

/// The outcome of a proof with this nonce.
fn with_nonce(world: &mut DpopWorld, nonce: Option<&str>) -> &'static str {
    let outcome = world.claims(|claims| {
        if let Some(nonce) = nonce {
            claims.set("nonce", json!(nonce));
        }
    });
    outcome.0
}

#[test]
fn dpp_25_a_proof_without_a_fresh_nonce_is_told_one() {
    let mut world = with_nonces();
    let token = world.bound();
    let proof = world.proof(&token).sign(&world.key);
    let refusal = world.send(&token, Some(&proof)).unwrap_err();
    assert_eq!(refusal.error().code(), "use_dpop_nonce");
    assert_eq!(refusal.status(), 401);
    let challenge = refusal.challenge().unwrap();
    assert!(challenge.starts_with("DPoP error=\"use_dpop_nonce\", algs=\""));
    let nonce = refusal.dpop_nonce().unwrap().to_owned();
    assert!(world.world.net.sent.is_empty());
    assert_eq!(with_nonce(&mut world, Some("wrong")), "use_dpop_nonce");
    assert_eq!(with_nonce(&mut world, Some("")), "use_dpop_nonce");
    assert_eq!(with_nonce(&mut world, Some(&nonce)), "accepted");
    // It is good more than once, and the client that has it is told nothing new.
    assert_eq!(with_nonce(&mut world, Some(&nonce)), "accepted");
    assert_eq!(world.nonce, None);
}

#[test]
fn dpp_25_a_nonce_is_good_in_two_windows() {
    let mut world = with_nonces();
    assert_eq!(with_nonce(&mut world, None), "use_dpop_nonce");
    let nonce = world.nonce.clone().unwrap();
    // Windows begin at multiples of 120 seconds, and so does this world's time.
    world.world.net.pass(119);
    assert_eq!(with_nonce(&mut world, Some(&nonce)), "accepted");
    assert_eq!(world.nonce, None);
    world.world.net.pass(1);
    assert_eq!(with_nonce(&mut world, Some(&nonce)), "accepted");
    // The client of an accepted request learns the next one.
    let next = world.nonce.clone().unwrap();
    assert_ne!(next, nonce);
    world.world.net.pass(120);
    assert_eq!(with_nonce(&mut world, Some(&nonce)), "use_dpop_nonce");
    assert_eq!(with_nonce(&mut world, Some(&next)), "accepted");
}

#[test]
fn dpp_25_nonces_of_one_secret_are_good_everywhere_and_of_another_nowhere() {
    let secret = |fill: &str| json!({"dpop": "accept", "dpopNonce": fill.repeat(32)});
    let mut first = DpopWorld::with(secret("a"));
    assert!(!first.world.guard.lacks_nonce_key());
    assert_eq!(with_nonce(&mut first, None), "use_dpop_nonce");
    let nonce = first.nonce.clone().unwrap();
    let mut second = DpopWorld::with(secret("a"));
    assert_eq!(with_nonce(&mut second, Some(&nonce)), "accepted");
    let mut third = DpopWorld::with(secret("b"));
    assert_eq!(with_nonce(&mut third, Some(&nonce)), "use_dpop_nonce");
}

#[test]
fn dpp_25_a_nonce_of_the_wrong_type_is_malformed() {
    let mut world = with_nonces();
    for nonce in [json!(1), json!(null), json!([])] {
        let refused = world.claims(|claims| {
            claims.set("nonce", nonce);
        });
        assert_eq!(refused, invalid("nonce"));
    }
}

#[test]
fn nonces_without_a_key_are_a_fault_of_the_program() {
    let mut world = DpopWorld::with(json!({"dpop": "accept", "dpopNonce": true}));
    assert_eq!(with_nonce(&mut world, None), "config_invalid");
}

#[test]
fn a_request_without_credentials_is_told_every_scheme_that_is_accepted() {
    for (mode, expected) in [
        ("off", "Bearer"),
        ("accept", "Bearer, DPoP algs=\"ES256\""),
        ("require", "DPoP algs=\"ES256\""),
    ] {
        let mut world = DpopWorld::with(json!({"dpop": mode, "dpopAlgorithms": "ES256"}));
        let facts = RequestFacts::read(None);
        let mut flow = Check::new(&world.world.guard, facts, &Need::nothing());
        let error = world
            .world
            .net
            .run(&mut flow, &mut world.world.guard)
            .unwrap_err();
        assert_eq!(error.code(), "credential_missing");
        let refusal = flow.refusal(&world.world.guard, error);
        assert_eq!(refusal.challenge(), Some(expected));
    }
}

#[test]
fn where_dpop_is_off_its_scheme_is_no_credential() {
    let mut world = DpopWorld::with(json!({}));
    assert_eq!(world.edited(|_| {}).0, "credential_missing");
}

#[test]
fn where_dpop_is_required_bearer_is_no_credential() {
    let mut world = DpopWorld::with(json!({"dpop": "require"}));
    assert_eq!(world.edited(|_| {}), accepted());
    world.scheme = "Bearer";
    let token = world.world.good();
    let refusal = world.send(&token, None).unwrap_err();
    assert_eq!(refusal.error().code(), "credential_missing");
    // Nor is a token that is bound to nothing, wherever it comes from.
    let token = Ok(BearerToken::new(&token));
    let mut flow = Check::new(&world.world.guard, token, &Need::nothing());
    let error = world.world.net.run(&mut flow, &mut world.world.guard);
    assert_eq!(error.unwrap_err().code(), "binding_mismatch");
}

#[test]
fn a_missing_scope_is_told_in_the_scheme_of_the_request() {
    let mut world = DpopWorld::with(json!({"dpop": "accept", "dpopAlgorithms": "ES256"}));
    let token = world.bound();
    let proof = world.proof(&token).sign(&world.key);
    let need = Need::of_scopes(["admin"]).unwrap();
    let refusal = world.send_needing(&token, Some(&proof), &need).unwrap_err();
    assert_eq!(refusal.status(), 403);
    assert_eq!(
        refusal.challenge(),
        Some("DPoP error=\"insufficient_scope\", scope=\"admin\", algs=\"ES256\"")
    );
}

#[test]
fn a_target_that_no_proof_can_be_about_is_the_clients_fault() {
    let mut world = DpopWorld::new();
    for url in [
        format!("https://api.example/{}", "x".repeat(9000)),
        "https://user@api.example/items".into(),
        "https://".into(),
    ] {
        world.url = url;
        assert_eq!(world.edited(|_| {}), ("dpop_invalid", "htu".to_owned()));
    }
}

#[test]
fn a_guard_that_is_not_told_the_target_says_so() {
    let mut world = DpopWorld::new();
    for url in ["", "/items"] {
        world.url = url.into();
        assert_eq!(world.edited(|_| {}), ("config_invalid", "url".to_owned()));
        // But for a request without a proof, which is refused wherever it goes.
        assert_eq!(world.code(None), invalid("DPoP"));
    }
}

#[test]
fn options_of_the_wrong_type_are_refused_by_name() {
    for (name, value) in [
        ("dpop", json!(true)),
        ("dpop", json!("yes")),
        ("dpop", json!("Accept")),
        ("dpop", json!(null)),
        ("dpopAlgorithms", json!(["HS256"])),
        ("dpopAlgorithms", json!([])),
        ("dpopNonce", json!("short")),
        ("dpopNonce", json!(1)),
        ("publicOrigin", json!("api.example")),
        ("publicOrigin", json!("https://api.example/v1")),
        ("publicOrigin", json!(true)),
    ] {
        let mut given = json!({"issuer": "https://as.example", "audience": "api"});
        given["dpop"] = json!("accept");
        given[name] = value.clone();
        let error = Guard::from_options(&options(&given)).err().unwrap();
        assert_eq!(
            (error.code(), error.at()),
            ("config_invalid", name),
            "{value}"
        );
    }
    // Nonces without proofs would be a check that never runs.
    let given = json!({"issuer": "https://as.example", "audience": "api", "dpopNonce": true});
    let error = Guard::from_options(&options(&given)).err().unwrap();
    assert_eq!((error.code(), error.at()), ("config_invalid", "dpopNonce"));
}

#[test]
fn the_secret_of_nonces_is_never_printed() {
    let secret = "a very long secret of this service";
    let world = GuardWorld::with(json!({"dpop": "accept", "dpopNonce": secret}));
    assert!(!format!("{:?}", world.guard).contains("very long"));
}
