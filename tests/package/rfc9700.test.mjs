// The rules of RFC 9700 (Best Current Practice for OAuth 2.0 Security) that are a client's to keep, or
// ours where we stand in front of a server, each with the tests that hold it. A test that is renamed or
// removed is missed here.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** Section and rule, in our words, and the names of tests. */
const RULES = [
  [
    "2.1, 4.1.3: the redirect URI is compared by simple string comparison",
    "req_10_the_redirect_uri_is_sent_letter_by_letter",
    "cbk_35_a_callback_at_another_place_is_flow_unknown",
  ],
  [
    "2.1, 4.11.1: a client is no open redirector",
    "cbk_43_return_to_stays_on_the_own_origin",
    "cbk_43_an_absolute_return_to_is_of_the_own_origin_and_comes_back_as_a_path",
  ],
  [
    "2.1, 4.7.1: cross-site request forgery is prevented",
    "cbk_02_a_missing_state_is_state_missing",
    "cbk_03_another_state_is_state_mismatch",
    "cbk_08_a_sign_in_that_somebody_else_began_is_flow_unknown",
  ],
  [
    "4.7.1: what the application puts into state is protected against tampering and swapping",
    "cbk_41_a_state_is_looked_up_and_never_believed",
    "brw_05_a_text_that_was_tampered_with_is_foreign",
  ],
  [
    "2.1, 4.4.2.1: with several servers, the issuer in the response is that of the request",
    "cbk_12_another_iss_is_iss_mismatch",
    "cbk_11_a_missing_iss_is_iss_missing_where_the_provider_names_itself",
  ],
  [
    "4.4.2: the issuer is stored with each request, and the code goes nowhere else",
    "cbk_09_a_state_of_another_provider_is_state_mismatch",
    "cbk_15_a_code_of_an_honest_provider_is_not_sent_to_the_attackers",
  ],
  [
    "2.1.1, 4.5.3.1: a code is protected by PKCE",
    "req_02_the_challenge_is_the_hash_of_the_verifier_that_is_sent_later",
    "S2-33 a verifier is 32 random bytes in 43 characters of base64url, another one each time",
  ],
  [
    "2.1.1: the method does not show the verifier, so it is S256",
    "req_04_plain_cannot_be_chosen",
    "req_03_04_neither_verifier_nor_method_can_be_given",
  ],
  [
    "2.1.1: challenge and nonce are of one transaction",
    "req_07_state_nonce_and_challenge_have_43_characters_and_never_repeat",
    "req_07_a_request_that_failed_leaves_its_values_unused",
  ],
  [
    "2.1.1: and bound to the user agent in which it began",
    "cbk_40_a_callback_of_another_browser_is_flow_unknown",
  ],
  [
    "2.1.1, 4.8.2: support for PKCE is looked for, and its absence is no reason to go without",
    "req_05_a_provider_that_rules_out_s256_gets_no_request",
    "req_06_a_provider_that_says_nothing_of_pkce_gets_s256_all_the_same",
  ],
  [
    "2.1.1, 4.5.3.2: where there is an ID token its nonce is checked before anything is used",
    "oid_05_nonce_missing_in_the_token_is_nonce_mismatch",
    "oid_06_another_nonce_is_nonce_mismatch",
    "oid_08_a_nonce_of_an_earlier_sign_in_is_nonce_mismatch",
  ],
  [
    "2.1.2: no implicit grant, nor another response type that brings an access token",
    "req_09_the_response_type_is_code_and_cannot_be_another",
    "cbk_25_a_response_in_the_fragment_is_response_mode_mismatch",
  ],
  [
    "2.2.1: access tokens are bound to their sender",
    "dpp_31 dpp_34 a sign-in is bound to a key that cannot be read, and the API accepts it",
    "dpp_32_a_bearer_token_in_place_of_a_bound_one_is_refused",
    "dpp_01_a_bound_token_under_bearer_is_refused_in_every_mode",
    "dpp_36_a_missing_or_different_certificate_is_refused",
  ],
  [
    "2.2.2, 4.14.2: refresh tokens are rotated or bound, and used once",
    "rfr_04_a_rotated_refresh_token_replaces_the_old_one",
    "rfr_02_tabs_that_share_a_store_make_one_refresh",
    "S1-07 twenty processes that need a refresh make one",
    "dpp_33 the provider's nonce is learnt and a renewal is bound to the same key",
  ],
  [
    "4.14.2: a refresh token that is refused ends the session",
    "rfr_06_invalid_grant_ends_the_session_after_one_request",
  ],
  [
    "2.3, 4.10.2: tokens are asked for by scope, audience and resource, and one is not used for another",
    "rfr_17_each_scope_audience_and_resource_has_a_token_of_its_own",
    "S1-11 S1-12 scopes, audience, resources, parameters and headers of the file are sent",
  ],
  [
    "2.3, 4.9.2: a token is sent to the servers that it is for, and to no other",
    "rfr_14_15_only_listed_origins_get_the_token",
    "rfr_14 a redirect of the API to another origin does not take the token along",
    "S0-05 every request to a configured origin carries the token, none to another, and none after a redirect there",
  ],
  [
    "2.3: a resource server refuses a token that is for somebody else",
    "clm_37_another_audience_is_audience_mismatch",
    "cfg_05_an_audience_is_required",
  ],
  [
    "2.4: the resource owner password credentials grant is not used",
    "RFC 9700 section 2.4: no grant takes a password",
  ],
  [
    "2.5: a client authenticates, preferably with an asymmetric key",
    "req_31_an_assertion_is_about_the_client_for_the_issuer_for_a_minute",
    "private_key_jwt signs with a CryptoKey, a JWK and PEM",
    "S1-08 with mutual TLS only the name is sent, through the fetch that has the certificate",
  ],
  [
    "2.6: a client is configured by the metadata, of the issuer that was asked",
    "net_06_another_issuer_in_the_metadata_is_refused_and_nothing_of_it_used",
    "net_07_the_issuer_is_compared_letter_by_letter",
  ],
  [
    "2.6: connections are encrypted, but for redirects of native programs to this machine",
    "net_09_endpoints_that_are_not_https_are_refused",
    "net_01_http_on_demand_is_for_this_machine_alone",
    "req_11_a_redirect_uri_is_an_absolute_page_without_fragment",
  ],
  [
    "2.6, 4.17: pages that hand a response on name each other's origin, and check it",
    "cbk_37 a callback is taken from the popup with its state and from nobody else",
    "cbk_37 messages of other windows are not taken for the frame's",
    "the callback page must be of the page's own origin",
  ],
  [
    "4.2.4: the page of the response has no part and no link of others, and sends no referrer",
    "DEV-17 the page shows nothing of the callback, whether it went well or not",
    "cbk_36 brw_09 after a sign-in neither code nor token stands in the page's traces",
  ],
  [
    "4.2.4: a state is good once, and so is a code",
    "cbk_05_a_callback_that_was_used_is_flow_reused",
    "tok_11_a_code_is_never_sent_twice",
  ],
  [
    "4.2.4: a response can be posted in place of standing in an address",
    "a response that was posted signs in once",
  ],
  [
    "4.3.2: no access token stands in the query of a URI",
    "rsr_08 a token in the query is none",
    "rfr_24_a_revocation_carries_the_token_in_its_body_and_tells_its_answers_apart",
  ],
  [
    "4.13: what stands in front of a server lets no client write its headers",
    "the token ends at the service, and who it is from is said in headers that nobody else can send",
    "each proxy asks at its own endpoint, and the headers of the others are not believed",
  ],
];

/** All files below a folder that this takes. */
function filesOf(folder, isWanted) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === "node_modules" ? [] : filesOf(path, isWanted);
    return isWanted(entry.name) ? [path] : [];
  });
}

/** The names of tests as they are declared: a name in a comment or in a list is none. */
function declared() {
  const names = new Set();
  for (const folder of ["tests", "src"]) {
    for (const path of filesOf(join(root, folder), (name) => /\.(?:rs|mjs)$/.test(name))) {
      const text = readFileSync(path, "utf8");
      const pattern = path.endsWith(".rs")
        ? /#\[(?:test|wasm_bindgen_test)\](?:\s|#\[[^\]]*\]|\/\/.*)*(?:async )?fn (\w+)/g
        : /^ *test\(\s*"([^"]+)"/gm;
      for (const [, name] of text.matchAll(pattern)) names.add(name);
    }
  }
  return names;
}

test("S0-17 each rule of RFC 9700 for clients is held by tests that are there", () => {
  const names = declared();
  assert.ok(names.size > 1000, `only ${names.size} tests were found`);
  const missing = RULES.flatMap(([rule, ...tests]) => {
    assert.match(rule, /^[24]\.\d/);
    assert.ok(tests.length > 0, rule);
    return tests.filter((name) => !names.has(name)).map((name) => `${rule}: ${name}`);
  });
  assert.deepEqual(missing, []);
  assert.ok(!names.has("S0-17 a test that nobody wrote"));
});

test("RFC 9700 section 2.4: no grant takes a password", () => {
  const grants = new Set();
  for (const path of filesOf(join(root, "src"), (name) => name.endsWith(".rs"))) {
    const [text] = readFileSync(path, "utf8").split("\nmod tests {");
    assert.doesNotMatch(text, /"password"/, path);
    for (const [, grant] of text.matchAll(/push\("grant_type", ([^)]+)\)/g)) grants.add(grant);
  }
  assert.deepEqual([...grants].sort(), [
    '"authorization_code"',
    '"client_credentials"',
    '"refresh_token"',
    "DEVICE_CODE",
    "JWT_BEARER",
    "TOKEN_EXCHANGE",
  ]);
});
