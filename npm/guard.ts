/**
 * Checks the access tokens of an API's requests.
 *
 * @packageDocumentation
 */
import { guardEngine } from "./load/guard.js";
import { inline } from "./load/inline.js";
import { wasmBytes } from "./wasm/guard.inline.js";

guardEngine.configure(inline(wasmBytes));

export * from "./lib/guard.js";
export { GatepassError, type ErrorCode, type ErrorDetails, type Phase } from "./lib/errors.js";
