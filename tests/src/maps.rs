//! A socketmap server that can go away and come back.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// By map and key.
pub type Maps = HashMap<(String, String), String>;

#[derive(Debug)]
pub struct MapServer {
    pub port: u16,
    maps: Arc<Maps>,
    running: Option<(Arc<Running>, JoinHandle<()>)>,
}

#[derive(Debug, Default)]
struct Running {
    over: AtomicBool,
    connections: Mutex<Vec<TcpStream>>,
}

impl MapServer {
    /// `entries`: map, key, value.
    pub fn start(entries: &[(&str, &str, &str)]) -> Self {
        let maps = entries.iter().map(|(map, key, value)| (((*map).to_owned(), (*key).to_owned()), (*value).to_owned())).collect();
        let mut server = Self { port: crate::free_port(), maps: Arc::new(maps), running: None };
        server.come_back();
        server
    }

    pub fn come_back(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).unwrap();
        let (running, maps) = (Arc::new(Running::default()), Arc::clone(&self.maps));
        let ours = Arc::clone(&running);
        let listening = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ours.over.load(SeqCst) {
                    return;
                }
                ours.connections.lock().unwrap().push(stream.try_clone().unwrap());
                let maps = Arc::clone(&maps);
                std::thread::spawn(move || serve(stream, &maps));
            }
        });
        self.running = Some((running, listening));
    }

    /// Nobody listens any more, and connections are ended.
    pub fn go_away(&mut self) {
        let Some((running, listening)) = self.running.take() else { return };
        running.over.store(true, SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let _ = listening.join();
        for connection in running.connections.lock().unwrap().drain(..) {
            let _ = connection.shutdown(std::net::Shutdown::Both);
        }
    }
}

impl Drop for MapServer {
    fn drop(&mut self) {
        self.go_away();
    }
}

/// Requests come whole: they are short.
fn serve(mut stream: TcpStream, maps: &Maps) {
    let mut bytes = [0; 2048];
    while let Ok(length @ 1..) = stream.read(&mut bytes) {
        let request = String::from_utf8_lossy(&bytes[..length]).into_owned();
        let asked = request.split_once(':').and_then(|(_, rest)| rest.strip_suffix(',')?.split_once(' '));
        let found = asked.and_then(|(map, key)| maps.get(&(map.to_owned(), key.to_owned())));
        let reply = found.map_or_else(|| "NOTFOUND ".to_owned(), |value| format!("OK {value}"));
        if stream.write_all(format!("{}:{reply},", reply.len()).as_bytes()).is_err() {
            return;
        }
    }
}
