/** A model's Markdown as elements. What a model writes is not trusted. */

import DOMPurify from "dompurify";
import { Lexer, Marked, type MarkedOptions, type Token, type TokensList } from "marked";
import cjkFriendly from "marked-cjk-friendly";
import temml from "temml";

/** Levels of blocks in blocks, and of emphasis and links in each other; deeper ones stay text. */
const DEEPEST = 32;
/** Characters of the longest paragraph that is searched for emphasis, links and formulas. */
const LONGEST_PARAGRAPH = 20_000;
/** Characters of the longest formula; a longer one stays text. */
const LONGEST_FORMULA = 4000;
/** Characters that all searches for the ends of emphasis and formulas in a text may read. */
const EFFORT = 1 << 20;

/**
 * Characters that searches may still read in the text that is being rendered. Each `*` is searched
 * for its end; without an end to the searches their time is quadratic in the text's length.
 */
let effort = 0;

/** Pays for a search through so many characters. Returns whether it may be done. */
function spend(characters: number): boolean {
  effort -= characters;
  return effort >= 0;
}

const escaped = (text: string) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

/** What ends a formula, by what begins it. */
const DELIMITERS: Record<string, string> = { "\\(": "\\)", "\\[": "\\]", $$: "$$" };
/** The formula with its delimiters that a text begins with, if it does. */
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

/** The formula on lines of its own that a text begins with, with the ends of its lines. */
function formulaBlock(text: string): string | undefined {
  const [indent = ""] = /^\n? {0,3}/.exec(text) ?? [];
  if (!/^(?:\\\[|\$\$)/.test(text.slice(indent.length, indent.length + 2))) return undefined;
  const raw = formula(text.slice(indent.length));
  const [end] = (raw && /^[ \t]*(?:\n|$)/.exec(text.slice(indent.length + raw.length))) || [];
  return end === undefined ? undefined : indent + raw + end;
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

/** A lexer whose time is linear in the text's length, and whose depth is limited. */
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

/** Text in which only the ends of lines are looked for. */
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
    // HTML stays the text it is.
    html: ({ text }) => escaped(text),
    // An image's address would tell its server of the conversation.
    image: ({ raw }) => escaped(raw),
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
  tokenizer: {
    emStrong(text, mask, before) {
      if (!"*_".includes(text.charAt(0))) return false;
      if (!spend(text.length)) return undefined;
      if (mask !== last.theirs || text.length > last.length) {
        last = { length: text.length, theirs: mask, ours: masked(text, mask) };
      }
      return cjk?.emStrong?.call(this, text, last.ours, before);
    },
    del(text, mask, before) {
      if (!text.startsWith("~")) return false;
      return spend(text.length) ? cjk?.del?.call(this, text, mask, before) : undefined;
    },
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
      // Plain text ends at all other signs anyway: beyond the first of them nothing is looked for.
      start(text) {
        const next = /\$\$|[\\<!\[`*_~]/.exec(text);
        return next?.[0] === "$$" ? next.index : undefined;
      },
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
  effort = EFFORT + 4 * markdown.length;
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
    // An empty address is that of this page.
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

/** Formulas that were typeset before: while a reply comes, each is asked for with every frame. */
const known = new Map<string, Node>();
/** Formulas that are typeset in a text; the others stay as they were written. */
const MOST_FORMULAS = 2000;
/** Formulas that are kept: those of the text that comes, and of another. */
const KEPT = 2 * MOST_FORMULAS;

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
