import { describe, expect, it } from 'vitest'
import { listen, type Ears, type State, type World } from './connection'
import type { News } from './stream'

const put = (name: string, id: number) => `id: ${id}\nevent: put\ndata: {"kind":"Rollout","object":{"metadata":{"name":"${name}","namespace":"shop"}}}\n\n`

/** A body that says something and then ends, breaks, or goes on. */
function body(text: string, end: 'ends' | 'breaks'): Response {
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (text) {
        controller.enqueue(new TextEncoder().encode(text))
        text = ''
      } else if (end === 'ends') controller.close()
      else controller.error(new Error('cut'))
    },
  })
  return new Response(stream, { status: 200 })
}

/** Plays answers one after the other, on a clock of its own, and stops after the last. */
async function play(answers: (() => Response | Promise<Response>)[], lasts = 0, from?: string) {
  const news: News[] = []
  const states: State[] = []
  const asked: Record<string, string>[] = []
  const waits: number[] = []
  const signedOut: true[] = []
  let at: string | undefined
  let now = 0
  const stop = new AbortController()
  const ears: Ears = {
    news: (some) => news.push(...some),
    state: (state) => states.push(state),
    at: (id) => {
      at = id
    },
    signOut: () => signedOut.push(true),
  }
  const world: World = {
    open: async (_path, headers) => {
      asked.push(headers)
      now += lasts
      const answer = answers.shift()
      if (!answer) {
        stop.abort()
        throw new Error('over')
      }
      return answer()
    },
    wait: async (milliseconds) => {
      waits.push(milliseconds)
      now += milliseconds
      if (answers.length === 0) stop.abort()
    },
    now: () => now,
    chance: () => 0.5,
  }
  await listen({ kinds: ['rollouts', 'events'] }, ears, world, stop.signal, from)
  return { news, states, asked, waits, at, signedOut: signedOut.length }
}

describe('a connection', () => {
  it('resumes after what it heard last', async () => {
    const { news, asked, at } = await play([() => body(put('api', 7), 'breaks'), () => body(put('web', 8), 'breaks')])
    expect(news.map((one) => (one.type === 'put' ? one.object.metadata.name : one.type))).toEqual(['reset', 'api', 'web'])
    expect(asked.map((headers) => headers['Last-Event-ID'])).toEqual([undefined, '7'])
    expect(at).toBe('8')
  })

  it('resumes after an id that came alone', async () => {
    const { asked, news } = await play([() => body(`${put('api', 7)}: keep-alive\nid: 9\n\n`, 'breaks'), () => body('', 'breaks')])
    expect(asked.map((headers) => headers['Last-Event-ID'])).toEqual([undefined, '9'])
    expect(news).toHaveLength(2)
  })

  it('does not count an event that came in half', async () => {
    const { asked } = await play([() => body(`${put('api', 7)}id: 8\nevent: put\ndata: {`, 'breaks'), () => body('', 'breaks')])
    expect(asked[1]?.['Last-Event-ID']).toBe('7')
  })

  it('that cannot be resumed tells everything anew', async () => {
    const say = 'event: synced\ndata: {"kind":"Rollout"}\n\n'
    const { news } = await play([() => body(say, 'breaks'), () => body(say, 'breaks')])
    expect(news.map((one) => one.type)).toEqual(['reset', 'synced', 'reset', 'synced'])
  })

  it('that breaks while everything is told anew is told all of it again', async () => {
    const reset = 'event: reset\ndata: {}\n\n'
    for (const before of [() => body(put('api', 7), 'breaks'), () => body('', 'breaks')]) {
      const { asked, news, at } = await play([before, () => body(`${reset}event: put\ndata: {}\n\n`, 'breaks'), () => body('', 'breaks')], 0, '5')
      expect(asked.at(-1)?.['Last-Event-ID']).toBeUndefined()
      expect(news.filter((one) => one.type === 'reset')).toHaveLength(2)
      expect(at).toBeUndefined()
    }
    // All in one piece, and with the same id as before.
    const { asked } = await play([() => body(`${put('api', 7)}${reset}`, 'breaks'), () => body(put('api', 7), 'breaks'), () => body('', 'breaks')])
    expect(asked.map((headers) => headers['Last-Event-ID'])).toEqual([undefined, undefined, '7'])
  })

  it('goes on where another one was', async () => {
    const { asked } = await play([() => body('', 'breaks')], 0, '41')
    expect(asked[0]?.['Last-Event-ID']).toBe('41')
  })

  it('waits longer each time, and a short time again once it has heard something', async () => {
    const no = () => new Response('', { status: 500 })
    const { waits } = await play([no, no, no, () => body(put('api', 1), 'breaks'), no])
    expect(waits).toEqual([1000, 2000, 4000, 1000, 2000])
  })

  it('waits as long as the server says', async () => {
    const { waits, states } = await play([() => new Response('', { status: 503, headers: { 'Retry-After': '7' } })])
    expect(waits).toEqual([7000])
    expect(states.find((state) => state.kind === 'lost')).toEqual({ kind: 'lost', until: 7000 })
  })

  it('says that it is lost when the network fails', async () => {
    const { states } = await play([
      () => {
        throw new TypeError('network')
      },
    ])
    expect(states.map((state) => state.kind)).toEqual(['connecting', 'lost', 'closed'])
  })

  it('that has held and ends in peace is taken up again at once', async () => {
    const { waits, states } = await play([() => body(put('api', 1), 'ends'), () => body(put('api', 2), 'breaks')], 60_000)
    expect(waits).toEqual([1000])
    expect(states.filter((state) => state.kind === 'lost')).toHaveLength(1)
  })

  it('that breaks after it has held is not waited for longer each time', async () => {
    const { waits } = await play([() => body(': here\n\n', 'breaks'), () => body(': here\n\n', 'breaks')], 60_000)
    expect(waits).toEqual([1000, 1000])
  })

  it('ends the session when the token does not count', async () => {
    const { signedOut, waits } = await play([() => new Response('', { status: 401 })])
    expect(signedOut).toBe(1)
    expect(waits).toEqual([])
  })

  it('that is refused says so for each kind, and asks again after a while', async () => {
    const no = () => Response.json({ reason: 'Forbidden', message: 'you may not' }, { status: 403 })
    const { news, states, waits } = await play([no])
    expect(news).toEqual([
      { type: 'trouble', kind: 'Rollout', reason: 'Forbidden', message: 'you may not' },
      { type: 'trouble', kind: 'Event', reason: 'Forbidden', message: 'you may not' },
    ])
    expect(states.map((state) => state.kind)).toEqual(['connecting', 'refused', 'closed'])
    expect((await play([no, no])).waits).toEqual([30_000, 30_000])
    expect(waits).toEqual([30_000])
  })

  it('is broken by a refusal that is not of the server', async () => {
    const others = [() => new Response('<h1>404</h1>', { status: 404 }), () => Response.json({ message: 'no route' }, { status: 404 }), () => Response.json(null, { status: 403 })]
    const { news, states, waits } = await play([...others, () => body(put('api', 1), 'breaks')])
    expect(waits).toEqual([1000, 2000, 4000, 1000])
    expect(states.map((state) => state.kind)).not.toContain('refused')
    expect(news.map((one) => one.type)).toEqual(['reset', 'put'])
  })
})
