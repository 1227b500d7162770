// The key that a client's tokens are bound to (RFC 9449). Its private part can be used and not read.

import { inValues } from "./database.js";

/** What the core asks for its key. */
export interface Keyring {
  /** The key of this name, made when there is none. */
  get(name: string): Promise<{ readonly privateKey: CryptoKey; readonly jwk: string }>;
  /** Ends it: whoever asks next gets another one. */
  forget(name: string): Promise<void>;
}

const P256 = { name: "ECDSA", namedCurve: "P-256" };

/**
 * The program's key, or one that is made here. Pages and workers of pages keep it in IndexedDB,
 * where it outlives the way to the provider and back, and where all tabs find the same one;
 * runtimes without IndexedDB in memory.
 */
export function makeKeyring(given: CryptoKeyPair | undefined): Keyring {
  let kept: CryptoKeyPair | undefined = given;
  const pair = async (name: string): Promise<CryptoKeyPair> => {
    if (kept) return kept;
    if (!("indexedDB" in globalThis)) {
      const made = await makePair();
      // Of those who ask together the first one's stays.
      return (kept ??= made);
    }
    const found = await inValues<CryptoKeyPair | undefined>("readonly", (keys) => keys.get(name));
    return found ?? keepFirst(name, await makePair());
  };
  return {
    get: async (name) => {
      const { privateKey, publicKey } = await pair(name);
      return { privateKey, jwk: JSON.stringify(await crypto.subtle.exportKey("jwk", publicKey)) };
    },
    forget: async (name) => {
      if (given) return;
      kept = undefined;
      if ("indexedDB" in globalThis) await inValues("readwrite", (keys) => keys.delete(name));
    },
  };
}

function makePair(): Promise<CryptoKeyPair> {
  return crypto.subtle.generateKey(P256, false, ["sign", "verify"]);
}

/** Keeps a key, unless another tab was first: then that one's. */
async function keepFirst(name: string, made: CryptoKeyPair): Promise<CryptoKeyPair> {
  let first = made;
  await inValues("readwrite", (keys) => {
    const request = keys.get(name) as IDBRequest<CryptoKeyPair | undefined>;
    request.onsuccess = () => {
      if (request.result) first = request.result;
      else keys.put(made, name);
    };
    return request;
  });
  return first;
}
