import type { Page } from '@playwright/test'
import { expect, heading, open, test, world, why } from '../test.ts'

/** Moves on by keyboard until something has the focus. */
async function tabTo(page: Page, name: string): Promise<void> {
  for (let step = 0; step < 80; step++) {
    await page.keyboard.press('Tab')
    const [focused, isVisible] = await page.evaluate(() => {
      const one = document.activeElement as HTMLElement | null
      const words = one?.getAttribute('aria-label') ?? one?.innerText ?? ''
      const { outlineStyle, boxShadow } = one ? getComputedStyle(one) : { outlineStyle: 'none', boxShadow: 'none' }
      return [words.trim(), outlineStyle !== 'none' || boxShadow !== 'none'] as const
    })
    if (focused === name) {
      expect(isVisible, `${name} shows that it has the focus`).toBe(true)
      return
    }
  }
  throw new Error(`80 times Tab, and ${name} never had the focus`)
}

test('everything is reached by keyboard, and a dialog gives the focus back', async ({ page }) => {
  await open(page, world.lead, '#/')
  await heading(page, 'Overview')
  // Who comes anew begins at the top.
  await page.reload()
  await heading(page, 'Overview')
  await page.keyboard.press('Tab')
  await expect(page.getByRole('link', { name: 'Skip to the content' })).toBeFocused()
  await tabTo(page, 'Releases')
  await page.keyboard.press('Enter')
  await heading(page, 'Releases')
  await page.goto(`${world.cluster}#/rollouts/${world.namespace}/api`)
  await heading(page, 'Rollout api')
  const button = page.getByRole('main').getByRole('button', { name: 'Abort', exact: true })
  await expect(button).toBeVisible()
  await tabTo(page, 'Abort')
  await page.keyboard.press('Enter')
  const dialog = page.getByRole('dialog', { name: 'Abort Rollout api' })
  await expect(dialog).toBeVisible()
  // The focus is inside, and stays there.
  const isInside = () => dialog.evaluate((one) => one.contains(document.activeElement))
  await expect.poll(isInside).toBe(true)
  for (let step = 0; step < 12; step++) {
    await page.keyboard.press('Tab')
    const where = await page.evaluate(() => document.activeElement?.tagName)
    // Browsers let the focus pass through their own bars, where the page has none.
    expect((await isInside()) || where === 'BODY').toBe(true)
  }
  await page.keyboard.press('Escape')
  await expect(dialog).toBeHidden()
  await expect(button).toBeFocused()
  // Who thinks better of it has changed nothing.
  await expect(why(page)).toContainText('PauseStep')
})
