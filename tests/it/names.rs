//! Names that bodies do not have: from the server's own description, and from the route.

use ::parquet::record::Field;

use crate::support::model::Model;
use crate::support::parquet;
use crate::support::python::Server;
use crate::support::until;
use crate::support::weir::{Weir, number};

/// Names and values of one side of all rows.
fn sides(weir: &Weir, side: &str) -> Vec<String> {
    let mut found: Vec<String> = parquet::rows(&weir.parquet().join("churn"))
        .iter()
        .flat_map(|row| {
            let fields = row.get_column_iter().find(|(name, _)| *name == side);
            fields.map(|(_, field)| match field {
                Field::Group(group) => group
                    .get_column_iter()
                    .filter(|(_, value)| !matches!(value, Field::Null))
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect::<Vec<_>>()
                    .join(" "),
                other => format!("{other}"),
            })
        })
        .collect();
    found.sort();
    found
}

#[test]
fn what_fastapi_says_in_its_openapi_json_names_rows_without_keys() {
    let server = Server::fastapi_rows();
    let weir = Weir::new(&format!("routes: {{ churn: {{ upstream: http://{} }} }}\n", server.address)).start();
    let mut client = weir.client();
    let mut ask = |body: &str| {
        let answer = client.post("/predict", body.as_bytes()).expect("an answer");
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    };
    ask(r#"[[41, 19.5, "pro"]]"#);
    until("the server has told its names", || weir.stderr().contains("names the columns"));
    ask(r#"[[28, 5.25, "free"], [50, 1.5, "pro"]]"#);
    weir.settle();
    assert_eq!(
        sides(&weir, "inputs"),
        [
            "age=28.0 monthly_charge=5.25 plan=\"free\"",
            "age=50.0 monthly_charge=1.5 plan=\"pro\"",
            "x0=41.0 x1=19.5 x2=\"pro\"",
        ]
    );
    assert_eq!(
        sides(&weir, "outputs"),
        ["score=0.28 reason=\"free\"", "score=0.5 reason=\"pro\"", "y0=0.41 y1=\"pro\""]
    );
}

#[test]
fn what_a_server_told_is_known_after_a_restart_and_not_of_another_server() {
    let [model, other] = [Model::start(), Model::start()];
    let columns = serde_json::json!({"paths": {"/predict": {"post": {"requestBody": {"content": {"application/json": {
        "schema": {"type": "array", "items": {"columns": ["age", "plan"]}}}}}}}}});
    *model.openapi.lock().unwrap() = (200, columns.to_string());
    let mut weir = Weir::new(&format!("routes: {{ churn: {{ upstream: {} }} }}\n", model.url())).start();
    let ask = |weir: &Weir, value: u32| {
        let answer = weir.client().post("/predict", format!("[[{value}, 7]]").as_bytes()).expect("an answer");
        assert_eq!(answer.status, 200);
        weir.settle();
    };
    ask(&weir, 1);
    let file = weir.data_dir().join("names.json");
    until("what was told is kept", || file.exists());
    // From now on nobody says it again.
    for model in [&model, &other] {
        *model.openapi.lock().unwrap() = (503, String::new());
    }
    weir.kill();
    weir.up();
    ask(&weir, 2);
    let serve_from = |weir: &Weir, from: &Model, to: &Model| {
        let yaml = weir.dir.join("weir.yaml");
        let text = std::fs::read_to_string(&yaml).expect("weir.yaml");
        std::fs::write(&yaml, text.replace(&from.url(), &to.url())).expect("weir.yaml");
    };
    assert!(weir.term().success());
    serve_from(&weir, &model, &other);
    weir.up();
    ask(&weir, 3);
    assert!(weir.term().success());
    serve_from(&weir, &other, &model);
    let kept = std::fs::read_to_string(&file).expect("the file");
    std::fs::write(&file, &kept[..kept.len() / 2]).expect("the file");
    assert!(!weir.stderr().contains("cannot use the names"), "{}", weir.stderr());
    weir.up();
    ask(&weir, 4);
    assert!(weir.stderr().contains("cannot use the names"), "{}", weir.stderr());
    assert_eq!(sides(&weir, "inputs"), ["age=2.0 plan=7.0", "x0=1.0 x1=7.0", "x0=3.0 x1=7.0", "x0=4.0 x1=7.0"]);
}

#[test]
fn the_switch_keeps_weir_from_asking() {
    let model = Model::start();
    let weir = Weir::new(&format!(
        "routes: {{ churn: {{ upstream: {}, record: {{ discover: false, inputs: {{ columns: [age, plan] }} }} }} }}\n",
        model.url()
    ))
    .start();
    let mut client = weir.client();
    for _ in 0..3 {
        client.post("/predict", b"[[1, 2]]").expect("an answer");
    }
    weir.settle();
    assert_eq!(number(&weir.status(), "/rows/stored"), 3);
    assert_eq!(model.requests.load(std::sync::atomic::Ordering::SeqCst), 3);
    assert_eq!(sides(&weir, "inputs"), ["age=1.0 plan=2.0"; 3]);
}
