// What the file system of a page's origin offers in a worker, and TypeScript's DOM library leaves out.

interface FileSystemSyncAccessHandle {
  read(into: ArrayBufferView, options?: { at?: number }): number;
  write(bytes: ArrayBufferView, options?: { at?: number }): number;
  truncate(size: number): void;
  getSize(): number;
  flush(): void;
  close(): void;
}
interface FileSystemFileHandle {
  createSyncAccessHandle(): Promise<FileSystemSyncAccessHandle>;
  /** Not everywhere. */
  move?(folder: FileSystemDirectoryHandle, name: string): Promise<void>;
}
