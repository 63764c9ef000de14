//! What people see of the story: a line per event with the time since its start. On a terminal the last line shows
//! what is being waited for; colours only there, and not where NO_COLOR asks for none.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::settings;

/// How wide a line that is written again and again may be: one that wraps cannot be taken back.
const WIDTH: usize = 100;
/// How often a wait is told where nothing can be taken back.
const REMIND: Duration = Duration::from_secs(20);

/// Tells the story, or keeps silent.
#[derive(Debug)]
pub struct Teller {
    started: Instant,
    form: Form,
    /// The line that shows a wait, if one is on the screen, and when a wait was told last.
    wait: Mutex<Wait>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Silent,
    Plain,
    Terminal { colours: bool },
}

#[derive(Debug, Default)]
struct Wait {
    is_shown: bool,
    told: Option<Instant>,
}

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// The beginning of a chapter.
    Title,
    /// Something that went as it should.
    Good,
    /// Something that did not.
    Bad,
    /// Anything else.
    Plain,
}

impl Tone {
    fn mark(self) -> &'static str {
        match self {
            Self::Title => "──",
            Self::Good => " ✓",
            Self::Bad => " ✗",
            Self::Plain => " ·",
        }
    }

    fn colour(self) -> &'static str {
        match self {
            Self::Title => "1",
            Self::Good => "32",
            Self::Bad => "31",
            Self::Plain => "0",
        }
    }
}

impl Teller {
    /// Tells on standard output.
    pub fn out_loud() -> Self {
        let form = if std::io::stdout().is_terminal() {
            Form::Terminal {
                colours: !settings::no_color(),
            }
        } else {
            Form::Plain
        };
        Self::new(form)
    }

    /// Tells nobody.
    pub fn silent() -> Self {
        Self::new(Form::Silent)
    }

    fn new(form: Form) -> Self {
        Self {
            started: Instant::now(),
            form,
            wait: Mutex::default(),
        }
    }

    /// The time since the story began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// A chapter begins.
    pub fn title(&self, text: &str) {
        self.line(Tone::Title, text);
    }

    /// Something went as it should.
    pub fn good(&self, text: &str) {
        self.line(Tone::Good, text);
    }

    /// Something did not.
    pub(crate) fn bad(&self, text: &str) {
        self.line(Tone::Bad, text);
    }

    /// Something happened.
    pub fn say(&self, text: &str) {
        self.line(Tone::Plain, text);
    }

    /// A line, whatever it is about.
    pub(crate) fn line(&self, tone: Tone, text: &str) {
        let time = clock(self.elapsed());
        let mark = tone.mark();
        let break_before = if tone == Tone::Title { "\n" } else { "" };
        match self.form {
            Form::Silent => {}
            Form::Terminal { colours: true } => {
                let colour = tone.colour();
                let text = if tone == Tone::Good {
                    format!("\x1b[0m{text}")
                } else {
                    text.to_owned()
                };
                self.write(&format!(
                    "{break_before}\x1b[2m{time}\x1b[0m \x1b[{colour}m{mark} {text}\x1b[0m\n"
                ));
            }
            Form::Plain | Form::Terminal { colours: false } => {
                self.write(&format!("{break_before}{time} {mark} {text}\n"));
            }
        }
    }

    /// Text as it stands.
    pub fn text(&self, text: &str) {
        if self.form != Form::Silent {
            self.write(text);
        }
    }

    /// What is being waited for, until when on the story's clock, and why it is not so yet. Call it often.
    pub(crate) fn waiting(&self, what: &str, until: Duration, why: &str) {
        let mut wait = self.wait();
        let why = if why.is_empty() {
            String::new()
        } else {
            format!(": {why}")
        };
        let text = format!(
            "waiting until {} for {what}{why}",
            clock(until).trim_start()
        );
        match self.form {
            Form::Silent => {}
            Form::Terminal { colours } => {
                let time = clock(self.elapsed());
                let text = shortened(&text.replace('\n', " "), WIDTH);
                let text = if colours {
                    format!("\x1b[2m{time}  … {text}\x1b[0m")
                } else {
                    format!("{time}  … {text}")
                };
                wait.is_shown = true;
                print(&format!("\r\x1b[2K{text}"));
            }
            Form::Plain => {
                let told = wait.told.get_or_insert_with(Instant::now);
                if told.elapsed() >= REMIND {
                    *told = Instant::now();
                    print(&format!("{}  … {text}\n", clock(self.elapsed())));
                }
            }
        }
    }

    /// The wait is over.
    pub(crate) fn waited(&self) {
        self.write("");
    }

    fn write(&self, text: &str) {
        let mut wait = self.wait();
        let clear = if std::mem::take(&mut wait.is_shown) {
            "\r\x1b[2K"
        } else {
            ""
        };
        wait.told = None;
        print(&format!("{clear}{text}"));
    }

    fn wait(&self) -> std::sync::MutexGuard<'_, Wait> {
        self.wait.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nobody is told when nobody listens any more.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

/// ` 0:07`, `12:34`.
pub(crate) fn clock(time: Duration) -> String {
    format!("{:>2}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}

/// At most so many characters.
fn shortened(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let start: String = text.chars().take(limit.saturating_sub(1)).collect();
    start + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_minutes_and_seconds() {
        assert_eq!(clock(Duration::from_millis(7_900)), " 0:07");
        assert_eq!(clock(Duration::from_secs(754)), "12:34");
    }

    #[test]
    fn what_is_too_long_ends_with_a_mark() {
        assert_eq!(shortened("täglich", 7), "täglich");
        assert_eq!(shortened("täglich", 4), "täg…");
    }
}
