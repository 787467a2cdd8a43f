/** The progress bar of loading, and the description of the loaded model. */

import type { Engine, LoadProgress } from "../js/index.js";
import { byId, bytes, number } from "./dom.js";

/** Shows the progress of loading. */
export function showProgress({ phase, done, total, seconds }: LoadProgress): void {
  const bar = byId<HTMLProgressElement>("loading-bar");
  const text = byId("loading-text");
  if (phase === "wait") {
    bar.removeAttribute("value");
    text.textContent = "Another tab is downloading this model. This tab waits for it.";
    return;
  }
  const what = {
    download: "Downloading",
    copy: "Copying",
    verify: "Verifying",
    gpu: "Writing to the GPU:",
  }[phase];
  bar.value = total > 0 ? done / total : 0;
  text.textContent = `${what} ${bytes(done)} of ${bytes(total)}, ${seconds.toFixed(0)} s`;
}

/** Shows the engine's adapter, memory and context in the settings dialog. */
export async function showEngine(engine: Engine): Promise<void> {
  const { adapter, context, kv, memory } = await engine.info();
  const used = `${bytes(memory.total)} of GPU memory in use (weights ${bytes(memory.weights)})`;
  const cache = `context of ${number(context)} tokens, KV cache in ${kv}`;
  byId("about").textContent = `${engine.model.name} on ${adapter}: ${used}, ${cache}.`;
}
