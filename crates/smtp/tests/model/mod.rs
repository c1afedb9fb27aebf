//! A model of the session, for any bytes: what RFC 5321 and its extensions allow a server to say, whoever the driver is.
//!
//! [`check`] takes bytes of a fuzzer, reads a [`Case`] out of them (how the server is set up, what the client sends and in
//! which pieces, what the driver answers), runs the real session, and panics where it did what the model does not allow:
//!
//! - every command gets exactly one reply, in order, of whole lines and with an enhanced status code of its class;
//! - no 354 and no chunk taken without a sender and an accepted recipient; MAIL, RCPT, AUTH, STARTTLS only in their place;
//! - every end of data is one message or one refusal (for LMTP one reply for each recipient), and the message has exactly
//!   the recipients that were accepted and exactly the content that was sent; content that must be refused is;
//! - a refused transaction is gone; octets of a chunk are never commands; nothing sent in the clear is run inside TLS;
//! - the same bytes cut otherwise get the same answers, but where the cut itself is the client's fault.
//!
//! The model is written from the RFCs, sees the whole stream at once, and shares no code with the session. The same model
//! serves the fuzzer (fuzz/fuzz_targets/session.rs) and the test in tests/sessions.rs.

mod case;
mod content;
mod oracle;
mod replies;
mod run;

#[allow(unused_imports, reason = "the fuzzer makes its own mutations")]
pub use case::{CUT, Case, WORD};

/// Checks one input, cut as it says and byte by byte.
pub fn check(input: &[u8]) {
    let case = Case::read(input);
    let first = run::run(&case);
    let mut bytes = case.clone();
    bytes.pieces = case.pieces.concat().chunks(1).map(<[u8]>::to_vec).collect();
    let second = run::run(&bytes);
    // Bytes out of turn are out of turn only where they come together; after TLS has begun the bytes are others.
    let in_turn = |said: &str| !said.contains("synchronization") && !said.contains("ready to start TLS");
    if in_turn(&first) && in_turn(&second) {
        assert_eq!(first, second, "the cut makes a difference");
    }
}
