// Random inputs of the fuzzer: almost valid JSON, Markdown, and long texts.
import fc from "fast-check";

/** Characters of a long text. */
export const LONG = 200_000;

// Almost valid JSON.

const odd = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }),
  fc.constantFrom(null, true, "", "..", "a/b", -1, 0.5, 2 ** 53, 1e308, "constructor", "__proto__"),
);
/** A value that is usually valid. */
export const mostly = (right) =>
  fc.oneof({ weight: 12, arbitrary: right }, { weight: 1, arbitrary: odd });
/** An object whose members are usually valid, and may be missing. */
export const object = (members) =>
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
export const manifest = object({
  source: mostly(fc.webUrl()),
  name: mostly(fc.string()),
  files: mostly(fc.array(storedFile, { maxLength: 3 })),
  used: mostly(fc.nat()),
});
export const suggestion = object({
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
export const chat = object({
  turns: mostly(fc.array(turn, { maxLength: 5 })),
  messages: mostly(fc.array(object({ role: mostly(role), content: mostly(fc.string()) }))),
  leaf: mostly(id),
  draft: mostly(fc.string()),
  updated: mostly(fc.nat()),
});

/** The JSON of a value, in which a few characters may be damaged. */
export const textOf = (value) =>
  fc
    .tuple(
      value.map((value) => JSON.stringify(value) ?? ""),
      fc.array(fc.tuple(fc.nat(), fc.nat(2), fc.string({ maxLength: 3 })), { maxLength: 2 }),
    )
    .map(([text, changes]) => {
      for (const [at, removed, inserted] of changes) {
        const place = at % (text.length + 1);
        text = text.slice(0, place) + inserted + text.slice(place + removed);
      }
      return text;
    });

// Markdown.

/** A placeholder that `repeat` replaces by increasing numbers. */
const NUMBER = "\u0001";
// biome-ignore format: a table of short strings
const SIGNS = [
  NUMBER, "[", "]", "(", ")", "*", "**", "***", "_", "__", "~", "~~", "`", "``", "```", "~~~", "#",
  "##", ">", "> ", "- ", "* ", "+ ", "1. ", "10) ", "    ", "\t", "  ", "  \n", "\n", "\n\n",
  "\r\n", "|", "|-|", ":-:", "---", "===", "!", "![", "](", "[a](", "<", ">", "</", "<!--", "-->",
  "<![CDATA[",
  "<?", "&", "&amp;", "&#0;", "&#x41;", "\\", "\\(", "\\)", "\\[", "\\]", "$", "$$", ":", "://",
  "http://", "www.", "mailto:", "@", ".", "[a]: ", "[^1]", "[x] ", "[ ] ", "\0", "\u00a0", "\u200b",
  "\u202e", "\ufeff", "\ud800", "😀", "重", "（", "。", "e\u0301",
];
// biome-ignore format: a table of short strings
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
const fragment = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...SIGNS) },
  { weight: 2, arbitrary: fc.constantFrom(...HOSTILE) },
  { weight: 3, arbitrary: word },
);
export const fragments = (maxLength) =>
  fc.array(fragment, { maxLength }).map((all) => all.join(""));
/** Nested Markdown. */
export const { nested } = fc.letrec((tie) => ({
  nested: fc.oneof(
    { maxDepth: 6, withCrossShrink: true },
    fragments(12),
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
/** A long text that repeats a few signs. */
export const repeated = fc
  .tuple(
    fragments(3),
    fragments(2),
    fc.array(fragment, { minLength: 1, maxLength: 4 }),
    fragments(3),
  )
  .map(([before, inner, unit, after]) => ({ before, unit: unit.join("") + inner, after }))
  .filter(({ unit }) => unit.length > 0);
export const repeat = ({ before, unit, after }, length) => {
  let number = 0;
  const all = unit.repeat(Math.ceil(length / unit.length)).slice(0, length);
  return before + all.replaceAll(NUMBER, () => String(number++)) + after;
};

/**
 * The units of long texts that once took quadratic time or overflowed the stack, and similar ones.
 */
// biome-ignore format: a table of short strings
export const LONG_TEXTS = [
  "[", "[]", "![", "[a](", "[a](b) ", "*", "**", "***a", "*a_", "**a*", "_*a_*", "**（", "~", "~~a",
  "`", "`a", "`a` ", "<", "<a ", "<!--", "\\(", "\\[", "\\[x\n", "\n\\[", "$$", "$$x", "\\(x\\) ",
  `\\(x_${NUMBER}\\)\n\n`, "> ", "> a\n", "> - ", "1. ", "- ", "- a\n", "- a\n\n", "* a\n ", "|",
  "|a|\n|-|\n\n", "a|b\n", "[a]: b\n", "&", "a@", "a\n\n", "# a\n",
];
/** Lists with the deepest nesting that fits into a long text. */
export const NESTED = [1, 2, 4].map((width) => {
  const depth = Math.floor(Math.sqrt((2 * LONG) / width));
  return Array.from({ length: depth }, (_, i) => `${" ".repeat(width * i)}- a`).join("\n");
});
