//! Each action of redaction, in front of a server that echoes everything: a canary under a redacted name is in no file, column,
//! page or log line, whatever the form of the body. `canaries.rs` sends every protocol
//! through Kafka, `secrets.rs` asks FastAPI's error texts.

use std::io::{BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;

use crate::support::http::{Asked, Client};
use crate::support::until;
use crate::support::weir::{Weir, number};

/// All actions find it: it is the beginning of an address.
const CANARY: &str = "canary-2b9e41-kept-nowhere@example.com";
/// What is searched for: no action may leave this much.
const SOUGHT: &str = "canary-2b9e41";
/// Under a name without a rule: found, or the search is blind.
const CONTROL: &str = "control-7d10aa-kept-as-it-is";
const KEY: &str = "a key of more than sixteen bytes";
/// `printf %s canary-2b9e41-kept-nowhere@example.com | openssl dgst -sha256 -hmac "a key of more than sixteen bytes"`
const HASHED: &str = "3bcab3214c68e47033c0725407d8e0998a55154d0bd325eb1e15e766b4bc22ec";

/// Answers with the request's own body and type; a chat is answered by a stream whose pieces hold the canary; a path that ends in
/// `422` is refused.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let _ended = serve(stream);
            });
        }
    });
    address
}

fn serve(stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(asked) = Asked::read(&mut stream)? {
        let path = asked.line().split(' ').nth(1).unwrap_or("/").to_owned();
        let mut kind = asked.header("content-type").unwrap_or_default();
        let mut body = asked.body;
        if path.ends_with("/chat/completions") {
            kind = "text/event-stream".to_owned();
            let piece = |text: &str| {
                format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
            };
            let (begin, end) = CANARY.split_at(20);
            body = [piece(CANARY), piece(" and "), piece(begin), piece(end), "data: [DONE]\n\n".to_owned()]
                .concat()
                .into();
        }
        let status = if path.ends_with("422") { 422 } else { 200 };
        write!(
            stream.get_mut(),
            "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )?;
        stream.get_mut().write_all(&body)?;
    }
    Ok(())
}

/// Calls as (path behind the route's, type, further header, body); the canary under `secret`, or in a chat's messages.
fn calls() -> Vec<(&'static str, &'static str, Option<String>, Vec<u8>)> {
    let json = "application/json";
    let multipart = format!(
        "--B\r\nContent-Disposition: form-data; name=secret\r\n\r\n{CANARY}\r\n\
         --B\r\nContent-Disposition: form-data; name=secret; filename=\"{CANARY}\"\r\nContent-Type: text/plain\r\n\r\n{CANARY}\r\n\
         --B\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--B--\r\n"
    );
    let tensor = format!(r#"{{"inputs":[{{"name":"secret","shape":[1],"datatype":"BYTES","data":["{CANARY}"]}}]}}"#);
    let length = u32::try_from(CANARY.len()).expect("short").to_le_bytes();
    let packed = [&length[..], CANARY.as_bytes()].concat();
    let head = format!(
        r#"{{"inputs":[{{"name":"secret","shape":[1],"datatype":"BYTES","parameters":{{"binary_data_size":{}}}}}]}}"#,
        packed.len()
    );
    let object =
        format!(r#"{{"a":"{CONTROL}","secret":"{CANARY}","secret":"{CANARY}","b":[{{"secret":"{CANARY}"}}]}}"#);
    let chat = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"I am {CANARY}"}}]}}"#);
    vec![
        ("/predict", json, None, object.clone().into()),
        ("/predict", json, None, format!(r#"[{{"secret":"{CANARY}"}},{{"a":{{"secret":"{CANARY}"}}}}]"#).into()),
        ("/v2/models/m/infer", json, None, tensor.into()),
        (
            "/v2/models/m/infer",
            "application/octet-stream",
            Some(head.len().to_string()),
            [head.as_bytes(), &packed].concat(),
        ),
        ("/invocations", "text/csv", None, format!("a,secret\n1,{CANARY}\n2,{CANARY}\n").into()),
        ("/predict", "application/x-www-form-urlencoded", None, format!("a=1&secret={CANARY}").into()),
        ("/predict", "multipart/form-data; boundary=B", None, multipart.into()),
        ("/v1/chat/completions", json, None, chat.into()),
        // Refused, damaged, unknown, longer than the copy.
        ("/422", json, None, object.clone().into()),
        ("/predict", json, None, object[..object.len() - 3].into()),
        ("/predict", "application/x-unknown", None, object.clone().into()),
        ("/predict", json, None, format!(r#"{{"secret":"{CANARY}","long":"{}"}}"#, "x".repeat(70_000)).into()),
    ]
}

/// Every file below a folder whose bytes hold a text.
fn holding(folder: &Path, text: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            holding(&path, text, found);
        } else if std::fs::read(&path).unwrap_or_default().windows(text.len()).any(|part| part == text.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
}

pub fn found(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    holding(folder, text, &mut found);
    found
}

#[test]
fn no_action_leaves_a_canary_anywhere() {
    let upstream = echo();
    let actions = [
        ("drop", "drop"),
        ("hash", "{ hash: \"${env:WEIR_HASH_KEY}\" }"),
        ("truncate", "{ truncate: 6 }"),
        ("mask", "{ mask: [email] }"),
    ];
    let mut routes = String::from("routes:\n");
    for (name, action) in actions {
        let rules: Vec<String> = ["inputs.secret", "outputs.secret", "inputs.messages", "outputs.content"]
            .iter()
            .map(|field| format!("{field}: {action}"))
            .collect();
        routes += &format!(
            "  {name}: {{ path: /{name}, upstream: \"http://{upstream}/\", capture: {{ bodies: always, body: 64KiB }}, redact: {{ {} }} }}\n",
            rules.join(", ")
        );
    }
    let mut weir = Weir::new(&routes).env("WEIR_HASH_KEY", KEY);
    // No file gets its name, so that all is still in the log when it is searched.
    weir.up_with(Some("drain_before_create=pause"));
    let mut client = weir.client();
    let mut sent = 0;
    for (name, _) in actions {
        for (path, kind, header, body) in calls() {
            let mut headers = vec![("content-type", kind)];
            if let Some(length) = &header {
                headers.push(("inference-header-content-length", length));
            }
            let answer = client.send("POST", &format!("/{name}{path}"), &headers, &body).expect("an answer");
            let echoed = answer.body.windows(CANARY.len()).any(|part| part == CANARY.as_bytes());
            assert!(echoed, "the answer holds no canary: the test tests nothing");
            sent += 1;
        }
    }
    until("every call is in the log", || number(&weir.status(), "/calls/logged") == sent);
    let nowhere = |weir: &Weir, moment: &str| {
        assert_eq!(found(&weir.dir, SOUGHT), Vec::<String>::new(), "{moment}");
        assert_eq!(found(&weir.dir, KEY), Vec::<String>::new(), "{moment}: the key");
        for page in ["/metrics", "/api/v1/status"] {
            let answer = Client::new(weir.admin()).get(page).expect("a page");
            assert!(!String::from_utf8_lossy(&answer.body).contains(SOUGHT), "{moment}: {page}");
        }
    };
    assert!(!found(&weir.dir.join("weir-data"), CONTROL).is_empty(), "the log is not searched: the test tests nothing");
    nowhere(&weir, "in the log");

    weir.kill();
    weir.up();
    weir.settle();
    nowhere(&weir, "in the files");
    let rows: Vec<String> = crate::support::parquet::rows(&weir.parquet()).iter().map(ToString::to_string).collect();
    assert!(rows.iter().any(|row| row.contains(CONTROL)), "the rows are not searched: {rows:?}");
    for row in &rows {
        assert!(!row.contains(SOUGHT), "{row}");
    }
    // What each action leaves instead.
    for left in [HASHED, "secret: \"canary\"", "secret: \"[email]\"", "I am [email]", "request_hmac"] {
        assert!(rows.iter().any(|row| row.contains(left)), "no {left} in {rows:#?}");
    }
}
