// The entry for workerd, edge-light and unwasm: the module comes compiled.
import { edge } from "./load/edge.js";
import { guardEngine } from "./load/guard.js";
import module from "./wasm/guard.wasm?module";

guardEngine.configure(edge(module));

export * from "./lib/guard.js";
export { GatepassError, type ErrorCode, type ErrorDetails, type Phase } from "./lib/errors.js";
