// A short run of the fuzzer, with a seed that stays, and the long texts that it has found.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fuzz, longTexts } from "./fuzz.mjs";

/** Milliseconds of the processor that 200,000 characters may take. */
const LIMIT = 1000;

test("long texts are rendered in a second, whatever is in them", async () => {
  const slow = Object.entries(await longTexts()).filter(([, time]) => time > LIMIT);
  assert.deepEqual(slow, []);
});

test("what comes from outside is read without failure", () => fuzz(8000, 1));
