// Where one is, which namespace is looked at, how light it is, and what is said aloud: what the whole page shares.
import { parse, withQuery, type Route } from './route'
import { session } from './session.svelte'

class Place {
  route = $state.raw<Route>({ page: 'overview', query: {} })
  /** The namespace that was chosen on a list; pages of one object have their own and leave it as it is. */
  #chosen = $state<string | undefined>()

  constructor() {
    addEventListener('hashchange', () => this.look())
  }

  look(): void {
    this.route = parse(location.hash)
    if (this.route.namespace === undefined) this.#chosen = this.route.query.namespace
  }

  /** The namespace that lists are about; undefined: all. */
  get namespace(): string | undefined {
    if (this.#chosen === '*') return undefined
    return this.#chosen || session.about?.namespace || undefined
  }

  choose(namespace: string | undefined): void {
    // All is said where something else would be taken for granted.
    const word = namespace ?? (session.about?.namespace ? '*' : undefined)
    const list = this.route.namespace === undefined ? location.hash : '#/'
    location.hash = withQuery(list, { namespace: word })
  }

  /** The address of a list, with the namespace that was chosen. */
  list(path: string): string {
    return withQuery(path, { namespace: this.#chosen })
  }
}

export const place = new Place()

class Speaker {
  text = $state('')
  /** What is shown for a while as well. */
  toast = $state<{ text: string; tone: 'good' | 'bad' } | undefined>()
  #timer: ReturnType<typeof setTimeout> | undefined

  /** Says something aloud. */
  say(text: string): void {
    this.text = text
  }

  /** Says and shows something. */
  show(text: string, tone: 'good' | 'bad' = 'good'): void {
    this.toast = { text, tone }
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.toast = undefined
    }, 8_000)
  }
}

export const speaker = new Speaker()

export type Theme = 'system' | 'light' | 'dark'
const THEMES: Theme[] = ['system', 'light', 'dark']
const KEY = 'slipway-theme'

class Look {
  theme = $state<Theme>('system')
  /** Whether it is dark now. */
  isDark = $state(false)

  begin(): void {
    const media = matchMedia('(prefers-color-scheme: dark)')
    try {
      const kept = localStorage.getItem(KEY) as Theme | null
      if (kept && THEMES.includes(kept)) this.theme = kept
    } catch {
      // Without storage it is as the system wants it.
    }
    const apply = () => {
      this.isDark = this.theme === 'dark' || (this.theme === 'system' && media.matches)
      document.documentElement.dataset.theme = this.isDark ? 'dark' : 'light'
    }
    media.addEventListener('change', apply)
    this.#apply = apply
    apply()
  }

  #apply: () => void = () => {}

  next(): void {
    this.theme = THEMES[(THEMES.indexOf(this.theme) + 1) % THEMES.length] ?? 'system'
    try {
      localStorage.setItem(KEY, this.theme)
    } catch {
      // It holds until the page is loaded anew.
    }
    this.#apply()
  }
}

export const look = new Look()
