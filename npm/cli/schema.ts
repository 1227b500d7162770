// The JSON schema of the file of settings, from the table.

import { NEEDS } from "./checker.js";
import { METHOD, SERVER_URL } from "./pattern.js";
import { SETTINGS, helpOfSetting, isSecret } from "./setting.js";
import type { Setting } from "./setting.js";

type Schema = Readonly<Record<string, unknown>>;

const TEXT: Schema = { type: "string", minLength: 1 };
const TEXTS: Schema = { type: "array", minItems: 1, items: TEXT };
const TEXT_OR_TEXTS: Schema = { anyOf: [TEXT, TEXTS] };
/** What stands in the environment is known when the file is read. */
const EXPANDED: Schema = { type: "string", pattern: "\\$\\{\\w+\\}" };

const SECRET: Schema = {
  description:
    "Never the secret itself: ${NAME}, {env: NAME}, {file: PATH} or {command: [PROGRAM, ...]}.",
  oneOf: [
    { type: "string", pattern: "^\\$\\{\\w+\\}$" },
    ...Object.entries({ env: TEXT, file: TEXT, command: TEXTS }).map(([name, value]) => ({
      type: "object",
      properties: { [name]: value },
      required: [name],
      additionalProperties: false,
    })),
  ],
};

function valueOf({ kind, range }: Setting): Schema {
  if (typeof kind !== "string") return { anyOf: [{ enum: [...kind] }, EXPANDED] };
  switch (kind) {
    case "integer":
      return { anyOf: [{ type: "integer", minimum: range?.[0], maximum: range?.[1] }, EXPANDED] };
    case "switch":
      return { anyOf: [{ type: "boolean" }, EXPANDED] };
    case "list":
      return TEXT_OR_TEXTS;
    case "pairs":
      return { anyOf: [{ type: "object", additionalProperties: { type: "string" } }, TEXTS] };
    case "url":
      return { anyOf: [{ type: "string", pattern: "^https?://" }, EXPANDED] };
    default:
      return TEXT;
  }
}

function member(setting: Setting): readonly [string, Schema] {
  const { fallback, name } = setting;
  const said = fallback === undefined || fallback === "" ? "" : ` Default: ${String(fallback)}.`;
  const schema = isSecret(setting) ? SECRET : valueOf(setting);
  return [
    name,
    {
      ...schema,
      description: [schema["description"], helpOfSetting(setting) + said]
        .flat()
        .filter(Boolean)
        .join(" "),
    },
  ];
}

export function schema(): Schema {
  const all: readonly Setting[] = SETTINGS;
  const route: Schema = {
    type: "object",
    description: "The first route that fits counts; what fits none is refused.",
    properties: {
      path: { type: "string", pattern: "^/" },
      methods: {
        ...TEXTS,
        items: { anyOf: [{ type: "string", pattern: METHOD.source }, EXPANDED] },
      },
      required: { type: "boolean", default: true },
      ...Object.fromEntries(
        NEEDS.map((name) => [name, name === "maxAge" ? { type: "integer" } : TEXT_OR_TEXTS]),
      ),
    },
    required: ["path"],
    additionalProperties: false,
  };
  const server: Schema = {
    type: "object",
    properties: {
      urls: {
        ...TEXTS,
        items: { type: "string", pattern: SERVER_URL.source },
        description:
          "The addresses that are of this server: an origin, and a path in which * stands for any.",
      },
      ...Object.fromEntries(all.filter(({ perServer }) => perServer).map(member)),
    },
    additionalProperties: false,
  };
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Settings of gatepass",
    type: "object",
    properties: {
      $schema: { type: "string" },
      servers: { type: "object", additionalProperties: server },
      routes: { type: "array", items: route },
      guard: { type: "object", description: "More options of createGuard." },
      ...Object.fromEntries(all.map(member)),
    },
    additionalProperties: false,
  };
}
