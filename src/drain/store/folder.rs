//! A folder as a store. An object is written aside, synced, and appears under its name by `link()`, which refuses a name
//! that exists: the local form of S3's create-only write. What a glob can see is always whole.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use fail::fail_point;
use memmap2::Mmap;
use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;
use uuid::Uuid;

use super::{Content, Created, Listed, Store, StoreError, shorter};

/// Where objects are written before they have a name; `<uuid>.part`, which no glob for Parquet matches.
const ASIDE: &str = ".tmp";
/// Age from which a file that was written aside is a dead process's.
const LEFTOVER_AGE: Duration = Duration::from_secs(3600);

/// Objects as files below one folder.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    /// What is read decides what is written next, and what is deleted elsewhere: so it has to be durable when it is read.
    writes: bool,
}

impl Folder {
    /// Opens a folder to write to, made if missing; removes what dead processes left aside.
    pub fn open(root: &Path) -> Result<Folder, StoreError> {
        let root = std::path::absolute(root).map_err(io_error("find", root))?;
        let aside = root.join(ASIDE);
        make_dirs(&aside)?;
        remove_leftovers(&aside);
        Ok(Folder { root, writes: true })
    }

    /// Opens a folder to read from, and changes nothing in it.
    pub fn open_to_read(root: &Path) -> Result<Folder, StoreError> {
        let root = std::path::absolute(root).map_err(io_error("find", root))?;
        if !root.is_dir() {
            return Err(StoreError::Refused {
                action: "open",
                object: root.display().to_string(),
                why: "there is no such folder".to_owned(),
                fix: "name the folder that `store.to` names".to_owned(),
            });
        }
        Ok(Folder { root, writes: false })
    }

    fn path(&self, key: &str) -> Result<PathBuf, StoreError> {
        let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
        if !key.split('/').all(plain) || key.split('/').next() == Some(ASIDE) {
            return Err(StoreError::Refused {
                action: "use",
                object: key.to_owned(),
                why: "it is no key for files below a folder".to_owned(),
                fix: "rename the topic or model".to_owned(),
            });
        }
        Ok(self.root.join(key))
    }

    fn open_object(&self, path: &Path) -> Result<Option<File>, StoreError> {
        let file = match File::open(path) {
            Ok(file) if file.metadata().is_ok_and(|metadata| metadata.is_file()) => file,
            Ok(_) => return Ok(None),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
            Err(error) => return Err(io_error("open", path)(error)),
        };
        if self.writes {
            // Who made it may have died before it was synced into its folder.
            self.sync_folders(path)?;
        }
        Ok(Some(file))
    }

    /// Syncs the folder of `path` and those above it up to the root: each may be new, or another process's and not synced yet.
    fn sync_folders(&self, path: &Path) -> Result<(), StoreError> {
        for folder in path.ancestors().skip(1).take_while(|folder| folder.starts_with(&self.root)) {
            sync_dir(folder)?;
        }
        Ok(())
    }

    /// Collects the files below `folder` (with its key, `""` or ending in a slash) whose keys match.
    fn walk(
        &self,
        folder: &Path,
        key: &str,
        prefix: &str,
        after: &str,
        out: &mut Vec<Listed>,
    ) -> Result<(), StoreError> {
        let entries = match fs::read_dir(folder) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(()),
            entries => entries.map_err(io_error("list", folder))?,
        };
        for entry in entries {
            let entry = entry.map_err(io_error("list", folder))?;
            let name = entry.file_name();
            // No key of weir's is outside UTF-8.
            let Some(name) = name.to_str() else { continue };
            let metadata = match entry.metadata() {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                metadata => metadata.map_err(io_error("list", &entry.path()))?,
            };
            if metadata.is_dir() && !(key.is_empty() && name == ASIDE) {
                let below = format!("{key}{name}/");
                let may_match = below.starts_with(prefix) || prefix.starts_with(&below);
                let may_be_after = below.as_str() > after || after.starts_with(&below);
                if may_match && may_be_after {
                    self.walk(&entry.path(), &below, prefix, after, out)?;
                }
            } else if metadata.is_file() {
                let key = format!("{key}{name}");
                if key.starts_with(prefix) && key.as_str() > after {
                    out.push(Listed { key, bytes: metadata.len() });
                }
            }
        }
        Ok(())
    }
}

impl Store for Folder {
    fn create(&self, key: &str, content: Content<'_>) -> Result<Created, StoreError> {
        let path = self.path(key)?;
        if path.try_exists().map_err(io_error("look for", &path))? {
            self.sync_folders(&path)?;
            return Ok(Created::Exists);
        }
        let aside = Aside::write(&self.root.join(ASIDE), content)?;
        if let Some(folder) = path.parent() {
            make_dirs(folder)?;
        }
        let created = aside.publish(&path)?;
        fail_point!("store_linked");
        self.sync_folders(&path)?;
        fail_point!("store_folder_synced");
        Ok(created)
    }

    fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        let path = self.path(key)?;
        let Some(file) = self.open_object(&path)? else { return Ok(None) };
        map(&file).map(Some).map_err(io_error("read", &path))
    }

    fn tail(&self, key: &str, bytes: u64) -> Result<Option<(Bytes, u64)>, StoreError> {
        let path = self.path(key)?;
        let Some(mut file) = self.open_object(&path)? else { return Ok(None) };
        let read = || {
            let size = file.metadata()?.len();
            file.seek(SeekFrom::Start(size.saturating_sub(bytes)))?;
            let mut tail = Vec::new();
            file.take(bytes).read_to_end(&mut tail)?;
            Ok((Bytes::from(tail), size))
        };
        read().map(Some).map_err(io_error("read", &path))
    }

    fn range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>, StoreError> {
        let path = self.path(key)?;
        let Some(mut file) = self.open_object(&path)? else { return Ok(None) };
        let length = range.end.saturating_sub(range.start);
        let read = || {
            file.seek(SeekFrom::Start(range.start))?;
            let mut bytes = Vec::new();
            file.take(length).read_to_end(&mut bytes)?;
            Ok(Bytes::from(bytes))
        };
        let bytes: Bytes = read().map_err(io_error("read", &path))?;
        if bytes.len() as u64 == length { Ok(Some(bytes)) } else { Err(shorter(self, key, &range)) }
    }

    fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<Listed>, StoreError> {
        let folder_key = prefix.rfind('/').map_or("", |slash| &prefix[..=slash]);
        let folder = match folder_key {
            "" => self.root.clone(),
            key => self.path(key.trim_end_matches('/'))?,
        };
        let mut out = Vec::new();
        self.walk(&folder, folder_key, prefix, after.unwrap_or(""), &mut out)?;
        out.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(out)
    }

    fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let folder = match prefix {
            "" => self.root.clone(),
            key => self.path(key.trim_end_matches('/'))?,
        };
        let entries = match fs::read_dir(&folder) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(Vec::new());
            }
            entries => entries.map_err(io_error("list", &folder))?,
        };
        let mut out = Vec::new();
        for entry in entries {
            let entry = entry.map_err(io_error("list", &folder))?;
            let is_dir = entry.file_type().map_err(io_error("list", &folder))?.is_dir();
            match entry.file_name().into_string() {
                Ok(name) if is_dir && !(prefix.is_empty() && name == ASIDE) => out.push(name),
                _ => {}
            }
        }
        out.sort_unstable();
        Ok(out)
    }

    fn creates_late(&self) -> bool {
        false
    }

    fn address(&self) -> String {
        self.root.display().to_string()
    }
}

/// A finished file without a name in the store; removed when dropped.
struct Aside {
    path: PathBuf,
}

impl Aside {
    fn write(folder: &Path, content: Content<'_>) -> Result<Aside, StoreError> {
        make_dirs(folder)?;
        let aside = Aside { path: folder.join(format!("{}.part", Uuid::new_v4())) };
        let mut file = File::create_new(&aside.path).map_err(io_error("create", &aside.path))?;
        match content {
            Content::Bytes(bytes) => file.write_all(&bytes).map_err(io_error("write", &aside.path))?,
            // Copied, not linked: a caller that writes to its own file again must not reach what is published.
            Content::File(path) => {
                let mut from = File::open(path).map_err(io_error("open", path))?;
                let size = from.metadata().map_err(io_error("open", path))?.len();
                let copied = io::copy(&mut from, &mut file).map_err(io_error("write", &aside.path))?;
                if copied != size {
                    let changed =
                        io::Error::other(format!("it had {size} bytes, then {copied}: it changed while it was read"));
                    return Err(io_error("read", path)(changed));
                }
            }
        }
        fail_point!("store_aside_written");
        file.sync_all().map_err(io_error("sync", &aside.path))?;
        fail_point!("store_aside_synced");
        Ok(aside)
    }

    /// Gives it its name, unless somebody has it.
    fn publish(&self, path: &Path) -> Result<Created, StoreError> {
        let linked = fs::hard_link(&self.path, path);
        match linked {
            Ok(()) => Ok(Created::New),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Created::Exists),
            Err(error) if has_no_link(&error) => self.rename(path),
            Err(error) => Err(io_error("link", path)(error)),
        }
    }

    /// For file systems that have no hard links: the rename that does not replace.
    fn rename(&self, path: &Path) -> Result<Created, StoreError> {
        match rustix::fs::renameat_with(CWD, &self.path, CWD, path, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(Created::New),
            Err(Errno::EXIST) => Ok(Created::Exists),
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Err(StoreError::Refused {
                action: "create",
                object: path.display().to_string(),
                why: "its file system has neither hard links nor renames that do not replace".to_owned(),
                fix: "put `store.to` on a local file system (ext4, xfs, btrfs), or on S3".to_owned(),
            }),
            Err(errno) => Err(io_error("rename", path)(errno.into())),
        }
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        match fs::remove_file(&self.path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {} // it was renamed, or never made
            Err(error) => {
                tracing::debug!(path = %self.path.display(), %error, "left a file aside; removed at a later start")
            }
        }
    }
}

fn has_no_link(error: &io::Error) -> bool {
    // EPERM is what Linux answers for a file system without hard links.
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS))
}

fn remove_leftovers(aside: &Path) {
    let Ok(entries) = fs::read_dir(aside) else { return };
    let now = SystemTime::now();
    for entry in entries.flatten() {
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.ends_with(".part"));
        let age = entry.metadata().and_then(|metadata| metadata.modified()).map(|at| now.duration_since(at));
        if is_ours && matches!(age, Ok(Ok(age)) if age >= LEFTOVER_AGE) {
            match fs::remove_file(entry.path()) {
                Ok(()) => tracing::info!(path = %entry.path().display(), "removed a file that a dead process left"),
                Err(error) => {
                    tracing::warn!(path = %entry.path().display(), %error, "cannot remove a dead process's file")
                }
            }
        }
    }
}

/// Makes a folder and those above it; each new one is synced into its parent.
fn make_dirs(folder: &Path) -> Result<(), StoreError> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().unwrap_or(Path::new("/"));
    make_dirs(parent)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => {}
        made => made.map_err(io_error("make", folder))?,
    }
    sync_dir(parent)
}

fn sync_dir(folder: &Path) -> Result<(), StoreError> {
    File::open(folder).and_then(|dir| dir.sync_all()).map_err(io_error("sync", folder))
}

/// A file's bytes without a copy on the heap.
pub(super) fn map(file: &File) -> io::Result<Bytes> {
    if file.metadata()?.len() == 0 {
        return Ok(Bytes::new()); // a map of nothing is an error
    }
    #[expect(unsafe_code, reason = "published files never change, and the drain's own do not while they are stored")]
    let mapped = unsafe { Mmap::map(file)? };
    Ok(Bytes::from_owner(mapped))
}

pub(super) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.display().to_string();
    move |source| StoreError::Io { action, path, source }
}
