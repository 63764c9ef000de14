//! A question to the network that is no HTTP request: whether something is there. No I/O.

use std::time::Duration;

use serde::Serialize;

/// What has to be so. It is answered with status 200, or with a sentence that says why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Probe {
    /// A connection can be made.
    Tcp {
        /// Name or address.
        host: String,
        /// Its port.
        port: u16,
    },
    /// A name has an address.
    Dns {
        /// The name.
        host: String,
    },
    /// A server proves that it has this name, with certificates that are good for a while.
    Tls {
        /// Name or address.
        host: String,
        /// Its port.
        port: u16,
        /// How long they still have to be good.
        valid_for: Duration,
    },
}

impl Probe {
    /// Where it goes, with the word for what it is in front.
    pub fn url(&self) -> String {
        match self {
            Self::Tcp { host, port } => format!("tcp://{host}:{port}"),
            Self::Dns { host } => format!("dns://{host}"),
            Self::Tls { host, port, .. } => format!("tls://{host}:{port}"),
        }
    }
}
