//! Fetches the programs that the tests talk to, once, into `services/` of cargo's target folder, and starts them so that
//! they end with the test.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Signal, set_parent_process_death_signal};

/// Where what was fetched is kept from run to run: `services/` in cargo's target folder.
pub fn services_dir() -> PathBuf {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let services = tmp.parent().expect("cargo's tmp folder lies in its target folder").join("services");
    // Several target folders may share it through a link; what remembers its path (a virtual environment) must not remember a link.
    services.canonicalize().unwrap_or(services)
}

/// The folder `services/<name>`, made by `make` if it is not there yet. `name` holds the version. `make` fills the folder it is
/// given, which gets its name only when `make` returns; tests that want the same folder at the same time wait for one of them.
pub fn fetched(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let services = services_dir();
    let folder = services.join(name);
    if folder.is_dir() {
        return folder;
    }
    fs::create_dir_all(&services).unwrap();
    let lock = File::create(services.join(format!("{name}.lock"))).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    if folder.is_dir() {
        return folder; // another test, or another test run, was first
    }
    let unfinished = services.join(format!("{name}.part"));
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).unwrap();
    }
    fs::create_dir_all(&unfinished).unwrap();
    eprintln!("fetching {name} (once; kept in {})", services.display());
    make(&unfinished);
    fs::rename(&unfinished, &folder).unwrap();
    folder
}

/// Runs a fetching command to its end. `fix`: what to do when its program is not installed.
pub fn must_run(command: &mut Command, fix: &str) {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.stdin(Stdio::null()).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => panic!("`{program}` is not installed: {fix}"),
        Err(error) => panic!("cannot run `{program}`: {error}"),
        Ok(output) if !output.status.success() => {
            let stderr = String::from_utf8_lossy(&output.stderr);
            let stdout = String::from_utf8_lossy(&output.stdout);
            panic!("{command:?} failed ({}):\n{stdout}{stderr}", output.status);
        }
        Ok(_) => {}
    }
}

/// A loopback port that nobody listens on. Somebody may take it before it is used: start again with another if the server ends at once.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// A process that is killed when this is dropped, and by the kernel when the test process ends in any other way.
pub struct Tied {
    pid: u32,
    ended: Option<SyncSender<()>>,
    keeper: Option<JoinHandle<ExitStatus>>,
}

impl Tied {
    pub fn start(mut command: Command) -> Tied {
        // SAFETY: a single system call, which may be made between fork and exec.
        #[expect(unsafe_code, reason = "asking for a signal at the parent's death has to happen in the child")]
        unsafe {
            command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
        }
        // The kernel takes the death of the starting *thread* for the parent's: so a thread of its own starts it and stays.
        let (started, start) = sync_channel::<std::io::Result<u32>>(1);
        let (ended, end) = sync_channel::<()>(1);
        let program = command.get_program().to_string_lossy().into_owned();
        let keeper = std::thread::Builder::new().name(format!("keeper of {program}")).spawn(move || {
            let mut child: Child = match command.spawn() {
                Ok(child) => child,
                Err(error) => {
                    started.send(Err(error)).unwrap();
                    return ExitStatus::default();
                }
            };
            started.send(Ok(child.id())).unwrap();
            // Ends with an error: nothing is ever sent.
            let (Ok(()) | Err(_)) = end.recv();
            let (Ok(()) | Err(_)) = child.kill();
            child.wait().unwrap()
        });
        let pid = start.recv().unwrap().unwrap_or_else(|error| panic!("cannot start `{program}`: {error}"));
        Tied { pid, ended: Some(ended), keeper: Some(keeper.unwrap()) }
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    pub fn signal(&self, signal: Signal) {
        super::process::signal(self.pid, signal);
    }

    /// Whether it has ended by itself (it stays a zombie until this is dropped).
    pub fn has_ended(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        // The state follows the name, which is in brackets and may hold anything.
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
    }
}

impl Drop for Tied {
    fn drop(&mut self) {
        drop(self.ended.take());
        if let Some(keeper) = self.keeper.take() {
            let (Ok(_) | Err(_)) = keeper.join();
        }
    }
}
