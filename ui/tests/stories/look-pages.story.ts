import { barriers, expect, heading, open, overflow, picture, test, world } from '../test.ts'

const { namespace, run } = world
const here = `?namespace=${namespace}`
const pages: [string, string, string, string][] = [
  // name of its picture, route, heading, something that is there once data is
  ['overview', `#/${here}`, 'Overview', 'production'],
  ['rollout', `#/rollouts/${namespace}/api`, 'Rollout api', 'Paused'],
  ['rollback', `#/rollouts/${namespace}/checkout`, 'Rollout checkout', 'RolledBack'],
  ['runs', `#/runs${here}`, 'Runs', run],
  ['run', `#/runs/${namespace}/${run}`, `Run ${run}`, 'unit'],
  ['releases', `#/releases${here}`, 'Releases', '1.1.0'],
  ['release', `#/releases/${namespace}/shop-2`, 'Release shop-2', 'sha256:0202'],
  ['environment', `#/environments/${namespace}/production`, 'Environment production', 'approvals'],
  ['delivery', `#/dora${here}`, 'Delivery', 'production'],
]

for (const [name, route, title, words] of pages) {
  test(`${title.split(' ')[0]}: ${name} can be read in light and dark, on a desk and on a phone`, async ({ page }) => {
    await page.emulateMedia({ colorScheme: 'light' })
    await open(page, world.lead, route)
    await heading(page, title)
    const main = page.getByRole('main')
    await expect(main.getByText(words).first()).toBeVisible()
    // A second look comes from the same data, so one wait is enough for all of them.
    expect(await barriers(page), 'light').toEqual([])
    await picture(page, name, true)
    await page.emulateMedia({ colorScheme: 'dark' })
    expect(await barriers(page), 'dark').toEqual([])
    await picture(page, `${name}-dark`, name === 'rollback' || name === 'overview')
    await page.setViewportSize({ width: 375, height: 720 })
    await expect(main.getByText(words).first()).toBeVisible()
    expect(await overflow(page), 'what is wider than a phone').toBeLessThanOrEqual(0)
    expect(await barriers(page), 'on a phone').toEqual([])
    await picture(page, `${name}-phone`, name === 'rollback')
  })
}

test('every page has one heading, a landmark that leads to the others, and a title', async ({ page }) => {
  await open(page, world.lead, '#/')
  await heading(page, 'Overview')
  const main = page.getByRole('navigation', { name: 'Main' })
  for (const [link, title] of [
    ['Runs', 'Runs'],
    ['Releases', 'Releases'],
    ['Delivery', 'Delivery'],
    ['Overview', 'Overview'],
  ] as const) {
    await main.getByRole('link', { name: link, exact: true }).click()
    await heading(page, title)
    await expect(main.getByRole('link', { name: link, exact: true })).toHaveAttribute('aria-current', 'page')
    await expect(page.getByRole('heading', { level: 1 })).toHaveCount(1)
  }
  await page.goBack()
  await heading(page, 'Delivery')
})

test('what is not there is said in a sentence, with a way on', async ({ page }) => {
  await open(page, world.lead, '#/there/is/no/such/page')
  await expect(page.getByRole('heading', { level: 1 })).toHaveCount(1)
  await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Overview' }).click()
  await heading(page, 'Overview')
})
