// Requests with exactly these headers: the fetch of Node writes some of its own, such as
// `Sec-Fetch-Mode`, over those of a test.

import { request as httpRequest } from "node:http";

/**
 * @param {string} base where it goes, whatever the request's URL says
 * @returns {(request: Request) => Promise<Response>}
 */
export const askHttp = (base) => async (request) => {
  const { method, url, headers } = request;
  const { pathname, search } = new URL(url);
  const body = request.body === null ? undefined : await request.text();
  return new Promise((resolve, reject) => {
    const options = { method, headers: Object.fromEntries(headers), agent: false };
    httpRequest(new URL(pathname + search, base), options, async (answer) => {
      const chunks = [];
      for await (const chunk of answer) chunks.push(chunk);
      const lines = [];
      for (let at = 0; at < answer.rawHeaders.length; at += 2) {
        lines.push([answer.rawHeaders[at], answer.rawHeaders[at + 1]]);
      }
      const { statusCode: status } = answer;
      const text = [204, 304].includes(status) ? null : Buffer.concat(chunks);
      resolve(new Response(text, { status, headers: lines }));
    })
      .on("error", reject)
      .end(body);
  });
};
