import { flushSync } from 'svelte'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { feedOf, forget } from './feed.svelte'
import { session, type About } from './session.svelte'

const about = (mode: About['mode']): About => ({ version: '1', mode, user: 'olga', now: '2027-01-15T08:00:00Z' })
let answer: (response: Response) => void
let signals: AbortSignal[]

beforeEach(() => {
  signals = []
  vi.stubGlobal('fetch', (_path: string, init: RequestInit) => {
    if (init.signal) signals.push(init.signal)
    return new Promise<Response>((resolve) => (answer = resolve))
  })
})

afterEach(() => {
  forget()
  session.signOut()
  location.hash = ''
})

it('a token comes with the address, and does not stay in it', () => {
  location.hash = '#token=one'
  session.begin()
  expect(session.token).toBe('one')
  expect(location.hash).not.toContain('one')
})

it('another token leaves nothing of the former person', () => {
  session.signIn('one')
  session.welcome(about('Local'))
  location.hash = '#token=one'
  session.begin()
  expect(session.about).toBeDefined()
  location.hash = '#token=two'
  session.begin()
  expect([session.token, session.about]).toEqual(['two', undefined])
})

it('in the cluster a link signs nobody in as somebody else', () => {
  session.signIn('one')
  session.welcome(about('Cluster'))
  location.hash = '#token=two'
  session.begin()
  expect(session.token).toBe('one')
  expect(location.hash).not.toContain('two')
  session.signOut()
  location.hash = '#token=two'
  session.begin()
  expect(session.token).toBe('two')
})

it('a late answer to one token does not sign another one out', async () => {
  session.signIn('one')
  feedOf({ kinds: ['rollouts'] }).hold()
  flushSync()
  const late = answer
  session.signIn('two')
  late(new Response('', { status: 401 }))
  await new Promise((resolve) => setTimeout(resolve))
  expect(session.token).toBe('two')
})

it('what is forgotten is not listened to any more', () => {
  session.signIn('one')
  const feed = feedOf({ kinds: ['rollouts'] })
  feed.hold()
  expect(signals.map((signal) => signal.aborted)).toEqual([false])
  forget()
  expect(signals.map((signal) => signal.aborted)).toEqual([true])
  expect(feedOf({ kinds: ['rollouts'] })).not.toBe(feed)
})
