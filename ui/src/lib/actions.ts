// What people may decide, and what follows from it. No I/O.
import { condition, type Action, type Environment, type Hold, type Release, type Rollout, type Run, type Target } from './kinds'
import { openGates, waitsForApproval } from './standing'

/** What a Decision is asked for besides its reason. */
export type Asks = 'release' | 'gates' | 'revision' | 'version'

/** An action in words. */
export interface Consequence {
  what: string
  /** Whether it is meant to hurt: traffic goes back, something ends. */
  isGrave: boolean
  needsReason: boolean
  asks: Asks[]
}

/** The order in which buttons stand. */
const ORDER: Action[] = ['Approve', 'Reject', 'Promote', 'Resume', 'Skip', 'Pause', 'Abort', 'Rollback', 'Undo', 'Retry', 'Restart', 'Hold', 'Pin', 'Veto', 'Override', 'Cancel', 'Migrate', 'LinkIncident']

export const ordered = (actions: readonly Action[]): Action[] => ORDER.filter((action) => actions.includes(action))

const GRAVE = new Set<Action>(['Abort', 'Reject', 'Veto', 'Rollback', 'Undo', 'Cancel', 'Override'])
const NEEDS_REASON = new Set<Action>(['Veto', 'Override', 'LinkIncident'])

const ROLLOUT: Partial<Record<Action, string>> = {
  Approve: 'Your approval counts for the step that waits for people. The change goes on once there are enough.',
  Reject: 'Gives the change up: all of the traffic goes back to stable.',
  Promote: 'Ends all steps that are left: all of the traffic goes to the canary.',
  Skip: 'Goes on with the next step at once, whatever comes of this one.',
  Pause: 'Holds the change where it is until somebody resumes it. Weights stay as they are.',
  Resume: 'Lets it go on.',
  Abort: 'Gives the change up: all of the traffic goes back to stable, and this revision is not tried again until the spec changes or somebody retries.',
  Retry: 'Tries what failed again, with fresh measurements.',
  Undo: 'Goes back to an earlier revision, without steps. The spec stays as it is.',
  Restart: 'Replaces all pods, one after the other, with as many serving as before.',
}

const ENVIRONMENT: Partial<Record<Action, string>> = {
  Approve: 'Your approval counts once, for exactly this Release and its digest. It starts when there are enough and all other gates have passed.',
  Reject: 'Ends the promotion of this Release here. It is not tried again until somebody retries.',
  Promote: 'Brings this Release here, older ones too. It passes through all gates.',
  Abort: 'Stops the promotion under way: one that waits is over, one that has started goes back.',
  Retry: 'Makes another attempt of what failed, and lifts the hold that the failure left.',
  Rollback: 'Goes back to the Release that was good here before, or to the one named. No gate is asked; what is left is held.',
  Hold: 'No promotion starts here until somebody resumes: of one Release, or of any.',
  Pin: 'No other Release of its Pipeline is promoted here until somebody resumes. What runs stays.',
  Veto: 'Ends the promotion of this Release if it has not started, and holds it until somebody resumes.',
  Override: 'Lets this Release pass the gates that you name, on record, and whoever subscribed is told.',
  Resume: 'Ends a hold or a pin.',
  Migrate: 'Migrates the database, and changes nothing else.',
  LinkIncident: 'Says that the last promotion caused an incident. It counts as a failed change.',
}

const RUN: Partial<Record<Action, string>> = {
  Approve: 'Lets the run of a commit from another repository begin. Look at the commit first: its code runs in this cluster.',
  Reject: 'Ends the run before it has begun.',
  Cancel: 'Stops the run where it is; its Jobs are deleted. Stages that always run still do.',
  Retry: 'Tries the run again in another run, in your name.',
}

const RELEASE_ASKED = new Set<Action>(['Approve', 'Reject', 'Promote', 'Rollback', 'Hold', 'Pin', 'Veto', 'Override', 'Resume', 'Migrate', 'LinkIncident'])

/** What follows from an action, for the dialog. */
export function consequence(action: Action, kind: Target): Consequence {
  const table = kind === 'Rollout' ? ROLLOUT : kind === 'PipelineRun' ? RUN : ENVIRONMENT
  const asks: Asks[] = []
  if (kind === 'Environment' && RELEASE_ASKED.has(action)) asks.push('release')
  if (action === 'Override') asks.push('gates')
  if (action === 'Undo') asks.push('revision')
  if (action === 'Migrate') asks.push('version')
  return { what: table[action] ?? `Makes a Decision ${action} in your name.`, isGrave: GRAVE.has(action), needsReason: NEEDS_REASON.has(action), asks }
}

/** Whether a Release has to be named. */
export const needsRelease = (action: Action): boolean => ['Approve', 'Reject', 'Promote', 'Pin', 'Veto', 'Override'].includes(action)

/** The actions that would do something to a Rollout now: these stand out. */
export function usefulOnRollout(rollout: Rollout): Set<Action> {
  const status = rollout.status
  const progress = status?.progress
  const phase = status?.phase
  const isChanging = progress?.change !== undefined || phase === 'Progressing' || phase === 'Analysing' || phase === 'Paused' || phase === 'Promoting'
  const useful = new Set<Action>()
  const isHeld = progress?.paused !== undefined
  const step = status?.step
  const reason = status?.conditions?.find((one) => one.type === 'Ready')?.reason
  if (isHeld || reason === 'FieldContested') useful.add('Resume')
  if (isChanging && phase !== 'RollingBack') {
    useful.add('Abort')
    if (progress?.change?.stuck) useful.add('Retry').add('Promote')
    else if (!isHeld && !rollout.spec?.paused) useful.add('Pause')
    if (step) useful.add('Promote')
    if (reason === 'ApproveStep') useful.add('Approve').add('Reject')
    else if (reason === 'PauseStep' && !step?.until) useful.add('Resume')
    if (reason === 'PauseStep' || reason === 'AnalyseStep' || reason === 'RunStep') useful.add('Skip')
  } else if (progress?.failed || phase === 'RolledBack') {
    useful.add('Retry')
  } else if (phase === 'Healthy') {
    if (!rollout.spec?.release) useful.add('Undo')
    if (progress?.restart) useful.add('Abort')
  }
  return useful
}

/** The same of an Environment. */
export function usefulOnEnvironment(environment: Environment): Set<Action> {
  const status = environment.status
  const useful = new Set<Action>()
  const open = openGates(environment)
  if (status?.candidate) {
    useful.add('Reject')
    if (open.some((gate) => gate.name === 'approvals')) useful.add('Approve')
    if (open.some((gate) => !['hold', 'source', 'signature', 'approvals'].includes(gate.name))) useful.add('Override')
  }
  if (status?.holds?.some((hold) => !hold.release) || status?.pins?.length || status?.phase === 'Held') useful.add('Resume')
  // Nobody knows what became of the database, and nobody touches it until one of these.
  if (condition(status?.conditions, 'MigrationsHealthy')?.status === 'False') useful.add('Retry').add('Migrate')
  if (status?.phase === 'Promoting' || status?.phase === 'Verifying' || status?.phase === 'Migrating') useful.add('Abort').add('Rollback')
  return useful
}

/** The same of a run. */
export function usefulOnRun(run: Run): Set<Action> {
  const phase = run.status?.phase
  if (waitsForApproval(run)) return new Set<Action>(['Approve', 'Reject'])
  const isOver = phase !== undefined && phase !== 'Queued' && phase !== 'Running'
  return new Set<Action>(isOver ? (phase === 'Succeeded' ? [] : ['Retry']) : ['Cancel'])
}

/** Actions that can have no effect on a run as it is, whatever one may do. */
export function possibleOnRun(run: Run, actions: readonly Action[]): Action[] {
  const phase = run.status?.phase
  const isOver = phase !== undefined && phase !== 'Queued' && phase !== 'Running'
  const isAsked = waitsForApproval(run)
  return actions.filter((action) => (action === 'Retry' ? isOver : action === 'Cancel' ? !isOver : action === 'Approve' || action === 'Reject' ? isAsked : true))
}

/** The Releases that may be named with an action, the likely one first. An empty name is none in particular. */
export function releasesFor(action: Action, environment: Environment, releases: readonly Release[]): string[] {
  const status = environment.status
  const candidate = status?.candidate?.release
  const current = (status?.current ?? []).map((one) => one.release)
  const newest = [...releases]
    .filter((one) => one.metadata.namespace === environment.metadata.namespace)
    .sort((a, b) => (b.metadata.creationTimestamp ?? '').localeCompare(a.metadata.creationTimestamp ?? ''))
    .map((one) => one.metadata.name)
  if (action === 'Resume') {
    const held = [...(status?.holds ?? []), ...(status?.pins ?? [])].map((one) => one.release ?? '')
    // What holds everything comes first, whatever else is held.
    return [...new Set(held)].sort((a, b) => Number(a !== '') - Number(b !== ''))
  }
  const first =
    action === 'Pin' || action === 'LinkIncident'
      ? current
      : action === 'Rollback'
        ? (status?.lastGood ?? []).map((one) => one.release)
        : [candidate]
  return [...new Set([...first, ...newest].filter((name): name is string => Boolean(name)))].slice(0, 60)
}

/** Which holds and pins end with a Resume of this Release, or of none in particular. */
export function resumed(environment: Environment, release: string): string {
  const { holds = [], pins = [] } = environment.status ?? {}
  const why = (one: Hold) => ` by ${one.by}${one.reason ? ` (${one.reason})` : ''}`
  const ended = [
    ...holds.filter((hold) => (hold.release ?? '') === release).map((hold) => `the hold of ${hold.release ? `Release ${hold.release}` : 'everything'}${why(hold)}`),
    // Without a Release it is about the Environment, which then stays at none.
    ...pins.filter((pin) => release === '' || pin.release === release).map((pin) => `the pin to Release ${pin.release}${why(pin)}`),
  ]
  const rest = holds.length + pins.length - ended.length
  if (ended.length === 0) return release ? `Nothing of Release ${release} is held.` : 'Nothing is held that would end by this.'
  return `Ends ${ended.join(', and ')}.${rest > 0 ? ` ${rest === 1 ? 'Another one stays' : `${rest} others stay`}.` : ''}`
}

/** The body of `POST api/v1/decisions`. */
export interface Wish {
  namespace: string
  target: { kind: Target; name: string }
  action: Action
  reason?: string
  release?: string
  digest?: string
  gates?: string[]
  revision?: string
  version?: string
}

/** Leaves out what was not filled in. */
export function wish(of: Wish): Wish {
  return Object.fromEntries(Object.entries(of).filter(([, value]) => value !== undefined && value !== '' && !(Array.isArray(value) && value.length === 0))) as unknown as Wish
}
