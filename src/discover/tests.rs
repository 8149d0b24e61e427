//! Against a scripted model server over real sockets.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::*;
use crate::config::Route;
use crate::record;

/// Long enough that only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(20);

/// The signature of an MLflow model as MLServer tells it.
const METADATA: &str = r#"{"name":"churn","platform":"","versions":[],"inputs":[
    {"name":"age","datatype":"INT64","shape":[-1,1],"parameters":{"content_type":"np"}},
    {"name":"plan","datatype":"BYTES","shape":[-1,1]}],"outputs":[{"name":"score","datatype":"FP64","shape":[-1]}]}"#;
/// What FastAPI 0.165 writes for `def predict(rows: list[Customer]) -> list[Churn]`, both of them `NamedTuple`s.
const OPENAPI: &str = r##"{"openapi":"3.1.0","paths":{"/predict":{"post":{
    "requestBody":{"content":{"application/json":{"schema":{"items":{"$ref":"#/components/schemas/Customer"},"type":"array","title":"Rows"}}},"required":true},
    "responses":{"200":{"description":"Successful Response","content":{"application/json":{"schema":{
        "items":{"$ref":"#/components/schemas/Churn"},"type":"array","title":"Response Predict Predict Post"}}}},
      "422":{"content":{"application/json":{"schema":{"prefixItems":[{"title":"Detail"}]}}}}}}}},
    "components":{"schemas":{
      "Churn":{"prefixItems":[{"type":"number","title":"Score"},{"type":"string","title":"Reason"}],"type":"array","maxItems":2,"minItems":2},
      "Customer":{"prefixItems":[{"type":"number","title":"Age"},{"type":"number","title":"Monthly Charge"}],"type":"array"}}}}"##;

/// A model server that has these documents, with a status each, and 404 for all else; status 0: it never answers.
struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(documents: &[(&'static str, u16, &str)]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let documents: HashMap<&str, (u16, String)> =
            documents.iter().map(|(path, status, text)| (*path, (*status, (*text).to_owned()))).collect();
        let noted = asked.clone();
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            for stream in listener.incoming().flatten() {
                kept.extend(serve(stream, &documents, &noted));
            }
        });
        Server { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn route(&self) -> Route {
        let mut route = record::tests::route();
        route.upstream.authority = self.address.to_string();
        route
    }
}

/// Answers one request; the stream comes back if it is to stay open.
fn serve(stream: TcpStream, documents: &HashMap<&str, (u16, String)>, asked: &Mutex<Vec<String>>) -> Option<TcpStream> {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let path = head.split(' ').nth(1)?.to_owned();
    let (status, text) = documents.get(path.as_str()).cloned().unwrap_or((404, "{}".to_owned()));
    asked.lock().unwrap().push(path);
    assert!(head.starts_with("GET ") && head.to_ascii_lowercase().contains("\r\nhost: 127.0.0.1:"), "{head}");
    if status == 0 {
        return Some(stream.into_inner());
    }
    let length = text.len();
    write!(stream.get_mut(), "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{text}").ok()?;
    None
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// The answer to a question about a path of a route.
fn answer(route: Route, path: &str) -> Answer {
    let (told, mut questions) = record::told();
    told.want(&Arc::new(route), path, false, 0);
    runtime().block_on(ask(&questions.try_recv().expect("a question"))).0
}

fn learned(inputs: &[&str], outputs: &[&str]) -> Answer {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Answer::Names(Learned { inputs: owned(inputs), outputs: owned(outputs) })
}

#[test]
fn metadata_of_a_model_names_its_tensors() {
    for (document, path) in [
        ("/v2/models/churn", "/v1/models/churn:predict"),
        ("/v2/models/churn/versions/3", "/v1/models/churn/versions/3:predict"),
        ("/v2/models/churn", "/invocations"),
    ] {
        let server = Server::start(&[(document, 200, METADATA)]);
        assert_eq!(answer(server.route(), path), learned(&["age", "plan"], &["score"]), "{path}");
        assert_eq!(server.asked(), [document]);
    }
}

#[test]
fn openapi_names_the_items_of_tuples() {
    let server = Server::start(&[("/openapi.json", 200, OPENAPI)]);
    let names = learned(&["age", "monthly_charge"], &["score", "reason"]);
    assert_eq!(answer(server.route(), "/predict"), names);
    // As the server knows the path, not as clients do.
    let mut route = server.route();
    (route.path, route.upstream.path) = ("/churn".to_owned(), Some("/predict".to_owned()));
    assert_eq!(answer(route, "/churn"), names);
    assert_eq!(server.asked(), ["/openapi.json", "/openapi.json"]);
    assert_eq!(answer(server.route(), "/other"), Answer::Nothing);
}

#[test]
fn names_that_say_nothing_are_none() {
    for inputs in [
        r#"[{"name":"input-0","shape":[-1]},{"name":"input-1","shape":[-1]}]"#,
        r#"[{"name":"x0","shape":[-1]},{"name":"x1","shape":[-1]}]"#,
        r#"[{"name":"a","shape":[-1]},{"name":"a","shape":[-1]}]"#,
        r#"[{"name":"","shape":[-1]}]"#,
        r#"[{"name":"image","shape":[-1,4]}]"#,
        r#"[{"name":"age","shape":[-1]},{"shape":[-1]}]"#,
        r#"{"name":"age"}"#,
    ] {
        let metadata = format!(r#"{{"inputs":{inputs},"outputs":[{{"name":"output__0","shape":[-1,1]}}]}}"#);
        let server = Server::start(&[("/v2/models/churn", 200, &metadata)]);
        assert_eq!(answer(server.route(), "/predict"), Answer::Nothing, "{inputs}");
        assert_eq!(server.asked(), ["/openapi.json", "/v2/models/churn"]);
    }
}

#[test]
fn a_server_in_trouble_is_told_from_one_that_says_nothing() {
    let long = format!("[{}1]", "1,".repeat(2 << 20));
    for (status, text, expected) in [
        (503, "{}", Answer::Failed),
        (429, "{}", Answer::Failed),
        (0, "", Answer::Failed),
        (404, "{}", Answer::Nothing),
        (401, "{}", Answer::Nothing),
        (301, "{}", Answer::Nothing),
        (200, "<html>", Answer::Nothing),
        (200, "", Answer::Nothing),
        (200, "[]", Answer::Nothing),
        (200, long.as_str(), Answer::Nothing),
    ] {
        let server = Server::start(&[("/openapi.json", status, text)]);
        let mut route = server.route();
        if status == 0 {
            route.timeouts.first_byte = Duration::from_millis(50);
        }
        assert_eq!(answer(route, "/predict"), expected, "{status} {}", &text[..text.len().min(9)]);
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut route = record::tests::route();
    route.upstream.authority = nobody.to_string();
    assert_eq!(answer(route, "/predict"), Answer::Failed);
}

#[test]
fn it_answers_in_the_background_and_ends_in_the_middle_of_a_question() {
    let server = Server::start(&[("/openapi.json", 200, OPENAPI), ("/v2/models/hangs", 0, "")]);
    let runtime = runtime();
    let (told, questions) = record::told();
    let route = Arc::new(server.route());
    let folder = tempfile::tempdir().unwrap();
    let kept = Kept::open(folder.path(), &[], &told);
    let discovery = Discovery::start(runtime.handle(), told.clone(), questions, kept);
    told.want(&route, "/predict", false, 0);
    let until = Instant::now() + PATIENCE;
    while told.names("churn", "/predict").is_none() {
        assert!(Instant::now() < until, "no names");
        std::thread::sleep(Duration::from_millis(5));
    }
    told.want(&route, "/v1/models/hangs:predict", false, 0);
    while server.asked().len() < 2 {
        assert!(Instant::now() < until, "it was not asked");
        std::thread::sleep(Duration::from_millis(5));
    }
    discovery.stop(runtime.handle());
}
