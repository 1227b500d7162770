//! The flows of both roles against a provider made of values and a clock of their own.
//!
//! No network, no sleeping, no real clock: every test says what is sent, what is answered and what
//! time it is. A name with an id such as `oid_05` covers that row of the catalogue of attacks. The
//! driver (`support/net.rs`) also fails every test in which a token, a code or a verifier appears
//! in anything that can be printed.

#![cfg(all(
    not(target_arch = "wasm32"),
    feature = "backend",
    feature = "client",
    feature = "guard",
    feature = "rust-crypto"
))]
// Clippy allows these in tests; here the helpers of tests are functions of their own.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]

mod advice;
mod attestation;
mod binding;
mod callback;
mod client_authentication;
mod client_dpop;
mod deviations;
mod device;
mod discovery;
mod dpop;
mod exchange;
mod fedcm;
mod guard_claims;
mod guard_given_keys;
mod guard_header;
mod guard_introspection;
mod guard_introspection_load;
mod guard_introspection_signed;
mod guard_keys;
mod guard_kind;
mod guard_limits;
mod guard_profiles;
mod guard_recall;
mod guard_request;
mod guard_resource;
mod guard_rules;
mod guard_secret;
mod guard_status;
mod guard_structure;
mod guard_userinfo;
mod guard_vendors;
mod id_token;
mod key_cache;
mod key_renewal;
mod leaks;
mod logout_token;
mod machine;
mod misuse;
mod protected_resource;
mod push;
mod refresh;
mod registration;
mod reports;
mod request_object;
mod response_mode;
mod session;
mod shared_keys;
mod sibling;
mod sign_in;
mod sign_in_options;
mod sign_out;
mod signatures;
mod signing;
mod support;
mod userinfo;
