import { describe, expect, it } from 'vitest'
import { GATES, layout } from './graph'

type Stage = Parameters<typeof layout>[0][number]
const stage = (name: string, type: Stage['type'], needs: string[] = [], always = false): Stage => ({ name, type, needs, always })
const STAGES = [
  stage('lint', 'Lint'),
  stage('unit', 'Test'),
  stage('image', 'Build', ['lint']),
  stage('integration', 'Test', ['image', 'unit']),
  stage('sign', 'Sign', ['image']),
  stage('tag', 'Tag', ['image']),
  stage('release', 'Release'),
  stage('clean-up', 'Custom', [], true),
]
const layersOf = (stages: Stage[], hasGates = true) => Object.fromEntries(layout(stages, hasGates).nodes.map((node) => [node.name, node.layer]))

describe('the picture of a run', () => {
  it('has each stage after all that it needs, the gates between, and what always runs at the end', () => {
    expect(layersOf(STAGES)).toEqual({ lint: 0, unit: 0, image: 1, integration: 2, [GATES]: 3, sign: 4, tag: 4, release: 5, 'clean-up': 6 })
  })

  it('has no line that a longer way tells', () => {
    const { edges } = layout(STAGES, true)
    const lines = edges.map((edge) => `${edge.from}>${edge.to}`)
    expect(lines).not.toContain('image>sign')
    expect(lines).toContain('image>integration')
    expect(new Set(lines).size).toBe(lines.length)
  })

  it('has no two stages in one place, and no line behind a stage', () => {
    const { nodes, edges } = layout(STAGES, true)
    expect(new Set(nodes.map((node) => `${node.layer}/${node.top}`)).size).toBe(nodes.length)
    for (const { via } of edges) {
      for (const point of via) for (const node of nodes.filter((one) => one.layer === point.layer)) expect(point.top < node.top || point.top >= node.top + 1).toBe(true)
    }
    expect(edges.find((edge) => edge.from === 'unit')?.via).toHaveLength(1)
  })

  it('is without gates where there are none, and whole where stages are in a circle or need what is not there', () => {
    expect(layersOf(STAGES, false)).not.toHaveProperty(GATES)
    expect(Object.keys(layersOf([stage('a', 'Test', ['b']), stage('b', 'Test', ['a']), stage('c', 'Test', ['gone'])], false)).sort()).toEqual(['a', 'b', 'c'])
    expect(layout([], true)).toMatchObject({ nodes: [], edges: [], layers: 0 })
  })
})
