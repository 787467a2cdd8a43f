/**
 * The service worker: the page's own files come from the cache, so that it opens without a network.
 */

declare const FILES: string[];
declare const VERSION: string;

const worker = self as unknown as Scope;
const CACHE = `godwit-page-${VERSION}`;

interface Scope {
  registration: { scope: string };
  clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
  addEventListener(type: string, listener: (event: ExtendableEvent) => void): void;
}

interface ExtendableEvent extends Event {
  waitUntil(work: Promise<unknown>): void;
  respondWith(answer: Promise<Response>): void;
  request: Request;
  data: unknown;
}

/** The list of suggested models, which whoever serves the page may change. */
const MODELS = "models.json";
/** Milliseconds that the network has to answer before the cache does. */
const PATIENCE = 4000;

worker.addEventListener("install", (event) => {
  const fresh = FILES.map((file) => new Request(file, { cache: "reload" }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(fresh)));
});

worker.addEventListener("activate", (event) => {
  const old = (name: string) => name.startsWith("godwit-page-") && name !== CACHE;
  const clean = caches.keys().then((names) => Promise.all(names.filter(old).map((name) => caches.delete(name))));
  event.waitUntil(clean.then(() => worker.clients.claim()));
});

// A new version waits until a person wants it.
worker.addEventListener("message", ({ data }) => data === "take over" && void worker.skipWaiting());

/** A file from the network, else the one that is kept. */
async function networkFirst(file: string, request: Request): Promise<Response> {
  const cache = await caches.open(CACHE);
  try {
    const signal = AbortSignal.timeout(PATIENCE);
    const answer = await fetch(request, { cache: "no-cache", signal });
    if (!answer.ok) throw new Error(answer.statusText);
    await cache.put(file, answer.clone());
    return answer;
  } catch {
    return (await cache.match(file)) ?? Response.error();
  }
}

worker.addEventListener("fetch", (event) => {
  const { scope } = worker.registration;
  const path = event.request.url.startsWith(scope) ? event.request.url.slice(scope.length).replace(/[?#].*/, "") : "//";
  const file = path === "" ? "index.html" : path;
  // Models and everything else go their own way.
  if (event.request.method !== "GET" || !FILES.includes(file)) return;
  if (file === MODELS) return event.respondWith(networkFirst(file, event.request));
  event.respondWith(
    caches
      .open(CACHE)
      .then((cache) => cache.match(file))
      .then((kept) => kept ?? fetch(event.request)),
  );
});
