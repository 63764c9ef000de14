//! The dashboard: what it answers to whom, and what people see and decide in a browser.

mod access; // who is answered, and with what
mod browser; // every page in a real browser
mod server; // the dashboard as a process, and how it is asked
mod stream; // what changes, told as it happens
mod trouble; // what it looks at when something is wrong
mod world; // what the browser looks at
