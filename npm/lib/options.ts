// How options cross into the core: as JSON text, which the core reads strictly.

/**
 * Options as JSON text. Own properties only, read once; `undefined` means not given.
 *
 * What JSON cannot say (functions, symbols, bigints, NaN) is written as null, which the core
 * refuses by the option's name: nothing is dropped silently.
 */
export function toJson(options: object): string {
  return JSON.stringify(options, (_name, value: unknown) => {
    const isForeign = typeof value === "function" || typeof value === "symbol";
    return isForeign || typeof value === "bigint" ? null : value;
  });
}

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

export const isFunction = (value: unknown): boolean => typeof value === "function";
