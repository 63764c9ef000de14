// What has been heard of objects, by kind. No I/O.
import { keyOf, type Thing } from './kinds'
import type { News } from './stream'

/** Why a kind cannot be seen. */
export interface Trouble {
  reason: string
  message: string
}

interface Shelf {
  objects: Map<string, Thing>
  /** The same as a list, made when it is asked for. */
  list: readonly Thing[] | undefined
  isSynced: boolean
  /** Since a reset: what has been put again. The rest goes with `synced`. */
  fresh: Set<string> | undefined
  trouble: Trouble | undefined
}

/** Takes news in, and answers with what is there. */
export class Store {
  readonly #shelves = new Map<string, Shelf>()

  #shelf(kind: string): Shelf {
    let shelf = this.#shelves.get(kind)
    if (!shelf) {
      shelf = { objects: new Map(), list: undefined, isSynced: false, fresh: undefined, trouble: undefined }
      this.#shelves.set(kind, shelf)
    }
    return shelf
  }

  /** Takes in one thing after the other; says of which kinds something has changed. */
  take(news: Iterable<News>): Set<string> {
    const changed = new Set<string>()
    for (const one of news) {
      if (one.type === 'reset') {
        for (const [kind, shelf] of this.#shelves) {
          shelf.fresh = new Set()
          shelf.isSynced = false
          changed.add(kind)
        }
        continue
      }
      this.#one(one, this.#shelf(one.kind))
      changed.add(one.kind)
    }
    return changed
  }

  #one(news: Exclude<News, { type: 'reset' }>, shelf: Shelf): void {
    switch (news.type) {
      case 'put': {
        const key = keyOf(news.object)
        shelf.objects.set(key, news.object)
        shelf.fresh?.add(key)
        shelf.list = undefined
        shelf.trouble = undefined
        break
      }
      case 'gone': {
        const key = `${news.namespace}/${news.name}`
        const known = shelf.objects.get(key)
        // Another object under the same name has come before the news that the first one went.
        if (known && (!news.uid || !known.metadata.uid || known.metadata.uid === news.uid)) shelf.objects.delete(key)
        shelf.list = undefined
        break
      }
      case 'synced': {
        if (shelf.fresh) {
          for (const key of shelf.objects.keys()) if (!shelf.fresh.has(key)) shelf.objects.delete(key)
          shelf.fresh = undefined
        }
        shelf.isSynced = true
        shelf.trouble = undefined
        shelf.list = undefined
        break
      }
      case 'trouble':
        shelf.trouble = { reason: news.reason, message: news.message }
    }
  }

  /** All objects of a kind; the same list as long as nothing of it changes. */
  list(kind: string): readonly Thing[] {
    const shelf = this.#shelf(kind)
    shelf.list ??= [...shelf.objects.values()]
    return shelf.list
  }

  /** One object. */
  get(kind: string, namespace: string, name: string): Thing | undefined {
    return this.#shelf(kind).objects.get(`${namespace}/${name}`)
  }

  /** Whether everything that is there has been sent. */
  isSynced(kind: string): boolean {
    return this.#shelf(kind).isSynced
  }

  /** Why a kind cannot be seen, if so. */
  trouble(kind: string): Trouble | undefined {
    return this.#shelf(kind).trouble
  }
}
