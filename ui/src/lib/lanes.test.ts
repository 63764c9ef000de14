import { describe, expect, it } from 'vitest'
import { chains, journeys, standing, whereRuns } from './lanes'
import { deployed, environment, release } from './testing'

const columns = (all: Parameters<typeof chains>[0]) => chains(all).map((chain) => chain.columns.map((column) => column.map((lane) => lane.environment.metadata.name)))

describe('lanes', () => {
  it('stand in the order of promotion, whatever the order of their names', () => {
    expect(columns([environment('alpha-live', ['staging', 'load-test']), environment('staging', ['dev']), environment('load-test', ['dev']), environment('dev', [])])).toEqual([
      [['dev'], ['load-test', 'staging'], ['alpha-live']],
    ])
  })

  it('stand after the longest way that leads to them', () => {
    expect(columns([environment('c', ['a', 'b']), environment('b', ['a']), environment('a', [])])).toEqual([[['a'], ['b'], ['c']]])
  })

  it('are there when they wait for each other, for themselves, or for nobody there', () => {
    const all = columns([environment('a', ['b']), environment('b', ['a']), environment('c', ['c']), environment('d', ['gone'])])
    expect(all.flat(2).sort()).toEqual(['a', 'b', 'c', 'd'])
  })

  it('are apart by namespace, trouble first', () => {
    const calm = environment('live', [], { phase: 'Steady' })
    const sad = environment('live', [], { phase: 'RollingBack' })
    sad.metadata.namespace = 'zoo'
    expect(chains([calm, sad]).map((chain) => chain.namespace)).toEqual(['zoo', 'shop'])
  })
})

describe('an Environment', () => {
  it('says what runs, what comes, and what waits for what', () => {
    const of = environment('live', [], {
      phase: 'Pending',
      current: [deployed('r1')],
      desired: [deployed('r1')],
      candidate: { release: 'r2', gates: [{ name: 'hold', state: 'Passed' }, { name: 'soak', state: 'Waiting', message: '20m of 1h', until: '2027-01-15T09:00:00Z' }] },
    })
    expect(standing(of)).toMatchObject({ runs: [{ release: 'r1' }], coming: [], waits: { release: 'r2', gate: 'soak', message: '20m of 1h', isFailed: false } })
  })

  it('names a gate that failed before one that waits', () => {
    const of = environment('live', [], { candidate: { release: 'r2', gates: [{ name: 'soak', state: 'Waiting' }, { name: 'evidence', state: 'Failed' }] } })
    expect(standing(of).waits).toMatchObject({ gate: 'evidence', isFailed: true })
  })

  it('has on its way what should run and does not yet', () => {
    const of = environment('live', [], { current: [deployed('r1')], desired: [deployed('r2')], candidate: { release: 'r2', gates: [] } })
    expect(standing(of)).toMatchObject({ coming: [{ release: 'r2' }], waits: undefined })
  })
})

describe('Releases', () => {
  const all = [
    environment('dev', [], { current: [deployed('r3')], desired: [deployed('r3')] }),
    environment('staging', ['dev'], { current: [deployed('r2')], desired: [deployed('r2')], candidate: { release: 'r3', gates: [] } }),
    environment('live', ['staging'], { current: [deployed('r1')], desired: [deployed('r2')], holds: [{ release: 'r0', by: 'slipway', reason: 'x', at: '2027-01-15T08:00:00Z' }] }),
  ]
  const releases = ['r0', 'r1', 'r2', 'r3'].map((name, index) => release(name, `2027-01-1${index}T00:00:00Z`))

  it('move through the lanes', () => {
    const chain = chains(all)[0]!
    const table = journeys(chain, releases).map((one) => [one.release, ...one.places.map((place) => place.place)])
    expect(table).toEqual([
      ['r3', 'runs', 'waits', 'none'],
      ['r2', 'passed', 'runs', 'coming'],
      ['r1', 'passed', 'passed', 'runs'],
      ['r0', 'none', 'none', 'held'],
    ])
  })

  it('that are nowhere are left out, but for the newest of a Pipeline', () => {
    const chain = chains([environment('dev', [])])[0]!
    expect(journeys(chain, releases).map((one) => one.release)).toEqual(['r3'])
  })

  it('are found by where they are', () => {
    const where = whereRuns(all)
    expect(where.get('shop/r2')).toEqual([{ environment: 'staging', place: 'runs' }, { environment: 'live', place: 'coming' }])
    expect(where.get('shop/r0')).toEqual([{ environment: 'live', place: 'held' }])
  })
})
