/** The dialog in which a model is chosen. */

import { type CachedModel, type Source, Engine } from "../js/index.js";
import { button, byId, bytes, make, number } from "./dom.js";
import type { Settings } from "./state.js";
import { suggestedModels } from "./suggested.js";

/** What can be looked at before it is loaded. */
type Looked = { url: string; sha256?: string; name?: string } | File[];

const dialog = byId<HTMLDialogElement>("models");
const chosen = byId("chosen");

/** Sets the dialog up. `load` is called with what a person decided for. */
export function setUp(
  settings: () => Settings,
  load: (source: Source, name: string, keep: boolean) => void,
): void {
  const decide = (source: Source, name: string, keep = false) => {
    dialog.close();
    load(source, name, keep);
  };
  let looking: AbortController | undefined;
  // Before anything is downloaded or copied: how much it is, and what it will take.
  const look = async (source: Looked) => {
    looking?.abort();
    const { signal } = (looking = new AbortController());
    chosen.hidden = false;
    chosen.replaceChildren(make("p", {}, "Looking…"));
    try {
      const { context, kv } = settings();
      const {
        model,
        memory,
        context: tokens,
        cached,
      } = await Engine.estimate(source, { context, kv, signal });
      if (signal.aborted) return;
      const picked = Array.isArray(source);
      const name = model.name || (picked ? (source[0]?.name ?? "") : source.name || source.url);
      const download = cached
        ? `${bytes(model.fileBytes)} on this device`
        : `${bytes(model.fileBytes)} to download`;
      const keep = make("input", { type: "checkbox" });
      chosen.replaceChildren(
        make(
          "p",
          {},
          make("strong", {}, name),
          ` · ${model.kind} · window of ${number(model.window)} tokens`,
        ),
        make(
          "p",
          {},
          `${download} · ${bytes(memory.total)} of GPU memory with ${number(tokens)} tokens of context`,
        ),
        ...model.notes.map((note) => make("p", { className: "hint" }, note)),
        ...(picked
          ? [
              make(
                "label",
                { className: "check" },
                keep,
                "Keep a copy in this browser for the next visit",
              ),
            ]
          : []),
        button("Load", () => decide(picked ? source : { ...source, name }, name, keep.checked), {
          className: "primary",
        }),
      );
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

async function open(
  look: (source: Looked) => void,
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

/** Models that are deleted when the dialog closes, unless that is undone. */
const marked = new Set<string>();

async function deleteMarked(): Promise<void> {
  const sources = [...marked];
  marked.clear();
  await Promise.allSettled(sources.map((source) => Engine.deleteCached(source)));
}

function listed(model: CachedModel, decide: (source: Source, name: string) => void): HTMLLIElement {
  const { source, name } = model;
  const li = make("li");
  const hint = (text: string) =>
    make("span", {}, name, make("span", { className: "hint" }, ` ${text}`));
  const draw = () => {
    if (marked.has(source)) {
      const undo = button("Undo", () => (marked.delete(source), draw()), {
        ariaLabel: `Keep ${name}`,
      });
      return li.replaceChildren(hint("is deleted when this window closes"), undo);
    }
    li.replaceChildren(
      hint(`${bytes(model.bytes)}${model.complete ? "" : ", not all of it yet"}`),
      button(model.complete ? "Load" : "Go on", () => decide(source, name)),
      button("Delete", () => (marked.add(source), draw()), { ariaLabel: `Delete ${name}` }),
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
