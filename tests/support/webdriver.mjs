// Drives browsers by WebDriver: Chromium and WebKitGTK through their drivers over HTTP, Firefox by
// Marionette, its own socket for the same commands. Nothing but Node is needed for it.

import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { isCI } from "../../tools/lib/programs.mjs";
import { freePort } from "./port.mjs";
import { until } from "./until.mjs";

/** The first of these programs that is installed. */
function find(...names) {
  for (const name of names) {
    if (name.startsWith("/")) {
      if (existsSync(name)) return name;
      continue;
    }
    try {
      return execFileSync("sh", ["-c", `command -v ${name}`], { encoding: "utf8" }).trim();
    } catch {
      // Not this one.
    }
  }
  return undefined;
}

/**
 * The browsers that are known: for each why its tests are skipped, and how it is started. Nothing is
 * skipped in CI: there what is not installed fails when it is started.
 *
 * @returns {Record<string, { missing: string | false, start?: (options?: { popups?: boolean }) => Promise<Browser> }>}
 *   `popups: false` leaves a page without a click the right to open windows that users give it: none
 */
export function browsers() {
  const chromium = process.env["CHROME"] ?? find("chromium", "chromium-browser", "google-chrome");
  const chromedriver = find("chromedriver");
  const firefox = find("firefox-esr", "firefox");
  const webkitDriver = find("WebKitWebDriver");
  const miniBrowser = find(
    "/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser",
    "/usr/lib/x86_64-linux-gnu/webkit2gtk-4.0/MiniBrowser",
    "/usr/lib/aarch64-linux-gnu/webkit2gtk-4.1/MiniBrowser",
  );
  const xvfb = find("xvfb-run");
  const either = (needed, start) => {
    const absent = Object.keys(needed).filter((name) => needed[name] === undefined);
    if (absent.length === 0) return { missing: false, start };
    const missing = `not installed: ${absent.join(", ")}`;
    if (!isCI(process.env)) return { missing };
    return { missing: false, start: () => Promise.reject(new Error(missing)) };
  };
  return {
    Chromium: either({ chromium, chromedriver }, ({ popups = true } = {}) =>
      overHttp(chromedriver, [], (port) => [`--port=${port}`], {
        "goog:chromeOptions": {
          binary: chromium,
          args: ["--headless", "--no-sandbox", "--disable-dev-shm-usage"],
          // The driver lets every page open windows.
          excludeSwitches: popups ? [] : ["disable-popup-blocking"],
        },
      }),
    ),
    Firefox: either({ firefox }, (options) => overMarionette(firefox, options)),
    // Without a display it hangs, and it has no mode that needs none.
    WebKitGTK: either(
      { WebKitWebDriver: webkitDriver, MiniBrowser: miniBrowser, "xvfb-run": xvfb },
      () =>
        overHttp(xvfb, ["-a", webkitDriver], (port) => [`--port=${port}`], {
          "webkitgtk:browserOptions": { binary: miniBrowser, args: ["--automation"] },
        }),
    ),
  };
}

/** A process with all that it starts, which are ended together. */
function begin(program, args, env = {}) {
  const child = spawn(program, args, {
    stdio: "ignore",
    detached: true,
    env: { ...process.env, ...env },
  });
  child.on("error", () => {});
  return () => {
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch {
      // It is gone already.
    }
  };
}

async function overHttp(program, before, args, capabilities) {
  const port = await freePort();
  const end = begin(program, [...before, ...args(port)]);
  const base = `http://127.0.0.1:${port}`;
  const request = async (method, path, body) => {
    const response = await fetch(base + path, {
      method,
      headers: { "content-type": "application/json" },
      ...(body && { body: JSON.stringify(body) }),
    });
    const { value } = await response.json();
    if (!response.ok) throw new Error(`${path}: ${value?.error}: ${value?.message}`);
    return value;
  };
  try {
    await until("the driver answers", () => fetch(`${base}/status`).then(() => true));
    const { sessionId } = await request("POST", "/session", {
      capabilities: { alwaysMatch: capabilities },
    });
    const at = `/session/${sessionId}`;
    return new Browser({
      open: (url) => request("POST", `${at}/url`, { url }),
      url: () => request("GET", `${at}/url`),
      script: (script, args) => request("POST", `${at}/execute/sync`, { script, args }),
      find: (css) => request("POST", `${at}/element`, { using: "css selector", value: css }),
      click: (id) => request("POST", `${at}/element/${id}/click`, {}),
      clear: (id) => request("POST", `${at}/element/${id}/clear`, {}),
      type: (id, text) => request("POST", `${at}/element/${id}/value`, { text }),
      windows: () => request("GET", `${at}/window/handles`),
      window: () => request("GET", `${at}/window`),
      switchTo: (handle) => request("POST", `${at}/window`, { handle }),
      quit: async () => {
        await request("DELETE", at).catch(() => {});
        end();
      },
    });
  } catch (error) {
    end();
    throw error;
  }
}

/** What keeps Firefox from talking to anybody but the test. */
const FIREFOX_PREFERENCES = {
  "marionette.port": 0,
  "app.update.enabled": false,
  "browser.shell.checkDefaultBrowser": false,
  "browser.startup.page": 0,
  "datareporting.policy.dataSubmissionEnabled": false,
  "network.captive-portal-service.enabled": false,
  "network.connectivity-service.enabled": false,
  "toolkit.telemetry.enabled": false,
};

async function overMarionette(firefox, { popups = true } = {}) {
  const profile = mkdtempSync(join(tmpdir(), "gatepass-firefox-"));
  // What Marionette recommends to itself lets every page open windows.
  const preferences = { ...FIREFOX_PREFERENCES, "remote.prefs.recommended": popups };
  const lines = Object.entries(preferences).map(
    ([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});`,
  );
  writeFileSync(join(profile, "user.js"), lines.join("\n"));
  const kill = begin(firefox, ["-headless", "-marionette", "-no-remote", "-profile", profile], {
    HOME: profile,
    MOZ_HEADLESS: "1",
  });
  const end = () => {
    kill();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    const portFile = join(profile, "MarionetteActivePort");
    const port = await until("Firefox names its port", () =>
      Number(readFileSync(portFile, "utf8")),
    );
    const send = await marionette(port);
    await send("WebDriver:NewSession", { capabilities: { alwaysMatch: {} } });
    const value = async (command, parameters) => (await send(command, parameters)).value;
    return new Browser({
      open: (url) => send("WebDriver:Navigate", { url }),
      url: () => value("WebDriver:GetCurrentURL"),
      script: (script, args) => value("WebDriver:ExecuteScript", { script, args }),
      find: (css) => value("WebDriver:FindElement", { using: "css selector", value: css }),
      click: (id) => send("WebDriver:ElementClick", { id }),
      clear: (id) => send("WebDriver:ElementClear", { id }),
      type: (id, text) => send("WebDriver:ElementSendKeys", { id, text }),
      windows: () => send("WebDriver:GetWindowHandles"),
      window: () => value("WebDriver:GetWindowHandle"),
      switchTo: (handle) => send("WebDriver:SwitchToWindow", { handle }),
      quit: async () => end(),
    });
  } catch (error) {
    end();
    throw error;
  }
}

/** Messages are `length:[0, id, command, parameters]`, answers `length:[1, id, error, result]`. */
async function marionette(port) {
  const socket = connect(port, "127.0.0.1");
  await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  const waiting = new Map();
  let buffer = Buffer.alloc(0);
  socket.on("error", () => {});
  socket.on("data", (chunk) => {
    buffer = Buffer.concat([buffer, chunk]);
    for (;;) {
      const colon = buffer.indexOf(":");
      const length = Number(buffer.subarray(0, Math.max(colon, 0)).toString());
      if (colon < 0 || buffer.length < colon + 1 + length) return;
      const message = JSON.parse(buffer.subarray(colon + 1, colon + 1 + length).toString());
      buffer = buffer.subarray(colon + 1 + length);
      // The first one is no answer: it says who is there.
      if (!Array.isArray(message)) continue;
      const [, id, error, result] = message;
      const { resolve, reject, command } = waiting.get(id);
      waiting.delete(id);
      if (error) reject(new Error(`${command}: ${error.error}: ${error.message}`));
      else resolve(result);
    }
  });
  let serial = 0;
  return (command, parameters = {}) =>
    new Promise((resolve, reject) => {
      const id = ++serial;
      waiting.set(id, { resolve, reject, command });
      const text = JSON.stringify([0, id, command, parameters]);
      socket.write(`${Buffer.byteLength(text)}:${text}`);
    });
}

class Browser {
  #commands;

  constructor(commands) {
    this.#commands = commands;
  }

  open(url) {
    return this.#commands.open(url);
  }

  url() {
    return this.#commands.url();
  }

  /** Runs the body of a function in the page. */
  run(script, ...args) {
    return this.#commands.script(script, args);
  }

  /** The element, once it is there and can be used. */
  async #element(css) {
    const found = await until(`there is ${css}`, () => this.#commands.find(css));
    return Object.values(found)[0];
  }

  async has(css) {
    return (await this.run("return document.querySelector(arguments[0]) !== null", css)) === true;
  }

  /** Clicks as a user does. */
  async click(css) {
    await until(`${css} was clicked`, async () => {
      await this.#commands.click(await this.#element(css));
      return true;
    });
  }

  async type(css, text) {
    const id = await this.#element(css);
    await this.#commands.clear(id);
    await this.#commands.type(id, text);
  }

  /** The text of an element, once it is one that is waited for. */
  async text(css, expected) {
    const read = `const it = document.querySelector(arguments[0]); return it && it.textContent`;
    let last;
    try {
      return await until(`${css} reads ${expected}`, async () => {
        last = await this.run(read, css);
        return expected.test(last ?? "") ? last : undefined;
      });
    } catch (error) {
      throw new Error(`${css} reads ${JSON.stringify(last)} and not ${expected}`, { cause: error });
    }
  }

  window() {
    return this.#commands.window();
  }

  windows() {
    return this.#commands.windows();
  }

  switchTo(handle) {
    return this.#commands.switchTo(handle);
  }

  quit() {
    return this.#commands.quit();
  }
}
