/**
 * Everything of `gatepass`, and what servers and machines need: client authentication, client
 * credentials, token exchange, JWT bearer, device login. Not for pages, which cannot keep a secret.
 *
 * @packageDocumentation
 */
import { backendEngine } from "./load/backend.js";
import { inline } from "./load/inline.js";
import { wasmBytes } from "./wasm/backend.inline.js";

backendEngine.configure(inline(wasmBytes));

export type * from "./lib/client.js";
export { clientCredentials, createClient, wrapFetch } from "./lib/backend.js";
export type {
  BackendClient,
  BackendOptions,
  ClientAuth,
  ClientCredentialsOptions,
  DeviceLogin,
  DeviceLoginOptions,
  DeviceSignedIn,
  GrantOptions,
  JwtBearerOptions,
  RefreshTokenOptions,
  SigningAlgorithm,
  TokenExchangeOptions,
  TokenSet,
  TokenSource,
  TokenType,
} from "./lib/backend.js";
export { GatepassError, type ErrorCode, type ErrorDetails, type Phase } from "./lib/errors.js";
