//! A Rollout on the whole of a terminal, with keys. Talks to the API server, and to the terminal.

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::frame;
use super::view::{Press, View};
use crate::cli::cluster::Server;
use crate::cli::decide::{self, decide};
use crate::cli::follow::{self, Followed};
use crate::cli::rollout::explain;
use crate::cli::standing::{Standing, of_rollout};
use crate::cli::text::{Palette, plain};
use crate::decision::api::{DecisionSpec, TargetKind};
use crate::rollout::api::Rollout;

/// Shows it until the person has seen enough; says how it stood then.
pub(super) async fn show(
    server: &Server,
    name: &str,
    palette: Palette,
) -> Result<Standing, String> {
    let mut rollout: Rollout = server.get(name).await?;
    let templates = explain::templates(server, &rollout).await?;
    let mut view = View::new(&rollout, &templates, server.now());
    let unusable = |error: std::io::Error| format!("cannot use the terminal: {error}");
    let mut terminal = ratatui::try_init().map_err(unusable)?;
    let _taken = Taken;
    let mut keys = keys();
    let mut followed: Followed<'_, Rollout> = Followed::one(server, name);
    let mut looks = follow::looks();
    loop {
        let drawn = terminal.draw(|frame| frame::draw(frame, &view, palette));
        drawn.map_err(unusable)?;
        let press = tokio::select! {
            changed = followed.change() => {
                match changed.and_then(|()| followed.only(name)) {
                    Ok(Some(seen)) => rollout = seen.clone(),
                    Ok(None) => {}
                    Err(problem) => view.notice = plain(&problem),
                }
                if let Some(trouble) = followed.trouble() {
                    view.notice = plain(trouble);
                }
                Press::Nothing
            }
            // How long something still takes changes by itself.
            _ = looks.tick() => {
                view.look(&rollout, &templates, server.now());
                Press::Nothing
            }
            key = keys.recv() => key.map_or(Press::Quit, |key| view.press(key)),
        };
        match press {
            Press::Quit => return Ok(of_rollout(&rollout)),
            Press::Nothing => {}
            Press::Decide(action) => {
                let spec = DecisionSpec::about(TargetKind::Rollout, name, action);
                let made = decide(server, &decide::Args::default(), spec.clone()).await;
                let said = made.map(|made| made.said(&spec));
                let said = said.unwrap_or_else(|problem| problem);
                said.trim_end().clone_into(&mut view.notice);
            }
        }
    }
}

/// A terminal that was taken; it is given back, however that ends.
struct Taken;

impl Drop for Taken {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Keys as they are pressed. Reading them blocks, so it has a thread of its own, which ends with the process.
fn keys() -> UnboundedReceiver<char> {
    let (send, receive) = unbounded_channel();
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            let key = key_of(&event);
            if key.is_some_and(|key| send.send(key).is_err()) {
                return;
            }
        }
    });
    receive
}

/// What ends things in a terminal is `q`. What is no letter is a space, and so is another size: all is drawn again.
fn key_of(event: &Event) -> Option<char> {
    if matches!(event, Event::Resize(..)) {
        return Some(' ');
    }
    let Event::Key(key) = event else {
        return None;
    };
    if key.kind != KeyEventKind::Press {
        return None;
    }
    let KeyCode::Char(letter) = key.code else {
        return Some(' ');
    };
    let is_interrupt = letter == 'c' && key.modifiers.contains(KeyModifiers::CONTROL);
    Some(if is_interrupt { 'q' } else { letter })
}
