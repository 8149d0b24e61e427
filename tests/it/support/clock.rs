//! A wall clock of a program's own, which a test puts forward and back while the program runs.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Command;

use super::fetch::{fetched, must_run};

/// Preloaded into the program; see there.
const SOURCE: &str = include_str!("clock.c");

pub struct Clock {
    file: tempfile::NamedTempFile,
}

impl Clock {
    /// One that is this many seconds ahead of the machine's; behind it if negative.
    pub fn ahead(seconds: i64) -> Clock {
        let clock = Clock { file: tempfile::NamedTempFile::new().unwrap() };
        clock.set(seconds);
        clock
    }

    /// Puts it, for the programs that run with it as well.
    pub fn set(&self, seconds: i64) {
        self.file.as_file().write_all_at(&seconds.to_ne_bytes(), 0).unwrap();
    }

    /// What a program runs with to have it.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        vec![
            ("LD_PRELOAD", library().display().to_string()),
            ("WEIR_TEST_CLOCK", self.file.path().display().to_string()),
        ]
    }
}

fn library() -> PathBuf {
    // Built once for each text of it.
    let name = format!("clock-{:016x}", xxhash_rust::xxh3::xxh3_64(SOURCE.as_bytes()));
    let folder = fetched(&name, |folder| {
        fs::write(folder.join("clock.c"), SOURCE).unwrap();
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o", "clock.so", "clock.c"]).current_dir(folder);
        must_run(&mut compiler, "install a C compiler (`gcc`), which weir itself needs as well");
    });
    folder.join("clock.so")
}
