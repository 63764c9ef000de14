// The figures of deliveries in words. No I/O.
import type { Environment } from './kinds'
import { rough, ratio, span, UNKNOWN } from './format'

type Item<T> = NonNullable<T> extends (infer U)[] ? U : never

/** The figures of a window, as `status.dora` has them too. */
export type Figures = Item<NonNullable<NonNullable<Environment['status']>['dora']>['windows']>

/** What `api/v1/dora` says. */
export interface Summary {
  window: string
  at: string
  overall?: Figures
  environments: { namespace: string; name: string; tier: string; figures?: Figures }[]
}

export type Band = 'Elite' | 'High' | 'Medium' | 'Low'

/** One figure. */
export interface Figure {
  id: 'frequency' | 'leadTime' | 'changeFailures' | 'recoveryTime' | 'rework'
  title: string
  value: string
  detail: string
  band: Band | undefined
}

const perDay = (of: Figures['frequency']): string => {
  const rate = Number.parseFloat(of.perDay)
  if (Number.isNaN(rate)) return UNKNOWN
  if (rate >= 1) return `${Number(rate.toFixed(1))} a day`
  return rate * 7 >= 1 ? `${Number((rate * 7).toFixed(1))} a week` : `${Number((rate * 30).toFixed(1))} in 30 days`
}

const times = (of: number, one: string): string => `${of} ${of === 1 ? one : `${one}s`}`

/** The five figures; what is not known is a dash. */
export function figures(of: Figures | undefined): Figure[] {
  const nothing = { value: UNKNOWN, detail: 'nothing is known of it', band: undefined }
  const seconds = (all: { medianSeconds: number; meanSeconds: number; count: number } | undefined, what: string) =>
    all ? { value: span(all.medianSeconds * 1000), detail: `median of ${times(all.count, what)}, mean ${rough(all.meanSeconds * 1000)}` } : nothing
  const open = of?.unrecovered ? `; ${times(of.unrecovered, 'failure')} not over yet` : ''
  return [
    { id: 'frequency', title: 'Deployment frequency', ...(of ? { value: perDay(of.frequency), detail: times(of.frequency.deployments, 'deployment'), band: of.frequency.band } : nothing) },
    { id: 'leadTime', title: 'Lead time for changes', band: of?.leadTime?.band, ...seconds(of?.leadTime, 'commit') },
    {
      id: 'changeFailures',
      title: 'Change failure rate',
      ...(of?.changeFailures ? { value: ratio(of.changeFailures.ratio), detail: `${of.changeFailures.count} of ${times(of.changeFailures.of, 'change')}`, band: of.changeFailures.band } : nothing),
    },
    { id: 'recoveryTime', title: 'Failed deployment recovery time', band: of?.recoveryTime?.band, ...(of?.recoveryTime || !open ? seconds(of?.recoveryTime, 'failure') : { value: UNKNOWN, detail: '' }) },
    {
      id: 'rework',
      title: 'Rework rate',
      ...(of?.rework ? { value: ratio(of.rework.ratio), detail: `${of.rework.count} of ${times(of.rework.of, 'deployment')}`, band: undefined } : nothing),
    },
  ].map((figure) => (figure.id === 'recoveryTime' && open ? { ...figure, detail: `${figure.detail}${open}`.replace(/^; /, '') } : figure)) as Figure[]
}
