import { expect, it } from 'vitest'
import { stale } from './stale'

it('what is shown and not told of any more is named, with the reason', () => {
  const trouble = { reason: 'Unavailable', message: 'the API server does not answer' }
  expect(stale([])).toBeUndefined()
  expect(stale([{ kind: 'Rollout', trouble }])).toBe('What is shown of Rollouts may be out of date: the API server does not answer')
  expect(stale([{ kind: 'PipelineRun', trouble: { reason: 'NotFound', message: '' } }])).toBe('What is shown of runs may be out of date: NotFound')
  expect(stale(['Environment', 'Release', 'Event'].map((kind) => ({ kind: kind as 'Event', trouble })))).toContain('Environments, Releases and Events may')
})
