import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 180_000,
    pool: 'forks',
    // Most tests wait for processes of their own; one more worker than the default costs little and halves the time.
    maxWorkers: 2,
    coverage: { provider: 'v8', include: ['src/**'] },
  },
})
