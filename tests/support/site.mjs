// A page that signs in, served on 127.0.0.1 for browsers that meet real providers.

import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";

import { build } from "esbuild";

const APP = `
  import { createClient, relayCallback } from "gatepass";
  const show = (id, text) => { document.getElementById(id).textContent = text; };
  const told = async (work) => {
    show("outcome", "...");
    try {
      show("outcome", "ok " + JSON.stringify((await work()) ?? null));
    } catch (error) {
      show("outcome", [error.name, error.code, error.phase, error.at, JSON.stringify(error.details)].join(" "));
    }
    const user = window.client.user();
    show("who", user ? "Hello " + user.sub : "Nobody");
  };
  const isCallback = location.pathname === "/callback";
  if (!isCallback || !(await relayCallback())) {
    const options = JSON.parse(document.getElementById("options").textContent);
    window.client = await createClient({ ...options, store: "session" });
    const on = (id, work) => { document.getElementById(id).onclick = () => void told(work); };
    on("in", () => client.signIn({ maxAge: 3600, returnTo: "/" }));
    on("popup", async () => (await client.signInPopup({ prompt: "login" }))?.user.sub);
    on("silent", async () => (await client.signInSilent()).user.sub);
    on("renew", () => client.refresh());
    on("out", () => client.signOut({ returnTo: "/goodbye" }));
    await told(async () => {
      if (isCallback) return (await client.handleCallback()).checks;
      return location.search === "" ? "ready" : client.handleSignOutCallback();
    });
  }
`;

/**
 * Serves the page.
 *
 * @param {string} project into which the package is installed
 * @param {(origin: string) => Promise<object>} optionsFor the client's options, once the origin is known
 */
export async function serveSite(project, optionsFor) {
  writeFileSync(join(project, "app.mjs"), APP);
  const { outputFiles } = await build({
    entryPoints: [join(project, "app.mjs")],
    bundle: true,
    format: "esm",
    write: false,
    logLevel: "error",
  });
  const script = outputFiles[0].text;
  let html;
  const server = createServer((request, response) => {
    const isScript = request.url === "/app.js";
    response.setHeader("content-type", isScript ? "text/javascript" : "text/html; charset=utf-8");
    response.end(isScript ? script : html);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const origin = `http://127.0.0.1:${server.address().port}`;
  const options = JSON.stringify(await optionsFor(origin));
  const buttons = ["in", "popup", "silent", "renew", "out"].map(
    (id) => `<button id="${id}">${id}</button>`,
  );
  html = `<!doctype html><meta charset="utf-8"><title>app</title><p id="who"></p><p id="outcome"></p>
    ${buttons.join("")}<script type="application/json" id="options">${options}</script>
    <script type="module" src="/app.js"></script>`;
  return {
    origin,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
