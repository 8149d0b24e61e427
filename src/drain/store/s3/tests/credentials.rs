//! AWS's default chain, each of its sources as its owner would set it up, and what happens when credentials end early.

use std::process::Command;

use super::super::*;
use super::script::*;

const CHILD: &str = "drain::store::s3::tests::credentials::in_an_environment";
/// Tries of one create in the child, which waits for nothing in between.
const TRIES: u32 = 3;

/// Run by the tests below as a process of its own: the chain is the environment's.
#[test]
#[ignore = "a part of other tests, which set its environment"]
fn in_an_environment() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let s3 = config::S3 {
        bucket: "bucket".to_owned(),
        prefix: String::new(),
        endpoint: Some(std::env::var("ENDPOINT").unwrap()),
        region: Some("us-east-1".to_owned()),
        path_style: true,
        sse_kms: None,
        multipart_bytes: config::MULTIPART_BYTES,
    };
    let store = S3Store::open(&s3, runtime.handle()).unwrap();
    for _ in 0..TRIES {
        match store.create("k", Content::Bytes(Bytes::from_static(b"content"))) {
            Ok(created) => println!("said: {created:?}"),
            Err(error) => println!("said: {:?} {error}", error.kind()),
        }
    }
}

/// Serves S3 and whatever gives credentials, runs the child in the environment that `env` makes of the server's URL, and
/// returns what it said and the keys that S3 saw, in order.
fn run(
    env: impl FnOnce(&str) -> Vec<(&'static str, String)>,
    say: impl FnMut(&Request) -> Say + Send + 'static,
) -> (Vec<String>, Vec<String>) {
    let server = scripted_by(|_| {}, say);
    let url = &server.endpoint;
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", CHILD, "--ignored", "--nocapture"]).env_clear().env("ENDPOINT", url).envs(env(url));
    let output = String::from_utf8(child.output().unwrap().stdout).unwrap();
    let said = output.lines().filter_map(|line| Some(line.split_once("said: ")?.1.to_owned())).collect();
    let requests = server.requests.lock().unwrap();
    let keys = requests.iter().filter(|request| is_s3(request)).map(key_of).collect();
    (said, keys)
}

fn is_s3(request: &Request) -> bool {
    request.head.split(' ').nth(1).unwrap().starts_with("/bucket/")
}

/// Whose signature it is, in lower case as all of the head.
fn key_of(request: &Request) -> String {
    request.head.split("credential=").nth(1).unwrap().split('/').next().unwrap().to_owned()
}

fn json(id: &str, expiration: &str) -> String {
    format!(
        r#"{{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":"{id}","SecretAccessKey":"s","Token":"t","Expiration":"{expiration}"}}"#
    )
}

const LATER: &str = "2099-01-01T00:00:00Z";

fn news(times: usize) -> Vec<String> {
    vec!["New".to_owned(); times]
}

/// A container's endpoint that gives a new key at each call.
fn container(
    expiration: impl Fn() -> String + Send + 'static,
    mut s3: impl FnMut(&str) -> Say + Send + 'static,
) -> (Vec<String>, Vec<String>) {
    let mut given = 0;
    let env = |url: &str| vec![("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{url}/creds"))];
    run(env, move |request| {
        if is_s3(request) {
            return s3(&key_of(request));
        }
        given += 1;
        Say::Answer(200, "content-type: application/json\r\n", json(&format!("key{given}"), &expiration()))
    })
}

#[test]
fn credentials_that_end_are_renewed() {
    // The SDK renews them some seconds before their end: these are to be renewed at once.
    let soon = || (jiff::Timestamp::now() + Duration::from_secs(2)).to_string();
    let (said, keys) = container(soon, |_| stored(b"content"));
    assert_eq!((said, keys), (news(3), vec!["key1".to_owned(), "key2".to_owned(), "key3".to_owned()]));
    let (said, keys) = container(|| LATER.to_owned(), |_| stored(b"content"));
    assert_eq!((said, keys), (news(3), vec!["key1".to_owned(); 3]));
}

#[test]
fn credentials_that_are_refused_are_exchanged_for_the_next_call() {
    for (status, code, kind) in
        [(400, "ExpiredToken", "Retry"), (403, "InvalidAccessKeyId", "Stop"), (403, "AccessDenied", "Stop")]
    {
        let s3 = move |key: &str| if key == "key1" { error(status, code) } else { stored(b"content") };
        let (said, keys) = container(|| LATER.to_owned(), s3);
        assert!(said[0].starts_with(kind) && said[0].contains(code), "{said:?}");
        assert_eq!(said[1..], news(2), "{code}");
        assert_eq!(keys, ["key1", "key2", "key2"], "{code}");
    }
}

#[test]
fn a_profile_that_was_changed_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("credentials");
    let profile = |id: &str| format!("[weir]\naws_access_key_id = {id}\naws_secret_access_key = s\n");
    std::fs::write(&file, profile("OLD")).unwrap();
    let env = [("AWS_SHARED_CREDENTIALS_FILE", file.display().to_string()), ("AWS_PROFILE", "weir".to_owned())];
    let new = profile("NEW");
    let (said, keys) = run(
        |_| env.to_vec(),
        move |request| match key_of(request).as_str() {
            "old" => {
                std::fs::write(&file, &new).unwrap();
                error(403, "InvalidAccessKeyId")
            }
            _ => stored(b"content"),
        },
    );
    assert!(said[0].starts_with("Stop") && said[0].contains("correct the credentials"), "{said:?}");
    assert_eq!((&said[1..], keys), (&news(2)[..], vec!["old".to_owned(), "new".to_owned(), "new".to_owned()]));
}

#[test]
fn a_program_of_the_profile_gives_them() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config");
    let given = r#"{"Version":1,"AccessKeyId":"PROGRAM","SecretAccessKey":"s"}"#;
    std::fs::write(&file, format!("[default]\ncredential_process = /bin/echo '{given}'\n")).unwrap();
    let env = |_: &str| vec![("AWS_CONFIG_FILE", file.display().to_string()), ("PATH", "/bin:/usr/bin".to_owned())];
    let (said, keys) = run(env, |_| stored(b"content"));
    assert_eq!((said, keys), (news(3), vec!["program".to_owned(); 3]));
}

#[test]
fn an_instance_gives_them() {
    let env = |url: &str| vec![("AWS_EC2_METADATA_SERVICE_ENDPOINT", url.to_owned())];
    let (said, keys) = run(env, |request| {
        let path = request.head.split(' ').nth(1).unwrap();
        match path.rsplit('/').next().unwrap() {
            _ if is_s3(request) => stored(b"content"),
            "token" => Say::Answer(200, "x-aws-ec2-metadata-token-ttl-seconds: 21600\r\n", "token".to_owned()),
            "" => Say::Answer(200, "", "role".to_owned()),
            "role" => Say::Answer(200, "", json("INSTANCE", LATER)),
            _ => Say::Answer(404, "", String::new()),
        }
    });
    assert_eq!((said, keys), (news(3), vec!["instance".to_owned(); 3]));
}

/// As in Kubernetes: a token file and a role, exchanged at STS, which is another server than S3.
#[test]
fn a_web_identity_gives_them() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "the-web-token").unwrap();
    let env = |url: &str| {
        vec![
            ("AWS_WEB_IDENTITY_TOKEN_FILE", file.display().to_string()),
            ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/weir".to_owned()),
            ("AWS_ENDPOINT_URL_STS", format!("{url}/sts")),
            ("AWS_REGION", "us-east-1".to_owned()),
        ]
    };
    let (said, keys) = run(env, |request| {
        if is_s3(request) {
            return stored(b"content");
        }
        assert!(request.head.starts_with("post /sts"), "{}", request.head);
        assert!(String::from_utf8_lossy(&request.body).contains("the-web-token"));
        let xml = format!(
            "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
             <AccessKeyId>WEB</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>\
             <Expiration>{LATER}</Expiration></Credentials></AssumeRoleWithWebIdentityResult>\
             </AssumeRoleWithWebIdentityResponse>"
        );
        Say::Answer(200, "content-type: text/xml\r\n", xml)
    });
    assert_eq!((said, keys), (news(3), vec!["web".to_owned(); 3]));
}

#[test]
fn without_any_the_message_says_where_they_are_looked_for() {
    let env = |_: &str| vec![("AWS_EC2_METADATA_DISABLED", "true".to_owned())];
    let (said, keys) = run(env, |_| stored(b"content"));
    assert!(said[0].starts_with("Stop") && said[0].contains("AWS_ACCESS_KEY_ID"), "{said:?}");
    assert_eq!(keys, Vec::<String>::new());
}
