// Reads JSON and remembers where each value stands, so that a mistake in a configuration can be
// shown by line and column. Stricter than JSON.parse: a name that comes twice is a mistake.

import { misconfigured } from "./failure.js";

export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
/** Without a prototype: a member named `__proto__` is one like any other. */
export interface JsonObject {
  readonly [name: string]: Json;
}

export const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** No configuration nests deeper; it bounds the reader's own recursion. */
const DEEPEST = 32;

const SCALAR = /"(?:[^"\\\u0000-\u001f]|\\.)*"|-?\d[\d.eE+-]*|true|false|null/uy;
const SPACE = /[ \t\r\n]*/uy;

export class Document {
  readonly root: JsonObject;
  readonly #places = new Map<string, number>();
  #at = 0;

  /** `name` is how the file is called in messages. */
  constructor(
    readonly name: string,
    readonly text: string,
  ) {
    const root = this.#value([]);
    this.#space();
    if (this.#at < text.length) throw this.#wrong("nothing more");
    if (!isObject(root)) throw misconfigured(`${name}:1:1: the file must hold a JSON object.`);
    this.root = root;
  }

  /** `file:line:column` of a value, or of the nearest one around it. */
  where(path: readonly (string | number)[]): string {
    for (let length = path.length; length >= 0; length--) {
      const offset = this.#places.get(keyOf(path.slice(0, length)));
      if (offset !== undefined) return this.#position(offset);
    }
    return this.name;
  }

  #position(offset: number): string {
    const before = this.text.slice(0, offset).split("\n");
    return `${this.name}:${before.length}:${(before.at(-1) ?? "").length + 1}`;
  }

  /** The text itself is never repeated: it may hold a secret. */
  #wrong(expected: string): Error {
    return misconfigured(`${this.#position(this.#at)}: not JSON; expected here: ${expected}.`);
  }

  #space(): void {
    SPACE.lastIndex = this.#at;
    SPACE.test(this.text);
    this.#at = SPACE.lastIndex;
  }

  #take(character: string): boolean {
    this.#space();
    if (this.text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #value(path: readonly (string | number)[]): Json {
    if (path.length > DEEPEST) throw this.#wrong("less depth");
    this.#space();
    this.#places.set(keyOf(path), this.#at);
    if (this.#take("{")) return this.#object(path);
    if (this.#take("[")) return this.#array(path);
    return this.#scalar("a value");
  }

  #scalar(expected: string): Json {
    SCALAR.lastIndex = this.#at;
    const [token] = SCALAR.exec(this.text) ?? [];
    if (token === undefined) throw this.#wrong(expected);
    try {
      const value = JSON.parse(token) as Json;
      this.#at += token.length;
      return value;
    } catch {
      throw this.#wrong(expected);
    }
  }

  #object(path: readonly (string | number)[]): Json {
    const object = Object.create(null) as Record<string, Json>;
    if (this.#take("}")) return object;
    do {
      this.#space();
      const start = this.#at;
      const name = this.#scalar("a name in quotes");
      if (typeof name !== "string" || Object.hasOwn(object, name)) {
        this.#at = start;
        throw this.#wrong("a name that did not come before");
      }
      if (!this.#take(":")) throw this.#wrong("a colon");
      object[name] = this.#value([...path, name]);
    } while (this.#take(","));
    if (!this.#take("}")) throw this.#wrong("a comma or }");
    return object;
  }

  #array(path: readonly (string | number)[]): Json {
    const array: Json[] = [];
    if (this.#take("]")) return array;
    do array.push(this.#value([...path, array.length]));
    while (this.#take(","));
    if (!this.#take("]")) throw this.#wrong("a comma or ]");
    return array;
  }
}

const keyOf = (path: readonly (string | number)[]): string => JSON.stringify(path);
