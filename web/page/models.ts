/** The dialog in which a model is chosen. */

import { type Source, Engine } from "../js/index.js";
import { button, byId, bytes, make, number } from "./dom.js";
import type { Settings } from "./state.js";

interface Suggested {
  name: string;
  about: string;
  url: string;
  sha256?: string;
}

/** What can be looked at before it is loaded. */
type Looked = { url: string; sha256?: string; name?: string } | File[];

const dialog = byId<HTMLDialogElement>("models");
const chosen = byId("chosen");

/** Sets the dialog up. `load` is called with what a person decided for. */
export function setUp(settings: () => Settings, load: (source: Source, name: string, keep: boolean) => void): void {
  const decide = (source: Source, name: string, keep = false) => {
    dialog.close();
    load(source, name, keep);
  };
  // Before anything is downloaded or copied: how much it is, and what it will take.
  const look = async (source: Looked) => {
    chosen.hidden = false;
    chosen.replaceChildren(make("p", {}, "Looking…"));
    try {
      const { context, kv } = settings();
      const { model, memory, context: tokens, cached } = await Engine.estimate(source, { context, kv });
      const picked = Array.isArray(source);
      const name = model.name || (picked ? (source[0]?.name ?? "") : source.name || source.url);
      const download = cached ? `${bytes(model.fileBytes)} on this device` : `${bytes(model.fileBytes)} to download`;
      const keep = make("input", { type: "checkbox" });
      chosen.replaceChildren(
        make("p", {}, make("strong", {}, name), ` · ${model.kind} · window of ${number(model.window)} tokens`),
        make("p", {}, `${download} · ${bytes(memory.total)} of GPU memory with ${number(tokens)} tokens of context`),
        ...model.notes.map((note) => make("p", { className: "hint" }, note)),
        ...(picked ? [make("label", { className: "check" }, keep, "Keep a copy in this browser for the next visit")] : []),
        button("Load", () => decide(picked ? source : { ...source, name }, name, keep.checked), { className: "primary" }),
      );
      chosen.querySelector("button")?.focus();
    } catch (error) {
      chosen.replaceChildren(make("p", { className: "error" }, error instanceof Error ? error.message : String(error)));
    }
    chosen.scrollIntoView({ block: "nearest" });
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
  const suggested = await fetch("models.json").then((answer) => answer.json() as Promise<Suggested[]>, () => []);
  byId("cached-list").replaceChildren(
    ...cached.map((model) =>
      make(
        "li",
        {},
        make("span", {}, model.name, make("span", { className: "hint" }, ` ${bytes(model.bytes)}${model.complete ? "" : ", not all of it yet"}`)),
        button(model.complete ? "Load" : "Go on", () => decide(model.source, model.name)),
        button("Delete", () => void Engine.deleteCached(model.source).then(() => open(look, decide)), {
          ariaLabel: `Delete ${model.name}`,
        }),
      ),
    ),
  );
  if (cached.length === 0) byId("cached-list").replaceChildren(make("li", { className: "hint" }, "Nothing yet."));
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
