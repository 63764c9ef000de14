// What is said of objects that are shown and not told of any more. No I/O.
import type { Kind } from './kinds'
import type { Trouble } from './store'

const MANY: Record<Kind, string> = {
  Rollout: 'Rollouts',
  Environment: 'Environments',
  Pipeline: 'Pipelines',
  PipelineRun: 'runs',
  Release: 'Releases',
  Promotion: 'Promotions',
  Decision: 'Decisions',
  Event: 'Events',
}

/** A kind that is shown as it was, and why. */
export interface Stale {
  kind: Kind
  trouble: Trouble
}

/** One sentence for all of them, with the first reason; none, where everything is as it is told. */
export function stale(of: readonly Stale[]): string | undefined {
  const [first] = of
  if (!first) return undefined
  const names = of.map((one) => MANY[one.kind])
  const last = names.pop() ?? ''
  const list = names.length > 0 ? `${names.join(', ')} and ${last}` : last
  return `What is shown of ${list} may be out of date: ${first.trouble.message || first.trouble.reason}`
}
