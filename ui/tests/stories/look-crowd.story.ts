import { choose, expect, heading, open, picture, test, world } from '../test.ts'

test('a thousand Rollouts are listed, filtered and scrolled', async ({ page }) => {
  const { crowd, crowdSize } = world
  await open(page, world.lead, '#/')
  await heading(page, 'Overview')
  let start = Date.now()
  await choose(page, crowd)
  const main = page.getByRole('main')
  const rows = main.getByRole('link', { name: /crowd-\d{4}$/ })
  await expect(rows.first()).toBeVisible()
  await expect(main.getByText(new RegExp(`^(${crowdSize}|1,000)$`)).first()).toBeVisible()
  console.log(`${crowdSize} Rollouts are there after ${Date.now() - start} ms`)
  const last = `crowd-${String(crowdSize - 1).padStart(4, '0')}`
  start = Date.now()
  const filter = main.getByRole('searchbox', { name: 'Filter Rollouts' })
  await filter.fill(last)
  await expect(main.getByRole('link', { name: last })).toBeVisible()
  await expect(rows).toHaveCount(1)
  console.log(`one of them is found after ${Date.now() - start} ms`)
  await filter.fill('')
  await expect(rows.first()).toBeVisible()
  // Not all of them are in the page at once.
  expect(await page.evaluate(() => document.querySelectorAll('*').length)).toBeLessThan(12_000)
  // How long the page stands still at most, while somebody scrolls.
  const worst = await page.evaluate(async () => {
    const gaps: number[] = []
    let before = performance.now()
    for (let frame = 0; frame < 60; frame++) {
      window.scrollBy(0, 200)
      document.querySelectorAll('main *').forEach((one) => {
        if (frame === 0 && one.scrollHeight > one.clientHeight + 400) one.setAttribute('data-scrolled', '')
      })
      document.querySelectorAll('[data-scrolled]').forEach((one) => one.scrollBy(0, 200))
      await new Promise(requestAnimationFrame)
      const now = performance.now()
      gaps.push(now - before)
      before = now
    }
    return Math.round(Math.max(...gaps))
  })
  console.log(`longest time between two pictures while scrolling: ${worst} ms`)
  await picture(page, 'crowd')
})
