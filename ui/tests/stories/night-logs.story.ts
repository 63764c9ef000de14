import type { Locator, Page } from '@playwright/test'
import { REFUSED, barriers, expect, happens, heading, open, picture, test, world } from '../test.ts'

const { namespace, run } = world.trouble
const route = `#/runs/${namespace}/${run}`

/** The stage that the stories are about, chosen in the graph: whoever has chosen one stays there, whatever runs next. */
async function unit(page: Page): Promise<{ stage: Locator; log: Locator }> {
  await heading(page, `Run ${run}`)
  const main = page.getByRole('main')
  const button = main.getByRole('list', { name: 'Stages' }).getByRole('button', { name: /^unit/ })
  await button.click()
  await expect(button).toHaveAttribute('aria-pressed', 'true')
  return { stage: main.getByRole('region', { name: 'Stage unit' }), log: main.getByRole('region', { name: 'Log of unit' }) }
}

const isAtEnd = (log: Locator) => log.evaluate((one) => one.scrollHeight - one.scrollTop - one.clientHeight < 40)

test('what a stage says is there as it says it, and stays when the stage ends', async ({ page }) => {
  await open(page, world.lead, route)
  const { stage, log } = await unit(page)
  await expect(stage.getByText('Running', { exact: true })).toBeVisible()
  await expect(log.getByText('collected 12 items', { exact: true })).toBeVisible()
  await happens('say', 'test_greets \u001b[32mPASSED\u001b[0m\n')
  await expect(log.getByText('test_greets PASSED', { exact: true })).toBeVisible()
  // Of many lines the last is in sight, until somebody looks at others.
  await happens('say', Array.from({ length: 300 }, (_, index) => `step ${index + 1} of 300\n`).join(''))
  await expect(log.getByText('step 300 of 300', { exact: true })).toBeVisible()
  await expect.poll(() => isAtEnd(log)).toBe(true)
  await expect(log.getByText('collected 12 items')).toHaveCount(0)
  await log.evaluate((one) => one.scrollTo(0, 0))
  await expect(stage.getByRole('checkbox', { name: 'follow' })).not.toBeChecked()
  const before = await log.evaluate((one) => one.scrollHeight)
  await happens('say', 'the last line\n')
  await expect.poll(() => log.evaluate((one) => one.scrollHeight)).toBeGreaterThan(before)
  await expect(log.getByText('collected 12 items', { exact: true })).toBeVisible()
  expect(await log.evaluate((one) => one.scrollTop)).toBe(0)
  await stage.getByRole('searchbox', { name: 'Search the log' }).fill('Last Line')
  await expect(stage.getByRole('status')).toHaveText('1 line')
  expect(await barriers(page)).toEqual([])
  await picture(page, 'log')
  await stage.getByRole('searchbox', { name: 'Search the log' }).fill('')

  await happens('end')
  await expect(stage.getByText('Succeeded', { exact: true }).first()).toBeVisible()
  await stage.getByRole('checkbox', { name: 'follow' }).check()
  await expect(log.getByText('the last line', { exact: true })).toBeVisible()
  await expect.poll(() => isAtEnd(log)).toBe(true)
})

test.describe('with fewer rights', () => {
  test.use({ tolerated: REFUSED })

  test('who may not see pods reads of that in place of the log, and of the run all else', async ({ page }) => {
    await open(page, world.trouble.watcher, route)
    const { stage, log } = await unit(page)
    await expect(stage.getByText(/You may not see this log: .*pods is forbidden/)).toBeVisible()
    await expect(log).toHaveCount(0)
    await expect(page.getByRole('main')).toContainText('Test in the open')
    await expect(page.getByRole('main').getByRole('button', { name: /^(Cancel|Retry)$/ })).toHaveCount(0)
    expect(await barriers(page)).toEqual([])
  })

  test('of a run whose pods are gone there is the log that the operator keeps, for those who may have it', async ({ page }) => {
    await happens('clear')
    await page.goto(world.trouble.local)
    await heading(page, 'Overview')
    await page.evaluate((hash) => void (location.hash = hash), route)
    const kept = await unit(page)
    await expect(kept.log.getByText('the last line', { exact: true })).toBeVisible()
    await kept.log.evaluate((one) => one.scrollTo(0, 0))
    await expect(kept.log.getByText('test_greets PASSED', { exact: true })).toBeVisible()
    await picture(page, 'log-kept')
    // It shows that somebody may read here by a token that they may make here.
    await open(page, world.lead, route)
    const refused = await unit(page)
    await expect(refused.log).toContainText('cannot show that you may read what the operator keeps')
    await expect(refused.log).toContainText('serviceaccounts')
    await expect(refused.log.getByText('the last line')).toHaveCount(0)
  })
})
