/** For `node --import`: TypeScript in a test's process, and in its worker threads, where tsx does nothing of itself. */
import { register } from 'tsx/esm/api'

register()
