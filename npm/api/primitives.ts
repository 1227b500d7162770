// The public names of `gatepass/primitives`, whatever runs them: its entries hand these on.

export * from "../lib/primitives.js";
export { GatepassError, type ErrorCode, type ErrorDetails, type Phase } from "../lib/errors.js";
