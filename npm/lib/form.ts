// A callback that was posted (OAuth 2.0 Form Post Response Mode), as servers receive it.

import { GatepassError } from "./errors.js";

/** The longest body that is read, in bytes; the core takes no longer one apart. */
const MAX_BODY = 64 * 1024;

/** Whether this is a request, also one of another realm. */
export function isRequest(value: unknown): value is Request {
  const request = value as Partial<Request> | null | undefined;
  return typeof request?.url === "string" && typeof request.method === "string";
}

/**
 * The form of a POST; nothing for other methods. It is empty where the body is of another type, and
 * longer than the core takes where it is too long: reading stops there.
 */
export async function formOf(request: Request): Promise<string | undefined> {
  if (request.method !== "POST") return undefined;
  try {
    return await read(request);
  } catch (cause) {
    throw new GatepassError({
      code: "request_invalid",
      phase: "callback",
      retryable: false,
      at: "body",
      hint: "The request's body could not be read: it was read before, or whoever sent it went away.",
      cause,
    });
  }
}

async function read(request: Request): Promise<string> {
  const type = request.headers.get("content-type")?.split(";")[0]?.trim().toLowerCase();
  if (type !== "application/x-www-form-urlencoded" || !request.body) return "";
  const decoder = new TextDecoder();
  const reader = request.body.getReader();
  let text = "";
  for (let length = 0; length <= MAX_BODY;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    length += value.byteLength;
    text += decoder.decode(value, { stream: true });
  }
  await reader.cancel();
  return text;
}
