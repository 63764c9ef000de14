import { describe, expect, it } from 'vitest'
import * as format from './format'

const NOW = Date.parse('2027-01-15T08:00:00Z')

describe('spans', () => {
  it.each([
    [0, '0s'],
    [999, '0s'],
    [45_000, '45s'],
    [190_000, '3m10s'],
    [3_600_000, '1h'],
    [176_400_000, '2d1h'],
    [172_805_000, '2d'],
    [-5, '0s'],
  ])('%d is %s', (milliseconds, text) => expect(format.span(milliseconds)).toBe(text))

  it.each([
    ['15m', 900_000],
    ['1h30m', 5_400_000],
    ['500ms', 500],
    ['7d', 604_800_000],
    ['1.5h', 5_400_000],
    ['soon', undefined],
    ['', undefined],
    ['10', undefined],
  ])('a duration of %s', (text, milliseconds) => expect(format.duration(text)).toBe(milliseconds))
})

describe('a countdown', () => {
  it('tells what is left and how much is over', () => {
    expect(format.countdown('2027-01-15T08:10:00Z', '2027-01-15T07:50:00Z', NOW)).toEqual({ text: '10m', done: 0.5, isOver: false })
  })
  it('rounds up, so that the last second is one', () => {
    expect(format.countdown('2027-01-15T08:00:00.200Z', undefined, NOW)?.text).toBe('1s')
  })
  it('is over when it is', () => {
    expect(format.countdown('2027-01-15T07:59:00Z', '2027-01-15T07:50:00Z', NOW)).toEqual({ text: '0s', done: 1, isOver: true })
  })
  it('is nothing without an end', () => expect(format.countdown('never', undefined, NOW)).toBeUndefined())
})

it('what is past is told roughly', () => {
  expect(format.ago('2027-01-15T07:58:50Z', NOW)).toBe('1m ago')
  expect(format.ago('2027-01-15T08:00:05Z', NOW)).toBe('now')
  expect(format.ago(undefined, NOW)).toBe('–')
  expect(format.took('2027-01-15T07:50:00Z', undefined, NOW)).toBe('10m')
})

it('shares, counts and figures are short', () => {
  expect(format.percent(25)).toBe('25\u00a0%')
  expect(format.percent(12.34)).toBe('12.3\u00a0%')
  expect(format.ratio('0.0833')).toMatch(/^8\.3.%$/)
  expect(format.ratio('-0.2')).toMatch(/^-20.%$/)
  expect(format.ratio(undefined)).toBe('–')
  expect(format.count(1, 'pod')).toBe('1 pod')
  expect(format.count(2, 'person', 'people')).toBe('2 people')
  expect(format.figure('0.99624217')).toBe('0.9962')
  expect(format.figure('many')).toBe('many')
  expect(format.bytes(48_234_496)).toBe('46 MiB')
})

it('names of images, refs and digests are cut', () => {
  expect(format.image('registry.example/shop/api@sha256:91ac02e7b1f491ac')).toBe('api@91ac02e7b1')
  expect(format.image('registry.example:5000/shop/api:v1')).toBe('api:v1')
  expect(format.branch('refs/heads/release/1.x')).toBe('release/1.x')
  expect(format.branch('refs/pull/12/head')).toBe('pull request 12')
  expect(format.short('sha256:0123456789abcdef')).toBe('0123456789ab')
})

it('a sentence begins with a large letter, a name does not', () => {
  expect(format.sentence('stage unit runs')).toBe('Stage unit runs')
  expect(format.sentence('shop-91ac02 waits')).toBe('shop-91ac02 waits')
})

it('a duration is told in its largest units, where nothing of it is lost', () => {
  expect(['604800s', '3600s', '5400s', '15m', '0s'].map(format.lasting)).toEqual(['7d', '1h', '1h30m', '15m', '0s'])
  expect(['1h1m1s', '500ms', 'soon'].map(format.lasting)).toEqual(['1h1m1s', '500ms', 'soon'])
})
