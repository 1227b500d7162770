// Writes a .wasm file as JavaScript text. The package carries its wasm inside a module because
// fetching a separate file fails somewhere in every bundler and runtime; this code costs 2 % after
// gzip where base64 costs 27 %.
//
// The code: bytes are ranked by how often they occur. The most frequent ones are written as one
// printable character, the others as one of two escape characters and a second character. No
// character needs escaping in a string, and none can end a <script> or start a template, so the
// text survives every bundler and inliner.

/**
 * Printable ASCII but the ones with a meaning to somebody: quote, backslash, dollar, backtick,
 * less-than.
 */
const ALPHABET = Array.from({ length: 95 }, (_, index) => String.fromCharCode(32 + index))
  .filter((character) => !'"\\$`<'.includes(character))
  .join("");

const ESCAPES = 2;
const SINGLES = ALPHABET.length - ESCAPES;

/**
 * @param {Uint8Array} bytes
 * @returns {{ text: string, byRank: number[] }}
 */
export function encode(bytes) {
  const occurrences = new Array(256).fill(0);
  for (const byte of bytes) occurrences[byte] += 1;
  // By number where the counts are equal: the same wasm always gives the same text.
  const byRank = [...occurrences.keys()].sort((a, b) => occurrences[b] - occurrences[a] || a - b);

  /** @type {string[]} */
  const codes = new Array(256);
  byRank.forEach((byte, rank) => {
    const beyond = rank - SINGLES;
    codes[byte] =
      beyond < 0
        ? ALPHABET.charAt(rank)
        : ALPHABET.charAt(SINGLES + Math.floor(beyond / ALPHABET.length)) +
          ALPHABET.charAt(beyond % ALPHABET.length);
  });

  const parts = new Array(bytes.length);
  bytes.forEach((byte, index) => {
    parts[index] = codes[byte];
  });
  return { text: parts.join(""), byRank: byRank.filter((byte) => occurrences[byte] > 0) };
}

/**
 * The module that gives the bytes back. Its loop is plain on purpose: `Uint8Array.from` with a
 * function and DecompressionStream are slower by factors at this size.
 *
 * @param {string} name of the .wasm file, for the comment
 * @param {Uint8Array} bytes
 */
export function inlineModule(name, bytes) {
  const { text, byRank } = encode(bytes);
  return `// ${name} as text, made by tools/build.mjs. How to read it: tools/lib/inline.mjs.
const alphabet = ${JSON.stringify(ALPHABET)};
const byRank = [${byRank.join(",")}];
const text = ${JSON.stringify(text)};

export function wasmBytes() {
  const rankOf = new Uint8Array(128);
  for (let i = 0; i < alphabet.length; i++) rankOf[alphabet.charCodeAt(i)] = i;
  const bytes = new Uint8Array(${bytes.length});
  for (let at = 0, i = 0; at < text.length; i++) {
    let rank = rankOf[text.charCodeAt(at++)];
    if (rank >= ${SINGLES}) rank = ${SINGLES} + (rank - ${SINGLES}) * alphabet.length + rankOf[text.charCodeAt(at++)];
    bytes[i] = byRank[rank];
  }
  return bytes;
}
`;
}

export const inlineModuleTypes = `/** The bytes of the WebAssembly module, decoded anew at each call. */
export declare function wasmBytes(): Uint8Array<ArrayBuffer>;
`;
