import { flushSync, mount, tick, unmount } from 'svelte'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Action, Target } from '../lib/kinds'
import { session } from '../lib/session.svelte'
import Actions from './Actions.svelte'

let sent: { path: string; method: string; authorization: string | null; body: unknown }[]
let answers: Record<string, () => Response>
let component: ReturnType<typeof mount> | undefined

beforeEach(() => {
  sent = []
  answers = {}
  session.token = 'secret'
  vi.stubGlobal('fetch', async (path: string, init: RequestInit = {}) => {
    const body: unknown = typeof init.body === 'string' ? JSON.parse(init.body) : undefined
    sent.push({ path, method: init.method ?? 'GET', authorization: new Headers(init.headers).get('Authorization'), body })
    return (answers[path] ?? (() => Response.json({ message: 'not here' }, { status: 404 })))()
  })
})

afterEach(() => {
  if (component) void unmount(component)
  component = undefined
  document.body.innerHTML = ''
})

async function show(kind: Target, actions: Action[], more: object = {}) {
  answers[`api/v1/may/${kind === 'Rollout' ? 'rollouts' : kind === 'PipelineRun' ? 'pipelineruns' : 'environments'}/shop/api`] = () => Response.json({ actions })
  component = mount(Actions, { target: document.body, props: { kind, namespace: 'shop', name: 'api', useful: new Set<Action>(), ...more } })
  flushSync()
  await vi.waitFor(() => expect(document.querySelector('button, p')).toBeTruthy())
}

const buttons = () => [...document.querySelectorAll<HTMLButtonElement>('button')].map((button) => button.textContent?.trim())
const press = async (name: string, within: ParentNode = document) => {
  const button = [...within.querySelectorAll<HTMLButtonElement>('button')].find((one) => one.textContent?.trim() === name)
  if (!button) throw new Error(`no button ${name}`)
  button.click()
  flushSync()
  await tick()
}

describe('what one may decide', () => {
  it('are buttons, what would do something first', async () => {
    await show('Rollout', ['Restart', 'Pause', 'Abort', 'Promote'], { useful: new Set<Action>(['Abort']) })
    expect(buttons()).toEqual(['Abort', 'Promote', 'Pause', 'Restart'])
    expect(sent[0]).toMatchObject({ path: 'api/v1/may/rollouts/shop/api', authorization: 'Bearer secret' })
  })

  it('is nothing, and said so', async () => {
    await show('Rollout', [])
    await vi.waitFor(() => expect(document.body.textContent).toContain('decide nothing'))
    expect(buttons()).toEqual([])
  })
})

describe('a dialog', () => {
  it('says what follows, and makes a Decision with the reason', async () => {
    await show('Rollout', ['Abort'])
    answers['api/v1/decisions'] = () => Response.json({ name: 'abort-x7k2p' }, { status: 201 })
    await press('Abort')
    const dialog = document.querySelector('dialog')!
    expect(dialog.getAttribute('aria-label')).toBe('Abort Rollout api')
    expect(dialog.textContent).toContain('all of the traffic goes back to stable')
    const reason = dialog.querySelector('textarea')!
    reason.value = 'orders fail'
    reason.dispatchEvent(new Event('input', { bubbles: true }))
    flushSync()
    dialog.querySelector('form')!.dispatchEvent(new Event('submit', { bubbles: true, cancelable: true }))
    await vi.waitFor(() => expect(sent.at(-1)?.path).toBe('api/v1/decisions'))
    expect(sent.at(-1)).toMatchObject({ method: 'POST', body: { namespace: 'shop', target: { kind: 'Rollout', name: 'api' }, action: 'Abort', reason: 'orders fail' } })
  })

  it('stays with what the server has against it', async () => {
    await show('Rollout', ['Pause'])
    answers['api/v1/decisions'] = () => Response.json({ reason: 'Forbidden', message: 'you may not pause' }, { status: 403 })
    await press('Pause')
    document.querySelector('form')!.dispatchEvent(new Event('submit', { bubbles: true, cancelable: true }))
    await vi.waitFor(() => expect(document.querySelector('[role=alert]')?.textContent).toBe('you may not pause'))
  })

  it('to approve names the Release and the digest that one has seen', async () => {
    await show('Environment', ['Approve'], { releases: () => ['r2', 'r1'], digest: (name: string) => `sha256:${name}` })
    answers['api/v1/decisions'] = () => Response.json({ name: 'x' }, { status: 201 })
    await press('Approve')
    document.querySelector('form')!.dispatchEvent(new Event('submit', { bubbles: true, cancelable: true }))
    await vi.waitFor(() => expect(sent.at(-1)?.body).toEqual({ namespace: 'shop', target: { kind: 'Environment', name: 'api' }, action: 'Approve', release: 'r2', digest: 'sha256:r2' }))
  })

  it('to cancel a run has one button of that name', async () => {
    await show('PipelineRun', ['Cancel'])
    await press('Cancel')
    const names = [...document.querySelectorAll('dialog button')].map((button) => button.textContent?.trim())
    expect(names).toEqual(['Back', 'Cancel'])
  })
})
