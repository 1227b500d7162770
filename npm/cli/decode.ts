// gatepass decode

import { decisionOf, guardSource } from "./checker.js";
import type { Command } from "./command.js";
import { look, show, tokenFrom } from "./token-text.js";

export const decode: Command = {
  name: "decode",
  operands: "TOKEN|-",
  summary: "Shows what a signed token says of itself. Nothing of that is checked without --verify.",
  settings: ["provider", "domain", "tenant", "issuer", "audience", "timeout"],
  flags: [{ name: "verify", help: "Checks signature, issuer, audience and dates." }],

  async run({ configure, flags, operands, terminal }) {
    const token = await tokenFrom(operands, "decode");
    const { header, claims } = look(token);
    const json = flags["json"] === true;
    if (flags["verify"] !== true) {
      if (json) terminal.out(JSON.stringify({ verified: false, header, claims }));
      else terminal.out(`${show(header)}\n${show(claims)}`);
      terminal.err(
        terminal.err.red(
          "The signature was NOT verified: anybody can write this. --verify checks it.",
        ),
      );
      return 0;
    }
    const configuration = await configure();
    const source = guardSource(configuration, "jwt");
    configuration.check();
    const { exitCode, code, hint } = await decisionOf(configuration, source, token);
    const verdict = exitCode === 0 ? "verified" : `NOT verified: ${code}. ${hint}`;
    if (json) {
      const more = exitCode === 0 ? {} : { error: code };
      terminal.out(JSON.stringify({ verified: exitCode === 0, header, claims, ...more }));
    } else {
      terminal.out(`${show(header)}\n${show(claims)}`);
      terminal.err(
        (exitCode === 0 ? terminal.err.green : terminal.err.red)(`The token is ${verdict}`),
      );
    }
    return exitCode;
  },
};
