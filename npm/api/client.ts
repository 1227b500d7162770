// The public names of `gatepass`, whatever runs them: its entries hand these on.

export * from "../lib/client.js";
export { GatepassError, type ErrorCode, type ErrorDetails, type Phase } from "../lib/errors.js";
