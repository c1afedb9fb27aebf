//! What a signature costs here and there: `cargo run --release -p signing --example round_trip [SIGNATURES]`. Prints the time and the
//! processor time of one signature by a P-256 key in this process, and of one asked of another thread over a conversation.

use ipc::keys::{Sign, Signed};
use ipc::{Caller, ContactPoint};
use signing::Keyholder;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};
use tls::keys::shape::Side;
use tls::keys::{PrivateKey, RemoteSigner, private_keys};

/// ECDSA with P-256 and SHA-256.
const P256: u16 = 0x0403;

fn main() {
    let count: u32 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(20_000);
    let Ok(output) =
        std::process::Command::new("openssl").args(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]).output()
    else {
        return eprintln!("openssl is missing");
    };
    let Some(key) = private_keys(&output.stdout, Side::Server).ok().and_then(|mut keys| keys.pop()) else { return };
    let mut message = vec![b' '; 64];
    message.extend_from_slice(b"TLS 1.3, server CertificateVerify\0");
    message.extend_from_slice(&[7; 32]);
    measure("here", count, || key.sign(P256, &message).is_ok());
    let Ok((caller, contact)) = UnixDatagram::pair() else { return };
    let (Ok(caller), Ok(contact)) = (Caller::new(OwnedFd::from(caller)), ContactPoint::new(OwnedFd::from(contact))) else { return };
    let Ok(counters) = daemon::Counters::detached("smtpserver") else { return };
    let (id, answering) = (*key.id(), key.clone());
    let server = std::thread::spawn(move || answer(&contact, &answering));
    let asker = Keyholder::new(Some(caller), counters);
    measure("asked", count, || asker.sign(&id, P256, &message).is_ok());
    drop(asker);
    let _ = server.join();
}

fn answer(contact: &ContactPoint, key: &PrivateKey) {
    let mut channel = loop {
        match contact.accept::<Signed, Sign>() {
            Ok(Some(channel)) => break channel,
            _ => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    while let Ok((question, _)) = channel.recv_by(Instant::now() + Duration::from_secs(600)) {
        let signature = key.sign(question.scheme, &question.message).map_err(|e| e.to_string());
        if channel.send(&Signed { number: question.number, signature }).is_err() {
            return;
        }
    }
}

fn measure(what: &str, count: u32, mut sign: impl FnMut() -> bool) {
    let (start, busy) = (Instant::now(), processor_time());
    let failed = (0..count).filter(|_| !sign()).count();
    let (time, busy) = (start.elapsed(), processor_time().saturating_sub(busy));
    println!("{what}: {:.1} us, processor {:.1} us, {failed} failed", micros(time, count), micros(busy, count));
}

fn micros(time: Duration, count: u32) -> f64 {
    time.as_secs_f64() * 1e6 / f64::from(count)
}

/// Of all threads of this process.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}
