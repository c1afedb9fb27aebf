//! Folders of the postoffice, their modes, and the hash folders 00..3f.
use std::io;
use std::path::Path;
use envelope::MessageId;

/// An open postoffice: folder descriptors, so that every later call is relative to them (openat, renameat).
#[derive(Debug)]
pub struct Spool { _todo: () }
/// Who owns the folders when made by root; `None` fields leave what is there.
#[derive(Debug, Clone, Copy, Default)]
pub struct Owners {
    /// Owner of the folders (numeric).
    pub uid: Option<u32>,
    /// Group of the files in the spool.
    pub gid: Option<u32>,
    /// Group that may submit: public/ and router/ become 03730 with it.
    pub submit_gid: Option<u32>,
}
/// What `Spool::create` made or mended.
#[derive(Debug, Default)]
pub struct Layout { pub made: Vec<String> }
impl Spool {
    /// Makes what is missing (public router queue/00..3f transport/00..3f deferred freezer) and sets modes.
    pub fn create(root: &Path, owners: &Owners) -> io::Result<Layout> { let _ = (root, owners); todo!() }
    /// Opens what exists. Does not need rights to folders that the caller never uses (they are opened on first use).
    pub fn open(root: &Path) -> io::Result<Self> { let _ = root; todo!() }
    /// Free bytes and free inodes of the filesystem.
    pub fn free(&self) -> io::Result<(u64, u64)> { todo!() }
    /// `public/<id>` as a path for a content filter program.
    pub fn public_path(&self, id: MessageId) -> std::path::PathBuf { let _ = id; todo!() }
}
