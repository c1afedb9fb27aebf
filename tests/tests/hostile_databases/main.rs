//! Servers of LDAP, PostgreSQL and MySQL that answer what they want (attacks.md 52): trouble in time, never an absence, an
//! end of the process, or memory without end.

mod ldap;
mod mysql;
mod postgresql;

use end_to_end::tables::table;
use settings::Table;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};
use tableserver::{Source, Trouble};

/// What a server does in a connection, one after the other; then it ends the connection.
#[derive(Clone)]
enum Step {
    /// Waits for a request.
    Hear,
    Say(Vec<u8>),
    /// The same, for ever.
    Repeat(Vec<u8>),
    /// A byte at a time, slowly.
    Drip(Vec<u8>),
    /// Says no more, and does not end the connection.
    Fall,
}
use Step::{Drip, Fall, Hear, Repeat, Say};

fn act(socket: &mut (impl Read + Write), step: &Step) -> std::io::Result<()> {
    match step {
        Hear => {
            let got = socket.read(&mut [0; 65_536])?;
            if got == 0 { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
        }
        Say(bytes) => socket.write_all(bytes),
        Repeat(bytes) => loop {
            socket.write_all(bytes)?;
        },
        Drip(bytes) => bytes.iter().try_for_each(|byte| {
            std::thread::sleep(Duration::from_millis(100));
            socket.write_all(&[*byte])
        }),
        Fall => socket.read_to_end(&mut Vec::new()).map(|_| ()),
    }
}

/// A server that does so with all who come; its port.
fn server(steps: Vec<Step>) -> u16 {
    server_inside(|socket| socket, steps)
}

/// The same inside of what `wrap` makes of a connection.
fn server_inside<S: Read + Write>(wrap: impl Fn(TcpStream) -> S + Clone + Send + 'static, steps: Vec<Step>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let (steps, wrap) = (steps.clone(), wrap.clone());
            std::thread::spawn(move || {
                let mut inside = wrap(socket);
                steps.iter().try_for_each(|step| act(&mut inside, step))
            });
        }
    });
    port
}

const KEY: &str = "hidden-key@example.org";

/// A table that has two seconds.
fn hasty(toml: &str) -> Table {
    table(&format!("timeout = \"2s\"\n{toml}"))
}

/// One that has time.
fn patient(toml: &str) -> Table {
    table(&format!("timeout = \"60s\"\n{toml}"))
}

/// A connection and one question.
fn ask<S: Source>(source: &S, table: &Table) -> Result<Option<Vec<String>>, Trouble> {
    let mut connection = source.connect(table)?;
    source.ask(&mut connection, table, KEY)
}

/// Each of these is trouble with these words, and without the key, within twice the timeout and what a slow machine adds.
fn all_are_trouble<S: Source>(source: &S, toml: impl Fn(u16) -> String, plans: Vec<(&str, Vec<Step>)>) {
    for (says, steps) in plans {
        let table = hasty(&toml(server(steps)));
        let begun = Instant::now();
        let trouble = ask(source, &table).err().unwrap_or_else(|| panic!("an answer where there should be: {says}"));
        assert!(trouble.reason.contains(says), "{says}: {trouble:?}");
        assert!(!trouble.reason.contains("hidden-key") && trouble.reason.len() < 600, "{trouble:?}");
        assert!(begun.elapsed() < Duration::from_secs(20), "{says}: {:?}", begun.elapsed());
    }
}
