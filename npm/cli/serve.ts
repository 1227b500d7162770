// gatepass serve

import v8 from "node:v8";

import { createGuard } from "gatepass/guard";
import type { GuardEvent, ReplayStore, SharedCache } from "gatepass/guard";

import { guardDecider, openDecider, staticDecider } from "../server/decide.js";
import type { Decider, GuardSource } from "../server/decide.js";
import { makeLog, userNamer } from "../server/log.js";
import type { Level, Log, UserStyle } from "../server/log.js";
import { Metrics } from "../server/metrics.js";
import { makeProxy } from "../server/proxy.js";
import { RateLimit } from "../server/rate.js";
import { UsedProofs } from "../server/replay.js";
import { Service } from "../server/service.js";
import type { Rules } from "../server/service.js";
import { explain, guardSource, modeOf, publicOriginOf, routesOf } from "./checker.js";
import type { Command } from "./command.js";
import { CONFIG_TEST, configTest } from "./config-test.js";
import type { Configuration } from "./configuration.js";
import { EXIT, Failure, misconfigured } from "./failure.js";
import { RedisTier, testRedis } from "./redis.js";
import { fallbackOf, settingNamed } from "./setting.js";
import type { SettingName } from "./setting.js";

export const serve: Command = {
  name: "serve",
  summary: "Checks tokens as a local HTTP service, or as a proxy in front of a server.",
  more: [
    "Endpoints: POST /plugin/authenticate, /auth/nginx, /auth/traefik, /auth/envoy/..., GET /health,",
    "GET /ready, GET /metrics. With --upstream there are only the last three, and everything else is",
    "forwarded once it is allowed; for the others start a second service without it.",
    "Rules by path stand in the file as routes; what fits none of them is refused. SIGTERM lets",
    "requests finish. SIGHUP reads the file, files of variables and secrets anew, but for what holds",
    "from the start: host, port, basePath, upstream, forwardToken, rateLimit, metrics, logLevel,",
    "logUser and drainTimeout.",
  ],
  settings: [
    "issuer",
    "provider",
    "domain",
    "tenant",
    "audience",
    "clientId",
    "clientSecret",
    "clientAuth",
    "introspectionUrl",
    "mode",
    "token",
    "host",
    "port",
    "upstream",
    "forwardToken",
    "resource",
    "publicOrigin",
    "requiredScopes",
    "cacheTtl",
    "redis",
    "rateLimit",
    "userinfo",
    "timeout",
    "basePath",
    "metrics",
    "logLevel",
    "logUser",
    "drainTimeout",
  ],
  flags: [CONFIG_TEST],

  async run(call) {
    // Before anything is compiled.
    thrift();
    const { configure, flags } = call;
    if (flags["config-test"] === true)
      return configTest(call, async () => testService(await configure()));
    const configuration = await configure();
    const plan = planOf(configuration);
    await test(configuration, plan);

    const redis = new RedisTier();
    const shared = await redis.use(configuration, GRACE_MS);
    // A proof that was used stays used: SIGHUP makes another guard.
    const usedProofs = new UsedProofs();
    const metrics = new Metrics();
    const level = (configuration.text("logLevel") ?? fallbackOf("logLevel")).toUpperCase() as Level;
    let isOver = false;
    const write = (line: string): void => void (isOver || process.stdout.write(line));
    const log = makeLog(level, write);
    const basePath = (configuration.text("basePath") ?? "").replace(/\/+$/u, "");
    const upstream = configuration.text("upstream");
    const rateLimit = configuration.integer("rateLimit") ?? fallbackOf("rateLimit");
    const service = new Service({
      rules: rulesOf(plan, metrics, log, usedProofs, shared),
      metrics,
      log,
      nameUser: userNamer((configuration.text("logUser") ?? fallbackOf("logUser")) as UserStyle),
      basePath,
      showMetrics: configuration.isOn("metrics"),
      ...(upstream !== undefined && {
        proxy: makeProxy(upstream, {
          forwardToken: configuration.isOn("forwardToken"),
        }),
      }),
      ...(rateLimit > 0 && { rateLimit: new RateLimit(rateLimit) }),
    });

    const drainMs = 1000 * (configuration.integer("drainTimeout") ?? fallbackOf("drainTimeout"));
    const ending = new AbortController();
    let isStopping = false;
    let { file } = configuration;
    const renew = async (): Promise<void> => {
      if (isStopping) return;
      try {
        const next = await configure(undefined, ending.signal);
        // Its rules may be all that keeps requests out, and an editor takes it away for a moment.
        if (file && !next.file) {
          throw misconfigured(`${file.name} is not there; put it back, or start anew without it.`);
        }
        const nextPlan = planOf(next);
        await test(next, nextPlan);
        const cache = await redis.use(next, GRACE_MS);
        if (isStopping) return;
        file = next.file;
        warn(next, nextPlan, log);
        warnOfFixed(configuration, next, log);
        service.replace(rulesOf(nextPlan, metrics, log, usedProofs, cache), GRACE_MS);
        log({ level: "INFO", message: "Configuration and secrets were read anew" });
      } catch (error) {
        if (isStopping) return;
        const message = error instanceof Failure ? error.message : "internal_error";
        log({ level: "ERROR", message: `The old configuration stays: ${message}` });
      }
    };
    // One after the other, so that the last one counts.
    let last = Promise.resolve();
    const reload = (): void => void (last = last.then(renew));
    // Before anybody is told that it listens: without these a signal would end the process.
    process.on("SIGHUP", reload);
    const stopped = new Promise((resolve) => {
      process.once("SIGTERM", resolve);
      process.once("SIGINT", resolve);
    });

    const host = configuration.text("host") ?? fallbackOf("host");
    const wanted = configuration.integer("port") ?? fallbackOf("port");
    let port: number;
    try {
      port = await listen(service, host, wanted);
    } catch (error) {
      // What shares the answers would keep the process.
      redis.close();
      throw error;
    }
    // Whatever the level is: whoever starts it waits for this.
    makeLog(
      "INFO",
      write,
    )({
      level: "INFO",
      message: `Listening on http://${host.includes(":") ? `[${host}]` : host}:${port}`,
    });
    warn(configuration, plan, log);
    await stopped;
    // The signal is listened to as before: it would end the process in the middle of its requests.
    isStopping = true;
    log({ level: "INFO", message: "Draining" });
    await service.drain(drainMs);
    // Who still prints a secret prints it for nobody; a Redis may be on its way.
    ending.abort();
    await last;
    redis.close();
    log({ level: "INFO", message: "Stopped" });
    // What was cut off is refused yet, to nobody.
    isOver = true;
    return 0;
  },
};

/**
 * Has the engine collect earlier what is thrown away: a service makes little that stays, and would
 * otherwise hold twice the memory for garbage. These flags are read anew at each collection.
 *
 * WebAssembly is left as it was compiled first: optimising it takes megabytes that are not given back,
 * for a tenth of a decision's time.
 */
function thrift(): void {
  v8.setFlagsFromString("--no-wasm-tier-up");
  v8.setFlagsFromString("--no-wasm-dynamic-tiering");
  v8.setFlagsFromString("--optimize-for-size");
  v8.setFlagsFromString("--semi-space-growth-factor=1");
  v8.setFlagsFromString("--heap-growing-percent=10");
}

/** What the service is made with: another value takes a new start. The help lists them. */
const FIXED = [
  "host",
  "port",
  "basePath",
  "upstream",
  "forwardToken",
  "rateLimit",
  "metrics",
  "logLevel",
  "logUser",
  "drainTimeout",
] as const satisfies readonly SettingName[];

function warnOfFixed(old: Configuration, next: Configuration, log: Log): void {
  const changed = FIXED.filter((name) => {
    const held = (one: Configuration): string =>
      one.text(name) ?? String(settingNamed(name)?.fallback ?? "");
    return held(old) !== held(next);
  });
  if (changed.length === 0) return;
  const message = `Changed, but the old value holds until a new start: ${changed.join(", ")}`;
  log({ level: "WARN", message });
}

/** How long decisions of before may take: longer than any timeout. */
const GRACE_MS = 300_000;

/** How requests are to be decided. */
interface Plan {
  readonly mode: ReturnType<typeof modeOf>;
  readonly source?: GuardSource;
  readonly tokens?: readonly string[];
  readonly routes?: NonNullable<Rules["routes"]>;
  readonly publicOrigin?: string;
}

/** @throws Failure with every mistake. */
function planOf(configuration: Configuration): Plan {
  const mode = modeOf(configuration);
  const routes = routesOf(configuration);
  const publicOrigin = publicOriginOf(configuration);
  const rest = {
    ...(routes !== undefined && { routes }),
    ...(publicOrigin !== undefined && { publicOrigin }),
  };
  let plan: Plan = { mode, ...rest };
  if (mode === "static" || mode === "none") {
    const rules = routes?.some(({ need }) => Object.keys(need).length > 0);
    if (rules || configuration.list("requiredScopes").length > 0) {
      configuration.problems.push(`mode ${mode} knows no scopes and no roles.`);
    }
    if (configuration.member("guard") !== undefined) {
      configuration.problems.push(`mode ${mode} has no guard; leave guard out.`);
    }
  }
  if (mode === "static") {
    if (configuration.list("token").length === 0) configuration.need("token");
    plan = { mode, tokens: configuration.list("token"), ...rest };
  }
  if (mode === "introspect" || mode === "jwt") {
    plan = { mode, source: guardSource(configuration, mode), ...rest };
  }
  if (mode === "jwt" && configuration.isSidecar && configuration.text("mode") === undefined) {
    explainSecret(configuration, plan);
  }
  checkUpstream(configuration);
  configuration.check();
  return plan;
}

/** What the proxy would leave out without a word. */
function checkUpstream(configuration: Configuration): void {
  const upstream = configuration.found("upstream");
  if (!upstream) return;
  const { username, password, search, hash } = new URL(String(upstream.value));
  const left = [
    ...(username + password === "" ? [] : ["user name or password"]),
    ...(search === "" ? [] : ["query"]),
    ...(hash === "" ? [] : ["fragment"]),
  ];
  if (left.length === 0) return;
  configuration.problems.push(`${upstream.where}: upstream takes no ${left.join(", no ")}.`);
}

/** To the plugin's own variables the secret is an option, and the audience is none of them. */
function explainSecret(configuration: Configuration, { source }: Plan): void {
  const audience = source?.options.audience;
  if (!Array.isArray(audience) || audience.length > 0) return;
  configuration.problems.push(
    "OAUTH_CLIENT_SECRET is not set either. With it the provider is asked about tokens; without it " +
      "nobody may ask (RFC 7662 section 2.1), and tokens are checked by their signature and audience.",
  );
}

/** @throws Failure with every mistake of a configuration for `serve`. */
export async function testService(configuration: Configuration): Promise<void> {
  const plan = planOf(configuration);
  await testRedis(configuration);
  await test(configuration, plan);
}

/** Has the core read its options and the routes' needs, so that mistakes show before the first request. */
async function test(configuration: Configuration, { source, routes = [] }: Plan): Promise<void> {
  if (!source) return;
  try {
    // Nobody is asked: the token is refused for its form. A fetch of the file's own is none.
    const guard = await createGuard({ fetch: unreachable, ...source.options });
    try {
      for (const [at, { need }] of routes.entries()) {
        await guard.check({ headers: new Headers() }, need).catch((error: unknown) => {
          const place = configuration.where(["routes", at]);
          configuration.problems.push(`${place}: ${(error as Error).message}`);
        });
      }
    } finally {
      guard.dispose();
    }
  } catch (error) {
    configuration.problems.push(explain(configuration, error));
  }
  configuration.check();
}

const unreachable: typeof fetch = () => Promise.reject(new TypeError("not now"));

function rulesOf(
  { mode, source, tokens, routes, publicOrigin }: Plan,
  metrics: Metrics,
  log: Log,
  replayStore: ReplayStore,
  sharedCache: SharedCache | undefined,
): Rules {
  let decider: Decider = openDecider;
  if (mode === "static") decider = staticDecider(tokens ?? []);
  if (source) {
    const options = { ...source.options, replayStore, ...(sharedCache && { sharedCache }) };
    const note = (event: GuardEvent): void => {
      metrics.event(event);
      if (event.type === "alert") {
        log({ level: "ERROR", message: `${event.code}: ${event.hint}` });
      }
    };
    decider = guardDecider({ ...source, options }, note, () => metrics.shared());
  }
  return {
    decider,
    ...(routes !== undefined && { routes }),
    ...(publicOrigin !== undefined && { publicOrigin }),
  };
}

/** What an operator should know from the start. */
function warn(configuration: Configuration, { mode, source }: Plan, log: Log): void {
  if (mode === "none") log({ level: "WARN", message: "mode none: nothing is checked" });
  const introspection = source?.options.introspection;
  if (!introspection?.dangerouslyAllowMissingAudience) return;
  const accepted = "tokens that name none are accepted, whatever they were issued for";
  const isSet = configuration.list("audience").length > 0 || configuration.found("resource");
  const name = `${configuration.prefix}AUDIENCE`;
  const message = isSet
    ? `An audience is set, but ${accepted}`
    : `No audience is set: ${accepted}, and tokens that name another audience than the client id ` +
      `(OAUTH_CLIENT_ID) are refused: set ${name}`;
  log({ level: "WARN", message });
}

async function listen(service: Service, host: string, port: number): Promise<number> {
  try {
    return await service.listen(host, port);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why =
      code === "EADDRINUSE" ? "it is in use; choose another one with --port" : String(code);
    throw new Failure(EXIT.failed, [`Cannot listen on ${host}:${port}: ${why}.`]);
  }
}
