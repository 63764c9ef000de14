import { expect, it } from 'vitest'
import { fits, visible } from './window'

it('of a thousand rows those in sight are drawn, and the room of all is kept', () => {
  const part = visible(1_000, 44, 10_000, 600)
  expect(part.to - part.from).toBeLessThan(40)
  expect(part.from * 44).toBeLessThan(10_000)
  expect(part.to * 44).toBeGreaterThan(10_600)
  expect(part.before + (part.to - part.from) * 44 + part.after).toBe(44_000)
})

it('holds at both ends, and when the list has become shorter', () => {
  expect(visible(10, 44, 0, 600)).toEqual({ from: 0, to: 10, before: 0, after: 0 })
  expect(visible(0, 44, 500, 600)).toEqual({ from: 0, to: 0, before: 0, after: 0 })
  expect(visible(5, 44, 99_999, 600)).toMatchObject({ to: 5, after: 0 })
})

it('every word has to be there', () => {
  expect(fits('shop/api Paused production', 'PAUSED shop')).toBe(true)
  expect(fits('shop/api Paused', 'paused web')).toBe(false)
  expect(fits('anything', '')).toBe(true)
})
