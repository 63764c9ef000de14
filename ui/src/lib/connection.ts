// Keeps a stream open: reads it, resumes it, tries again. What touches the network and the clock is handed in.
import { kindsOf } from './kinds'
import { address, backoff, Frames, read, type News, type Query } from './stream'

/** How a connection is. */
export type State = { kind: 'connecting' } | { kind: 'open' } | { kind: 'lost'; until: number } | { kind: 'refused'; until: number } | { kind: 'closed' }

/** Who listens. */
export interface Ears {
  news(news: News[]): void
  state(state: State): void
  /** The id of the last frame: where a later connection goes on. None while everything is told anew. */
  at(id: string | undefined): void
  /** The token does not count any more. */
  signOut(): void
}

/** The world. */
export interface World {
  open(path: string, headers: Record<string, string>, signal: AbortSignal): Promise<Response>
  /** Resolves after so many milliseconds, or when the signal is aborted. */
  wait(milliseconds: number, signal: AbortSignal): Promise<void>
  now(): number
  chance(): number
}

/** Without a word for so long the line is dead: the server says something every 15 s. */
const SILENCE = 45_000
/** A connection that has held for so long and ends in peace is taken up again without a word. */
const LONG = 5_000
/** Time before a server that refuses is asked again: what it refuses may be allowed by then. */
const REFUSED = 30_000

type End = { kind: 'ended' } | { kind: 'broken'; after?: number } | { kind: 'refused' } | { kind: 'stop' }

/** Listens until the signal says no more. */
export async function listen(query: Query, ears: Ears, world: World, signal: AbortSignal, from?: string): Promise<void> {
  let attempt = 0
  let id = from
  const heard: Ears = {
    ...ears,
    news: (news) => {
      if (news.some((one) => one.type !== 'reset')) attempt = 0
      // Of what is told anew only a part may come: it cannot be gone on from what was told before.
      if (hasReset(news)) heard.at(undefined)
      ears.news(news)
    },
    at: (next) => {
      id = next
      ears.at(next)
    },
  }
  while (!signal.aborted) {
    if (attempt === 0) ears.state({ kind: 'connecting' })
    const began = world.now()
    const end = await once(query, heard, world, signal, id)
    if (signal.aborted || end.kind === 'stop') break
    const hasHeld = world.now() - began > LONG
    if (hasHeld) attempt = 0
    if (hasHeld && end.kind === 'ended') continue
    attempt += 1
    const isRefused = end.kind === 'refused'
    const wait = isRefused ? REFUSED : ((end.kind === 'broken' ? end.after : undefined) ?? backoff(attempt, world.chance()))
    ears.state({ kind: isRefused ? 'refused' : 'lost', until: world.now() + wait })
    await world.wait(wait, signal)
  }
  if (signal.aborted) ears.state({ kind: 'closed' })
}

async function once(query: Query, ears: Ears, world: World, signal: AbortSignal, id: string | undefined): Promise<End> {
  const inner = new AbortController()
  const stop = () => inner.abort()
  signal.addEventListener('abort', stop)
  let silence: ReturnType<typeof setTimeout> | undefined
  const heard = () => {
    clearTimeout(silence)
    silence = setTimeout(stop, SILENCE)
  }
  try {
    heard()
    const headers: Record<string, string> = { Accept: 'text/event-stream', ...(id ? { 'Last-Event-ID': id } : {}) }
    const response = await world.open(address(query), headers, inner.signal)
    if (response.status === 401) {
      ears.signOut()
      return { kind: 'stop' }
    }
    const isNo = response.status >= 400 && response.status < 500 && response.status !== 429 && response.status !== 408
    if (isNo && (await isRefusal(response, query, ears))) return { kind: 'refused' }
    if (!response.ok || !response.body) {
      const after = Number(response.headers.get('Retry-After'))
      return { kind: 'broken', ...(after > 0 ? { after: after * 1000 } : {}) }
    }
    ears.state({ kind: 'open' })
    // Without an id everything is told anew: what is not told is gone.
    if (!id) ears.news([{ type: 'reset' }])
    await each(response.body, ears, heard)
    return { kind: 'ended' }
  } catch {
    return { kind: 'broken' }
  } finally {
    clearTimeout(silence)
    signal.removeEventListener('abort', stop)
    inner.abort()
  }
}

async function each(body: ReadableStream<Uint8Array>, ears: Ears, heard: () => void): Promise<void> {
  const reader = body.getReader()
  const decoder = new TextDecoder()
  const frames = new Frames()
  let id: string | undefined
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    heard()
    const all = frames.push(decoder.decode(value, { stream: true }))
    const news = all.map(read).filter((one) => one !== undefined)
    if (news.length > 0) ears.news(news)
    if (hasReset(news)) id = undefined
    if (frames.id !== undefined && frames.id !== id) ears.at((id = frames.id))
  }
}

const hasReset = (news: readonly News[]): boolean => news.some((one) => one.type === 'reset')

/** Whether it is the server that refuses the whole stream: each kind says so then. What stands in between has other words. */
async function isRefusal(response: Response, query: Query, ears: Ears): Promise<boolean> {
  const said = (await response.json().catch(() => undefined)) as { reason?: unknown; message?: unknown } | null | undefined
  if (typeof said?.reason !== 'string') return false
  const { reason } = said
  const message = typeof said.message === 'string' ? said.message : `the server answered with ${response.status}`
  ears.news(kindsOf(query.kinds).map((kind) => ({ type: 'trouble', kind, reason, message })))
  return true
}
