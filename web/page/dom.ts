/** Helpers for elements and for the format of numbers. */

/** The element of `index.html` with this id. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (!element) throw new Error(`index.html has no #${id}`);
  return element as T;
}

/** Creates an element. Children that are strings become text, never HTML. */
export function make<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  properties: Partial<HTMLElementTagNameMap[Tag]> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[Tag] {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Creates a button that calls `onclick`. */
export function button(
  text: string,
  onclick: () => unknown,
  properties: Partial<HTMLButtonElement> = {},
): HTMLButtonElement {
  return make("button", { type: "button", onclick, ...properties }, text);
}

/** Formats a number of bytes, such as "1.5 GB". */
export function bytes(count: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = Math.min(units.length - 1, count > 0 ? Math.floor(Math.log10(count) / 3) : 0);
  const value = count / 1000 ** power;
  return `${value.toFixed(power > 0 && value < 10 ? 1 : 0)} ${units[power]}`;
}

/** Formats a number, such as "8,192". */
export const number = (value: number) => value.toLocaleString("en");
