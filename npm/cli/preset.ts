// Where well-known providers are.

import type { SettingName } from "./setting.js";

/** What says where a provider is, and is of no use at another one. */
export const PLACES = [
  "issuer",
  "endpoint",
  "authUrl",
  "tokenUrl",
  "deviceUrl",
  "revocationUrl",
  "jwksUrl",
  "introspectionUrl",
] as const satisfies readonly SettingName[];

/** What a provider's name stands for, or the name of the setting that it needs. */
export function preset(
  provider: string,
  domain: string | undefined,
  tenant: string | undefined,
): Readonly<Record<string, string>> | string {
  switch (provider) {
    case "auth0":
      return domain === undefined ? "domain" : { issuer: `https://${domain}/` };
    case "okta":
      return domain === undefined ? "domain" : { issuer: `https://${domain}/oauth2/default` };
    case "entra":
      return tenant === undefined
        ? "tenant"
        : { issuer: `https://login.microsoftonline.com/${tenant}/v2.0` };
    default:
      return { issuer: "https://accounts.google.com" };
  }
}

/** What a provider wants to see when a user is to be asked, so that a refresh token comes of it. */
export function renewable(provider: string | undefined): Readonly<Record<string, string>> {
  return provider === "google" ? { access_type: "offline", prompt: "consent" } : {};
}
