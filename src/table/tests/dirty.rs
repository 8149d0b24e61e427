//! Broken and odd records between good ones: each is one row, and no row shifts.

use proptest::prelude::*;

use super::*;

fn good(row: usize) -> String {
    format!(
        r#"{{"id":"g{row}","model_name":"m","model_version":"1","inputs":{{"n":{row},"s":"v{row}","o":{{"p":{row},"q":[{row},1]}},"l":[[{row}],[2,3]],"t":["a","b{row}"]}},"outputs":{{"y":{row}}},"metadata":{{"k":"v{row}"}}}}"#
    )
}

fn schema() -> Arc<Schema> {
    Arc::new(surveyed(&messages(&[good(0), good(1)])).propose(None).expect("a schema"))
}

fn check_good(file: &File, at: usize, row: usize) {
    let text = format!("v{row}");
    assert_eq!(file.text("id", at), Some(format!("g{row}")));
    assert_eq!(file.doubles("inputs.n")[at], Some(row as f64));
    assert_eq!(file.text("inputs.s", at), Some(text.clone()));
    assert_eq!(file.doubles("inputs.o.p")[at], Some(row as f64));
    let q = file.column("inputs.o.q").as_list::<i32>().value(at);
    assert_eq!(q.as_primitive::<Float64Type>().values().to_vec(), [row as f64, 1.0]);
    let l = file.column("inputs.l").as_list::<i32>().value(at);
    assert_eq!(l.as_list::<i32>().value(0).as_primitive::<Float64Type>().value(0), row as f64);
    let t = file.column("inputs.t").as_list::<i32>().value(at);
    assert_eq!(t.as_string::<i32>().value(1), format!("b{row}"));
    let metadata = file.column("metadata");
    assert_eq!(metadata.as_map().value(at).column(1).as_string::<i32>().value(0), text);
    assert_eq!(file.text("_raw", at), None);
}

#[test]
fn twenty_kinds_of_dirt_keep_their_text_and_their_place() {
    let good_text = good(5);
    let kinds: Vec<String> = vec![
        good_text.replace("\"n\":5", "\"n\":9007199254740993"),
        good_text.replace("\"n\":5", "\"n\":\"five\""),
        good_text.replace("\"n\":5", "\"n\":5,\"new\":1"),
        good_text[..good_text.len() / 2].to_owned(),
        format!("{good_text}x"),
        good_text.replace("v5", "v\u{1}5"),
        good_text.replace("\"n\":5", "\"n\":5,\"n\":6"),
        good_text.replace("\"v5\"", "\"\\u00e9\\n\""),
        good_text.replace("\"v5\"", "\"\\ud83d\\ude00\""),
        good_text.replace("\"v5\"", "\"\\ud83d\""),
        good_text.replace(':', " : ").replace(',', " ,\n"),
        good_text.replace("\"n\":5,", ""),
        good_text.replace("\"n\":5", "\"n\":null"),
        r#"{"outputs":{"y":5},"inputs":{"l":[[5],[2,3]],"n":5},"id":"g5"}"#.to_owned(),
        good_text.replace("\"n\":5", "\"n\":\"NaN\""),
        good_text.replace("\"n\":5", "\"n\":NaN"),
        good_text.replace("[[5]", "[[5,\"x\"]"),
        good_text.replace("{\"p\":5,", "{\"p\":{\"deep\":[1,{}]},"),
        good_text.replace("\"k\":\"v5\"", "\"k\":{\"a\":[1]},\"k\":\"w\""),
        good_text.replace("\"o\":{", "\"o\":[{").replace("},\"l\"", "}],\"l\""),
        good_text.replace("[\"a\",", "[\"a\",null,[],"),
        good_text.replace("\"outputs\":{\"y\":5}", "\"outputs\":{\"y\":5},\"outputs\":{\"y\":6}"),
    ];
    let needs_raw = |kind: usize| ![7, 8, 10, 11, 12, 13, 14, 15].contains(&kind);
    let values: Vec<String> = kinds.iter().enumerate().flat_map(|(row, dirt)| [good(row), dirt.clone()]).collect();
    let file = write_with(&schema(), &messages(&values), SETTINGS);
    for (kind, dirt) in kinds.iter().enumerate() {
        check_good(&file, 2 * kind, kind);
        let raw = file.text("_raw", 2 * kind + 1);
        assert_eq!(raw, needs_raw(kind).then(|| dirt.clone()), "kind {kind}: {dirt}");
        let broken = [3, 4, 5].contains(&kind);
        assert_eq!(file.bools("_quarantined")[2 * kind + 1], Some(broken), "kind {kind}: {dirt}");
    }
    // A duplicate key keeps its first value.
    assert_eq!(file.doubles("inputs.n")[13], Some(5.0));
    assert_eq!(file.doubles("outputs.y")[43], Some(5.0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn broken_records_never_shift_a_row(cuts in prop::collection::vec((any::<prop::sample::Index>(), 0usize..4, "[\\[\\]{}\",:0-9N]{0,3}"), 1..12)) {
        let mut values = Vec::new();
        for (row, (at, length, with)) in cuts.iter().enumerate() {
            values.push(good(row));
            let text = good(row + 100);
            let at = at.index(text.len());
            // No length cuts off the rest.
            let end = if *length == 0 { text.len() } else { (at + length).min(text.len()) };
            values.push(format!("{}{with}{}", &text[..at], &text[end..]));
        }
        let file = write_with(&schema(), &messages(&values), SETTINGS);
        for row in 0..cuts.len() {
            check_good(&file, 2 * row, row);
            let raw = file.text("_raw", 2 * row + 1);
            prop_assert!(raw.is_none() || raw.as_deref() == Some(values[2 * row + 1].as_str()));
            if file.bools("_quarantined")[2 * row + 1] == Some(true) {
                prop_assert!(raw.is_some() && file.column("inputs").is_null(2 * row + 1));
            }
        }
    }
}

#[test]
fn rows_are_in_place_over_many_batches() {
    let values: Vec<String> = (0..5_000)
        .map(|row| if row % 7 == 3 { good(row)[..good(row).len() - 9].to_owned() } else { good(row) })
        .collect();
    let file = write_with(&schema(), &messages(&values), SETTINGS);
    for row in [0, 1, 1_023, 1_024, 1_025, 4_095, 4_096, 4_998] {
        if row % 7 != 3 {
            check_good(&file, row, row);
        }
    }
    assert_eq!(file.quarantined, 714);
}
