// The picture of a run: stages in layers by what they need. No I/O.
import type { Pipeline, Stage } from './kinds'

/** A stage, or the gates, in their place. */
export interface Node {
  name: string
  /** From left to right. */
  layer: number
  /** From top to bottom. */
  row: number
}

export interface Edge {
  from: string
  to: string
}

export interface Graph {
  nodes: Node[]
  edges: Edge[]
  layers: number
  rows: number
}

/** The name under which the gates stand among the stages. */
export const GATES = ' gates'

const AFTER_GATES = new Set<Stage['type']>(['Sign', 'Tag', 'Publish', 'Release'])
const LAST = new Set<Stage['type']>(['Publish', 'Release'])

type Needs = Pick<Stage, 'name' | 'type'> & { needs?: string[]; always?: boolean }

/** The stages of a run with what they need, as far as the Pipeline says so. */
export function needsOf(stages: readonly Stage[], pipeline: Pipeline | undefined): Needs[] {
  const said = new Map((pipeline?.spec?.stages ?? []).map((stage) => [stage.name, stage]))
  return stages.map((stage) => {
    const of = said.get(stage.name)
    return { name: stage.name, type: stage.type, needs: of?.needs ?? [], always: of?.always ?? false }
  })
}

/** What comes before what: what a stage needs, the gates, what waits for all others. */
function edges(stages: Needs[], hasGates: boolean): Edge[] {
  const names = new Set(stages.map((stage) => stage.name))
  const all: Edge[] = []
  for (const stage of stages) for (const from of stage.needs ?? []) if (names.has(from)) all.push({ from, to: stage.name })
  const usual = stages.filter((stage) => !stage.always)
  const before = usual.filter((stage) => !AFTER_GATES.has(stage.type))
  const after = usual.filter((stage) => AFTER_GATES.has(stage.type))
  if (hasGates && before.length > 0) {
    const isNeeded = new Set(all.filter((edge) => before.some((stage) => stage.name === edge.to)).map((edge) => edge.from))
    for (const stage of before) if (!isNeeded.has(stage.name)) all.push({ from: stage.name, to: GATES })
    for (const stage of after) if (!(stage.needs ?? []).some((need) => after.some((other) => other.name === need))) all.push({ from: GATES, to: stage.name })
  }
  for (const last of after.filter((stage) => LAST.has(stage.type))) {
    for (const stage of after) if (!LAST.has(stage.type) && !(last.needs ?? []).includes(stage.name)) all.push({ from: stage.name, to: last.name })
  }
  return all
}

/** The longest way to each, with what is in a circle where it was found. */
function layers(names: string[], all: Edge[]): Map<string, number> {
  const before = new Map<string, string[]>(names.map((name) => [name, []]))
  for (const edge of all) before.get(edge.to)?.push(edge.from)
  const known = new Map<string, number>()
  const layer = (name: string, trail: ReadonlySet<string>): number => {
    const done = known.get(name)
    if (done !== undefined) return done
    if (trail.has(name)) return 0
    const next = new Set(trail).add(name)
    const found = Math.max(-1, ...(before.get(name) ?? []).map((from) => layer(from, next))) + 1
    known.set(name, found)
    return found
  }
  for (const name of names) layer(name, new Set())
  return known
}

/** Only edges that are not told by a longer way. */
function reduced(all: Edge[]): Edge[] {
  const next = new Map<string, Set<string>>()
  for (const edge of all) next.set(edge.from, (next.get(edge.from) ?? new Set()).add(edge.to))
  const reaches = (from: string, to: string, seen: Set<string>): boolean => {
    if (seen.has(from)) return false
    seen.add(from)
    return [...(next.get(from) ?? [])].some((one) => one === to || reaches(one, to, seen))
  }
  const isShown = (edge: Edge) => ![...(next.get(edge.from) ?? [])].some((other) => other !== edge.to && other !== edge.from && reaches(other, edge.to, new Set([edge.from])))
  const unique = new Map(all.map((edge) => [`${edge.from}\n${edge.to}`, edge]))
  return [...unique.values()].filter(isShown)
}

/** Lays stages out. Rows follow what a stage needs, so that lines cross as little as is cheap to see to. */
export function layout(stages: Needs[], hasGates: boolean): Graph {
  const names = stages.map((stage) => stage.name)
  const all = edges(stages, hasGates)
  if (hasGates && all.some((edge) => edge.to === GATES)) names.push(GATES)
  const at = layers(names, all)
  const last = Math.max(0, ...at.values())
  // What runs whatever happens comes after everything.
  const always = stages.filter((stage) => stage.always)
  for (const stage of always) at.set(stage.name, Math.max(at.get(stage.name) ?? 0, last + (always.length < stages.length ? 1 : 0)))
  const shown = reduced(all)
  const rows = new Map<string, number>()
  const columns: string[][] = []
  for (const name of names) (columns[at.get(name) ?? 0] ??= []).push(name)
  for (const column of columns) {
    const weight = (name: string): number => {
      const from = shown.filter((edge) => edge.to === name).map((edge) => rows.get(edge.from) ?? 0)
      return from.length === 0 ? Number.POSITIVE_INFINITY : from.reduce((sum, row) => sum + row, 0) / from.length
    }
    const order = new Map((column ?? []).map((name, index) => [name, { weight: weight(name), index }]))
    const sorted = [...(column ?? [])].sort((a, b) => {
      const [left, right] = [order.get(a)!, order.get(b)!]
      return left.weight === right.weight ? left.index - right.index : left.weight - right.weight
    })
    sorted.forEach((name, row) => rows.set(name, row))
  }
  const nodes = names.map((name) => ({ name, layer: at.get(name) ?? 0, row: rows.get(name) ?? 0 }))
  return { nodes, edges: shown, layers: columns.length, rows: Math.max(1, ...columns.map((column) => column?.length ?? 0)) }
}
