// The server's clock, second by second: one for the whole page.

class Clock {
  #ahead = 0
  now = $state(Date.now())

  constructor() {
    setInterval(() => this.tick(), 1_000)
  }

  tick(): void {
    this.now = Date.now() + this.#ahead
  }

  /** What the server's clock says just now. */
  set(text: string): void {
    const at = Date.parse(text)
    if (Number.isNaN(at)) return
    // An answer takes its time to come here: less than that is no difference.
    const ahead = at - Date.now()
    this.#ahead = Math.abs(ahead) < 1_500 ? 0 : ahead
    this.tick()
  }

  /** Now, to the millisecond. */
  exact(): number {
    return Date.now() + this.#ahead
  }
}

export const clock = new Clock()
