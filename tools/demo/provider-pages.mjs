// The few HTML pages of the demo's OpenID provider: login, sign-out, error. No script, one stylesheet.

export function loginPage({ uid, message, login, users }) {
  const known = users.find((user) => user.login === login) ?? users[0];
  const others = users.map(
    (user) => `<li><code>${escape(user.login)}</code> / <code>${escape(user.password)}</code></li>`,
  );
  return page(
    "Sign in",
    `<h1>Sign in</h1>
    <p>The <strong>gatepass demo</strong> page wants to know who you are and asks for a pass to its API.</p>
    ${message ? `<p class="message" role="alert">${escape(message)}</p>` : ""}
    <form method="post" action="/interaction/${escape(uid)}">
      <label for="login">User name</label>
      <input id="login" name="login" autocomplete="username" autocapitalize="none" spellcheck="false" value="${escape(known.login)}" required>
      <label for="password">Password</label>
      <input id="password" name="password" type="password" autocomplete="current-password" value="${escape(known.password)}" required>
      <button type="submit">Sign in</button>
      <button type="submit" name="cancel" value="yes" class="quiet" formnovalidate>Cancel</button>
    </form>
    <details>
      <summary>Who can sign in here?</summary>
      <ul>${others.join("")}</ul>
    </details>`,
  );
}

/** `form` is oidc-provider's own form with its protection against forged requests; buttons point to it. */
export function logoutPage(form) {
  return page(
    "Sign out",
    `<h1>Sign out?</h1>
    <p>This ends your session at the provider, and with it the pass of the gatepass demo page.</p>
    ${form}
    <div class="buttons">
      <button type="submit" form="op.logoutForm" name="logout" value="yes">Yes, sign me out</button>
      <button type="submit" form="op.logoutForm" class="quiet">Only leave the demo page</button>
    </div>`,
  );
}

export function signedOutPage(pageOrigin) {
  return page(
    "Signed out",
    `<h1>Signed out</h1><p>Your session has ended. <a href="${escape(pageOrigin)}/">Back to the demo page</a></p>`,
  );
}

export function errorPage(description) {
  return page(
    "Sign-in stopped",
    `<h1>This did not work</h1><p>${escape(description)}</p><p>Go back to the demo page and start again.</p>`,
  );
}

function page(title, body) {
  return `<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <title>${escape(title)} · Demo provider</title>
  <link rel="icon" href="data:,">
  <link rel="stylesheet" href="/provider.css">
</head>
<body>
  <header><span class="seal" aria-hidden="true"></span>Demo provider<small>oidc-provider on this machine</small></header>
  <main>
    ${body}
  </main>
</body>
</html>`;
}

function escape(text) {
  const named = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return String(text).replace(/[&<>"']/g, (character) => named[character]);
}
