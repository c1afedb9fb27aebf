//! Any bytes as a SOCKS5 proxy's answers, in pieces of any size: the same in the end, and nothing of the server's is taken.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy::{Fault, Socks5};

fn ask(answers: &[u8], size: usize, login: bool) -> (Result<bool, Fault>, Vec<u8>, usize) {
    let mut sent = Vec::new();
    let login = login.then(|| ("user".to_owned(), "secret".to_owned()));
    let mut socks = Socks5::begin("192.0.2.1:25".parse().expect("an address"), login, &mut sent);
    let mut left = 0;
    for piece in answers.chunks(size) {
        let mut rest = piece;
        match socks.receive(&mut rest, &mut sent) {
            Ok(false) => assert!(rest.is_empty() && !socks.is_open()),
            Ok(true) => {
                assert!(socks.is_open());
                left += rest.len();
            }
            Err(fault) => return (Err(fault), sent, 0),
        }
    }
    (Ok(socks.is_open()), sent, left)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, answers)) = bytes.split_first() else { return };
    let login = choice & 1 == 1;
    let at_once = ask(answers, answers.len().max(1), login);
    assert!(at_once.1.len() < 60);
    assert_eq!(ask(answers, usize::from(choice >> 1) + 1, login), at_once);
});
