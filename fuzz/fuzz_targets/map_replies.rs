//! Any bytes as replies of socketmap and tcp table servers, however they are cut: the same answer or the same refusal.
#![no_main]

#[path = "../../crates/netmaps/src/said.rs"]
mod said;
#[path = "../../crates/netmaps/src/socketmap.rs"]
mod socketmap;
#[path = "../../crates/netmaps/src/tcp_table.rs"]
mod tcp_table;

use libfuzzer_sys::fuzz_target;
use said::{Replies, Said};

/// Up to the first reply, fault, or the end.
fn read<R: Replies>(pieces: impl Iterator<Item = Vec<u8>>) -> Result<Option<Said>, String> {
    let mut reader = R::default();
    for piece in pieces {
        match reader.take(&piece) {
            Ok(None) => {}
            outcome => return outcome,
        }
    }
    Ok(None)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((cut, reply)) = bytes.split_first() else { return };
    let cut = usize::from(*cut).max(1);
    for (whole, cut) in [
        (read::<socketmap::Reader>([reply.to_vec()].into_iter()), read::<socketmap::Reader>(reply.chunks(cut).map(<[u8]>::to_vec))),
        (read::<tcp_table::Reader>([reply.to_vec()].into_iter()), read::<tcp_table::Reader>(reply.chunks(cut).map(<[u8]>::to_vec))),
    ] {
        // What comes behind a reply is only seen where it comes with it.
        if let Ok(said) = whole {
            assert_eq!(cut, Ok(said));
        }
    }
});
