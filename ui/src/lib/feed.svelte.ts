// What pages see of a stream: objects that are there, told to Svelte at most once per frame. Talks to the server.
import { untrack } from 'svelte'
import { world } from './api'
import { listen, type State } from './connection'
import { kindsOf, type Kind, type Thing } from './kinds'
import { session } from './session.svelte'
import type { Stale } from './stale'
import { Store, type Trouble } from './store'
import { address, type News, type Query } from './stream'

/** Feeds that nobody looks at, and that are taken up where they were when somebody does again. */
const KEPT = 6

export class Feed {
  readonly query: Query
  state = $state.raw<State>({ kind: 'connecting' })
  readonly #store = new Store()
  readonly #ticks = $state<Record<string, number>>({})
  #waiting: News[] = []
  #isAsked = false
  #id: string | undefined
  #holders = 0
  #stop: AbortController | undefined

  constructor(query: Query) {
    this.query = query
  }

  /** Keeps it open until what comes back is called. */
  hold(): () => void {
    this.#holders += 1
    if (this.#holders === 1) this.#open()
    return () => {
      this.#holders -= 1
      if (this.#holders === 0) this.#stop?.abort()
    }
  }

  get isHeld(): boolean {
    return this.#holders > 0
  }

  /** Ends it for good, whoever holds it. */
  end(): void {
    this.#stop?.abort()
  }

  /** Tries again now. */
  again(): void {
    this.#stop?.abort()
    if (this.isHeld) this.#open()
  }

  #open(): void {
    const stop = new AbortController()
    this.#stop = stop
    const isMine = () => this.#stop === stop
    const token = session.token
    void listen(
      this.query,
      {
        news: (news) => isMine() && this.#take(news),
        state: (state) => {
          if (isMine()) this.state = state
        },
        at: (id) => {
          if (isMine()) this.#id = id
        },
        // Somebody else may have signed in meanwhile.
        signOut: () => token === session.token && session.refuse(),
      },
      world,
      stop.signal,
      this.#id,
    )
  }

  #take(news: News[]): void {
    this.#waiting.push(...news)
    if (this.#isAsked) return
    this.#isAsked = true
    // A page in the background has no frames.
    if (document.hidden) setTimeout(() => this.#flush(), 250)
    else requestAnimationFrame(() => this.#flush())
  }

  #flush(): void {
    this.#isAsked = false
    const news = this.#waiting
    this.#waiting = []
    for (const kind of this.#store.take(news)) this.#ticks[kind] = (this.#ticks[kind] ?? 0) + 1
  }

  /** All objects of a kind. */
  list<T = Thing>(kind: Kind): readonly T[] {
    void this.#ticks[kind]
    return this.#store.list(kind) as readonly T[]
  }

  /** One object. */
  get<T = Thing>(kind: Kind, namespace: string, name: string): T | undefined {
    void this.#ticks[kind]
    return this.#store.get(kind, namespace, name) as T | undefined
  }

  isSynced(kind: Kind): boolean {
    void this.#ticks[kind]
    return this.#store.isSynced(kind)
  }

  trouble(kind: Kind): Trouble | undefined {
    void this.#ticks[kind]
    return this.#store.trouble(kind)
  }

  /** Kinds of which something is shown and nothing more is told. */
  get stale(): Stale[] {
    return kindsOf(this.query.kinds).flatMap((kind) => {
      const trouble = this.trouble(kind)
      return trouble && this.list(kind).length > 0 ? [{ kind, trouble }] : []
    })
  }
}

const feeds = new Map<string, Feed>()

/** The feed of a question; the same one as long as somebody may come back to it. */
export function feedOf(query: Query): Feed {
  const key = address(query)
  const known = feeds.get(key)
  if (known) {
    feeds.delete(key)
    feeds.set(key, known)
    return known
  }
  for (const [old, feed] of feeds) {
    if (feeds.size < KEPT) break
    if (!feed.isHeld) feeds.delete(old)
  }
  const feed = new Feed(query)
  feeds.set(key, feed)
  return feed
}

/** Forgets everything, as when another person signs in. */
export function forget(): void {
  for (const feed of feeds.values()) feed.end()
  feeds.clear()
}

/** How the connections that are held stand together: the worst counts. */
class Line {
  #states = $state.raw<readonly Feed[]>([])

  add(feed: Feed): () => void {
    this.#states = [...this.#states, feed]
    return () => {
      this.#states = this.#states.filter((one) => one !== feed)
    }
  }

  /** Until when the next try waits, while a connection is lost or refused. */
  get lostUntil(): number | undefined {
    const all = this.#states.flatMap(({ state }) => (state.kind === 'lost' || state.kind === 'refused' ? [state.until] : []))
    return all.length > 0 ? Math.min(...all) : undefined
  }

  /** Whether the server answers, and refuses. */
  get isRefused(): boolean {
    return this.#states.some((feed) => feed.state.kind === 'refused') && !this.#states.some((feed) => feed.state.kind === 'lost')
  }

  /** What is shown and not told of any more though the connection holds; of each kind once. */
  get stale(): Stale[] {
    const all = new Map(this.#states.flatMap((feed) => feed.stale).map((one) => [one.kind, one]))
    return [...all.values()]
  }

  get isOpen(): boolean {
    return this.#states.some((feed) => feed.state.kind === 'open')
  }

  again(): void {
    for (const feed of this.#states) if (feed.state.kind === 'lost' || feed.state.kind === 'refused') feed.again()
  }
}

export const line = new Line()

/** For a component: the feed of a question that may change, held as long as the component is there. */
export function useFeed(query: () => Query): { readonly feed: Feed } {
  const feed = $derived(feedOf(query()))
  $effect(() => {
    const held = feed
    // What is written here is no reason to do it again.
    return untrack(() => {
      const release = held.hold()
      const leave = line.add(held)
      return () => {
        leave()
        release()
      }
    })
  })
  return {
    get feed() {
      return feed
    },
  }
}
