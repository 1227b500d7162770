// Reads what the core decided of a request, whose text is made so that little of it has to be read.

import type { Checked, Principal, Refusal } from "./guard.js";
import { freeze } from "./verdicts.js";

export type Accepted = Extract<Checked, { principal: Principal }>;

/** What many outcomes have in common. */
interface Common extends Pick<Principal, "audience" | "kind" | "permissions" | "roles" | "scopes"> {
  readonly checks: readonly string[];
}

/** A refusal, or an acceptance with the text of the core's verdict, which is empty without one. */
export type Outcome =
  { readonly refusal: Refusal } | { readonly accepted: Accepted; readonly verdict: string };

/**
 * One line is a refusal, five are an acceptance: verdict, nonce, what outcomes have in common, the
 * names of the principal, its claims. The last goes to the end and may itself have lines.
 */
export function readOutcome(text: string): Outcome {
  const verdictEnd = text.indexOf("\n");
  if (verdictEnd < 0) return { refusal: JSON.parse(text) as Refusal };
  const nonceEnd = text.indexOf("\n", verdictEnd + 1);
  const commonEnd = text.indexOf("\n", nonceEnd + 1);
  const namesEnd = text.indexOf("\n", commonEnd + 1);
  const common = readCommon(text.slice(nonceEnd + 1, commonEnd));
  // A member at a time, which costs a third of what spreading them costs.
  const principal = JSON.parse(text.slice(commonEnd + 1, namesEnd)) as Mutable<Principal>;
  principal.audience = common.audience;
  principal.scopes = common.scopes;
  principal.roles = common.roles;
  principal.permissions = common.permissions;
  if (common.kind !== undefined) principal.kind = common.kind;
  ClaimsText.give(principal, text.slice(namesEnd + 1));
  const accepted: Mutable<Accepted> = {
    principal: Object.freeze(principal),
    checks: common.checks,
  };
  if (nonceEnd > verdictEnd + 1) {
    accepted.dpopNonce = JSON.parse(text.slice(verdictEnd + 1, nonceEnd)) as string;
  }
  return { accepted: Object.freeze(accepted), verdict: text.slice(0, verdictEnd) };
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
 * Lists by their text. Tokens of one API differ little in them, and reading them takes longer than
 * finding them. They are frozen, so outcomes can share them.
 */
const known = new Map<string, Common>();

/** How many, and how long, which bounds what they take to some hundred kilobytes. */
const MOST_KNOWN = 128;
const LONGEST_KNOWN = 1024;

function readCommon(text: string): Common {
  const found = known.get(text);
  if (found) return found;
  const common = freeze(JSON.parse(text) as Common);
  if (text.length <= LONGEST_KNOWN) {
    if (known.size >= MOST_KNOWN) known.clear();
    known.set(text, common);
  }
  return common;
}
