// Bundles TypeScript modules of the package and of the page into one JavaScript module, for tests
// without a browser, or with only a part of the page.
import { build } from "esbuild";

/** Bundles modules, `{ name: "js/store.ts" }`. Each is exported by its name. */
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
    // The modules import only types from it.
    external: ["godwit-wasm"],
  });
  return outputFiles[0].text;
}

/** Bundles modules and imports them into Node. */
export async function imported(modules) {
  const text = await bundle(modules, "node");
  return import(`data:text/javascript;base64,${Buffer.from(text).toString("base64")}`);
}
