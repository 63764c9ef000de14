import { flushSync, mount, unmount } from 'svelte'
import { expect, it } from 'vitest'
import type { Mishap } from '../lib/environment'
import Incidents from './Incidents.svelte'

const incident = (promotion: string, more: Partial<Mishap> = {}): Mishap => ({ promotion, release: `release-of-${promotion}`, key: 'RolloutFailed', source: 'Failure', message: 'no pod is ready', startedAt: '2027-01-15T07:00:00Z', ...more })

it('what went wrong stands there with its Release, its cause and the way back, until it is over', () => {
  const alert = { key: 'slow', name: 'Slow', startsAt: '2027-01-15T07:00:00Z' }
  const props = $state({ incidents: [incident('a', { response: 'going back to release-of-b', alerts: [alert] }), incident('b')] })
  const component = mount(Incidents, { target: document.body, props })
  flushSync()
  const items = () => [...document.querySelectorAll('li')].map((item) => item.textContent?.replace(/\s+/g, ' ').trim() ?? '')
  expect(items()).toHaveLength(2)
  for (const words of ['Open', 'Failure', 'of release-of-a', 'no pod is ready', 'going back to release-of-b', 'Slow']) expect(items()[0]).toContain(words)
  props.incidents = [incident('a', { resolvedAt: '2027-01-15T07:30:00Z' }), incident('b')]
  flushSync()
  expect(items().map((item) => item.slice(0, 4))).toEqual(['Over', 'Open'])
  void unmount(component)
})
