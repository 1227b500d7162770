// Sends the guard's requests over node:http. The runtime's fetch does the same and more, and costs a
// service a dozen megabytes and half of its time for each question.

import { Agent as HttpAgent, request as httpRequest } from "node:http";
import type { ClientRequest, IncomingHttpHeaders, RequestOptions } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { promisify } from "node:util";
import { brotliDecompress, gunzip, inflate } from "node:zlib";

/** More than any answer that the guard can be told to read; it measures them itself. */
const LONGEST = 4 * 1024 * 1024;

/** What files in object stores may be kept in, whoever asks for them. */
const UNDO = new Map([
  ["br", promisify(brotliDecompress)],
  ["deflate", promisify(inflate)],
  ["gzip", promisify(gunzip)],
]);

export interface Sender {
  readonly fetch: typeof fetch;
  /** Ends all connections. What is under way fails, and so does what is asked afterwards. */
  close(): void;
}

/** A `fetch` for texts: it follows no redirect and reads the whole answer, up to 4 MiB. */
export function makeSender(): Sender {
  const agents = {
    "http:": new HttpAgent({ keepAlive: true }),
    "https:": new HttpsAgent({ keepAlive: true }),
  };
  /** What is under way. */
  const open = new Set<() => void>();
  let isClosed = false;
  const send = (input: string | URL | Request, init: RequestInit = {}): Promise<Answer> => {
    const url = new URL(input instanceof URL || typeof input === "string" ? input : input.url);
    const isSecure = url.protocol === "https:";
    const { method = "GET", signal, body } = init;
    const text = typeof body === "string" ? body : undefined;
    const options = {
      agent: agents[isSecure ? "https:" : "http:"],
      method,
      headers: {
        ...(init.headers as Record<string, string> | undefined),
        // Without it any coding would do (RFC 9110 section 12.5.3).
        "accept-encoding": "identity",
        ...(text !== undefined && { "content-length": Buffer.byteLength(text) }),
      },
    };
    return new Promise((resolve, reject) => {
      let request: ClientRequest;
      const abort = (): void => {
        const cause = new Error("aborted");
        request.destroy(cause);
        fail(cause);
      };
      const done = (): void => {
        open.delete(abort);
        signal?.removeEventListener("abort", abort);
      };
      const fail = (cause: Error): void => {
        done();
        reject(new TypeError("fetch failed", { cause }));
      };
      const ask = (more: RequestOptions): void => {
        let isAnswered = false;
        request = (isSecure ? httpsRequest : httpRequest)(url, { ...options, ...more });
        request.once("response", (response) => {
          isAnswered = true;
          const chunks: Buffer[] = [];
          let length = 0;
          response.on("data", (chunk: Buffer) => {
            length += chunk.length;
            if (length > LONGEST) request.destroy(new Error("too long"));
            else chunks.push(chunk);
          });
          response.once("error", fail);
          response.once("end", () => {
            const { statusCode = 0, headers } = response;
            const coding = headers["content-encoding"]?.toLowerCase() ?? "identity";
            const whole = Buffer.concat(chunks);
            if (coding === "identity" || length === 0) {
              done();
              resolve(new Answer(statusCode, headers, whole));
              return;
            }
            // What is in another one is none to the core, which says so.
            const undone = UNDO.get(coding)?.(whole, { maxOutputLength: LONGEST });
            Promise.resolve(undone ?? whole).then((bytes) => {
              done();
              resolve(new Answer(statusCode, headers, bytes));
            }, fail);
          });
        });
        // Nobody asked for another protocol; Node tells of it in no other way.
        request.once("upgrade", (_, socket) => {
          socket.destroy();
          fail(new Error("another protocol"));
        });
        request.once("error", (cause) => {
          // The other end closed a connection that was kept just as it was used again. A guard's
          // questions change nothing: they can be asked twice.
          if (request.reusedSocket && !isAnswered && open.has(abort)) ask({ agent: false });
          else fail(cause);
        });
        request.end(text);
      };
      if (isClosed || signal?.aborted) return fail(new Error("aborted"));
      ask({});
      open.add(abort);
      signal?.addEventListener("abort", abort);
    });
  };
  return {
    fetch: send as unknown as typeof fetch,
    close() {
      isClosed = true;
      for (const abort of open) abort();
      for (const agent of Object.values(agents)) agent.destroy();
    },
  };
}

/** As much of a `Response` as the core and the service look at. */
export class Answer {
  readonly type = "default";
  readonly redirected = false;
  /** There is no stream: the answer was read. */
  readonly body = null;
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  readonly #bytes: Buffer;

  constructor(status: number, headers: IncomingHttpHeaders, bytes: Buffer) {
    this.status = status;
    this.headers = {
      get(name) {
        const value = headers[name.toLowerCase()];
        return Array.isArray(value) ? value.join(", ") : (value ?? null);
      },
    };
    this.#bytes = bytes;
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    // Of its own: a small buffer lies in one that others use.
    return new Uint8Array(this.#bytes).buffer;
  }
}
