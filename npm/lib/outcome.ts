// Reads what the core decided of a request, whose text is made so that little of it has to be read.

import type { Checked, Principal, Refusal } from "./guard.js";
import { freeze } from "./verdicts.js";

export type Accepted = Extract<Checked, { principal: Principal }>;

/** What many outcomes have in common. */
interface Common extends Pick<
  Principal,
  "issuer" | "audience" | "kind" | "permissions" | "roles" | "scopes"
> {
  readonly checks: readonly string[];
}

/** A refusal, or an acceptance with the text of the core's verdict, which is empty without one. */
export type Outcome =
  { readonly refusal: Refusal } | { readonly accepted: Accepted; readonly verdict: string };

/**
 * One line is a refusal, five are an acceptance: verdict, nonce, what outcomes have in common, the
 * names of the principal, its claims. The last goes to the end and may itself have lines. `vary` is what
 * every outcome of the guard has.
 */
export function readOutcome(text: string, vary: string): Outcome {
  const verdictEnd = text.indexOf("\n");
  if (verdictEnd < 0) return { refusal: JSON.parse(text) as Refusal };
  const nonceEnd = text.indexOf("\n", verdictEnd + 1);
  const commonEnd = text.indexOf("\n", nonceEnd + 1);
  const namesEnd = text.indexOf("\n", commonEnd + 1);
  const common = readCommon(text.slice(nonceEnd + 1, commonEnd));
  const principal = readPrincipal(text, commonEnd + 1, namesEnd, common);
  ClaimsText.give(principal, text.slice(namesEnd + 1));
  const accepted: Mutable<Accepted> = {
    principal: Object.freeze(principal),
    checks: common.checks,
    vary,
  };
  if (nonceEnd > verdictEnd + 1) {
    accepted.dpopNonce = JSON.parse(text.slice(verdictEnd + 1, nonceEnd)) as string;
  }
  return { accepted: Object.freeze(accepted), verdict: text.slice(0, verdictEnd) };
}

const BRACE = 0x7b;

/**
 * A principal without its claims, from the line of its names: end, client and subject between
 * tabulators, whose reading costs a sixth of what JSON's costs, or JSON.
 */
function readPrincipal(text: string, from: number, to: number, common: Common): Mutable<Principal> {
  const { issuer, audience, scopes, roles, permissions, kind } = common;
  let principal;
  if (text.charCodeAt(from) === BRACE) {
    const names = JSON.parse(text.slice(from, to)) as object;
    principal = { issuer, ...names, audience, scopes, roles, permissions };
  } else {
    const dateEnd = text.indexOf("\t", from);
    const clientEnd = text.indexOf("\t", dateEnd + 1);
    principal = {
      issuer,
      subject: text.slice(clientEnd + 1, to),
      clientId: text.slice(dateEnd + 1, clientEnd),
      expiresAt: Number(text.slice(from, dateEnd)),
      audience,
      scopes,
      roles,
      permissions,
    };
  }
  const whole = principal as Mutable<Principal>;
  if (kind !== undefined) whole.kind = kind;
  return whole;
}

/** Answers what it is given, so that a class that extends it adds its fields to that. */
const Given = function (given: object) {
  return given;
} as unknown as new (given: object) => object;

/**
 * The text of a principal's claims, which is read when somebody asks for them: reading takes longer
 * than all the rest of an outcome, and most programs ask for subject and scopes only. It stands in a
 * private field of the principal itself, and `claims` is an own member like every other one.
 */
class ClaimsText extends Given {
  #text: string;
  #claims: Principal["claims"] | undefined;

  private constructor(principal: object, text: string) {
    super(principal);
    this.#text = text;
  }

  // One for all principals: so engines take them for objects of one shape.
  static readonly #member = {
    enumerable: true,
    get(this: ClaimsText): Principal["claims"] {
      if (this.#claims === undefined) {
        this.#claims = freeze(JSON.parse(this.#text) as Principal["claims"]);
        this.#text = "";
      }
      return this.#claims;
    },
  };

  static give(principal: object, text: string): void {
    Object.defineProperty(principal, "claims", ClaimsText.#member);
    new ClaimsText(principal, text);
  }
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/**
 * What is common by its text. Tokens of one API differ little in it, and reading it takes longer than
 * finding it. It is frozen, so outcomes can share it.
 */
const known = new Map<string, Common>();

/** The one of the outcome before: comparing two texts costs a tenth of finding one. */
let latest: { readonly text: string; readonly common: Common } | undefined;

/** How many, and how long, which bounds what they take to some hundred kilobytes. */
const MOST_KNOWN = 128;
const LONGEST_KNOWN = 1024;

function readCommon(text: string): Common {
  if (latest?.text === text) return latest.common;
  const found = known.get(text);
  const common = found ?? freeze(JSON.parse(text) as Common);
  if (text.length <= LONGEST_KNOWN) {
    if (!found) {
      if (known.size >= MOST_KNOWN) known.clear();
      known.set(text, common);
    }
    latest = { text, common };
  }
  return common;
}
