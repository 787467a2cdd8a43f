/** Notes that pass, with something that can be done about them. */

import { button, byId, make } from "./dom.js";

/** Milliseconds that a note stays, unless it is pointed at or has the focus. */
const STAY = 15_000;

/** Shows a note. `undo` is offered until it has gone; `gone` is called unless it was taken. */
export function offerUndo(text: string, undo: () => void, gone: () => void = () => {}): void {
  let timer: ReturnType<typeof setTimeout>;
  const end = (then: () => void) => {
    clearTimeout(timer);
    toast.remove();
    then();
  };
  const stay = () => clearTimeout(timer);
  const count = () => {
    stay();
    timer = setTimeout(() => end(gone), STAY);
  };
  const toast = make(
    "div",
    { className: "toast", onpointerenter: stay, onpointerleave: count },
    make("span", {}, text),
    button("Undo", () => end(undo), { className: "primary" }),
    button("✕", () => end(gone), { className: "icon", ariaLabel: "Close" }),
  );
  toast.addEventListener("focusin", stay);
  toast.addEventListener("focusout", count);
  byId("toasts").append(toast);
  count();
}
