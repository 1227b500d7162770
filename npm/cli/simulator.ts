// A small OpenID provider on 127.0.0.1, for `selftest`: it says yes to everybody, and keeps to the
// protocols as a real one does. It is no provider to use: nobody signs in at it.

import {
  createHash,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  sign,
  verify,
} from "node:crypto";
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface Simulator {
  readonly issuer: string;
  readonly audience: string;
  /** Another API, for which a token can be exchanged. */
  readonly otherAudience: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** How often each path was asked. */
  count(path: string): number;
  /** Says yes to a code that was shown. */
  approve(userCode: string): void;
  /** Says no to it. */
  deny(userCode: string): void;
  /** Whom UserInfo is about from now on. */
  tellOf(sub: string): void;
  close(): void;
}

interface Grant {
  readonly scope: string;
  /** Whoever asks without a secret is a public client. */
  readonly clientId: string;
  readonly nonce?: string | undefined;
  /** The thumbprint of the key that it is bound to (RFC 9449). */
  readonly jkt?: string | undefined;
  /** Nobody is the client itself. */
  readonly sub?: string;
  readonly audience?: string;
}

/** What the DPoP header of a request says, once it was checked. */
type Proven = { readonly jkt?: string } | { readonly error: string };

const USER = "alice";
const AUDIENCE = "https://api.example";
const OTHER_AUDIENCE = "https://other-api.example";
const ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token";
const LIFETIME_S = 3600;
/** How far a proof's time may be from this clock's. */
const PROOF_S = 60;
const CLIENT = { id: "selftest", secret: randomBytes(24).toString("base64url") };

export type SimulatedClient = typeof CLIENT;

const name = (): string => randomBytes(24).toString("base64url");
const sha256 = (text: string): Buffer => createHash("sha256").update(text).digest();
type Jwk = Readonly<Record<"crv" | "kty" | "x" | "y", string>>;

const readPart = (text: string): unknown =>
  JSON.parse(Buffer.from(text, "base64url").toString("utf8"));
const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");

export async function simulate(client: SimulatedClient = CLIENT): Promise<Simulator> {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const { kty, crv, x, y } = createPublicKey(privateKey).export({ format: "jwk" });
  const keys = [{ kty, crv, x, y, kid: "1", alg: "ES256", use: "sig" }];
  const jwt = (claims: object, typ?: string): string => {
    const input = `${part({ alg: "ES256", kid: "1", ...(typ && { typ }) })}.${part(claims)}`;
    const key = { key: privateKey, dsaEncoding: "ieee-p1363" } as const;
    return `${input}.${sign("sha256", Buffer.from(input), key).toString("base64url")}`;
  };

  const codes = new Map<string, Grant & { challenge: string; redirectUri: string }>();
  const devices = new Map<string, Grant & { userCode: string; answer?: boolean }>();
  const refreshTokens = new Map<string, Grant>();
  const accessTokens = new Map<string, Grant>();
  const counts = new Map<string, number>();
  const proofs = new Set<string>();
  const dpopNonce = name();
  let issuer = "";
  let told = USER;

  const issueAccess = (grant: Grant): object => {
    const now = Math.floor(Date.now() / 1000);
    const { audience: aud = AUDIENCE, clientId, jkt, scope, sub = client.id } = grant;
    const claims = { iss: issuer, aud, sub, client_id: clientId, jti: name(), scope };
    const times = { iat: now, exp: now + LIFETIME_S };
    const access_token = jwt({ ...claims, ...times, ...(jkt && { cnf: { jkt } }) }, "at+jwt");
    accessTokens.set(access_token, grant);
    const token_type = jkt === undefined ? "Bearer" : "DPoP";
    return { access_token, token_type, expires_in: LIFETIME_S, scope };
  };

  /** What a user's login brings. */
  const issue = (grant: Omit<Grant, "sub">): object => {
    const { clientId, jkt, nonce, scope } = grant;
    const sub = USER;
    const answer = issueAccess({ ...grant, sub }) as { access_token: string };
    const { access_token } = answer;
    const now = Math.floor(Date.now() / 1000);
    const times = { iat: now, exp: now + LIFETIME_S };
    const refresh_token = name();
    refreshTokens.set(refresh_token, { clientId, jkt, scope });
    const at_hash = sha256(access_token).subarray(0, 16).toString("base64url");
    const user = { iss: issuer, aud: clientId, sub, nonce, at_hash, ...times };
    const isOpenId = scope.split(" ").includes("openid");
    return { ...answer, refresh_token, ...(isOpenId && { id_token: jwt(user) }) };
  };

  const no = (error: string, status = 400): readonly [number, object] => [status, { error }];

  /** Checks the proof of a request, where it has one (RFC 9449 section 4.3). */
  function prove({ headers, method }: IncomingMessage, path: string, token?: string): Proven {
    const proof = headers["dpop"];
    if (proof === undefined) return {};
    const [header = "", claims = "", signature = ""] = String(proof).split(".");
    try {
      const { alg, jwk, typ } = readPart(header) as { alg: unknown; jwk: Jwk; typ: unknown };
      const about = readPart(claims) as Record<string, unknown>;
      const { crv, kty, x, y } = jwk;
      const key = createPublicKey({ key: { crv, kty, x, y }, format: "jwk" });
      const isSigned = verify(
        "sha256",
        Buffer.from(`${header}.${claims}`),
        { key, dsaEncoding: "ieee-p1363" },
        Buffer.from(signature, "base64url"),
      );
      const ath = token === undefined ? undefined : sha256(token).toString("base64url");
      const isMeant =
        typ === "dpop+jwt" &&
        alg === "ES256" &&
        about["htm"] === method &&
        about["htu"] === issuer + path &&
        about["ath"] === ath &&
        Math.abs(Number(about["iat"]) - Date.now() / 1000) < PROOF_S;
      const jti = String(about["jti"]);
      if (!isSigned || !isMeant || proofs.has(jti)) return { error: "invalid_dpop_proof" };
      proofs.add(jti);
      if (about["nonce"] !== dpopNonce) return { error: "use_dpop_nonce" };
      // RFC 7638: these members in this order.
      return { jkt: sha256(JSON.stringify({ crv, kty, x, y })).toString("base64url") };
    } catch {
      return { error: "invalid_dpop_proof" };
    }
  }

  /** What the token endpoint answers. */
  function token(
    form: URLSearchParams,
    isClient: boolean,
    jkt: string | undefined,
  ): readonly [number, object] {
    const text = (member: string): string => form.get(member) ?? "";
    switch (text("grant_type")) {
      case "authorization_code": {
        const grant = codes.get(text("code"));
        codes.delete(text("code"));
        const challenge = sha256(text("code_verifier")).toString("base64url");
        const fits =
          grant?.challenge === challenge &&
          grant.redirectUri === text("redirect_uri") &&
          (grant.jkt === undefined || grant.jkt === jkt);
        return grant && fits ? [200, issue({ ...grant, jkt })] : no("invalid_grant");
      }
      case "refresh_token": {
        const grant = refreshTokens.get(text("refresh_token"));
        refreshTokens.delete(text("refresh_token"));
        return grant && grant.jkt === jkt ? [200, issue(grant)] : no("invalid_grant");
      }
      case "client_credentials":
        return isClient
          ? [200, issueAccess({ clientId: client.id, scope: text("scope"), jkt })]
          : no("invalid_client", 401);
      case "urn:ietf:params:oauth:grant-type:token-exchange":
        return isClient ? exchange(form, jkt) : no("invalid_client", 401);
      case "urn:ietf:params:oauth:grant-type:device_code": {
        const grant = devices.get(text("device_code"));
        if (!grant) return no("expired_token");
        if (grant.answer === undefined) return no("authorization_pending");
        devices.delete(text("device_code"));
        return grant.answer ? [200, issue({ ...grant, jkt })] : no("access_denied");
      }
      default:
        return no("unsupported_grant_type");
    }
  }

  /** One access token for another, of the same user and with no more scopes (RFC 8693). */
  function exchange(form: URLSearchParams, jkt: string | undefined): readonly [number, object] {
    const text = (member: string): string => form.get(member) ?? "";
    const types = [text("subject_token_type"), form.get("requested_token_type") ?? ACCESS_TOKEN];
    const grant = accessTokens.get(text("subject_token"));
    if (!grant || types.some((type) => type !== ACCESS_TOKEN)) return no("invalid_request");
    const audience = form.get("audience") ?? AUDIENCE;
    if (![AUDIENCE, OTHER_AUDIENCE].includes(audience)) return no("invalid_target");
    const granted = grant.scope.split(" ");
    const scope = form.get("scope") ?? grant.scope;
    if (!scope.split(" ").every((one) => granted.includes(one))) return no("invalid_scope");
    const answer = issueAccess({ ...grant, audience, clientId: client.id, jkt, scope });
    return [200, { ...answer, issued_token_type: ACCESS_TOKEN }];
  }

  /** Of whom a token is that comes with the proof it needs; else what is wrong. */
  function userOf(request: IncomingMessage, path: string): { error: string } | { sub: string } {
    const [scheme, token = ""] = (request.headers.authorization ?? "").split(" ");
    const grant = accessTokens.get(token);
    const isBound = grant?.jkt !== undefined;
    const isUser = grant?.sub !== undefined && grant.scope.split(" ").includes("openid");
    if (!isUser || scheme !== (isBound ? "DPoP" : "Bearer")) return { error: "invalid_token" };
    const proven: Proven = isBound ? prove(request, path, token) : {};
    if ("error" in proven) return proven;
    return proven.jkt === grant.jkt ? { sub: told } : { error: "invalid_token" };
  }

  function device(form: URLSearchParams): readonly [number, object] {
    const [deviceCode, userCode] = [name(), name().slice(0, 8).toUpperCase()];
    const clientId = form.get("client_id") ?? client.id;
    devices.set(deviceCode, { clientId, scope: form.get("scope") ?? "", userCode });
    return [
      200,
      {
        device_code: deviceCode,
        user_code: userCode,
        // A device login wants https; nobody goes there.
        verification_uri: "https://127.0.0.1/device",
        expires_in: 60,
        interval: 1,
      },
    ];
  }

  function introspect(form: URLSearchParams): object {
    const grant = accessTokens.get(form.get("token") ?? "");
    if (!grant) return { active: false };
    const exp = Math.floor(Date.now() / 1000) + LIFETIME_S;
    const { audience = AUDIENCE, jkt, scope, sub = client.id } = grant;
    const bound = jkt === undefined ? {} : { token_type: "DPoP", cnf: { jkt } };
    return { active: true, iss: issuer, aud: audience, sub, scope, exp, ...bound };
  }

  function revoke(form: URLSearchParams): void {
    const given = form.get("token") ?? "";
    refreshTokens.delete(given);
    accessTokens.delete(given);
  }

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const form = new URLSearchParams(Buffer.concat(chunks).toString());
    const { pathname, searchParams } = new URL(request.url ?? "/", issuer);
    counts.set(pathname, (counts.get(pathname) ?? 0) + 1);
    const basic = `Basic ${Buffer.from(`${client.id}:${client.secret}`).toString("base64")}`;
    const isClient = request.headers.authorization === basic;
    const json = (status: number, value: object, more: Record<string, string> = {}): void =>
      void response
        .writeHead(status, {
          "content-type": "application/json",
          "cache-control": "no-store",
          ...more,
        })
        .end(JSON.stringify(value));
    switch (pathname) {
      case "/.well-known/openid-configuration":
        return json(200, {
          issuer,
          authorization_endpoint: `${issuer}/authorize`,
          token_endpoint: `${issuer}/token`,
          device_authorization_endpoint: `${issuer}/device`,
          introspection_endpoint: `${issuer}/introspect`,
          revocation_endpoint: `${issuer}/revoke`,
          userinfo_endpoint: `${issuer}/userinfo`,
          jwks_uri: `${issuer}/jwks`,
          code_challenge_methods_supported: ["S256"],
          dpop_signing_alg_values_supported: ["ES256"],
          authorization_response_iss_parameter_supported: true,
        });
      case "/jwks":
        return json(200, { keys });
      case "/authorize": {
        const code = name();
        const text = (member: string): string => searchParams.get(member) ?? "";
        const isS256 = text("code_challenge_method") === "S256";
        codes.set(code, {
          challenge: isS256 ? text("code_challenge") : "",
          redirectUri: text("redirect_uri"),
          clientId: text("client_id"),
          scope: text("scope"),
          nonce: searchParams.get("nonce") ?? undefined,
          jkt: searchParams.get("dpop_jkt") ?? undefined,
        });
        const back = new URL(text("redirect_uri"));
        back.search = new URLSearchParams({ code, state: text("state"), iss: issuer }).toString();
        response.writeHead(302, { location: back.href }).end();
        return;
      }
      case "/token": {
        const proven = prove(request, pathname);
        return "error" in proven
          ? json(400, proven, { "dpop-nonce": dpopNonce })
          : json(...token(form, isClient, proven.jkt));
      }
      case "/userinfo": {
        const user = userOf(request, pathname);
        if (!("error" in user)) return json(200, { ...user, email: `${user.sub}@example.com` });
        const scheme = request.headers["dpop"] === undefined ? "Bearer" : "DPoP";
        const challenge = `${scheme} error="${user.error}"`;
        return json(401, user, { "www-authenticate": challenge, "dpop-nonce": dpopNonce });
      }
      case "/device":
        return json(...device(form));
      case "/introspect":
        return isClient ? json(200, introspect(form)) : json(401, { error: "invalid_client" });
      case "/revoke":
        revoke(form);
        response.end();
        return;
      default:
        return json(404, { error: "not_found" });
    }
  }

  const decide = (userCode: string, answer: boolean): void => {
    for (const [code, grant] of devices) {
      if (grant.userCode === userCode) devices.set(code, { ...grant, answer });
    }
  };
  const server = createServer((request, response) => {
    // What is no request of a flow, such as an authorization without a redirect address.
    handle(request, response).catch(() => response.writeHead(400).end());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    issuer,
    audience: AUDIENCE,
    otherAudience: OTHER_AUDIENCE,
    clientId: client.id,
    clientSecret: client.secret,
    count: (path) => counts.get(path) ?? 0,
    approve: (userCode) => decide(userCode, true),
    deny: (userCode) => decide(userCode, false),
    tellOf: (sub) => void (told = sub),
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
