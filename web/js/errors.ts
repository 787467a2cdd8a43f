/** What can go wrong. Each class has its name in `name`, which minifiers leave alone. */

/** Any failure of this library. */
export class GodwitError extends Error {
  override readonly name: string = "GodwitError";
}
/** The browser has no WebGPU, or no adapter that is good enough. */
export class NoWebGPU extends GodwitError {
  override readonly name = "NoWebGPU";
}
/** The GPU has too little memory: a smaller context or a smaller model may fit. */
export class OutOfMemory extends GodwitError {
  override readonly name = "OutOfMemory";
}
/** The GPU is gone, with all that was on it: load the model again. */
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

const classes: Record<string, new (message: string) => GodwitError> = {
  NoWebGPU, OutOfMemory, DeviceLost, BadModel, NetworkError, Aborted, ContextFull, BadContext, BadRequest,
};

/** An error as a message between threads can carry it. */
export interface WireError {
  name: string;
  message: string;
}

/** Anything thrown, for the other thread. */
export function toWire(thrown: unknown): WireError {
  if (!(thrown instanceof Error)) return { name: "GodwitError", message: String(thrown) };
  if (thrown.name === "AbortError") return { name: "Aborted", message: "stopped" };
  // A panic, or memory that wasm could not get: nothing can be called any more, as when the device is gone.
  if (thrown instanceof WebAssembly.RuntimeError) {
    return { name: "DeviceLost", message: `the engine failed: ${thrown.message}; load the model again` };
  }
  return { name: thrown.name, message: thrown.message };
}

/** The error that came from the other thread. */
export function fromWire({ name, message }: WireError): GodwitError {
  return new (classes[name] ?? GodwitError)(message);
}
