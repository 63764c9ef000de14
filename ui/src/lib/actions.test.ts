import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { parse } from 'yaml'
import { consequence, ordered, possibleOnRun, releasesFor, resumed, usefulOnEnvironment, usefulOnRollout, usefulOnRun, wish } from './actions'
import type { Action, Target } from './kinds'
import { deployed, environment, release, rollout, run } from './testing'

const crd = parse(readFileSync(join(import.meta.dirname, '../../../crds/decisions.yaml'), 'utf8')) as { spec: { versions: { schema: { openAPIV3Schema: { properties: { spec: { properties: Record<string, { enum?: string[] }> } } } } }[] } }
const fields = crd.spec.versions[0]!.schema.openAPIV3Schema.properties.spec.properties

it('every action that there is has its place', () => {
  const all = (fields.action?.enum ?? []) as Action[]
  expect(all.length).toBeGreaterThan(10)
  expect(ordered([...all].reverse())).toHaveLength(all.length)
})

it('what a dialog sends are fields of a Decision', () => {
  const body = wish({ namespace: 'shop', target: { kind: 'Environment', name: 'live' }, action: 'Override', reason: 'r', release: 'r1', digest: 'd', gates: ['soak'], revision: 'x', version: '1' })
  for (const key of Object.keys(body)) if (key !== 'namespace') expect(Object.keys(fields)).toContain(key)
})

it('what was not filled in is not sent', () => {
  expect(wish({ namespace: 'shop', target: { kind: 'Rollout', name: 'api' }, action: 'Pause', reason: '', gates: [] })).toEqual({ namespace: 'shop', target: { kind: 'Rollout', name: 'api' }, action: 'Pause' })
})

it.each<[Action, Target, string[], boolean, boolean]>([
  ['Abort', 'Rollout', [], true, false],
  ['Undo', 'Rollout', ['revision'], true, false],
  ['Approve', 'Environment', ['release'], false, false],
  ['Approve', 'Rollout', [], false, false],
  ['Override', 'Environment', ['release', 'gates'], true, true],
  ['Veto', 'Environment', ['release'], true, true],
  ['Cancel', 'PipelineRun', [], true, false],
])('%s of a %s', (action, kind, asks, isGrave, needsReason) => {
  const of = consequence(action, kind)
  expect(of).toMatchObject({ asks, isGrave, needsReason })
  expect(of.what).not.toContain('Makes a Decision')
})

const ready = (reason: string) => ({ conditions: [{ type: 'Ready', status: 'True', reason, message: '', lastTransitionTime: '2027-01-15T08:00:00Z' }] })
const step = { index: 1, of: 2, position: '1/2', startedAt: '2027-01-15T08:00:00Z' }

it('what would do something to a Rollout now', () => {
  const of = (status: object, spec = {}) => [...usefulOnRollout(rollout('api', status, spec))].sort()
  expect(of({ phase: 'Paused', step, ...ready('PauseStep') })).toEqual(['Abort', 'Pause', 'Promote', 'Resume', 'Skip'])
  expect(of({ phase: 'Paused', step: { ...step, until: '2027-01-15T08:10:00Z' }, ...ready('PauseStep') })).toEqual(['Abort', 'Pause', 'Promote', 'Skip'])
  expect(of({ phase: 'Paused', step, ...ready('ApproveStep') })).toEqual(['Abort', 'Approve', 'Pause', 'Promote', 'Reject'])
  expect(of({ phase: 'RolledBack' })).toEqual(['Retry'])
  expect(of({ phase: 'Healthy' })).toEqual(['Undo'])
  expect(of({ phase: 'Healthy' }, { release: {} })).toEqual([])
})

it('what would do something to an Environment or a run now', () => {
  const gates = (...names: string[]) => environment('live', [], { candidate: { release: 'r', gates: names.map((name) => ({ name, state: 'Waiting' })) } })
  expect([...usefulOnEnvironment(gates('approvals'))]).toEqual(['Reject', 'Approve'])
  expect([...usefulOnEnvironment(gates('hold', 'freeze'))]).toEqual(['Reject', 'Override'])
  const stuck = environment('live', [], { conditions: [{ type: 'MigrationsHealthy', status: 'False', reason: 'MigrationStuck', message: '', lastTransitionTime: '2027-01-15T08:00:00Z' }] })
  expect([...usefulOnEnvironment(stuck)]).toEqual(['Retry', 'Migrate'])
  expect([...usefulOnRun(run({ phase: 'Running' }))]).toEqual(['Cancel'])
  expect([...usefulOnRun(run({ phase: 'Failed' }))]).toEqual(['Retry'])
  expect(possibleOnRun(run({ phase: 'Failed' }), ['Approve', 'Cancel', 'Retry'])).toEqual(['Retry'])
  expect(possibleOnRun(run({ phase: 'Running' }), ['Approve', 'Cancel', 'Retry'])).toEqual(['Cancel'])
})

it('the likely Release comes first', () => {
  const of = environment('live', [], { current: [deployed('r1')], lastGood: [deployed('r0')], candidate: { release: 'r2', gates: [] } })
  const all = ['r1', 'r2', 'r3'].map((name, index) => release(name, `2027-01-1${index}T00:00:00Z`))
  expect(releasesFor('Approve', of, all)).toEqual(['r2', 'r3', 'r1'])
  expect(releasesFor('Pin', of, all)[0]).toBe('r1')
  expect(releasesFor('Rollback', of, all)[0]).toBe('r0')
})

it('what a Resume ends is listed, and nothing else', () => {
  const hold = (release: string | undefined, by: string, reason: string) => ({ ...(release ? { release } : {}), by, reason, at: '2027-01-15T08:00:00Z' })
  const all = ['r1', 'r2'].map((name) => release(name, '2027-01-10T00:00:00Z'))
  const none = environment('live', [])
  expect(releasesFor('Resume', none, all)).toEqual([])
  expect(resumed(none, '')).toBe('Nothing is held that would end by this.')

  const one = environment('live', [], { holds: [hold('r9', 'slipway', 'it failed')] })
  expect(releasesFor('Resume', one, all)).toEqual(['r9'])
  expect(resumed(one, 'r9')).toBe('Ends the hold of Release r9 by slipway (it failed).')
  expect(resumed(one, '')).toBe('Nothing is held that would end by this.')

  const both = environment('live', [], { holds: [hold('r9', 'slipway', 'it failed'), hold(undefined, 'olga', '')], pins: [hold('r1', 'ben', 'for the fair')] })
  // The hold of everything is what one is there for.
  expect(releasesFor('Resume', both, all)).toEqual(['', 'r9', 'r1'])
  expect(resumed(both, '')).toBe('Ends the hold of everything by olga, and the pin to Release r1 by ben (for the fair). Another one stays.')
  expect(resumed(both, 'r9')).toBe('Ends the hold of Release r9 by slipway (it failed). 2 others stay.')
  expect(resumed(both, 'r2')).toBe('Nothing of Release r2 is held.')
})
