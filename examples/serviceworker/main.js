// A page that signs somebody in and calls an API, and never sees a token. It loads no WebAssembly.

import { openSession } from "gatepass/serviceworker";

import { api } from "./config.js";

const byId = (id) => document.getElementById(id);
const session = await openSession({ worker: "/worker.js" });

byId("sign-in").onclick = () => attempt(() => session.signIn());
byId("sign-out").onclick = () => attempt(() => session.signOut());
byId("call").onclick = () =>
  attempt(async () => {
    const response = await fetch(`${api}/api/me`); // the worker adds the token
    byId("answer").textContent = JSON.stringify(await response.json(), null, 2);
  });

// The browser ended the worker: a new session, without asking the user.
session.on("session_lost", () => attempt(() => session.signIn({ prompt: "none" })));
session.on("signed_out", show); // in another tab

// The provider sends the browser back here with an answer in the address.
const address = new URLSearchParams(location.search);
if (address.has("code") || address.has("error")) await attempt(() => session.handleCallback());
else if (address.has("state")) await attempt(() => session.handleSignOutCallback());
await show();

/** Every error of gatepass says what happened and what to do about it. */
async function attempt(action) {
  try {
    await action();
  } catch (error) {
    byId("answer").textContent = error.message;
  }
  await show();
}

async function show() {
  const user = await session.user();
  byId("status").textContent = user
    ? `Signed in as ${user.name ?? user.sub}.`
    : "Nobody is signed in.";
  byId("sign-in").hidden = user !== null;
  byId("sign-out").hidden = byId("call").hidden = user === null;
}
