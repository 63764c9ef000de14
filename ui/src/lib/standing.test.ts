import { expect, it } from 'vitest'
import { byUrgency, ofEnvironment, ofRollout, ofRun, waitsForApproval } from './standing'
import { environment, rollout, run } from './testing'

const step = { index: 2, of: 4, position: '2/4', startedAt: '2027-01-15T08:00:00Z' }

it('a Rollout that pauses for a time goes on by itself, one that does not waits for people', () => {
  expect(ofRollout(rollout('api', { phase: 'Paused', step: { ...step, until: '2027-01-15T08:10:00Z' } }))).toBe('busy')
  expect(ofRollout(rollout('api', { phase: 'Paused', step }))).toBe('wait')
  expect(ofRollout(rollout('api', { phase: 'Paused', step: { ...step, until: '2027-01-15T08:10:00Z' }, progress: { paused: { by: 'olga' } } as never }))).toBe('wait')
  const held = { conditions: [{ type: 'Ready', status: 'True', reason: 'Paused', message: '', lastTransitionTime: '2027-01-15T08:00:00Z' }] }
  expect(ofRollout(rollout('api', { phase: 'Paused', step: { ...step, until: '2027-01-15T08:10:00Z' }, ...held }))).toBe('wait')
  expect(ofRollout(rollout('api', { phase: 'Degraded' }))).toBe('bad')
})

it('a Rollout whose spec is news is looked at soon', () => {
  const of = rollout('api', { phase: 'RolledBack', observedGeneration: 1 })
  of.metadata.generation = 2
  expect(ofRollout(of)).toBe('busy')
})

it('trouble comes first', () => {
  const all = [rollout('a', { phase: 'Healthy' }), rollout('c', { phase: 'RolledBack' }), rollout('b', { phase: 'Progressing' }), rollout('d', { phase: 'Paused' })]
  expect(all.sort(byUrgency).map((one) => one.metadata.name)).toEqual(['c', 'd', 'b', 'a'])
})

it('an Environment waits for people when nothing else stands against what comes', () => {
  const gates = (...all: [string, 'Waiting' | 'Failed' | 'Passed'][]) => environment('live', [], { phase: 'Pending', candidate: { release: 'r', gates: all.map(([name, state]) => ({ name, state })) } })
  expect(ofEnvironment(gates(['soak', 'Passed'], ['approvals', 'Waiting']))).toBe('wait')
  expect(ofEnvironment(gates(['soak', 'Waiting'], ['approvals', 'Waiting']))).toBe('busy')
  expect(ofEnvironment(gates(['evidence', 'Failed'], ['approvals', 'Waiting']))).toBe('bad')
  expect(ofEnvironment(environment('live', [], { phase: 'Steady' }))).toBe('good')
})

it('a run of another repository waits until somebody approves it', () => {
  const asked = { trigger: { kind: 'PullRequest', needsApproval: true } } as never
  expect(waitsForApproval(run({ phase: 'Queued' }, asked))).toBe(true)
  expect(ofRun(run({ phase: 'Queued' }, asked))).toBe('wait')
  expect(waitsForApproval(run({ phase: 'Running', startedAt: '2027-01-15T08:00:00Z' }, asked))).toBe(false)
  expect(waitsForApproval(run({ phase: 'Cancelled' }, asked))).toBe(false)
})
