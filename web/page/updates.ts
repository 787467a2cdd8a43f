/** Updates of the page: a new service worker waits until the user chooses to update. */

import { byId } from "./dom.js";

/** Milliseconds between two checks for a new version while the page stays open. */
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
  let accepted = false;
  serviceWorker.addEventListener("controllerchange", () => {
    if (accepted) location.reload();
    // The new service worker has deleted the cached files of this tab's version.
    else if (controlled) offer("Reload", "Another tab updated this page", () => location.reload());
    controlled = true;
  });
  const offerWaiting = (worker: ServiceWorker) => {
    offer("Update", "A new version of this page is ready", () => {
      accepted = true;
      worker.postMessage("take over");
    });
  };
  const registration = await serviceWorker.register("sw.js");
  const watch = (worker: ServiceWorker | null) => {
    worker?.addEventListener("statechange", () => {
      if (worker.state === "installed" && controlled) offerWaiting(worker);
    });
  };
  if (registration.waiting && controlled) offerWaiting(registration.waiting);
  watch(registration.installing);
  registration.addEventListener("updatefound", () => watch(registration.installing));
  const check = () => void registration.update().catch(() => undefined);
  setInterval(check, INTERVAL);
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") check();
  });
}
