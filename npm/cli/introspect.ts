// gatepass introspect

import { decisionOf, guardSource } from "./checker.js";
import type { Command } from "./command.js";
import { hintOf } from "./failure.js";
import { show, tokenFrom } from "./token-text.js";

export const introspect: Command = {
  name: "introspect",
  operands: "TOKEN|-",
  summary:
    "Asks the provider about a token (RFC 7662): its answer as it is, and what it is good for.",
  settings: [
    "provider",
    "domain",
    "tenant",
    "issuer",
    "audience",
    "clientId",
    "clientSecret",
    "clientAuth",
    "introspectionUrl",
    "requiredScopes",
    "timeout",
  ],

  async run({ configure, flags, operands, terminal }) {
    const token = await tokenFrom(operands, "introspect");
    const configuration = await configure();
    const source = guardSource(configuration, "introspect");
    configuration.check();
    let answer: { status: number; text: string } | undefined;
    const listening: typeof fetch = async (input, init) => {
      const response = await fetch(input, init);
      // The question about the token is the only one that is posted.
      if (init?.method !== "POST") return response;
      const text = await response.text();
      answer = { status: response.status, text };
      const { status, headers } = response;
      return new Response(text, { status, headers });
    };
    const options = { ...source.options, fetch: listening };
    const decision = await decisionOf(configuration, { ...source, options }, token);
    const { exitCode, code, hint } = decision;
    const raw = read(answer?.text);
    if (flags["json"] === true) {
      const status = answer?.status ?? null;
      const more = exitCode === 0 ? {} : { error: code };
      terminal.out(
        JSON.stringify({
          accepted: exitCode === 0,
          status,
          response: raw,
          ...more,
        }),
      );
      return exitCode;
    }
    if (answer) terminal.out(show(raw));
    if (exitCode === 0) terminal.err(terminal.err.green("The token is accepted."));
    else {
      const why = `${code}. ${hintOf(code ?? "", hint ?? "")}`.trimEnd();
      // Whoever could not ask knows nothing of the token.
      const verdict =
        decision.status === 503 ? "No verdict on the token" : "The token is not accepted";
      terminal.err(terminal.err.red(`${verdict}: ${why}`));
    }
    return exitCode;
  },
};

/** As JSON where it is some; signed answers and pages are texts. */
function read(text: string | undefined): unknown {
  if (text === undefined) return null;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text.slice(0, 512);
  }
}
