// A static server with ranges, which can misbehave on request.
import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";

const TYPES = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".wasm": "application/wasm",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".webmanifest": "application/manifest+json",
};

/**
 * Serves folders: `{ "/models/": "path/of/folder/" }`. `rules` is called for each request and may
 * return, or resolve to:
 *
 * - `{ status }`, the status of an empty response;
 * - `{ cut: bytes }`, to close the connection after so many bytes;
 * - `{ ranges: false }`, to ignore ranges;
 * - `{ body }`, to serve other bytes;
 * - `{ headers }`, to add headers;
 * - `{ later }`, a promise that the response waits for.
 *
 * `requests` has the path, the range and the promise `closed` of each request.
 */
export async function serve(folders) {
  const server = createServer(async (request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://x").pathname));
    const closed = new Promise((resolve) => response.once("close", resolve));
    const served = { path, range: request.headers.range, closed };
    self.requests.push(served);
    const rule = (await self.rules?.(served)) ?? {};
    await rule.later;
    if (rule.status) return void response.writeHead(rule.status).end();
    const prefix = Object.keys(folders).find((prefix) => path.startsWith(prefix));
    const file = prefix && join(folders[prefix], path.slice(prefix.length) || "index.html");
    const size = rule.body
      ? rule.body.length
      : file && statSync(file, { throwIfNoEntry: false })?.size;
    if (size === undefined) return void response.writeHead(404).end();
    const [, first, last] =
      (rule.ranges !== false && /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "")) || [];
    const [start, end] = first
      ? [Number(first), Math.min(Number(last || size - 1), size - 1)]
      : [0, size - 1];
    const headers = {
      "Content-Type": TYPES[extname(file ?? path)] ?? "application/octet-stream",
      "Content-Length": end - start + 1,
      "Cache-Control": "no-store",
      ...rule.headers,
    };
    if (first) headers["Content-Range"] = `bytes ${start}-${end}/${size}`;
    response.writeHead(first ? 206 : 200, headers);
    if (request.method === "HEAD" || size === 0) return void response.end();
    if (rule.body) return void response.end(rule.body.subarray(start, end + 1));
    const stream = createReadStream(file, {
      start,
      end: rule.cut === undefined ? end : Math.min(end, start + rule.cut),
    });
    stream.on("error", () => response.destroy());
    if (rule.cut === undefined || start + rule.cut >= end) return void stream.pipe(response);
    stream.on("data", (bytes) => response.write(bytes));
    stream.on("end", () => response.destroy());
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const self = {
    url: `http://127.0.0.1:${server.address().port}`,
    requests: [],
    rules: undefined,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
  return self;
}
