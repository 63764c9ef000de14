// Addresses of pages: the part behind `#`. No I/O.

export type Page = 'overview' | 'rollout' | 'runs' | 'run' | 'releases' | 'release' | 'environment' | 'delivery' | 'missing'

/** Where one is. */
export interface Route {
  page: Page
  namespace?: string
  name?: string
  query: Record<string, string>
}

const DETAILS: Record<string, Page> = { rollouts: 'rollout', runs: 'run', releases: 'release', environments: 'environment' }
const LISTS: Record<string, Page> = { '': 'overview', runs: 'runs', releases: 'releases', dora: 'delivery' }

function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

/** Reads an address. */
export function parse(hash: string): Route {
  const [path = '', search = ''] = hash.replace(/^#/, '').split('?')
  const query = Object.fromEntries(new URLSearchParams(search))
  const [first = '', namespace, name, ...more] = path.replace(/^\//, '').split('/').map(decoded)
  const detail = DETAILS[first]
  if (detail && namespace && name && more.length === 0) return { page: detail, namespace, name, query }
  const list = LISTS[first]
  if (list && !namespace) return { page: list, query }
  return { page: 'missing', query }
}

/** The token that `#token=…` brings, once. */
export function token(hash: string): string | undefined {
  const match = /^#\/?token=([^&/?]+)/.exec(hash)
  return match?.[1] ? decoded(match[1]) : undefined
}

/** The address of a page with other words behind `?`; those that are empty go. */
export function withQuery(hash: string, query: Record<string, string | undefined>): string {
  const [path = '#/', search = ''] = (hash || '#/').split('?')
  const params = new URLSearchParams(search)
  for (const [key, value] of Object.entries(query)) {
    if (value === undefined || value === '') params.delete(key)
    else params.set(key, value)
  }
  const text = params.toString()
  return text ? `${path}?${text}` : path
}

const to = (plural: string) => (namespace: string | undefined, name: string) => `#/${plural}/${encodeURIComponent(namespace ?? '')}/${encodeURIComponent(name)}`

export const link = { rollout: to('rollouts'), run: to('runs'), release: to('releases'), environment: to('environments') }
