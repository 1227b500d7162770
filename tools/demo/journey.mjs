// Plays the whole demo in Chromium and checks it: what the page shows, what went over the network, and that no
// token, code or verifier is left anywhere. Runs under `npm run demo -- --headless` and in the tests.

import { mkdir, rm } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";

import { createReport } from "./report.mjs";
import { watch } from "./watch.mjs";

const WIDE = { width: 1280, height: 860 };
const MEDIUM = { width: 768, height: 1024 };
const NARROW = { width: 375, height: 812 };
const WAIT_MS = 8000;

/** Chromium asks nobody outside for updates, lists or models while it is driven. */
const CHROMIUM_ARGS = [
  "--no-sandbox",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/**
 * Answers whether every check passed.
 *
 * @param {object} options
 * @param {import("./start.mjs").Demo} options.demo
 * @param {string | undefined} options.chromium
 * @param {string} options.screenshots folder, emptied first
 * @param {AbortSignal} options.signal
 */
export async function playJourney({ demo, chromium, screenshots, signal }) {
  signal.throwIfAborted();
  const { chromium: playwright } = await import("playwright-core");
  await rm(screenshots, { recursive: true, force: true });
  await mkdir(screenshots, { recursive: true });

  const report = createReport();
  const browser = await playwright.launch({
    executablePath: chromium,
    args: CHROMIUM_ARGS,
    handleSIGINT: false, // stopping is the caller's business, in one place
    handleSIGTERM: false,
    handleSIGHUP: false,
  });
  const aborted = new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  try {
    const context = await browser.newContext({
      viewport: WIDE,
      colorScheme: "light",
      reducedMotion: "reduce",
    });
    const page = await context.newPage();
    page.setDefaultTimeout(WAIT_MS);
    const scene = { demo, page, context, report, screenshots, watch: await watch(page, demo) };
    await Promise.race([play(scene), aborted]).catch(async (error) => {
      report.failed("the journey goes on to its end", String(error?.message ?? error));
      await page
        .screenshot({ path: join(screenshots, "failure.png"), fullPage: true })
        .catch(() => {});
    });
  } finally {
    await browser.close();
  }
  await demo.stop();
  const open = await Promise.all(
    [demo.page, demo.provider, demo.worker].map(({ origin }) => answers(origin)),
  );
  report.equal("afterwards nothing listens any more", open.filter(Boolean).length, 0);
  return report.close();
}

/** The acts, in order; each builds on the one before. */
async function play(scene) {
  await arrive(scene);
  await signInWhileTheProviderIsAway(scene);
  await logIn(scene);
  await comeBack(scene);
  await callTheApi(scene);
  await beRefused(scene);
  await refreshWhileTheProviderIsAway(scene);
  await callAgain(scene);
  await lookAround(scene);
  await signOut(scene);
  await cancelTheLogin(scene);
  await loseTheTokenRequest(scene);
  await playTheSmallExample(scene);
  await leaveNothingBehind(scene);
}

// --- the acts ------------------------------------------------------------------------------------

async function arrive({ demo, page, report, screenshots }) {
  report.title("Arriving");
  const response = await page.goto(demo.page.origin);
  const policy = response.headers()["content-security-policy"];
  report.includes(
    "the page comes with a strict policy",
    policy,
    "script-src 'self' 'wasm-unsafe-eval'; style-src 'self'",
  );
  report.equal(
    "and without inline scripts or styles",
    await page.locator("script:not([src]), style, [style]").count(),
    0,
  );
  await statusSays(page, "Ready.");
  report.equal("nine steps wait", await page.locator('#steps [data-status="waiting"]').count(), 9);
  await page.keyboard.press("Tab");
  report.equal(
    "the first tab stop is the skip link",
    await page.evaluate(() => document.activeElement.className),
    "skip",
  );
  await page.evaluate(() => document.activeElement.blur());
  await shoot(page, screenshots, "1-start", { report });
}

async function signInWhileTheProviderIsAway({ demo, page, report, screenshots, watch }) {
  report.title("Signing in while the provider is away");
  await demo.provider.stop();
  watch.expectFailures(demo.provider.origin);
  await press(page, "signIn");
  report.equal("the page says why", await errorCode(page), "upstream_unreachable");
  report.equal("the first step has failed", await stepStatus(page, "discovery"), "failed");
  report.matches("with a hint what to do", await page.locator("#error-hint").textContent(), /\w+/);
  await shoot(page, screenshots, "2-provider-away", { fullPage: false });

  await demo.provider.start();
  await page.locator("#retry").click();
  await page.waitForURL(`${demo.provider.origin}/interaction/**`);
  report.passed("after its return the retry goes on to the login form");

  const asked = watch.authorization();
  report.equal("the request is for a code", asked.get("response_type"), "code");
  report.equal("with PKCE by SHA-256", asked.get("code_challenge_method"), "S256");
  report.equal("the challenge has 43 characters", asked.get("code_challenge")?.length, 43);
  report.equal(
    "state and nonce are there and differ",
    Boolean(asked.get("state") && asked.get("nonce") && asked.get("state") !== asked.get("nonce")),
    true,
  );
}

async function logIn({ page, report, screenshots }) {
  report.title("The login form");
  report.equal("the demo user is filled in", await page.locator("#login").inputValue(), "ada");
  await shoot(page, screenshots, "3-login", { fullPage: false });
  await page.locator("#password").fill("wrong");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("alert").waitFor();
  report.passed("a wrong password is told so");
  await page.locator("#password").fill("engine");
  await page.getByRole("button", { name: "Sign in" }).click();
}

async function comeBack({ demo, page, report, watch }) {
  report.title("The callback");
  await stepBecomes(page, "identity", "done");
  report.equal("the code is gone from the address", page.url(), `${demo.page.origin}/`);
  for (const step of ["discovery", "redirect", "callback", "exchange", "identity"]) {
    report.equal(`step ${step} is done`, await stepStatus(page, step), "done");
  }
  report.equal(
    "the pass names the user",
    await page.locator("#pass-title").textContent(),
    "Ada Lovelace",
  );
  report.contains("state and issuer of the answer were checked", await checksOf(page, "callback"), [
    "state",
    "iss",
  ]);
  const names = ["grant_type", "code", "redirect_uri", "client_id", "code_verifier"];
  report.contains(
    "the exchange sent the code with its verifier",
    await sentNamesOf(page, "exchange"),
    names,
  );
  report.contains("the answer's members were checked", await checksOf(page, "exchange"), [
    "access_token",
    "token_type",
    "id_token",
  ]);
  const claims = ["iss", "aud", "exp", "iat", "nonce"];
  const checks = await checksOf(page, "identity");
  report.contains("the ID token's claims were checked", checks, claims);
  report.equal(
    "and its signature",
    checks.some((check) => check.startsWith("signature")),
    true,
  );
  report.equal("the table shows whose it is", await tableValue(page, "claims", "sub"), "user-1815");
  report.equal("the verifier sent is the one that was promised", watch.verifierFits(), true);
}

async function callTheApi({ page, report }) {
  report.title("The worker lets in");
  const button = page.locator('[data-action="call"]');
  await button.focus();
  await page.keyboard.press("Enter");
  await stepBecomes(page, "call", "done");
  report.passed("the call goes through, by keyboard");
  report.contains("the worker says what it checked", await checksOf(page, "call"), [
    "typ",
    "signature RS256",
    "iss",
    "aud",
    "exp",
    "scope",
  ]);
  const subject = await tableValue(page, "principal", "subject");
  report.equal(
    "the principal is the user who signed in",
    subject,
    await tableValue(page, "claims", "sub"),
  );
  report.equal(
    "with the scope that was granted",
    await tableValue(page, "principal", "scopes"),
    "read",
  );
  report.equal(
    "the button keeps the focus",
    await button.evaluate((node) => node === document.activeElement),
    true,
  );
}

async function beRefused({ demo, page, report, watch }) {
  report.title("The worker refuses");
  watch.expectFailures(demo.worker.origin);
  await press(page, "admin");
  await stepBecomes(page, "admin", "refused");
  const admin = await page.locator("#step-admin .details").innerText();
  report.includes("without the scope: 403", admin, "403");
  report.includes("and the challenge names the reason", admin, 'error="insufficient_scope"');
  await press(page, "tamper");
  await stepBecomes(page, "tamper", "refused");
  const tampered = await page.locator("#step-tamper .details").innerText();
  report.includes("a tampered token: 401", tampered, "401");
  report.matches("and a readable challenge", tampered, /Bearer [^\n]*error="invalid_token"/);
  report.equal(
    "the user is still signed in",
    await page.locator("#pass").getAttribute("data-state"),
    "held",
  );
}

async function refreshWhileTheProviderIsAway({ demo, page, report, watch, screenshots }) {
  report.title("Refreshing, the provider away for a moment");
  await demo.provider.stop();
  await press(page, "refresh");
  report.equal("the page says why", await errorCode(page), "upstream_unreachable");
  report.equal(
    "the pass is not lost",
    await page.locator("#pass").getAttribute("data-state"),
    "held",
  );
  await shoot(page, screenshots, "4-refresh-failed", { fullPage: false });
  await press(page, "call");
  await stepBecomes(page, "call", "done");
  report.passed("and still opens the door");

  await demo.provider.start();
  await watch.secondAfterTokens(); // expiry counts in whole seconds
  await press(page, "refresh");
  await stepBecomes(page, "refresh", "done");
  const result = await page.locator("#step-refresh .fact-value").innerText();
  report.equal(
    "after its return the new pass is valid longer",
    Number(/(\d+) s longer/.exec(result)?.[1]) >= 1,
    true,
  );
  const [first, second] = watch.tokens();
  report.equal("the access token is another one", first.access_token !== second.access_token, true);
  report.equal(
    "and the refresh token was replaced",
    first.refresh_token !== second.refresh_token,
    true,
  );
}

async function callAgain({ page, report, watch }) {
  report.title("Calling again");
  await press(page, "call");
  await stepBecomes(page, "again", "done");
  report.equal("the new token was sent", watch.lastBearer(), watch.tokens()[1].access_token);
  report.equal(
    "and is the same person's",
    await tableValue(page, "principal", "subject"),
    "user-1815",
  );
}

async function lookAround({ demo, page, context, report, screenshots, watch }) {
  report.title("Looking around");
  await shoot(page, screenshots, "5-signed-in", { report });
  report.equal("nothing secret is in the page or its storage", await leaks(page, watch), "");
  report.equal("the provider's session lives", await silentAnswer(context, demo), "code");
}

async function signOut({ demo, page, context, report, screenshots, watch }) {
  report.title("Signing out");
  const { refresh_token: refreshToken } = watch.tokens().at(-1);
  await press(page, "signOut");
  await page.waitForURL(`${demo.provider.origin}/session/end**`);
  await shoot(page, screenshots, "6-sign-out", { fullPage: false });
  await page.getByRole("button", { name: "Yes, sign me out" }).click();
  await stepBecomes(page, "signOut", "done");
  report.equal(
    "the browser is back on the page",
    new URL(page.url()).origin + new URL(page.url()).pathname,
    `${demo.page.origin}/`,
  );
  report.equal(
    "nobody is signed in here",
    await page.locator("#pass").getAttribute("data-state"),
    "none",
  );
  report.equal("nor at the provider", await silentAnswer(context, demo), "login_required");
  report.equal(
    "the refresh token is worth nothing",
    await refreshAnswer(demo, refreshToken),
    "invalid_grant",
  );
  await shoot(page, screenshots, "7-signed-out");
}

async function cancelTheLogin({ demo, page, report }) {
  report.title("Cancelling the login");
  await press(page, "signIn");
  await page.waitForURL(`${demo.provider.origin}/interaction/**`);
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.waitForURL(`${demo.page.origin}/**`);
  report.equal("the page says why", await errorCode(page), "server_error_response");
  report.includes(
    "and what the provider said",
    await page.locator("#error").innerText(),
    "access_denied",
  );
  report.equal("the address is clean", page.url(), `${demo.page.origin}/`);
}

async function loseTheTokenRequest({ demo, page, report, watch }) {
  report.title("Losing the token request");
  await page.locator("#retry").click();
  await page.waitForURL(`${demo.provider.origin}/interaction/**`);
  await page.route(`${demo.provider.origin}/token`, (route) => route.abort(), { times: 1 });
  watch.expectFailures(demo.provider.origin);
  await page.locator("#login").fill("grace");
  await page.locator("#password").fill("compiler");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL(`${demo.page.origin}/**`);
  report.equal("the page says why", await errorCode(page), "upstream_unreachable");
  report.equal("in the step that failed", await stepStatus(page, "exchange"), "failed");
  const before = watch.authorization();
  await page.locator("#retry").click();
  await stepBecomes(page, "identity", "done");
  report.equal(
    "the same answer is tried again, without the provider's form",
    watch.authorization(),
    before,
  );
  report.equal(
    "a second try completes the sign-in",
    await page.locator("#pass-title").textContent(),
    "Grace Hopper",
  );
  report.equal("nothing secret is in the page or its storage", await leaks(page, watch), "");

  await page.reload();
  await statusSays(page, "Tokens are kept in memory only");
  report.equal(
    "a reload forgets the tokens and says so",
    await page.locator("#pass").getAttribute("data-state"),
    "none",
  );
}

async function playTheSmallExample({ demo, page, report }) {
  report.title("The smallest page: examples/spa");
  await page.goto(`${demo.page.origin}/spa/`);
  await page.getByRole("button", { name: "Sign in" }).click(); // the provider still knows Grace
  await page.locator("#status", { hasText: "Signed in as Grace Hopper." }).waitFor();
  report.equal("it signs in", page.url(), `${demo.page.origin}/spa/`);
  await page.getByRole("button", { name: "Call the API" }).click();
  await page.locator("#answer", { hasText: "user-1906" }).waitFor();
  report.passed("it calls the API");
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("button", { name: "Yes, sign me out" }).click();
  await page.locator("#status", { hasText: "Nobody is signed in." }).waitFor();
  report.equal("it signs out", page.url(), `${demo.page.origin}/spa/`);
}

async function leaveNothingBehind({ report, watch }) {
  report.title("Through all of it");
  report.equal("no violation of the policy", watch.violations().join("\n"), "");
  report.equal("nothing on the console", watch.unexpectedMessages().join("\n"), "");
  report.equal("nothing secret on the console", watch.secretsOnConsole(), 0);
}

// --- reading the page ----------------------------------------------------------------------------

const press = (page, action) =>
  page.locator(`[data-action="${action}"][aria-disabled="false"]`).click();
const stepStatus = (page, step) => page.locator(`#step-${step}`).getAttribute("data-status");
const checksOf = (page, step) => page.locator(`#step-${step} .chips.check li`).allInnerTexts();
const sentNamesOf = (page, step) => page.locator(`#step-${step} .chips.name li`).allInnerTexts();
const tableValue = (page, table, name) =>
  page
    .locator(`#${table} tr`, { has: page.locator(`th:text-is("${name}")`) })
    .locator("td")
    .innerText();
const errorCode = (page) => page.locator("#error:not([hidden]) #error-code").textContent();
const statusSays = (page, text) => page.locator("#status", { hasText: text }).waitFor();

/** Says which status the step has instead, or what error the page shows; a bare timeout would not help anybody. */
async function stepBecomes(page, step, status) {
  try {
    await page.locator(`#step-${step}[data-status="${status}"]`).waitFor();
    await page
      .locator('[data-action][aria-disabled="true"]')
      .first()
      .waitFor({ state: "detached" });
  } catch {
    const found = await stepStatus(page, step).catch(() => "not there");
    const error = await page
      .locator("#error")
      .innerText({ timeout: 100 })
      .catch(() => "");
    throw new Error(
      `step ${step} should be ${status} and is ${found} at ${new URL(page.url()).pathname}. ${error}`,
    );
  }
}

/** All widths in both colour schemes; with a report, also that nothing sticks out and all is within reach. */
async function shoot(page, folder, name, { fullPage = true, report } = {}) {
  for (const viewport of [WIDE, MEDIUM, NARROW]) {
    await page.setViewportSize(viewport);
    await page.evaluate((top) => top && scrollTo(0, 0), fullPage);
    await page
      .locator("#error:not([hidden])")
      .scrollIntoViewIfNeeded({ timeout: 100 })
      .catch(() => {});
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      await page.screenshot({
        path: join(folder, `${name}-${viewport.width}-${colorScheme}.png`),
        fullPage,
      });
    }
    const width = await page.evaluate(() => document.scrollingElement.scrollWidth);
    report?.equal(
      `at ${viewport.width} px nothing needs scrolling sideways`,
      width <= viewport.width,
      true,
    );
    const isWithinReach = await page.evaluate(() => {
      // In the middle of the steps, where somebody is who watches them.
      scrollTo(0, document.scrollingElement.scrollHeight / 2);
      const buttons = [...document.querySelectorAll(".actions button:not([hidden])")];
      return buttons.every((button) => {
        const { top, bottom } = button.getBoundingClientRect();
        return top >= 0 && bottom <= innerHeight;
      });
    });
    report?.equal(`at ${viewport.width} px the buttons are on the screen`, isWithinReach, true);
  }
  await page.setViewportSize(WIDE);
  await page.emulateMedia({ colorScheme: "light" });
}

/** Names the places where a secret of this journey, or anything that looks like a token, is found. */
async function leaks(page, watch) {
  const places = await page.evaluate(() => ({
    page: document.documentElement.outerHTML,
    address: location.href,
    title: document.title,
    sessionStorage: JSON.stringify(sessionStorage),
    localStorage: JSON.stringify(localStorage),
    cookies: document.cookie,
    historyState: JSON.stringify(history.state),
  }));
  const found = ([place, text]) => {
    const forbidden = [...watch.secrets(), ...(place === "sessionStorage" ? [] : watch.states())];
    return /eyJ[\w-]{8}/.test(text) || forbidden.some((secret) => text.includes(secret));
  };
  return Object.entries(places)
    .filter(found)
    .map(([place]) => place)
    .join(", ");
}

// --- asking the parts directly -------------------------------------------------------------------

/** Asks the provider with this browser's cookies whether somebody is signed in; answers "code" or the error. */
async function silentAnswer(context, demo) {
  const { API, CLIENT_ID } = await import("./provider.mjs");
  const url = new URL(`${demo.provider.origin}/auth`);
  url.search = new URLSearchParams({
    response_type: "code",
    client_id: CLIENT_ID,
    redirect_uri: `${demo.page.origin}/callback`,
    scope: "openid read",
    resource: API,
    prompt: "none",
    code_challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", // of RFC 7636; nobody redeems this code
    code_challenge_method: "S256",
  }).toString();
  const response = await context.request.get(url.href, { maxRedirects: 0 });
  const answer = new URL(response.headers().location).searchParams;
  return answer.has("code") ? "code" : answer.get("error");
}

async function refreshAnswer(demo, refreshToken) {
  const { CLIENT_ID } = await import("./provider.mjs");
  const body = new URLSearchParams({
    grant_type: "refresh_token",
    client_id: CLIENT_ID,
    refresh_token: refreshToken,
  });
  const response = await fetch(`${demo.provider.origin}/token`, { method: "POST", body });
  return (await response.json()).error;
}

function answers(origin) {
  const { hostname, port } = new URL(origin);
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname);
    socket
      .once("connect", () => resolve(true) || socket.destroy())
      .once("error", () => resolve(false));
  });
}
