/**
 * Signs users in with OAuth 2.1 and OpenID Connect.
 *
 * @packageDocumentation
 */
import { clientEngine } from "./load/client.js";
import { inline } from "./load/inline.js";
import { wasmBytes } from "./wasm/client.inline.js";

clientEngine.configure(inline(wasmBytes));

export { createClient } from "./lib/client.js";
export type * from "./lib/client.js";
export { wrapFetch, type TokenSource } from "./lib/fetch.js";
export { relayCallback } from "./lib/relay.js";
export { GatepassError, type ErrorCode, type ErrorDetails, type Phase } from "./lib/errors.js";
