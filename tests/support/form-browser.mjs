// A browser as far as a provider's own pages need one: cookies, redirects and forms.

/**
 * @template T
 * @param {string} app the origin of the application, where it stops
 * @param {(page: { url: string, body?: URLSearchParams }) => T} [arrive] what is made of where the
 *   application is reached, and of the form that is sent there
 * @returns {(start: string) => Promise<T>} fills in form after form: the URL at which the application is
 *   reached, unless `arrive` says otherwise
 */
export function makeFormBrowser(app, arrive = ({ url }) => url) {
  const cookies = new Map();
  const go = async (url, init = {}) => {
    for (let hops = 0; hops < 12; hops += 1) {
      if (url.startsWith(app)) return { url, body: init.body, html: "" };
      const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join("; ");
      const response = await fetch(url, { ...init, headers: { cookie }, redirect: "manual" });
      for (const line of response.headers.getSetCookie()) {
        const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
        if (value === "") cookies.delete(name);
        else cookies.set(name, value);
      }
      const location = response.headers.get("location");
      if (location === null) return { url, html: await response.text() };
      url = new URL(location, url).href;
      init = {};
    }
    throw new Error("redirected too often");
  };
  return async (start) => {
    let page = await go(start);
    for (let forms = 0; forms < 6 && !page.url.startsWith(app); forms += 1) {
      const action = /<form[^>]*action="([^"]*)"/.exec(page.html)?.[1];
      if (!action) throw new Error(`no way on from ${page.html.slice(0, 2000)}`);
      const fields = new URLSearchParams();
      for (const [input] of page.html.matchAll(/<input[^>]*>/g)) {
        const name = /name="([^"]*)"/.exec(input)?.[1];
        if (name !== undefined) fields.set(name, /value="([^"]*)"/.exec(input)?.[1] ?? "");
      }
      if (fields.has("login")) fields.set("login", "alice");
      if (fields.has("password")) fields.set("password", "any");
      if (page.html.includes('name="logout"')) fields.set("logout", "yes");
      page = await go(new URL(action, page.url).href, { method: "POST", body: fields });
    }
    return arrive(page);
  };
}
