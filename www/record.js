// Turns what the library reports while it works into entries of the flow's log: each request and each
// check is filed under the step that it belongs to.

/** Which step an event belongs to, by what the page is doing. `*` is the rest. */
const PLACES = {
  signIn: { discovery: "discovery", metadata: "discovery", "*": "redirect" },
  callback: {
    discovery: "callback",
    metadata: "callback",
    callback: "callback",
    token: "exchange",
    token_response: "exchange",
    keys: "identity",
    id_token: "identity",
  },
  refresh: { "*": "refresh" },
  signOut: { "*": "signOut" },
};

export function createRecorder(log) {
  let action;
  let current;

  const move = (step) => {
    if (current === step) return;
    if (current && log.entry(current).status === "running") log.finish(current);
    current = step;
    log.start(step);
  };
  const placeOf = (topic) => PLACES[action]?.[topic] ?? PLACES[action]?.["*"] ?? current;

  return {
    /** Says what the page does next and with which step that begins. */
    begin(name, step) {
      action = name;
      current = undefined;
      move(step);
    },
    move,
    current: () => current,

    /** For the option `onEvent`. */
    event(event) {
      if (event.type === "request") {
        const { purpose, method, url, status, durationMs, code } = event;
        const names = [...new Set(event.parameters)];
        log.addRequest(placeOf(purpose), { method, url, status, durationMs, code, names });
        // With the tokens here, what is left of a callback is to check the ID token.
        if (purpose === "token" && status === 200) move("identity");
      }
      if (event.type === "checked") {
        log.addChecks(placeOf(event.subject), event.checks);
        // With the callback checked, its code is sent.
        if (event.subject === "callback") move("exchange");
      }
    },
  };
}
