// The installed package against Glewlwyd, a provider in C, where Debian's packages glewlwyd and
// sqlite3 are installed: a throw-away database, on 127.0.0.1 only.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";

import { installPackage } from "../support/installed.mjs";
import { freePort } from "../support/port.mjs";

const SCHEMA = "/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3";
const CONFIG = "/etc/glewlwyd/glewlwyd.conf";
const isThere = (file) => existsSync(join("/usr/bin", file));
const obstacle =
  isThere("glewlwyd") && isThere("sqlite3") && existsSync(SCHEMA) && existsSync(CONFIG)
    ? false
    : "not installed: apt-get install glewlwyd sqlite3";

describe("Glewlwyd", { skip: obstacle }, () => {
  const machine = `Basic ${btoa("machine:machine-secret")}`;
  let folder;
  let child;
  let origin;
  let issuer;
  let createGuard;

  before(async () => {
    const { project } = installPackage("interop-glewlwyd");
    const entry = join(project, "node_modules/gatepass/dist/guard.js");
    ({ createGuard } = await import(pathToFileURL(entry).href));
    folder = mkdtempSync(join(tmpdir(), "gatepass-glewlwyd-"));
    const port = await freePort();
    origin = `http://127.0.0.1:${port}`;
    issuer = `${origin}/api/oidc`;
    start(port);
    await configure();
  });

  after(async () => {
    if (child && child.exitCode === null) {
      child.kill();
      await once(child, "exit");
    }
    if (folder) rmSync(folder, { recursive: true, force: true });
  });

  /** The package's configuration with a database, a port and web files of its own. */
  function start(port) {
    const database = join(folder, "database");
    execFileSync("sqlite3", [database], { input: readFileSync(SCHEMA) });
    const web = join(folder, "web");
    mkdirSync(web);
    writeFileSync(join(web, "index.html"), "");
    const settings = readFileSync(CONFIG, "utf8")
      .replace(/^(port|external_url|bind_address|static_files_path|log_mode)\s*=.*$/gm, "")
      .replace(/^@include.*glewlwyd-db.conf.*$/m, "");
    const own = [
      `port=${port}`,
      `bind_address="127.0.0.1"`,
      `external_url="${origin}"`,
      `static_files_path="${web}"`,
      `log_mode="console"`,
      `database = { type = "sqlite3"; path = "${database}"; };`,
    ];
    const file = join(folder, "glewlwyd.conf");
    writeFileSync(file, [...own, settings].join("\n"));
    child = spawn("/usr/bin/glewlwyd", [`--config-file=${file}`], { stdio: "ignore" });
  }

  /** Over its own interface, as the administrator that its database comes with. */
  async function configure() {
    let cookie;
    const call = async (path, body) => {
      const headers = { "content-type": "application/json", ...(cookie && { cookie }) };
      const init = { method: "POST", headers, body: JSON.stringify(body) };
      const response = await fetch(`${origin}/api${path}`, init);
      assert.ok(response.ok, `${path}: ${response.status} ${await response.text()}`);
      return response;
    };
    for (;;) {
      if (child.exitCode !== null) throw new Error("glewlwyd ended");
      if (await fetch(`${origin}/api/auth/`).catch(() => undefined)) break;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    const signedIn = await call("/auth/", { username: "admin", password: "password" });
    cookie = signedIn.headers.getSetCookie()[0].split(";")[0];
    const scope = { name: "read", display_name: "read", password_required: true, scheme: {} };
    await call("/scope/", scope);
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const jwk = { ...privateKey.export({ format: "jwk" }), kid: "k1", alg: "RS256", use: "sig" };
    const parameters = {
      iss: issuer,
      "jwt-type": "rsa",
      "jwt-key-size": "256",
      "jwks-private": JSON.stringify({ keys: [jwk] }),
      "default-kid": "k1",
      "jwks-show": true,
      "access-token-duration": 300,
      "refresh-token-duration": 3600,
      "code-duration": 60,
      "allow-non-oidc": true,
      "subject-type": "public",
      "auth-type-code-enabled": true,
      "auth-type-client-enabled": true,
      "introspection-revocation-allowed": true,
      "introspection-revocation-allow-target-client": true,
    };
    const plugin = { module: "oidc", name: "oidc", display_name: "oidc", enabled: true };
    await call("/mod/plugin/", { ...plugin, parameters });
    await call("/client/?source=database", {
      client_id: "machine",
      name: "machine",
      enabled: true,
      confidential: true,
      client_secret: "machine-secret",
      password: "machine-secret",
      token_endpoint_auth_method: ["client_secret_basic"],
      redirect_uri: [],
      authorization_type: ["client_credentials"],
      scope: ["read"],
    });
  }

  async function issue() {
    const form = { grant_type: "client_credentials", scope: "read" };
    const response = await fetch(`${issuer}/token`, {
      method: "POST",
      headers: { authorization: machine },
      body: new URLSearchParams(form),
    });
    assert.equal(response.status, 200);
    return (await response.json()).access_token;
  }

  const options = () => ({ issuer, audience: "read", dangerouslyAllowHttpLoopback: true });

  test("its access tokens are RFC 9068 tokens whose audience is their scope", async () => {
    const guard = await createGuard(options());
    const token = await issue();
    const principal = await guard.verify(token, { scopes: ["read"] });
    assert.deepEqual([principal.clientId, principal.issuer], ["machine", issuer]);
    assert.deepEqual(principal.audience, ["read"]);
    const forged = `${token.slice(0, -8)}AAAAAAAA`;
    await assert.rejects(guard.verify(forged), { code: "signature_invalid" });
    const other = await createGuard({ ...options(), audience: "https://api.example" });
    await assert.rejects(other.verify(token), { code: "audience_mismatch" });
    guard.dispose();
    other.dispose();
  });

  test("int_20 asked about, they are accepted until they are revoked", async () => {
    const introspection = { clientId: "machine", clientSecret: "machine-secret", tokens: "all" };
    const asking = () => createGuard({ ...options(), introspection });
    const guard = await asking();
    const token = await issue();
    assert.equal((await guard.verify(token, { scopes: ["read"] })).clientId, "machine");
    const revoked = await fetch(`${issuer}/revoke`, {
      method: "POST",
      headers: { authorization: machine },
      body: new URLSearchParams({ token }),
    });
    assert.equal(revoked.status, 200);
    const later = await asking();
    await assert.rejects(later.verify(token), { code: "token_inactive" });
    guard.dispose();
    later.dispose();
  });
});
