// Who looks: the token, in memory and for this tab, and what the server says about itself. Talks to the server through api.ts.
import { clock } from './clock.svelte'
import { token as tokenIn } from './route'

/** What `api/v1/about` says. */
export interface About {
  version: string
  mode: 'Local' | 'Cluster'
  context?: string
  namespace?: string
  user: string | null
  now: string
}

const KEY = 'slipway-token'

function kept(): string | undefined {
  try {
    return sessionStorage.getItem(KEY) ?? undefined
  } catch {
    return undefined
  }
}

class Session {
  token = $state<string | undefined>()
  about = $state.raw<About | undefined>()
  /** Why one has to sign in again. */
  problem = $state<string | undefined>()

  /** Takes the token out of the address, or that of this tab. */
  begin(): void {
    const brought = tokenIn(location.hash)
    if (brought) {
      // Neither the history nor whoever looks over a shoulder keeps it.
      history.replaceState(null, '', `${location.pathname}${location.search}#/`)
      // In the cluster nobody is signed in as somebody else by a link.
      if (this.token && this.about?.mode === 'Cluster') return
      this.problem = undefined
      this.#keep(brought)
    } else this.token ??= kept()
  }

  signIn(token: string): void {
    this.problem = undefined
    this.#keep(token)
  }

  /** The server does not take the token. */
  refuse(): void {
    if (!this.token) return
    this.problem = 'The server does not take this token: it is wrong, or it has expired.'
    this.signOut()
  }

  signOut(): void {
    this.token = undefined
    this.about = undefined
    try {
      sessionStorage.removeItem(KEY)
    } catch {
      // Without storage there is nothing to forget.
    }
  }

  welcome(about: About): void {
    this.about = about
    clock.set(about.now)
  }

  #keep(token: string): void {
    // Pages wait for what the server says to the new one: nothing of the former person stays.
    if (token !== this.token) this.signOut()
    this.token = token
    try {
      sessionStorage.setItem(KEY, token)
    } catch {
      // Without storage it is kept until the page is loaded anew.
    }
  }
}

export const session = new Session()
