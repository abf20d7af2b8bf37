/** A tarball's content among the modules of an empty folder. */
export interface Packed {
  folder: string
  modules: string
  remove(): void
}
export function packedPackage(built?: string): Packed
export function emptyProject(
  packed: Packed,
  options?: { script?: string, files?: Record<string, Uint8Array> },
): string
export const bundlers: Record<string, (project: string, from: string) => Promise<string>>
/** Links the checkout's dependencies into a project, for Node. */
export function linkDependencies(project: string): void
