// Objects as the server hands them out. What is in spec and status comes from crds/ (tools/types.mjs); metadata is cut to what is shown.
// Lists get objects that are cut further: there any field may be missing, so pages ask for every one with `?.`.
import type * as crd from '../generated/kinds'

export interface Meta {
  name: string
  namespace: string
  uid: string
  creationTimestamp?: string
  generation?: number
  deletionTimestamp?: string
  labels?: Record<string, string>
}

/** An object of any kind. */
export interface Thing<Spec = unknown, Status = unknown> {
  metadata: Meta
  spec: Spec
  status?: Status
}

export type Rollout = Thing<crd.RolloutSpec, crd.RolloutStatus>
export type Environment = Thing<crd.EnvironmentSpec, crd.EnvironmentStatus>
export type Pipeline = Thing<crd.PipelineSpec, crd.PipelineStatus>
export type Run = Thing<crd.PipelineRunSpec, crd.PipelineRunStatus>
export type Release = Thing<crd.ReleaseSpec, undefined>
export type Promotion = Thing<crd.PromotionSpec, crd.PromotionStatus>
export type Decision = Thing<crd.DecisionSpec, undefined>

type Status<T extends Thing> = NonNullable<T['status']>
type Item<T> = NonNullable<T> extends (infer U)[] ? U : never

export type RolloutPhase = NonNullable<crd.RolloutStatus['phase']>
export type EnvironmentPhase = NonNullable<crd.EnvironmentStatus['phase']>
export type RunPhase = NonNullable<crd.PipelineRunStatus['phase']>
export type PromotionPhase = NonNullable<crd.PromotionStatus['phase']>
export type Stage = Item<Status<Run>['stages']>
export type Cell = Item<Stage['cells']>
export type StagePhase = Stage['phase']
export type GateVerdict = Item<Status<Run>['gates']>
export type Reports = NonNullable<Stage['reports']>
export type Tests = NonNullable<Status<Run>['tests']>
export type Deployed = Item<Status<Environment>['current']>
export type CandidateGate = Item<NonNullable<Status<Environment>['candidate']>['gates']>
export type Slo = Item<Status<Environment>['slos']>
export type Hold = Item<Status<Environment>['holds']>
export type Incident = Item<Status<Promotion>['incidents']>
export type Migration = NonNullable<Status<Promotion>['migrations']>
export type Metric = Item<NonNullable<crd.RolloutSpec['analysis']>['metrics']>
export type MetricStatus = Item<Status<Rollout>['analysis']>
export type Measurement = Item<MetricStatus['measurements']>
export type RawStep = Item<NonNullable<crd.RolloutSpec['strategy']>['steps']>
export type Ending = Item<Status<Rollout>['history']>
export type Action = crd.DecisionSpec['action']
export type Target = crd.DecisionSpec['target']['kind']

/** An Event of Kubernetes, as core/v1 has it. */
export interface KubeEvent {
  metadata: Meta
  involvedObject?: { kind?: string; name?: string; namespace?: string }
  reason?: string
  message?: string
  type?: string
  count?: number
  firstTimestamp?: string | null
  lastTimestamp?: string | null
  eventTime?: string | null
  series?: { count?: number; lastObservedTime?: string } | null
}

/** A pod of a Rollout, as `api/v1/pods` tells of it. */
export interface Pod {
  name: string
  revision?: string | null
  ready: boolean
  phase?: string | null
  reason?: string | null
  restarts?: number
  node?: string | null
  startedAt?: string | null
}

/** Plural names, as addresses have them. */
export const PLURAL = {
  Rollout: 'rollouts',
  Environment: 'environments',
  Pipeline: 'pipelines',
  PipelineRun: 'pipelineruns',
  Release: 'releases',
  Promotion: 'promotions',
  Decision: 'decisions',
  Event: 'events',
} as const

export type Kind = keyof typeof PLURAL

/** The kinds that have these plural names. */
export const kindsOf = (plurals: readonly string[]): Kind[] => (Object.keys(PLURAL) as Kind[]).filter((kind) => plurals.includes(PLURAL[kind]))

/** The key of an object among those of its kind. */
export const keyOf = (of: { metadata: { namespace?: string; name: string } }): string => `${of.metadata.namespace ?? ''}/${of.metadata.name}`

/** The condition of a type, where there is one. */
export function condition<T extends { type: string }>(conditions: T[] | undefined, type: string): T | undefined {
  return conditions?.find((one) => one.type === type)
}
