//! How patient and how greedy the client is.

use std::{fmt, sync::Arc, time::Duration};

/// Says whether this process may change anything now. It is asked before each attempt of a request that changes something, so
/// that a process that lost its right (another one works in its place) stops at once, in the middle of its repetitions too.
pub trait Fence: fmt::Debug + Send + Sync {
    /// # Errors
    /// Why nothing may be changed, in one sentence.
    fn check(&self) -> Result<(), String>;
}

/// Limits of the client. The defaults suit a Neutron that creates a few ports a second.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Most requests in flight to each service at a time; the others wait for their turn. How many there may be in fact
    /// follows what the service can give.
    pub max_in_flight: usize,
    /// Time for the TCP and TLS handshakes.
    pub connect_timeout: Duration,
    /// Time for one attempt of a GET.
    pub read_timeout: Duration,
    /// Time for one attempt of a POST, PUT or DELETE of one object.
    pub write_timeout: Duration,
    /// Time that each further object of a bulk request adds to `write_timeout`.
    pub item_timeout: Duration,
    /// Time for everything that belongs to one call: waiting for its turn, all attempts, the delays between them.
    pub total_timeout: Duration,
    /// Most attempts of one request.
    pub attempts: usize,
    /// Delay before the first repetition. It doubles each time, with jitter.
    pub first_delay: Duration,
    /// Longest delay between two attempts, unless the service asks for a longer one.
    pub max_delay: Duration,
    /// How long before its end a token is renewed.
    pub renewal_margin: Duration,
    /// Whether requests that change something may be sent. `None`: always.
    pub fence: Option<Arc<dyn Fence>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_in_flight: 16,
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
            item_timeout: Duration::from_secs(1),
            total_timeout: Duration::from_secs(180),
            attempts: 5,
            first_delay: Duration::from_millis(200),
            max_delay: Duration::from_secs(10),
            renewal_margin: Duration::from_secs(300),
            fence: None,
        }
    }
}
