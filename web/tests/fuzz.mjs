// Fuzzes what the page reads from outside: manifests, lists of models, chats, and Markdown.
//
//   node web/tests/fuzz.mjs SECONDS [--seed NUMBER] [--target NAME]
//
// Prints the seed. The same seed finds the same failure, whose input is written to target/fuzz.
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { pathToFileURL } from "node:url";
import fc from "fast-check";
import { TARGET, start } from "./browser.mjs";
import { bundle, imported } from "./bundle.mjs";

/** Characters of a long text. */
const LONG = 200_000;
/** Milliseconds that any long text may take. */
const PATIENCE = 1000;
/** Milliseconds that one may take whose time is linear: a busy machine makes 100,000 elements. */
const LIMIT = 5000;
/**
 * How many times shorter a text is to which its time is compared, and how many times less time
 * that must take. Linear time makes 16 times, collected garbage some more, quadratic time 256.
 */
const [SHORTER, FASTER] = [16, 64];

// JSON that is nearly right.

const odd = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }),
  fc.constantFrom(null, true, "", "..", "a/b", -1, 0.5, 2 ** 53, 1e308, "constructor", "__proto__"),
);
/** A value that is mostly what it should be. */
const mostly = (right) => fc.oneof({ weight: 12, arbitrary: right }, { weight: 1, arbitrary: odd });
/** An object whose members are mostly what they should be, and may be missing. */
const object = (members) =>
  mostly(fc.record(members, { requiredKeys: [] }).map((one) => ({ ...one })));

const name = fc.constantFrom(
  "a.gguf",
  "b.gguf",
  "config.json",
  "manifest.json",
  "godwit-manifest.0",
);
const storedFile = object({
  name: mostly(name),
  url: mostly(fc.webUrl()),
  size: mostly(fc.constantFrom(0, 1, 4 << 20, (4 << 20) + 1, 5 * 2 ** 30)),
  etag: mostly(fc.string()),
  sha256: mostly(fc.constantFrom("0".repeat(64), "f".repeat(63))),
  optional: mostly(fc.boolean()),
  pieces: mostly(fc.oneof(fc.constant(true), fc.array(fc.nat(3), { maxLength: 3 }))),
});
const manifest = object({
  source: mostly(fc.webUrl()),
  name: mostly(fc.string()),
  files: mostly(fc.array(storedFile, { maxLength: 3 })),
  used: mostly(fc.nat()),
});
const suggestion = object({
  name: mostly(fc.string()),
  about: mostly(fc.string()),
  url: mostly(fc.webUrl()),
  sha256: mostly(fc.constant("0".repeat(64))),
});
const role = fc.constantFrom("user", "assistant", "system", "tool");
const id = fc.constantFrom("a", "b", "c", "d", "__proto__", "toString");
const turn = object({
  id: mostly(id),
  parent: mostly(id),
  role: mostly(role),
  content: mostly(fc.string()),
  cut: mostly(fc.constantFrom("limit", "context", "x")),
  created: mostly(fc.nat()),
});
const chat = object({
  turns: mostly(fc.array(turn, { maxLength: 5 })),
  messages: mostly(fc.array(object({ role: mostly(role), content: mostly(fc.string()) }))),
  leaf: mostly(id),
  draft: mostly(fc.string()),
  updated: mostly(fc.nat()),
});

/** The text of a value, in which a few characters may be damaged. */
const textOf = (value) =>
  fc
    .tuple(
      value.map((value) => JSON.stringify(value) ?? ""),
      fc.array(fc.tuple(fc.nat(), fc.nat(2), fc.string({ maxLength: 3 })), { maxLength: 2 }),
    )
    .map(([text, changes]) => {
      for (const [at, cut, put] of changes) {
        const place = at % (text.length + 1);
        text = text.slice(0, place) + put + text.slice(place + cut);
      }
      return text;
    });

// Markdown.

/** What becomes another number each time in a long text. */
const NUMBER = "\u0001";
// prettier-ignore
const SIGNS = [
  NUMBER, "[", "]", "(", ")", "*", "**", "***", "_", "__", "~", "~~", "`", "``", "```", "~~~", "#",
  "##", ">", "> ", "- ", "* ", "+ ", "1. ", "10) ", "    ", "\t", "  ", "  \n", "\n", "\n\n", "\r\n",
  "|",
  "|-|", ":-:", "---", "===", "!", "![", "](", "[a](", "<", ">", "</", "<!--", "-->", "<![CDATA[",
  "<?", "&", "&amp;", "&#0;", "&#x41;", "\\", "\\(", "\\)", "\\[", "\\]", "$", "$$", ":", "://",
  "http://", "www.", "mailto:", "@", ".", "[a]: ", "[^1]", "[x] ", "[ ] ", "\0", "\u00a0", "\u200b",
  "\u202e", "\ufeff", "\ud800", "😀", "重", "（", "。", "e\u0301",
];
// prettier-ignore
const HOSTILE = [
  "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg onload=alert(1)>",
  "<a href='javascript:alert(1)'>", "<style>*{}</style>", "<iframe src=x>", "<math><mi>x", "<var>",
  "<form><input name=attributes>", "<table><td><math>", "javascript:alert(1)", "data:text/html,x",
  "vbscript:x", "java\tscript:x", "//example.org/x", "x:y", "https://a.b/c", "mailto:a@b.c",
  '" onclick="alert(1)', "' style='x'", "\\href{javascript:alert(1)}{x}", "\\includegraphics{x}",
  "\\frac{1}{2}", "\\text{<b>}", "\\def\\a{\\a\\a}\\a", "\\begin{matrix}a&b\\\\c\\end{matrix}", "{",
  "}",  "\\color{red}{x}", "\\class{x}{y}", "\\style{color:red}{x}", "\\rule{1em}{1em}", "x^2_1",
  "\\sqrt", "</math><img src=x>", "<annotation-xml encoding=text/html><img src=x>", "\\ce{H2O}",
  "\\tag{1}",
];
const word = fc.oneof(fc.constantFrom("a", "b", "word", "1", " "), fc.string({ maxLength: 4 }));
const piece = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...SIGNS) },
  { weight: 2, arbitrary: fc.constantFrom(...HOSTILE) },
  { weight: 3, arbitrary: word },
);
const pieces = (maxLength) => fc.array(piece, { maxLength }).map((all) => all.join(""));
/** Markdown in Markdown. */
const { nested } = fc.letrec((tie) => ({
  nested: fc.oneof(
    { maxDepth: 6, withCrossShrink: true },
    pieces(12),
    fc
      .tuple(fc.constantFrom(...SIGNS), tie("nested"), fc.constantFrom(...SIGNS))
      .map((all) => all.join("")),
    fc.array(tie("nested"), { maxLength: 4 }).map((all) => all.join("\n")),
    tie("nested").map((text) => text.replace(/^/gm, "> ")),
    tie("nested").map((text) => `- ${text.replace(/\n/g, "\n  ")}`),
    tie("nested").map((text) => `\\(${text}\\)`),
    tie("nested").map((text) => `[${text}](${text})`),
    tie("nested").map((text) => `|${text}|b|\n|-|-|\n|${text}|d|`),
  ),
}));
/** A long text of the same few signs again and again, or in growing lists. */
const repeated = fc
  .tuple(pieces(3), pieces(2), fc.array(piece, { minLength: 1, maxLength: 4 }), pieces(3))
  .map(([before, inner, unit, after]) => ({ before, unit: unit.join("") + inner, after }))
  .filter(({ unit }) => unit.length > 0);
const repeat = ({ before, unit, after }, length) => {
  let number = 0;
  const all = unit.repeat(Math.ceil(length / unit.length)).slice(0, length);
  return before + all.replaceAll(NUMBER, () => String(number++)) + after;
};

/** The elements that a text may become, and their attributes. */
// prettier-ignore
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

/** A page in Chromium that has the page's renderer. */
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
      /** What a text becomes that it may not become; nothing if all is well. */
      globalThis.check = (text) => {
        const box = document.createElement("div");
        try {
          box.append(markdown.rendered(text));
        } catch (error) {
          return `it throws ${error.stack}`;
        }
        // What a browser would make of it again, too.
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
      globalThis.alert = () => (globalThis.alerted = true);
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
  /** Milliseconds of the processor that a text takes, however busy the machine is. */
  const time = async (text) => {
    const before = await spent();
    await page.evaluate((text) => render(text), text);
    return (await spent()) - before;
  };
  return { page, time, stop: browser.stop };
}

/** What is fuzzed: the shape of the input, its text, and what must hold of it. */
async function targets({ page, time }) {
  const { manifests, suggested, chats } = await imported({
    manifests: "js/manifest.ts",
    suggested: "page/suggested.ts",
    chats: "page/chats.ts",
  });
  /** The shortest of some times; the first that is short enough ends it. */
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
        for (const { name, size, pieces } of stored.manifest.files) {
          assert.match(name, /^[^/\\]+$/);
          if (pieces !== true)
            for (const piece of pieces) assert.ok(piece * manifests.PIECE < size);
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
            /^(?:the file is no JSON|the file has no chats|a chat in the file is damaged)$/,
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
      input: fc.oneof(pieces(40), nested),
      async check(text) {
        const wrong = await page.evaluate((text) => check(text), text);
        assert.equal(wrong, undefined);
      },
    },
    speed: {
      input: repeated,
      text: (input) => repeat(input, LONG),
      async check(input) {
        const long = await least(repeat(input, LONG), PATIENCE);
        if (long <= PATIENCE) return;
        const shorter = await least(repeat(input, LONG / SHORTER), 0);
        const said = `${LONG} characters take ${long} ms, ${LONG / SHORTER} take ${shorter} ms`;
        assert.ok(long <= LIMIT && long <= FASTER * shorter, said);
      },
    },
  };
}

/** Long texts that took quadratic time, or made the renderer's stack overflow, and their like. */
// prettier-ignore
const LONG_TEXTS = [
  "[", "[]", "![", "[a](", "[a](b) ", "*", "**", "***a", "*a_", "**a*", "_*a_*", "**（", "~", "~~a",
  "`", "`a", "`a` ", "<", "<a ", "<!--", "\\(", "\\[", "\\[x\n", "\n\\[", "$$", "$$x", "\\(x\\) ",
  `\\(x_${NUMBER}\\)\n\n`, "> ", "> a\n", "> - ", "1. ", "- ", "- a\n", "- a\n\n", "* a\n ", "|",
  "|a|\n|-|\n\n", "a|b\n", "[a]: b\n", "&", "a@", "a\n\n", "# a\n",
];
const NESTED = [1, 2, 4].map((width) => {
  const depth = Math.floor(Math.sqrt((2 * LONG) / width));
  return Array.from({ length: depth }, (_, i) => `${" ".repeat(width * i)}- a`).join("\n");
});

/** Milliseconds of the processor that each of the long texts takes. */
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

/** Fuzzes each target for its part of the time. Throws with the first input that fails. */
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
