// The browser's half of a sign-in by FedCM: asks it for a token, and for the end of a connection.
// What is asked for, and what a token is worth, is decided by the core.

import { isSignal } from "./windows.js";

/** What one sign-in by the browser's own account chooser asks for. */
export interface FedCmOptions {
  /**
   * The provider's configuration for FedCM, such as `"https://accounts.example/fedcm.json"`; its
   * documentation says where it is.
   */
  readonly configUrl: string;
  /**
   * `"active"`: the user asked for it; call it directly in the handler of a click. `"passive"`: the
   * browser may offer it by itself, and stays silent for a while after somebody closed it.
   * @defaultValue the browser's, which is `"passive"`
   */
  readonly mode?: "active" | "passive";
  /** What the browser's dialog calls it. @defaultValue the browser's, which is `"signin"` */
  readonly context?: "continue" | "signin" | "signup" | "use";
  /**
   * Whether somebody who was here before signs in without being asked: `"optional"` where the
   * browser thinks that it may be so, `"required"` never, `"silent"` so or not at all.
   * @defaultValue `"optional"`
   */
  readonly mediation?: "optional" | "required" | "silent";
  /** Whom the user wants to sign in as. @defaultValue everybody whom the provider names is offered */
  readonly loginHint?: string;
  /** The domain of whom the user wants to sign in as. @defaultValue none */
  readonly domainHint?: string;
  /** More parameters for the provider; `nonce` is gatepass's own. @defaultValue none */
  readonly params?: Readonly<Record<string, string>>;
  /**
   * What happens where the browser gives no token, for whatever reason (`fedcm_unavailable`,
   * `fedcm_dismissed`): the call is rejected, or the page itself goes to the provider.
   * @defaultValue `"error"`
   */
  readonly whenUnavailable?: "redirect" | "error";
  /** Where the application goes on when the page went to the provider. @defaultValue none */
  readonly returnTo?: string;
  /** Gives up; the call is rejected with its reason. @defaultValue none */
  readonly signal?: AbortSignal;
}

/** What of the options is for the browser alone. */
export const FOR_HOST = {
  mediation: (value: unknown): boolean =>
    value === "optional" || value === "required" || value === "silent",
  returnTo: (value: unknown): boolean => typeof value === "string",
  signal: isSignal,
  whenUnavailable: (value: unknown): boolean => value === "redirect" || value === "error",
} as const;

/** What a connection is ended with. */
export interface Connection {
  readonly configURL: string;
  readonly clientId: string;
  readonly accountHint?: string;
}

/** The browser's own, which TypeScript does not know everywhere. */
interface IdentityCredentials {
  disconnect?(connection: Connection): Promise<void>;
}

/** How long signing out waits for the end of a connection, in milliseconds. */
const PATIENCE = 3000;

/** Why there is no token: what the browser says of it. */
export class NoToken {
  readonly name: string;
  /** The provider's own code, where it refused; browsers call it by two names. */
  readonly code: string | undefined;

  constructor(thrown: unknown) {
    const { name, error, code } = Object(thrown) as Record<string, unknown>;
    this.name = typeof name === "string" ? name : "";
    const said = [error, code].find((value) => typeof value === "string" && value !== "");
    this.code = said as string | undefined;
  }
}

/**
 * Asks the browser for a token; nothing where it gave an answer that is no text.
 *
 * @throws {@link NoToken}
 */
export async function askBrowser(
  identity: unknown,
  options: Pick<FedCmOptions, "mediation" | "signal">,
): Promise<string | undefined> {
  // Without it browsers read the request as one for a password.
  if (!("IdentityCredential" in globalThis)) throw new NoToken(undefined);
  let credential;
  try {
    credential = await navigator.credentials.get({ ...options, identity } as never);
  } catch (thrown) {
    throw new NoToken(thrown);
  }
  // What browsers answer where nobody was to be asked and nobody is there.
  if (credential === null) throw new NoToken({ name: "NetworkError" });
  const { token } = credential as { readonly token?: unknown };
  return typeof token === "string" ? token : undefined;
}

/** Ends a connection, and lets nobody be signed in again without being asked; whether it could. */
export async function disconnect(connection: Connection | undefined): Promise<boolean> {
  const { IdentityCredential } = globalThis as { IdentityCredential?: IdentityCredentials };
  const end = async (): Promise<boolean> => {
    await navigator.credentials.preventSilentAccess();
    if (connection === undefined) return true;
    if (!IdentityCredential?.disconnect) return false;
    await IdentityCredential.disconnect(connection);
    return true;
  };
  const late = new Promise<boolean>((resolve) => setTimeout(resolve, PATIENCE, false));
  return Promise.race([end().catch(() => false), late]);
}
