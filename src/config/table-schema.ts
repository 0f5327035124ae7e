/** Tables whose keys are the site's to choose. */
import { z } from 'zod'

/**
 * A table of such values. A key `__proto__` is wrong in it: zod passes over one, and what an operator has written must
 * not go without a word.
 */
export function tableOf<T extends z.ZodType>(value: T) {
  return z.preprocess(
    (input, context) => {
      if (typeof input === 'object' && input !== null && Object.hasOwn(input, '__proto__')) {
        context.addIssue({ code: 'custom', path: ['__proto__'], message: 'no name for anything', input })
      }
      return input
    },
    z.record(z.string(), value),
  )
}
