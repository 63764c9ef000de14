// Objects for tests: small, and whole where a test says so.
import type { Environment, Release, Rollout, Run, Thing } from './kinds'

let count = 0

/** Metadata of an object in `shop`, unless it says otherwise. */
export function meta(name: string, namespace = 'shop', createdAt = '2027-01-15T08:00:00Z'): Thing['metadata'] {
  count += 1
  return { name, namespace, uid: `uid-${count}`, creationTimestamp: createdAt, generation: 1 }
}

export function rollout(name: string, status: Partial<NonNullable<Rollout['status']>>, spec: Partial<Rollout['spec']> = {}): Rollout {
  return { metadata: meta(name), spec: spec as Rollout['spec'], status: { observedGeneration: 1, ...status } }
}

export function environment(name: string, from: string[], status: Partial<NonNullable<Environment['status']>> = {}, spec: Partial<Environment['spec']> = {}): Environment {
  return {
    metadata: meta(name),
    spec: { tier: 'Production', promotion: { from: from.length > 0 ? { environments: from } : { pipelines: ['shop'] } }, ...spec } as Environment['spec'],
    status: { observedGeneration: 1, ...status },
  }
}

export function release(name: string, createdAt: string, version?: string): Release {
  return { metadata: meta(name, 'shop', createdAt), spec: { pipeline: 'shop', ...(version ? { version } : {}) } as Release['spec'] }
}

export function run(status: Partial<NonNullable<Run['status']>>, spec: Partial<Run['spec']> = {}): Run {
  return { metadata: meta('shop-1'), spec: { trigger: { kind: 'Push' }, ...spec } as Run['spec'], status: { observedGeneration: 1, ...status } }
}

/** What runs somewhere. */
export const deployed = (release: string, pipeline = 'shop') => ({ pipeline, release, promotion: `p-${release}`, since: '2027-01-15T07:00:00Z', images: [] })

export const NOW = Date.parse('2027-01-15T08:00:00Z')
