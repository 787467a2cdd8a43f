// Runs the kernel cases of the server at an address in Dawn, Chromium's WebGPU, on this machine's
// own driver: node dawn.mjs URL

import { create, globals } from "../../target/dawn/node_modules/webgpu/index.js";
import { runCases } from "./browser.mjs";

Object.assign(globalThis, globals);
await runCases(process.argv[2], create([]));
// Dawn keeps threads.
process.exit();
