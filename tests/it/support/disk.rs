//! Disks that fail on demand: a small one, and one whose writes and syncs fail or wait while the test says so.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::fetch::{Tied, fetched, must_run};
use super::until;

/// Preloaded into the real binary: what the log asks of the disk (`pwrite`, `fsync`, `fdatasync`) does what a file says.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* "write 30": the call fails with errno 30. "sync -3000": it waits for 3,000 ms first. */
static int fails(const char *call) {
    char text[64] = {0}, what[16];
    int number;
    const char *path = getenv("WEIR_BAD_DISK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0 || sscanf(text, "%15s %d", what, &number) != 2 || strcmp(what, call)) return 0;
    if (number < 0) {
        usleep(-number * 1000);
        return 0;
    }
    errno = number;
    return 1;
}

int fsync(int fd) {
    return fails("sync") ? -1 : ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}
int fdatasync(int fd) {
    return fails("sync") ? -1 : ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    if (fails("write")) return -1;
    return ((ssize_t (*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64"))(fd, bytes, count, at);
}
"#;

/// A small file system over a folder, seen by the processes that are started through it. Needs no root where user namespaces are allowed.
pub struct SmallDisk {
    folder: PathBuf,
    /// Keeps the mount.
    holder: Tied,
}

impl SmallDisk {
    pub fn over(folder: &Path, mebibytes: u32) -> SmallDisk {
        std::fs::create_dir_all(folder).unwrap();
        let script =
            format!("mount -t tmpfs -o size={mebibytes}m weir \"$0\" && mkdir \"$0/here\" && exec sleep infinity");
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", &script]).arg(folder);
        let disk = SmallDisk { folder: folder.to_path_buf(), holder: Tied::start(command) };
        until("the small disk is mounted (as root, or where user namespaces are allowed)", || {
            disk.seen().join("here").is_dir()
        });
        disk
    }

    /// What the script made, for what is to lie on it.
    pub fn path(&self) -> PathBuf {
        self.folder.join("here")
    }

    /// To start a program that sees it.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--preserve-credentials", "--user", "--mount", "--target"]).arg(self.holder.pid().to_string());
        command.arg(program);
        command
    }

    /// Takes all the room that is left, until [`SmallDisk::has_room`].
    pub fn is_full(&self) {
        let mut file = std::fs::File::create(self.seen().join("ballast")).unwrap();
        let (Ok(_) | Err(_)) = std::io::copy(&mut std::io::repeat(1), &mut file);
    }

    pub fn has_room(&self) {
        std::fs::remove_file(self.seen().join("ballast")).unwrap();
    }

    /// The folder as its processes see it, for who does not.
    fn seen(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.pid()));
        root.join(self.folder.strip_prefix("/").expect("an absolute path"))
    }
}

/// `write` and `sync`, as the fault's first word.
pub enum Fault {
    /// Every write fails with this errno.
    Write(i32),
    /// Every sync does.
    Sync(i32),
    /// Every sync waits so many milliseconds.
    SlowSync(u32),
}

pub struct BadDisk {
    control: PathBuf,
    library: PathBuf,
}

impl BadDisk {
    /// A disk that is well until the test says otherwise; its control file is in `folder`.
    pub fn new(folder: &Path) -> BadDisk {
        let library = fetched("bad-disk-1", |folder| {
            let source = folder.join("bad_disk.c");
            std::fs::write(&source, SHIM).unwrap();
            let mut cc = Command::new("cc");
            cc.args(["-shared", "-fPIC", "-o"]).arg(folder.join("bad_disk.so")).arg(&source).arg("-ldl");
            must_run(&mut cc, "install a C compiler, which weir itself needs too");
        })
        .join("bad_disk.so");
        BadDisk { control: folder.join("bad-disk"), library }
    }

    /// For the environment of the binary.
    pub fn env(&self) -> [(&'static str, String); 2] {
        [("LD_PRELOAD", self.library.display().to_string()), ("WEIR_BAD_DISK", self.control.display().to_string())]
    }

    pub fn set(&self, fault: &Fault) {
        let text = match fault {
            Fault::Write(errno) => format!("write {errno}"),
            Fault::Sync(errno) => format!("sync {errno}"),
            Fault::SlowSync(ms) => format!("sync -{ms}"),
        };
        // Whole or not at all: it is read at any time.
        let aside = self.control.with_extension("new");
        std::fs::write(&aside, text).unwrap();
        std::fs::rename(aside, &self.control).unwrap();
    }

    pub fn heal(&self) {
        std::fs::remove_file(&self.control).unwrap();
    }
}
