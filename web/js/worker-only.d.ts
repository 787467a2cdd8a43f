/**
 * Types that only workers have. TypeScript's libraries for workers and pages exclude each other.
 */

interface FileSystemSyncAccessHandle {
  read(into: Uint8Array, options?: { at?: number }): number;
  write(bytes: Uint8Array, options?: { at?: number }): number;
  truncate(size: number): void;
  flush(): void;
  close(): void;
}

interface FileSystemFileHandle {
  createSyncAccessHandle(): Promise<FileSystemSyncAccessHandle>;
}

declare class FileReaderSync {
  readAsArrayBuffer(blob: Blob): ArrayBuffer;
}
