// The smallest page that signs somebody in and calls an API. The three addresses come from the file .env.

import { createClient } from "gatepass";

const { VITE_ISSUER, VITE_CLIENT_ID, VITE_API, VITE_API_AUDIENCE, DEV } = import.meta.env;
const byId = (id) => document.getElementById(id);
const here = location.origin + location.pathname;

const client = await createClient({
  issuer: VITE_ISSUER,
  clientId: VITE_CLIENT_ID,
  redirectUri: here,
  postLogoutRedirectUri: here,
  scope: "openid profile read",
  resource: VITE_API_AUDIENCE,
  dangerouslyAllowHttpLoopback: DEV, // only for a provider on your own machine
});

byId("sign-in").onclick = () => attempt(() => client.signIn());
byId("sign-out").onclick = () => attempt(() => client.signOut());
byId("call").onclick = () =>
  attempt(async () => {
    const token = await client.accessToken(); // renewed by itself when it is about to expire
    const response = await fetch(`${VITE_API}/api/me`, {
      headers: { authorization: `Bearer ${token}` },
    });
    byId("answer").textContent = JSON.stringify(await response.json(), null, 2);
  });

// The provider sends the browser back here with an answer in the address.
const address = new URLSearchParams(location.search);
if (address.has("code") || address.has("error")) await attempt(() => client.handleCallback());
else if (address.has("state")) await attempt(() => client.handleSignOutCallback());
show();

/** Every error of gatepass says what happened and what to do about it. */
async function attempt(action) {
  try {
    await action();
  } catch (error) {
    byId("answer").textContent = error.message;
  }
  show();
}

function show() {
  const user = client.user();
  byId("status").textContent = user
    ? `Signed in as ${user.name ?? user.sub}.`
    : "Nobody is signed in.";
  byId("sign-in").hidden = user !== null;
  byId("sign-out").hidden = byId("call").hidden = user === null;
}
