// Other people's vectors for the shipped wasm: Wycheproof for the host's arithmetic and our key
// policy before it, JSONTestSuite for what is read as claims. The same files run natively in
// tests/vectors.rs.
//
// They stand in the folder that GATEPASS_VECTORS names, else in ../shared/vectors. Where there is
// neither, the tests are skipped and say so.

import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));
const folder = process.env["GATEPASS_VECTORS"] ?? join(root, "../shared/vectors");

/** Why the vectors cannot run, or `false`. */
export const obstacle = existsSync(folder)
  ? false
  : `no vectors in ${folder}: set GATEPASS_VECTORS`;

/** Files of raw signatures: the case that they cover, the algorithm, how many there are. */
export const SIGNATURES = [
  ["sig_09", "ecdsa_secp256r1_sha256_p1363_test.json", "ES256", 262],
  ["sig_10", "ecdsa_secp384r1_sha384_p1363_test.json", "ES384", 280],
  ["sig_11", "ecdsa_secp521r1_sha512_p1363_test.json", "ES512", 318],
  ["sig_12", "rsa_signature_2048_sha256_test.json", "RS256", 259],
  ["sig_12", "rsa_signature_3072_sha384_test.json", "RS384", 259],
  ["sig_12", "rsa_signature_4096_sha512_test.json", "RS512", 259],
  ["sig_16", "rsa_pss_2048_sha256_mgf1_32_test.json", "PS256", 108],
  ["sig_16", "rsa_pss_2048_sha384_mgf1_48_test.json", "PS384", 141],
  ["sig_16", "rsa_pss_4096_sha512_mgf1_64_test.json", "PS512", 179],
  ["sig_19", "ed25519_test.json", "Ed25519", 151],
];

/** Where we decide otherwise than the file, and why. */
const EXCEPTIONS = {
  "rsa_signature_2048_sha256_test.json": {
    258: "e = 3: exponents below 65537 are refused (NIST SP 800-89)",
    259: "e = 3, as 258",
  },
};

const CURVES = { secp256r1: "P-256", secp384r1: "P-384", secp521r1: "P-521" };

/** The key of a group. A few groups of ECDSA have only its numbers. */
function jwkOf({ publicKeyJwk, keyJwk, publicKey }) {
  const given = publicKeyJwk ?? keyJwk;
  if (given) return given;
  // The uncompressed point has its coordinates at full length.
  const point = Buffer.from(publicKey.uncompressed, "hex").subarray(1);
  const half = (part) => part.toString("base64url");
  const [x, y] = [point.subarray(0, point.length / 2), point.subarray(point.length / 2)];
  return { kty: "EC", crv: CURVES[publicKey.curve], x: half(x), y: half(y) };
}

/**
 * Compares all decisions of a file with those of `decide`, which takes a list of
 * `{ jwk, alg, message, signature }` (the last two in hexadecimal) and answers a list of booleans.
 */
export async function compareSignatures([, name, alg, count], decide) {
  const file = JSON.parse(readFileSync(join(folder, "wycheproof", name), "utf8"));
  const tests = file.testGroups.flatMap((group) =>
    group.tests.map((each) => ({ ...each, jwk: JSON.stringify(jwkOf(group)) })),
  );
  assert.equal(tests.length, count);
  assert.ok(tests.some(({ result }) => result === "valid"));
  const cases = tests.map(({ jwk, msg, sig }) => ({ jwk, alg, message: msg, signature: sig }));
  const answers = await decide(cases);
  // What a file calls acceptable is refused, as natively.
  const otherwise = tests.filter(({ result }, at) => answers[at] !== (result === "valid"));
  // Every exception is still needed, and there is no other.
  assert.deepEqual(
    otherwise.map(({ tcId }) => String(tcId)),
    Object.keys(EXCEPTIONS[name] ?? {}),
    name,
  );
}

/** Texts that must be read and are not: a name that stands twice (JSN-10). */
const DUPLICATES = ["y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"];

/** Texts whose fate is not prescribed: the ones that are read. */
const READ_ALTHOUGH_UNDEFINED = [
  "i_number_double_huge_neg_exp.json",
  "i_number_real_underflow.json",
  "i_number_too_big_neg_int.json",
  "i_number_too_big_pos_int.json",
  "i_number_very_big_negative_int.json",
];

/** Texts that are longer than any token. */
const TOO_LONG = ["n_structure_100000_opening_arrays.json", "n_structure_open_array_object.json"];

/**
 * Compares what becomes of each text of JSONTestSuite as a claim. `codesOf` takes tokens and answers
 * the code with which a guard refuses each. None is refused for another claim before its claims
 * were read.
 */
export async function compareJson(codesOf) {
  const at = join(folder, "json/test_parsing");
  const names = readdirSync(at).sort();
  assert.equal(names.length, 95 + 188 + 35);
  const header = Buffer.from('{"alg":"ES256"}').toString("base64url");
  const tokens = names.map((name) => {
    const parts = [Buffer.from('{"iss":1,"text":'), readFileSync(join(at, name)), Buffer.from("}")];
    return `${header}.${Buffer.concat(parts).toString("base64url")}.AAAA`;
  });
  const codes = await codesOf(tokens);
  for (const [index, name] of names.entries()) {
    const mayBeRead = name.startsWith("y_")
      ? !DUPLICATES.includes(name)
      : READ_ALTHOUGH_UNDEFINED.includes(name);
    const refused = TOO_LONG.includes(name) ? "token_too_large" : "token_malformed";
    assert.equal(codes[index], mayBeRead ? "claim_invalid" : refused, name);
  }
}
