// gatepass selftest: every flow from end to end, with a provider of its own and no network.

import { GatepassError, createClient } from "gatepass/backend";
import type { BackendClient, BackendOptions, TokenSet } from "gatepass/backend";
import { createGuard } from "gatepass/guard";
import type { Checked, GuardOptions } from "gatepass/guard";

import type { Command } from "./command.js";
import { EXIT } from "./failure.js";
import { listen } from "./loopback.js";
import { simulate } from "./simulator.js";
import type { Simulator } from "./simulator.js";

interface Step {
  readonly name: string;
  run(simulator: Simulator): Promise<void>;
}

const SCOPE = "openid read";

const options = (simulator: Simulator): BackendOptions => ({
  issuer: simulator.issuer,
  clientId: simulator.clientId,
  scope: SCOPE,
  dangerouslyAllowHttpLoopback: true,
});

const guardOf = (
  simulator: Simulator,
  more: Partial<GuardOptions> = {},
): ReturnType<typeof createGuard> =>
  createGuard({
    issuer: simulator.issuer,
    audience: simulator.audience,
    dangerouslyAllowHttpLoopback: true,
    ...more,
  });

/** A client after a sign-in for which no browser is needed: the provider asks nobody. */
async function signedIn(
  simulator: Simulator,
  more: Partial<BackendOptions> = {},
): Promise<BackendClient> {
  const redirectUri = "http://127.0.0.1/callback";
  const client = await createClient({ ...options(simulator), redirectUri, ...more });
  try {
    const { headers } = await fetch(await client.signInUrl(), { redirect: "manual" });
    await client.handleCallback(headers.get("location") ?? "");
    return client;
  } catch (error) {
    client.dispose();
    throw error;
  }
}

function expect(isSo: boolean, what: string): void {
  if (!isSo) throw new Error(what);
}

/** Whether it is rejected with this code. */
async function refused(work: Promise<unknown>, code: string): Promise<void> {
  try {
    await work;
  } catch (error) {
    expect(error instanceof GatepassError && error.code === code, `not ${code}: ${String(error)}`);
    return;
  }
  throw new Error(`not refused with ${code}`);
}

const STEPS: readonly Step[] = [
  {
    name: "code flow with PKCE through a page on 127.0.0.1, renewed, and revoked",
    async run(simulator) {
      const loopback = await listen("http://127.0.0.1:0/callback");
      const { redirectUri } = loopback;
      const client = await createClient({ ...options(simulator), redirectUri });
      try {
        const url = await client.signInUrl();
        const waiting = loopback.wait(async (callback) => {
          await client.handleCallback(callback);
          return true;
        });
        // The browser.
        const [page] = await Promise.all([fetch(url), waiting]);
        expect(page.status === 200, "the page did not say that it is done");
        expect(client.user()?.sub === "alice", "another user");
        await rotate(client, simulator);
        await end(client, simulator);
      } finally {
        loopback.close();
        client.dispose();
      }
    },
  },
  {
    name: "device flow, and one that is denied",
    async run(simulator) {
      const client = await createClient(options(simulator));
      try {
        const denied = await client.deviceLogin();
        simulator.deny(denied.userCode);
        await refused(denied.finish(), "server_error_response");
        const prompt = await client.deviceLogin();
        const finished = prompt.finish();
        simulator.approve(prompt.userCode);
        expect((await finished).user?.sub === "alice", "another user");
      } finally {
        client.dispose();
      }
    },
  },
  {
    name: "client credentials, one request for a hundred callers",
    async run(simulator) {
      const { clientSecret } = simulator;
      const client = await createClient({
        ...options(simulator),
        scope: "read",
        clientAuth: { method: "client_secret_basic", clientSecret },
      });
      try {
        const source = client.clientCredentials();
        const before = simulator.count("/token");
        const tokens = await Promise.all(Array.from({ length: 100 }, () => source.accessToken()));
        expect(new Set(tokens).size === 1, "more than one token");
        expect(simulator.count("/token") === before + 1, "more than one request");
        const guard = await guardOf(simulator);
        const headers = new Headers({ authorization: `Bearer ${tokens[0]}` });
        const { principal } = await guard.check({ headers }, { scopes: ["read"] });
        guard.dispose();
        expect(principal?.clientId === simulator.clientId, "the token is not accepted");
      } finally {
        client.dispose();
      }
    },
  },
  {
    name: "a guard accepts a good token and refuses a forged one",
    async run(simulator) {
      const client = await createClient({
        ...options(simulator),
        clientAuth: { method: "client_secret_basic", clientSecret: simulator.clientSecret },
      });
      const guard = await guardOf(simulator);
      try {
        const token = await client.clientCredentials().accessToken();
        const [header, claims, signature = ""] = token.split(".");
        const flipped = signature.replace(/^./u, (first) => (first === "A" ? "B" : "A"));
        const forged = [header, claims, flipped].join(".");
        for (const [shown, code] of [
          [token, undefined],
          [forged, "signature_invalid"],
        ] as const) {
          const headers = new Headers({ authorization: `Bearer ${shown}` });
          const { refusal } = await guard.check({ headers });
          expect(refusal?.code === code, `refused with ${refusal?.code}, not ${code}`);
        }
      } finally {
        client.dispose();
        guard.dispose();
      }
    },
  },
  {
    name: "introspection, and a token that was revoked",
    async run(simulator) {
      const { clientId, clientSecret } = simulator;
      const client = await createClient({
        ...options(simulator),
        clientAuth: { method: "client_secret_basic", clientSecret },
      });
      const guard = await guardOf(simulator, {
        introspection: { clientId, clientSecret, tokens: "all", cache: { ttl: 0 } },
      });
      try {
        const token = await client.clientCredentials().accessToken();
        const headers = new Headers({ authorization: `Bearer ${token}` });
        expect((await guard.check({ headers })).principal !== undefined, "not accepted");
        await fetch(`${simulator.issuer}/revoke`, {
          method: "POST",
          body: new URLSearchParams({ token }),
        });
        const { refusal } = await guard.check({ headers });
        expect(refusal?.code === "token_inactive", "a revoked token was accepted");
      } finally {
        client.dispose();
        guard.dispose();
      }
    },
  },
  {
    name: "UserInfo, and what it says of somebody else, which is refused",
    async run(simulator) {
      const client = await signedIn(simulator);
      try {
        const { email, sub } = await client.userinfo();
        expect(sub === "alice" && email === "alice@example.com", "another user");
        simulator.tellOf("mallory");
        await refused(client.userinfo(), "claim_invalid");
      } finally {
        simulator.tellOf("alice");
        client.dispose();
      }
    },
  },
  {
    name: "token exchange (RFC 8693) for another API, with fewer scopes and never with more",
    async run(simulator) {
      const { clientSecret, otherAudience } = simulator;
      const user = await signedIn(simulator);
      const client = await createClient({
        ...options(simulator),
        clientAuth: { method: "client_secret_basic", clientSecret },
      });
      const guard = await guardOf(simulator, { audience: otherAudience });
      try {
        const subjectToken = await user.accessToken();
        const exchange = (scope: string): Promise<TokenSet> =>
          client.tokenExchange({
            subjectToken,
            subjectTokenType: "access_token",
            audience: otherAudience,
            scope,
          });
        const show = async (token: string): Promise<Checked> =>
          guard.check({ headers: new Headers({ authorization: `Bearer ${token}` }) });
        const { refusal } = await show(subjectToken);
        expect(refusal?.code === "audience_mismatch", "the first token is good for both APIs");
        const { accessToken } = await exchange("read");
        const { principal } = await show(accessToken);
        expect(principal?.subject === "alice", "the token is not accepted");
        expect(principal?.scopes.join(" ") === "read", "other scopes");
        await refused(exchange("read write"), "server_error_response");
      } finally {
        guard.dispose();
        client.dispose();
        user.dispose();
      }
    },
  },
  {
    name: "DPoP (RFC 9449): tokens that are bound to a key, and of no use without its proof",
    async run(simulator) {
      const api = `${simulator.audience}/me`;
      const guard = await guardOf(simulator, { dpop: "require" });
      const seen: Request[] = [];
      // The API is this process: nothing is sent to it.
      const send: typeof fetch = async (input, init) => {
        const request = new Request(input, init);
        if (!request.url.startsWith(simulator.audience)) return fetch(request);
        seen.push(request);
        const { response } = await guard.check(request);
        return response ?? new Response("yes");
      };
      const client = await signedIn(simulator, {
        dpop: true,
        allowedOrigins: simulator.audience,
        fetch: send,
      });
      try {
        expect((await client.fetch(api)).status === 200, "the token is not accepted");
        expect((await client.userinfo()).sub === "alice", "another user");
        await client.refresh();
        expect((await client.fetch(api)).status === 200, "the renewed token is not accepted");
        const overheard = Object.fromEntries(seen[0]?.headers ?? []);
        const token = await client.accessToken();
        for (const [headers, code] of [
          [{ authorization: `Bearer ${token}` }, "credential_missing"],
          [{ authorization: `DPoP ${token}` }, "dpop_invalid"],
          // Overheard, and shown once more.
          [overheard, "dpop_replayed"],
          [{ ...overheard, authorization: `DPoP ${token}` }, "dpop_invalid"],
        ] as const) {
          const { refusal } = await guard.check(new Request(api, { headers }));
          expect(refusal?.code === code, `refused with ${refusal?.code}, not ${code}`);
        }
      } finally {
        guard.dispose();
        client.dispose();
      }
    },
  },
];

/** Renews the session: the refresh token that was used is of no use any more. */
async function rotate(client: BackendClient, simulator: Simulator): Promise<void> {
  const before = await client.accessToken();
  const asked = simulator.count("/token");
  await Promise.all(Array.from({ length: 20 }, () => client.refresh()));
  expect(simulator.count("/token") === asked + 1, "twenty refreshes were not one");
  expect((await client.accessToken()) !== before, "the token is the old one");
}

/** Signs out: both tokens are ended at the provider. */
async function end(client: BackendClient, simulator: Simulator): Promise<void> {
  await client.signOutUrl();
  expect(simulator.count("/revoke") === 2, "the tokens were not revoked");
  await refused(client.accessToken(), "login_required");
}

export const selftest: Command = {
  name: "selftest",
  summary: "Runs every flow on this machine, with a provider of its own and no network.",
  settings: [],

  async run({ flags, terminal }) {
    const simulator = await simulate();
    const results: { name: string; ok: boolean; problem?: string }[] = [];
    try {
      for (const { name, run } of STEPS) {
        try {
          await run(simulator);
          results.push({ name, ok: true });
        } catch (error) {
          results.push({ name, ok: false, problem: (error as Error).message });
        }
        const { ok, problem } = results.at(-1) ?? { ok: false };
        const mark = ok ? terminal.out.green("ok  ") : terminal.out.red("FAIL");
        if (flags["json"] !== true) {
          terminal.out(`${mark} ${name}${problem === undefined ? "" : `: ${problem}`}`);
        }
      }
    } finally {
      simulator.close();
    }
    if (flags["json"] === true) terminal.out(JSON.stringify({ steps: results }));
    return results.every(({ ok }) => ok) ? 0 : EXIT.failed;
  },
};
