/** The service worker: the page's own files come from the cache, so that it opens without a network. */

declare const FILES: string[];
declare const VERSION: string;

const worker = self as unknown as Scope;
const CACHE = `godwit-page-${VERSION}`;

interface Scope {
  registration: { scope: string };
  clients: { claim(): Promise<void> };
  addEventListener(type: string, listener: (event: ExtendableEvent) => void): void;
}

interface ExtendableEvent extends Event {
  waitUntil(work: Promise<unknown>): void;
  respondWith(answer: Promise<Response>): void;
  request: Request;
}

worker.addEventListener("install", (event) => {
  const fresh = FILES.map((file) => new Request(file, { cache: "reload" }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(fresh)));
});

worker.addEventListener("activate", (event) => {
  const old = (name: string) => name.startsWith("godwit-page-") && name !== CACHE;
  const clean = caches.keys().then((names) => Promise.all(names.filter(old).map((name) => caches.delete(name))));
  event.waitUntil(clean.then(() => worker.clients.claim()));
});

worker.addEventListener("fetch", (event) => {
  const { scope } = worker.registration;
  const path = event.request.url.startsWith(scope) ? event.request.url.slice(scope.length).replace(/[?#].*/, "") : "//";
  const file = path === "" ? "index.html" : path;
  // Models and everything else go their own way.
  if (event.request.method !== "GET" || !FILES.includes(file)) return;
  event.respondWith(
    caches
      .open(CACHE)
      .then((cache) => cache.match(file))
      .then((kept) => kept ?? fetch(event.request)),
  );
});
