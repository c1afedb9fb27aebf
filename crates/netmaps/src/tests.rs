//! Against servers that say what a test wants.

use super::*;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tableserver::Source;

fn table(kind: &str, servers: &[String], more: &str) -> Table {
    let text = format!(
        "[identity]\nhostname = \"us.example\"\n[paths]\npostoffice = \"/x\"\n[[listener]]\nkind = \"smtp\"\nbind = \"127.0.0.1:2525\"\n\
         [[table]]\nname = \"t\"\nkind = \"{kind}\"\nservers = {servers:?}\n{more}"
    );
    settings::parse(&text, "x").unwrap().tables.remove(0)
}

fn socketmap(servers: &[String], more: &str) -> Table {
    table("socketmap", servers, &format!("map = \"people\"\n{more}"))
}

/// A server that answers each piece it reads by `reply`; `None` closes. Its address, and connections so far.
fn server(reply: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'static) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, count, reply) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)), Arc::new(reply));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            counted.fetch_add(1, SeqCst);
            let reply = Arc::clone(&reply);
            std::thread::spawn(move || {
                let mut buffer = [0; 20_000];
                while let Ok(length @ 1..) = stream.read(&mut buffer) {
                    let Some(bytes) = reply(std::str::from_utf8(&buffer[..length]).unwrap()) else { return };
                    if stream.write_all(&bytes).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address.to_string(), count)
}

fn netstring(text: &str) -> Option<Vec<u8>> {
    Some(format!("{}:{text},", text.len()).into_bytes())
}

fn ask<S: Source>(source: &S, table: &Table, key: &str) -> Result<Option<Vec<String>>, Trouble> {
    source.connect(table).and_then(|mut line| source.ask(&mut line, table, key))
}

fn found(value: &str) -> Result<Option<Vec<String>>, Trouble> {
    Ok(Some(vec![value.to_owned()]))
}

#[test]
fn a_socketmap_over_one_connection() {
    let (address, count) = server(|request| match request {
        "14:people a b@x.y," => netstring("OK c@x.y"),
        "11:people none," => netstring("NOTFOUND "),
        "13:people secret," => netstring("TEMP no SECRET today"),
        _ => netstring("PERM no such map"),
    });
    let (table, source) = (socketmap(&[address], ""), Socketmap::default());
    let mut line = source.connect(&table).unwrap();
    for _ in 0..3 {
        assert_eq!(source.ask(&mut line, &table, "a b@x.y"), found("c@x.y"));
        assert_eq!(source.ask(&mut line, &table, "none"), Ok(None));
        let trouble = source.ask(&mut line, &table, "other").unwrap_err();
        assert!(!trouble.broken && trouble.reason.contains("no such map"));
        let trouble = source.ask(&mut line, &table, "secret").unwrap_err();
        assert!(!trouble.broken && !trouble.reason.to_lowercase().contains("secret"), "{trouble:?}");
    }
    assert_eq!(count.load(SeqCst), 1);
}

#[test]
fn a_tcp_table_over_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("map");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 5000];
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            let reply: &[u8] = match &buffer[..length] {
                b"get a%20b@x\n" => b"200 c%40x\n",
                b"get none\n" => b"500 no\n",
                _ => b"400 later\n",
            };
            // In pieces, as a network may bring it.
            for piece in reply.chunks(3) {
                stream.write_all(piece).unwrap();
            }
        }
    });
    let (table, source) = (table("tcp", &[format!("unix:{}", path.display())], ""), Tcp::default());
    let mut line = source.connect(&table).unwrap();
    assert_eq!(source.ask(&mut line, &table, "a b@x"), found("c@x"));
    assert_eq!(source.ask(&mut line, &table, "none"), Ok(None));
    assert!(source.ask(&mut line, &table, "x").is_err_and(|trouble| !trouble.broken && trouble.reason.contains("later")));
}

/// Attack 53, and servers that an intruder has: no answer, and never absence.
#[test]
fn hostile_servers_give_trouble() {
    let replies: Vec<Option<Vec<u8>>> = vec![
        None,
        Some(b"99999999999999999999:".to_vec()),
        Some(b"3:OK a,".to_vec()),
        Some(b"4:OK a,4:OK b,".to_vec()),
        Some(b"9:NOTFOUND".to_vec()),
        Some(b"500 no\n500 no\n".to_vec()),
        Some(b"NOTFOUND ,\n".to_vec()),
        Some(vec![b'1'; 1 << 20]),
        Some([b"100000:OK ".to_vec(), vec![b'x'; 1 << 20]].concat()),
        Some([b"200 ".to_vec(), vec![b'x'; 1 << 20]].concat()),
        Some(vec![0xff; 64]),
    ];
    for reply in replies {
        let sent = reply.clone();
        let (address, _) = server(move |_| sent.clone());
        let began = Instant::now();
        let map = socketmap(std::slice::from_ref(&address), "timeout = \"1s\"\n");
        let trouble = ask(&Socketmap::default(), &map, "key").unwrap_err();
        assert!(trouble.broken && !trouble.reason.contains("key"), "{trouble:?}");
        let map = table("tcp", &[address], "timeout = \"1s\"\n");
        assert!(ask(&Tcp::default(), &map, "key").unwrap_err().broken, "{reply:?}");
        assert!(began.elapsed().as_secs() < 20);
    }
}

/// One byte at a time, for ever: the deadline is for the whole reply.
#[test]
fn a_reply_that_never_ends_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 100]);
        let _ = stream.write_all(b"99999:OK ");
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    });
    let trouble = ask(&Socketmap::default(), &socketmap(&[address], "timeout = \"1s\"\n"), "key").unwrap_err();
    assert!(trouble.broken && trouble.reason.contains("in time"), "{trouble:?}");
}

#[test]
fn servers_in_order_and_the_next_where_one_fails() {
    let dead = "127.0.0.1:1".to_owned();
    let says = Arc::new(Mutex::new(netstring("OK first")));
    let said = Arc::clone(&says);
    let (first, count) = server(move |_| said.lock().unwrap().clone());
    let (second, _) = server(|_| netstring("OK second"));
    let table = socketmap(&[dead.clone(), first, second], "");
    let source = Socketmap::default();
    let mut line = source.connect(&table).unwrap();
    assert_eq!(source.ask(&mut line, &table, "k"), found("first"));
    // A connection of some age may break; a new one is asked for.
    *says.lock().unwrap() = None;
    assert!(source.ask(&mut line, &table, "k").unwrap_err().broken);
    *says.lock().unwrap() = netstring("OK again");
    assert_eq!(ask(&source, &table, "k"), found("again"));
    // Where that talks nonsense from the start, the next server is asked in the same breath, and stays preferred for a while.
    *says.lock().unwrap() = Some(b"junk".to_vec());
    let mut line = source.connect(&table).unwrap();
    assert_eq!(source.ask(&mut line, &table, "k"), found("second"));
    assert_eq!(source.ask(&mut line, &table, "k"), found("second"));
    assert_eq!(ask(&source, &table, "k"), found("second"));
    assert_eq!(count.load(SeqCst), 3);
    let alone = ask(&source, &socketmap(&[dead], ""), "k").unwrap_err();
    assert!(alone.broken && alone.reason.starts_with("127.0.0.1:") && alone.reason.contains("cannot connect"));
    assert!(ask(&source, &socketmap(&["unix:/nowhere/at/all".into()], ""), "k").unwrap_err().broken);
}
