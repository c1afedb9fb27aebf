//! Any bytes as an LMDB file: a look-up ends.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut maker = lmdb::Maker::new(std::io::Cursor::new(Vec::new())).unwrap();
    for n in 0..300u32 {
        maker.add(&n.to_be_bytes(), &vec![b'v'; n as usize * 7]).unwrap();
    }
    let mut file = maker.finish().unwrap().into_inner();
    // Places of two bytes and what stands there instead.
    for damage in bytes.chunks_exact(3) {
        let place = usize::from(u16::from_le_bytes([damage[0], damage[1]])) * 7 % file.len();
        file[place] = damage[2];
    }
    for key in [0u32, 7, 150, 299, 300] {
        let _ = lmdb::find(file.as_slice(), &key.to_be_bytes());
    }
    let _ = lmdb::find(bytes, b"key");
});
