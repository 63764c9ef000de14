// Environments in the order in which Releases go through them, and where each Release is. No I/O.
import type { Deployed, Environment, Release } from './kinds'
import { ofEnvironment, openGates, URGENCY } from './standing'

/** An Environment in its place. */
export interface Lane {
  environment: Environment
  /** How many Environments come before it on the longest way. */
  depth: number
  /** Environments of the same namespace that it takes Releases from. */
  from: string[]
}

/** The Environments of a namespace. */
export interface Chain {
  namespace: string
  /** By depth, each in the order of their names. */
  columns: Lane[][]
}

/** Depths by name: those that take from Pipelines are first. Who waits for each other in a circle stays where it was found. */
function depths(environments: Environment[]): Map<string, number> {
  const sources = new Map(environments.map((one) => [one.metadata.name, one.spec?.promotion?.from?.environments ?? []]))
  const known = new Map<string, number>()
  const depth = (name: string, trail: ReadonlySet<string>): number => {
    const done = known.get(name)
    if (done !== undefined) return done
    if (trail.has(name)) return 0
    const next = new Set(trail).add(name)
    const before = (sources.get(name) ?? []).filter((from) => sources.has(from))
    const found = before.length === 0 ? 0 : 1 + Math.max(...before.map((from) => depth(from, next)))
    known.set(name, found)
    return found
  }
  for (const name of [...sources.keys()].sort()) depth(name, new Set())
  return known
}

/** All namespaces; those with something to look at first. */
export function chains(environments: readonly Environment[]): Chain[] {
  const byNamespace = new Map<string, Environment[]>()
  for (const one of environments) {
    const all = byNamespace.get(one.metadata.namespace) ?? []
    all.push(one)
    byNamespace.set(one.metadata.namespace, all)
  }
  const urgency = new Map<string, number>()
  const all = [...byNamespace].map(([namespace, members]): Chain => {
    urgency.set(namespace, Math.min(...members.map((one) => URGENCY[ofEnvironment(one)])))
    const depth = depths(members)
    const columns: Lane[][] = []
    for (const environment of members.sort((a, b) => a.metadata.name.localeCompare(b.metadata.name))) {
      const at = depth.get(environment.metadata.name) ?? 0
      const from = environment.spec?.promotion?.from?.environments ?? []
      ;(columns[at] ??= []).push({ environment, depth: at, from })
    }
    // A circle may leave a depth without anybody.
    return { namespace, columns: Array.from(columns, (column) => column ?? []).filter((column) => column.length > 0) }
  })
  return all.sort((a, b) => (urgency.get(a.namespace) ?? 9) - (urgency.get(b.namespace) ?? 9) || a.namespace.localeCompare(b.namespace))
}

/** What an Environment has, what is on its way, and what waits. */
export interface Standing {
  runs: Deployed[]
  coming: Deployed[]
  waits: { release: string; gate: string | undefined; message: string | undefined; until: string | undefined; isFailed: boolean } | undefined
}

const same = (left: Deployed) => (right: Deployed) => left.pipeline === right.pipeline && left.release === right.release

/** Of an Environment. */
export function standing(environment: Environment): Standing {
  const status = environment.status
  const runs = status?.current ?? []
  const coming = (status?.desired ?? []).filter((wanted) => !runs.some(same(wanted)))
  const candidate = status?.candidate
  const isUnderWay = coming.some((one) => one.release === candidate?.release)
  const open = openGates(environment)
  const gate = open.find((one) => one.state === 'Failed') ?? open[0]
  const waits =
    candidate && !isUnderWay
      ? { release: candidate.release, gate: gate?.name, message: gate?.message, until: gate?.until, isFailed: gate?.state === 'Failed' }
      : undefined
  return { runs, coming, waits }
}

/** Where a Release is in an Environment. */
export type Place = 'runs' | 'coming' | 'waits' | 'held' | 'failed' | 'passed' | 'none'

/** The way of a Release through the Environments of a namespace. */
export interface Journey {
  release: string
  pipeline: string
  version: string | undefined
  createdAt: string | undefined
  places: { environment: string; place: Place }[]
}

const has = (all: Deployed[] | undefined, release: string): Deployed | undefined =>
  all?.find((one) => one.release === release || one.members?.some((member) => member.release === release))

function place(environment: Environment, release: string): Place {
  const status = environment.status
  const candidate = status?.candidate
  const current = has(status?.current, release)
  if (current) return current.failedAt ? 'failed' : 'runs'
  if (has(status?.desired, release)) return 'coming'
  if (status?.holds?.some((hold) => hold.release === release)) return 'held'
  if (candidate && (candidate.release === release || candidate.members?.some((member) => member.release === release))) return 'waits'
  return 'none'
}

/**
 * The Releases that are somewhere, and the newest of each Pipeline, newest first, at most `limit`.
 * A Release that is further on has passed the Environments before.
 */
export function journeys(chain: Chain, releases: readonly Release[], limit = 6): Journey[] {
  const lanes = chain.columns.flat()
  const mine = releases.filter((one) => one.metadata.namespace === chain.namespace)
  const newest = new Set<string>()
  const seen = new Set<string>()
  const sorted = [...mine].sort((a, b) => (b.metadata.creationTimestamp ?? '').localeCompare(a.metadata.creationTimestamp ?? ''))
  for (const one of sorted) {
    if (!seen.has(one.spec?.pipeline)) newest.add(one.metadata.name)
    seen.add(one.spec?.pipeline)
  }
  return sorted
    .map((one): Journey => {
      const places = lanes.map((lane) => ({ environment: lane.environment.metadata.name, place: place(lane.environment, one.metadata.name) }))
      const furthest = Math.max(-1, ...lanes.map((lane, at) => (places[at]?.place === 'none' ? -1 : lane.depth)))
      lanes.forEach((lane, at) => {
        const here = places[at]
        if (here?.place === 'none' && lane.depth < furthest && leads(lanes, lane, places)) here.place = 'passed'
      })
      return {
        release: one.metadata.name,
        pipeline: one.spec?.pipeline ?? '',
        version: one.spec?.version,
        createdAt: one.metadata.creationTimestamp,
        places,
      }
    })
    .filter((journey) => newest.has(journey.release) || journey.places.some((one) => one.place !== 'none'))
    .slice(0, limit)
}

/** Whether an Environment after this one has the Release. */
function leads(lanes: Lane[], lane: Lane, places: { environment: string; place: Place }[]): boolean {
  const name = lane.environment.metadata.name
  return lanes.some((later, at) => {
    const place = places[at]?.place
    const isThere = place === 'runs' || place === 'coming' || place === 'waits'
    return later.from.includes(name) && (isThere || (place !== undefined && later.depth > lane.depth && leads(lanes, later, places)))
  })
}

/** Where Releases are, by their keys: the Environments that have them, get them, wait with them, or hold them. */
export function whereRuns(environments: readonly Environment[]): Map<string, { environment: string; place: Exclude<Place, 'none' | 'passed'> }[]> {
  const all = new Map<string, { environment: string; place: Exclude<Place, 'none' | 'passed'> }[]>()
  for (const environment of environments) {
    const status = environment.status
    const deployed = [...(status?.current ?? []), ...(status?.desired ?? [])].flatMap((one) => [one.release, ...(one.members ?? []).map((member) => member.release)])
    const waiting = [status?.candidate?.release, ...(status?.candidate?.members ?? []).map((member) => member.release), ...(status?.holds ?? []).map((hold) => hold.release)]
    for (const release of new Set([...deployed, ...waiting])) {
      if (!release) continue
      const here = place(environment, release)
      if (here === 'none' || here === 'passed') continue
      const key = `${environment.metadata.namespace}/${release}`
      const list = all.get(key) ?? []
      list.push({ environment: environment.metadata.name, place: here })
      all.set(key, list)
    }
  }
  return all
}
