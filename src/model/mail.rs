//! An email, as a pure renderer makes it and the shell sends it. No I/O.

use jiff::Timestamp;
use serde::Serialize;

/// How the connection to the server is kept from being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Transport {
    /// It goes on with TLS before anything is told.
    StartTls,
    /// TLS from the beginning.
    Tls,
    /// Not at all.
    Plain,
}

/// An email, and the server that takes it. It is answered with status 250, or with a sentence that says why not. Who sends it,
/// and which certificates count, is part of the request's `access`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mail {
    /// Name or address of the server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is kept from being read.
    pub transport: Transport,
    /// Who it comes from.
    pub from: String,
    /// Who gets it.
    pub to: Vec<String>,
    /// Its subject, one line.
    pub subject: String,
    /// Its text.
    pub text: String,
    /// Its id, with the angle brackets.
    pub id: String,
    /// Its date.
    pub at: Timestamp,
}
