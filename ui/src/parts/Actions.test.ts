import { flushSync, mount, tick, unmount } from 'svelte'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Action, Target } from '../lib/kinds'
import { speaker } from '../lib/place.svelte'
import { session } from '../lib/session.svelte'
import Actions from './Actions.svelte'

let sent: { path: string; method: string; authorization: string | null; body: unknown }[]
let answers: Record<string, () => Response | Promise<Response>>
let component: ReturnType<typeof mount> | undefined

beforeEach(() => {
  sent = []
  answers = {}
  session.token = 'secret'
  speaker.toast = undefined
  vi.stubGlobal('fetch', async (path: string, init: RequestInit = {}) => {
    const body: unknown = typeof init.body === 'string' ? JSON.parse(init.body) : undefined
    sent.push({ path, method: init.method ?? 'GET', authorization: new Headers(init.headers).get('Authorization'), body })
    return (answers[path] ?? (() => Response.json({ message: 'not here' }, { status: 404 })))()
  })
})

afterEach(() => {
  vi.useRealTimers()
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

const submit = () => document.querySelector('form')!.dispatchEvent(new Event('submit', { bubbles: true, cancelable: true }))

describe('what one may decide', () => {
  it('are buttons, what would do something first', async () => {
    await show('Rollout', ['Restart', 'Pause', 'Abort', 'Promote'], { useful: new Set<Action>(['Abort']) })
    expect(buttons()).toEqual(['Abort', 'Promote', 'Pause', 'Restart'])
    expect(sent[0]).toMatchObject({ path: 'api/v1/may/rollouts/shop/api', authorization: 'Bearer secret' })
  })

  it('is asked again, and stays when the server does not answer', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const may = 'api/v1/may/rollouts/shop/api'
    const asked = () => sent.filter((one) => one.path === may).length
    component = mount(Actions, { target: document.body, props: { kind: 'Rollout', namespace: 'shop', name: 'api', useful: new Set<Action>() } })
    answers[may] = () => Response.json({ actions: ['Pause'] })
    flushSync()
    await vi.advanceTimersByTimeAsync(1)
    expect(buttons()).toEqual(['Pause'])
    answers[may] = () => Response.json({}, { status: 503 })
    await vi.advanceTimersByTimeAsync(60_000)
    expect([asked(), buttons()]).toEqual([2, ['Pause']])
    answers[may] = () => Response.json({ actions: [] })
    await vi.advanceTimersByTimeAsync(10_000)
    expect([asked(), buttons()]).toEqual([3, []])
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
    submit()
    await vi.waitFor(() => expect(sent.at(-1)?.path).toBe('api/v1/decisions'))
    expect(sent.at(-1)).toMatchObject({ method: 'POST', body: { namespace: 'shop', target: { kind: 'Rollout', name: 'api' }, action: 'Abort', reason: 'orders fail' } })
  })

  it('stays with what the server has against it', async () => {
    await show('Rollout', ['Pause'])
    answers['api/v1/decisions'] = () => Response.json({ reason: 'Forbidden', message: 'you may not pause' }, { status: 403 })
    await press('Pause')
    answers['api/v1/may/rollouts/shop/api'] = () => Response.json({ actions: ['Abort'] })
    submit()
    await vi.waitFor(() => expect(document.querySelector('[role=alert]')?.textContent).toBe('you may not pause'))
    // What one may is asked anew, without a word of the reason being lost.
    await vi.waitFor(() => expect([...document.querySelectorAll('[role=group] button')].map((button) => button.textContent?.trim())).toEqual(['Abort']))
    expect(document.querySelector('dialog')?.open).toBe(true)
  })

  it('to approve names the Release and the digest that one has seen', async () => {
    await show('Environment', ['Approve'], { releases: () => ['r2', 'r1'], digest: (name: string) => `sha256:${name}` })
    answers['api/v1/decisions'] = () => Response.json({ name: 'x' }, { status: 201 })
    await press('Approve')
    submit()
    await vi.waitFor(() => expect(sent.at(-1)?.body).toEqual({ namespace: 'shop', target: { kind: 'Environment', name: 'api' }, action: 'Approve', release: 'r2', digest: 'sha256:r2' }))
  })

  it('to resume names no Release where everything is held, and says what ends', async () => {
    const props = { useful: new Set<Action>(['Resume']), releases: () => ['', 'r9'], effect: (_: Action, release: string) => `Ends the hold of ${release || 'everything'}.` }
    await show('Environment', ['Resume'], props)
    answers['api/v1/decisions'] = () => Response.json({ name: 'x' }, { status: 201 })
    await press('Resume')
    const dialog = document.querySelector('dialog')!
    expect(dialog.textContent).toContain('Ends the hold of everything.')
    expect([...dialog.querySelectorAll('option')].map((option) => option.value)).toEqual(['', 'r9'])
    submit()
    await vi.waitFor(() => expect(sent.at(-1)?.body).toEqual({ namespace: 'shop', target: { kind: 'Environment', name: 'api' }, action: 'Resume' }))
  })

  it('stays while its Decision is sent', async () => {
    await show('Rollout', ['Pause', 'Abort'])
    let answer: (response: Response) => void = () => {}
    answers['api/v1/decisions'] = () => new Promise<Response>((resolve) => (answer = resolve))
    await press('Pause')
    submit()
    flushSync()
    const dialog = document.querySelector('dialog')!
    await vi.waitFor(() => expect([...dialog.querySelectorAll('button')].map((button) => button.disabled)).toEqual([true, true]))
    for (const event of [new Event('cancel', { cancelable: true }), new KeyboardEvent('keydown', { key: 'Escape', bubbles: true, cancelable: true })]) {
      dialog.dispatchEvent(event)
      expect(event.defaultPrevented).toBe(true)
    }
    answer(Response.json({ name: 'pause-1' }, { status: 201 }))
    await vi.waitFor(() => expect(dialog.open).toBe(false))
    expect(speaker.toast?.text).toBe('Pause: Decision pause-1 was made in your name.')
  })

  it('is not closed by the answer to an earlier one', async () => {
    await show('Rollout', ['Pause', 'Abort'])
    let answer: (response: Response) => void = () => {}
    answers['api/v1/decisions'] = () => new Promise<Response>((resolve) => (answer = resolve))
    await press('Pause')
    submit()
    const dialog = document.querySelector('dialog')!
    // A browser may close it nevertheless.
    dialog.close()
    flushSync()
    await press('Abort')
    answer(Response.json({ message: 'you may not pause' }, { status: 409 }))
    await vi.waitFor(() => expect(speaker.toast).toEqual({ text: 'Pause: you may not pause', tone: 'bad' }))
    expect(dialog.open).toBe(true)
    expect(dialog.querySelector('[role=alert]')).toBeNull()
    expect(dialog.getAttribute('aria-label')).toBe('Abort Rollout api')
  })

  it('to cancel a run has one button of that name', async () => {
    await show('PipelineRun', ['Cancel'])
    await press('Cancel')
    const names = [...document.querySelectorAll('dialog button')].map((button) => button.textContent?.trim())
    expect(names).toEqual(['Back', 'Cancel'])
  })
})
