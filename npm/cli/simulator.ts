// A small OpenID provider on 127.0.0.1, for `selftest`: it says yes to everybody, and keeps to the
// protocols as a real one does. It is no provider to use: nobody signs in at it.

import { createHash, createPublicKey, generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface Simulator {
  readonly issuer: string;
  readonly audience: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** How often each path was asked. */
  count(path: string): number;
  /** Says yes to a code that was shown. */
  approve(userCode: string): void;
  /** Says no to it. */
  deny(userCode: string): void;
  close(): void;
}

interface Grant {
  readonly scope: string;
  /** Whoever asks without a secret is a public client. */
  readonly clientId: string;
  readonly nonce?: string | undefined;
}

const AUDIENCE = "https://api.example";
const LIFETIME_S = 3600;
const CLIENT = { id: "selftest", secret: randomBytes(24).toString("base64url") };

export type SimulatedClient = typeof CLIENT;

const name = (): string => randomBytes(24).toString("base64url");
const sha256 = (text: string): Buffer => createHash("sha256").update(text).digest();
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
  let issuer = "";

  const issue = (grant: Grant, isUser = true): object => {
    const now = Math.floor(Date.now() / 1000);
    const times = { iat: now, exp: now + LIFETIME_S };
    const sub = isUser ? "alice" : client.id;
    const { clientId, scope, nonce } = grant;
    const access_token = jwt(
      { iss: issuer, aud: AUDIENCE, sub, client_id: clientId, jti: name(), scope, ...times },
      "at+jwt",
    );
    accessTokens.set(access_token, grant);
    const answer = { access_token, token_type: "Bearer", expires_in: LIFETIME_S, scope };
    if (!isUser) return answer;
    const refresh_token = name();
    refreshTokens.set(refresh_token, { clientId, scope });
    const at_hash = sha256(access_token).subarray(0, 16).toString("base64url");
    const user = { iss: issuer, aud: clientId, sub, nonce, at_hash, ...times };
    const isOpenId = scope.split(" ").includes("openid");
    return { ...answer, refresh_token, ...(isOpenId && { id_token: jwt(user) }) };
  };

  const no = (error: string, status = 400): readonly [number, object] => [status, { error }];

  /** What the token endpoint answers. */
  function token(form: URLSearchParams, isClient: boolean): readonly [number, object] {
    const text = (member: string): string => form.get(member) ?? "";
    switch (text("grant_type")) {
      case "authorization_code": {
        const grant = codes.get(text("code"));
        codes.delete(text("code"));
        const challenge = sha256(text("code_verifier")).toString("base64url");
        const fits = grant?.challenge === challenge && grant.redirectUri === text("redirect_uri");
        return grant && fits ? [200, issue(grant)] : no("invalid_grant");
      }
      case "refresh_token": {
        const grant = refreshTokens.get(text("refresh_token"));
        refreshTokens.delete(text("refresh_token"));
        return grant ? [200, issue(grant)] : no("invalid_grant");
      }
      case "client_credentials":
        return isClient
          ? [200, issue({ clientId: client.id, scope: text("scope") }, false)]
          : no("invalid_client", 401);
      case "urn:ietf:params:oauth:grant-type:device_code": {
        const grant = devices.get(text("device_code"));
        if (!grant) return no("expired_token");
        if (grant.answer === undefined) return no("authorization_pending");
        devices.delete(text("device_code"));
        return grant.answer ? [200, issue(grant)] : no("access_denied");
      }
      default:
        return no("unsupported_grant_type");
    }
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
    const { scope } = grant;
    return { active: true, iss: issuer, aud: AUDIENCE, sub: "alice", scope, exp };
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
    const json = (status: number, value: object): void =>
      void response
        .writeHead(status, { "content-type": "application/json", "cache-control": "no-store" })
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
          jwks_uri: `${issuer}/jwks`,
          code_challenge_methods_supported: ["S256"],
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
        });
        const back = new URL(text("redirect_uri"));
        back.search = new URLSearchParams({ code, state: text("state"), iss: issuer }).toString();
        response.writeHead(302, { location: back.href }).end();
        return;
      }
      case "/token":
        return json(...token(form, isClient));
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
  const server = createServer((request, response) => void handle(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    issuer,
    audience: AUDIENCE,
    clientId: client.id,
    clientSecret: client.secret,
    count: (path) => counts.get(path) ?? 0,
    approve: (userCode) => decide(userCode, true),
    deny: (userCode) => decide(userCode, false),
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
