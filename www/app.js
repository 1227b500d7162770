// The demo page. It uses the published package like any other page would, and tells what happens:
// the actions behind the buttons are here, the log is in flow.js and record.js, the drawing in view.js.

import { createClient } from "gatepass";
import { callApi, tamper } from "./api.js";
import { openLog, REFUSALS, STEPS } from "./flow.js";
import { createRecorder } from "./record.js";
import { setUpTheme } from "./theme.js";
import * as view from "./view.js";

const SIGNED_OUT = { signedIn: false };
const EVERY_STEP = [...STEPS, ...REFUSALS].map(({ id }) => id);

let config;
let client;
let busy = false;
let lifetime = 0; // seconds from issue to expiry, for the bar on the pass
let answering = false; // from the provider's redirect back until its answer is dealt with

const log = openLog(sessionStorage, (id) => view.showStep(id, log.entry(id)));
const recorder = createRecorder(log);

// --- what the buttons do -------------------------------------------------------------------------

const actions = {
  /** Loads the configuration and the library; runs once, before anything else. */
  async start() {
    config ??= await readConfig();
    view.showAddresses({
      page: location.host,
      provider: new URL(config.issuer).host,
      worker: new URL(config.api).host,
    });
    client ??= await createClient({
      issuer: config.issuer,
      clientId: config.clientId,
      redirectUri: `${location.origin}/callback`,
      postLogoutRedirectUri: `${location.origin}/`,
      scope: config.scope,
      resource: config.resource,
      onEvent,
      dangerouslyAllowHttpLoopback: true, // the demo's provider is http://127.0.0.1; yours is https
    });
    if (location.pathname === "/callback") {
      answering = true;
      return actions.callback();
    }
    return arrive();
  },

  async signIn() {
    log.clear(EVERY_STEP);
    view.showPrincipal(null);
    recorder.begin("signIn", "discovery");
    // `signIn()` would do both; the page takes the address first to name the parameters in it.
    const url = await client.signInUrl({ returnTo: "/" });
    recorder.move("redirect");
    log.addRequest("redirect", navigation(url));
    view.showStatus("Going to the provider's login form.");
    await view.timeToSee();
    location.assign(url);
    return new Promise(() => {}); // the page is leaving: stay busy until it has
  },

  async callback() {
    if (log.entry("redirect").status === "running") {
      log.finish("redirect", { note: "The time at the login form is included." });
    }
    recorder.begin("callback", "callback");
    const { user, returnTo } = await client.handleCallback(); // takes the answer out of the address first
    log.finish("identity", { facts: [["Result", `${user.name ?? user.sub} is signed in`]] });
    answering = false;
    history.replaceState(null, "", returnTo ?? "/");
    view.showStatus(`Signed in as ${user.name ?? user.sub}. Steps 1 to 5 are done.`);
  },

  async call() {
    const step = log.entry("refresh").status === "done" ? "again" : "call";
    recorder.begin("call", step);
    const answer = await callApi(`${config.api}/api/me`, await client.accessToken());
    log.addRequest(step, answer.request);
    if (!answer.ok) throw surprise(answer);
    const { principal, checks } = answer.body;
    view.showPrincipal(principal);
    log.addChecks(step, checks);
    log.finish(step, {
      facts: [["Let in", `${principal.subject}, with ${principal.scopes.join(" ")}`]],
    });
    view.showStatus(`The worker let the request in for ${principal.subject}.`);
  },

  async refresh() {
    recorder.begin("refresh", "refresh");
    const before = client.state().expiresAt;
    await client.refresh();
    const gained = client.state().expiresAt - before;
    log.finish("refresh", {
      facts: [["Result", `new pass, valid ${gained} s longer than the old one`]],
    });
    view.showStatus("The pass was renewed.");
  },

  async admin() {
    recorder.begin("call", "admin");
    const answer = await callApi(`${config.api}/api/admin`, await client.accessToken());
    expectRefusal("admin", 403, answer);
  },

  async tamper() {
    recorder.begin("call", "tamper");
    const answer = await callApi(`${config.api}/api/me`, tamper(await client.accessToken()));
    expectRefusal("tamper", 401, answer);
  },

  async signOut() {
    recorder.begin("signOut", "signOut");
    const url = await client.signOutUrl();
    showWhoIsSignedIn();
    log.addRequest("signOut", navigation(url));
    view.showStatus("Signed out here; going to the provider.");
    await view.timeToSee();
    location.assign(url);
    return new Promise(() => {}); // leaving, as above
  },
};

/** The two attempts that must fail: being refused with this status is their success. */
function expectRefusal(step, status, answer) {
  log.addRequest(step, answer.request);
  if (answer.status !== status) throw surprise(answer);
  log.refuse(step, {
    facts: [["Answer", `${status} ${answer.statusText}`]],
    headers: [["WWW-Authenticate", answer.challenge ?? "not readable for this page"]],
  });
  view.showStatus(`Refused with ${status}, as it should be.`);
}

/** The worker answered, but not with what was asked for. */
function surprise({ status, challenge, statusText }) {
  const hint = `The worker answered with ${status}: ${challenge ?? statusText}`;
  return { code: "unexpected_answer", phase: "api call", hint, retryable: true };
}

// --- the frame around every action ---------------------------------------------------------------

async function run(name) {
  if (busy) return;
  setBusy(true);
  view.hideError();
  try {
    await actions[name]();
  } catch (error) {
    failed(name, error);
  } finally {
    setBusy(false);
    showWhoIsSignedIn();
  }
}

function failed(name, error) {
  const told = describe(error);
  const step = recorder.current();
  if (step) log.fail(step, { code: told.code, hint: told.hint });
  const { action, label } = wayOn(name, told.retryable);
  view.showStatus(`Stopped: ${told.code}.`);
  view.showError(told, label, () => run(action));
}

/** What can be done about a failure: the same again, unless only a new sign-in can help. */
function wayOn(name, retryable) {
  if (retryable) return { action: answering ? "callback" : name, label: "Try again" };
  if (answering) {
    answering = false;
    history.replaceState(null, "", "/");
  } else if (name === "start" || client.state().signedIn) {
    return { action: name, label: "Try again" };
  }
  return { action: "signIn", label: "Sign in again" };
}

/** The library's errors have a code; whatever else is thrown here is a mistake of this page. */
function describe(error) {
  if (typeof error?.code === "string") return error;
  reportError(error);
  return {
    code: "page_error",
    hint: "This page made a mistake; reload it and try again.",
    retryable: false,
  };
}

function setBusy(value) {
  busy = value;
  view.showBusy(value);
}

function showWhoIsSignedIn() {
  const state = client?.state() ?? SIGNED_OUT;
  view.showPass(state, client?.user(), lifetime);
  view.showClaims(client?.user() ?? null);
}

function onEvent(event) {
  recorder.event(event);
  const step = recorder.current();
  if (step) view.bringIntoView(`step-${step}`);
  if (event.type === "signed_in" || event.type === "refreshed") {
    lifetime = client.state().expiresAt - Math.floor(Date.now() / 1000);
  }
}

// --- arriving ------------------------------------------------------------------------------------

/** The page was opened, reloaded, left at the login form, or is back from the provider's sign-out. */
function arrive() {
  if (log.entry("signOut").status === "running") {
    log.finish("signOut", { facts: [["Result", "back from the provider, no tokens here"]] });
    return view.showStatus("Signed out: the tokens are gone, and the provider has sent you back.");
  }
  if (log.entry("redirect").status === "running") {
    log.wait("redirect", "The browser came back without an answer. Sign in again.");
  }
  if (log.entry("identity").status === "done" && log.entry("signOut").status !== "done") {
    return view.showStatus(
      "Tokens are kept in memory only, and the page was reloaded. Sign in: the provider still knows you.",
    );
  }
  return view.showStatus("Ready. Sign in to begin.");
}

async function readConfig() {
  try {
    const response = await fetch("/config.json");
    return await response.json();
  } catch {
    throw {
      code: "config_unreachable",
      hint: "The demo's own server did not answer; check that `npm run demo` is still running.",
      retryable: true,
    };
  }
}

/** Where the browser goes next, as a request with the names of its parameters. */
function navigation(url) {
  return {
    method: "GET",
    url: url.origin + url.pathname,
    names: [...new Set(url.searchParams.keys())],
  };
}

setUpTheme(document.getElementById("theme"));
view.setUpSteps();
for (const id of EVERY_STEP) view.showStep(id, log.entry(id));
for (const button of document.querySelectorAll("[data-action]")) {
  button.addEventListener("click", () => run(button.dataset.action));
}
// Coming back by the Back button can revive the page just as it was left: busy, with a step running.
addEventListener("pageshow", (event) => {
  if (event.persisted) {
    setBusy(false);
    arrive();
    showWhoIsSignedIn();
  }
});
setInterval(() => client && view.showExpiry(client.state(), lifetime), 1000);
view.showPrincipal(null);
run("start");
