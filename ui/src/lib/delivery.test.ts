import { expect, it } from 'vitest'
import { figures, type Figures } from './delivery'

const of = (more: Partial<Figures> = {}): Figures => ({ window: '30d', frequency: { deployments: 24, perDay: '0.8000', band: 'High' }, ...more })
const value = (id: string, more?: Partial<Figures>) => figures(more ? of(more) : undefined).find((figure) => figure.id === id)

it('frequencies are told by the day, the week or the month', () => {
  const rate = (perDay: string) => value('frequency', { frequency: { deployments: 1, perDay, band: 'Low' } })?.value
  expect(rate('2.5000')).toBe('2.5 a day')
  expect(rate('0.8000')).toBe('5.6 a week')
  expect(rate('0.0333')).toBe('1 in 30 days')
})

it('what is not known is a dash, and never a number', () => {
  expect(figures(undefined).map((figure) => figure.value)).toEqual(['–', '–', '–', '–', '–'])
  expect(value('changeFailures', {})).toMatchObject({ value: '–', band: undefined })
  expect(value('changeFailures', { changeFailures: { ratio: '0.0000', count: 0, of: 3, band: 'Elite' } })).toMatchObject({ band: 'Elite', detail: '0 of 3 changes' })
})

it('failures that are not over are told even where none has been repaired', () => {
  expect(value('recoveryTime', { unrecovered: 1 })).toMatchObject({ value: '–', detail: '1 failure not over yet' })
  expect(value('recoveryTime', { unrecovered: 2, recoveryTime: { medianSeconds: 1200, meanSeconds: 1200, count: 1, band: 'Elite' } })).toMatchObject({ value: '20m', detail: 'median of 1 failure, mean 20m; 2 failures not over yet' })
})
