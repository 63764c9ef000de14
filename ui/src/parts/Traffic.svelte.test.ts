import { flushSync, mount, unmount } from 'svelte'
import { expect, it, vi } from 'vitest'
import { NOW } from '../lib/testing'
import Traffic from './Traffic.svelte'

const drawn = vi.hoisted(() => [] as number[][][])
vi.mock('uplot', () => ({
  default: class {
    static paths = {}
    constructor(_options: object, data: number[][]) {
      drawn.push(data)
    }
    setData = (data: number[][]) => drawn.push(data)
    setSize = () => {}
    destroy = () => {}
  },
}))

it('the picture follows the traffic', async () => {
  const props = $state({ points: [{ at: NOW - 1_000, canary: 0 }, { at: NOW, canary: 25 }], now: NOW })
  const component = mount(Traffic, { target: document.body, props })
  flushSync()
  await vi.waitFor(() => expect(drawn.at(-1)?.at(2)).toEqual([0, 25]))
  props.points = [...props.points, { at: NOW + 1_000, canary: 50 }]
  flushSync()
  expect(drawn.at(-1)?.at(2)).toEqual([0, 25, 50])
  void unmount(component)
})
