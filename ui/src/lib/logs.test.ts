import { expect, it } from 'vitest'
import { hits, Lines, pieces, plain } from './logs'

it('a line is what a terminal shows of it in the end', () => {
  expect(plain('\u001b[32mok\u001b[0m \u001b]8;;https://x\u0007link\u001b]8;;\u0007')).toBe('ok link')
  expect(plain('10 %\r50 %\rdone\r')).toBe('done')
  expect(plain('a\u0000b\tc')).toBe('ab\tc')
})

it('lines are whole however they come', () => {
  const lines = new Lines()
  for (const piece of ['one\ntw', 'o\nth', 'ree']) lines.push(piece)
  expect(lines.all()).toEqual(['one', 'two', 'three'])
})

it('of too many lines the last ones are kept, and the rest counted', () => {
  const lines = new Lines(3)
  lines.push('1\n2\n3\n4\n5\n')
  expect(lines.all()).toEqual(['3', '4', '5'])
  expect(lines.dropped).toBe(2)
})

it('of a line without an end the beginning is kept, or what a progress bar says last', () => {
  const lines = new Lines()
  for (let piece = 0; piece < 20; piece += 1) lines.push('x'.repeat(10_000))
  expect(lines.all()).toEqual([`${'x'.repeat(65_535)}…`])
  lines.push('y\nnext\n')
  expect(lines.all()).toEqual([`${'x'.repeat(65_535)}…`, 'next'])
  for (let percent = 0; percent < 100; percent += 1) lines.push(`${percent} % ${'#'.repeat(1_000)}\r`)
  lines.push('done\n')
  expect(lines.all().at(-1)).toBe('done')
  lines.push(`${'z'.repeat(70_000)}\nlast`)
  expect(lines.all().slice(-2)).toEqual([`${'z'.repeat(65_535)}…`, 'last'])
})

it('what is looked for is found, whatever its case', () => {
  expect(pieces('Error: an error', 'ERROR').map((piece) => [piece.text, piece.isHit])).toEqual([
    ['Error', true],
    [': an ', false],
    ['error', true],
  ])
  expect(pieces('nothing', 'x')).toEqual([{ text: 'nothing', isHit: false }])
  expect(pieces('', 'x')).toEqual([{ text: '', isHit: false }])
  expect(hits(['a', 'Bad', 'b'], 'b')).toEqual([1, 2])
  expect(hits(['a'], '')).toEqual([])
})
