// wasm-pack.toml is read strictly: what is not understood is refused by name.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { parseMatrix } from "./matrix.mjs";
import { root } from "./paths.mjs";

const GOOD = `
[artefact.client]
entry = "index"
about = "Does it."
features = ["client"]
profile = "release"
rustflags = ["-Cdebuginfo=0"]
library = ["optimize_for_size"]
wasm-opt = ["-Oz"]
budget = { wasm = 10, glue = 20, fallback = 30 }

[bundle."index.js"]
gzip = 30
`;

/** @type {[title: string, text: string, complaint: RegExp][]} */
const BAD = [
  ["an_unknown_table", `${GOOD}\n[target.x]\n`, /unknown key target\./],
  [
    "an_unknown_key_of_an_artefact",
    GOOD.replace("profile", "profil"),
    /unknown key artefact\.client\.profil\./,
  ],
  [
    "an_unknown_budget",
    GOOD.replace("glue =", "js ="),
    /unknown key artefact\.client\.budget\.js\./,
  ],
  ["an_unknown_key_of_a_bundle", `${GOOD}brotli = 1`, /unknown key bundle\."index\.js"\.brotli\./],
  ["a_missing_budget", GOOD.replace(/budget.*\n/, ""), /artefact\.client\.budget is missing/],
  [
    "a_budget_as_text",
    GOOD.replace("= 10", '= "10"'),
    /artefact\.client\.budget\.wasm has to be a number/,
  ],
  [
    "a_budget_of_nothing",
    GOOD.replace("gzip = 30", "gzip = 0"),
    /bundle\."index\.js"\.gzip has to be a number/,
  ],
  ["a_budget_with_a_fraction", GOOD.replace("gzip = 30", "gzip = 1.5"), /gzip has to be a number/],
  ["features_as_text", GOOD.replace('["client"]', '"client"'), /features has to be a list/],
  ["a_flag_that_is_a_number", GOOD.replace('"-Oz"', "2"), /wasm-opt\[0\] has to be a text/],
  [
    "a_name_that_is_a_path",
    GOOD.replace("artefact.client", 'artefact."../x"'),
    /not a name for a file/,
  ],
  [
    "an_artefact_that_is_no_table",
    "bundle = {}\nartefact = { x = 1 }",
    /artefact\.x has to be a table/,
  ],
  ["no_artefact", "artefact = {}\nbundle = {}", /names no artefact/],
  ["what_is_not_toml", "artefact = ", /is not TOML/],
];

test("the_matrix_is_read", async () => {
  assert.deepEqual(await parseMatrix(GOOD), {
    artefacts: [
      {
        name: "client",
        entry: "index",
        about: "Does it.",
        features: ["client"],
        profile: "release",
        rustflags: ["-Cdebuginfo=0"],
        library: ["optimize_for_size"],
        wasmOpt: ["-Oz"],
        budget: { wasm: 10, glue: 20, fallback: 30 },
      },
    ],
    bundles: [{ entry: "index.js", budget: 30 }],
  });
});

for (const [title, text, complaint] of BAD) {
  test(`${title}_is_refused`, async () => {
    await assert.rejects(parseMatrix(text), { name: "Failure", message: complaint });
  });
}

test("our_own_matrix_is_good", async () => {
  const { artefacts } = await parseMatrix(readFileSync(join(root, "wasm-pack.toml"), "utf8"));
  assert.deepEqual(
    artefacts.map(({ name }) => name),
    ["client", "backend", "guard", "primitives"],
  );
});
