// Nothing here runs: compiling is the assertion.
import { type IncomingMessage, type ServerResponse, createServer } from "node:http";
import {
  type Http2ServerRequest,
  type Http2ServerResponse,
  createServer as createHttp2Server,
} from "node:http2";
import { createServer as createTlsServer } from "node:https";

import { type ProtectedResponse, protect } from "gatepass/express";
import type { Guard } from "gatepass/guard";

declare const guard: Guard;

createServer(protect(guard, (_request, response, { subject }) => response.end(subject)));
createTlsServer(
  protect(guard, (_request, response) => {
    response.writeHead(404, { "cache-control": "no-store" });
    response.end(new Uint8Array(1));
  }),
);
createHttp2Server(protect(guard, (_request, response) => response.end("welcome")));
createServer(
  protect(guard, (request: IncomingMessage, response: ServerResponse) => {
    response.writeHead(200, "fine", { "set-cookie": ["a", "b"] }).end(request.httpVersion, "utf8");
  }),
);
createHttp2Server(
  protect(guard, (request: Http2ServerRequest, response: Http2ServerResponse) => {
    response.stream.respond();
    response.end(request.authority);
  }),
);

const listener = protect(guard, (_request, response) => response.end("welcome"));
createServer((request, response) => listener(request, response));

declare const one: ServerResponse;
declare const other: Http2ServerResponse;
void ([one, other] satisfies ProtectedResponse[]);
