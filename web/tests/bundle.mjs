// TypeScript modules of the package and of the page as a single JavaScript module, for tests that
// need no browser, or only a part of the page in one.
import { build } from "esbuild";

/** The JavaScript of modules, `{ name: "js/store.ts" }`, each of which is exported by its name. */
export async function bundle(modules, platform = "browser") {
  const lines = Object.entries(modules).map(
    ([name, file]) => `export * as ${name} from ${JSON.stringify(`./${file}`)};`,
  );
  const { outputFiles } = await build({
    stdin: { contents: lines.join("\n"), resolveDir: new URL("..", import.meta.url).pathname },
    bundle: true,
    format: "esm",
    target: "es2022",
    platform,
    write: false,
    logLevel: "error",
    // Only types of it are used.
    external: ["godwit-wasm"],
  });
  return outputFiles[0].text;
}

/** Modules, imported into Node. */
export async function imported(modules) {
  const text = await bundle(modules, "node");
  return import(`data:text/javascript;base64,${Buffer.from(text).toString("base64")}`);
}
