// The language of `api/v1/stream`: frames of server-sent events, and what they say. No I/O.
import type { Thing } from './kinds'

/** One frame. */
export interface Frame {
  event: string
  data: string
  id?: string
}

/** Puts pieces of text together to frames, wherever they were cut. */
export class Frames {
  #rest = ''
  #event = ''
  #data: string[] = []
  #id: string | undefined
  #heard: string | undefined

  /** The id of the last frame that is whole, be it one that says nothing else: up to there everything has been heard. */
  get id(): string | undefined {
    return this.#heard
  }

  /** The frames that end in this piece. */
  push(piece: string): Frame[] {
    const frames: Frame[] = []
    // A carriage return at the very end may be half of a line's end.
    const text = this.#rest + piece
    const isCut = text.endsWith('\r')
    const lines = (isCut ? text.slice(0, -1) : text).split(/\r\n|\n|\r/)
    this.#rest = (lines.pop() ?? '') + (isCut ? '\r' : '')
    for (const line of lines) {
      const frame = this.#line(line)
      if (frame) frames.push(frame)
    }
    return frames
  }

  #line(line: string): Frame | undefined {
    if (line === '') return this.#end()
    if (line.startsWith(':')) return undefined
    const colon = line.indexOf(':')
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (field === 'event') this.#event = value
    else if (field === 'data') this.#data.push(value)
    else if (field === 'id' && !value.includes('\0')) this.#id = value
    return undefined
  }

  #end(): Frame | undefined {
    // What comes before it counts no more.
    if (this.#event === 'reset') this.#id = undefined
    this.#heard = this.#id
    const frame: Frame | undefined =
      this.#data.length > 0 || this.#event ? { event: this.#event || 'message', data: this.#data.join('\n'), ...(this.#id === undefined ? {} : { id: this.#id }) } : undefined
    this.#event = ''
    this.#data = []
    return frame
  }
}

/** What a frame says. */
export type News =
  | { type: 'put'; kind: string; object: Thing }
  | { type: 'gone'; kind: string; namespace: string; name: string; uid?: string }
  | { type: 'synced'; kind: string }
  | { type: 'trouble'; kind: string; reason: string; message: string }
  | { type: 'reset' }

const text = (of: unknown): string => (typeof of === 'string' ? of : '')

/** Reads a frame; undefined where this page does not know what it says, which is no reason to stop. */
export function read(frame: Frame): News | undefined {
  if (frame.event === 'reset') return { type: 'reset' }
  let data: Record<string, unknown>
  try {
    data = JSON.parse(frame.data) as Record<string, unknown>
  } catch {
    return undefined
  }
  if (typeof data !== 'object' || data === null || typeof data.kind !== 'string') return undefined
  const kind = data.kind
  switch (frame.event) {
    case 'put': {
      const object = data.object as Thing | undefined
      return object?.metadata?.name ? { type: 'put', kind, object } : undefined
    }
    case 'gone':
      return { type: 'gone', kind, namespace: text(data.namespace), name: text(data.name), ...(typeof data.uid === 'string' ? { uid: data.uid } : {}) }
    case 'synced':
      return { type: 'synced', kind }
    case 'trouble':
      return { type: 'trouble', kind, reason: text(data.reason), message: text(data.message) }
    default:
      return undefined
  }
}

const FIRST = 1_000
const LONGEST = 30_000

/** How long to wait before the n-th try in a row, in milliseconds, counted from 1; `chance` is from 0 to 1 and keeps pages from coming back all at once. */
export function backoff(attempt: number, chance: number): number {
  const whole = Math.min(LONGEST, FIRST * 2 ** Math.min(attempt - 1, 10))
  return Math.round(whole * (0.75 + chance / 2))
}

/** What a stream is asked for. */
export interface Query {
  kinds: string[]
  namespace?: string
  name?: string
  whole?: boolean
}

/** The address of a stream, relative to the page. */
export function address(query: Query): string {
  const params = new URLSearchParams({ kinds: query.kinds.join(',') })
  if (query.namespace) params.set('namespace', query.namespace)
  if (query.name) params.set('name', query.name)
  if (query.whole) params.set('whole', 'true')
  return `api/v1/stream?${params.toString()}`
}
