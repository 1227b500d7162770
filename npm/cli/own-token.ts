// The tokens that a program got for itself. One text holds them all: the newest in the words that
// tokens.json has for any token, the others behind it.

import { createHash } from "node:crypto";

import type { Saved } from "./account.js";
import type { Configuration } from "./configuration.js";

/** Who asks for more things than that in turn asks for the oldest of them again. */
const MOST = 16;

/** What decides which token comes: another value of one of these is another token. */
const ASKED = [
  "provider",
  "domain",
  "tenant",
  "issuer",
  "endpoint",
  "tokenUrl",
  "scopes",
  "audience",
  "resources",
  "params",
  "headers",
] as const;

/** By what a token is found again. A hash: parameters and headers may hold a secret. */
export function askedFor(configuration: Configuration): string {
  const asked = ASKED.map((name) => {
    const value = configuration.found(name)?.value;
    return [name, value ?? null];
  });
  return createHash("sha256").update(JSON.stringify(asked)).digest("base64url");
}

/** The program's own tokens among what is kept, the newest first; none where a user's login is kept. */
export function ownTokens(saved: Saved | undefined): readonly Saved[] {
  if (saved?.asked_for === undefined) return [];
  const { others, ...newest } = saved;
  return [newest, ...(Array.isArray(others) ? others.filter(isToken) : [])];
}

/** The same tokens with a newer one, without those that are over or of the same question. */
export function withNewer(newer: Saved, tokens: readonly Saved[]): readonly Saved[] {
  const others = tokens.filter((token) => !isSame(token, newer) && isAlive(token));
  return [newer, ...others.slice(0, MOST - 1)];
}

/** The text that is kept: as many tokens as there is room for, the newest in any case. */
export function textOf([newest, ...others]: readonly Saved[], room: number): string {
  for (let count = others.length; ; count--) {
    const kept = { ...newest, ...(count > 0 && { others: others.slice(0, count) }) };
    const text = `${JSON.stringify(kept, null, 2)}\n`;
    if (count <= 0 || text.length <= room) return text;
  }
}

const isSame = (one: Saved, other: Saved): boolean =>
  one.client_id === other.client_id && one.asked_for === other.asked_for;

/** A token of which nobody knows its end is never used again. */
export const isAlive = ({ expires_at }: Saved): boolean =>
  Date.parse(expires_at ?? "") > Date.now();

/** The file can be written by others of the user's programs. */
function isToken(value: unknown): value is Saved {
  const token = value as Partial<Saved> | null;
  return typeof token === "object" && typeof token?.access_token === "string";
}
