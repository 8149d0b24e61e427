//! A virtual environment with the model servers, clients and readers; made once, kept in the target folder.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use super::fetch::{Tied, fetched, free_port, must_run, services_dir};
use super::http::Client;
use super::until_within;

const REQUIREMENTS: &str = include_str!("../python/requirements.txt");

/// Some model servers import for many seconds of a core, while other tests have the machine.
const START: Duration = Duration::from_secs(300);

/// The folder of the tests' Python files.
pub fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/python")
}

/// `bin` of the environment; installs it on the first call.
fn bin() -> &'static Path {
    static BIN: OnceLock<PathBuf> = OnceLock::new();
    BIN.get_or_init(|| environment("requirements.txt", REQUIREMENTS))
}

/// `bin` of a virtual environment that holds what a file of the scripts' folder lists; installed on the first call.
pub fn environment(file: &str, content: &str) -> PathBuf {
    let name = format!("python-{:016x}", xxhash_rust::xxh3::xxh3_64(content.as_bytes()));
    // A virtual environment cannot be moved: it is made at its final place and marked when it is whole.
    let dir = services_dir().join(format!("{name}-env"));
    fetched(&name, |_| {
        let fix = "install Python 3.11 or later with its venv module";
        must_run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&dir), fix);
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
        must_run(Command::new(dir.join("bin/python")).args(pip).arg(scripts().join(file)), fix);
    });
    dir.join("bin")
}

/// A command of the environment's Python, in the scripts' folder.
pub fn python(arguments: &[&str]) -> Command {
    python_of(bin(), arguments)
}

/// The same of another environment, by its `bin`.
pub fn python_of(bin: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(bin.join("python"));
    command.args(arguments).current_dir(scripts()).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Runs a script and returns what it printed; panics with its errors if it fails.
pub fn run(arguments: &[&str]) -> String {
    run_of(bin(), arguments)
}

/// The same of another environment, by its `bin`.
pub fn run_of(bin: &Path, arguments: &[&str]) -> String {
    let output = python_of(bin, arguments).output().expect("python runs");
    assert!(
        output.status.success(),
        "{arguments:?} failed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn with_topic(mut command: Command, brokers: &str, topic: &str) -> Command {
    command.env("KAFKA_BROKERS", brokers).env("KAFKA_TOPIC", topic);
    command
}

/// A Python model server, unchanged, on a free loopback port; stopped when dropped.
pub struct Server {
    pub address: SocketAddr,
    process: Tied,
    /// What it prints; shown when the test fails.
    words: File,
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut words = String::new();
        if std::thread::panicking() && self.words.rewind().and_then(|()| self.words.read_to_string(&mut words)).is_ok()
        {
            eprintln!("--- the model server's own words ---\n{words}");
        }
    }
}

impl Server {
    /// FastAPI under uvicorn.
    pub fn fastapi() -> Server {
        Server::start("/healthz", |port| {
            python(&["-m", "uvicorn", "fastapi_app:app", "--log-level", "warning", "--port", port])
        })
    }

    /// FastAPI under uvicorn, with rows that have no keys.
    pub fn fastapi_rows() -> Server {
        Server::start("/healthz", |port| {
            python(&["-m", "uvicorn", "fastapi_rows:app", "--log-level", "warning", "--port", port])
        })
    }

    /// Flask under gunicorn.
    pub fn flask() -> Server {
        Server::start("/healthz", |port| {
            let bind = format!("127.0.0.1:{port}");
            python(&["-m", "gunicorn", "flask_app:app", "--threads", "4", "--log-level", "warning", "--bind", &bind])
        })
    }

    /// The same two, which write their predictions to a topic by themselves.
    pub fn fastapi_producer(brokers: &str, topic: &str) -> Server {
        Server::start("/healthz", |port| {
            let arguments = ["-m", "uvicorn", "fastapi_producer:app", "--log-level", "warning", "--port", port];
            with_topic(python(&arguments), brokers, topic)
        })
    }

    pub fn flask_producer(brokers: &str, topic: &str) -> Server {
        Server::start("/healthz", |port| {
            let bind = format!("127.0.0.1:{port}");
            let arguments = ["-m", "gunicorn", "flask_producer:app", "--log-level", "warning", "--bind", &bind];
            with_topic(python(&arguments), brokers, topic)
        })
    }

    /// Starts the command that serves on the port it is given, and waits until `ready` is answered with 200.
    pub fn start(ready: &str, command: impl Fn(&str) -> Command) -> Server {
        let port = free_port();
        let mut command = command(&port.to_string());
        let words = tempfile::tempfile().expect("a temporary file");
        let to = || words.try_clone().expect("a file");
        command.stdin(Stdio::null()).stdout(to()).stderr(to());
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let server = Server { address, process: Tied::start(command), words };
        until_within(START, "the model server answers", || {
            assert!(!server.process.has_ended(), "the model server ended at once");
            Client::new(server.address).get(ready).is_ok_and(|answer| answer.status == 200)
        });
        server
    }
}

/// A server whose children outlive it: it is asked to end first, and what is left of its process group is killed (its command is given a
/// group of its own).
pub struct Gentle(pub Server);

impl Drop for Gentle {
    fn drop(&mut self) {
        super::process::try_signal(self.0.process.pid(), rustix::process::Signal::TERM);
        let begun = std::time::Instant::now();
        while !self.0.process.has_ended() && begun.elapsed() < std::time::Duration::from_secs(30) {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        // It is not waited for yet, so the number is still its own.
        super::process::kill_group(self.0.process.pid());
    }
}
