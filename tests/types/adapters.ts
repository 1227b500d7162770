// Nothing here runs: compiling is the assertion.
import { createClient as createRpc, type Transport } from "@connectrpc/connect";
import { type Client, type IdClaims, createClient as createPage } from "gatepass";
import { connectionOf, protect } from "gatepass/cloudflare";
import { authorized, guarded as guardedRpc, principalKey } from "gatepass/connect";
import type { CookieSession, CookieSessions } from "gatepass/backend";
import {
  guarded as guardedNode,
  principalOf,
  protect as protectNode,
  sessionOf,
  withSession as withSessionNode,
} from "gatepass/express";
import type { Guard, Principal } from "gatepass/guard";
import { guarded, withSession } from "gatepass/hono";
import { type WorkerSession, keepSession, openSession } from "gatepass/serviceworker";
import { type Auth, GatepassProvider, useAuth, useFetch, useUser } from "gatepass/react";
import { engine } from "gatepass/js";
import { init } from "gatepass/guard/slim";
import module from "gatepass/client.wasm";
import { Hono } from "hono";

declare const client: Client;
declare const guard: Guard;
type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const proof = <T extends true>(): T => true as T;

proof<Equal<ReturnType<typeof engine>, "wasm" | "js" | undefined>>();
await init(module);
await init(fetch("/guard.wasm"));

const app = new Hono<{ Bindings: { ISSUER: string } }>();
app.get("/me", guarded(guard, { need: { scopes: "read" } }), (c) => {
  proof<Equal<typeof c.var.principal, Principal>>();
  return c.json(c.get("principal").subject ?? null);
});
// @ts-expect-error: not a need
guarded(guard, { need: { scope: "read" } });

declare const sessions: CookieSessions;
app.get("/who", withSession(sessions, { requireLogin: false }), (c) => {
  proof<Equal<typeof c.var.session, CookieSession>>();
  return c.json(c.var.session.user?.sub ?? null);
});
// @ts-expect-error: a guard has no sessions
withSession(guard);
void withSessionNode(() => Promise.resolve(sessions));
proof<Equal<ReturnType<typeof sessionOf>, CookieSession | undefined>>();

interface Env {
  ISSUER: string;
}
const worker = protect(
  (env: Env) => (env.ISSUER === "" ? Promise.reject(new Error()) : guard),
  (request, principal, env) => new Response(`${request.url} ${principal.subject} ${env.ISSUER}`),
);
proof<Equal<Parameters<typeof worker.fetch>[1], Env>>();
connectionOf(new Request("https://api.example"));

declare const transport: Transport;
void [createRpc, transport, authorized(client), guardedRpc(Promise.resolve(guard)), principalKey];
// @ts-expect-error: a guard is no client
authorized(guard);

const listener = protectNode(guard, (_request, response, principal) => {
  proof<Equal<typeof principal, Principal>>();
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify({ hello: principal.subject }));
});
protectNode(guard, (_request, response) => response.end("welcome"), { need: { scopes: "admin" } });
protectNode(guard, (_request, response) => {
  response.writeHead(404, { "cache-control": "no-store" });
  response.end(new Uint8Array(1));
});
protectNode(guard, (_request, response) => response.end());
// @ts-expect-error: no body
protectNode(guard, (_request, response) => response.end({ hello: "alice" }));
void [listener, guardedNode(() => guard)];
proof<Equal<ReturnType<typeof principalOf>, Principal | undefined>>();

const auth: Auth = useAuth();
if (auth.status === "failed") proof<Equal<typeof auth.error, unknown>>();
if (auth.status === "signedOut") proof<Equal<typeof auth.user, null>>();
void [useUser()?.sub, useFetch(), GatepassProvider({ client: () => client })];
// @ts-expect-error: options are for createClient
GatepassProvider({ client: { issuer: "https://as.example" } });

const kept = {
  issuer: "https://as.example",
  clientId: "spa",
  allowedOrigins: "https://api.example",
};
keepSession(createPage, kept);
// @ts-expect-error: the worker's memory is the store
keepSession(createPage, { ...kept, store: "local" });
// @ts-expect-error: somebody must say which calls get the token
keepSession(createPage, { issuer: "https://as.example", clientId: "spa" });
const session: WorkerSession = await openSession({ worker: "/worker.js", type: "module" });
proof<Equal<Awaited<ReturnType<WorkerSession["user"]>>, IdClaims | null>>();
session.on("session_lost", ({ type }) => proof<Equal<typeof type, "session_lost">>());
// @ts-expect-error: no page sees a token
session.accessToken();
