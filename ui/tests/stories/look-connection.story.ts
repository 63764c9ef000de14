import { connect, createServer, type Server, type Socket } from 'node:net'
import type { AddressInfo } from 'node:net'
import { expect, heading, open, picture, test, world, why } from '../test.ts'

/** A way to the server that can be cut. */
class Wire {
  readonly #sockets = new Set<Socket>()
  #server: Server | undefined
  port = 0

  async join(): Promise<void> {
    const { hostname, port } = new URL(world.cluster)
    this.#server = createServer((from) => {
      const to = connect(Number(port), hostname)
      for (const [one, other] of [[from, to], [to, from]] as const) {
        this.#sockets.add(one)
        one.on('error', () => other.destroy())
        one.on('close', () => (other.destroy(), this.#sockets.delete(one)))
        one.pipe(other)
      }
    })
    await new Promise<void>((joined) => this.#server!.listen(this.port, '127.0.0.1', joined))
    this.port = (this.#server.address() as AddressInfo).port
  }

  async cut(): Promise<void> {
    const closed = new Promise((resolve) => this.#server!.close(resolve))
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }
}

test.use({ tolerated: /net::ERR_|Failed to fetch|network error/i })

test('a connection that is lost is said, what was seen stays, and it comes back by itself', async ({ page }) => {
  const wire = new Wire()
  await wire.join()
  const path = new URL(world.cluster).pathname
  await open(page, world.lead, `#/rollouts/${world.namespace}/api`, `http://127.0.0.1:${wire.port}${path}`)
  await heading(page, 'Rollout api')
  await expect(why(page)).toContainText('PauseStep')
  await wire.cut()
  const banner = page.getByText(/Connection lost, trying again in \d+ s/)
  await expect(banner).toBeVisible()
  await expect(why(page)).toContainText('PauseStep')
  await picture(page, 'connection-lost')
  await wire.join()
  await expect(banner).toBeHidden({ timeout: 40_000 })
  await expect(why(page)).toContainText('PauseStep')
  await page.close()
  await wire.cut()
})
