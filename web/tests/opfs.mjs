// The parts of the origin private file system that the package uses, in memory, for tests in Node.

const missing = (name) => new DOMException(`${name} is not there`, "NotFoundError");

/** A file. After `opfs.left` bytes all writes fail, as in a tab that is closed. */
class MemoryFile {
  kind = "file";
  bytes = Buffer.alloc(0);
  constructor(name, opfs) {
    this.name = name;
    this.opfs = opfs;
  }
  async getFile() {
    return new File([this.bytes], this.name);
  }
  async createSyncAccessHandle() {
    return {
      // A change of the length is one write, whatever the number of bytes.
      truncate: (length) => {
        this.opfs.spend(1);
        this.bytes = Buffer.concat([this.bytes, Buffer.alloc(length)]).subarray(0, length);
      },
      write: (bytes, { at }) => {
        const length = Math.min(bytes.length, this.opfs.left);
        const end = Math.max(this.bytes.length, at + length);
        this.bytes = Buffer.concat([this.bytes, Buffer.alloc(end - this.bytes.length)]);
        this.bytes.set(bytes.subarray(0, length), at);
        this.opfs.spend(bytes.length);
        return bytes.length;
      },
      flush: () => this.opfs.spend(1),
      close: () => {},
    };
  }
}

class MemoryFolder {
  kind = "directory";
  entries = new Map();
  constructor(name, opfs) {
    this.name = name;
    this.opfs = opfs;
  }
  async getFileHandle(name, { create = false } = {}) {
    return this.#entry(name, create, MemoryFile);
  }
  async getDirectoryHandle(name, { create = false } = {}) {
    return this.#entry(name, create, MemoryFolder);
  }
  #entry(name, create, Kind) {
    if (!this.entries.has(name)) {
      if (!create) throw missing(name);
      this.opfs.spend(1);
      this.entries.set(name, new Kind(name, this.opfs));
    }
    return this.entries.get(name);
  }
  async removeEntry(name) {
    this.opfs.spend(1);
    if (!this.entries.delete(name)) throw missing(name);
  }
  async *values() {
    yield* [...this.entries.values()];
  }
}

/** The error of all writes after the tab was closed. */
export class Closed extends Error {}

/** A file system in which a tab is closed after `left` writes. */
export class Opfs {
  left = Infinity;
  root = new MemoryFolder("", this);
  /** Counts writes: one for each byte, and one for each change to a folder or to a length. */
  spend(count) {
    this.left -= count;
    if (this.left < 0) {
      this.left = 0;
      throw new Closed("the tab was closed");
    }
  }
  /**
   * Installs the file system in `navigator`, with Web Locks. `locks` has the names of held ones.
   */
  install(locks = new Set()) {
    const request = async (name, _, work) => work(locks.has(name) ? null : { name });
    const navigator = {
      storage: { getDirectory: async () => this.root },
      locks: { request },
    };
    Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true });
  }
}
