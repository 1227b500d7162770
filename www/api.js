// Calls the guarded worker and reads its answer: a principal, or a refusal with its challenge.

/** A refusal is an answer, not an error; only a worker that cannot be reached rejects. */
export async function callApi(url, token) {
  const started = performance.now();
  let response;
  try {
    response = await fetch(url, {
      headers: { authorization: `Bearer ${token}` },
      cache: "no-store",
    });
  } catch {
    throw {
      code: "worker_unreachable",
      phase: "api call",
      hint: "The worker did not answer; check that it is running and allows this page's origin.",
      retryable: true,
    };
  }
  const durationMs = performance.now() - started;
  const body = await response.json().catch(() => ({}));
  return {
    ok: response.ok,
    status: response.status,
    statusText: response.statusText,
    challenge: response.headers.get("www-authenticate"),
    body,
    request: { method: "GET", url, status: response.status, durationMs, names: ["authorization"] },
  };
}

/**
 * Changes the signature in its last characters but one. The very last one is left alone: part of its
 * bits is padding, and a strict reader would call the token malformed before it looks at the signature.
 */
export function tamper(token) {
  const end = token.length - 1;
  const other = (character) => (character === "A" ? "B" : "A");
  return (
    token.slice(0, end - 4) + [...token.slice(end - 4, end)].map(other).join("") + token.slice(end)
  );
}
