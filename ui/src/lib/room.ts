// A table that is wider than its place scrolls in it, and can then be reached by keyboard.

/** For a component: `use:room` on what scrolls. */
export function room(node: HTMLElement): { destroy: () => void } {
  const look = () => {
    const isWide = node.scrollWidth > node.clientWidth + 1
    if (isWide) {
      node.tabIndex = 0
      node.setAttribute('role', 'group')
      node.setAttribute('aria-label', `${node.querySelector('table')?.getAttribute('aria-label') ?? 'Table'}, scrollable`)
    } else {
      for (const name of ['tabindex', 'role', 'aria-label']) node.removeAttribute(name)
    }
  }
  const watcher = new ResizeObserver(look)
  watcher.observe(node)
  if (node.firstElementChild) watcher.observe(node.firstElementChild)
  return { destroy: () => watcher.disconnect() }
}
