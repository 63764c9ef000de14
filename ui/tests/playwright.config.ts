import { defineConfig } from '@playwright/test'

/** Stories of the dashboard in a real browser, against a real server: tests/it/dashboard/browser.rs makes the world that they are about. */
export default defineConfig({
  testDir: 'stories',
  testMatch: '*.story.ts',
  // They share one world, and the later ones change it.
  workers: 1,
  retries: 0,
  timeout: 60_000,
  expect: { timeout: 15_000 },
  outputDir: process.env.SLIPWAY_RESULTS ?? '../../target/ui-results',
  reporter: [['list', { printSteps: false }]],
  forbidOnly: true,
  use: {
    actionTimeout: 15_000,
    navigationTimeout: 15_000,
    screenshot: 'only-on-failure',
    trace: 'retain-on-failure',
    locale: 'en-GB',
    timezoneId: 'UTC',
    viewport: { width: 1280, height: 800 },
    launchOptions: {
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      // Chromium refuses its sandbox to root.
      args: process.getuid?.() === 0 ? ['--no-sandbox'] : [],
    },
  },
})
