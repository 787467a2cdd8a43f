/** Rendering of a model's Markdown to elements. The text is not trusted. */

import DOMPurify from "dompurify";
import { Lexer, Marked, type MarkedOptions, type Token, type TokensList } from "marked";
import cjkFriendly from "marked-cjk-friendly";
import temml from "temml";

/** Nested levels of blocks, and of emphasis and links. Deeper levels stay text. */
const DEEPEST = 32;
/** Characters of the longest paragraph that is parsed for emphasis, links and formulas. */
const LONGEST_PARAGRAPH = 20_000;
/** Characters of the longest formula. A longer one stays text. */
const LONGEST_FORMULA = 4000;
/** Characters that all searches for the ends of emphasis and formulas in a text may read. */
const SEARCH_BUDGET = 1 << 20;

/**
 * The remaining budget of the text that is being rendered. Each `*` is searched for its end, so
 * without a budget the time would be quadratic in the text's length.
 */
let budget = 0;

/** Takes the cost of a search from the budget. Returns whether the budget allows the search. */
function spend(characters: number): boolean {
  budget -= characters;
  return budget >= 0;
}

const escaped = (text: string) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

/** The closing delimiter of a formula, by its opening one. */
const DELIMITERS: Record<string, string> = { "\\(": "\\)", "\\[": "\\]", $$: "$$" };
/** The formula at the beginning of a text, with its delimiters, or `undefined`. */
function formula(text: string): string | undefined {
  const closing = DELIMITERS[text.slice(0, 2)];
  if (!closing) return undefined;
  const searched = text.slice(0, LONGEST_FORMULA);
  const end = searched.indexOf(closing, 3);
  if (!spend((end < 0 ? searched.length : end) >> 4) || end < 0) return undefined;
  const tex = text.slice(2, end).trim();
  // Dollars may be a price class: "from $$ to $$".
  const isMath = tex.length === 1 || /[\\^_=+*/<>|{}\d-]/.test(tex);
  if (closing === "$$" && (!isMath || tex.startsWith("$") || text[end + 2] === "$"))
    return undefined;
  return text.slice(0, end + 2);
}

/** The formula on separate lines at the beginning of a text, including the line breaks. */
function formulaBlock(text: string): string | undefined {
  const [indent = ""] = /^\n? {0,3}/.exec(text) ?? [];
  if (!/^(?:\\\[|\$\$)/.test(text.slice(indent.length, indent.length + 2))) return undefined;
  const raw = formula(text.slice(indent.length));
  const [end] = (raw && /^[ \t]*(?:\n|$)/.exec(text.slice(indent.length + raw.length))) || [];
  return end === undefined ? undefined : indent + raw + end;
}

/**
 * Replaces formulas in marked's mask of a paragraph that ends with `text` by letters, so that signs
 * inside of them are not parsed as emphasis.
 */
function masked(text: string, mask: string): string {
  let result = mask.slice(0, mask.length - text.length);
  for (let at = 0; at < text.length; ) {
    const found = formula(text.slice(at));
    result += found ? "a".repeat(found.length) : mask[result.length];
    at += found?.length ?? 1;
  }
  return result;
}

const cjk = cjkFriendly().tokenizer;
/**
 * The masks of the last paragraph: marked's (`original`), and the one without formulas (`masked`),
 * for its last `length` characters.
 */
let last = { length: 0, original: "", masked: "" };

/** A lexer with limited depth, whose time is linear in the text's length. */
class BoundedLexer extends Lexer {
  #blocks = 0;
  #inlines = 0;

  override blockTokens(source: string, tokens?: Token[], clipped?: boolean): Token[];
  override blockTokens(source: string, tokens?: TokensList, clipped?: boolean): TokensList;
  override blockTokens(source: string, tokens: Token[] = [], clipped = false): Token[] {
    if (this.#blocks === DEEPEST) {
      tokens.push({ type: "text", raw: source, text: source, tokens: plain(source) });
      return tokens;
    }
    this.#blocks++;
    try {
      return super.blockTokens(source, tokens, clipped);
    } finally {
      this.#blocks--;
    }
  }

  override inlineTokens(source: string, tokens: Token[] = []): Token[] {
    if (source.length > LONGEST_PARAGRAPH || this.#inlines === DEEPEST) {
      for (const token of plain(source)) tokens.push(token);
      return tokens;
    }
    this.#inlines++;
    try {
      return super.inlineTokens(source, tokens);
    } finally {
      this.#inlines--;
    }
  }
}

/** The tokens of a text in which only line breaks are parsed. */
function plain(source: string): Token[] {
  const tokens: Token[] = [];
  for (const line of source.split("\n")) {
    if (tokens.length > 0) tokens.push({ type: "br", raw: "\n" });
    tokens.push({ type: "text", raw: line, text: line, escaped: false });
  }
  return tokens;
}

const marked = new Marked({
  hooks: {
    provideLexer: () => (source, options) => new BoundedLexer(options as MarkedOptions).lex(source),
  },
  gfm: true,
  breaks: true,
  renderer: {
    // HTML is shown as text.
    html: ({ text }) => escaped(text),
    // Images are shown as text: a request for one would tell a server about the conversation.
    image: ({ raw }) => escaped(raw),
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
  tokenizer: {
    emStrong(text, mask, before) {
      if (!"*_".includes(text.charAt(0))) return false;
      if (!spend(text.length)) return undefined;
      if (mask !== last.original || text.length > last.length) {
        last = { length: text.length, original: mask, masked: masked(text, mask) };
      }
      return cjk?.emStrong?.call(this, text, last.masked, before);
    },
    del(text, mask, before) {
      if (!text.startsWith("~")) return false;
      return spend(text.length) ? cjk?.del?.call(this, text, mask, before) : undefined;
    },
    // The delimiter of an incomplete formula keeps its backslash.
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
      // Plain text ends at the first of these signs, so the search ends there too.
      start(text) {
        const next = /\$\$|[\\<![`*_~]/.exec(text);
        return next?.[0] === "$$" ? next.index : undefined;
      },
      tokenizer(text) {
        const raw = formula(text);
        return raw ? { type: "formula", raw } : undefined;
      },
      // Neither Markdown nor escaped HTML produces this element, so each one is a formula.
      renderer: ({ raw }) => `<var>${escaped(raw.trim())}</var>`,
    },
    {
      // A formula on separate lines, in which "- b" is not a list.
      name: "formulaBlock",
      level: "block",
      start(text) {
        for (const { 0: found, index } of text.matchAll(
          /\n(?: {0,3}(?:\\\[|\$\$)|[ \t]*(?=\n))/g,
        )) {
          // A paragraph ends at an empty line.
          if (found.trim() === "") return undefined;
          if (formulaBlock(text.slice(index))) return index;
        }
        return undefined;
      },
      tokenizer(text) {
        const raw = formulaBlock(text);
        return raw ? { type: "formulaBlock", raw } : undefined;
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
/** The elements and attributes of formulas: no links, no styles, no scripts. */
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
 * Renders Markdown to elements, without scripts, images and styles. Links open in another tab.
 */
export function rendered(markdown: string): DocumentFragment {
  budget = SEARCH_BUDGET + 4 * markdown.length;
  const html = marked.parse(markdown, { async: false });
  const fragment = DOMPurify.sanitize(html, {
    ALLOWED_TAGS,
    ALLOWED_ATTR: ["href", "start", "align"],
    ALLOWED_URI_REGEXP: /^(https?|mailto):/i,
    // These attributes are not addresses.
    ADD_URI_SAFE_ATTR: ["start", "align"],
    RETURN_DOM_FRAGMENT: true,
  });
  for (const link of fragment.querySelectorAll("a")) {
    // An empty address would open this page.
    if (link.getAttribute("href") === "") link.removeAttribute("href");
    link.target = "_blank";
    link.rel = "noopener noreferrer nofollow";
  }
  for (const item of fragment.querySelectorAll("li"))
    if (/^\s*[☑☐] /.test(item.textContent)) item.className = "task";
  let formulas = 0;
  for (const place of fragment.querySelectorAll("var"))
    place.replaceWith(formulas++ < MOST_FORMULAS ? typeset(place.textContent) : place.textContent);
  return fragment;
}

/** Typeset formulas. Every frame of a streaming reply renders all formulas again. */
const cache = new Map<string, Node>();
/** The largest number of formulas that are typeset in a text. The others stay TeX. */
const MOST_FORMULAS = 2000;
/** The size of the cache: the formulas of the streaming text, and of another one. */
const CACHE_SIZE = 2 * MOST_FORMULAS;

/** Typesets a formula, in its delimiters, as MathML. A text that is not TeX stays as it is. */
function typeset(written: string): Node {
  let node = cache.get(written);
  if (!node) {
    try {
      const displayMode = !written.startsWith("\\(");
      const options = { displayMode, throwOnError: true, trust: false, maxExpand: 500 };
      // The page's Content-Security-Policy forbids style attributes and logs each. Quotes in texts
      // are escaped, so they can't end the attribute.
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
    if (cache.size >= CACHE_SIZE) cache.clear();
    cache.set(written, node);
  }
  return node.cloneNode(true);
}
