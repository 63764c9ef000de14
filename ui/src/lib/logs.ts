// The text of a log as lines, however it comes, and what is looked for in them. No I/O.

// Sequences that colour and move on a terminal. What is left of them is text.
const ESCAPES = /\u001b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\u0007]*(?:\u0007|\u001b\\)|[@-Z\\-_])/g

/** What a terminal would show of a line in the end. */
export function plain(line: string): string {
  const text = line.replace(ESCAPES, '')
  // A progress bar writes its line again and again: its last word counts.
  const parts = text.replace(/\r+$/, '').split('\r')
  return (parts.at(-1) ?? '').replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, '')
}

/** Longest line that is kept, in characters. */
const LONGEST = 65_536

/** A line with what comes to it. One that is too long keeps what is still in sight of it, and of that the beginning. */
function grown(line: string, more: string): string {
  const all = line + more
  if (all.length <= LONGEST) return all
  const text = all.replace(/\r+$/, '')
  const end = text.length < all.length ? '\r' : ''
  const seen = text.slice(text.lastIndexOf('\r') + 1)
  return (seen.length > LONGEST ? `${seen.slice(0, LONGEST - 1)}…` : seen) + end
}

/** The lines of a text that comes in pieces; at most `most` of them, the last ones, and the beginning of one that has no end. */
export class Lines {
  #rest = ''
  #lines: string[] = []
  #dropped = 0
  readonly #most: number

  constructor(most = 20_000) {
    this.#most = most
  }

  push(piece: string): void {
    const [first = '', ...parts] = piece.split('\n')
    this.#rest = grown(this.#rest, first)
    for (const part of parts) {
      this.#lines.push(plain(this.#rest))
      this.#rest = grown('', part)
    }
    const over = this.#lines.length - this.#most
    if (over > 0) {
      this.#lines.splice(0, over)
      this.#dropped += over
    }
  }

  /** All lines, that which is not over too. */
  all(): string[] {
    return this.#rest ? [...this.#lines, plain(this.#rest)] : [...this.#lines]
  }

  get size(): number {
    return this.#lines.length
  }

  /** Lines before the first that is kept. */
  get dropped(): number {
    return this.#dropped
  }
}

/** A piece of a line; `isHit` where it is what is looked for. */
export interface Piece {
  text: string
  isHit: boolean
}

/** Cuts a line where it has what is looked for, whatever its case. */
export function pieces(line: string, search: string): Piece[] {
  if (!search) return [{ text: line, isHit: false }]
  const all: Piece[] = []
  const lower = line.toLowerCase()
  const wanted = search.toLowerCase()
  let from = 0
  for (let at = lower.indexOf(wanted); at >= 0; at = lower.indexOf(wanted, from)) {
    if (at > from) all.push({ text: line.slice(from, at), isHit: false })
    all.push({ text: line.slice(at, at + wanted.length), isHit: true })
    from = at + wanted.length
  }
  if (from < line.length || all.length === 0) all.push({ text: line.slice(from), isHit: false })
  return all
}

/** Numbers of the lines that have it, from 0. */
export function hits(lines: readonly string[], search: string): number[] {
  if (!search) return []
  const wanted = search.toLowerCase()
  return lines.flatMap((line, index) => (line.toLowerCase().includes(wanted) ? [index] : []))
}
