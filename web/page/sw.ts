/**
 * The service worker. It caches the files of the page, so that the page opens without a network.
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

/** The list of suggested models, which the host of the page can change. */
const MODELS = "models.json";
/** Milliseconds to wait for the network before the cached file is used. */
const TIMEOUT = 4000;

worker.addEventListener("install", (event) => {
  const fresh = FILES.map((file) => new Request(file, { cache: "reload" }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(fresh)));
});

worker.addEventListener("activate", (event) => {
  const old = (name: string) => name.startsWith("godwit-page-") && name !== CACHE;
  const clean = caches
    .keys()
    .then((names) => Promise.all(names.filter(old).map((name) => caches.delete(name))));
  event.waitUntil(clean.then(() => worker.clients.claim()));
});

// A new version waits until the user chooses to update.
worker.addEventListener("message", ({ data }) => {
  if (data === "take over") void worker.skipWaiting();
});

/** Fetches a file from the network, or from the cache if the network fails. */
async function networkFirst(file: string, request: Request): Promise<Response> {
  const cache = await caches.open(CACHE);
  try {
    const signal = AbortSignal.timeout(TIMEOUT);
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
  const { method, url } = event.request;
  const path = url.startsWith(scope) ? url.slice(scope.length).replace(/[?#].*/, "") : "//";
  const file = path === "" ? "index.html" : path;
  // Models, and everything else outside of the page, are not cached here.
  if (method !== "GET" || !FILES.includes(file)) return;
  if (file === MODELS) {
    event.respondWith(networkFirst(file, event.request));
    return;
  }
  event.respondWith(
    caches
      .open(CACHE)
      .then((cache) => cache.match(file))
      .then((cached) => cached ?? fetch(event.request)),
  );
});
