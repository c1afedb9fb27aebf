//! A table server that keeps its askers waiting.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

/// A socketmap server that says nothing before it may.
#[derive(Debug)]
pub struct Late {
    pub port: u16,
    gate: Arc<(Mutex<bool>, Condvar)>,
}

impl Late {
    /// `answer`: what it says to every key, once it may, such as `OK joe@local.example`.
    pub fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let opened = Arc::clone(&gate);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let gate = Arc::clone(&opened);
                std::thread::spawn(move || serve(stream.unwrap(), &gate, answer));
            }
        });
        Self { port, gate }
    }

    /// From now on it answers.
    pub fn open(&self) {
        *self.gate.0.lock().unwrap() = true;
        self.gate.1.notify_all();
    }
}

fn serve(mut stream: TcpStream, gate: &(Mutex<bool>, Condvar), answer: &str) {
    let mut bytes = [0; 1024];
    while let Ok(1..) = stream.read(&mut bytes) {
        let mut open = gate.0.lock().unwrap();
        while !*open {
            open = gate.1.wait(open).unwrap();
        }
        let _ = stream.write_all(format!("{}:{answer},", answer.len()).as_bytes());
    }
}
