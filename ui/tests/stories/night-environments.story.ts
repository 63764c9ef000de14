import { REFUSED, barriers, decide, expect, happens, heading, open, picture, test, world } from '../test.ts'

const { namespace } = world.trouble

test.describe('with few rights', () => {
  test.use({ tolerated: REFUSED })

  test('who may only look sees how an error budget goes down, how fast, and when it will be gone', async ({ page }) => {
    await open(page, world.trouble.watcher, `#/environments/${namespace}/web`)
    await heading(page, 'Environment web')
    const main = page.getByRole('main')
    const slo = main.getByRole('region', { name: 'SLO availability' })
    await expect(slo.getByText('Burning', { exact: true })).toBeVisible()
    await expect(slo.getByRole('heading')).toContainText(/99\.9\s%/)
    await expect(slo).toContainText(/40\s+%\s+of the error budget left/)
    await expect(slo).toContainText('burns 1.2 times as fast as its budget allows over 3d')
    await expect(slo).toContainText('Ticket since')
    // Four tenths of what may fail in thirty days, at twice the rate.
    await expect(slo).toContainText(/At the rate of the last hour it is used up in (6d|5d23h)\./)
    const chart = slo.getByRole('img', { name: /^The budget of availability over the last days/ })
    await expect(chart).toBeVisible()
    // From the left to the right it comes down, and a line that is broken goes on from there.
    const way = (await chart.locator('path.line').getAttribute('d')) ?? ''
    const heights = [...way.matchAll(/[ML][\d.]+ ([\d.]+)/g)].map(([, height]) => Number(height))
    expect(heights.length, way).toBeGreaterThan(3)
    expect(heights, way).toEqual([...heights].sort((a, b) => a - b))
    expect(heights.at(-1)! - heights[0]!, way).toBeGreaterThan(5)
    await expect(chart.locator('path.coming')).toHaveCount(1)
    // A picture is not for everybody: the same is in a table.
    const rates = slo.getByRole('table', { name: 'Burn rates of availability' })
    for (const words of ['1h', '3d', '1.2×', '2×']) await expect(rates.getByText(words, { exact: true }).first(), words).toBeVisible()
    await expect(main).toContainText('You may look at this Environment, and decide nothing about it.')
    await expect(main.getByRole('button', { name: /^(Promote|Rollback|Hold|Override)$/ })).toHaveCount(0)
    expect(await barriers(page)).toEqual([])
    await picture(page, 'budget')
  })
})

test('an incident is there with its cause and the way back, and is over as soon as it is', async ({ page }) => {
  await open(page, world.lead, `#/?namespace=${namespace}`)
  await heading(page, 'Overview')
  const main = page.getByRole('main')
  const lane = main.getByRole('article', { name: `Environment ${namespace}/staging` })
  await expect(lane.getByText('1 open incident', { exact: true })).toBeVisible()
  await page.evaluate((hash) => void (location.hash = hash), `#/environments/${namespace}/staging`)
  await heading(page, 'Environment staging')
  const incident = main.getByRole('list', { name: 'Incidents' }).getByRole('listitem')
  await expect(incident).toHaveCount(1)
  for (const words of ['Open', 'Alert', 'of shop-2', 'alert Slow', 'it is slow', 'going back to shop-1']) {
    await expect(incident, words).toContainText(words)
  }
  const rows = main.getByRole('table', { name: 'History', exact: true }).getByRole('row')
  const back = rows.filter({ hasText: 'Rollback' }).first()
  await expect(back).toContainText(/shop-1\s*Succeeded/)
  await back.getByRole('button', { name: /^Details of/ }).click()
  const steps = main.getByRole('table', { name: /^Steps of/ }).getByRole('row')
  await expect(steps.filter({ hasText: 'Succeeded' })).not.toHaveCount(0)
  await expect(steps.filter({ hasText: /Failed|Running|Pending/ })).toHaveCount(0)
  await expect(main.getByRole('region', { name: 'Runs', exact: true })).toContainText('shop-1')
  expect(await barriers(page)).toEqual([])
  await picture(page, 'incident')
  await happens('calm')
  await expect(incident).toContainText('Over')
  await expect(incident).not.toContainText('Open')
})

test('migrations that nobody knows the end of say so, and a lead brings them through by hand', async ({ page }) => {
  await open(page, world.lead, `#/environments/${namespace}/books`)
  await heading(page, 'Environment books')
  const main = page.getByRole('main')
  const migrations = main.getByRole('region', { name: 'Migrations', exact: true }).getByRole('region', { name: 'Migrations of shop-db' })
  await expect(migrations.getByText('Stuck', { exact: true })).toBeVisible()
  await expect(migrations).toContainText('Pending before: V2__prices.sql')
  const phase = (name: string) => migrations.getByRole('table', { name: 'Phases of shop-db' }).getByRole('row').filter({ has: page.getByRole('rowheader', { name, exact: true }) })
  await expect(phase('Validate')).toContainText('Succeeded')
  await expect(phase('Run')).toContainText('Failed')
  await expect(phase('Run')).toContainText('no such column')
  const incident = main.getByRole('list', { name: 'Incidents' }).getByRole('listitem')
  for (const words of ['Open', 'Failure', 'no such column', 'nothing touches the database until somebody has looked at it']) {
    await expect(incident, words).toContainText(words)
  }
  expect(await barriers(page)).toEqual([])
  await picture(page, 'migrations-stuck')

  await decide(page, 'Migrate', 'Environment books', 'The column is there now')
  await expect(migrations.getByText('Done', { exact: true })).toBeVisible({ timeout: 40_000 })
  await expect(phase('Run')).toContainText('Succeeded')
  await expect(phase('Verify')).toContainText('Succeeded')
  await expect(incident).toContainText('Over')
  const newest = main.getByRole('table', { name: 'History', exact: true }).getByRole('row').nth(1)
  await expect(newest).toContainText(/Succeeded\s*Migrate/)
  await newest.getByRole('button', { name: /^Details of/ }).click()
  await expect(main.getByText(`asked for by ${world.lead.user}`)).toBeVisible()
})
