/** The dialog of models: kept, suggested, by URL and from files. */

import { type CachedModel, Engine, type Estimate, type Source } from "../js/index.js";
import { button, byId, bytes, make, number } from "./dom.js";
import type { Settings } from "./state.js";
import { suggestedModels } from "./suggested.js";

/** A model that the dialog can describe before it is loaded. */
type Candidate = { url: string; sha256?: string; name?: string } | File[];

const dialog = byId<HTMLDialogElement>("models");
const chosen = byId("chosen");

/** Sets the dialog up. `load` is called with the model that the user chooses. */
export function setUp(
  settings: () => Settings,
  load: (source: Source, name: string, keep: boolean) => void,
): void {
  const decide = (source: Source, name: string, keep = false) => {
    dialog.close();
    load(source, name, keep);
  };
  let looking: AbortController | undefined;
  /** Shows a model's size and memory, before anything is downloaded or copied. */
  const look = async (source: Candidate) => {
    looking?.abort();
    looking = new AbortController();
    const { signal } = looking;
    chosen.hidden = false;
    chosen.replaceChildren(make("p", {}, "Reading the model's header…"));
    try {
      const { context, kv } = settings();
      const estimate = await Engine.estimate(source, { context, kv, signal });
      if (signal.aborted) return;
      chosen.replaceChildren(...description(source, estimate, decide));
      chosen.querySelector("button")?.focus();
    } catch (error) {
      if (signal.aborted) return;
      chosen.replaceChildren(
        make("p", { className: "error" }, error instanceof Error ? error.message : String(error)),
      );
    }
    chosen.scrollIntoView({ block: "nearest" });
  };

  dialog.onclose = () => {
    looking?.abort();
    chosen.hidden = true;
    void deleteMarked();
  };
  byId("url-form").onsubmit = (event) => {
    event.preventDefault();
    void look({ url: byId<HTMLInputElement>("url").value.trim() });
  };
  const file = byId<HTMLInputElement>("file");
  byId("pick-file").onclick = () => file.click();
  file.onchange = () => {
    const files = [...(file.files ?? [])];
    file.value = "";
    if (files.length > 0) void look(files);
  };
  acceptDrops((files) => files.length > 0 && void open(look, decide).then(() => look(files)));
  byId("show-models").onclick = () => void open(look, decide);
}

/** The elements that describe a model: its size and memory, and a button that loads it. */
function description(
  source: Candidate,
  { model, memory, context, cached }: Estimate,
  decide: (source: Source, name: string, keep: boolean) => void,
): HTMLElement[] {
  const isPicked = Array.isArray(source);
  const name = model.name || (isPicked ? (source[0]?.name ?? "") : source.name || source.url);
  const size = `${bytes(model.fileBytes)} ${cached ? "on this device" : "to download"}`;
  const window = ` · ${model.kind} · window of ${number(model.window)} tokens`;
  const gpu = `${bytes(memory.total)} of GPU memory with ${number(context)} tokens of context`;
  const keep = make("input", { type: "checkbox" });
  const label = "Keep a copy in this browser for the next visit";
  const act = () => decide(isPicked ? source : { ...source, name }, name, keep.checked);
  return [
    make("p", {}, make("strong", {}, name), window),
    make("p", {}, `${size} · ${gpu}`),
    ...model.notes.map((note) => make("p", { className: "hint" }, note)),
    ...(isPicked ? [make("label", { className: "check" }, keep, label)] : []),
    button("Load", act, { className: "primary" }),
  ];
}

async function open(
  look: (source: Candidate) => void,
  decide: (source: Source, name: string) => void,
): Promise<void> {
  chosen.hidden = true;
  if (!dialog.open) dialog.showModal();
  const cached = await Engine.cached();
  const suggested = await fetch("models.json")
    .then(async (answer) => suggestedModels(await answer.text()))
    .catch(() => []);
  byId("cached-list").replaceChildren(...cached.map((model) => listed(model, decide)));
  if (cached.length === 0)
    byId("cached-list").replaceChildren(make("li", { className: "hint" }, "Nothing yet."));
  byId("suggested-list").replaceChildren(
    ...suggested.map(({ name, about, url, sha256 }) =>
      make(
        "li",
        {},
        make("span", {}, name, make("span", { className: "hint" }, ` ${about}`)),
        button("Look", () => look({ name, url, sha256 })),
      ),
    ),
  );
}

/** The sources of models that are deleted when the dialog closes, unless that is undone. */
const marked = new Set<string>();

async function deleteMarked(): Promise<void> {
  const sources = [...marked];
  marked.clear();
  await Promise.allSettled(sources.map((source) => Engine.deleteCached(source)));
}

/** The entry of a kept model in the list. */
function listed(model: CachedModel, decide: (source: Source, name: string) => void): HTMLLIElement {
  const { source, name } = model;
  const li = make("li");
  const hint = (text: string) =>
    make("span", {}, name, make("span", { className: "hint" }, ` ${text}`));
  const draw = () => {
    if (marked.has(source)) {
      const undo = () => {
        marked.delete(source);
        draw();
      };
      li.replaceChildren(
        hint("will be deleted when this dialog closes"),
        button("Undo", undo, { ariaLabel: `Keep ${name}` }),
      );
      return;
    }
    const remove = () => {
      marked.add(source);
      draw();
    };
    li.replaceChildren(
      hint(`${bytes(model.bytes)}${model.complete ? "" : ", download incomplete"}`),
      button(model.complete ? "Load" : "Resume", () => decide(source, name)),
      button("Delete", remove, { ariaLabel: `Delete ${name}` }),
    );
  };
  draw();
  return li;
}

function acceptDrops(take: (files: File[]) => void): void {
  addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  });
  addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    take([...(event.dataTransfer?.files ?? [])]);
  });
}
