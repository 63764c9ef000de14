import { readFileSync } from 'node:fs'

/** Somebody with a token of their own. */
export interface Person {
  /** What Kubernetes calls them. */
  user: string
  token: string
}

/** What tests/it/dashboard/world.rs has set up, as it writes it into the file that SLIPWAY_WORLD names. */
export interface World {
  /** Server that passes tokens on. */
  cluster: string
  /** Address of a server that acts as the viewer, with the secret in it. */
  local: string
  /** Namespace that the stories are about. */
  namespace: string
  /** One in which a Rollout `hidden` is that not everybody may see. */
  elsewhere: string
  /** One with many Rollouts, `crowd-0000` and up. */
  crowd: string
  crowdSize: number
  /** May see and decide everything, everywhere. */
  lead: Person
  /** May look into the one namespace, and approve or reject there. */
  approver: Person
  /** May look at objects of Slipway in the one namespace. */
  viewer: Person
  /** Runs of Pipeline `api`. */
  run: string
  failedRun: string
  waitingRun: string
  doubtfulRun: string
  trouble: Trouble
}

/** A night, as tests/it/dashboard/trouble.rs has set it up. */
export interface Trouble {
  namespace: string
  /** Where stories ask for what happens next. */
  scene: string
  /** A run whose stage `unit` is under way. */
  run: string
  /** Address of a server that acts as somebody who may edit in the namespace, and so read what is kept there; with the secret in it. */
  local: string
  /** May look at objects of Slipway in the namespace. */
  watcher: Person
}

export const world: World = JSON.parse(readFileSync(process.env.SLIPWAY_WORLD ?? 'world.json', 'utf8'))
