//! Both directions, against each other and against the library's own programs (lmdb-utils, python3-lmdb).

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Cursor, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

fn file(records: &Records) -> Vec<u8> {
    let mut maker = Maker::new(Cursor::new(Vec::new())).unwrap();
    for (key, value) in records {
        maker.add(key, value).unwrap();
    }
    maker.finish().unwrap().into_inner()
}

fn get(file: &[u8], key: &[u8]) -> Option<Vec<u8>> {
    find(file, key).unwrap()
}

fn numbered(count: usize) -> Records {
    (0..count).map(|n| (format!("key-{:07}", n * 2).into_bytes(), format!("value {n}").into_bytes())).collect()
}

#[test]
fn every_record_and_nothing_else() {
    for count in [0, 1, 2, 100, 200, 1000, 30_000] {
        let records = numbered(count);
        let file = file(&records);
        for (key, value) in &records {
            assert_eq!(get(&file, key).as_ref(), Some(value));
            assert_eq!(get(&file, &[key, &b"x"[..]].concat()), None);
        }
        for other in [&b"a"[..], b"key-0000001", b"key-", b"z", b"", &[255; 511], &[0; 600]] {
            assert_eq!(get(&file, other), None);
        }
    }
}

#[test]
fn what_is_no_record_is_refused() {
    let mut maker = Maker::new(Cursor::new(Vec::new())).unwrap();
    maker.add(b"b", b"1").unwrap();
    for (key, length) in [(&b"b"[..], 1), (b"a", 1), (b"", 1), (&[b'c'; 512], 1), (b"c", LONGEST_VALUE + 1)] {
        maker.add(key, &vec![0; length]).unwrap_err();
    }
    maker.add(b"c", &vec![7; LONGEST_VALUE]).unwrap();
    let file = maker.finish().unwrap().into_inner();
    assert_eq!((get(&file, b"b").unwrap(), get(&file, b"c").unwrap().len()), (b"1".to_vec(), LONGEST_VALUE));
}

fn records() -> impl Strategy<Value = Records> {
    let value = prop_oneof![4 => prop::collection::vec(any::<u8>(), 0..60), 1 => (any::<u8>(), 1900usize..9000).prop_map(|(byte, length)| vec![byte; length])];
    let key = prop_oneof![3 => prop::collection::vec(any::<u8>(), 1..12), 1 => prop::collection::vec(any::<u8>(), 300..511)];
    prop::collection::btree_map(key, value, 0..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_records(records in records(), others in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12), 0..20)) {
        let file = file(&records);
        prop_assert_eq!(file.len() % 4096, 0);
        for key in records.keys().chain(&others) {
            let found = get(&file, key);
            prop_assert_eq!(found.as_ref(), records.get(key));
        }
    }

    /// Damage of any kind ends in an answer or an error, in bounded time.
    #[test]
    fn any_damage(records in records(), damage in prop::collection::vec((any::<u32>(), any::<u8>()), 1..40), cut in any::<u32>()) {
        let mut file = file(&records);
        for (place, byte) in damage {
            let place = place as usize % file.len();
            file[place] = byte;
        }
        for key in records.keys() {
            let _ = find(file.as_slice(), key);
        }
        file.truncate(cut as usize % file.len());
        let _ = find(file.as_slice(), b"key");
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..9000)) {
        assert!(find(bytes.as_slice(), b"key").is_err());
    }
}

/// A page that is its own child.
#[test]
fn a_tree_that_goes_round_ends() {
    let mut file = file(&numbered(3000));
    let root = u64::from_ne_bytes(file[4096 + 16 + 72 + 40..][..8].try_into().unwrap());
    let page = usize::try_from(root).unwrap() * 4096;
    for index in 0..8 {
        let node = page + usize::from(u16::from_ne_bytes(file[page + 16 + 2 * index..][..2].try_into().unwrap()));
        file[node..node + 4].copy_from_slice(&u32::try_from(root).unwrap().to_ne_bytes());
    }
    assert!(matches!(find(file.as_slice(), b"key-0000000"), Err(Fault::Damaged(why)) if why.contains("deep")));
}

fn is_there(program: &str, arguments: &[&str]) -> bool {
    let there =
        Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    if !there {
        eprintln!("SKIPPED: {program} is not installed; scripts/test installs it");
    }
    there
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn some_of_all_sizes() -> Records {
    let mut records = numbered(20_000);
    for n in 0..300usize {
        let key = [hexadecimal(&n.to_be_bytes()).into_bytes(), vec![b'k'; n * 3 % 480]].concat();
        records.insert(key, vec![u8::try_from(n % 251).unwrap(); n * 97 % 10_000]);
    }
    records
}

#[test]
fn the_library_reads_what_is_written_here_and_goes_on_with_it() {
    if !is_there("mdb_stat", &["-V"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("map");
    let records = some_of_all_sizes();
    fs::write(&path, file(&records)).unwrap();
    let dump = Command::new("mdb_dump").arg("-n").arg(&path).output().unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    let text = String::from_utf8(dump.stdout).unwrap();
    let lines: Vec<&str> =
        text.lines().skip_while(|line| *line != "HEADER=END").skip(1).filter_map(|line| line.strip_prefix(' ')).collect();
    let expected: Vec<String> = records.iter().flat_map(|(key, value)| [hexadecimal(key), hexadecimal(value)]).collect();
    assert_eq!(lines, expected);
    // Its own asserts are on: a tree that it would not have made itself ends the program.
    let mut load = Command::new("mdb_load").args(["-n", "-T"]).arg(&path).stdin(Stdio::piped()).spawn().unwrap();
    let more: String = (0..20_000).map(|n| format!("key-{:07}\nodd {n}\n", n * 2 + 1)).collect();
    load.stdin.take().unwrap().write_all(more.as_bytes()).unwrap();
    assert!(load.wait().unwrap().success());
    let open = File::open(&path).unwrap();
    for n in (0..20_000).step_by(7) {
        assert_eq!(find(&open, format!("key-{:07}", n * 2 + 1).as_bytes()).unwrap().unwrap(), format!("odd {n}").into_bytes());
        assert_eq!(find(&open, format!("key-{:07}", n * 2).as_bytes()).unwrap().unwrap(), format!("value {n}").into_bytes());
    }
}

/// Puts and deletes at random, in transactions of all sizes, then says what must be there.
const WRITER: &str = r#"
import lmdb, random, sys
random.seed(int(sys.argv[2]))
env = lmdb.open(sys.argv[1], subdir=False, map_size=1 << 26, lock=False)
there = {}
for _ in range(60):
    with env.begin(write=True) as txn:
        for _ in range(random.choice([1, 10, 400])):
            key = b'%x' % random.getrandbits(random.choice([4, 12, 40])) * random.choice([1, 1, 30])
            if random.random() < 0.3:
                txn.delete(key); there.pop(key, None)
            else:
                value = random.randbytes(random.choice([0, 5, 5, 5, 100, 3000, 20000]))
                txn.put(key, value); there[key] = value
for key, value in there.items():
    print(key.hex(), value.hex())
"#;

fn bytes(hexadecimal: &str) -> Vec<u8> {
    (0..hexadecimal.len()).step_by(2).map(|at| u8::from_str_radix(&hexadecimal[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn what_the_library_wrote_is_read() {
    if !is_there("/usr/bin/python3", &["-c", "import lmdb"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for seed in 0..6 {
        let path = folder.path().join(format!("map{seed}"));
        let output = Command::new("/usr/bin/python3").args(["-c", WRITER]).arg(&path).arg(seed.to_string()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let there: Records = std::str::from_utf8(&output.stdout)
            .unwrap()
            .lines()
            .map(|line| line.split_once(' ').unwrap())
            .map(|(key, value)| (bytes(key), bytes(value)))
            .collect();
        assert!(there.len() > 100);
        let open = File::open(&path).unwrap();
        for (key, value) in &there {
            assert_eq!(find(&open, key).unwrap().as_ref(), Some(value));
            let other = [key, &b"!"[..]].concat();
            assert_eq!(find(&open, &other).unwrap(), None);
        }
    }
}

/// Two records change together in every commit.
const RESTLESS: &str = r#"
import lmdb, sys
env = lmdb.open(sys.argv[1], subdir=False, map_size=1 << 26, lock=False, sync=False)
n = 0
print('ready', flush=True)
while True:
    n += 1
    with env.begin(write=True) as txn:
        for key in range(n % 50, 2000, 50):
            txn.put(b'other-%d' % key, b'%d' % n * (n % 300))
        txn.put(b'fixed', b'f' * 3000)
"#;

struct Ends(std::process::Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn restless(path: &Path) -> Ends {
    use std::io::BufRead as _;
    let mut child = Command::new("/usr/bin/python3").args(["-c", RESTLESS]).arg(path).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    Ends(child)
}

#[test]
fn a_look_up_while_others_commit_is_of_one_state() {
    if !is_there("/usr/bin/python3", &["-c", "import lmdb"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("map");
    let mut records = numbered(0);
    records.insert(b"fixed".to_vec(), vec![b'f'; 3000]);
    fs::write(&path, file(&records)).unwrap();
    let _writer = restless(&path);
    let open = File::open(&path).unwrap();
    let state = || {
        let mut page = [0; 4096];
        (0..2)
            .map(|n| {
                Bytes::read_at(&open, n * 4096, &mut page).unwrap();
                page::Meta::read(&page).unwrap().transaction
            })
            .max()
    };
    let (mut asked, mut seen) = (0, std::collections::HashSet::new());
    // Until enough commits have passed by.
    while seen.len() < 200 {
        assert!(asked < 20_000_000);
        asked += 1;
        match find(&open, b"fixed") {
            Ok(value) => assert_eq!(value.unwrap(), vec![b'f'; 3000]),
            Err(Fault::Busy) => {}
            Err(e) => panic!("{e}"),
        }
        seen.insert(state());
    }
}
