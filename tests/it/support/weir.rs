//! The real binary: started with a configuration, asked, killed, stopped, and accounted for.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::http::Client;
use super::{process, until, until_ok};

/// The binary that is tried: the one just built, or another one (one of the `dist` profile) that `WEIR_TEST_BINARY` names.
pub fn binary() -> String {
    std::env::var("WEIR_TEST_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_weir").to_string())
}

/// A deployment: one folder with a weir.yaml, in which a weir runs or not.
pub struct Weir {
    pub dir: PathBuf,
    child: Option<Child>,
    environment: Vec<(String, String)>,
    /// Bytes of stderr.log that earlier lives wrote.
    said_before: usize,
    /// Size in MiB of the file system that its data folder is, seen by it alone.
    small_disk: Option<u32>,
    _keep: Option<tempfile::TempDir>,
}

impl Weir {
    /// A folder with this configuration; `listen` and `admin` are added with free ports. Nothing runs yet.
    pub fn new(yaml: &str) -> Weir {
        let keep = tempfile::tempdir().expect("a temporary folder");
        let mut weir = Weir::at(keep.path(), yaml);
        weir._keep = Some(keep);
        weir
    }

    /// The same in a folder of the caller's.
    pub fn at(dir: &Path, yaml: &str) -> Weir {
        std::fs::create_dir_all(dir).expect("the folder");
        let head = "version: 1\nlisten: { address: 127.0.0.1:0 }\nadmin: { address: 127.0.0.1:0 }\n";
        std::fs::write(dir.join("weir.yaml"), format!("{head}{}", in_a_group_of_its_own(yaml))).expect("weir.yaml");
        Weir {
            dir: dir.to_path_buf(),
            child: None,
            environment: Vec::new(),
            said_before: 0,
            small_disk: None,
            _keep: None,
        }
    }

    /// Adds to the configuration, for the next start.
    pub fn more(&self, yaml: &str) {
        let path = self.dir.join("weir.yaml");
        let before = std::fs::read_to_string(&path).expect("weir.yaml");
        std::fs::write(path, before + yaml).expect("weir.yaml");
    }

    pub fn env(mut self, name: &str, value: &str) -> Weir {
        self.environment.push((name.to_string(), value.to_string()));
        self
    }

    /// Its data folder is a file system of its own of this size, gone with the process. Needs no root where user namespaces are allowed.
    pub fn on_a_small_disk(mut self, mebibytes: u32) -> Weir {
        self.small_disk = Some(mebibytes);
        std::fs::create_dir_all(self.dir.join("weir-data")).expect("the folder");
        self
    }

    /// Starts `weir run` and waits until its data port is known.
    pub fn start(mut self) -> Weir {
        self.up();
        self
    }

    /// Starts it (again).
    pub fn up(&mut self) {
        self.up_with(None);
    }

    /// The same with failpoints armed that do not end it.
    pub fn up_with(&mut self, failpoints: Option<&str>) {
        self.spawn(failpoints);
        until("weir has started", || {
            if let Some(status) = self.ended() {
                panic!("weir ended at once with {status}:\n{}", self.stderr());
            }
            self.run_file_path().exists()
        });
    }

    /// Starts it to die at a failpoint (`drain_before_create=panic`, `drain_before_create=2*off->panic`); whether it came to serve.
    pub fn up_to_die(&mut self, failpoint: &str) -> bool {
        self.spawn(Some(failpoint));
        until("weir has started or died", || self.ended().is_some() || self.run_file_path().exists());
        self.run_file_path().exists() && self.ended().is_none()
    }

    /// Waits until it has died at this failpoint; panics if it ended in another way, or elsewhere.
    pub fn until_dead(&mut self, failpoint: &str) {
        let mut status = None;
        until("weir has died", || {
            status = self.ended();
            status.is_some()
        });
        self.child = None;
        let signal = status.and_then(|status| std::os::unix::process::ExitStatusExt::signal(&status));
        assert_eq!(signal, Some(6), "it aborted: {status:?}\n{}", self.stderr());
        let name = failpoint.split('=').next().unwrap_or_default();
        let life = self.stderr().split_off(self.said_before);
        assert!(life.contains(&format!("failpoint {name} panic")), "it died elsewhere than at {name}:\n{life}");
    }

    fn spawn(&mut self, failpoints: Option<&str>) {
        assert!(self.child.is_none(), "weir runs already");
        let _gone = std::fs::remove_file(self.run_file_path());
        self.said_before = self.stderr().len();
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.dir.join("stderr.log")).expect("log");
        let out = log.try_clone().expect("log");
        let mut command = match self.small_disk {
            None => self.command(&["run"]),
            Some(mebibytes) => {
                let script = format!(
                    "mount -t tmpfs -o size={mebibytes}m weir weir-data || \
                     {{ echo 'this test mounts a tmpfs: run it as root, or allow user namespaces'; exit 1; }}; exec \"$0\" run"
                );
                let mut command = Command::new("unshare");
                command.args(["--map-root-user", "--mount", "sh", "-c", &script, &binary()]);
                command.current_dir(&self.dir).env_remove("WEIR_LOG");
                command.envs(self.environment.iter().map(|(name, value)| (name, value)));
                command
            }
        };
        command.stdin(Stdio::null()).stdout(out).stderr(log);
        if let Some(failpoints) = failpoints {
            command.env("FAILPOINTS", failpoints);
        }
        process::die_with_parent(&mut command);
        self.child = Some(command.spawn().expect("weir starts"));
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().expect("wait"))
    }

    /// As the running process sees it.
    pub fn data_dir(&self) -> PathBuf {
        let folder = self.dir.join("weir-data");
        match (&self.child, self.small_disk) {
            (Some(child), Some(_)) => {
                let root = PathBuf::from(format!("/proc/{}/root", child.id()));
                root.join(folder.strip_prefix("/").expect("an absolute path"))
            }
            _ => folder,
        }
    }

    fn run_file_path(&self) -> PathBuf {
        self.data_dir().join("run.json")
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).current_dir(&self.dir).env_remove("WEIR_LOG");
        for (name, value) in &self.environment {
            command.env(name, value);
        }
        command
    }

    /// Runs another command of the binary in the folder.
    pub fn cli(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("weir runs")
    }

    /// The same, with JSON on stdout; panics if it is none.
    pub fn cli_json(&self, arguments: &[&str]) -> Value {
        let mut all = arguments.to_vec();
        all.push("--json");
        let output = self.cli(&all);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!(
                "weir {all:?} printed no JSON ({error}), exit {}:\n{}{}",
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            )
        })
    }

    fn run_file(&self) -> Value {
        let text = std::fs::read(self.run_file_path()).expect("run.json");
        serde_json::from_slice(&text).expect("run.json is JSON")
    }

    pub fn address(&self) -> SocketAddr {
        self.run_file()["listen"].as_str().expect("listen").parse().expect("an address")
    }

    pub fn admin(&self) -> SocketAddr {
        self.run_file()["admin"].as_str().expect("admin").parse().expect("an address")
    }

    pub fn client(&self) -> Client {
        Client::new(self.address())
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("weir runs").id()
    }

    pub fn status(&self) -> Value {
        Client::new(self.admin()).get("/api/v1/status").expect("status").json()
    }

    /// What is wrong, as the status tells it: a JSON list in text.
    pub fn trouble(&self) -> String {
        self.status()["trouble"].to_string()
    }

    /// Waits until the status names this.
    pub fn names(&self, cause: &str) {
        until_ok(&format!("the trouble names `{cause}`"), || {
            Some(self.trouble()).filter(|said| !said.contains(cause)).map_or(Ok(()), Err)
        });
    }

    /// Waits until nothing is wrong (any more).
    pub fn is_well(&self) {
        until_ok("nothing is wrong", || Some(self.trouble()).filter(|said| said != "[]").map_or(Ok(()), Err));
    }

    /// So many predictions, each answered.
    pub fn post(&self, count: u64) {
        let mut client = self.client();
        for n in 0..count {
            let answer = client.post("/predict", format!(r#"{{"x":{n}}}"#).as_bytes()).expect("an answer");
            assert_eq!(answer.status, 200);
        }
    }

    /// Waits until so many calls are in the log: one that was answered a moment ago may not be.
    pub fn has_logged(&self, calls: u64) {
        until(&format!("{calls} calls are logged"), || number(&self.status(), "/calls/logged") == calls);
    }

    pub fn stderr(&self) -> String {
        std::fs::read_to_string(self.dir.join("stderr.log")).unwrap_or_default()
    }

    /// kill -9.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("weir runs");
        child.kill().expect("kill");
        child.wait().expect("wait");
    }

    /// SIGTERM, and wait for the end.
    pub fn term(&mut self) -> ExitStatus {
        process::signal(self.pid(), rustix::process::Signal::TERM);
        self.wait()
    }

    /// Waits for the end that a signal asked for.
    pub fn wait(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("weir runs");
        let mut ended = None;
        until("weir has stopped", || {
            ended = child.try_wait().expect("wait");
            ended.is_some()
        });
        ended.expect("ended")
    }

    /// `weir drain --once`; panics with its output if it fails.
    pub fn drain(&self) {
        let output = self.cli(&["drain", "--once"]);
        assert!(
            output.status.success(),
            "weir drain --once: {}{}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
            self.stderr()
        );
    }

    /// `weir drain --once` with nothing running: the status that it prints.
    pub fn drain_alone(&self) -> Value {
        assert!(self.child.is_none(), "weir runs");
        self.cli_json(&["drain", "--once"])
    }

    /// `weir verify --deep --json`, which must be ok.
    pub fn verify(&self) -> Value {
        let report = self.cli_json(&["verify", "--deep"]);
        assert_eq!(report["ok"], Value::Bool(true), "weir verify: {report:#}");
        report
    }

    /// Has the running process store everything at hand (`POST /api/v1/drain`).
    pub fn drain_running(&self) {
        let answer = Client::new(self.admin()).send("POST", "/api/v1/drain", &[], b"").expect("an answer");
        assert_eq!(answer.status, 200, "{}\n{}", String::from_utf8_lossy(&answer.body), self.stderr());
    }

    /// Waits until nothing is pending, drains, and checks the three equations and the files. The status and the report.
    pub fn settle(&self) -> (Value, Value) {
        until("nothing is pending", || {
            let status = self.status();
            number(&status, "/calls/pending") + number(&status, "/feedback/pending") == 0
        });
        self.drain_running();
        let status = self.status();
        balanced(&status);
        assert_eq!(number(&status, "/rows/backlog"), 0, "{status:#}");
        (status, self.verify())
    }

    pub fn parquet(&self) -> PathBuf {
        self.dir.join("weir-data/parquet")
    }
}

impl Drop for Weir {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _killed = child.kill();
            let _waited = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- weir's own words ({}) ---\n{}", self.dir.display(), self.stderr());
        }
    }
}

/// Deployments that name no group would all be members of one: each start and kill of one would rebalance the others.
fn in_a_group_of_its_own(yaml: &str) -> String {
    if !yaml.contains("kafka:") || yaml.contains("group:") {
        return yaml.to_owned();
    }
    let group = format!("group: g-{}", uuid::Uuid::new_v4().simple());
    let lines = || yaml.lines();
    if lines().any(|line| line.starts_with("drain: {")) {
        return yaml.replacen("drain: {", &format!("drain: {{ {group},"), 1);
    }
    if lines().any(|line| line == "drain:") {
        return yaml.replacen("drain:\n", &format!("drain:\n  {group}\n"), 1);
    }
    format!("{}\ndrain: {{ {group} }}\n", yaml.trim_end())
}

/// A number of the status; panics if it is not there.
pub fn number(status: &Value, pointer: &str) -> u64 {
    status.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {pointer} in {status:#}"))
}

pub fn dropped(status: &Value) -> u64 {
    dropped_of(&status["calls"])
}

fn dropped_of(counted: &Value) -> u64 {
    counted["dropped"].as_object().expect("dropped").values().filter_map(Value::as_u64).sum()
}

/// The equations of the ledger.
pub fn balanced(status: &Value) {
    let n = |pointer: &str| number(status, pointer);
    assert_eq!(
        n("/calls/seen"),
        n("/calls/logged") + n("/calls/pending") + dropped(status) + n("/calls/unsampled"),
        "{status:#}"
    );
    let feedback = n("/feedback/logged") + n("/feedback/pending") + dropped_of(&status["feedback"]);
    assert_eq!(n("/feedback/seen"), feedback, "{status:#}");
    assert_eq!(n("/rows/appended"), n("/rows/delivered") + n("/rows/backlog"), "{status:#}");
    assert_eq!(n("/rows/consumed"), n("/rows/stored") + n("/rows/resent"), "{status:#}");
}

/// Rows over all tables of a `weir verify` report.
pub fn rows(report: &Value) -> u64 {
    report["tables"].as_object().expect("tables").values().map(|t| t["rows"].as_u64().expect("rows")).sum()
}

/// A wait for the test's own use.
pub const SOON: Duration = Duration::from_millis(20);
