// Points on a plane as what SVG draws. No I/O.

export interface Plane {
  width: number
  height: number
  /** What is at the left and at the right, at the bottom and at the top. */
  x: [number, number]
  y: [number, number]
}

const scaled = (value: number, [from, to]: [number, number], size: number): number => (to === from ? size / 2 : ((value - from) / (to - from)) * size)

/** Where a value is, from the left. */
export const across = (plane: Plane, value: number): number => scaled(value, plane.x, plane.width)

/** Where a value is, from the top. */
export const down = (plane: Plane, value: number): number => plane.height - scaled(value, plane.y, plane.height)

const round = (value: number): number => Math.round(value * 10) / 10

/** A line through points. */
export function line(plane: Plane, points: readonly (readonly [number, number])[]): string {
  return points.map(([x, y], index) => `${index === 0 ? 'M' : 'L'}${round(across(plane, x))} ${round(down(plane, y))}`).join('')
}

/** The area below it. */
export function area(plane: Plane, points: readonly (readonly [number, number])[]): string {
  const first = points[0]
  const last = points.at(-1)
  if (!first || !last) return ''
  return `${line(plane, points)}L${round(across(plane, last[0]))} ${plane.height}L${round(across(plane, first[0]))} ${plane.height}Z`
}

/** From the least to the greatest of some values, with a tenth of room on both sides. */
export function range(values: readonly (number | undefined)[]): [number, number] {
  const known = values.filter((value): value is number => value !== undefined && Number.isFinite(value))
  if (known.length === 0) return [0, 1]
  const [least, most] = [Math.min(...known), Math.max(...known)]
  const room = most === least ? Math.abs(most) * 0.1 || 0.5 : (most - least) * 0.12
  return [least - room, most + room]
}
