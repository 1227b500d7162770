// Pages of an application and its provider in real Chromium: every request is answered here, so
// nothing leaves this machine and the pages have https origins as in the world.

import { chromium } from "playwright-core";

const CORS = { "access-control-allow-origin": "*", "access-control-allow-headers": "*" };

/**
 * @param {object} [given]
 * @param {boolean} [given.popups] whether pages may open windows without a click
 */
export async function launch({ popups = true } = {}) {
  return chromium.launch({
    executablePath: process.env["CHROME"],
    args: ["--no-sandbox", "--disable-background-networking"],
    // Playwright lets every page open windows.
    ignoreDefaultArgs: popups ? [] : ["--disable-popup-blocking"],
  });
}

/**
 * Answers the requests of all pages of a context.
 *
 * @param {import("playwright-core").BrowserContext} context
 * @param {object} site
 * @param {string} site.origin of the application
 * @param {string} site.html its only page
 * @param {string} site.script its /app.js
 * @param {Record<string, string>} [site.headers] of the page
 * @param {object} site.provider of tests/support/provider.mjs
 * @param {(url: URL, request: import("playwright-core").Request) => object | undefined | Promise<object | undefined>} [site.answer]
 *   answers in place of the rest
 */
export async function serve(context, { origin, html, script, headers = {}, provider, answer }) {
  await context.route("**/*", async (route) => {
    const request = route.request();
    const url = new URL(request.url());
    const given = await answer?.(url, request);
    if (given === "abort") return route.abort();
    if (given) return route.fulfill(given);
    if (request.method() === "OPTIONS") return route.fulfill({ status: 204, headers: CORS });
    if (url.pathname === "/app.js") {
      return route.fulfill({ contentType: "text/javascript", body: script });
    }
    if (url.origin === origin) {
      return route.fulfill({ contentType: "text/html", body: html, headers });
    }
    if (url.pathname === "/authorize") {
      const back = provider.signInAt(url.href).replaceAll("&", "&amp;");
      return route.fulfill({
        contentType: "text/html",
        body: `<a id="back" href="${back}">Back</a>`,
      });
    }
    if (url.pathname === "/logout") {
      return route.fulfill({ contentType: "text/html", body: "<p id=bye>Signed out</p>" });
    }
    const body = request.postData() ?? undefined;
    const answered = await provider.fetch(url.href, { body, headers: request.headers() });
    return route.fulfill({
      status: answered.status,
      headers: { ...CORS, "content-type": "application/json" },
      body: await answered.text(),
    });
  });
}
