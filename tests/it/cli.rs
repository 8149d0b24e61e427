//! The commands as a person types them.

use serde_json::Value;

use crate::support::model::Model;
use crate::support::weir::{Weir, binary};

fn words(output: &std::process::Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn init_writes_a_file_that_check_accepts() {
    let model = Model::start();
    let dir = tempfile::tempdir().expect("a folder");
    let run = |arguments: &[&str]| {
        std::process::Command::new(binary()).args(arguments).current_dir(dir.path()).output().expect("weir runs")
    };
    let init = run(&["init", "--upstream", &model.url()]);
    assert!(init.status.success(), "{}", words(&init));
    assert!(dir.path().join("weir.yaml").exists());
    assert!(dir.path().join("weir-data/schema.json").exists());
    let again = run(&["init"]);
    assert_eq!(again.status.code(), Some(1), "{}", words(&again));
    let check = run(&["check"]);
    assert!(check.status.success(), "{}", words(&check));
    let show = run(&["config", "show"]);
    assert!(words(&show).contains(&model.address.to_string()), "{}", words(&show));
}

#[test]
fn a_wrong_key_is_shown_with_its_place_and_exit_78() {
    let weir = Weir::new("routes:\n  churn:\n    upsteam: http://127.0.0.1:8000\n");
    let output = weir.cli(&["run"]);
    assert_eq!(output.status.code(), Some(78));
    let words = words(&output);
    for part in ["weir.yaml", "upsteam", "upstream"] {
        assert!(words.contains(part), "{words}");
    }
}

#[test]
fn check_names_what_cannot_be_reached() {
    let weir = Weir::new("routes: { churn: { upstream: http://127.0.0.1:1 } }\n");
    let output = weir.cli(&["check"]);
    assert_eq!(output.status.code(), Some(1), "{}", words(&output));
    assert!(words(&output).contains("127.0.0.1:1"), "{}", words(&output));
    let offline = weir.cli(&["check", "--offline"]);
    assert!(offline.status.success(), "{}", words(&offline));
}

#[test]
fn status_log_and_schema_speak_of_the_running_process() {
    let model = Model::start();
    let weir = Weir::new(&format!("routes: {{ m: {{ upstream: {} }} }}\n", model.url())).start();
    let mut client = weir.client();
    for _ in 0..5 {
        client.post("/predict", br#"[{"x":1},{"x":2}]"#).expect("an answer");
    }
    weir.settle();
    let status = weir.cli_json(&["status"]);
    assert_eq!(status["calls"]["seen"], Value::from(5));
    assert_eq!(status["rows"]["stored"], Value::from(10));
    let lanes = weir.cli_json(&["log", "ls"]);
    assert_eq!(lanes[0]["topic"], Value::from("m"));
    let sound = weir.cli(&["log", "verify"]);
    assert!(sound.status.success(), "{}", words(&sound));
    // From elsewhere, without a configuration.
    let dir = weir.dir.join("weir-data");
    for (command, part) in [(&["log", "ls"][..], "lane 0"), (&["log", "verify"], "10 rows"), (&["schema"], "inputs.x")]
    {
        let output =
            std::process::Command::new(binary()).args(command).arg("--dir").arg(&dir).current_dir("/").output();
        let output = output.expect("weir runs");
        assert!(output.status.success() && words(&output).contains(part), "{command:?}: {}", words(&output));
    }
    let nowhere = weir.cli(&["schema", "--dir", "nowhere"]);
    assert_eq!(nowhere.status.code(), Some(1), "{}", words(&nowhere));
    assert!(!weir.dir.join("nowhere").exists(), "a look makes no folder");
    let schema = words(&weir.cli(&["schema", "m"]));
    for part in ["inputs.x", "outputs.y", "duckdb", "pandas", "polars", "pyarrow", "spark"] {
        assert!(schema.contains(part), "{schema}");
    }
}

#[test]
fn status_without_a_process_says_how_to_start_one() {
    let weir = Weir::new("routes: { m: { upstream: http://127.0.0.1:1 } }\n");
    let output = weir.cli(&["status"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(words(&output).contains("weir run"), "{}", words(&output));
}

#[test]
fn drain_once_without_a_process_stores_what_a_killed_one_left() {
    let model = Model::start();
    let mut weir = Weir::new(&format!("routes: {{ m: {{ upstream: {} }} }}\n", model.url())).start();
    let mut client = weir.client();
    for _ in 0..20 {
        client.post("/predict", br#"{"x":1}"#).expect("an answer");
    }
    crate::support::until("all are logged", || crate::support::weir::number(&weir.status(), "/calls/logged") == 20);
    weir.kill();
    weir.drain();
    let report = weir.verify();
    assert_eq!(crate::support::weir::rows(&report), 20);
}

#[test]
fn the_demo_proves_itself() {
    let dir = tempfile::tempdir().expect("a folder");
    let output = std::process::Command::new(binary())
        .args(["demo", "--for", "7s", "--json", "--dir"])
        .arg(dir.path().join("demo"))
        .output()
        .expect("weir runs");
    assert!(output.status.success(), "{}", words(&output));
    let outcome: Value = serde_json::from_slice(&output.stdout).expect("JSON on stdout");
    assert_eq!(outcome["ok"], Value::Bool(true));
    assert!(outcome["traffic"]["sent"].as_u64().expect("sent") > 100);
    assert!(outcome["traffic"]["model_errors"].as_u64().expect("errors") > 0);
    assert_eq!(outcome["verify"]["ok"], Value::Bool(true));
}

#[test]
fn verify_without_a_table_proves_nothing() {
    let weir = Weir::new("routes: { m: { upstream: http://127.0.0.1:1 } }\n");
    std::fs::create_dir_all(weir.parquet()).expect("the folder");
    let output = weir.cli(&["verify"]);
    assert_eq!(output.status.code(), Some(1), "{}", words(&output));
    assert!(words(&output).contains("no table"), "{}", words(&output));
}

#[test]
fn map_shows_what_a_call_becomes() {
    let weir = Weir::new(
        "routes:\n  churn:\n    upstream: http://127.0.0.1:1\n    redact: { inputs.email: drop, \
         inputs.id: { hash: \"${env:WEIR_HASH_KEY}\" }, inputs.note: { mask: [email] } }\n",
    )
    .env("WEIR_HASH_KEY", "sixteen bytes and more");
    let dir = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.to_str().expect("a name").to_owned()
    };
    let curl = file(
        "curl.txt",
        "* Connected\n> POST /v2/models/iris/infer HTTP/1.1\r\n> content-type: application/json\r\n>\r\n< HTTP/1.1 200 OK\r\n\
         < content-type: application/json\r\n<\r\n\
         {\"outputs\":[{\"name\":\"y\",\"shape\":[2],\"datatype\":\"FP32\",\"data\":[0.5,0.25]}]}\n* Connection #0 left intact\n",
    );
    let body = file(
        "body.json",
        "{\"inputs\":[{\"name\":\"age\",\"shape\":[2],\"datatype\":\"INT64\",\"data\":[38,51]},\
         {\"name\":\"email\",\"shape\":[2],\"datatype\":\"BYTES\",\"data\":[\"canary-7f3a\",\"b\"]},\
         {\"name\":\"id\",\"shape\":[2],\"datatype\":\"INT64\",\"data\":[7,8]},\
         {\"name\":\"note\",\"shape\":[2],\"datatype\":\"BYTES\",\"data\":[\"to canary-7f3a@b.de\",\"c\"]}]}",
    );
    let screen = weir.cli(&["map", &curl, "--data", &body]);
    assert!(screen.status.success(), "{}", words(&screen));
    let text = words(&screen);
    for part in [
        "protocol  v2",
        "model     iris",
        "parsed    ok",
        "redacted  inputs.email, inputs.id, inputs.note",
        "rows      2",
        "inputs.age",
        "INT64",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("canary-7f3a"), "{text}");
    let json = weir.cli(&["map", &curl, "--data", &body, "--json"]);
    let mapped: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    let row = &mapped["records"][1]["inputs"];
    assert_eq!((&row["age"], row.get("email"), &row["note"]), (&51.into(), None, &"c".into()));
    assert_eq!(row["id"].as_str().map(str::len), Some(64));
    assert_eq!(mapped["records"][1]["outputs"], serde_json::json!({ "y": 0.25 }));

    // Two plain files.
    let request = file("request.csv", "POST /invocations HTTP/1.1\ncontent-type: text/csv\n\nage,plan\n38,pro\n");
    let answer = file("answer.json", "[0.5]");
    let json = weir.cli(&["map", &request, &answer, "--json"]);
    let mapped: Value = serde_json::from_slice(&json.stdout).unwrap_or_else(|_| panic!("{}", words(&json)));
    assert_eq!((&mapped["protocol"], &mapped["records"][0]["inputs"]["plan"]), (&"sagemaker".into(), &"pro".into()));

    let missing = weir.cli(&["map", "nothing.json"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(words(&missing).contains("nothing.json cannot be read"), "{}", words(&missing));
    let wrong = weir.cli(&["map", &request, "--route", "chrn"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(words(&wrong).contains("churn"), "{}", words(&wrong));
}

#[test]
fn check_tries_the_samples_of_a_route() {
    let weir = Weir::new(
        "routes:\n  churn:\n    upstream: http://127.0.0.1:1\n    redact: { inputs.email: drop }\n    \
         record: { inputs: { columns: [age, email] }, samples: [good.http, short.http, pair.http, nowhere.http] }\n",
    );
    let sample = |name: &str, request: &str, answer: &str| {
        let head = "content-type: application/json\n\n";
        let text = format!("POST /predict HTTP/1.1\n{head}{request}\n\nHTTP/1.1 200 OK\n{head}{answer}\n");
        std::fs::write(weir.dir.join(name), text).expect("a file");
    };
    sample("good.http", r#"[[41,"canary-7f3a"],[28,"canary-7f3a"]]"#, "[0.25,0.75]");
    sample("short.http", "[[41],[28]]", "[0.25,0.75]");
    sample("pair.http", "[[41,7],[28,7]]", "[0.25]");
    let output = weir.cli(&["check", "--offline"]);
    assert_eq!(output.status.code(), Some(1), "{}", words(&output));
    let text = words(&output);
    for part in [
        "ok sample    churn  good.http  json, 2 rows: inputs.age int, outputs.prediction double",
        "redacted  inputs.email",
        "xx sample    churn  short.http  unsupported: request: redaction could miss a field here",
        "xx sample    churn  pair.http  row_mismatch: 2 in the request, 1 in the response",
        "xx sample    churn  nowhere.http cannot be read",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("canary-7f3a"), "{text}");
    let json = weir.cli(&["check", "--offline", "--json"]);
    let report: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(report["ok"], Value::Bool(false));
    assert_eq!(report["checks"][1]["mapped"]["records"][1]["inputs"], serde_json::json!({"age": 28}));
}
