// How an object stands: what a colour and a sign say beside its own word. The same rules as `kubectl slipway status`. No I/O.
import {
  condition,
  type Environment,
  type EnvironmentPhase,
  type GateVerdict,
  type CandidateGate,
  type PromotionPhase,
  type Rollout,
  type RolloutPhase,
  type Run,
  type RunPhase,
  type Slo,
  type StagePhase,
} from './kinds'

/** `good` is well, `busy` goes on by itself, `wait` needs a person, `bad` has failed, `idle` is nothing of this. */
export type Tone = 'good' | 'busy' | 'wait' | 'bad' | 'idle'

const ROLLOUT: Record<RolloutPhase, Tone> = {
  Pending: 'idle',
  Progressing: 'busy',
  Paused: 'wait',
  Analysing: 'busy',
  Promoting: 'busy',
  Healthy: 'good',
  RollingBack: 'bad',
  RolledBack: 'bad',
  Degraded: 'bad',
}

const ENVIRONMENT: Record<EnvironmentPhase, Tone> = {
  Steady: 'good',
  Pending: 'busy',
  Migrating: 'busy',
  Promoting: 'busy',
  Verifying: 'busy',
  RollingBack: 'bad',
  Held: 'wait',
}

const RUN: Record<RunPhase, Tone> = { Queued: 'idle', Running: 'busy', Succeeded: 'good', Failed: 'bad', Cancelled: 'idle', TimedOut: 'bad' }

export const STAGE: Record<StagePhase, Tone> = {
  Pending: 'idle',
  Running: 'busy',
  Succeeded: 'good',
  Failed: 'bad',
  Skipped: 'idle',
  Cancelled: 'idle',
  TimedOut: 'bad',
}

export const PROMOTION: Record<PromotionPhase, Tone> = {
  Pending: 'idle',
  AwaitingApproval: 'wait',
  Migrating: 'busy',
  Promoting: 'busy',
  Verifying: 'busy',
  Succeeded: 'good',
  Failed: 'bad',
  RolledBack: 'bad',
  Superseded: 'idle',
}

export const SLO: Record<Slo['state'], Tone> = { NoData: 'idle', Met: 'good', Burning: 'wait', Exhausted: 'bad' }
export const VERDICT: Record<GateVerdict['result'], Tone> = { Passed: 'good', Failed: 'bad', Warned: 'wait', Waived: 'idle', NoData: 'bad' }
export const GATE: Record<CandidateGate['state'], Tone> = { Waiting: 'wait', Passed: 'good', Failed: 'bad', Overridden: 'idle' }

/** The order in which things are looked at: what is worst comes first. */
export const URGENCY: Record<Tone, number> = { bad: 0, wait: 1, busy: 2, idle: 3, good: 4 }

const isNews = (of: { metadata: { generation?: number }; status?: { observedGeneration?: number } }): boolean =>
  of.metadata.generation !== undefined && of.status?.observedGeneration !== undefined && of.status.observedGeneration !== of.metadata.generation

/** Of a Rollout. */
export function ofRollout(rollout: Rollout): Tone {
  const phase = rollout.status?.phase
  if (!phase) return 'idle'
  // The spec has changed, and the operator has not looked yet: what is bad may be mended by it, what waits goes on waiting.
  if (isNews(rollout) && phase !== 'Paused') return 'busy'
  if (phase !== 'Paused') return ROLLOUT[phase] ?? 'idle'
  // Lists get no progress; the reason says the same.
  const reason = condition(rollout.status?.conditions, 'Ready')?.reason
  const isHeld = rollout.spec?.paused || rollout.status?.progress?.paused || rollout.status?.progress?.change?.stuck || reason === 'Paused' || reason === 'FailureHeld'
  return rollout.status?.step?.until && !isHeld ? 'busy' : 'wait'
}

const ASKS_PEOPLE = new Set(['approvals', 'hold'])

/** Of an Environment. */
export function ofEnvironment(environment: Environment): Tone {
  const status = environment.status
  const phase = status?.phase
  if (!phase) return 'idle'
  if (phase === 'Steady') {
    return condition(status.conditions, 'LastPromotion')?.status === 'False' ? 'bad' : 'good'
  }
  if (phase !== 'Pending') return ENVIRONMENT[phase] ?? 'idle'
  const open = openGates(environment)
  if (open.some((gate) => gate.state === 'Failed')) return 'bad'
  return open.length > 0 && open.every((gate) => ASKS_PEOPLE.has(gate.name)) ? 'wait' : 'busy'
}

/** The gates that the candidate has not passed. */
export function openGates(environment: Environment): CandidateGate[] {
  return (environment.status?.candidate?.gates ?? []).filter((gate) => gate.state === 'Waiting' || gate.state === 'Failed')
}

/** Whether a run waits until somebody approves it. */
export function waitsForApproval(run: Run): boolean {
  const status = run.status
  const ready = condition(status?.conditions, 'Ready')
  const isOver = status?.phase !== undefined && status.phase !== 'Queued' && status.phase !== 'Running'
  return run.spec?.trigger?.needsApproval === true && !isOver && !status?.startedAt && (ready === undefined || ready.reason === 'AwaitingApproval')
}

/** Of a run. */
export function ofRun(run: Run): Tone {
  if (waitsForApproval(run)) return 'wait'
  const phase = run.status?.phase
  return phase ? (RUN[phase] ?? 'idle') : 'idle'
}

/** The order of Rollouts: those in trouble, those that wait, those under way, the rest; each by name. */
export function byUrgency(left: Rollout, right: Rollout): number {
  return (
    URGENCY[ofRollout(left)] - URGENCY[ofRollout(right)] ||
    left.metadata.namespace.localeCompare(right.metadata.namespace) ||
    left.metadata.name.localeCompare(right.metadata.name)
  )
}
