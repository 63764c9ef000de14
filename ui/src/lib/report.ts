// The quality report of a Release, as `kubectl slipway release report -o json` writes it (slipway.dev/quality-report/v1). No I/O.
import type { GateVerdict, PromotionPhase, Release, Reports, Slo, Tests } from './kinds'
import type { Tone } from './standing'

type Item<T> = NonNullable<T> extends (infer U)[] ? U : never
type Spec = Release['spec']

export interface Report {
  schema: string
  generatedAt: string
  release: {
    namespace: string
    name: string
    pipeline: string
    version?: string
    kind: NonNullable<Spec['kind']>
    ref?: string
    commit: Spec['commit']
    previous?: string
    createdAt?: string
    run: string
    startedBy?: string
    packages?: string[]
  }
  checklist: { id: string; question: string; answer: 'Yes' | 'No' | 'Unknown'; detail: string; evidence: string[] }[]
  gates: GateVerdict[]
  tests?: Tests
  coverage?: { lines?: string; branches?: string; changedLines?: string }
  trend: { release: string; version?: string; createdAt?: string; tests?: number; failed?: number; lineCoverage?: string; findings?: number }[]
  findings: Pick<Item<Reports['findings']>, 'category' | 'total' | 'unfixed'>[]
  licences: { licence: string; components: number }[]
  unlistedLicences?: number
  attestations: Item<Spec['evidence']['attestations']>[]
  promotions: {
    environment: string
    tier?: string
    promotion: string
    kind: string
    phase: PromotionPhase
    requestedBy: string
    approvals?: { user: string; at: string }[]
    startedAt?: string
    finishedAt?: string
    steps?: string
    incidents?: number
  }[]
  budgets: { environment: string; slo: string; state: Slo['state']; remaining?: string }[]
  changes: NonNullable<Spec['changes']>
}

export const ANSWER: Record<Report['checklist'][number]['answer'], Tone> = { Yes: 'good', No: 'bad', Unknown: 'idle' }

/** What was said about an image. */
export interface Statement {
  image: string
  kinds: { kind: 'SBOM' | 'Provenance' | 'Signature'; digests: string[] }[]
}

/** What was said about each image, with what is missing. */
export function statements(images: readonly { name: string }[], attestations: readonly { image: string; kind: 'SBOM' | 'Provenance' | 'Signature'; digest: string }[]): Statement[] {
  const kinds = ['SBOM', 'Provenance', 'Signature'] as const
  return images.map(({ name }) => ({
    image: name,
    kinds: kinds.map((kind) => ({ kind, digests: attestations.filter((one) => one.image === name && one.kind === kind).map((one) => one.digest) })),
  }))
}
