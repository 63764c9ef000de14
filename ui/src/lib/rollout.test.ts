import { describe, expect, it } from 'vitest'
import type { KubeEvent, Rollout } from './kinds'
import { measured, shareIn, spoken, steps, threshold, traffic, wait, watched } from './rollout'
import { meta, NOW, rollout } from './testing'

const canary = { strategy: { type: 'Canary', steps: [{ setWeight: { weight: 10 } }, { pause: { for: '15m' } }, { analyse: { metrics: ['success-rate'], for: '10m' } }, { approve: { required: 2, groups: ['leads'] } }] } } as Partial<Rollout['spec']>
const at = (index: number, of: number) => ({ step: { index, of, position: `${index}/${of}`, startedAt: '2027-01-15T07:55:00Z' } })
const event = (message: string, time: string, reason = 'PauseStep'): KubeEvent => ({ metadata: meta(`api.${time}`), reason, message, eventTime: time })

describe('steps', () => {
  it('say what is done, what is done now, and what is to come', () => {
    expect(steps(rollout('api', at(2, 4), canary)).map((step) => [step.kind, step.state])).toEqual([
      ['setWeight', 'done'],
      ['pause', 'now'],
      ['analyse', 'to come'],
      ['approve', 'to come'],
    ])
  })

  it('have the verdict that the operator adds at the end', () => {
    expect(steps(rollout('api', at(5, 5), canary)).at(-1)).toMatchObject({ text: 'the verdict of every metric', state: 'now' })
  })

  it('of a BlueGreen are those of its preset', () => {
    const spec = { strategy: { type: 'BlueGreen', blueGreen: { prePromotion: [{ run: { name: 'smoke', job: {} } }], promote: { mode: 'Manual' } } } } as unknown as Partial<Rollout['spec']>
    expect(steps(rollout('api', at(3, 5), spec)).map((step) => step.kind)).toEqual(['scale', 'run', 'approve', 'scale', 'setWeight'])
  })

  it('that the spec does not tell of have numbers alone', () => {
    expect(steps(rollout('api', at(1, 3), { strategy: { type: 'Auto' } })).map((step) => step.text)).toEqual(['step 1', 'step 2', 'step 3'])
    expect(steps(rollout('api', at(1, 9), canary))).toHaveLength(9)
  })

  it('are all done once it is healthy', () => {
    expect(steps(rollout('api', { phase: 'Healthy' }, canary)).every((step) => step.state === 'done')).toBe(true)
  })
})

describe('traffic over time', () => {
  it.each([
    ['step 2/6: 25 % to canary, pausing until 08:15:00Z', 'PauseStep', 25],
    ['100 % to canary, all steps done: waiting', 'Promoting', 100],
    ['step 1/2: copies of 20 % to canary', 'RouteStep', undefined],
    ['2221a9 was given up', 'RolledBack', 0],
    ['2 of 3 pods are ready', 'WaitingForPods', undefined],
  ])('%s', (message, reason, share) => expect(shareIn(event(message, '2027-01-15T07:00:00Z', reason))).toBe(share))

  it('is told by Events of before, and by what was seen since', () => {
    const now = rollout('api', { weights: { stable: 75, canary: 25, observed: true } })
    const events = [event('step 2/6: 10 % to canary, pausing', '2027-01-15T07:50:00Z'), event('step 1/6: 5 % to canary', '2027-01-15T07:40:00Z'), event('step 3/6: 25 % to canary', '2027-01-15T07:59:00Z')]
    const seen = watched([], now, Date.parse('2027-01-15T07:58:00Z'))
    expect(traffic(now, events, seen, NOW).map((point) => [new Date(point.at).toISOString().slice(11, 16), point.canary])).toEqual([
      ['07:40', 5],
      ['07:50', 10],
      ['07:58', 25],
      ['08:00', 25],
    ])
  })

  it('begins with nothing where the change is known to have begun', () => {
    const now = rollout('api', { weights: { stable: 90, canary: 10, observed: true }, progress: { change: { startedAt: '2027-01-15T07:30:00Z' } } as never })
    expect(traffic(now, [], watched([], now, NOW), NOW).map((point) => point.canary)).toEqual([0, 10])
  })

  it('is that of the beginning of a step that only waits', () => {
    const of = (reason: string) =>
      rollout('api', {
        ...at(2, 4),
        weights: { stable: 75, canary: 25, observed: true },
        progress: { change: { startedAt: '2027-01-15T07:30:00Z' } } as never,
        conditions: [{ type: 'Ready', status: 'True', reason, message: '', lastTransitionTime: '2027-01-15T07:55:00Z' }],
      })
    const told = (reason: string) => traffic(of(reason), [], watched([], of(reason), NOW), NOW).map((point) => [new Date(point.at).toISOString().slice(11, 16), point.canary])
    expect(told('PauseStep')).toEqual([['07:30', 0], ['07:55', 25], ['08:00', 25]])
    expect(told('SetWeightStep')).toEqual([['07:30', 0], ['08:00', 25]])
  })

  it('is remembered only where it changes, and not without end', () => {
    const now = (canary: number) => rollout('api', { weights: { stable: 100 - canary, canary, observed: true } })
    const one = watched([], now(10), 1)
    expect(watched(one, now(10), 2)).toBe(one)
    let all = one
    for (let index = 0; index < 2_000; index += 1) all = watched(all, now(index % 2), index)
    expect(all.length).toBeLessThanOrEqual(500)
  })

  it('is what it is where nothing is known of before', () => {
    expect(traffic(rollout('api', { weights: { stable: 100, canary: 0, observed: true } }), [], [], NOW).map((point) => point.canary)).toEqual([0, 0])
    expect(traffic(rollout('api', {}), [], [], NOW)).toEqual([])
  })
})

describe('analysis', () => {
  it.each([
    ['value >= 0.99', 0.99],
    ['value < 3e-1', 0.3],
    [' value > -2 ', -2],
    ['value > 1 && value < 2', undefined],
    ['value.p95 < 1', undefined],
    [undefined, undefined],
  ])('the threshold of %s', (text, value) => expect(threshold(text)).toBe(value))

  it('is judged by what is asked of each metric', () => {
    const found = (name: string, passed: number, failed: number) => ({ name, passed, failed, inconclusive: 0, noData: 0, errors: 0, taken: passed + failed })
    const of = rollout(
      'api',
      { analysis: [found('good', 3, 0), found('bad', 3, 2), found('early', 1, 1), found('house', 1, 0)] },
      { analysis: { metrics: [{ name: 'good', minSamples: 3 }, { name: 'bad', failureLimit: 1 }, { name: 'early', minSamples: 3, failureLimit: 1 }, { name: 'none' }] } } as unknown as Partial<Rollout['spec']>,
    )
    expect(measured(of).map((one) => [one.name, one.verdict])).toEqual([
      ['good', 'Good'],
      ['bad', 'Bad'],
      ['early', 'Undecided'],
      ['none', 'Not measured'],
      ['house', 'Good'],
    ])
  })
})

describe('why it waits', () => {
  it('has an end where the step has one, else a deadline', () => {
    const pausing = rollout('api', { phase: 'Paused', message: 'pausing', step: { ...at(2, 4).step, until: '2027-01-15T08:10:00Z' } }, canary)
    expect(wait(pausing)).toMatchObject({ message: 'pausing', until: '2027-01-15T08:10:00Z', deadline: undefined })
    const moving = rollout('api', { phase: 'Progressing', progress: { change: { progressedAt: '2027-01-15T07:59:00Z' } } as never }, { progressDeadlineSeconds: 120 })
    expect(wait(moving).deadline).toBe('2027-01-15T08:01:00.000Z')
  })
})

it('what changes is said aloud, and nothing else', () => {
  const before = rollout('api', { phase: 'Progressing', ...at(1, 4), weights: { stable: 100, canary: 0, observed: true } })
  const after = rollout('api', { phase: 'Paused', ...at(2, 4), weights: { stable: 90, canary: 10, observed: true } })
  expect(spoken(before, after)).toMatch(/^Rollout api: Paused, step 2 of 4, 10.% to canary$/)
  expect(spoken(after, { ...after })).toBeUndefined()
  expect(spoken(undefined, after)).toBeUndefined()
})
