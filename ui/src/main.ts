// The beginning: theme, token, page.
import { mount } from 'svelte'
import './styles/tokens.css'
import './styles/base.css'
import App from './App.svelte'
import { look, place } from './lib/place.svelte'
import { session } from './lib/session.svelte'

look.begin()
session.begin()
place.look()
// A token may also come into a page that is open.
addEventListener('hashchange', () => {
  if (location.hash.includes('token=')) {
    session.begin()
    place.look()
  }
})

const target = document.getElementById('app')
if (target) mount(App, { target })
