// What is asked for once, or again and again, for a component. Talks to the server through api.ts.
import { get, Refused } from './api'

/** Longest wait after an answer that did not come, in milliseconds. */
const SOON = 10_000

/** An answer, the last one that came; and what was wrong with the last question. */
export class Resource<T> {
  data = $state.raw<T | undefined>()
  error = $state.raw<Refused | undefined>()
  isLoading = $state(true)
  #again = $state(0)

  constructor(path: () => string | undefined, every?: () => number | undefined) {
    let last: string | undefined
    $effect(() => {
      void this.#again
      const from = path()
      const pause = every?.()
      if (from !== last) {
        this.data = undefined
        this.error = undefined
        last = from
      }
      if (from === undefined) {
        this.isLoading = false
        return undefined
      }
      const stop = new AbortController()
      let timer: ReturnType<typeof setTimeout> | undefined
      const ask = async () => {
        try {
          const data = await get<T>(from, stop.signal)
          if (stop.signal.aborted) return
          this.data = data
          this.error = undefined
        } catch (error) {
          if (stop.signal.aborted) return
          this.error = error instanceof Refused ? error : new Refused(0, 'Unreadable', 'The answer of the server cannot be read.')
        }
        this.isLoading = false
        const next = pause && this.error && !this.error.isForbidden ? Math.min(pause, SOON) : pause
        if (next) timer = setTimeout(() => void ask(), document.hidden ? next * 5 : next)
      }
      this.isLoading = true
      void ask()
      return () => {
        stop.abort()
        clearTimeout(timer)
      }
    })
  }

  /** Asks again. */
  again(): void {
    this.#again += 1
  }
}
