/** New versions of the page: the service worker that waits takes over when a person says so. */

import { byId } from "./dom.js";

/** Milliseconds between two looks for a new version in a page that stays open. */
const INTERVAL = 3_600_000;

/** Registers the service worker, and offers each new version. */
export async function offerUpdates(): Promise<void> {
  const { serviceWorker } = navigator;
  if (!serviceWorker) return;
  const update = byId<HTMLButtonElement>("update");
  const offer = (text: string, title: string, act: () => void) => {
    update.textContent = text;
    update.title = title;
    update.onclick = act;
    update.hidden = false;
  };
  let controlled = serviceWorker.controller !== null;
  let asked = false;
  serviceWorker.addEventListener("controllerchange", () => {
    if (asked) location.reload();
    // The files of this tab's version are gone.
    else if (controlled) offer("Reload", "Another tab updated this page", () => location.reload());
    controlled = true;
  });
  const offerWaiting = (worker: ServiceWorker) => {
    offer("Update", "A new version of this page is ready", () => {
      asked = true;
      worker.postMessage("take over");
    });
  };
  const registration = await serviceWorker.register("sw.js");
  const watch = (worker: ServiceWorker | null) => {
    worker?.addEventListener(
      "statechange",
      () => worker.state === "installed" && controlled && offerWaiting(worker),
    );
  };
  if (registration.waiting && controlled) offerWaiting(registration.waiting);
  watch(registration.installing);
  registration.addEventListener("updatefound", () => watch(registration.installing));
  const look = () => void registration.update().catch(() => undefined);
  setInterval(look, INTERVAL);
  document.addEventListener(
    "visibilitychange",
    () => document.visibilityState === "visible" && look(),
  );
}
