// What an Environment asks before something comes in, rule by rule, and what its SLOs have used up. No I/O.
import { count, duration, lasting, ratio } from './format'
import type { CandidateGate, Environment, Incident, Promotion, Slo } from './kinds'

/** A rule, what it asks, and what it says of the candidate. */
export interface Rule {
  gate: string
  asks: string
  state: CandidateGate['state'] | undefined
  message: string | undefined
  until: string | undefined
}

type Protection = NonNullable<Environment['spec']['protection']>

const all = (of: readonly string[] | undefined): string => (of ?? []).join(', ')

function sources(environment: Environment): string {
  const from = environment.spec?.promotion?.from
  const rules = environment.spec?.protection?.sources
  const where = from?.environments?.length
    ? `It was promoted in ${from.availability === 'Any' && from.environments.length > 1 ? 'one of ' : ''}${all(from.environments)}`
    : `It comes from ${from?.pipelines?.length === 1 ? 'Pipeline' : 'one of the Pipelines'} ${all(from?.pipelines)}`
  const refs = [rules?.branches?.length ? `branch ${rules.branches.join(' or ')}` : '', rules?.tags?.length ? `tag ${rules.tags.join(' or ')}` : ''].filter(Boolean)
  return refs.length > 0 ? `${where}, built from ${refs.join(' or ')}.` : `${where}.`
}

function budget(of: NonNullable<Protection['errorBudget']>): string {
  const parts = [
    of.minRemaining ? `at least ${ratio(of.minRemaining)} of the error budget is left` : '',
    of.maxBurnRate ? `it burns at most ${of.maxBurnRate} times as fast as it may` : '',
  ].filter(Boolean)
  const words = parts.length > 0 ? parts.join(', and ') : 'some of the error budget is left'
  return `${words[0]?.toUpperCase()}${words.slice(1)}${of.slos?.length ? ` (${all(of.slos)})` : ''}.`
}

function approvals(of: NonNullable<Protection['approvals']>): string {
  const from = (of.approvers ?? []).map((one) => `${one.group ? `group ${one.group}` : (one.user ?? '')}${one.min ? ` (at least ${one.min})` : ''}`)
  const not = [of.preventSelfApproval === false ? '' : 'who asked for it', of.preventAuthorApproval ? 'its authors' : ''].filter(Boolean)
  const parts = [
    `${count(of.required ?? 1, 'person agrees', 'people agree')}`,
    from.length > 0 ? `of ${from.join(', ')}` : '',
    not.length > 0 ? `not counting ${not.join(' and ')}` : '',
    of.validFor ? `an approval counts for ${lasting(of.validFor)}` : '',
  ].filter(Boolean)
  return `${parts.join(', ')}.`
}

function freezes(of: NonNullable<Protection['freezes']>): string {
  const words = of.map((one) => `${one.name} (${one.kind === 'Allow' ? 'only then' : 'not then'}${one.maxDeploys ? `, at most ${one.maxDeploys} promotions` : ''})`)
  return `The time is right: ${words.join(', ')}.`
}

/** The rules that the spec has, in the order in which they are asked. */
function asked(environment: Environment): [string, string][] {
  const protection = environment.spec?.protection ?? {}
  const rules: [string, string | undefined][] = [
    ['hold', 'Nothing is held, vetoed, or pinned to another Release.'],
    ['source', sources(environment)],
    ['signature', protection.requireSigned && `${(protection.requireSigned.statements ?? ['Signature']).join(' and ')} of every image ${(protection.requireSigned.statements ?? []).length > 1 ? 'are' : 'is'} signed by a key or an identity that counts.`],
    ['evidence', protection.evidence?.length ? `Its run has measured enough: ${all(protection.evidence.map((one) => one.name))}.` : undefined],
    ['freeze', protection.freezes?.length ? freezes(protection.freezes) : undefined],
    ['error-budget', protection.errorBudget && budget(protection.errorBudget)],
    ['soak', protection.soak && `It has run well for ${lasting(protection.soak.duration)} in every Environment before this one.`],
    ...(protection.gates ?? []).map((gate): [string, string] => [gate.name, otherSystem(gate)]),
    ['approvals', protection.approvals && approvals(protection.approvals)],
  ]
  return rules.filter((rule): rule is [string, string] => rule[1] !== undefined)
}

function otherSystem(gate: NonNullable<Protection['gates']>[number]): string {
  if (gate.prometheus) return 'A Prometheus server says so.'
  if (gate.web) return `${hostOf(gate.web.url)} says so.`
  if (gate.job) return 'A Job says so.'
  if (gate.object) return `${gate.object.kind} ${gate.object.name} is ${gate.object.condition ?? 'Ready'}.`
  if (gate.commitStatus) return `The provider of the repository says so of its commit (${all(gate.commitStatus.contexts)}).`
  return 'Another system says so.'
}

function hostOf(url: string): string {
  return /^[a-z]+:\/\/([^/?#]+)/i.exec(url)?.[1] ?? url
}

/** Rule by rule, with what is said of the candidate; gates that are asked and stand in no rule come in their place at the end. */
export function rules(environment: Environment): Rule[] {
  const gates = new Map((environment.status?.candidate?.gates ?? []).map((gate) => [gate.name, gate]))
  const told = asked(environment).map(([gate, asks]): Rule => {
    const found = gates.get(gate)
    gates.delete(gate)
    return { gate, asks, state: found?.state, message: found?.message, until: found?.until }
  })
  const rest = [...gates.values()].map((gate): Rule => ({ gate: gate.name, asks: gate.name === 'freeze' ? 'The operator itself takes no break.' : '', state: gate.state, message: gate.message, until: gate.until }))
  return [...told, ...rest]
}

/** What is left of a budget at a time, as a share. */
export interface BudgetPoint {
  at: number
  left: number
}

/** How a budget went down, and when it would be used up. */
export interface BurnDown {
  left: number
  points: BudgetPoint[]
  /** The rate that counts for what comes: that of the last hour, or of the shortest longer window that is known. */
  rate: number | undefined
  /** When nothing is left, if it goes on at that rate. */
  endsAt: number | undefined
}

const WINDOWS: Record<string, number> = { '5m': 300, '30m': 1800, '1h': 3600, '2h': 7200, '6h': 21600, '1d': 86400, '3d': 259200 }

/**
 * The way down, counted back from what is left: a budget that burned r times as fast as it may for a window of w has lost r·w/period of itself in it.
 * Requests that leave the period at its other end are not counted, so it is a little steeper than it was.
 */
export function burnDown(slo: Slo, period: string | undefined, now: number): BurnDown | undefined {
  const left = Number.parseFloat(slo.remainingBudget ?? '')
  if (Number.isNaN(left)) return undefined
  const whole = (duration(period) ?? 30 * 86_400_000) / 1000
  const rates = (slo.burnRates ?? [])
    .map((one) => ({ seconds: WINDOWS[one.window] ?? 0, rate: Number.parseFloat(one.rate) }))
    .filter((one) => one.seconds > 0 && !Number.isNaN(one.rate))
    .sort((a, b) => b.seconds - a.seconds)
  const points: BudgetPoint[] = rates.map(({ seconds, rate }) => ({ at: now - seconds * 1000, left: left + (rate * seconds) / whole }))
  points.push({ at: now, left })
  // A shorter window cannot have burned more than a longer one that contains it.
  for (let index = points.length - 2; index >= 0; index -= 1) points[index]!.left = Math.max(points[index]!.left, points[index + 1]!.left)
  const counts = rates.find((one) => one.seconds === 3600) ?? [...rates].reverse().find((one) => one.seconds > 3600) ?? rates[0]
  const rate = counts?.rate
  const coming = rate && rate > 0 && left > 0 ? now + (left * whole * 1000) / rate : undefined
  // Beyond the period the budget comes back as fast as it goes.
  const endsAt = coming !== undefined && coming - now < whole * 1000 ? coming : undefined
  return { left, points, rate, endsAt }
}

/** An incident, with the Promotion and the Release that it is of: two of them may have the same key for what went wrong. */
export interface Mishap extends Incident {
  promotion: string
  release: string
}

/** All incidents of these Promotions, those that are open first. */
export function mishaps(promotions: readonly Promotion[], label: (release: string) => string): Mishap[] {
  const all = promotions.flatMap((one) => (one.status?.incidents ?? []).map((incident): Mishap => ({ ...incident, promotion: one.metadata.name, release: label(one.spec.release) })))
  return [...all.filter((one) => !one.resolvedAt), ...all.filter((one) => one.resolvedAt)]
}

/**
 * What changes when a Promotion has to be read anew, as a list tells of it. Lists have no migrations; what the Environment says
 * changes with each of their phases.
 */
export function versionOf(promotion: Promotion, says: string | undefined): string {
  const status = promotion.status
  return JSON.stringify([status ?? {}, status?.finishedAt ? '' : (says ?? '')])
}

/** What of a Release's images people agree to: the digest of the first, which an approval may name. */
export const digestOf = (images: { digest: string }[] | undefined): string | undefined => images?.[0]?.digest
