// The service worker: it has the tokens, in its memory, and adds them to the calls of its pages.

import { createClient } from "gatepass";
import { keepSession } from "gatepass/serviceworker";

import { api, clientId, issuer } from "./config.js";

keepSession(createClient, {
  issuer,
  clientId,
  redirectUri: `${location.origin}/`,
  postLogoutRedirectUri: `${location.origin}/`,
  scope: "openid profile read",
  allowedOrigins: api,
  dangerouslyAllowHttpLoopback: location.hostname === "localhost", // a provider on your own machine
});
