//! Stderr as people see it: lines that stay, and on a terminal one last line that is rewritten. Log lines and the live line
//! share it, so the live line is wiped before anything else is written.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing_subscriber::fmt::MakeWriter;

/// Back to the line's start, and wipe it.
const WIPE: &str = "\r\x1b[2K";
/// No wrapping while the live line is drawn: a wrapped line could not be wiped.
const NO_WRAP: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";

/// A handle on stderr; cheap to clone.
#[derive(Clone)]
pub struct Console {
    terminal: bool,
    /// Whether the live line stands on the screen.
    live: Arc<AtomicBool>,
}

impl Console {
    pub fn stderr() -> Console {
        Console { terminal: std::io::stderr().is_terminal(), live: Arc::default() }
    }

    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Writes a line that stays.
    pub fn line(&self, text: &str) {
        self.write(format!("{}{text}\n", self.wipe()).as_bytes());
    }

    /// Rewrites the live line; nothing where there is no terminal.
    pub fn live(&self, text: &str) {
        if self.terminal {
            self.write(format!("{WIPE}{NO_WRAP}{text}{WRAP}").as_bytes());
            self.live.store(true, Ordering::Relaxed);
        }
    }

    fn wipe(&self) -> &'static str {
        if self.live.swap(false, Ordering::Relaxed) { WIPE } else { "" }
    }

    fn write(&self, bytes: &[u8]) {
        let mut stderr = std::io::stderr().lock();
        // A closed stderr is no reason to stop serving.
        if stderr.write_all(bytes).and_then(|()| stderr.flush()).is_err() {
            self.live.store(false, Ordering::Relaxed);
        }
    }
}

impl MakeWriter<'_> for Console {
    type Writer = Console;

    fn make_writer(&self) -> Console {
        self.clone()
    }
}

/// For the logger, which writes one whole line at a time.
impl Write for Console {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut line = self.wipe().as_bytes().to_vec();
        line.extend_from_slice(bytes);
        Console::write(self, &line);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
