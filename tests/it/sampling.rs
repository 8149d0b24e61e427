//! `capture.sample` behind the real binary: a user's calls are recorded all or none, errors all, and every call is accounted for.

use std::collections::BTreeMap;

use ::parquet::record::{Field, RowAccessor as _};
use xxhash_rust::xxh3::xxh3_64;

use crate::support::model::Model;
use crate::support::parquet;
use crate::support::weir::{Weir, number, rows};

const USERS: u64 = 60;

/// Whether a user is in a sample of a half, by the rule that the reference states.
fn in_half(user: u64) -> bool {
    xxh3_64(format!("user-{user}").as_bytes()) as f64 / 2_f64.powi(64) < 0.5
}

#[test]
fn a_sample_by_user_keeps_all_calls_of_some_and_all_errors() {
    let model = Model::start();
    let sample = "{ rate: 0.5, by: header:x-user-id, keep_errors: true }";
    let route = format!("{{ upstream: {}, capture: {{ sample: {sample}, bodies: never }} }}", model.url());
    let weir = Weir::new(&format!("routes: {{ m: {route} }}\n")).start();
    let mut client = weir.client();
    for user in 0..USERS {
        let name = format!("user-{user}");
        let headers = [("content-type", "application/json"), ("x-user-id", name.as_str())];
        for path in ["/predict", "/predict", "/status/503"] {
            let answer =
                client.send("POST", path, &headers, format!(r#"{{"x":{user}}}"#).as_bytes()).expect("an answer");
            assert_eq!(answer.status, if path == "/predict" { 200 } else { 503 });
        }
    }

    let (status, report) = weir.settle();
    let kept = (0..USERS).filter(|user| in_half(*user)).count() as u64;
    assert!(kept > 0 && kept < USERS, "both happen");
    assert_eq!(number(&status, "/calls/seen"), 3 * USERS);
    assert_eq!(number(&status, "/calls/logged"), 2 * kept + USERS);
    assert_eq!(number(&status, "/calls/unsampled"), 2 * (USERS - kept));
    assert_eq!(number(&status, "/rows/stored"), 2 * kept + USERS);
    assert_eq!(rows(&report), 2 * kept + USERS);

    // Rows by user, status and rate.
    let mut found: BTreeMap<(u64, i64, String), u64> = BTreeMap::new();
    for row in parquet::rows(&weir.parquet()) {
        let fields: BTreeMap<&String, &Field> = row.get_column_iter().collect();
        let of = |name: &str| fields.get(&name.to_owned()).unwrap_or_else(|| panic!("no {name} in {fields:?}"));
        let Field::Group(inputs) = of("inputs") else { panic!("{:?}", of("inputs")) };
        let x = inputs.get_double(0).expect("the only input") as u64;
        let code = of("status_code").to_string().parse().expect("a status");
        let Field::Double(rate) = of("sampling_rate") else { panic!("{:?}", of("sampling_rate")) };
        *found.entry((x, code, rate.to_string())).or_default() += 1;
    }
    let mut expected = BTreeMap::new();
    for user in 0..USERS {
        expected.insert((user, 503, "1".to_owned()), 1);
        if in_half(user) {
            expected.insert((user, 200, "0.5".to_owned()), 2);
        }
    }
    assert_eq!(found, expected);
}
