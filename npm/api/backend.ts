// The public names of `gatepass/backend`, whatever runs them: its entries hand these on.

export type * from "../lib/client.js";
export { relayCallback } from "../lib/relay.js";
export { clientCredentials, createClient, wrapFetch } from "../lib/backend.js";
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
  RequestObjectKey,
  SigningAlgorithm,
  TokenExchangeOptions,
  TokenSet,
  TokenSource,
  TokenType,
} from "../lib/backend.js";
export { createLogoutReceiver } from "../lib/logout.js";
export type {
  LogoutCheck,
  LogoutEvent,
  LogoutReceiver,
  LogoutReceiverOptions,
  LogoutToken,
} from "../lib/logout.js";
export { createCookieSessions } from "../lib/sessions.js";
export type {
  CookieKey,
  CookieSession,
  CookieSessionOptions,
  CookieSessionPaths,
  CookieSessions,
  ProtectSessionOptions,
} from "../lib/sessions.js";
export { registerClient } from "../lib/registration.js";
export type {
  ClientMetadata,
  ClientRegistration,
  RegisterClientOptions,
} from "../lib/registration.js";
export { discoverResource } from "../lib/resource.js";
export type { DiscoverResourceOptions, ProtectedResource } from "../lib/resource.js";
export type { ReplayStore } from "../lib/possession.js";
export { GatepassError, type ErrorCode, type ErrorDetails, type Phase } from "../lib/errors.js";
