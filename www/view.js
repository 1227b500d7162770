// Puts the state of the demo into the page. Whatever came from the network goes in as text, never as HTML.

import { REFUSALS, STEPS } from "./flow.js";

const byId = (id) => document.getElementById(id);

/** Claims that are checked and mean nothing to a reader; showing them would only invite copying. */
const KEPT_BACK = new Set(["nonce", "at_hash", "c_hash", "s_hash", "sid", "jti"]);
const TIMES = new Set(["exp", "iat", "nbf", "auth_time", "expiresAt"]);
const STATUS_WORDS = {
  waiting: "waiting",
  running: "running",
  done: "done",
  refused: "refused",
  failed: "failed",
};

/** Creates an element; children that are strings become text. */
function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== undefined && child !== null));
  return node;
}

// --- the flow ------------------------------------------------------------------------------------

/** The list items are made once; only what is in them changes, so that a drawn line is not drawn again. */
export function setUpSteps() {
  const make = (list, numberOf) => (step, index) => {
    const item = element(
      "li",
      {
        id: `step-${step.id}`,
        "data-status": "waiting",
        "data-from": step.from,
        "data-to": step.to,
      },
      element("div", { class: "wire", "aria-hidden": "true" }, element("span", { class: "arrow" })),
      element(
        "div",
        { class: "card" },
        element(
          "h3",
          {},
          element("span", { class: "number", "aria-hidden": "true" }, numberOf(index)),
          step.title,
        ),
        element("p", { class: "outcome" }),
        element("p", { class: "route" }, party(step.from), " to ", party(step.to)),
        element("p", { class: "about" }, step.about),
        element("div", { class: "details" }),
      ),
    );
    list.append(item);
  };
  STEPS.forEach(make(byId("steps"), (index) => String(index + 1)));
  REFUSALS.forEach(make(byId("refusals"), (index) => "AB"[index]));
}

const party = (name) => element("span", { "data-party": name }, name);

export function showStep(id, entry) {
  const item = byId(`step-${id}`);
  item.dataset.status = entry.status;
  const word = element("span", { class: "word" }, STATUS_WORDS[entry.status]);
  const time =
    entry.ms === undefined ? undefined : element("span", { class: "time" }, duration(entry.ms));
  item.querySelector(".outcome").replaceChildren(...[word, time].filter(Boolean));
  item.querySelector(".details").replaceChildren(...details(entry));
}

export function bringIntoView(id) {
  byId(id).scrollIntoView({ block: "nearest", behavior: wantsCalm() ? "auto" : "smooth" });
}

/** Before the browser leaves for the provider: long enough to see the step being drawn. */
export function timeToSee() {
  return new Promise((resolve) => setTimeout(resolve, wantsCalm() ? 0 : 700));
}

const wantsCalm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

function details(entry) {
  const rows = [];
  for (const request of entry.requests)
    rows.push(row("Sent", requestLine(request), chips(request.names, "name")));
  if (entry.checks.length) rows.push(row("Checked", chips(entry.checks, "check")));
  for (const [label, text] of entry.facts)
    rows.push(row(label, element("span", { class: "fact-value" }, text)));
  for (const [name, value] of entry.headers)
    rows.push(row("Header", element("code", {}, `${name}: ${value}`)));
  if (entry.error)
    rows.push(row("Error", element("code", {}, entry.error.code), ` ${entry.error.hint}`));
  if (entry.note) rows.push(element("p", { class: "note" }, entry.note));
  return rows;
}

function row(label, ...content) {
  return element(
    "div",
    { class: "row" },
    element("span", { class: "label" }, label),
    element("div", {}, ...content),
  );
}

function requestLine({ method, url, status, durationMs, code }) {
  const { pathname } = new URL(url);
  const outcome = status === undefined ? (code ?? "") : String(status);
  const time = durationMs === undefined ? "" : `, ${duration(durationMs)}`;
  return element(
    "p",
    { class: "request" },
    element("code", {}, `${method} ${pathname}`),
    outcome ? element("span", {}, ` ${outcome}${time}`) : "",
  );
}

function chips(words, kind) {
  if (!words.length) return undefined;
  return element("ul", { class: `chips ${kind}` }, ...words.map((word) => element("li", {}, word)));
}

/** A number stays with its unit where the line ends. */
function duration(ms) {
  if (ms < 1) return "under 1\u00a0ms";
  if (ms < 1000) return `${Math.round(ms)}\u00a0ms`;
  return `${(ms / 1000).toFixed(1)}\u00a0s`;
}

// --- the pass ------------------------------------------------------------------------------------

export function showPass(state, user, lifetime) {
  const pass = byId("pass");
  pass.dataset.state = state.signedIn ? "held" : "none";
  byId("pass-kind").textContent = state.signedIn ? "Pass" : "No pass yet";
  byId("pass-title").textContent = state.signedIn
    ? (user?.name ?? state.subject ?? "Signed in")
    : "Nobody is signed in";
  byId("pass-subject").textContent = state.signedIn ? (state.subject ?? "") : "Sign in to get one.";
  byId("pass-scope").textContent = state.signedIn ? (state.scope ?? "not told") : "none";
  byId("pass-renewal").textContent = state.signedIn && state.canRefresh ? "yes" : "no";
  showExpiry(state, lifetime);
  for (const button of document.querySelectorAll("[data-action]")) {
    button.hidden = (button.dataset.action === "signIn") === state.signedIn;
  }
}

/** Called every second while a pass is held. */
export function showExpiry(state, lifetime) {
  const left =
    state.signedIn && state.expiresAt
      ? Math.max(0, state.expiresAt - Math.floor(Date.now() / 1000))
      : 0;
  byId("pass-expiry").textContent = state.signedIn ? clock(left) : "not issued";
  byId("pass-left").value = lifetime ? Math.min(1, left / lifetime) : 0;
}

function clock(seconds) {
  if (seconds <= 0) return "expired";
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

/** `aria-disabled` and not `disabled`: a button that is pressed keeps the keyboard's focus. */
export function showBusy(busy) {
  for (const button of document.querySelectorAll("[data-action]"))
    button.setAttribute("aria-disabled", String(busy));
}

// --- tables, status, errors ----------------------------------------------------------------------

export function showClaims(claims) {
  showTable(byId("claims"), claims, "Nobody is signed in.");
}

export function showPrincipal(principal) {
  const shown = principal && {
    subject: principal.subject,
    issuer: principal.issuer,
    clientId: principal.clientId,
    scopes: principal.scopes,
    audience: principal.audience,
    expiresAt: principal.expiresAt,
  };
  showTable(byId("principal"), shown, "The worker has not let a request of this tab in yet.");
}

function showTable(place, values, emptyText) {
  if (!values) return place.replaceChildren(element("p", { class: "empty" }, emptyText));
  const rows = Object.entries(values)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) =>
      element(
        "tr",
        {},
        element("th", { scope: "row" }, name),
        element("td", {}, claimText(name, value)),
      ),
    );
  return place.replaceChildren(element("table", {}, element("tbody", {}, ...rows)));
}

function claimText(name, value) {
  if (KEPT_BACK.has(name)) return element("em", {}, "present, not shown");
  if (TIMES.has(name) && typeof value === "number")
    return `${new Date(value * 1000).toLocaleTimeString()} (${value})`;
  if (Array.isArray(value)) return value.join(", ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

export function showStatus(text) {
  byId("status").textContent = text;
}

export function showAddresses({ page, provider, worker }) {
  byId("address-page").textContent = page;
  byId("address-provider").textContent = provider;
  byId("address-worker").textContent = worker;
}

export function showError(error, retryLabel, retry) {
  const button = element("button", { type: "button", id: "retry" }, retryLabel);
  button.addEventListener("click", retry);
  const told = error.details?.error
    ? `The provider's words: ${error.details.error}${error.details.errorDescription ? `, ${error.details.errorDescription}` : ""}`
    : undefined;
  byId("error").replaceChildren(
    element("p", { class: "error-code" }, element("code", { id: "error-code" }, error.code)),
    element("p", { id: "error-hint" }, error.hint),
    error.phase
      ? element("p", { class: "told" }, `Came up at: ${error.phase.replaceAll("_", " ")}`)
      : "",
    told ? element("p", { class: "told" }, told) : "",
    button,
  );
  byId("error").hidden = false;
  bringIntoView("error");
}

export function hideError() {
  byId("error").hidden = true;
  byId("error").replaceChildren();
}
