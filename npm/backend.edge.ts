// The entry for workerd, edge-light and unwasm: the module comes compiled.
import { backendEngine } from "./load/backend.js";
import { edge } from "./load/edge.js";
import module from "./wasm/backend.wasm?module";

backendEngine.configure(edge(module));

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
