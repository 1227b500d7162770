// A browser as far as cookies go: it keeps what `Set-Cookie` says and sends it back, and says of its
// requests where they come from, as browsers do. Needs nothing but the web's own globals.

/**
 * @param {string} origin of the application
 * @param {(request: Request) => Promise<Response | undefined>} answer
 */
export function makeCookieBrowser(origin, answer) {
  /** @type {Map<string, string>} the values by name, the oldest first */
  const jar = new Map();
  /** @type {Map<string, string[]>} the attributes of the cookies that were set last */
  const attributes = new Map();

  function keep(response) {
    for (const line of response.headers.getSetCookie()) {
      const [pair, ...rest] = line.split(";").map((part) => part.trim());
      const at = pair.indexOf("=");
      const name = pair.slice(0, at);
      attributes.set(name, rest);
      if (rest.includes("Max-Age=0")) jar.delete(name);
      else jar.set(name, pair.slice(at + 1));
    }
  }

  async function send(path, { method = "GET", headers = {}, cookies = jar, body } = {}) {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    const url = new URL(path, origin);
    const request = new Request(url, {
      method,
      headers: { ...(cookie && { cookie }), ...headers },
      ...(body !== undefined && { body }),
    });
    const response = await answer(request);
    if (response) keep(response);
    return response;
  }

  const NAVIGATION = { "sec-fetch-mode": "navigate", "sec-fetch-dest": "document" };
  return {
    jar,
    attributes,
    send,
    keep,
    /** Follows a link, or types an address. */
    navigate: (path, site = "same-origin") =>
      send(path, { headers: { ...NAVIGATION, "sec-fetch-site": site } }),
    /** Sends a form of the application's own pages. */
    submit: (path, headers = {}) =>
      send(path, {
        method: "POST",
        headers: { ...NAVIGATION, "sec-fetch-site": "same-origin", origin, ...headers },
      }),
    /** As a script of the application's own pages. */
    fetch: (path, { method = "GET" } = {}) =>
      send(path, {
        method,
        headers: {
          "sec-fetch-mode": "cors",
          "sec-fetch-dest": "empty",
          "sec-fetch-site": "same-origin",
          ...(method !== "GET" && { origin }),
        },
      }),
  };
}
