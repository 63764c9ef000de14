// What there is to see of a Rollout: its steps, the way of its traffic, what is measured. No I/O.
import { clock, count, duration, instant, lasting, percent } from './format'
import { condition, type KubeEvent, type Metric, type MetricStatus, type RawStep, type Rollout } from './kinds'
import type { Tone } from './standing'

/** A step of the list. */
export interface Step {
  index: number
  kind: string
  text: string
  state: 'done' | 'now' | 'to come'
}

const list = (of: readonly string[] | undefined): string => (of ?? []).join(', ')

/** A step in words. */
export function said(step: RawStep): { kind: string; text: string } {
  if (step.setWeight) return { kind: 'setWeight', text: `${percent(step.setWeight.weight)} of the traffic to canary` }
  if (step.pause) return { kind: 'pause', text: step.pause.for ? `pause for ${lasting(step.pause.for)}` : 'pause until somebody resumes' }
  if (step.analyse) return { kind: 'analyse', text: `analyse ${list(step.analyse.metrics)}${step.analyse.for ? ` for ${lasting(step.analyse.for)}` : ''}` }
  if (step.scale) return { kind: 'scale', text: `${step.scale.canary} pods of canary` }
  if (step.route) {
    const all = [...(step.route.headers ?? []), ...(step.route.cookies ?? [])].map((match) => `${match.name}=${match.value}`)
    return { kind: 'route', text: all.length > 0 ? `requests with ${list(all)} to canary` : 'no more requests by header or cookie' }
  }
  if (step.mirror) return { kind: 'mirror', text: step.mirror.percent > 0 ? `copies of ${percent(step.mirror.percent)} to canary` : 'no more copies' }
  if (step.approve) {
    const groups = step.approve.groups?.length ? ` of ${step.approve.groups.join(' or ')}` : ''
    return { kind: 'approve', text: `approval by ${count(step.approve.required ?? 1, 'person', 'people')}${groups}` }
  }
  if (step.run) return { kind: 'run', text: `run ${step.run.name}` }
  return { kind: 'step', text: 'a step that this page does not know' }
}

/** The steps that the spec tells of, as the operator compiles them (src/rollout/spec/compile.rs), but for the verdict at the end. */
function told(rollout: Rollout): RawStep[] {
  const strategy = rollout.spec?.strategy
  if (strategy?.type === 'Rolling') return []
  if (strategy?.type !== 'BlueGreen') return strategy?.steps ?? []
  const blueGreen = strategy.blueGreen ?? {}
  const wait: RawStep[] =
    blueGreen.promote?.mode === 'Manual' ? [{ approve: { required: 1 } }] : blueGreen.promote?.after ? [{ pause: { for: blueGreen.promote.after } }] : []
  return [
    { scale: { canary: blueGreen.previewReplicas ?? '100%' } },
    ...((blueGreen.prePromotion ?? []) as RawStep[]),
    ...wait,
    { scale: { canary: '100%' } },
    ...((blueGreen.steps ?? []) as RawStep[]),
    { setWeight: { weight: 100 } },
    ...((blueGreen.postPromotion ?? []) as RawStep[]),
  ]
}

/** The steps with how far they are. What the operator has added at the end is a verdict; where the count is another one, they have numbers alone. */
export function steps(rollout: Rollout): Step[] {
  const at = rollout.status?.step
  const raw = told(rollout)
  const words = raw.map(said)
  if (at) {
    const extra = at.of - words.length
    const verdict = { kind: 'analyse', text: 'the verdict of every metric' }
    const isKnown = rollout.spec?.strategy?.type !== 'Auto'
    if (isKnown && extra === 1) words.push(verdict)
    else if (isKnown && extra === 2) words.push({ kind: 'setWeight', text: `${percent(100)} of the traffic to canary` }, verdict)
    else if (extra !== 0 || !isKnown) words.splice(0, words.length, ...Array.from({ length: at.of }, (_, index) => ({ kind: 'step', text: `step ${index + 1}` })))
  }
  const phase = rollout.status?.phase
  const isOver = !at && (phase === 'Healthy' || phase === 'Promoting')
  return words.map((word, index) => ({
    ...word,
    index: index + 1,
    state: isOver || (at && index + 1 < at.index) ? 'done' : at && index + 1 === at.index ? 'now' : 'to come',
  }))
}

/** The canary's share at a time, in percent. */
export interface Point {
  at: number
  canary: number
}

/** When an Event was seen last. */
export const eventAt = (event: KubeEvent): string | undefined =>
  event.series?.lastObservedTime ?? event.lastTimestamp ?? event.eventTime ?? event.firstTimestamp ?? event.metadata.creationTimestamp

/** When an Event was seen first. */
const eventFrom = (event: KubeEvent): string | undefined => event.firstTimestamp ?? event.eventTime ?? event.metadata.creationTimestamp ?? event.lastTimestamp ?? undefined

/** The share that an Event tells of, if it does. */
export function shareIn(event: KubeEvent): number | undefined {
  const told = /(?:^|[^\d])(\d{1,3}) % to canary/.exec((event.message ?? '').replaceAll('\u00a0', ' '))
  if (told && !/copies of \d+ % to canary/.test(event.message ?? '')) return Math.min(100, Number(told[1]))
  return event.reason === 'RolledBack' || event.reason === 'Healthy' ? 0 : undefined
}

/** The Events of an object, latest first. */
export function latestFirst(events: readonly KubeEvent[]): KubeEvent[] {
  return [...events].sort((a, b) => (instant(eventAt(b)) ?? 0) - (instant(eventAt(a)) ?? 0))
}

/** Why a step waits that leaves the weight as it is. */
const WAITS = new Set(['PauseStep', 'ApproveStep', 'AnalyseStep', 'RunStep'])

/**
 * The way of the traffic: what Events tell of the time before this page looked, then what it has seen itself, up to now.
 * Only where something changes there is a point; the last one is of now.
 */
export function traffic(rollout: Rollout, events: readonly KubeEvent[], seen: readonly Point[], now: number): Point[] {
  const firstSeen = seen[0]?.at ?? Number.POSITIVE_INFINITY
  const points: Point[] = []
  for (const event of events) {
    const canary = shareIn(event)
    const at = instant(eventFrom(event))
    if (canary !== undefined && at !== undefined && at < firstSeen) points.push({ at, canary })
  }
  const began = instant(rollout.status?.progress?.change?.startedAt)
  if (began !== undefined && began < firstSeen && !points.some((point) => point.at <= began)) points.push({ at: began, canary: 0 })
  // Who may not see Events knows at least that what was seen first has been so since this step began.
  const step = instant(rollout.status?.step?.startedAt)
  if (seen[0] && step !== undefined && step < firstSeen && WAITS.has(condition(rollout.status?.conditions, 'Ready')?.reason ?? '')) points.push({ at: step, canary: seen[0].canary })
  points.sort((a, b) => a.at - b.at)
  points.push(...seen)
  const changes = points.filter((point, index) => index === 0 || point.canary !== points[index - 1]?.canary)
  const last = changes.at(-1)
  if (!last) {
    const weights = rollout.status?.weights
    return weights ? [{ at: now - 60_000, canary: weights.canary }, { at: now, canary: weights.canary }] : []
  }
  if (last.at < now) changes.push({ at: now, canary: last.canary })
  return changes
}

/** Adds what was just seen; the list stays as it is when nothing has changed. Bounded. */
export function watched(seen: readonly Point[], rollout: Rollout, now: number): readonly Point[] {
  const canary = rollout.status?.weights?.canary
  if (canary === undefined || seen.at(-1)?.canary === canary) return seen
  return [...seen.slice(-499), { at: now, canary }]
}

/** What is asked of a metric, as lines of a picture. */
export interface Thresholds {
  pass: number | undefined
  fail: number | undefined
}

/** The number in a condition of one comparison: `value >= 0.99`. */
export function threshold(expression: string | undefined): number | undefined {
  const match = /^\s*value\s*(?:>=|<=|>|<)\s*(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*$/.exec(expression ?? '')
  return match?.[1] === undefined ? undefined : Number(match[1])
}

/** A metric with what is asked of it and what was found. */
export interface Measured {
  name: string
  status: MetricStatus | undefined
  pass: string | undefined
  fail: string | undefined
  thresholds: Thresholds
  failureLimit: number
  needed: number
  isDryRun: boolean
  verdict: 'Good' | 'Bad' | 'Undecided' | 'Not measured'
  tone: Tone
}

function verdict(metric: Metric | undefined, status: MetricStatus | undefined): Pick<Measured, 'verdict' | 'tone'> {
  if (!status || (status.taken ?? status.passed + status.failed + status.inconclusive + status.noData + status.errors) === 0) return { verdict: 'Not measured', tone: 'idle' }
  if (status.failed > (metric?.failureLimit ?? 0)) return { verdict: 'Bad', tone: 'bad' }
  if (status.passed >= (metric?.minSamples ?? 1)) return { verdict: 'Good', tone: 'good' }
  return { verdict: 'Undecided', tone: 'busy' }
}

/** What is measured; metrics of templates are known by what was found alone. */
export function measured(rollout: Rollout): Measured[] {
  const metrics = new Map((rollout.spec?.analysis?.metrics ?? []).map((metric) => [metric.name, metric]))
  const found = new Map((rollout.status?.analysis ?? []).map((status) => [status.name, status]))
  return [...new Set([...metrics.keys(), ...found.keys()])].map((name) => {
    const metric = metrics.get(name)
    const status = found.get(name)
    return {
      name,
      status,
      pass: metric?.pass,
      fail: metric?.fail,
      thresholds: { pass: threshold(metric?.pass), fail: threshold(metric?.fail) },
      failureLimit: metric?.failureLimit ?? 0,
      needed: metric?.minSamples ?? 1,
      isDryRun: metric?.dryRun ?? false,
      ...verdict(metric, status),
    }
  })
}

/** Why it is where it is, since when, until when, and when it would be given up. */
export interface Wait {
  reason: string | undefined
  message: string
  since: string | undefined
  until: string | undefined
  /** Without progress until then, the change is given up. */
  deadline: string | undefined
}

/** Of a Rollout. */
export function wait(rollout: Rollout): Wait {
  const status = rollout.status
  const ready = condition(status?.conditions, 'Ready')
  const change = status?.progress?.change
  const isMoving = status?.phase === 'Progressing' || status?.phase === 'Analysing' || status?.phase === 'Promoting'
  const progressed = instant(change?.progressedAt)
  const patience = (rollout.spec?.progressDeadlineSeconds ?? 600) * 1000
  return {
    reason: ready?.reason,
    message: status?.message ?? 'the operator has not looked at it yet',
    since: status?.step?.startedAt ?? ready?.lastTransitionTime,
    until: status?.step?.until,
    deadline: isMoving && !status?.step?.until && progressed !== undefined && !change?.held ? new Date(progressed + patience).toISOString() : undefined,
  }
}

/** What is said aloud when something of it has changed; nothing where that is not worth a word. */
export function spoken(before: Rollout | undefined, after: Rollout): string | undefined {
  if (!before) return undefined
  const said: string[] = []
  if (before.status?.phase !== after.status?.phase) said.push(after.status?.phase ?? 'Pending')
  if (before.status?.step?.position !== after.status?.step?.position && after.status?.step) said.push(`step ${after.status.step.index} of ${after.status.step.of}`)
  if (before.status?.weights?.canary !== after.status?.weights?.canary && after.status?.weights) said.push(`${percent(after.status.weights.canary)} to canary`)
  return said.length > 0 ? `Rollout ${after.metadata.name}: ${said.join(', ')}` : undefined
}

/** The rows of the table beside the picture of the traffic. */
export const trafficRows = (points: readonly Point[], now: number): { at: string; stable: string; canary: string }[] =>
  points.map((point) => ({ at: clock(new Date(point.at).toISOString(), now), stable: percent(100 - point.canary), canary: percent(point.canary) }))

/** The longest interval between two samples that is asked for, to tell how far a picture goes; in milliseconds. */
export const intervalOf = (rollout: Rollout): number => duration(rollout.spec?.analysis?.interval) ?? 30_000
