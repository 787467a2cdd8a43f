/** What can go wrong. Each class has its name in `name`, which minifiers leave alone. */

import type { ErrorName } from "./wire.js";

/** Any failure of this library. Of this class itself: a mistake in the library. */
export class GodwitError extends Error {
  override readonly name: ErrorName = "GodwitError";
}
/** There is no WebGPU, or no adapter that is good enough. */
export class NoWebGPU extends GodwitError {
  override readonly name = "NoWebGPU";
}
/** The worker or its WebAssembly can't be started: a file is missing, or a policy forbids it. */
export class CannotStart extends GodwitError {
  override readonly name = "CannotStart";
}
/** The GPU or the browser has too little memory: a smaller context or a smaller model may fit. */
export class OutOfMemory extends GodwitError {
  override readonly name = "OutOfMemory";
}
/** The GPU is gone, with all that was on it, or the engine broke: load the model again. */
export class DeviceLost extends GodwitError {
  override readonly name = "DeviceLost";
}
/** The files are no model that Godwit runs, or are damaged. */
export class BadModel extends GodwitError {
  override readonly name = "BadModel";
}
/** A server can't be reached, or refuses. */
export class NetworkError extends GodwitError {
  override readonly name = "NetworkError";
}
/** A file on this device can't be read or written, or another tab is using it. */
export class StorageError extends GodwitError {
  override readonly name = "StorageError";
}
/** The caller stopped the work. */
export class Aborted extends GodwitError {
  override readonly name = "Aborted";
}
/** The prompt does not fit the context. */
export class ContextFull extends GodwitError {
  override readonly name = "ContextFull";
}
/** A saved context is damaged, or of another model. */
export class BadContext extends GodwitError {
  override readonly name = "BadContext";
}
/** A parameter makes no sense. */
export class BadRequest extends GodwitError {
  override readonly name = "BadRequest";
}

/** A class for each name that Rust knows. */
const classes: Record<ErrorName, new (message: string) => GodwitError> = {
  NoWebGPU,
  CannotStart,
  OutOfMemory,
  DeviceLost,
  BadModel,
  NetworkError,
  StorageError,
  Aborted,
  ContextFull,
  BadContext,
  BadRequest,
  GodwitError,
};

/** An error as a message between threads can carry it. */
export interface WireError {
  name: ErrorName;
  message: string;
}

/** Name and text of anything thrown. */
export function words(thrown: unknown): { name: string; message: string } {
  return thrown instanceof Error ? thrown : { name: "", message: String(thrown) };
}

/** Whether wasm ended in a trap (a panic, no memory, no stack): none of it can be called then. */
export function isTrap(thrown: unknown): boolean {
  return (
    thrown instanceof WebAssembly.RuntimeError ||
    (thrown instanceof RangeError && /stack/i.test(thrown.message))
  );
}

/** Anything thrown, for the other thread. `panic` is what wasm last said on its way to a trap. */
export function toWire(thrown: unknown, panic?: string): WireError {
  const { name, message } = words(thrown);
  if (name === "AbortError") return { name: "Aborted", message: "stopped" };
  if (isTrap(thrown)) {
    // Each panic leaves a text; an allocation that fails ends without one.
    if (panic === undefined && /unreachable/i.test(message)) {
      const text =
        "the browser gives the engine no more memory; load the model again, with a smaller " +
        "context or other inputs";
      return { name: "OutOfMemory", message: text };
    }
    return {
      name: "DeviceLost",
      message: `the engine failed: ${panic ?? message}; load the model again`,
    };
  }
  if (thrown instanceof RangeError && /alloc|memory|array length/i.test(message)) {
    return { name: "OutOfMemory", message: `the browser has too little memory: ${message}` };
  }
  if (Object.hasOwn(classes, name)) return { name: name as ErrorName, message };
  return { name: "GodwitError", message: name ? `${name}: ${message}` : message };
}

/** The error that came from the other thread. */
export function fromWire({ name, message }: WireError): GodwitError {
  return new classes[name](message);
}
