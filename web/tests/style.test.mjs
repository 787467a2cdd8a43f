// The style of all sources in web/ and of its documentation, as far as no linter checks it.
import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { test } from "node:test";

const root = new URL("../..", import.meta.url).pathname;
/** Columns of the longest line. */
const COLUMNS = 100;
/** Lines of the longest source file. */
const LINES = 400;
const SOURCE = /\.(?:ts|mjs|rs|css|html|svg|sh|md|jsonc?|toml|webmanifest)$/;
const SKIPPED = ["node_modules", "dist", "package-lock.json"];

/** The paths of all sources in a folder. */
function sources(folder) {
  const names = readdirSync(folder).filter((name) => !SKIPPED.includes(name));
  return names.flatMap((name) => {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) return sources(path);
    return SOURCE.test(name) ? [path] : [];
  });
}

const files = [...sources(join(root, "web")), join(root, "docs/guide/browser.md")].map((path) => ({
  path: relative(root, path),
  lines: readFileSync(path, "utf8").split("\n"),
}));

test("no line has more than 100 columns", () => {
  assert.ok(files.length > 60, `${files.length} files`);
  const long = files.flatMap(({ path, lines }) =>
    lines.flatMap((line, i) => ([...line].length > COLUMNS ? [`${path}:${i + 1}`] : [])),
  );
  assert.deepEqual(long, []);
});

test("no source file has more than 400 lines", () => {
  const long = files.filter(({ lines }) => lines.length > LINES + 1).map(({ path }) => path);
  assert.deepEqual(long, []);
});
