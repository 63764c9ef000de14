import { expect, it } from 'vitest'
import { area, line, range } from './paths'

const plane = { width: 100, height: 10, x: [0, 10] as [number, number], y: [0, 1] as [number, number] }

it('points become lines and areas, with the least at the bottom', () => {
  expect(line(plane, [[0, 0], [5, 1]])).toBe('M0 10L50 0')
  expect(area(plane, [[0, 0], [5, 1]])).toBe('M0 10L50 0L50 10L0 10Z')
  expect(area(plane, [])).toBe('')
})

it('a range has some room, also around a single value', () => {
  expect(range([])).toEqual([0, 1])
  expect(range([undefined, 5])).toEqual([4.5, 5.5])
  expect(range([0])).toEqual([-0.5, 0.5])
  const [least, most] = range([1, 2])
  expect(least).toBeLessThan(1)
  expect(most).toBeGreaterThan(2)
})
