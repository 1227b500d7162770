// A Worker at `backchannel_logout_uri`: the provider posts a logout token when a user signs out
// somewhere else, and the sessions that are kept in Workers KV under `sub:sid` end.

import { createLogoutReceiver } from "gatepass/backend";

let receiver;

export default {
  async fetch(request, env) {
    // One for the life of the isolate: it remembers keys and the tokens that were used.
    receiver ??= await createLogoutReceiver({
      issuer: env.ISSUER,
      clientId: env.CLIENT_ID,
      dangerouslyAllowHttpLoopback: env.DANGEROUSLY_ALLOW_HTTP_LOOPBACK === "true",
    });
    return receiver.receive(request, async (logout) => {
      const { keys } = await env.SESSIONS.list({ prefix: logout.sub && `${logout.sub}:` });
      const isOver = ({ name }) => {
        const [sub, sid] = name.split(":");
        return logout.ends({ iss: env.ISSUER, sub, sid });
      };
      await Promise.all(keys.filter(isOver).map(({ name }) => env.SESSIONS.delete(name)));
    });
  },
};
