/** The error classes. Each has its name in `name`, which minifiers leave alone. */

import type { ErrorName } from "./wire.js";

/** The base class of all errors. An error of this class itself is a bug in the library. */
export class GodwitError extends Error {
  override readonly name: ErrorName = "GodwitError";
}
/** The browser has no WebGPU, or no adapter that meets the requirements. */
export class NoWebGPU extends GodwitError {
  override readonly name = "NoWebGPU";
}
/** The worker or its WebAssembly can't start: a file is missing, or a policy forbids it. */
export class CannotStart extends GodwitError {
  override readonly name = "CannotStart";
}
/** The GPU or the browser has too little memory. A smaller context or a smaller model may fit. */
export class OutOfMemory extends GodwitError {
  override readonly name = "OutOfMemory";
}
/** The GPU device was lost with its contents, or the engine failed. Load the model again. */
export class DeviceLost extends GodwitError {
  override readonly name = "DeviceLost";
}
/** The files are damaged, or hold no model that Godwit runs. */
export class BadModel extends GodwitError {
  override readonly name = "BadModel";
}
/** A server can't be reached, or refuses the request. */
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
/** A snapshot is damaged, or belongs to another model. */
export class BadContext extends GodwitError {
  override readonly name = "BadContext";
}
/** A parameter is unknown, has the wrong type or is out of range. */
export class BadRequest extends GodwitError {
  override readonly name = "BadRequest";
}

/** The class of each error name that crosses from wasm. */
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

/** An error in a form that can be posted between threads. */
export interface WireError {
  name: ErrorName;
  message: string;
}

/** The name and message of anything thrown. */
export function describe(thrown: unknown): { name: string; message: string } {
  return thrown instanceof Error ? thrown : { name: "", message: String(thrown) };
}

/** Whether wasm trapped (a panic, no memory, no stack). It can't be called afterwards. */
export function isTrap(thrown: unknown): boolean {
  return (
    thrown instanceof WebAssembly.RuntimeError ||
    (thrown instanceof RangeError && /stack/i.test(thrown.message))
  );
}

/** Converts anything thrown for the other thread. `panic` is the message of wasm's last panic. */
export function toWire(thrown: unknown, panic?: string): WireError {
  const { name, message } = describe(thrown);
  if (name === "AbortError") return { name: "Aborted", message: "stopped" };
  if (isTrap(thrown)) {
    // Each panic leaves a message; a failed allocation traps without one.
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

/** The error object of an error from the other thread. */
export function fromWire({ name, message }: WireError): GodwitError {
  return new classes[name](message);
}
