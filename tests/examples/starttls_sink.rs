//! A sink like smtp-sink -c, with STARTTLS: `starttls_sink PORT CHAIN.pem KEY.pem`. Prints `mesg=N` as messages come, and
//! `tls=N` for sessions inside TLS.

use end_to_end::tls_sink::TlsSink;
use std::path::Path;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, chain, key] = arguments.as_slice() else { panic!("see the source") };
    let sink = TlsSink::on(port.parse().unwrap(), Path::new(chain), Path::new(key), false);
    let mut told = usize::MAX;
    loop {
        let now = sink.messages();
        if now != told {
            println!("tls={} mesg={now}", sink.secure_sessions());
            told = now;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}
