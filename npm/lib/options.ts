// How what a program gives crosses into the core: options as JSON text, which the core reads strictly.
// The glue looks at no types, and a value of another one ends the instance that all clients share.

/**
 * Options as JSON text. Own properties only, read once; `undefined` means not given.
 *
 * What JSON cannot say (functions, symbols, bigints, NaN) is written as null, which the core
 * refuses by the option's name: nothing is dropped silently. Options that are none, or that cannot be
 * written at all, are null as a whole.
 */
export function toJson(options: object): string {
  let json: string | undefined;
  try {
    json = JSON.stringify(options, (_name, value: unknown) => {
      const isForeign = typeof value === "function" || typeof value === "symbol";
      return isForeign || typeof value === "bigint" ? null : value;
    });
  } catch {
    // They have themselves as a member, or a `toJSON` that throws.
  }
  return json ?? "null";
}

/** A text as it came. What is none is an empty one, which the core refuses. */
export const text = (value: unknown): string => (typeof value === "string" ? value : "");

/** The same where nothing may be given. */
export const textOrNone = (value: unknown): string | undefined =>
  value === undefined ? undefined : text(value);

/**
 * Takes the members that only JavaScript understands out of the options. One of the wrong type
 * stays, and the core refuses it by its name.
 */
export function split<T extends object, K extends keyof T>(
  options: T,
  accepts: { readonly [N in K]: (value: unknown) => boolean },
): { readonly host: Partial<Pick<T, K>>; readonly rest: Omit<T, K> } {
  const rest = { ...options };
  const host: Partial<Pick<T, K>> = {};
  for (const name of Object.keys(accepts) as K[]) {
    if (Object.hasOwn(rest, name) && accepts[name](rest[name])) {
      host[name] = rest[name];
      delete rest[name];
    }
  }
  return { host, rest };
}

export const isBoolean = (value: unknown): boolean => typeof value === "boolean";

/** A key that only the host can take, and how it is used. */
export interface KeyOptions {
  readonly key?: unknown;
  readonly alg?: string;
  readonly kid?: string;
}

/**
 * Takes a key and what is said of it out of the options of an authentication. What is of the wrong
 * type stays, as null, and the core refuses it by its name.
 */
export function takeKey(given: unknown): { readonly rest: unknown; readonly key: KeyOptions } {
  if (typeof given !== "object" || given === null || !Object.hasOwn(given, "key")) {
    return { rest: given, key: {} };
  }
  const { key, alg, kid, ...rest } = given as Record<string, unknown>;
  const taken: { key: unknown; alg?: string; kid?: string } = { key };
  for (const [name, value] of [
    ["alg", alg],
    ["kid", kid],
  ] as const) {
    if (typeof value === "string") taken[name] = value;
    else if (value !== undefined) rest[name] = null;
  }
  return { rest, key: taken };
}

export const isKeyPair = (value: unknown): boolean => {
  const pair = value as Partial<CryptoKeyPair> | null;
  return (
    typeof pair === "object" &&
    pair !== null &&
    pair.privateKey instanceof CryptoKey &&
    pair.publicKey instanceof CryptoKey
  );
};

export const isFunction = (value: unknown): boolean => typeof value === "function";
