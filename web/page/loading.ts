/** How far a model is loaded, and what the loaded one takes. */

import type { Engine, LoadProgress } from "../js/index.js";
import { byId, bytes, number } from "./dom.js";

/** Shows how far loading is. */
export function progress({ phase, done, total, seconds }: LoadProgress): void {
  const bar = byId<HTMLProgressElement>("loading-bar");
  const text = byId("loading-text");
  if (phase === "wait") {
    bar.removeAttribute("value");
    text.textContent = "Another tab is getting this model; it is read when that tab is done.";
    return;
  }
  const what = {
    download: "Downloading",
    copy: "Keeping a copy:",
    verify: "Checking",
    gpu: "To the GPU:",
  }[phase];
  bar.value = total > 0 ? done / total : 0;
  text.textContent = `${what} ${bytes(done)} of ${bytes(total)}, ${seconds.toFixed(0)} s`;
}

/** Says in the settings what the engine runs on and takes. */
export async function about(engine: Engine): Promise<void> {
  const info = await engine.info();
  const { adapter, context, kv, memory } = info;
  const used = `${bytes(memory.total)} of GPU memory now (weights ${bytes(memory.weights)})`;
  const held = `context of ${number(context)} tokens, ${kv} KV cache`;
  byId("about").textContent = `${engine.model.name} on ${adapter}: ${used}, ${held}.`;
}
