//! A second S3 server, of other people's make: moto's, in Python, in memory. It checks neither signatures nor checksums, and of
//! several completions of one key at once all win: good for what a store is asked and how, not for races.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::fetch::{Tied, free_port};
use super::python::environment;
use super::s3::{Account, Bucket};
use super::until;

const REQUIREMENTS: &str = include_str!("../python/requirements-moto.txt");

fn program() -> PathBuf {
    environment("requirements-moto.txt", REQUIREMENTS).join("moto_server")
}

/// The server that this test process shares.
pub fn account() -> Account {
    static SHARED: OnceLock<(Account, Tied)> = OnceLock::new();
    SHARED
        .get_or_init(|| {
            let port = free_port();
            let mut command = Command::new(program());
            command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
            let process = Tied::start({
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                command
            });
            until("moto answers", || {
                assert!(!process.has_ended(), "moto_server ended at once");
                TcpStream::connect(("127.0.0.1", port)).is_ok()
            });
            let [key, secret] = ["testing", "testing"].map(str::to_owned);
            (Account { endpoint: format!("http://127.0.0.1:{port}"), key, secret }, process)
        })
        .0
        .clone()
}

pub fn bucket() -> Bucket {
    Bucket::create(&account())
}
