// How values are written for people. No I/O, and no clock: now is an argument.

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
/** What stands where nothing is known. */
export const UNKNOWN = '–'

/** A point in time in milliseconds; undefined where the text is none. */
export function instant(text: string | null | undefined): number | undefined {
  if (!text) return undefined
  const at = Date.parse(text)
  return Number.isNaN(at) ? undefined : at
}

/** A span in its two largest units: `2d1h`, `3m10s`, `45s`. */
export function span(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / SECOND))
  const parts: [number, string][] = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor((seconds % 86_400) / 3_600), 'h'],
    [Math.floor((seconds % 3_600) / 60), 'm'],
    [seconds % 60, 's'],
  ]
  const first = parts.findIndex(([count]) => count > 0)
  if (first < 0) return '0s'
  const shown = parts.slice(first, first + 2).filter(([count]) => count > 0)
  return shown.map(([count, unit]) => `${count}${unit}`).join('')
}

/** A span in its largest unit alone: `2d`, `3m`. */
export function rough(milliseconds: number): string {
  const all = span(milliseconds)
  return /^\d+[dhms]/.exec(all)?.[0] ?? all
}

/** How long ago, roughly; `now` for the last moments and what is in the future. */
export function ago(text: string | null | undefined, now: number): string {
  const at = instant(text)
  if (at === undefined) return UNKNOWN
  return now - at < 2 * SECOND ? 'now' : `${rough(now - at)} ago`
}

/** How long something took, or has taken so far. */
export function took(from: string | null | undefined, to: string | null | undefined, now: number): string {
  const start = instant(from)
  if (start === undefined) return UNKNOWN
  return span((instant(to) ?? now) - start)
}

/** The length of a duration as Kubernetes and Go write it: `1h30m`, `15m`, `500ms`, `7d`, in milliseconds. */
export function duration(text: string | undefined): number | undefined {
  if (!text) return undefined
  const units: Record<string, number> = { ms: 1, s: SECOND, m: MINUTE, h: HOUR, d: DAY, w: 7 * DAY }
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d|w))+$/.test(text)) return undefined
  let sum = 0
  for (const [, count, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d|w)/g)) {
    sum += Number(count) * (units[unit ?? ''] ?? 0)
  }
  return sum
}

/** A duration as people write it, whatever the API server has made of it: `604800s` is `7d`. */
export function lasting(text: string): string {
  const milliseconds = duration(text)
  const words = span(milliseconds ?? 0)
  return milliseconds !== undefined && duration(words) === milliseconds ? words : text
}

/** What is left of a wait, and how much of it is over, from 0 to 1. */
export interface Left {
  text: string
  done: number
  isOver: boolean
}

/** A wait that ends at `until` and began at `since`, if that is known. */
export function countdown(until: string | undefined, since: string | undefined, now: number): Left | undefined {
  const end = instant(until)
  if (end === undefined) return undefined
  const start = instant(since)
  const left = end - now
  const whole = start === undefined ? undefined : end - start
  const done = whole === undefined || whole <= 0 ? (left <= 0 ? 1 : 0) : Math.min(1, Math.max(0, 1 - left / whole))
  // Rounded up, so that it says `1s` for the last second and `0s` never for long.
  return { text: span(Math.ceil(Math.max(0, left) / SECOND) * SECOND), done, isOver: left <= 0 }
}

const clockTime = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' })
const dayAndTime = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium', hourCycle: 'h23' })
const day = new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' })

/** The time of day where it is of today, else with the day; of the reader's time zone. */
export function clock(text: string | null | undefined, now: number): string {
  const at = instant(text)
  if (at === undefined) return UNKNOWN
  return Math.abs(now - at) < 18 * HOUR ? clockTime.format(at) : day.format(at)
}

/** Day and time in full. */
export function moment(text: string | null | undefined): string {
  const at = instant(text)
  return at === undefined ? UNKNOWN : dayAndTime.format(at)
}

/** A share of 100, with the space that does not break. */
export const percent = (of: number): string => `${Number.isInteger(of) ? of : of.toFixed(1)}\u00a0%`

/** A ratio of 1 as a percentage, with as many digits as matter. */
export function ratio(of: string | number | undefined): string {
  const value = typeof of === 'string' ? Number.parseFloat(of) : of
  if (value === undefined || Number.isNaN(value)) return UNKNOWN
  const share = value * 100
  return percent(Math.abs(share) >= 10 ? Math.round(share) : Math.round(share * 10) / 10)
}

/** A number of things: `1 pod`, `3 pods`. */
export const count = (of: number, one: string, many = `${one}s`): string => `${of} ${of === 1 ? one : many}`

/** The first twelve digits of a digest or of a commit. */
export function short(text: string | undefined, digits = 12): string {
  if (!text) return UNKNOWN
  const [, digest] = text.split('sha256:')
  return (digest ?? text).slice(0, digits)
}

/** An image without its registry, with a short digest or its tag. */
export function image(reference: string): string {
  const [name = '', digest] = reference.split('@')
  const last = name.split('/').pop() ?? name
  return digest ? `${last.split(':')[0]}@${short(digest, 10)}` : last
}

/** A ref without what every ref begins with. */
export const branch = (ref: string | undefined): string => (ref ?? UNKNOWN).replace(/^refs\/(heads|tags)\//, '').replace(/^refs\/pull\/(\d+)\/.*/, 'pull request $1')

/** A size in bytes. */
export function bytes(of: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = of
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${value >= 10 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`
}

/** A measured value, short: at most four digits that matter. */
export function figure(of: string | number | undefined): string {
  if (of === undefined || of === '') return UNKNOWN
  const value = typeof of === 'string' ? Number(of) : of
  if (Number.isNaN(value)) return String(of)
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value)
  return String(Number(value.toPrecision(4)))
}

/** Words of a sentence, with the first letter large; a name at its beginning is left as it is. */
export const sentence = (text: string): string => (/^[a-z]+[ ,:;.]/.test(text) ? text[0]!.toUpperCase() + text.slice(1) : text)
