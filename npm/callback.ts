/**
 * For the page at `redirectUri` when sign-ins take place in popups or hidden frames: hands the
 * callback to the page that waits for it, without loading a client.
 *
 * @packageDocumentation
 */
export { relayCallback } from "./lib/relay.js";
