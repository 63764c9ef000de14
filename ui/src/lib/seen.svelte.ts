// Namespaces that objects were seen in: what one can choose from without a right to list namespaces.
import { untrack } from 'svelte'

class Namespaces {
  all = $state.raw<readonly string[]>([])

  /** Adds those of some objects. */
  of(objects: readonly { metadata: { namespace: string } }[]): void {
    const found = new Set(untrack(() => this.all))
    for (const object of objects) found.add(object.metadata.namespace)
    if (found.size !== untrack(() => this.all.length)) this.all = [...found].sort()
  }
}

export const namespaces = new Namespaces()
