//! A real S3 server: VersityGW on a folder, or the one that `WEIR_TEST_S3=endpoint,key,secret` names.

use std::fs::File;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use aws_config::BehaviorVersion;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Credentials, Region};
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use weir::config;

use super::fetch::{Tied, fetched, free_port, must_run};

const VERSION: &str = "v1.8.0";
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// Where a test's bucket is, and the keys to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// `http://127.0.0.1:port`.
    pub endpoint: String,
    pub key: String,
    pub secret: String,
}

impl Account {
    /// What the AWS tools and SDKs read; for the real binary's environment.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ACCESS_KEY_ID", self.key.clone()),
            ("AWS_SECRET_ACCESS_KEY", self.secret.clone()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ]
    }
}

/// A VersityGW of one's own, stopped when dropped. Tests that do not stop or pause it use [`bucket`].
pub struct Gateway {
    pub account: Account,
    program: PathBuf,
    address: String,
    process: Option<Tied>,
    folder: TempDir,
}

impl Gateway {
    pub fn start() -> Gateway {
        let program = fetched(&format!("versitygw-{VERSION}"), |folder| {
            let package = format!("github.com/versity/versitygw/cmd/versitygw@{VERSION}");
            let fix = "install Go (https://go.dev/dl), which builds the tests' S3 server, or set WEIR_TEST_S3=endpoint,key,secret";
            must_run(Command::new("go").args(["install", &package]).env("GOBIN", folder), fix);
        })
        .join("versitygw");
        remove_dead_folders();
        let prefix = format!("s3-{}-", std::process::id());
        let folder = tempfile::Builder::new().prefix(&prefix).tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        std::fs::create_dir(folder.path().join("objects")).unwrap();
        let account =
            Account { endpoint: String::new(), key: "weirtest".to_owned(), secret: "weirtestsecret".to_owned() };
        let mut gateway = Gateway { account, program, address: String::new(), process: None, folder };
        // Another process may take the port between the look and the start.
        for _ in 0..5 {
            gateway.address = format!("127.0.0.1:{}", free_port());
            gateway.account.endpoint = format!("http://{}", gateway.address);
            if gateway.spawn() {
                return gateway;
            }
        }
        panic!("versitygw did not start five times in a row");
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Stops it as a long pause would (SIGSTOP): its connections stay open.
    pub fn pause(&self) {
        self.process.as_ref().expect("the server runs").signal(Signal::STOP);
    }

    pub fn resume(&self) {
        self.process.as_ref().expect("the server runs").signal(Signal::CONT);
    }

    /// `host:port`, for a relay.
    pub fn address(&self) -> std::net::SocketAddr {
        self.address.parse().expect("an address")
    }

    /// Starts a killed one again, on the same port and folder.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "it runs");
        assert!(self.spawn(), "versitygw did not start again");
    }

    fn spawn(&mut self) -> bool {
        let log = self.folder.path().join("log");
        let output = File::create(&log).unwrap();
        let mut command = Command::new(&self.program);
        command
            .args(["--port", &self.address, "posix"])
            .arg(self.folder.path().join("objects"))
            .env("ROOT_ACCESS_KEY", &self.account.key)
            .env("ROOT_SECRET_KEY", &self.account.secret)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output);
        let process = Tied::start(command);
        let deadline = Instant::now() + START_TIMEOUT;
        while Instant::now() < deadline && !process.has_ended() {
            if TcpStream::connect(&self.address).is_ok() && !process.has_ended() {
                self.process = Some(process);
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        eprintln!("versitygw did not start:\n{}", std::fs::read_to_string(&log).unwrap_or_default());
        false
    }
}

/// Removes the folders of test processes that have ended: the shared server lives as long as its process, so nobody drops it.
fn remove_dead_folders() {
    for entry in std::fs::read_dir(env!("CARGO_TARGET_TMPDIR")).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix("s3-").and_then(|rest| rest.split_once('-')).map(|(pid, _)| pid.to_owned());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let (Ok(()) | Err(_)) = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// The account that this test process shares: one server for all tests, each with a bucket of its own.
pub fn account() -> Account {
    static SHARED: OnceLock<(Account, Option<Gateway>)> = OnceLock::new();
    let start = || match std::env::var("WEIR_TEST_S3") {
        Ok(text) => match text.split(',').collect::<Vec<_>>()[..] {
            [endpoint, key, secret] => {
                let [endpoint, key, secret] = [endpoint, key, secret].map(str::to_owned);
                (Account { endpoint, key, secret }, None)
            }
            _ => panic!("WEIR_TEST_S3 is not `endpoint,key,secret`"),
        },
        Err(_) => {
            let gateway = Gateway::start();
            (gateway.account.clone(), Some(gateway))
        }
    };
    SHARED.get_or_init(start).0.clone()
}

/// A new bucket on the shared server.
pub fn bucket() -> Bucket {
    Bucket::create(&account())
}

/// A bucket of one test, seen through a client that is not weir's.
pub struct Bucket {
    pub account: Account,
    pub name: String,
    client: Client,
    runtime: Runtime,
}

impl Bucket {
    pub fn create(account: &Account) -> Bucket {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .endpoint_url(&account.endpoint)
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new(&account.key, &account.secret, None, None, "test"))
            .force_path_style(true)
            .build();
        let client = Client::from_conf(config);
        let name = format!("weir-{}", uuid::Uuid::new_v4().simple());
        runtime.block_on(client.create_bucket().bucket(&name).send()).unwrap();
        Bucket { account: account.clone(), name, client, runtime }
    }

    /// How weir is told of it.
    pub fn config(&self, prefix: &str) -> config::S3 {
        config::S3 {
            bucket: self.name.clone(),
            prefix: prefix.to_owned(),
            endpoint: Some(self.account.endpoint.clone()),
            region: Some("us-east-1".to_owned()),
            path_style: true,
            sse_kms: None,
            multipart_bytes: config::MULTIPART_BYTES,
        }
    }

    /// A runtime that lives as long as the bucket, for stores opened on it.
    pub fn runtime(&self) -> &tokio::runtime::Handle {
        self.runtime.handle()
    }

    /// Keys of the Parquet files, sorted.
    pub fn files(&self) -> Vec<String> {
        self.keys().into_iter().filter(|key| key.ends_with(".parquet")).collect()
    }

    /// Every key, in the server's order.
    pub fn keys(&self) -> Vec<String> {
        self.runtime.block_on(async {
            let mut pages = self.client.list_objects_v2().bucket(&self.name).into_paginator().send();
            let mut keys = Vec::new();
            while let Some(page) = pages.next().await {
                keys.extend(page.unwrap().contents().iter().filter_map(|object| object.key().map(str::to_owned)));
            }
            keys
        })
    }

    pub fn get(&self, key: &str) -> Vec<u8> {
        self.runtime.block_on(async {
            let object = self.client.get_object().bucket(&self.name).key(key).send().await.unwrap();
            object.body.collect().await.unwrap().to_vec()
        })
    }

    pub fn etag(&self, key: &str) -> String {
        let head = self.client.head_object().bucket(&self.name).key(key);
        self.runtime.block_on(head.send()).unwrap().e_tag().unwrap_or_default().to_owned()
    }

    /// Uploads in parts that were neither completed nor aborted.
    pub fn unfinished_uploads(&self) -> usize {
        let list = self.client.list_multipart_uploads().bucket(&self.name);
        self.runtime.block_on(list.send()).unwrap().uploads().len()
    }

    /// Writes over whatever is there: damage, as no weir would do it.
    pub fn put(&self, key: &str, bytes: Vec<u8>) {
        let put = self.client.put_object().bucket(&self.name).key(key).body(bytes.into());
        self.runtime.block_on(put.send()).unwrap();
    }

    /// Keeps what is written over or deleted, as a bucket with versions does.
    pub fn keep_versions(&self) {
        let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        let put = self.client.put_bucket_versioning().bucket(&self.name).versioning_configuration(enabled);
        self.runtime.block_on(put.send()).unwrap();
    }

    /// Takes the markers away that stand where keys were deleted: what they hid is there again.
    pub fn undelete(&self) {
        self.runtime.block_on(async {
            let versions = self.client.list_object_versions().bucket(&self.name).send().await.unwrap();
            for marker in versions.delete_markers() {
                let delete = self.client.delete_object().bucket(&self.name).set_key(marker.key.clone());
                delete.set_version_id(marker.version_id.clone()).send().await.unwrap();
            }
        });
    }

    pub fn delete(&self, key: &str) {
        let delete = self.client.delete_object().bucket(&self.name).key(key);
        self.runtime.block_on(delete.send()).unwrap();
    }
}
