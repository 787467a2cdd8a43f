// Fuzzes the parsers of the page: manifests, lists of models, chats, and Markdown.
//
//   node web/tests/fuzz.mjs SECONDS [--seed NUMBER] [--target NAME]
//
// Prints the seed. The same seed finds the same failure. Its input is written to target/fuzz.
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import fc from "fast-check";
import { start, TARGET } from "./browser.mjs";
import { bundle, imported } from "./bundle.mjs";
import {
  chat,
  fragments,
  LONG,
  LONG_TEXTS,
  manifest,
  mostly,
  NESTED,
  nested,
  object,
  repeat,
  repeated,
  suggestion,
  textOf,
} from "./fuzz-inputs.mjs";

/** Milliseconds within which any long text passes. */
const FAST = 1000;
/** Milliseconds that a text with linear time may take: it may become 100,000 elements. */
const LIMIT = 5000;
/**
 * The factor of the length of a shorter text, and the largest factor between the two times. It is
 * 16 for linear time, somewhat more with garbage collection, and 256 for quadratic time.
 */
const SHORTER = 16;
const SLOWER = 64;

/** The elements that a text may produce, and their attributes. */
// biome-ignore format: a table of short strings
const HTML = {
  a: ["href", "rel", "target"], blockquote: [], br: [], code: [], del: [], em: [], h1: [], h2: [],
  h3: [], h4: [], h5: [], h6: [], hr: [], li: ["class"], ol: ["start"], p: [], pre: [], strong: [],
  table: [], tbody: [], td: ["align"], th: ["align"], thead: [], tr: [], ul: [],
};
const MATHML = new RegExp(
  "^(?:math|m(?:enclose|error|frac|i|multiscripts|n|o|over|padded|phantom|prescripts|root|row|s|" +
    "space|sqrt|style|sub|subsup|sup|table|td|text|tr|under|underover))$",
);
const MATHML_ATTRIBUTES = [
  "accent",
  "class",
  "columnalign",
  "columnspan",
  "depth",
  "display",
  "displaystyle",
  "fence",
  "height",
  "largeop",
  "linethickness",
  "lspace",
  "mathvariant",
  "maxsize",
  "minsize",
  "movablelimits",
  "notation",
  "rowspan",
  "rspace",
  "scriptlevel",
  "separator",
  "stretchy",
  "symmetric",
  "voffset",
  "width",
];

/** Opens a page in Chromium that has the renderer of the chat page. */
export async function openRenderer() {
  const browser = await start();
  const body = Buffer.from(await bundle({ markdown: "page/markdown.ts" }));
  browser.server.rules = ({ path }) => (path === "/markdown.js" ? { body } : {});
  const page = await browser.context.newPage();
  await page.goto(`${browser.server.url}/tests/blank.html`);
  await page.evaluate(
    async ([HTML, source, attributes]) => {
      const { markdown } = await import("/markdown.js");
      const math = new RegExp(source);
      const mathSpace = "http://www.w3.org/1998/Math/MathML";
      const htmlSpace = "http://www.w3.org/1999/xhtml";
      const wrong = ({ namespaceURI, localName }, { name, value }) => {
        const known = namespaceURI === mathSpace ? attributes : (HTML[localName] ?? []);
        if (!known.includes(name)) return true;
        if (name === "href") return !/^(?:https?|mailto):/i.test(value);
        if (name === "class" && localName === "li") return value !== "task";
        return false;
      };
      /** Describes what a text produces although it may not, or returns `undefined`. */
      globalThis.check = (text) => {
        const box = document.createElement("div");
        try {
          box.append(markdown.rendered(text));
        } catch (error) {
          return `it throws ${error.stack}`;
        }
        // The HTML of the elements must be safe too when it is parsed again.
        const again = document.createElement("template");
        again.innerHTML = box.innerHTML;
        for (const one of [...box.querySelectorAll("*"), ...again.content.querySelectorAll("*")]) {
          const { namespaceURI, localName } = one;
          const known =
            namespaceURI === mathSpace
              ? math.test(localName)
              : namespaceURI === htmlSpace && Object.hasOwn(HTML, localName);
          if (!known) return `it makes <${localName}> of ${namespaceURI}`;
          const attribute = [...one.attributes].find((attribute) => wrong(one, attribute));
          if (attribute) return `it makes <${localName} ${attribute.name}="${attribute.value}">`;
        }
        return globalThis.alerted ? "it runs a script" : undefined;
      };
      globalThis.alert = () => {
        globalThis.alerted = true;
      };
      globalThis.render = (text) => void markdown.rendered(text);
    },
    [HTML, MATHML.source, MATHML_ATTRIBUTES],
  );
  const metrics = await browser.context.newCDPSession(page);
  await metrics.send("Performance.enable");
  const spent = async () => {
    const all = (await metrics.send("Performance.getMetrics")).metrics;
    return all.find(({ name }) => name === "ThreadTime").value * 1000;
  };
  /** Milliseconds of CPU time that a text takes. */
  const time = async (text) => {
    const before = await spent();
    await page.evaluate((text) => render(text), text);
    return (await spent()) - before;
  };
  return { page, time, stop: browser.stop };
}

/** The targets: the shape of the input, its text, and the check. */
async function targets({ page, time }) {
  const { manifests, suggested, chats } = await imported({
    manifests: "js/manifest.ts",
    suggested: "page/suggested.ts",
    chats: "page/chats.ts",
  });
  /** The shortest of up to five times. A time of `enough` ends the measurement. */
  const least = async (text, enough) => {
    let found = Infinity;
    for (let i = 0; i < 5 && found > enough; i++) found = Math.min(found, await time(text));
    return found;
  };
  return {
    manifest: {
      input: textOf(manifest),
      async check(text) {
        const stored = manifests.decodeOldManifest(text);
        assert.equal(await manifests.decodeManifest(text), undefined);
        if (!stored) return;
        const bytes = await manifests.encodeManifest({ ...stored, number: 5 });
        const again = await manifests.decodeManifest(new TextDecoder().decode(bytes));
        const plain = (value) => JSON.parse(JSON.stringify(value));
        assert.deepEqual(plain(again), plain({ ...stored, number: 5 }));
        for (const { name, size, chunks } of stored.manifest.files) {
          assert.match(name, /^[^/\\]+$/);
          if (chunks === true) continue;
          for (const chunk of chunks) assert.ok(chunk * manifests.DOWNLOAD_CHUNK < size);
        }
      },
    },
    models: {
      input: textOf(fc.array(suggestion, { maxLength: 4 })),
      check(text) {
        for (const { name, about, url, sha256 = "" } of suggested.suggestedModels(text))
          for (const one of [name, about, url, sha256]) assert.equal(typeof one, "string");
      },
    },
    chats: {
      input: textOf(
        object({ godwit: fc.constant(2), chats: mostly(fc.array(chat, { maxLength: 3 })) }),
      ),
      check(text) {
        let all;
        try {
          all = chats.imported(text);
        } catch (error) {
          assert.match(
            error.message,
            /^(?:the file is not JSON|the file has no chats|a chat in the file is damaged)$/,
          );
          return;
        }
        for (const one of all) {
          assert.ok(Number.isFinite(one.updated) && typeof one.draft === "string");
          assert.equal(typeof chats.title(one), "string");
          for (const [id, turn] of Object.entries(one.turns)) {
            assert.equal(turn.id, id);
            assert.ok(chats.isMessage(turn) && Number.isFinite(turn.created));
            assert.equal(chats.path(one, id)[0].parent, undefined);
          }
          if (one.leaf !== undefined) assert.ok(Object.hasOwn(one.turns, one.leaf));
        }
      },
    },
    markdown: {
      input: fc.oneof(fragments(40), nested),
      async check(text) {
        const wrong = await page.evaluate((text) => check(text), text);
        assert.equal(wrong, undefined);
      },
    },
    speed: {
      input: repeated,
      text: (input) => repeat(input, LONG),
      async check(input) {
        const long = await least(repeat(input, LONG), FAST);
        if (long <= FAST) return;
        const shorter = await least(repeat(input, LONG / SHORTER), 0);
        const times = `${LONG} characters take ${long} ms, ${LONG / SHORTER} take ${shorter} ms`;
        assert.ok(long <= LIMIT && long <= SLOWER * shorter, times);
      },
    },
  };
}

/** Milliseconds of CPU time that each of the long texts takes. */
export async function longTexts() {
  const { time, stop } = await openRenderer();
  const found = {};
  try {
    for (const unit of LONG_TEXTS)
      found[unit] = await time(repeat({ before: "", unit, after: "" }, LONG));
    for (const text of NESTED) found[text.slice(0, 20)] = await time(text);
  } finally {
    await stop();
  }
  return found;
}

/** Fuzzes each target for an equal share of the time. Throws at the first input that fails. */
export async function fuzz(milliseconds, seed, only) {
  const renderer = await openRenderer();
  try {
    const all = Object.entries(await targets(renderer)).filter(([name]) => !only || name === only);
    assert.ok(all.length > 0, `there is no target ${only}`);
    for (const [name, { input, check, text = String }] of all) {
      const result = await fc.check(
        fc.asyncProperty(input, async (one) => void (await check(one))),
        {
          seed,
          numRuns: 1e9,
          interruptAfterTimeLimit: milliseconds / all.length,
          markInterruptAsFailure: false,
          // Shorter texts take less time.
          endOnFailure: name === "speed",
        },
      );
      if (!result.failed) {
        console.log(`${name}: ${result.numRuns} inputs`);
        continue;
      }
      const [found] = result.counterexample;
      const file = join(TARGET, "fuzz", `web-${name}-${seed}.txt`);
      mkdirSync(join(TARGET, "fuzz"), { recursive: true });
      writeFileSync(file, text(found));
      const why = result.errorInstance?.message ?? result.errorInstance;
      throw new Error(
        `${name}, with --seed ${seed} --target ${name}, after ${result.numRuns} inputs: ${why}\n` +
          `input: ${JSON.stringify(found)}\nwritten to ${file}`,
      );
    }
  } finally {
    await renderer.stop();
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { seed: { type: "string" }, target: { type: "string" } },
  });
  const seconds = Number(positionals[0]);
  const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
  if (!(seconds > 0) || !Number.isInteger(seed)) {
    console.error("usage: node web/tests/fuzz.mjs SECONDS [--seed NUMBER] [--target NAME]");
    process.exit(2);
  }
  console.log(`seed ${seed}`);
  await fuzz(seconds * 1000, seed, values.target).catch((error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
}
