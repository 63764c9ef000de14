import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  plugins: [svelte()],
  // The page may be served below any path, and its policy of content allows files of its own only: no data: addresses, nothing inline.
  base: './',
  build: { target: 'es2022', assetsInlineLimit: 0, modulePreload: { polyfill: false }, license: { fileName: 'licences.md' } },
  server: { proxy: { '/api': process.env.SLIPWAY_DASHBOARD ?? 'http://127.0.0.1:8090' } },
  test: { environment: 'happy-dom', include: ['src/**/*.test.ts'], restoreMocks: true },
  resolve: process.env.VITEST ? { conditions: ['browser'] } : {},
})
