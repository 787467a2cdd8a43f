/** Toasts: notes with an Undo button that disappear after some time. */

import { button, byId, make } from "./dom.js";

/** Milliseconds until a toast disappears. The time stops while it has the pointer or the focus. */
const DURATION = 15_000;

/** Shows a toast with an Undo button. `onGone` is called if it disappears without an undo. */
export function offerUndo(text: string, undo: () => void, onGone: () => void = () => {}): void {
  let timer: ReturnType<typeof setTimeout>;
  const end = (then: () => void) => {
    clearTimeout(timer);
    toast.remove();
    then();
  };
  const pause = () => clearTimeout(timer);
  const resume = () => {
    pause();
    timer = setTimeout(() => end(onGone), DURATION);
  };
  const toast = make(
    "div",
    { className: "toast", onpointerenter: pause, onpointerleave: resume },
    make("span", {}, text),
    button("Undo", () => end(undo), { className: "primary" }),
    button("✕", () => end(onGone), { className: "icon", ariaLabel: "Close" }),
  );
  toast.addEventListener("focusin", pause);
  toast.addEventListener("focusout", resume);
  byId("toasts").append(toast);
  resume();
}
