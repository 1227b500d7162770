// A client of the service that adds the access token, and renews it where the service says so.

import { createClient as createRpc } from "@connectrpc/connect";
import { authorized } from "gatepass/connect";

import { Greeter } from "./service.mjs";

/**
 * @param {import("@connectrpc/connect").Transport} transport made by `makeTransport`
 */
export const greeter = (transport) => createRpc(Greeter, transport);

/**
 * @param {Function} create such as `createConnectTransport` of `@connectrpc/connect-web`
 * @param {import("gatepass").Client} client whose `allowedOrigins` name that of `baseUrl`
 * @param {string} baseUrl
 * @param {object} [more] options of the transport
 */
export const makeTransport = (create, client, baseUrl, more) =>
  create({ baseUrl, interceptors: [authorized(client)], ...more });
