import { REFUSED, expect, heading, open, picture, signIn, test, world } from '../test.ts'

test.describe('in the cluster', () => {
  test.use({ tolerated: REFUSED })

  test('a token is asked for, a wrong one is refused in words, and a deep link is kept', async ({ page, context }) => {
    await page.goto(`${world.cluster}#/rollouts/${world.namespace}/api`)
    await expect(page).toHaveTitle('Sign in · Slipway')
    await signIn(page, { user: 'nobody', token: 'not-a-token' })
    const alert = page.getByRole('alert')
    await expect(alert).toBeVisible()
    await expect(page.getByRole('heading', { level: 1, name: 'Sign in' })).toBeVisible()
    await picture(page, 'sign-in', true)
    await signIn(page, world.lead)
    await heading(page, 'Rollout api')
    await expect(page.getByText(world.lead.user).first()).toBeAttached()

    // It is kept for this tab, and nowhere else.
    await page.reload()
    await heading(page, 'Rollout api')
    expect(page.url()).not.toContain(world.lead.token)
    expect(await context.cookies()).toEqual([])
    expect(await page.evaluate(() => JSON.stringify(localStorage))).not.toContain(world.lead.token)
    const other = await context.newPage()
    await other.goto(page.url())
    await expect(other.getByRole('heading', { level: 1, name: 'Sign in' })).toBeVisible()
  })
})

test('the address of a local server opens it, and the secret does not stay in the address', async ({ page }) => {
  await page.goto(world.local)
  await heading(page, 'Overview')
  expect(page.url()).not.toContain('token=')
  await page.reload()
  await heading(page, 'Overview')
})

test('light and dark follow the system until somebody chooses', async ({ page }) => {
  await page.emulateMedia({ colorScheme: 'dark' })
  await open(page, world.lead, '#/')
  await heading(page, 'Overview')
  const brightness = () =>
    page.evaluate(() => {
      const [red, green, blue] = getComputedStyle(document.body).backgroundColor.match(/\d+/g)!.map(Number)
      return (red! + green! + blue!) / 3
    })
  expect(await brightness()).toBeLessThan(96)
  await page.emulateMedia({ colorScheme: 'light' })
  await expect.poll(brightness).toBeGreaterThan(160)
  // System, light, dark: two steps from the first, whatever the system likes.
  const theme = page.getByRole('button', { name: 'Theme' })
  await theme.click()
  await theme.click()
  await expect.poll(brightness).toBeLessThan(96)
  await page.reload()
  await heading(page, 'Overview')
  await expect.poll(brightness).toBeLessThan(96)
})
