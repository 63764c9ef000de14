import { describe, expect, it } from 'vitest'
import { burnDown, mishaps, rules, versionOf } from './environment'
import type { Environment, Incident, Promotion, Slo } from './kinds'
import { environment, meta, NOW } from './testing'

describe('rules', () => {
  const spec = {
    protection: { approvals: { required: 2, approvers: [{ group: 'leads', min: 1 }] }, soak: { duration: '4h' }, sources: { branches: ['main'] }, gates: [{ name: 'change', web: { url: 'https://changes.example/api?x' } }], freezes: [{ name: 'hours', kind: 'Allow', maxDeploys: 3 }] },
  } as unknown as Partial<Environment['spec']>

  it('stand in the order in which they are asked, each in words', () => {
    const all = rules(environment('live', ['staging'], {}, spec))
    expect(all.map((rule) => rule.gate)).toEqual(['hold', 'source', 'freeze', 'soak', 'change', 'approvals'])
    expect(all.find((rule) => rule.gate === 'source')?.asks).toBe('It was promoted in staging, built from branch main.')
    expect(all.find((rule) => rule.gate === 'change')?.asks).toBe('changes.example says so.')
    expect(all.at(-1)?.asks).toBe('2 people agree, of group leads (at least 1), not counting who asked for it.')
    expect(all.every((rule) => rule.state === undefined)).toBe(true)
  })

  it('say what they say of the candidate, and none is lost', () => {
    const gates = [{ name: 'soak', state: 'Waiting' as const, message: '1h of 4h', until: '2027-01-15T11:00:00Z' }, { name: 'odd', state: 'Failed' as const }]
    const all = rules(environment('live', ['staging'], { candidate: { release: 'r', gates } }, spec))
    expect(all.find((rule) => rule.gate === 'soak')).toMatchObject({ state: 'Waiting', message: '1h of 4h', until: '2027-01-15T11:00:00Z' })
    expect(all.at(-1)).toMatchObject({ gate: 'odd', state: 'Failed' })
  })
})

describe('the way down of a budget', () => {
  const slo = (more: Partial<Slo>): Slo => ({ name: 'api', state: 'Burning', remainingBudget: '0.5', burnRates: [{ window: '1h', rate: '15' }, { window: '3d', rate: '1' }, { window: '1d', rate: '2' }], ...more })

  it('is counted back from burn rates', () => {
    const burn = burnDown(slo({}), '30d', NOW)!
    expect(burn.points.map((point) => [(NOW - point.at) / 3_600_000, Number(point.left.toFixed(4))])).toEqual([
      [72, 0.6],
      [24, 0.5667],
      [1, 0.5208],
      [0, 0.5],
    ])
    // At fifteen times the rate that lasts 30 days, half of it lasts a day.
    expect((burn.endsAt! - NOW) / 3_600_000).toBeCloseTo(24)
  })

  it('never goes up', () => {
    const burn = burnDown(slo({ burnRates: [{ window: '3d', rate: '0' }, { window: '1h', rate: '100' }] }), '30d', NOW)!
    expect(burn.points.every((point, index) => index === 0 || point.left <= burn.points[index - 1]!.left)).toBe(true)
  })

  it('has no end where it burns slower than it comes back, and is nothing where nothing is known', () => {
    expect(burnDown(slo({ burnRates: [{ window: '1h', rate: '0.2' }] }), '30d', NOW)?.endsAt).toBeUndefined()
    expect(burnDown(slo({ burnRates: [] }), undefined, NOW)).toMatchObject({ points: [{ left: 0.5 }], endsAt: undefined })
    expect(burnDown({ name: 'api', state: 'NoData' }, '30d', NOW)).toBeUndefined()
  })
})

describe('Promotions', () => {
  const incident = (more: Partial<Incident> = {}): Incident => ({ key: 'RolloutFailed', source: 'Failure', message: 'no pod is ready', startedAt: '2027-01-15T07:00:00Z', ...more })
  const promotion = (name: string, status: Partial<NonNullable<Promotion['status']>>): Promotion => ({ metadata: meta(name), spec: { release: `release-of-${name}` } as Promotion['spec'], status })

  it('may have incidents of the same key, and those that are open come first', () => {
    const all = mishaps([promotion('b', { incidents: [incident({ resolvedAt: '2027-01-15T07:30:00Z' })] }), promotion('a', { incidents: [incident()] }), promotion('c', {})], (release) => release.toUpperCase())
    expect(all.map((one) => [one.promotion, one.release, one.key, one.resolvedAt !== undefined])).toEqual([
      ['a', 'RELEASE-OF-A', 'RolloutFailed', false],
      ['b', 'RELEASE-OF-B', 'RolloutFailed', true],
    ])
  })

  it('are read anew when anything of them changes: an incident that is over, an approval, a phase of migrations', () => {
    const over = { phase: 'Failed' as const, finishedAt: '2027-01-15T07:10:00Z' }
    const before = promotion('a', { ...over, incidents: [incident()] })
    expect(versionOf(promotion('a', { ...over, incidents: [incident()] }), 'x')).toBe(versionOf(before, 'y'))
    expect(versionOf(promotion('a', { ...over, incidents: [incident({ resolvedAt: '2027-01-15T07:30:00Z' })] }), 'x')).not.toBe(versionOf(before, 'x'))
    const running = promotion('a', { phase: 'Migrating' })
    expect(versionOf(running, 'validate runs')).not.toBe(versionOf(running, 'run runs'))
    const approvals = [{ decision: 'd', user: 'olga', at: '2027-01-15T07:00:00Z' }]
    expect(versionOf(promotion('a', { phase: 'AwaitingApproval', approvals }), '')).not.toBe(versionOf(promotion('a', { phase: 'AwaitingApproval' }), ''))
  })
})
