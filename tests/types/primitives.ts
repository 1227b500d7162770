// Nothing here runs: compiling is the assertion.
import {
  authorizationUrl,
  checkClaims,
  createPkce,
  decodeJwt,
  discover,
  engine,
  exchangeCode,
  parseCallback,
  refreshTokens,
} from "gatepass/primitives";
import type {
  CallbackCode,
  CheckedClaims,
  ErrorCode,
  GatepassError,
  IdClaims,
  IssuerMetadata,
  Pkce,
  StepOptions,
  TokenResponse,
} from "gatepass/primitives";

type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const proof = <T extends true>(): T => true as T;

const issuer: IssuerMetadata = await discover({ issuer: "https://login.example.com" });
const client: StepOptions = { issuer, clientId: "app", redirectUri: "https://app.example.com/cb" };
const { url, login } = await authorizationUrl(client, { prompt: "login" });
const code: CallbackCode = await parseCallback(client, login, new URL(url));
const tokens: TokenResponse = await exchangeCode(client, login, code.code);
proof<Equal<typeof tokens.idToken, string | undefined>>();
const checked: CheckedClaims = await checkClaims(client, tokens.idToken ?? "", { login });
proof<Equal<typeof checked.claims, IdClaims>>();
proof<Equal<Awaited<ReturnType<typeof refreshTokens>>, TokenResponse>>();
proof<Equal<Awaited<ReturnType<typeof createPkce>>, Pkce>>();
proof<Equal<Awaited<ReturnType<typeof decodeJwt>>["claims"]["sub"], unknown>>();
proof<Equal<ReturnType<typeof engine>, "wasm" | "js" | undefined>>();
proof<Equal<GatepassError["code"], ErrorCode>>();
// @ts-expect-error discovery is a step of its own
await authorizationUrl({ ...client, issuer: "https://login.example.com" });
// @ts-expect-error sessions are not kept here
await authorizationUrl({ ...client, store: "local" });
// @ts-expect-error there is no session to take a hint from
await authorizationUrl(client, { idTokenHint: true });
