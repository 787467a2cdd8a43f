// A short run of the fuzzer, with a fixed seed, and the long texts that it has found.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fuzz, longTexts } from "./fuzz.mjs";

/** Milliseconds of CPU time that 200,000 characters may take. */
const LIMIT = 1000;

test("any long text is rendered within a second", async () => {
  const slow = Object.entries(await longTexts()).filter(([, time]) => time > LIMIT);
  assert.deepEqual(slow, []);
});

test("random inputs are parsed without an error", () => fuzz(8000, 1));
