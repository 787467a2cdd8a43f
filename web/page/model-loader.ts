/** Loading of models. */

import {
  Aborted,
  Engine,
  keptSource,
  type LoadProgress,
  NoWebGPU,
  type Source,
} from "../js/index.js";
import { refresh, state } from "./app-state.js";
import { type BannerAction, errorText, showBanner } from "./banner.js";
import { byId, number } from "./dom.js";
import { showEngine, showProgress } from "./loading.js";
import * as settingsDialog from "./settings.js";
import { rememberModel } from "./state.js";

/** Loads a model in place of the current one. Replies in progress are stopped. */
export async function load(source: Source, name: string, keep = false): Promise<void> {
  state.loading?.abort();
  for (const { stop } of state.replies.values()) stop.abort();
  state.engine?.destroy();
  state.engine = undefined;
  state.model = { source, name };
  const stop = new AbortController();
  state.loading = stop;
  byId("loading-stop").onclick = () => stop.abort();
  byId("model-name").textContent = name;
  byId("loading-text").textContent = "";
  byId("loading").hidden = false;
  showBanner("");
  refresh();
  try {
    const { context, kv } = state.settings;
    const onProgress = (progress: LoadProgress) => {
      if (stop === state.loading) showProgress(progress);
    };
    const options = { context, kv, keep, onProgress, signal: stop.signal };
    const engine = await Engine.load(source, options);
    if (stop !== state.loading) {
      engine.destroy();
      return;
    }
    state.engine = engine;
    byId("model-name").textContent = engine.model.name || name;
    await remember(source, keep);
    await showEngine(engine);
  } catch (error) {
    if (stop !== state.loading) return;
    if (!(error instanceof Aborted)) {
      // Loading again does not help if the browser has no WebGPU.
      const action = error instanceof NoWebGPU ? undefined : reloadAction();
      showBanner(errorText(error), action);
    }
    byId("model-name").textContent = "Choose a model";
  } finally {
    if (stop === state.loading) {
      state.loading = undefined;
      byId("loading").hidden = true;
      refresh();
    }
  }
}

/** Records the model for the next visit, if the browser keeps it. */
async function remember(source: Source, keep: boolean): Promise<void> {
  let remembered: string;
  if (typeof source === "string") {
    remembered = source;
  } else if ("url" in source) {
    remembered = new URL(source.url, document.baseURI).href;
  } else {
    if (!keep) return;
    remembered = keptSource([source].flat());
    const cached = await Engine.cached();
    if (!cached.some((model) => model.source === remembered)) {
      showBanner("There was no room for a copy of the files. Pick them again at the next visit.");
      return;
    }
  }
  await rememberModel(remembered);
  // A browser may delete models that are not persistent when the disk fills up.
  void navigator.storage?.persist?.();
}

/** Loads the last model again. */
export function reload(): void {
  if (state.model) void load(state.model.source, state.model.name);
}

/** The offer to load the last model again, if there is one. */
export function reloadAction(): BannerAction | undefined {
  return state.model && ["Load the model again", reload];
}

/** Says that no model can reply. */
export function sayNoModel(): void {
  if (state.loading) {
    showBanner("The model is still loading. Nothing was changed.");
    return;
  }
  const choose: BannerAction = ["Choose a model", () => byId("show-models").click()];
  showBanner("No model is loaded. Nothing was changed.", reloadAction() ?? choose);
}

/** The offer to load the model with twice the context, if its window is larger than the context. */
export function largerContextAction(): BannerAction | undefined {
  const { engine, model, settings } = state;
  const tokens = Math.min(2 * settings.context, engine?.model.window ?? 0);
  if (tokens <= settings.context || !model) return undefined;
  const { source, name } = model;
  const act = () => {
    settingsDialog.set("context", tokens);
    void load(source, name);
  };
  return [`Load it with ${number(tokens)} tokens`, act];
}
