//! What a reply says, in either protocol.

/// A whole reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Found(String),
    Absent,
    /// No answer now, in the server's words.
    Trouble(String),
}

/// A reader of one reply, in pieces as they come.
pub trait Replies: Default {
    /// The next bytes; `None`: there is more to come. `Err`: this is no reply, and whoever sent it is not understood.
    fn take(&mut self, bytes: &[u8]) -> Result<Option<Said>, String>;
}
