// Tokens as operands: from the command line, or from standard input, which other users cannot read.

import { EXIT, Failure, misconfigured } from "./failure.js";
import { plain } from "./terminal.js";

/** The one operand, or what standard input holds for `-`. */
export async function tokenFrom(operands: readonly string[], command: string): Promise<string> {
  const [operand, ...more] = operands;
  if (operand === undefined || more.length > 0) {
    throw misconfigured(
      `gatepass ${command} takes one token, or - to read it from standard input.`,
    );
  }
  if (operand !== "-") return something(operand, "The token");
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) chunks.push(chunk);
  return something(Buffer.concat(chunks).toString("utf8").trim(), "Standard input");
}

/** Nothing at all is no token that could be refused: a variable is not set, or a program failed. */
function something(text: string, where: string): string {
  if (text === "") throw misconfigured(`${where} is empty: there is no token to look at.`);
  return text;
}

/** What a signed token says of itself, to be looked at: nothing of it is checked. */
export function look(token: string): { header: unknown; claims: unknown } {
  const parts = token.split(".");
  if (parts.length === 5) throw new Failure(EXIT.failed, ["The token is encrypted (JWE)."]);
  const [header, claims] = parts;
  if (parts.length !== 3 || header === undefined || claims === undefined) {
    throw new Failure(EXIT.failed, [
      "This is no signed token (JWT), so nothing can be read from it; its provider knows more: gatepass introspect.",
    ]);
  }
  return { header: part(header, "header"), claims: part(claims, "claims") };
}

function part(text: string, name: string): unknown {
  try {
    if (!/^[\w-]+$/u.test(text)) throw new Error("no base64url");
    return JSON.parse(Buffer.from(text, "base64url").toString("utf8")) as unknown;
  } catch {
    throw new Failure(EXIT.failed, [`The token's ${name} cannot be read: no JSON in base64url.`]);
  }
}

/** Claims that are dates (RFC 7519 section 4.1 and OpenID Connect). */
const DATES = ["exp", "iat", "nbf", "auth_time", "updated_at"];

/** JSON for people: indented, harmless to a terminal, and dates with what they mean. */
export function show(value: unknown): string {
  return plain(JSON.stringify(value, null, 2) ?? "null")
    .split("\n")
    .map((line) => {
      const [, name = "", seconds = ""] = /^ {2}"(\w+)": (\d{1,11}),?$/u.exec(line) ?? [];
      const isDate = DATES.includes(name);
      return isDate ? `${line}  // ${new Date(Number(seconds) * 1000).toISOString()}` : line;
    })
    .join("\n");
}
