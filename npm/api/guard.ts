// The public names of `gatepass/guard`, whatever runs them: its entries hand these on.

export * from "../lib/guard.js";
export { GatepassError, type ErrorCode, type ErrorDetails, type Phase } from "../lib/errors.js";
