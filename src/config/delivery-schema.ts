/**
 * The part of the configuration file that says where the sink hands on what passes: `[delivery]` with the default, and
 * below it a table for each delivery. `maildir` and `discard` are always there; of the other kinds there may be many,
 * each with a name: `[delivery.relay.NAME]`.
 */
import { z } from 'zod'
import type { Endpoint } from '../app/endpoint.ts'
import type { DeliveryConfig, DeliverySettings } from './config.ts'

/** Values that the whole schema reads alike. */
export interface DeliverySchemaParts {
  readonly path: z.ZodType<string, string>
  readonly endpoint: z.ZodType<Endpoint, string>
}

/** The schema of `[delivery]`. */
export function deliverySchema({ path }: DeliverySchemaParts) {
  return z
    .strictObject({
      default: z.string().prefault('maildir'),
      maildir: z.strictObject({ path: path.prefault('./var/mail') }).prefault({}),
    })
    .superRefine((delivery, context) => {
      const names = Object.keys(namedDeliveries(delivery))
      if (names.includes(delivery.default)) return
      const message = `expected the name of a delivery: ${names.join(', ')}`
      context.addIssue({ code: 'custom', path: ['default'], message, input: delivery.default })
    })
    .prefault({})
}

type DeliveryFile = z.output<ReturnType<typeof deliverySchema>>

function namedDeliveries(file: DeliveryFile): Readonly<Record<string, DeliverySettings>> {
  return {
    maildir: { kind: 'maildir', ...file.maildir },
    discard: { kind: 'discard' },
  }
}

/** The deliveries of a file that was checked, each by its name. */
export function deliveryConfig(file: DeliveryFile): DeliveryConfig {
  return { default: file.default, named: namedDeliveries(file) }
}
