//! The ledger's file: one page, mapped, its counters added to in place.
//!
//! ```text
//!   0  magic     8 bytes  "weirldgr"
//!   8  version   u32      1
//!  64  seen      u64      each group on a cache line of its own
//! 128  unsampled u64
//! 192  dropped   u64 x 64 by `Reason`; slots of reasons that do not exist yet are zero
//! 704  seen      u64      the same of feedbacks, of which none is unsampled; zero in a file of an older weir
//! 768  dropped   u64 x 64
//! ```
//!
//! Numbers are in the machine's byte order: the file belongs to its `data_dir` and does not travel without it.
//! The page belongs to the kernel as soon as a counter is added to, so a killed process loses nothing.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::atomic::AtomicU64;

use memmap2::{MmapOptions, MmapRaw};

use super::{Group, LedgerError, Reason};

const MAGIC: &[u8; 8] = b"weirldgr";
const VERSION: u32 = 1;
const FILE_BYTES: usize = 4096;
const SEEN_AT: usize = 64;
const UNSAMPLED_AT: usize = 128;
const DROPPED_AT: usize = 192;
const FEEDBACK_SEEN_AT: usize = 704;
const FEEDBACK_DROPPED_AT: usize = 768;
const DROPPED_SLOTS: usize = 64;

impl Group {
    fn seen_at(self) -> usize {
        match self {
            Group::Calls => SEEN_AT,
            Group::Feedback => FEEDBACK_SEEN_AT,
        }
    }

    fn dropped_at(self) -> usize {
        match self {
            Group::Calls => DROPPED_AT,
            Group::Feedback => FEEDBACK_DROPPED_AT,
        }
    }
}

/// The counters of one open file.
pub(super) struct Counters {
    map: MmapRaw,
}

impl Counters {
    pub(super) fn open(path: &Path) -> Result<Counters, LedgerError> {
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => match check(path, &file)? {
                Found::Ledger => file,
                Found::Nothing => {
                    tracing::warn!(path = %path.display(), "made the ledger anew: its file was empty");
                    create(path)?
                }
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => create(path)?,
            Err(source) => return Err(io("open", path, source)),
        };
        let map = MmapOptions::new().len(FILE_BYTES).map_raw(&file).map_err(|source| io("map", path, source))?;
        Ok(Counters { map })
    }

    pub(super) fn seen(&self, of: Group) -> &AtomicU64 {
        self.slot(of.seen_at())
    }

    pub(super) fn unsampled(&self) -> &AtomicU64 {
        self.slot(UNSAMPLED_AT)
    }

    pub(super) fn dropped(&self, of: Group, reason: Reason) -> &AtomicU64 {
        self.slot(of.dropped_at() + 8 * reason as usize)
    }

    #[expect(
        unsafe_code,
        reason = "a counter that survives kill -9 is an atomic in a mapped page; there is no safe way to it"
    )]
    fn slot(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= FILE_BYTES, "a slot lies within the page and is aligned");
        let counter = self.map.as_mut_ptr().wrapping_add(offset).cast::<u64>();
        // SAFETY: the mapping is FILE_BYTES long, page-aligned and lives as long as `self`; `offset` was checked; every
        // access in this process goes through atomics, and `data_dir/lock` keeps other processes away. A file that somebody
        // cuts while it is mapped ends the process (SIGBUS); its blocks were written, so a full disk does not.
        unsafe { AtomicU64::from_ptr(counter) }
    }
}

impl Drop for Counters {
    fn drop(&mut self) {
        // Only a power cut after a clean stop would need it, and then `open` joins the two again.
        if let Err(error) = self.map.flush() {
            tracing::debug!(%error, "could not sync the ledger");
        }
    }
}

enum Found {
    Ledger,
    /// Empty or all zero: nothing was ever written here, or a power cut took it.
    Nothing,
}

fn check(path: &Path, file: &File) -> Result<Found, LedgerError> {
    let mut bytes = Vec::with_capacity(FILE_BYTES + 1);
    file.take(FILE_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|source| io("read", path, source))?;
    if bytes.iter().all(|&byte| byte == 0) && bytes.len() <= FILE_BYTES {
        return Ok(Found::Nothing);
    }
    let damaged = |why: String| LedgerError::Damaged { path: path.to_owned(), why };
    if bytes.len() < 12 || &bytes[..8] != MAGIC {
        return Err(damaged("it does not begin with the ledger's mark".to_owned()));
    }
    let version = u32::from_ne_bytes(bytes[8..12].try_into().expect("four bytes"));
    if version != VERSION {
        if version.swap_bytes() == VERSION {
            return Err(damaged("it was written on a machine of the other byte order".to_owned()));
        }
        return Err(LedgerError::Newer {
            path: path.to_owned(),
            why: format!("version {version}, this one knows {VERSION}"),
        });
    }
    if bytes.len() != FILE_BYTES {
        return Err(damaged(format!("it is {} bytes long, not {FILE_BYTES}", file_bytes(file, bytes.len()))));
    }
    let word = |offset: usize| u64::from_ne_bytes(bytes[offset..offset + 8].try_into().expect("eight bytes"));
    let known = Reason::ALL.len();
    let beyond = |of: Group| (known..DROPPED_SLOTS).any(|slot| word(of.dropped_at() + 8 * slot) != 0);
    if Group::ALL.into_iter().any(beyond) {
        return Err(LedgerError::Newer {
            path: path.to_owned(),
            why: "it counts reasons this one does not know".to_owned(),
        });
    }
    // No machine counts this far: such a number is damage, and would make every sum wrong.
    let of_group =
        |of: Group| std::iter::once(of.seen_at()).chain((0..known).map(move |slot| of.dropped_at() + 8 * slot));
    let mut counted = Group::ALL.into_iter().flat_map(of_group).chain([UNSAMPLED_AT]);
    if counted.any(|offset| word(offset) > u64::MAX >> 8) {
        return Err(damaged("a counter is impossibly high".to_owned()));
    }
    Ok(Found::Ledger)
}

fn file_bytes(file: &File, read: usize) -> u64 {
    file.metadata().map_or(read as u64, |metadata| metadata.len())
}

/// Writes a whole page aside and renames it, so that a ledger is never seen half made, and its blocks exist.
fn create(path: &Path) -> Result<File, LedgerError> {
    let aside = path.with_extension("new");
    let mut page = [0u8; FILE_BYTES];
    page[..8].copy_from_slice(MAGIC);
    page[8..12].copy_from_slice(&VERSION.to_ne_bytes());
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&aside)
        .map_err(|source| io("create", path, source))?;
    file.write_all(&page).and_then(|()| file.sync_all()).map_err(|source| io("write", path, source))?;
    std::fs::rename(&aside, path).map_err(|source| io("rename", path, source))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|source| io("sync the folder of", path, source))?;
    Ok(file)
}

fn io(what: &'static str, path: &Path, source: std::io::Error) -> LedgerError {
    LedgerError::Io { what, path: path.to_owned(), source }
}
