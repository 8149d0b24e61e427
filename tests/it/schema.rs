//! A schema that settles: whatever the records do, every engine opens the table with the line that `weir schema` prints, and no value is lost.
//! And what a person asks for: types in the configuration, `weir schema --pin`, `weir schema --promote`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::kafka_s3::{download, store};
use crate::support::model::Model;
use crate::support::s3::bucket;
use crate::support::weir::{Weir, number};
use crate::support::{parquet, python};

const ENGINES: [&str; 4] = ["duckdb", "pandas", "polars", "pyarrow"];

/// A weir with a table for each name, whose model answers with what it is sent; `more`: the rest of the configuration.
fn weir(tables: &[&str], more: &str) -> Weir {
    let model = Model::start();
    let routes: Vec<String> =
        tables.iter().map(|table| format!("{table}: {{ path: /{table}, upstream: {}/echo }}", model.url())).collect();
    Weir::new(&format!("routes: {{ {} }}\n{more}", routes.join(", ")))
}

/// By table and id of the call: what was sent.
type Sent = BTreeMap<String, BTreeMap<String, String>>;

fn post(weir: &Weir, sent: &mut Sent, table: &str, bodies: &[String]) {
    let mut client = weir.client();
    for body in bodies {
        let answer = client.post(&format!("/{table}"), body.as_bytes()).expect("an answer");
        assert_eq!((answer.status, answer.body.as_slice()), (200, body.as_bytes()));
        let id = answer.header("x-weir-id").expect("an id").to_owned();
        sent.entry(table.to_owned()).or_default().insert(id, body.clone());
    }
}

fn schema(weir: &Weir, table: &str) -> Value {
    weir.cli_json(&["schema", table])
}

/// The type of a column; `null`: there is none.
fn type_of<'s>(schema: &'s Value, column: &str) -> &'s Value {
    let columns = schema["columns"].as_array().expect("columns");
    columns.iter().find(|found| found["name"] == column).map_or(&Value::Null, |found| &found["type"])
}

/// Opens the tables with each engine's reading line and compares every row; the rows with `_raw` by table.
fn read_all(weir: &Weir, sent: &Sent) -> BTreeMap<String, u64> {
    let tables: BTreeMap<&String, Value> =
        sent.iter().map(|(table, sent)| (table, json!({ "schema": schema(weir, table), "sent": sent }))).collect();
    let manifest = weir.dir.join("manifest.json");
    std::fs::write(&manifest, serde_json::to_vec(&tables).expect("JSON")).expect("the manifest");
    let manifest = manifest.display().to_string();
    let mut found: Option<Value> = None;
    for engine in engines() {
        let said: Value = serde_json::from_str(&python::run(&["tables.py", &engine, &manifest])).expect("JSON");
        assert_eq!(found.get_or_insert_with(|| said.clone()), &said, "{engine}");
    }
    let found = found.expect("an engine");
    sent.keys().map(|table| (table.clone(), number(&found, &format!("/{table}/raw")))).collect()
}

/// `WEIR_TEST_SPARK=1` adds Spark; `PYTHONPATH` must name a folder that has pyspark then, and a Java be there. Spark 4.3 passed.
fn engines() -> Vec<String> {
    let spark = std::env::var("WEIR_TEST_SPARK").is_ok().then_some("spark");
    ENGINES.into_iter().chain(spark).map(str::to_owned).collect()
}

fn texts(bodies: &[&str]) -> Vec<String> {
    bodies.iter().map(|body| (*body).to_owned()).collect()
}

/// The five best of a thousand labels.
fn best(row: u64) -> String {
    let entries: Vec<String> =
        (0..5).map(|n| format!(r#""label_{}":0.{}"#, (row * 37 + n * 211) % 1_000, n + 1)).collect();
    format!(r#"{{"p":{{{}}}}}"#, entries.join(","))
}

/// What happens to a table, file after file, and how many rows need their `_raw` in the end.
fn stories() -> Vec<(&'static str, Vec<Vec<String>>, u64)> {
    let keys = |row: u64| -> String {
        let keys: Vec<String> = (0..200).map(|key| format!(r#""user_{row}_{key}":{key}"#)).collect();
        format!(r#"{{"a":{row},{}}}"#, keys.join(","))
    };
    let embedding = |dims: u64| -> String {
        let values: Vec<String> = (0..dims).map(|dim| format!("{:?}", f64::from(dim as u32) / 7.0)).collect();
        format!(r#"{{"e":[{0}],"f":[0.1,0.5],"m":[[{0}],[1]]}}"#, values.join(","))
    };
    vec![
        (
            "vectors",
            vec![
                (1..6).map(embedding).collect(),
                texts(&[r#"{"e":[],"f":[],"m":[]}"#, r#"{"e":[1,"NaN",null],"f":[16777216],"m":null}"#]),
                // No FLOAT, a LIST of something else, no list.
                texts(&[r#"{"f":[0.123456789]}"#, r#"{"e":["a"]}"#, r#"{"e":{"x":1}}"#]),
            ],
            3,
        ),
        (
            "labels",
            vec![
                (0..60).map(best).collect(),
                (60..80).map(best).chain(texts(&[r#"{"p":{}}"#, r#"{"p":null}"#])).collect(),
                texts(&[r#"{"p":{"a":0.5,"b":"high"}}"#, r#"{"p":{"a":0.5,"a":0.25}}"#, r#"{"p":0.5}"#]),
            ],
            // The repeated key is what JSON readers make of it, but it is in `_raw` too.
            3,
        ),
        // Ten thousand keys.
        ("many", vec![(0..50).map(keys).collect()], 50),
        (
            "numbers",
            vec![
                texts(&[r#"{"n":1}"#, r#"{"n":2}"#]),
                texts(&[r#"{"n":2.5}"#, r#"{"n":9007199254740993}"#, r#"{"n":-0.0}"#]),
            ],
            1,
        ),
        (
            "null_then_object",
            vec![
                texts(&[r#"{"o":null,"k":1}"#, r#"{"o":{},"k":1}"#]),
                texts(&[r#"{"o":{"x":1},"k":1}"#, r#"{"o":null,"k":2}"#, r#"{"o":{"x":null},"k":2}"#]),
            ],
            // `{}` met no column.
            1,
        ),
        (
            "object_then_scalar",
            vec![
                texts(&[r#"{"o":{"x":1},"s":1}"#]),
                texts(&[r#"{"o":5,"s":{"x":1}}"#, r#"{"o":"t","s":[1]}"#, r#"{"o":[1],"s":true}"#]),
            ],
            3,
        ),
        (
            "cases",
            vec![
                texts(&[r#"{"Age":1,"age":2,"AGE":3,"o":{"Kind":"a","kind":"b"}}"#, r#"{"age":4}"#]),
                texts(&[r#"{"aGE":5,"AGE":6,"o":{"kind":"c","KIND":"d"},"\u212aey":7,"Key":8,"dt":"x","hour":9}"#]),
            ],
            0,
        ),
        (
            "growth",
            vec![
                texts(&[r#"{"a":1}"#]),
                texts(&[r#"{"a":2,"b":"text"}"#]),
                texts(&[r#"{"a":3,"o":{"x":1}}"#]),
                texts(&[r#"{"a":4,"o":{"x":2,"y":[true,false]}}"#, r#"{"o":{"y":[]}}"#]),
                texts(&[r#"{"o":{"z":{"deep":"v"},"c":[[1,2],[]]}}"#]),
                (0..60).map(best).collect(),
                texts(&[r#"{"a":5,"b":"again","o":{"x":3,"y":null,"z":{"deep":"w","deeper":1}}}"#]),
            ],
            0,
        ),
    ]
}

#[test]
fn whatever_the_records_do_every_engine_opens_the_table_and_no_value_is_lost() {
    let stories = stories();
    let tables: Vec<&str> = stories.iter().map(|(table, ..)| *table).collect();
    let types = "store: { tables: { vectors: { types: { inputs.f: list<float>, outputs.f: list<float> } } } }\n";
    let weir = weir(&tables, types).start();
    let mut sent = Sent::new();
    for step in 0..stories.iter().map(|(_, steps, _)| steps.len()).max().expect("stories") {
        for (table, steps, _) in &stories {
            if let Some(bodies) = steps.get(step) {
                post(&weir, &mut sent, table, bodies);
            }
        }
        // A file of each.
        weir.settle();
    }
    let raw = read_all(&weir, &sent);
    for (table, _, expected) in &stories {
        assert_eq!(raw[*table], *expected, "rows of {table} with _raw");
    }
    let of = |table: &str, column: &str| type_of(&schema(&weir, table), column).clone();
    assert_eq!(of("vectors", "outputs.e"), "LIST<DOUBLE>");
    assert_eq!(of("vectors", "outputs.f"), "LIST<FLOAT>");
    assert_eq!(of("vectors", "outputs.m"), "LIST<LIST<DOUBLE>>");
    assert_eq!(of("labels", "outputs.p"), "MAP<STRING, DOUBLE>");
    assert_eq!(of("growth", "inputs.p"), "MAP<STRING, DOUBLE>");
    assert_eq!(of("growth", "inputs.o.z.deep"), "STRING");
    assert_eq!(of("cases", "inputs.age_2"), "DOUBLE");
    let many = schema(&weir, "many");
    let columns = many["columns"].as_array().expect("columns").iter();
    assert_eq!(columns.filter(|column| column["name"].as_str().is_some_and(|name| name.contains("user_"))).count(), 0);
}

/// What a command said on stderr, and its exit code.
fn refused(weir: &Weir, arguments: &[&str]) -> (Option<i32>, String) {
    let output = weir.cli(arguments);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn named(found: &Value) -> Vec<&str> {
    found["added"].as_array().expect("added").iter().filter_map(Value::as_str).collect()
}

/// Fixed in the configuration before the first record, pinned and promoted while the drain runs; what cannot be is refused with the way on.
#[test]
fn types_are_fixed_pinned_and_promoted_while_the_drain_runs() {
    let types = "store: { tables: { churn: { types: { inputs.customer_id: int64, inputs.blob: binary, inputs.seen: 'map<string, double>' } } } }\n";
    let mut weir = weir(&["churn"], types).start();
    let mut sent = Sent::new();
    let first: Vec<String> = (0..300)
        .map(|row| {
            let rare = if row < 2 { r#","rare":{"x":1,"y":"t"},"coupon":7"# } else { "" };
            format!(r#"{{"customer_id":{},"blob":"AAH/","seen":{{"a":{row}}}{rare}}}"#, 9_007_199_254_740_993u64 + row)
        })
        .collect();
    post(&weir, &mut sent, "churn", &first);
    weir.settle();
    let found = schema(&weir, "churn");
    for (column, kind) in [("customer_id", "INT64"), ("blob", "BINARY"), ("seen", "MAP<STRING, DOUBLE>")] {
        assert_eq!(type_of(&found, &format!("inputs.{column}")), kind);
    }
    // Above 2^53 an id is no DOUBLE: `outputs`, where nobody fixed it, has it in `_raw`.
    assert_eq!(type_of(&found, "outputs.customer_id"), "DOUBLE");
    assert_eq!(type_of(&found, "inputs.coupon"), &Value::Null, "2 of 300");

    // Now: a column that no record has yet, one out of `_raw`, one with its fields.
    let pinned = weir.cli_json(&["schema", "churn", "--pin", "inputs.score=float", "--pin", "inputs.deep.er=int64"]);
    assert_eq!(named(&pinned), ["inputs.score", "inputs.deep.er"]);
    assert_eq!((number(&pinned, "/version"), type_of(&pinned, "inputs.deep.er")), (2, &json!("INT64")));
    let raw = weir.cli_json(&["schema", "--raw"]);
    let raw = raw["raw"].as_array().expect("raw");
    assert!(raw.contains(&json!({ "name": "inputs.coupon", "rows": 2, "type": "DOUBLE" })), "{raw:?}");
    assert!(raw.contains(&json!({ "name": "inputs.rare", "rows": 2, "type": "STRUCT" })), "{raw:?}");
    assert!(raw.iter().all(|field| field["name"] != "inputs.customer_id"), "{raw:?}");
    let promoted = weir.cli_json(&["schema", "--promote", "inputs.coupon", "--promote", "inputs.rare"]);
    assert_eq!(named(&promoted), ["inputs.coupon", "inputs.rare"]);
    assert_eq!(type_of(&promoted, "inputs.coupon"), "DOUBLE");
    assert_eq!(type_of(&promoted, "inputs.rare.y"), "STRING");
    let again = weir.cli_json(&["schema", "churn", "--pin", "inputs.score=float", "--promote", "inputs.coupon"]);
    assert_eq!((named(&again).len(), number(&again, "/version")), (0, 3));

    // The drain that runs writes them with the next file, however rare they are; outputs.coupon stays in `_raw`.
    let second: Vec<String> = (0..300)
        .map(|row| match row {
            0 => r#"{"coupon":8,"rare":{"x":2},"score":0.1,"deep":{"er":9007199254740993}}"#.to_owned(),
            _ => format!(r#"{{"customer_id":{row}}}"#),
        })
        .collect();
    post(&weir, &mut sent, "churn", &second);
    weir.settle();
    let now = schema(&weir, "churn");
    assert_eq!(number(&now, "/version"), 3, "{now:#}");
    let raw = read_all(&weir, &sent);
    assert_eq!(raw["churn"], 152, "ids that are no doubles in `outputs`, and two rows of the rare fields");
    let rows = parquet::rows(&weir.parquet());
    let coupons = rows.iter().filter(|row| row.to_string().contains("coupon: 8")).count();
    assert_eq!(coupons, 1);

    // What cannot be.
    let says = |arguments: &[&str], code: i32, words: &[&str]| {
        let (exit, said) = refused(&weir, arguments);
        assert_eq!(exit, Some(code), "{arguments:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{arguments:?}: no `{word}` in {said}");
        }
    };
    says(
        &["schema", "churn", "--pin", "outputs.customer_id=int64"],
        1,
        &["DOUBLE", "stays so", "store.tables.churn.types"],
    );
    says(&["schema", "churn", "--pin", "inputs.coupon.x=int64"], 1, &["inputs.coupon", "DOUBLE"]);
    says(&["schema", "churn", "--pin", "inputs.new=number"], 2, &["--pin", "`number`", "int64"]);
    says(&["schema", "churn", "--pin", "inputs.new"], 2, &["inputs.new=int64"]);
    says(&["schema", "churn", "--pin", "latency_ms=float"], 2, &["weir's own", "inputs.latency_ms"]);
    says(&["schema", "churn", "--pin", "inputs.a=int64", "--promote", "inputs.a.b"], 2, &["cannot both"]);
    says(&["schema", "churn", "--promote", "inputs.nobody"], 1, &["inputs.nobody", "--pin 'inputs.nobody=double'"]);
    says(&["schema", "chrun", "--pin", "inputs.a=int64"], 1, &["no table chrun", "store.tables.chrun.types"]);
    assert_eq!(number(&schema(&weir, "churn"), "/version"), 3, "what is refused changes nothing");

    // A type that comes too late is said, and changes nothing either.
    weir.term();
    let path = weir.dir.join("weir.yaml");
    let yaml = std::fs::read_to_string(&path).expect("weir.yaml");
    std::fs::write(&path, yaml.replace("inputs.blob: binary", "inputs.blob: string, inputs.late: int64"))
        .expect("weir.yaml");
    weir.up();
    post(&weir, &mut sent, "churn", &texts(&[r#"{"late":1,"blob":"AAH/"}"#]));
    weir.settle();
    let now = schema(&weir, "churn");
    assert_eq!((type_of(&now, "inputs.late"), type_of(&now, "inputs.blob")), (&json!("INT64"), &json!("BINARY")));
    assert!(weir.stderr().contains("says STRING for `inputs.blob`"), "{}", weir.stderr());
    read_all(&weir, &sent);
}

/// The first file of a table has a row only; that its labels are a map shows later, and the command that is printed makes it one.
#[test]
fn what_turns_out_to_be_a_map_is_told_and_made_one_by_the_printed_command() {
    let weir = weir(&["churn"], "").start();
    let mut sent = Sent::new();
    post(&weir, &mut sent, "churn", &texts(&[r#"{"p":{"label_1":0.5,"label_2":0.25},"a":1}"#]));
    weir.settle();
    let few = schema(&weir, "churn");
    assert_eq!((type_of(&few, "inputs.p.label_1"), few.get("maps")), (&json!("DOUBLE"), None));
    post(&weir, &mut sent, "churn", &(0..60).map(best).collect::<Vec<_>>());
    weir.settle();
    let before = read_all(&weir, &sent)["churn"];
    assert!(before > 0, "labels without a column are in _raw");
    let found = schema(&weir, "churn");
    let labels = found["columns"].as_array().expect("columns").iter();
    assert!(
        labels.filter(|column| column["name"].as_str().is_some_and(|name| name.starts_with("inputs.p."))).count() <= 64
    );
    let maps = found["maps"].as_array().expect("maps");
    let names: Vec<&Value> = maps.iter().map(|map| &map["name"]).collect();
    assert_eq!(names, ["inputs.p", "outputs.p"]);
    for map in maps {
        let fix = map["fix"].as_str().expect("a command");
        let words = String::from_utf8(weir.cli(&["schema", "churn"]).stdout).expect("text");
        assert!(words.contains(fix) && words.contains("looks like a map"), "{words}");
        let (_, column) = fix.split_once("weir schema churn --pin ").expect("a command");
        let pinned = weir.cli_json(&["schema", "churn", "--pin", column.trim_matches('\'')]);
        let name = format!("{}_map", map["name"].as_str().expect("a name"));
        assert_eq!((named(&pinned), type_of(&pinned, &name)), (vec![name.as_str()], &json!("MAP<STRING, DOUBLE>")));
    }
    post(&weir, &mut sent, "churn", &(60..120).map(best).collect::<Vec<_>>());
    weir.settle();
    assert_eq!(read_all(&weir, &sent)["churn"], before, "every label has its place now");
    assert_eq!(schema(&weir, "churn").get("maps"), None);
}

/// The same on S3, with the process down.
#[test]
fn columns_are_pinned_and_promoted_on_s3_too() {
    let bucket = bucket();
    let mut weir = weir(&["churn"], &store(&bucket, ""));
    for (name, value) in bucket.account.env() {
        weir = weir.env(name, &value);
    }
    weir.up();
    let mut sent = Sent::new();
    let rows = |from: u64| -> Vec<String> {
        (from..from + 150)
            .map(|row| if row == from { r#"{"rare":5}"#.to_owned() } else { format!(r#"{{"a":{row}}}"#) })
            .collect()
    };
    post(&weir, &mut sent, "churn", &rows(0));
    weir.settle();
    weir.term();
    let found = weir.cli_json(&["schema", "--promote", "inputs.rare", "--pin", "inputs.later=int64"]);
    assert_eq!(named(&found), ["inputs.later", "inputs.rare"]);
    assert!(bucket.keys().contains(&"rows/churn/_weir/schema/2.json".to_owned()), "{:?}", bucket.keys());
    weir.up();
    post(&weir, &mut sent, "churn", &rows(1_000));
    weir.settle();
    let folder = tempfile::tempdir().expect("a folder");
    download(&bucket, folder.path());
    let rows = parquet::rows(&folder.path().join("rows/churn"));
    assert_eq!(rows.len(), 300);
    let with_column = rows.iter().filter(|row| row.to_string().contains("rare: 5.0")).count();
    assert_eq!(with_column, 1, "of the second file");
}
