import { describe, expect, it } from 'vitest'
import { address, backoff, Frames, read } from './stream'

const TEXT = ': here\n\nid: 7\nevent: put\ndata: {"kind":"Rollout",\ndata: "object":{"metadata":{"name":"api","namespace":"shop"}}}\n\nevent: synced\r\ndata: {"kind":"Rollout"}\r\n\r\n'

describe('frames', () => {
  it('are the same wherever the text is cut', () => {
    const whole = new Frames().push(TEXT)
    expect(whole).toHaveLength(2)
    for (let cut = 0; cut <= TEXT.length; cut += 1) {
      const frames = new Frames()
      expect([...frames.push(TEXT.slice(0, cut)), ...frames.push(TEXT.slice(cut))]).toEqual(whole)
    }
    const frames = new Frames()
    expect([...TEXT].flatMap((letter) => frames.push(letter))).toEqual(whole)
  })

  it('have the lines of their data together, and the last id', () => {
    const [put, synced] = new Frames().push(TEXT)
    expect(put).toMatchObject({ event: 'put', id: '7' })
    expect(JSON.parse(put?.data ?? '')).toMatchObject({ object: { metadata: { name: 'api' } } })
    // An id stays until another one comes.
    expect(synced?.id).toBe('7')
  })

  it('forget their id with what is told anew', () => {
    const frames = new Frames()
    frames.push(`${TEXT}event: reset\ndata: {}\n\n`)
    expect(frames.id).toBeUndefined()
    frames.push('event: put\ndata: {}\n\n')
    expect(frames.id).toBeUndefined()
    frames.push('id: 9\nevent: synced\ndata: {}\n\n')
    expect(frames.id).toBe('9')
  })

  it('that are not over yet are none', () => {
    expect(new Frames().push('event: put\ndata: {}\n')).toEqual([])
    expect(new Frames().push(': keep-alive\n\n')).toEqual([])
  })
})

describe('what a frame says', () => {
  const of = (event: string, data: unknown) => read({ event, data: JSON.stringify(data) })

  it('is read', () => {
    expect(of('put', { kind: 'Rollout', object: { metadata: { name: 'api' } } })).toMatchObject({ type: 'put', kind: 'Rollout' })
    expect(of('gone', { kind: 'Rollout', namespace: 'shop', name: 'api', uid: '1' })).toEqual({ type: 'gone', kind: 'Rollout', namespace: 'shop', name: 'api', uid: '1' })
    expect(of('synced', { kind: 'Rollout' })).toEqual({ type: 'synced', kind: 'Rollout' })
    expect(of('trouble', { kind: 'Rollout', reason: 'Forbidden', message: 'no' })).toEqual({ type: 'trouble', kind: 'Rollout', reason: 'Forbidden', message: 'no' })
    expect(read({ event: 'reset', data: '' })).toEqual({ type: 'reset' })
  })

  it('is left out where it is not understood', () => {
    expect(of('later', { kind: 'Rollout' })).toBeUndefined()
    expect(of('put', { kind: 'Rollout' })).toBeUndefined()
    expect(of('put', [])).toBeUndefined()
    expect(read({ event: 'put', data: 'null' })).toBeUndefined()
    expect(read({ event: 'put', data: '{' })).toBeUndefined()
  })
})

describe('waiting before another try', () => {
  it('grows up to half a minute, with some chance', () => {
    expect([1, 2, 3, 4, 5, 6, 100].map((attempt) => backoff(attempt, 0.5))).toEqual([1000, 2000, 4000, 8000, 16000, 30000, 30000])
    expect(backoff(1, 0)).toBe(750)
    expect(backoff(1, 1)).toBe(1250)
  })
})

it('a stream has an address', () => {
  expect(address({ kinds: ['rollouts', 'events'], namespace: 'shop', name: 'api', whole: true })).toBe('api/v1/stream?kinds=rollouts%2Cevents&namespace=shop&name=api&whole=true')
  expect(address({ kinds: ['releases'] })).toBe('api/v1/stream?kinds=releases')
})
