import { REFUSED, barriers, expect, heading, open, picture, test, world, why } from '../test.ts'

const { namespace } = world
const DECISIONS = ['Promote', 'Skip', 'Pause', 'Resume', 'Abort', 'Retry', 'Undo', 'Restart', 'Approve', 'Reject', 'Hold', 'Pin', 'Veto', 'Override', 'Rollback', 'Cancel']

test.use({ tolerated: REFUSED })

test('who may only look at one namespace sees that one, decides nothing, and is told which rights are missing', async ({ page }) => {
  await page.goto(world.local)
  await heading(page, 'Overview')
  const main = page.getByRole('main')
  await expect(main.getByText('production').first()).toBeVisible()
  for (const [route, title] of [
    [`#/rollouts/${namespace}/api`, 'Rollout api'],
    [`#/environments/${namespace}/production`, 'Environment production'],
    [`#/runs/${namespace}/${world.waitingRun}`, `Run ${world.waitingRun}`],
  ] as const) {
    await page.evaluate((hash) => void (location.hash = hash), route)
    await heading(page, title)
    if (title === 'Rollout api') {
      // What stands there instead of pods and Events names the right.
      await expect(main.getByText(/\bpods\b/).filter({ hasText: /\blist\b/ }).first()).toBeVisible()
      await expect(main.getByText(/\bevents\b/).filter({ hasText: /\blist\b|\bwatch\b/ }).first()).toBeVisible()
      expect(await barriers(page)).toEqual([])
      await picture(page, 'narrow', true)
    }
    for (const action of DECISIONS) {
      await expect(main.getByRole('button', { name: action, exact: true }), `${action} of ${title}`).toHaveCount(0)
    }
  }
  await page.evaluate((hash) => void (location.hash = hash), `#/rollouts/${world.elsewhere}/hidden`)
  await expect(main.getByText(/\brollouts\b/).filter({ hasText: /\b(get|list|watch)\b/ }).first()).toBeVisible()
  await expect(main.getByText('greeter:hidden')).toHaveCount(0)
})

test('who may approve and not roll back has the one button, and not the other', async ({ page }) => {
  await open(page, world.approver, `#/environments/${namespace}/production`)
  await heading(page, 'Environment production')
  const main = page.getByRole('main')
  for (const action of ['Approve', 'Reject']) {
    await expect(main.getByRole('button', { name: action, exact: true }).first(), action).toBeVisible()
  }
  for (const action of ['Rollback', 'Pin', 'Hold', 'Veto', 'Override', 'Promote']) {
    await expect(main.getByRole('button', { name: action, exact: true }), action).toHaveCount(0)
  }
  await page.evaluate((hash) => void (location.hash = hash), `#/rollouts/${namespace}/api`)
  await heading(page, 'Rollout api')
  await expect(why(page)).toContainText('PauseStep')
  for (const action of DECISIONS) {
    await expect(main.getByRole('button', { name: action, exact: true }), action).toHaveCount(0)
  }
})
