// The entry for workerd, edge-light and unwasm: the module comes compiled.
import { clientEngine } from "./load/client.js";
import { edge } from "./load/edge.js";
import module from "./wasm/client.wasm?module";

clientEngine.configure(edge(module));

export { createClient } from "./lib/client.js";
export type * from "./lib/client.js";
export { wrapFetch, type TokenSource } from "./lib/fetch.js";
export { relayCallback } from "./lib/relay.js";
export { GatepassError, type ErrorCode, type ErrorDetails, type Phase } from "./lib/errors.js";
