// Requests to the server, with the token. Talks to the server.
import type { State, World } from './connection'
import { clock } from './clock.svelte'
import { session } from './session.svelte'

/** What the server has against it. */
export class Refused extends Error {
  readonly status: number
  readonly reason: string

  constructor(status: number, reason: string, message: string) {
    super(message)
    this.status = status
    this.reason = reason
  }

  /** Whether a right is missing. */
  get isForbidden(): boolean {
    return this.status === 403
  }
}

/** A request with the token; 401 ends the session. */
export async function ask(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers)
  const token = session.token
  if (token) headers.set('Authorization', `Bearer ${token}`)
  let response: Response
  try {
    response = await fetch(path, { ...init, headers, cache: 'no-store', credentials: 'omit', redirect: 'error' })
  } catch (error) {
    if (init.signal?.aborted) throw error
    throw new Refused(0, 'Unreachable', 'The server does not answer.')
  }
  if (response.status === 401 && token && token === session.token) session.refuse()
  return response
}

async function checked(response: Response): Promise<Response> {
  if (response.ok) return response
  const said = (await response.json().catch(() => ({}))) as { reason?: string; message?: string }
  throw new Refused(response.status, said.reason ?? String(response.status), said.message ?? `The server answered with ${response.status}.`)
}

/** Reads JSON. */
export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await checked(await ask(path, signal ? { signal } : {}))
  return (await response.json()) as T
}

/** Longest wait for the answer to what was sent, in milliseconds. */
const PATIENCE = 60_000

/** Sends JSON. Without an answer it is not known whether it was taken. */
export async function post<T>(path: string, body: unknown): Promise<T> {
  const signal = AbortSignal.timeout(PATIENCE)
  const sent = ask(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body), signal })
  const response = await checked(
    await sent.catch((error: unknown) => {
      throw signal.aborted ? new Refused(0, 'Timeout', 'The server does not answer. It may have taken it nevertheless: see what comes of it before you try again.') : error
    }),
  )
  return (await response.json().catch(() => ({}))) as T
}

/** Hands the answer to the browser as a file. */
export async function save(path: string, name: string): Promise<void> {
  const response = await checked(await ask(path))
  saveText(await response.blob(), name)
}

/** Hands something to the browser as a file. */
export function saveText(content: Blob, name: string): void {
  const address = URL.createObjectURL(content)
  const link = document.createElement('a')
  link.href = address
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(address), 10_000)
}

/** Pieces of a text, as they come. */
export async function readText(path: string, signal: AbortSignal, piece: (text: string) => void): Promise<void> {
  const response = await checked(await ask(path, { signal }))
  const reader = response.body?.getReader()
  const decoder = new TextDecoder()
  while (reader) {
    const { done, value } = await reader.read()
    if (done) break
    piece(decoder.decode(value, { stream: true }))
  }
}

const encoded = (...parts: string[]): string => parts.map(encodeURIComponent).join('/')

/** Addresses below `api/v1/`. */
export const path = {
  about: 'api/v1/about',
  object: (plural: string, namespace: string, name: string) => `api/v1/objects/${encoded(plural, namespace, name)}`,
  may: (plural: string, namespace: string, name: string) => `api/v1/may/${encoded(plural, namespace, name)}`,
  pods: (namespace: string, rollout: string) => `api/v1/pods/${encoded(namespace, rollout)}`,
  logs: (namespace: string, run: string, stage: string, cell: string | undefined, follows: boolean) => {
    const query = new URLSearchParams({ ...(cell ? { cell } : {}), ...(follows ? { follow: 'true' } : {}) }).toString()
    return `api/v1/logs/${encoded(namespace, run, stage)}${query ? `?${query}` : ''}`
  },
  report: (namespace: string, release: string) => `api/v1/report/${encoded(namespace, release)}`,
  slo: (namespace: string, environment: string) => `api/v1/slo/${encoded(namespace, environment)}`,
  runPage: (namespace: string, run: string) => `api/v1/page/${encoded(namespace, run)}`,
  badge: (namespace: string, run: string) => `api/v1/badge/${encoded(namespace, run)}`,
  dora: (namespace: string | undefined, days: number) => `api/v1/dora?${new URLSearchParams({ ...(namespace ? { namespace } : {}), days: String(days) }).toString()}`,
  decisions: 'api/v1/decisions',
}

/** The world of a stream. */
export const world: World = {
  open: (path, headers, signal) => ask(path, { headers, signal }),
  wait: (milliseconds, signal) =>
    new Promise((resolve) => {
      const timer = setTimeout(done, milliseconds)
      function done() {
        clearTimeout(timer)
        signal.removeEventListener('abort', done)
        resolve()
      }
      signal.addEventListener('abort', done)
    }),
  now: () => clock.exact(),
  chance: Math.random,
}

export type { State }
