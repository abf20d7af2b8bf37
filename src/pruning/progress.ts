/** Called with how far something has come: `done` of `total`, and a note such as the loss so far. */
export type OnProgress = (what: string, done: number, total: number, note?: string) => void
