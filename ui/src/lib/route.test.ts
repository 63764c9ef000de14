import { expect, it } from 'vitest'
import { link, parse, token, withQuery } from './route'

it.each([
  ['', { page: 'overview' }],
  ['#/', { page: 'overview' }],
  ['#/?namespace=shop', { page: 'overview', query: { namespace: 'shop' } }],
  ['#/rollouts/shop/api', { page: 'rollout', namespace: 'shop', name: 'api' }],
  ['#/runs', { page: 'runs' }],
  ['#/runs/shop/shop-7', { page: 'run', namespace: 'shop', name: 'shop-7' }],
  ['#/releases', { page: 'releases' }],
  ['#/releases/shop/r', { page: 'release' }],
  ['#/environments/shop/production', { page: 'environment' }],
  ['#/dora?days=7', { page: 'delivery', query: { days: '7' } }],
  ['#/rollouts/shop', { page: 'missing' }],
  ['#/rollouts/shop/api/more', { page: 'missing' }],
  ['#/elsewhere', { page: 'missing' }],
  ['#/rollouts/shop/%zz', { page: 'rollout', name: '%zz' }],
])('%s', (hash, route) => expect(parse(hash)).toMatchObject(route))

it('links lead to where they say', () => {
  expect(parse(link.run('shop', 'a b/c'))).toMatchObject({ page: 'run', namespace: 'shop', name: 'a b/c' })
})

it('a token is taken out of an address of its own only', () => {
  expect(token('#token=se%2Bcret')).toBe('se+cret')
  expect(token('#/token=secret')).toBe('secret')
  expect(token('#/rollouts/shop/token=x')).toBeUndefined()
  expect(token('')).toBeUndefined()
})

it('words behind the question mark are set and taken away', () => {
  expect(withQuery('#/runs', { namespace: 'shop' })).toBe('#/runs?namespace=shop')
  expect(withQuery('#/runs?namespace=shop&x=1', { namespace: undefined })).toBe('#/runs?x=1')
  expect(withQuery('', { namespace: 'shop' })).toBe('#/?namespace=shop')
})
