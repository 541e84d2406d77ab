//! The life of a TLS connection, and when its flow stops and goes on.
//!
//! ```text
//!                  1              2           3            4
//!    Unwrapped ───────▶ DoHandshake ──▶ Wrapped ──▶ Flushing ──▶ Shutdown
//!        ▲                   │             │            │            │
//!        └───────────────────┴─────────────┴────────────┴────────────┘ 5
//! ```
//!
//! 1 the transport below is connected; 2 the handshake is done; 3 one side wants to close: what was
//! read is handed on; 4 what was written is sent, then both say goodbye; 5 the connection below is
//! lost, aborted, or the handshake failed. OpenSSL is not in here, nor is any byte.

/// Where a TLS connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SSLState {
    /// Not connected yet, or no longer.
    Unwrapped,
    /// The two sides agree on keys.
    DoHandshake,
    /// Data flows.
    Wrapped,
    /// It will be closed: what has come in is still read.
    Flushing,
    /// It says goodbye, and waits for the other side's.
    Shutdown,
}

impl SSLState {
    /// Whether `next` may follow.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (_, Self::Unwrapped)
                | (Self::Unwrapped, Self::DoHandshake)
                | (Self::DoHandshake, Self::Wrapped)
                | (Self::Wrapped, Self::Flushing)
                | (Self::Flushing, Self::Shutdown)
        )
    }

    /// Whether whatever is written now can no longer be sent.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Flushing | Self::Shutdown | Self::Unwrapped)
    }

    /// Whether what comes in is for the application.
    #[must_use]
    pub const fn is_readable(self) -> bool {
        matches!(self, Self::Wrapped | Self::Flushing)
    }

    /// asyncio's word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unwrapped => "UNWRAPPED",
            Self::DoHandshake => "DO_HANDSHAKE",
            Self::Wrapped => "WRAPPED",
            Self::Flushing => "FLUSHING",
            Self::Shutdown => "SHUTDOWN",
        }
    }
}

/// What the application's protocol has been told of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppState {
    /// Nothing.
    Init,
    /// That it is made.
    Made,
    /// That no more data will come.
    Eof,
    /// That it is lost.
    Lost,
}

impl AppState {
    /// Whether it is still to hear that the connection is lost.
    #[must_use]
    pub const fn awaits_loss(self) -> bool {
        matches!(self, Self::Made | Self::Eof)
    }

    /// asyncio's word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Init => "STATE_INIT",
            Self::Made => "STATE_CON_MADE",
            Self::Eof => "STATE_EOF",
            Self::Lost => "STATE_CON_LOST",
        }
    }
}

/// How full a buffer may become, and how empty it must be before it is filled again, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaterMarks {
    /// From here on the flow stops.
    pub high: u64,
    /// Down to here it stays stopped.
    pub low: u64,
}

/// What is to be done about a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the flow is to be stopped or started by the caller"]
pub enum Flow {
    /// Stop it.
    Pause,
    /// Let it go on.
    Resume,
    /// Nothing.
    Keep,
}

impl WaterMarks {
    /// What to do about a flow that is `paused` or not, with `size` bytes in its buffer.
    pub const fn judge(self, size: u64, paused: bool) -> Flow {
        if size >= self.high && !paused {
            Flow::Pause
        } else if size <= self.low && paused {
            Flow::Resume
        } else {
            Flow::Keep
        }
    }
}
