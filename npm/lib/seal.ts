// Texts that leave this server and come back as they were, or not at all: AES-256-GCM by the host's
// WebCrypto.

import { GatepassError } from "./errors.js";

/** A key for cookies: 32 random bytes, or the same in base64url, base64 or hexadecimal digits. */
export type CookieKey = string | Uint8Array;

const KEY_BYTES = 32;
const IV_BYTES = 12;
const ID_BITS = 48;

/** A key as the host has it, and the name that stands in front of what it sealed. */
interface Derived {
  readonly id: string;
  readonly key: CryptoKey;
}

/** What came back. */
export interface Opened {
  readonly text: string;
  /** Sealed with another key than the first: to be sealed anew. */
  readonly isOld: boolean;
}

export class Sealer {
  readonly #secrets: readonly Uint8Array<ArrayBuffer>[];
  readonly #about: string;
  #derived: readonly Derived[] | undefined;

  /**
   * Seals with the first key and opens with all of them. `about` is whose texts they are: those of
   * others do not open.
   */
  constructor(keys: unknown, about: string) {
    if (!Array.isArray(keys) || keys.length === 0 || keys.length > 8) throw invalid();
    this.#secrets = keys.map(bytesOf);
    this.#about = about;
  }

  /** Seals a text under a name, under which alone it opens again. */
  async seal(name: string, text: string): Promise<string> {
    const [first] = await this.#keys();
    if (!first) throw invalid();
    const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES));
    const algorithm = { name: "AES-GCM", iv, additionalData: this.#bound(first.id, name) };
    const sealed = await crypto.subtle.encrypt(algorithm, first.key, encoder.encode(text));
    const all = new Uint8Array(IV_BYTES + sealed.byteLength);
    all.set(iv);
    all.set(new Uint8Array(sealed), IV_BYTES);
    return `${first.id}.${toBase64url(all)}`;
  }

  /** The text; nothing for what was not sealed here, under this name, by one of the keys. */
  async open(name: string, sealed: string): Promise<Opened | undefined> {
    const [id = "", data = "", more] = sealed.split(".", 3);
    const keys = await this.#keys();
    const at = keys.findIndex((key) => key.id === id);
    const { key } = keys[at] ?? {};
    const bytes = more === undefined ? fromBase64url(data) : undefined;
    if (!key || !bytes || bytes.length <= IV_BYTES) return undefined;
    const iv = bytes.subarray(0, IV_BYTES);
    const algorithm = { name: "AES-GCM", iv, additionalData: this.#bound(id, name) };
    try {
      const text = await crypto.subtle.decrypt(algorithm, key, bytes.subarray(IV_BYTES));
      return { text: new TextDecoder().decode(text), isOld: at > 0 };
    } catch {
      // The host says no more than that it does not fit.
      return undefined;
    }
  }

  #bound(id: string, name: string): Uint8Array<ArrayBuffer> {
    return encoder.encode(JSON.stringify(["gatepass cookie 1", id, name, this.#about]));
  }

  /** Not before the first request: Workers compute nothing until then. */
  async #keys(): Promise<readonly Derived[]> {
    // Requests that come together derive them each: on Workers none may wait for another one.
    return (this.#derived ??= await Promise.all(this.#secrets.map(derive)));
  }
}

const encoder = new TextEncoder();

async function derive(secret: Uint8Array<ArrayBuffer>): Promise<Derived> {
  const uses = ["deriveBits", "deriveKey"] as const;
  const root = await crypto.subtle.importKey("raw", secret, "HKDF", false, uses);
  const from = (info: string) => ({
    name: "HKDF",
    hash: "SHA-256",
    salt: new Uint8Array(),
    info: encoder.encode(info),
  });
  const [id, key] = await Promise.all([
    crypto.subtle.deriveBits(from("gatepass cookie key id"), root, ID_BITS),
    crypto.subtle.deriveKey(
      from("gatepass cookie key"),
      root,
      { name: "AES-GCM", length: 256 },
      false,
      ["encrypt", "decrypt"],
    ),
  ]);
  return { id: toBase64url(new Uint8Array(id)), key };
}

function bytesOf(key: unknown): Uint8Array<ArrayBuffer> {
  const bytes = typeof key === "string" ? decoded(key) : key;
  if (!(bytes instanceof Uint8Array) || bytes.length !== KEY_BYTES) throw invalid();
  // A copy: changing what was given has no effect.
  return Uint8Array.from(bytes);
}

function decoded(text: string): Uint8Array | undefined {
  if (/^[0-9a-fA-F]{64}$/.test(text)) {
    return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
  }
  const unpadded = text.replace(/=$/, "");
  return fromBase64url(unpadded.replaceAll("+", "-").replaceAll("/", "_"));
}

export function toBase64url(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

function fromBase64url(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (!/^[\w-]*$/.test(text) || text.length % 4 === 1) return undefined;
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, (char) => char.charCodeAt(0));
}

function invalid(): GatepassError {
  return new GatepassError({
    code: "config_invalid",
    phase: "config",
    retryable: false,
    at: "keys",
    hint: "keys must be one to eight keys of 32 random bytes each, as bytes or as text in base64url, base64 or hexadecimal digits; the first one seals.",
  });
}
