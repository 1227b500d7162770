// Looks up what is shipped in the lists of known vulnerabilities: npm run audit. It asks registries, so it
// is no part of npm test. What cannot be looked up is skipped by its name, with the reason.

import { spawnSync } from "node:child_process";

import { Failure, runMain } from "./lib/failure.mjs";
import { root } from "./lib/paths.mjs";
import { heading } from "./lib/terminal.mjs";

/** Advisories about crates that do not concern what is here, and why. */
const NO_CONCERN = {
  // Of rsa, for which there is no other version: how long an operation with a private key takes tells of
  // the key. Signatures are blinded here (src/jose/rust_crypto/private_key.rs), nothing is decrypted, and
  // what is published for npm holds none of it.
  "RUSTSEC-2023-0071": "rsa",
};

/** @param {string} program @param {readonly string[]} args */
function ask(program, args) {
  const { error, status, stdout, stderr } = spawnSync(program, args, {
    cwd: root,
    encoding: "utf8",
    timeout: 300_000,
  });
  return { error, status, stdout: stdout ?? "", stderr: stderr ?? "" };
}

/** @param {string} name @param {string} said */
const tell = (name, said) => process.stdout.write(`  ${name.padEnd(24)}${said}\n`);

function auditNpm() {
  const { error, stdout } = ask("npm", ["audit", "--omit=dev", "--json"]);
  if (error) throw new Failure(`npm audit cannot be run: ${error.message}`);
  const { metadata, error: refusal } = JSON.parse(stdout || "{}");
  if (!metadata) {
    return tell("npm audit", `skipped: ${refusal?.summary ?? "the registry has no such list"}`);
  }
  const { prod } = metadata.dependencies;
  // The package itself is counted.
  if (prod > 1)
    throw new Failure(`The package has ${prod - 1} dependencies, and should have none.`);
  const { total } = metadata.vulnerabilities;
  if (total > 0) throw new Failure(`npm audit knows ${total} vulnerabilities.`, stdout);
  tell("npm audit", "no dependencies, no vulnerabilities");
}

function auditCrates() {
  if (ask("cargo", ["audit", "--version"]).status !== 0) {
    return tell("cargo audit", "skipped: cargo-audit is not installed");
  }
  const ignored = Object.keys(NO_CONCERN).flatMap((id) => ["--ignore", id]);
  const { status, stdout, stderr } = ask("cargo", ["audit", ...ignored]);
  if (/(?:couldn't|failed to) fetch/iu.test(stderr)) {
    return tell("cargo audit", "skipped: the list of advisories cannot be fetched");
  }
  if (status !== 0) throw new Failure("cargo audit found something.", stdout + stderr);
  tell("cargo audit", "no vulnerabilities");
}

await runMain(async () => {
  heading("Known vulnerabilities of what is shipped");
  auditNpm();
  auditCrates();
});
