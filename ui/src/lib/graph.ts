// The picture of a run: stages in layers by what they need. No I/O.
import type { Pipeline, Stage } from './kinds'

/** A stage, or the gates, in their place. */
export interface Node {
  name: string
  /** From left to right. */
  layer: number
  /** From top to bottom, in heights of a stage with the gap below it. */
  top: number
}

interface Edge {
  from: string
  to: string
}

/** A line, and where it passes by. */
export interface Way extends Edge {
  via: { layer: number; top: number }[]
}

export interface Graph {
  nodes: Node[]
  edges: Way[]
  layers: number
  height: number
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

/** The room of a stage, and that of a line that passes by, in heights of a stage with the gap below it. */
const PASSING = 0.36

interface Slot {
  name: string
  height: number
  from: string[]
}

/** Every stage in its layer; an edge over several layers has a slot of its own in each that it passes, so that no line runs behind a stage. */
function slots(names: string[], shown: Edge[], at: Map<string, number>): { columns: Slot[][]; passes: Map<Edge, string[]> } {
  const columns: Slot[][] = []
  const before = new Map<string, string[]>(names.map((name) => [name, []]))
  const passes = new Map<Edge, string[]>()
  const passing: [number, Slot][] = []
  shown.forEach((edge, index) => {
    let from = edge.from
    const through: string[] = []
    for (let layer = (at.get(edge.from) ?? 0) + 1; layer < (at.get(edge.to) ?? 0); layer += 1) {
      const name = ` ${index} ${layer}`
      passing.push([layer, { name, height: PASSING, from: [from] }])
      through.push(name)
      from = name
    }
    before.get(edge.to)?.push(from)
    passes.set(edge, through)
  })
  for (const name of names) (columns[at.get(name) ?? 0] ??= []).push({ name, height: 1, from: before.get(name) ?? [] })
  for (const [layer, slot] of passing) (columns[layer] ??= []).push(slot)
  return { columns: Array.from(columns, (column) => column ?? []), passes }
}

/** From top to bottom: each slot beside what leads to it, as far as the order of the Pipeline leaves that open. */
function placed(columns: Slot[][]): { tops: Map<string, number>; height: number } {
  const tops = new Map<string, number>()
  let height = 1
  for (const column of columns) {
    const weights = new Map(
      column.map((slot, index) => {
        const above = slot.from.map((name) => tops.get(name)).filter((top) => top !== undefined)
        return [slot.name, { index, weight: above.length === 0 ? Number.POSITIVE_INFINITY : above.reduce((sum, top) => sum + top, 0) / above.length }]
      }),
    )
    const weightOf = (slot: Slot) => weights.get(slot.name)!
    column.sort((a, b) => (weightOf(a).weight === weightOf(b).weight ? weightOf(a).index - weightOf(b).index : weightOf(a).weight - weightOf(b).weight))
    let top = 0
    for (const slot of column) {
      tops.set(slot.name, top)
      top += slot.height
    }
    height = Math.max(height, top)
  }
  return { tops, height }
}

/** Lays stages out: layers by what they need, rows so that lines cross as little as is cheap to see to. */
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
  const { columns, passes } = slots(names, shown, at)
  const { tops, height } = placed(columns)
  const nodes = names.map((name) => ({ name, layer: at.get(name) ?? 0, top: tops.get(name) ?? 0 }))
  const ways = shown.map((edge) => ({
    ...edge,
    via: (passes.get(edge) ?? []).map((name, index) => ({ layer: (at.get(edge.from) ?? 0) + 1 + index, top: tops.get(name) ?? 0 })),
  }))
  return { nodes, edges: ways, layers: columns.length, height }
}
