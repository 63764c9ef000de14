// Which rows of a long table are drawn. No I/O.

/** A part of a list, and the room before and after it, in pixels. */
export interface Window {
  from: number
  to: number
  before: number
  after: number
}

/** The rows that can be seen, and some more on both sides. */
export function visible(count: number, rowHeight: number, scrollTop: number, height: number, more = 8): Window {
  const first = Math.floor(Math.max(0, scrollTop) / rowHeight)
  const to = Math.min(count, first + Math.ceil(height / rowHeight) + more)
  const from = Math.max(0, Math.min(first - more, to))
  return { from, to, before: from * rowHeight, after: (count - to) * rowHeight }
}

/** Whether a text has every word that is looked for, whatever its case. */
export function fits(text: string, search: string): boolean {
  const all = text.toLowerCase()
  return search
    .toLowerCase()
    .split(/\s+/)
    .every((word) => all.includes(word))
}
