"use client";
/**
 * A client for React: a provider and hooks. Safe under StrictMode and when rendering on a server,
 * where nothing is begun and everybody is `loading`.
 *
 * @packageDocumentation
 */
import {
  type ReactNode,
  createContext,
  createElement,
  useCallback,
  useContext,
  useEffect,
  useState,
  useSyncExternalStore,
} from "react";

import type { Client, IdClaims, SignInOptions, SignedIn } from "../lib/client.js";

/** What is known of the session. */
export type Session =
  /** The client is being made, or a callback is being handled; on a server always. */
  | { readonly status: "loading"; readonly user: null; readonly error?: never }
  | { readonly status: "signedOut"; readonly user: null; readonly error?: never }
  | {
      readonly status: "signedIn";
      /** The claims of the ID token; `null` when `scope` has no `openid`. */
      readonly user: IdClaims | null;
      readonly error?: never;
    }
  /**
   * The client could not be made or the callback not be handled; `error` says why. `signIn`, `signOut`
   * and {@link useFetch} work all the same, and make anew a client that could not be made.
   */
  | { readonly status: "failed"; readonly user: null; readonly error: unknown };

/** The session, and what can be done with it. */
export type Auth = Session & {
  /** The client, once it is there. */
  readonly client: Client | null;
  /** Sends the page to the provider. Waits for the client. */
  readonly signIn: (options?: SignInOptions) => Promise<void>;
  /** Ends the session here and at the provider. Waits for the client. */
  readonly signOut: () => Promise<void>;
};

/** What {@link GatepassProvider} is given. Only what the first render gives counts. */
export interface GatepassProviderProps {
  /**
   * Makes the client, in the browser, once: `() => createClient({ ... })`; again only after it failed,
   * when the client is needed. When the provider is unmounted the client that was made is disposed of;
   * where React mounts the same provider again later, as it does with an `Activity`, another one is made.
   * A client of yours works as well, and is not disposed of here.
   */
  readonly client: Client | (() => Client | Promise<Client>);
  /**
   * Whether this page is the callback: then the sign-in is completed before anything else. Usually
   * `() => location.pathname === "/callback"`. @defaultValue no page is
   */
  readonly isCallback?: () => boolean;
  /** Is told of the completed sign-in, to go on at its `returnTo`. */
  readonly onSignedIn?: (signedIn: SignedIn) => void;
  /** What is rendered, everywhere below which the hooks work. @defaultValue nothing */
  readonly children?: ReactNode;
}

const LOADING: Session = { status: "loading", user: null };

/** What changes the session. */
const CHANGES = [
  "signed_in",
  "refreshed",
  "session_changed",
  "expired",
  "signed_out",
  "session_discarded",
] as const;

/** The session outside of React, which renders, throws away and mounts again as it likes. */
class SessionStore {
  readonly #props: GatepassProviderProps;
  readonly #listeners = new Set<() => void>();
  /** What we hear of the client; each stops it. */
  #heard: (() => void)[] = [];
  #isUnmounted = false;
  /** Whether the callback was handled: its URL is cleaned, so another client would find none. */
  #isCompleted = false;
  #session: Session = LOADING;
  #making: Promise<Client> | undefined;
  client: Client | null = null;

  constructor(props: GatepassProviderProps) {
    this.#props = props;
  }

  /**
   * Makes the client, once, and waits for the callback; only effects and handlers come here, so no
   * server does.
   */
  readonly make = (): Promise<Client> => {
    this.#making ??= this.#begin().catch((error: unknown) => {
      // Whoever needs the client next tries again.
      this.#making = undefined;
      throw error;
    });
    // A call of somebody who kept a hook's function leaves no client behind.
    if (this.#isUnmounted) void this.#leave();
    return this.#making;
  };

  /** Makes the client; the result lets go of it. */
  readonly mount = (): (() => void) => {
    this.#isUnmounted = false;
    // What fails is part of the session.
    this.make().catch(() => {});
    return () => {
      this.#isUnmounted = true;
      void this.#leave();
    };
  };

  /** Lets go of the client, unless StrictMode mounted again at once. */
  async #leave(): Promise<void> {
    const making = this.#making;
    const client = await making?.catch(() => undefined);
    if (!client || !this.#isUnmounted || this.#making !== making) return;
    for (const stop of this.#heard.splice(0)) stop();
    this.#making = undefined;
    this.client = null;
    this.#session = LOADING;
    if (typeof this.#props.client === "function") client.dispose();
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  readonly session = (): Session => this.#session;

  async #begin(): Promise<Client> {
    const { client: source, isCallback } = this.#props;
    try {
      const client = await (typeof source === "function" ? source() : source);
      this.#heard = CHANGES.map((type) => client.on(type as "refreshed", () => this.#look(client)));
      this.client = client;
      if (!this.#isCompleted && isCallback?.()) await this.#complete(client);
      else this.#look(client);
      return client;
    } catch (error) {
      this.#tell({ status: "failed", user: null, error });
      throw error;
    }
  }

  /** A callback that fails is part of the session, and no reason not to sign in again. */
  async #complete(client: Client): Promise<void> {
    this.#isCompleted = true;
    try {
      const signedIn = await client.handleCallback();
      this.#look(client);
      this.#props.onSignedIn?.(signedIn);
    } catch (error) {
      this.#tell({ status: "failed", user: null, error });
    }
  }

  #look(client: Client): void {
    const { signedIn } = client.state();
    this.#tell(
      signedIn ? { status: "signedIn", user: client.user() } : { status: "signedOut", user: null },
    );
  }

  #tell(session: Session): void {
    this.#session = session;
    for (const listener of this.#listeners) listener();
  }
}

const StoreContext = createContext<SessionStore | null>(null);

/** Gives the components below it one client and its session. */
export function GatepassProvider(props: GatepassProviderProps): ReactNode {
  // Making the store does nothing, so it does not matter that StrictMode makes two.
  const [store] = useState(() => new SessionStore(props));
  useEffect(store.mount, [store]);
  return createElement(StoreContext.Provider, { value: store }, props.children);
}

function useStore(): SessionStore {
  const store = useContext(StoreContext);
  if (!store) throw new Error("There is no GatepassProvider above this component.");
  return store;
}

/** The session, the client and what can be done with them. */
export function useAuth(): Auth {
  const store = useStore();
  const session = useSyncExternalStore(store.subscribe, store.session, () => LOADING);
  const signIn = useCallback(
    async (options?: SignInOptions) => (await store.make()).signIn(options),
    [store],
  );
  const signOut = useCallback(async () => (await store.make()).signOut(), [store]);
  return { ...session, client: store.client, signIn, signOut };
}

/** The claims of the user who is signed in; `null` while nobody is, or nobody knows. */
export function useUser(): IdClaims | null {
  return useAuth().user;
}

/**
 * `fetch` with the access token for the client's `allowedOrigins`; the same function in every render.
 * It waits for the client.
 */
export function useFetch(): typeof fetch {
  const store = useStore();
  return useCallback(async (input, init) => (await store.make()).fetch(input, init), [store]);
}
