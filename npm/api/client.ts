// The public names of `gatepass`, whatever runs them: its entries hand these on.

export { createClient } from "../lib/client.js";
export type * from "../lib/client.js";
export { wrapFetch, type TokenSource } from "../lib/fetch.js";
export { relayCallback } from "../lib/relay.js";
export { GatepassError, type ErrorCode, type ErrorDetails, type Phase } from "../lib/errors.js";
