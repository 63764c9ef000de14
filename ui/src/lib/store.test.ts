import { describe, expect, it } from 'vitest'
import type { Thing } from './kinds'
import { Store } from './store'
import type { News } from './stream'

const object = (name: string, uid = name, more: object = {}): Thing => ({ metadata: { name, namespace: 'shop', uid }, spec: more })
const put = (name: string, uid?: string, more?: object): News => ({ type: 'put', kind: 'Rollout', object: object(name, uid, more) })
const gone = (name: string, uid?: string): News => ({ type: 'gone', kind: 'Rollout', namespace: 'shop', name, ...(uid ? { uid } : {}) })
const names = (store: Store) => store.list('Rollout').map((one) => one.metadata.name)

describe('the store', () => {
  it('keeps the last word of each object', () => {
    const store = new Store()
    store.take([put('api', 'a', { of: 1 }), put('web'), put('api', 'a', { of: 2 })])
    expect(names(store)).toEqual(['api', 'web'])
    expect(store.get('Rollout', 'shop', 'api')?.spec).toEqual({ of: 2 })
    store.take([gone('api', 'a')])
    expect(names(store)).toEqual(['web'])
  })

  it('hands out the same list until something of the kind changes', () => {
    const store = new Store()
    store.take([put('api')])
    const list = store.list('Rollout')
    store.take([{ type: 'put', kind: 'Release', object: object('r') }])
    expect(store.list('Rollout')).toBe(list)
    store.take([put('api')])
    expect(store.list('Rollout')).not.toBe(list)
  })

  it('does not take the end of an object for that of the next one under its name', () => {
    const store = new Store()
    store.take([put('api', 'old'), put('api', 'new'), gone('api', 'old')])
    expect(names(store)).toEqual(['api'])
  })

  it('shows what it has after a reset until all is told anew, and drops what is not', () => {
    const store = new Store()
    store.take([put('api'), put('web'), { type: 'synced', kind: 'Rollout' }])
    store.take([{ type: 'reset' }, put('web')])
    expect(names(store)).toEqual(['api', 'web'])
    expect(store.isSynced('Rollout')).toBe(false)
    store.take([{ type: 'synced', kind: 'Rollout' }])
    expect(names(store)).toEqual(['web'])
    expect(store.isSynced('Rollout')).toBe(true)
  })

  it('knows which kind is in trouble, until it is not', () => {
    const store = new Store()
    expect(store.take([{ type: 'trouble', kind: 'Environment', reason: 'Forbidden', message: 'no' }])).toEqual(new Set(['Environment']))
    expect(store.trouble('Environment')).toEqual({ reason: 'Forbidden', message: 'no' })
    expect(store.trouble('Rollout')).toBeUndefined()
    store.take([{ type: 'synced', kind: 'Environment' }])
    expect(store.trouble('Environment')).toBeUndefined()
  })

  it('takes a thousand objects and ten thousand changes in a blink', () => {
    const store = new Store()
    store.take(Array.from({ length: 1_000 }, (_, index) => put(`r${index}`)))
    const begin = performance.now()
    for (let round = 0; round < 100; round += 1) {
      store.take(Array.from({ length: 100 }, (_, index) => put(`r${(round * 7 + index) % 1_000}`)))
      store.list('Rollout')
    }
    expect(performance.now() - begin).toBeLessThan(500)
    expect(store.list('Rollout')).toHaveLength(1_000)
  })
})
