import { REFUSED, decide, expect, heading, open, picture, test, world, why } from '../test.ts'

const { namespace } = world

test('an approver approves, and sees the promotion go through without touching anything', async ({ page }) => {
  await open(page, world.approver, `#/environments/${namespace}/production`)
  await heading(page, 'Environment production')
  const main = page.getByRole('main')
  await expect(main.getByText(/0 of 1/).first()).toBeVisible()
  await main.getByRole('button', { name: 'Approve', exact: true }).first().click()
  const dialog = page.getByRole('dialog', { name: 'Approve Environment production' })
  await expect(dialog).toContainText('shop-2')
  await picture(page, 'dialog', true)
  await dialog.getByRole('button', { name: 'Cancel' }).click()
  await expect(dialog).toBeHidden()
  await decide(page, 'Approve', 'Environment production', 'Looks good in staging')
  await expect(main.getByText('Steady').first()).toBeVisible({ timeout: 40_000 })
  await expect(main.getByText(/0 of 1/)).toHaveCount(0)
  // Who does not see the page hears of it.
  await expect(page.locator('[aria-live=polite]').first()).not.toBeEmpty()
})

test('a lead takes the Environment back', async ({ page }) => {
  await open(page, world.lead, `#/environments/${namespace}/production`)
  await heading(page, 'Environment production')
  await decide(page, 'Rollback', 'Environment production', 'Customers complain')
  const main = page.getByRole('main')
  await expect(main.getByText('Rollback').first()).toBeVisible()
  await expect(main.getByText('Customers complain').or(main.getByText(world.lead.user)).first()).toBeAttached({ timeout: 40_000 })
})

test('a lead lets a Rollout go on, and the page follows it to its end', async ({ page }) => {
  await open(page, world.lead, `#/rollouts/${namespace}/api`)
  await heading(page, 'Rollout api')
  const main = page.getByRole('main')
  await decide(page, 'Promote', 'Rollout api', 'Seen enough')
  await expect(main.getByText('Healthy').first()).toBeVisible({ timeout: 40_000 })
  await expect(why(page)).not.toContainText('PauseStep')
})

test('a run that waits is approved', async ({ page }) => {
  await open(page, world.lead, `#/runs/${namespace}/${world.waitingRun}`)
  await heading(page, `Run ${world.waitingRun}`)
  const main = page.getByRole('main')
  await decide(page, 'Approve', `PipelineRun ${world.waitingRun}`, 'I have read it')
  await expect(main.getByText(/approve the run/)).toHaveCount(0, { timeout: 40_000 })
})

test('a run of somebody whom nobody knows is turned away', async ({ page }) => {
  const { doubtfulRun: run, lead } = world
  await open(page, lead, `#/runs/${namespace}/${run}`)
  await heading(page, `Run ${run}`)
  const main = page.getByRole('main')
  await expect(main.getByText(/approve the run/).first()).toBeVisible()
  await decide(page, 'Reject', `PipelineRun ${run}`, 'Nobody knows them')
  await expect(main.getByText(`${lead.user} stands against it`).first()).toBeVisible({ timeout: 40_000 })
  await expect(main.getByText('Cancelled', { exact: true }).first()).toBeVisible()
  for (const action of ['Approve', 'Reject', 'Cancel']) await expect(main.getByRole('button', { name: action, exact: true }), action).toHaveCount(0)
})

test.describe('a right that is gone in between', () => {
  test.use({ tolerated: REFUSED })

  test('what admission refuses is said in its own words, and nothing is lost', async ({ page }) => {
    await open(page, world.lead, `#/rollouts/${namespace}/checkout`)
    await heading(page, 'Rollout checkout')
    // The page thinks that it may; the answer is that of admission to somebody who may not.
    const message = 'you may not retry Rollout checkout: ask for a role with the verb retry on rollouts.slipway.dev'
    await page.route('**/api/v1/decisions', (route) => route.fulfill({ status: 403, json: { message, reason: 'Forbidden' } }))
    await page.getByRole('main').getByRole('button', { name: 'Retry', exact: true }).click()
    const dialog = page.getByRole('dialog', { name: 'Retry Rollout checkout' })
    await dialog.getByRole('textbox', { name: 'Reason' }).fill('Mended')
    await dialog.getByRole('button', { name: 'Retry', exact: true }).click()
    await expect(dialog).toContainText(message)
    await expect(dialog.getByRole('textbox', { name: 'Reason' })).toHaveValue('Mended')
  })
})
