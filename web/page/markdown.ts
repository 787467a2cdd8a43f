/** A model's Markdown as elements. What a model writes is not trusted. */

import DOMPurify from "dompurify";
import { Marked } from "marked";
import cjkFriendly from "marked-cjk-friendly";
import temml from "temml";

const escaped = (text: string) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

/** What ends a formula, by what begins it. */
const DELIMITERS: Record<string, string> = { "\\(": "\\)", "\\[": "\\]", $$: "$$" };
/** The longest formula in characters: what is longer stays text. */
const LONGEST = 4000;

/** The formula with its delimiters that a text begins with, if it does. */
function formula(text: string): string | undefined {
  const closing = DELIMITERS[text.slice(0, 2)];
  if (!closing) return undefined;
  const end = text.slice(0, LONGEST).indexOf(closing, 3);
  if (end < 0) return undefined;
  const tex = text.slice(2, end).trim();
  // Dollars may be a price class: "from $$ to $$".
  const isMath = tex.length === 1 || /[\\^_=+*/<>|{}\d-]/.test(tex);
  if (closing === "$$" && (!isMath || tex.startsWith("$") || text[end + 2] === "$"))
    return undefined;
  return text.slice(0, end + 2);
}

/**
 * Marked's mask of a paragraph that ends with `text`, with letters for formulas: what is in them is
 * no emphasis.
 */
function masked(text: string, mask: string): string {
  let result = mask.slice(0, mask.length - text.length);
  for (let at = 0; at < text.length;) {
    const found = formula(text.slice(at));
    result += found ? "a".repeat(found.length) : mask[result.length];
    at += found?.length ?? 1;
  }
  return result;
}

const cjk = cjkFriendly().tokenizer;
/**
 * The paragraph in which emphasis was looked for last: from how far before its end, marked's mask,
 * and ours.
 */
let last = { length: 0, theirs: "", ours: "" };

const marked = new Marked({
  gfm: true,
  breaks: true,
  renderer: {
    // HTML stays the text it is.
    html: ({ text }) => escaped(text),
    // An image's address would tell its server of the conversation.
    image: ({ raw }) => escaped(raw),
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
  tokenizer: {
    emStrong(text, mask, before) {
      if (mask !== last.theirs || text.length > last.length) {
        last = { length: text.length, theirs: mask, ours: masked(text, mask) };
      }
      return cjk?.emStrong?.call(this, text, last.ours, before);
    },
    del: cjk?.del,
    // A formula that has not ended yet keeps its backslash.
    escape(text) {
      const raw = text.slice(0, 2);
      return ["\\(", "\\)", "\\[", "\\]"].includes(raw)
        ? { type: "escape", raw, text: raw }
        : false;
    },
  },
  extensions: [
    {
      name: "formula",
      level: "inline",
      start: (text) => text.indexOf("$$"),
      tokenizer(text) {
        const raw = formula(text);
        return raw ? { type: "formula", raw } : undefined;
      },
      // No Markdown makes this element, and no HTML is taken from the text: all that there are, are
      // formulas.
      renderer: ({ raw }) => `<var>${escaped(raw.trim())}</var>`,
    },
    {
      // One on lines of its own, in which "- b" is no list.
      name: "formulaBlock",
      level: "block",
      start: (text) => /\n {0,3}(?:\\\[|\$\$)/.exec(text)?.index,
      tokenizer(text) {
        const [indent = ""] = /^\n? {0,3}/.exec(text) ?? [];
        const raw = text.startsWith("\\(", indent.length)
          ? undefined
          : formula(text.slice(indent.length));
        const [end] = (raw && /^[ \t]*(?:\n|$)/.exec(text.slice(indent.length + raw.length))) || [];
        return end === undefined ? undefined : { type: "formulaBlock", raw: indent + raw + end };
      },
      renderer: ({ raw }) => `<p><var>${escaped(raw.trim())}</var></p>`,
    },
  ],
});

const ALLOWED_TAGS = [
  "a",
  "blockquote",
  "br",
  "code",
  "del",
  "em",
  "h1",
  "h2",
  "h3",
  "h4",
  "h5",
  "h6",
  "hr",
  "li",
  "ol",
  "p",
  "pre",
  "strong",
  "table",
  "tbody",
  "td",
  "th",
  "thead",
  "tr",
  "ul",
  "var",
];
/** What a formula is made of: no links, no styles, nothing that acts. */
const MATH = {
  ALLOWED_TAGS: [
    "math",
    "menclose",
    "merror",
    "mfrac",
    "mi",
    "mmultiscripts",
    "mn",
    "mo",
    "mover",
    "mpadded",
    "mphantom",
    "mprescripts",
    "mroot",
    "mrow",
    "ms",
    "mspace",
    "msqrt",
    "mstyle",
    "msub",
    "msubsup",
    "msup",
    "mtable",
    "mtd",
    "mtext",
    "mtr",
    "munder",
    "munderover",
  ],
  ALLOWED_ATTR: [
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
  ],
};

/**
 * Markdown as elements: no scripts, no images, no styles; links open elsewhere, and only by a
 * click.
 */
export function rendered(markdown: string): DocumentFragment {
  const html = marked.parse(markdown, { async: false });
  const fragment = DOMPurify.sanitize(html, {
    ALLOWED_TAGS,
    ALLOWED_ATTR: ["href", "start", "align"],
    ALLOWED_URI_REGEXP: /^(https?|mailto):/i,
    // The others are no addresses.
    ADD_URI_SAFE_ATTR: ["start", "align"],
    RETURN_DOM_FRAGMENT: true,
  });
  for (const link of fragment.querySelectorAll("a")) {
    link.target = "_blank";
    link.rel = "noopener noreferrer nofollow";
  }
  for (const item of fragment.querySelectorAll("li"))
    if (/^\s*[☑☐] /.test(item.textContent)) item.className = "task";
  for (const place of fragment.querySelectorAll("var"))
    place.replaceWith(typeset(place.textContent));
  return fragment;
}

/** Formulas that were typeset before: while a reply comes, each is asked for with every frame. */
const known = new Map<string, Node>();
/** Formulas that are kept. */
const KEPT = 500;

/** A formula in its delimiters as MathML; where it is no TeX, as it was written. */
function typeset(written: string): Node {
  let node = known.get(written);
  if (!node) {
    try {
      const displayMode = !written.startsWith("\\(");
      const options = { displayMode, throwOnError: true, trust: false, maxExpand: 500 };
      // The page's security policy has no styles in attributes, and logs each. In texts, quotes are
      // escaped.
      const html = temml
        .renderToString(written.slice(2, -2), options)
        .replace(/ style="[^"]*"/g, "");
      node = DOMPurify.sanitize(html, {
        ...MATH,
        ALLOWED_URI_REGEXP: /^[\w.#% -]*$/,
        RETURN_DOM_FRAGMENT: true,
      });
    } catch {
      node = document.createTextNode(written);
    }
    if (known.size >= KEPT) known.clear();
    known.set(written, node);
  }
  return node.cloneNode(true);
}
