import { test as plain, expect, type Locator, type Page } from '@playwright/test'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { AxeResults } from 'axe-core'
import { world, type Person } from './world.ts'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/** Complaints that are part of a story: a browser notes each answer that says no. */
export const REFUSED = /the server responded with a status of 40[134]/

interface Options {
  /** Complaints of the browser that a story expects. */
  tolerated: RegExp
}

interface Fixtures {
  /** Everything that the browser complained about so far. */
  complaints: string[]
}

/** A story fails with the first complaint of the browser: errors, what the policy of content forbids, what goes elsewhere. */
export const test = plain.extend<Options & Fixtures>({
  tolerated: [/^$/, { option: true }],
  complaints: [
    async ({ page, tolerated }, use) => {
      const complaints: string[] = []
      page.on('pageerror', (error) => complaints.push(`error: ${error.stack ?? error.message}`))
      page.on('console', (message) => {
        if (message.type() === 'error' || message.type() === 'warning') complaints.push(`console: ${message.text()}`)
      })
      page.on('request', (request) => {
        const { protocol, hostname } = new URL(request.url())
        if (protocol.startsWith('http') && hostname !== '127.0.0.1') complaints.push(`request to ${request.url()}`)
      })
      page.on('response', (response) => {
        if (response.status() >= 500) complaints.push(`${response.status()} from ${response.url()}`)
      })
      await page.addInitScript(() => {
        document.addEventListener('securitypolicyviolation', (event) => {
          console.error(`forbidden by ${event.violatedDirective}: ${event.blockedURI} at ${event.sourceFile}:${event.lineNumber}`)
        })
      })
      await use(complaints)
      const left = complaints.filter((complaint) => !tolerated.test(complaint))
      expect(left, 'the browser complains').toEqual([])
    },
    { auto: true },
  ],
})

export { expect, world }

/** Opens a page as somebody, by the dialog that asks for a token. */
export async function open(page: Page, who: Person, hash: string, base = world.cluster): Promise<void> {
  await page.goto(`${base}${hash}`)
  await signIn(page, who)
}

export async function signIn(page: Page, who: Person): Promise<void> {
  await expect(page.getByRole('heading', { level: 1, name: 'Sign in' })).toBeVisible()
  await page.getByLabel('Token').fill(who.token)
  await page.getByRole('button', { name: 'Sign in' }).click()
}

/** Waits until a page is the one of this heading. */
export async function heading(page: Page, name: string): Promise<Locator> {
  const one = page.getByRole('heading', { level: 1 })
  await expect(one).toHaveText(name)
  await expect(page).toHaveTitle(`${name} · Slipway`)
  return one
}

/** The part of a Rollout's page that says why it is where it is. */
export function why(page: Page): Locator {
  return page.getByRole('region', { name: 'Why' })
}

/** Looks at one namespace only. */
export async function choose(page: Page, namespace: string): Promise<void> {
  await page.getByRole('combobox', { name: 'Namespace' }).selectOption(namespace)
}

/** What a checker of accessibility finds to be serious, in words. */
export async function barriers(page: Page): Promise<string[]> {
  await page.evaluate(axe)
  const results: AxeResults = await page.evaluate(() =>
    (window as unknown as { axe: { run(options: object): Promise<AxeResults> } }).axe.run({
      resultTypes: ['violations'],
      runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
    }),
  )
  return results.violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, help, nodes }) => nodes.map(({ target, failureSummary }) => `${id} (${help}) at ${target}: ${failureSummary}`))
}

/** Whether all of a page fits into its width. What is wider scrolls in a box of its own. */
export async function overflow(page: Page): Promise<number> {
  return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
}

/** Keeps a picture; some of them are for the docs. */
export async function picture(page: Page, name: string, forDocs = false): Promise<void> {
  const folders = [process.env.SLIPWAY_SCREENSHOTS ?? '../../target/ui-screenshots']
  if (forDocs && process.env.SLIPWAY_PICTURES) folders.push(process.env.SLIPWAY_PICTURES)
  for (const [index, folder] of folders.entries()) {
    const file = index === 0 ? `${name}.png` : `dashboard-${name}.png`
    await page.screenshot({ path: join(folder, file), fullPage: index === 0, animations: 'disabled' })
  }
}

/** What happens in the trouble: the stage says something, ends, its pods are gone; the alert is over. It has happened when this returns. */
export async function happens(what: 'say' | 'end' | 'clear' | 'calm', text = ''): Promise<void> {
  const answer = await fetch(`${world.trouble.scene}/${what}`, { method: 'POST', body: text })
  expect(answer.status, what).toBe(204)
}

/** Takes an action in its dialog, with a reason. */
export async function decide(page: Page, action: string, what: string, reason: string): Promise<void> {
  await page.getByRole('button', { name: action, exact: true }).first().click()
  const dialog = page.getByRole('dialog', { name: `${action} ${what}` })
  await expect(dialog).toBeVisible()
  await dialog.getByRole('textbox', { name: 'Reason' }).fill(reason)
  await dialog.getByRole('button', { name: action, exact: true }).click()
  await expect(dialog).toBeHidden()
}
