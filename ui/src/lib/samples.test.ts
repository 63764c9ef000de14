// What people and the operator really write goes through what pages show of it: every object of tests/data/crd and manifests/samples.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { usefulOnEnvironment, usefulOnRollout, usefulOnRun } from './actions'
import { burnDown, rules } from './environment'
import { layout, needsOf } from './graph'
import type { Environment, Pipeline, Rollout, Run, Stage } from './kinds'
import { chains, standing } from './lanes'
import { measured, steps, traffic, wait } from './rollout'
import { ofEnvironment, ofRollout, ofRun } from './standing'
import { NOW } from './testing'

const root = join(import.meta.dirname, '../../..')
interface Found {
  kind?: string
  metadata?: { name?: string; namespace?: string; uid?: string }
}

const files = readdirSync(join(root, 'manifests/samples')).filter((name) => name.endsWith('.yaml'))
const all = files.flatMap((name) => parseAllDocuments(readFileSync(join(root, 'manifests/samples', name), 'utf8')).map((document) => ({ name, object: document.toJS() as Found })))
const of = (kind: string) => all.filter(({ object }) => object?.kind === kind).map(({ name, object }) => [name, { ...object, metadata: { namespace: 'shop', uid: name, ...object.metadata } }] as const)

it('there are some of each', () => {
  for (const kind of ['Rollout', 'Environment', 'Pipeline', 'PipelineRun']) expect(of(kind).length, kind).toBeGreaterThan(0)
})

describe('every Rollout is shown', () => {
  it.each(of('Rollout'))('%s', (_name, object) => {
    const rollout = object as unknown as Rollout
    for (const step of steps(rollout)) expect(step.text).not.toContain('does not know')
    expect(measured(rollout).length).toBe(rollout.spec.analysis?.metrics?.length ?? 0)
    expect(wait(rollout).message).toBeTruthy()
    expect(traffic(rollout, [], [], NOW)).toEqual([])
    expect([ofRollout(rollout), usefulOnRollout(rollout).size]).toBeTruthy()
  })
})

describe('every Environment is shown', () => {
  it.each(of('Environment'))('%s', (_name, object) => {
    const environment = object as unknown as Environment
    for (const rule of rules(environment)) {
      expect(rule.asks).toBeTruthy()
      expect(rule.asks).not.toMatch(/undefined|NaN|\[object/)
    }
    expect(chains([environment])[0]?.columns).toHaveLength(1)
    expect([standing(environment), ofEnvironment(environment), usefulOnEnvironment(environment)]).toBeTruthy()
    for (const slo of environment.spec.slos ?? []) expect(burnDown({ name: slo.name, state: 'NoData' }, slo.period, NOW)).toBeUndefined()
  })
})

describe('every Pipeline is drawn', () => {
  it.each(of('Pipeline'))('%s', (_name, object) => {
    const pipeline = object as unknown as Pipeline
    const stages = (pipeline.spec.stages ?? []).map((stage): Stage => ({ name: stage.name, type: stage.type ?? 'Custom', phase: 'Pending' }) as Stage)
    const graph = layout(needsOf(stages, pipeline), (pipeline.spec.gates?.length ?? 0) > 0)
    const layer = new Map(graph.nodes.map((node) => [node.name, node.layer]))
    for (const stage of pipeline.spec.stages ?? []) for (const need of stage.needs ?? []) expect(layer.get(stage.name)!).toBeGreaterThan(layer.get(need)!)
    expect(new Set(graph.nodes.map((node) => `${node.layer}/${node.top}`)).size).toBe(graph.nodes.length)
  })
})

it('every run stands somehow', () => {
  for (const [, object] of of('PipelineRun')) expect([ofRun(object as unknown as Run), usefulOnRun(object as unknown as Run)]).toBeTruthy()
})
