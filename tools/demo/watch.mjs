// Watches a journey from outside the page: which secrets come up, so that they can be looked for where they must
// not be, what is written to the console, and whether the content security policy had to refuse anything.

import { createHash } from "node:crypto";

/**
 * @param {import("playwright-core").Page} page
 * @param {import("./start.mjs").Demo} demo
 */
export async function watch(page, demo) {
  const secrets = new Set();
  const states = new Set();
  const tokens = [];
  const messages = [];
  const violations = [];
  const tolerated = new Set();
  let authorization = new URLSearchParams();
  let verifier = "";
  let bearer = "";
  let tokensAt = 0;

  const keep = (...values) => values.filter(Boolean).forEach((value) => secrets.add(value));

  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.href.startsWith(`${demo.provider.origin}/auth?`)) {
      authorization = url.searchParams;
      states.add(authorization.get("state"));
      keep(authorization.get("nonce"), authorization.get("code_challenge"));
    }
    if (url.origin === demo.worker.origin) {
      bearer = request.headers().authorization?.replace(/^Bearer /, "") ?? bearer;
    }
  });
  // Asked of the provider itself, because a browser does not keep what a page received and left.
  demo.provider.onGrant((sent, answer) => {
    verifier = sent.code_verifier ?? verifier;
    tokens.push(answer);
    tokensAt = Date.now();
    keep(sent.code, sent.code_verifier);
    keep(answer.access_token, answer.refresh_token, answer.id_token);
  });
  page.on("console", (message) =>
    messages.push({ text: message.text(), url: message.location().url }),
  );
  page.on("pageerror", (error) => messages.push({ text: `uncaught: ${error.message}`, url: "" }));
  await page.exposeFunction("reportViolation", (text) => violations.push(text));
  await page.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) => {
      globalThis.reportViolation(`${event.effectiveDirective} refused ${event.blockedURI}`);
    });
  });

  /** Chromium itself reports failed requests there; those of a planned failure are no surprise. */
  const isPlanned = ({ text, url }) =>
    text.startsWith("Failed to load resource") &&
    [...tolerated].some((origin) => url.startsWith(origin));
  const isTelling = ({ text }) => [...secrets, ...states].some((secret) => text.includes(secret));

  return {
    /** The parameters of the last authorization request. */
    authorization: () => authorization,
    /** The answers of the token endpoint, in order. */
    tokens: () => tokens,
    lastBearer: () => bearer,
    verifierFits: () =>
      createHash("sha256").update(verifier).digest("base64url") ===
      authorization.get("code_challenge"),

    /** What must be nowhere once a sign-in is complete. */
    secrets: () => [...secrets],
    /** A used state is worth nothing, and the library stores it to recognise a callback that comes twice. */
    states: () => [...states],

    secondAfterTokens: () =>
      new Promise((resolve) => setTimeout(resolve, Math.max(0, tokensAt + 1100 - Date.now()))),
    expectFailures: (origin) => tolerated.add(origin),
    violations: () => violations,
    unexpectedMessages: () =>
      messages.filter((message) => !isPlanned(message)).map(({ text }) => text),
    secretsOnConsole: () => messages.filter(isTelling).length,
  };
}
