// Every public name says what it is, and what the numbers among the options mean.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { testFile } from "../support/installed.mjs";

const dist = testFile("../dist");
const { exports } = JSON.parse(readFileSync(testFile("../package.json"), "utf8"));

/** The declaration files that users can import and those that these hand on, with the names of it. */
function publicFiles() {
  /** @type {Map<string, Set<string> | undefined>} no set: everything */
  const files = new Map();
  const visit = (file, names) => {
    const known = files.get(file);
    if (files.has(file) && (known === undefined || names === undefined)) {
      files.set(file, undefined);
    } else {
      files.set(file, names && new Set([...(known ?? []), ...names]));
    }
    if (known || (files.has(file) && names !== undefined)) return;
    const text = readFileSync(file, "utf8");
    for (const [, what, from] of text.matchAll(/^export ([^;]*?)from "(\.[^"]+)\.js";/gm)) {
      const list = /\{([^}]*)\}/.exec(what)?.[1];
      const handed = list?.split(",").map((name) => name.replace(/\btype\b/, "").trim());
      visit(join(file, "..", `${from}.d.ts`), handed?.filter(Boolean));
    }
  };
  for (const entry of Object.values(exports)) {
    const types = entry.import?.types;
    if (types) visit(join(dist, "..", types), undefined);
  }
  return files;
}

/**
 * The declarations of a file and the members of its interfaces and classes, with what is written
 * above them. Our .d.ts are made by one compiler, so lines and indentation can be gone by.
 *
 * @returns {{ name: string, doc: string, line: string, owner: string }[]}
 */
function declarations(file) {
  const lines = readFileSync(file, "utf8").split("\n");
  const found = [];
  let doc = "";
  let owner = "";
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at];
    if (/^\s*\/\*\*/.test(line)) {
      const start = at;
      while (!lines[at].includes("*/")) at++;
      doc = lines.slice(start, at + 1).join("\n");
      continue;
    }
    const top =
      /^export (?:declare )?(?:abstract )?(interface|class|function|const|type) (\w+)/.exec(line) ??
      /^(interface|type|class) (\w+)/.exec(line);
    const member = /^ {4}(?:readonly |get )*("?[\w$]+"?|\[)\??[(:<]?/.exec(line);
    if (top) {
      const [, kind, name] = top;
      owner = kind === "interface" || kind === "class" ? name : "";
      if (line.startsWith("export")) found.push({ name, doc, line, owner: "" });
    } else if (line === "}" || line.startsWith("}")) {
      owner = "";
    } else if (member && owner && !line.includes("#private") && !/^ {4}[[})\]|]/.test(line)) {
      found.push({ name: `${owner}.${member[1]}`, doc, line, owner });
    }
    doc = "";
  }
  return found;
}

const all = [...publicFiles()].flatMap(([file, names]) =>
  declarations(file)
    .filter(({ name, owner }) => names === undefined || names.has(owner || name))
    .map((each) => ({ ...each, file: file.replace(dist, "dist") })),
);

test("there is something to look at", () => {
  const names = new Set(all.map(({ name }) => name));
  for (const name of ["createClient", "Client.fetch", "GuardOptions.clockTolerance", "guarded"]) {
    assert.ok(names.has(name), name);
  }
  assert.ok(all.length > 150, `${all.length} names`);
});

test("every public name has a sentence", () => {
  const bare = all.filter(({ doc }) => !/[\w`"}>).]\S*\s*(?:\*\/|\n)/.test(doc));
  assert.deepEqual(
    bare.map(({ file, name }) => `${file} ${name}`),
    [],
  );
});

/** The interfaces that somebody fills in. */
const isOption = ({ owner }) => /(?:Options|Props)$/.test(owner);

test("an option that may be left out says what holds then", () => {
  // Where nothing holds there is nothing to say.
  const optional = all.filter(
    (each) => isOption(each) && /^ {4}(?:readonly )?\w+\?:/.test(each.line),
  );
  assert.ok(optional.length > 40);
  const silent = optional.filter(
    ({ doc }) =>
      !/@defaultValue|in place of|Needed|Required|more |More |Without|where |Where |Is told/i.test(
        doc,
      ),
  );
  assert.deepEqual(
    silent.map(({ name }) => name),
    [],
  );
});

test("a number among the options says its unit and its range", () => {
  const numbers = all.filter((each) => isOption(each) && /\?: number;$/.test(each.line));
  assert.ok(numbers.length >= 8);
  const silent = numbers.filter(
    ({ doc }) => !/second|how many|bytes/i.test(doc) || !/\d|whole|no bound/.test(doc),
  );
  assert.deepEqual(
    silent.map(({ name }) => name),
    [],
  );
});

test("what makes something says with which codes it fails", () => {
  for (const name of ["createClient", "createGuard"]) {
    const { doc } = all.find((each) => each.name === name);
    assert.match(doc, /@throws \{@link GatepassError\} `config_invalid`/, name);
  }
});

test("what stands in a specification names its section", () => {
  for (const name of [
    "Client.signIn",
    "Client.handleCallback",
    "SignInOptions.prompt",
    "ClientOptions.resource",
    "IntrospectionOptions",
    "GuardOptions.dpop",
    "GuardOptions.resource",
    "Need.acr",
    "Need.maxAge",
    "Refusal.challenge",
    "Refusal.dpopNonce",
    "Guard.check",
    "Guard.metadata",
    "IssuerMetadata",
  ]) {
    const { doc } = all.find((each) => each.name === name) ?? {};
    assert.match(doc ?? `${name} is gone`, /RFC \d{4}|OpenID Connect/, name);
  }
});

test("no type is any", () => {
  for (const file of publicFiles().keys()) {
    const code = readFileSync(file, "utf8").replace(/\/\*[\s\S]*?\*\//g, "");
    assert.doesNotMatch(code, /\bany\b/, file);
  }
});
