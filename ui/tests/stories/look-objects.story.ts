import { choose, expect, heading, open, test, world, why } from '../test.ts'

const { namespace } = world
const here = `?namespace=${namespace}`

test('the overview has Environments in their order, and what is in trouble before the rest', async ({ page }) => {
  await open(page, world.lead, '#/')
  await heading(page, 'Overview')
  await choose(page, namespace)
  const main = page.getByRole('main')
  const lane = (name: string) => main.getByRole('article', { name: `Environment ${namespace}/${name}` })
  await expect(lane('staging')).toContainText('1.1.0')
  const production = lane('production')
  await expect(production).toContainText('1.0.0')
  // What waits, and what for.
  await expect(production).toContainText('approvals')
  const [before, after] = await Promise.all([lane('staging').boundingBox(), production.boundingBox()])
  expect(before!.x, 'staging comes first').toBeLessThan(after!.x)
  const rows = main.getByRole('table', { name: 'Rollouts', exact: true }).getByRole('row')
  await expect(rows.filter({ hasText: 'staging-api' })).toBeVisible()
  const order = await rows.allInnerTexts()
  const at = (words: RegExp) => order.findIndex((row) => words.test(row))
  expect(at(/\/checkout\b/), order.join()).toBeLessThan(at(/\/staging-api\b/))
  expect(at(/\/api\b/), order.join()).toBeLessThan(at(/\/staging-api\b/))
  await main.getByRole('searchbox', { name: 'Filter Rollouts' }).fill('check')
  await expect(rows.filter({ hasText: 'staging-api' })).toHaveCount(0)
  await rows.getByRole('link', { name: `${namespace}/checkout` }).click()
  await heading(page, 'Rollout checkout')
})

test('a Rollout says where its traffic goes, what it measures, and why and until when it waits', async ({ page }) => {
  await open(page, world.lead, `#/rollouts/${namespace}/api`)
  await heading(page, 'Rollout api')
  const main = page.getByRole('main')
  await expect(why(page)).toContainText('PauseStep')
  await expect(main.getByText(/\b25\s?%/).first()).toBeVisible()
  // A picture is not for everybody: the same is in a table.
  await expect(main.locator('canvas').first()).toBeVisible()
  await expect(main.getByRole('table', { name: 'Traffic over time' })).toContainText(/25\s?%/)
  // The step that ends by itself is counted down.
  const timer = why(page).getByRole('timer')
  await expect(timer).toContainText(/\b5\d ?m/)
  const before = await timer.innerText()
  await expect(timer).not.toHaveText(before)
  await expect(main.getByText('errors').first()).toBeVisible()
  await expect(main.getByText('value < 0.1').first()).toBeVisible()
  // Four pods of the version that serves, one of the new one.
  const pods = main.getByRole('table', { name: 'Pods' }).getByRole('row')
  await expect(pods.filter({ hasText: 'stable' })).toHaveCount(4)
  await expect(pods.filter({ hasText: 'canary' })).toHaveCount(1)
  const now = main.getByRole('list', { name: 'Steps' }).locator('[aria-current=step]')
  await expect(now).toContainText('pause')
})

test('a Rollout that went back says what was bad', async ({ page }) => {
  await open(page, world.lead, `#/rollouts/${namespace}/checkout`)
  await heading(page, 'Rollout checkout')
  const main = page.getByRole('main')
  await expect(main.getByText('RolledBack').first()).toBeVisible()
  await expect(main.getByText(/AnalysisFailed/).first()).toBeVisible()
  await expect(main.getByText(/samples are bad|last value/).first()).toBeVisible()
})

test('a run has its stages in their order, what they found, and what the gates made of it', async ({ page }) => {
  await open(page, world.lead, `#/runs${here}`)
  await heading(page, 'Runs')
  await page.getByRole('main').getByRole('link', { name: world.run }).first().click()
  await heading(page, `Run ${world.run}`)
  const main = page.getByRole('main')
  for (const words of ['unit', 'image', 'tests', 'Succeeded']) {
    await expect(main.getByText(words, { exact: true }).first(), words).toBeVisible()
  }
  await page.goto(`${world.cluster}#/runs/${namespace}/${world.failedRun}`)
  await heading(page, `Run ${world.failedRun}`)
  await expect(main.getByText('Failed').first()).toBeVisible()
  await expect(main.getByText(/2 of 12|2 failed/).first()).toBeVisible()
  await page.goto(`${world.cluster}#/runs/${namespace}/${world.waitingRun}`)
  await heading(page, `Run ${world.waitingRun}`)
  await expect(main.getByText(/approve/i).first()).toBeVisible()
})

test('a Release has digests, commit and evidence, and says where it is', async ({ page }) => {
  await open(page, world.lead, `#/releases${here}`)
  await heading(page, 'Releases')
  await page.getByRole('main').getByRole('link', { name: '1.0.0' }).first().click()
  await heading(page, 'Release shop-1')
  const main = page.getByRole('main')
  await expect(main.getByText(/sha256:0101/).first()).toBeVisible()
  await expect(main.getByText('Alice').first()).toBeVisible()
  await expect(main.getByRole('link', { name: 'production' }).first()).toBeVisible()
})

test('an Environment has its protection rule by rule, its history, and what waits', async ({ page }) => {
  await open(page, world.lead, `#/environments/${namespace}/production`)
  await heading(page, 'Environment production')
  const main = page.getByRole('main')
  for (const words of ['hold', 'source', 'approvals']) {
    await expect(main.getByText(words, { exact: true }).first(), words).toBeVisible()
  }
  await expect(main.getByText(/0 of 1/).first()).toBeVisible()
  await expect(main.getByText('shop-2').first()).toBeVisible()
  await expect(main.getByText('Succeeded').first()).toBeVisible()
})

test('the figures of deliveries are there for a week, a month and a quarter', async ({ page }) => {
  await open(page, world.lead, `#/dora${here}`)
  await heading(page, 'Delivery')
  const main = page.getByRole('main')
  await expect(main.getByText('production').first()).toBeVisible()
  for (const days of [7, 30, 90]) {
    const choice = main.getByRole('group', { name: 'Window' }).getByRole('button', { name: `${days} days` })
    await choice.click()
    await expect(choice).toHaveAttribute('aria-pressed', 'true')
    await expect(main.getByText('production').first()).toBeVisible()
  }
})
