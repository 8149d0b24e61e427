//! A schema settles whatever the records do: maps, embeddings, many keys, types that change. Each value is in its column or in `_raw`.

use arrow_array::types::Float32Type;
use proptest::prelude::*;

use super::*;
use crate::table::tree::{NAMES_BYTES_MAX, NODES_MAX};

fn output_type<'s>(schema: &'s Schema, key: &str) -> Option<&'s Type> {
    find(schema.outputs(), key).map(|field| &field.data_type)
}

/// The five best of 1,000 labels, others in each row.
fn best(row: u64) -> String {
    let entries: Vec<String> =
        (0..5).map(|n| format!(r#""label_{}":0.{}"#, (row * 37 + n * 211) % 1_000, n + 1)).collect();
    entries.join(",")
}

#[test]
fn probabilities_of_labels_that_vary_are_one_map() {
    let values: Vec<String> =
        (0..300).map(|row| format!(r#"{{"outputs":{{"probabilities":{{{}}},"label":"x"}}}}"#, best(row))).collect();
    let (schema, file) = table(&values);
    assert_eq!(output_type(&schema, "probabilities"), Some(&Type::MapDouble));
    assert_eq!(schema.columns(), 2);
    assert_eq!(file.raw_rows(), Vec::<usize>::new());
    let column = file.column("outputs.probabilities");
    let map = column.as_map();
    assert_eq!(map.value_length(7), 5);
    let entries = map.value(7);
    assert_eq!(entries.column(0).as_string::<i32>().value(1), format!("label_{}", 7 * 37 + 211));
    assert_eq!(entries.column(1).as_primitive::<Float64Type>().value(1), 0.2);
}

/// A first file of a row or two shows no map: its columns stay, and grow no further than a person would read; the rest is in `_raw`.
#[test]
fn a_struct_that_turns_out_to_be_a_map_does_not_eat_the_table_s_columns() {
    let value = |row: u64| format!(r#"{{"outputs":{{"p":{{{}}},"label":"x","new":{row}}}}}"#, best(row));
    let first = surveyed(&[message(0, r#"{"outputs":{"p":{"label_1":0.5,"label_2":0.25}}}"#)]);
    let mut schema = Arc::new(first.propose(None).expect("a schema"));
    assert!(matches!(output_type(&schema, "p"), Some(Type::Struct(fields)) if fields.len() == 2));
    // Files of many rows, and files of one.
    for rows in std::iter::once(0..300_u64).chain((300..900).map(|row| row..row + 1)) {
        let messages: Vec<Message> = rows.map(|row| message(row, value(row))).collect();
        if let Some(grown) = surveyed(&messages).propose(Some(&schema)) {
            schema = Arc::new(grown);
        }
    }
    let Some(Type::Struct(fields)) = output_type(&schema, "p") else { panic!("{schema:?}") };
    assert_eq!(fields.len(), 64);
    assert_eq!(schema.columns(), 64 + 3, "what stands beside it has its columns");
    let messages: Vec<Message> = (0..300).map(|row| message(row, value(row))).collect();
    assert!(surveyed(&messages).is_map(&"outputs.p".parse().expect("a path")));
    assert_eq!(schema.structs_of_numbers(), ["outputs.p".parse().expect("a path")]);

    // Asked for, a MAP stands beside it and takes the key's values.
    let wanted = [("outputs.p".parse().expect("a path"), Type::MapDouble)];
    assert_eq!(schema.conflicts(&wanted), []);
    let with_map = Arc::new(schema.with(&wanted).expect("something new"));
    assert_eq!(with_map.column(&wanted[0].0), Some(("outputs.p_map".to_owned(), &Type::MapDouble)));
    assert!(with_map.with(&wanted).is_none() && with_map.conflicts(&wanted).is_empty());
    assert!(surveyed(&messages).propose(Some(&with_map)).is_none(), "the STRUCT does not grow any more");
    assert_eq!(with_map.structs_of_numbers(), []);
    let file = write_with(&with_map, &messages, SETTINGS);
    assert_eq!(file.raw_rows(), Vec::<usize>::new());
    assert_eq!(file.column("outputs.p_map").as_map().value_length(7), 5);
    assert_eq!(file.column("outputs.p").null_count(), 300);
    // Whoever did not know of it merges his proposal into the same.
    let other = schema.merge(&first.propose(None).expect("a schema"));
    for merged in [with_map.merge(&other), other.merge(&with_map)] {
        assert_eq!(merged.column(&wanted[0].0), Some(("outputs.p_map".to_owned(), &Type::MapDouble)));
        assert_eq!(merged.columns(), with_map.columns());
    }
}

/// The order in which keys came before is no reason to take a MAP's values for the STRUCT's.
#[test]
fn the_map_beside_a_struct_takes_every_value_whatever_comes_before() {
    let first =
        surveyed(&[message(0, r#"{"inputs":{"a":1,"p":{"x":1},"":2,"z":3}}"#)]).propose(None).expect("a schema");
    let wanted = [("inputs.p".parse().expect("a path"), Type::MapDouble)];
    let schema = Arc::new(first.with(&wanted).expect("something new"));
    let values = [
        r#"{"inputs":{"a":1,"p":{"x":1},"":2,"z":3}}"#,
        r#"{"inputs":{"":2,"p":{"y":1},"a":1}}"#,
        r#"{"inputs":{"a":1,"":2,"p":{},"z":3}}"#,
        r#"{"inputs":{"p":null,"a":1}}"#,
    ];
    let file = write_with(&schema, &messages(&values), SETTINGS);
    assert_eq!(file.raw_rows(), Vec::<usize>::new());
    let column = file.column("inputs.p_map");
    let map = column.as_map();
    assert_eq!((0..4).map(|row| map.is_valid(row)).collect::<Vec<_>>(), [true, true, true, false]);
    assert_eq!((map.value_length(0), map.value_length(1), map.value_length(2)), (1, 1, 0));
    assert_eq!(file.column("inputs.p").null_count(), 4);
    assert_eq!(file.doubles("inputs._empty"), [Some(2.0), Some(2.0), Some(2.0), None]);
}

/// The same as one of two thousand labels in rows enough that the survey forgets keys meanwhile.
#[test]
fn a_map_is_one_also_where_the_keys_were_forgotten() {
    let mut survey = Survey::new(1_000);
    for row in 0..10_000u64 {
        let entries: Vec<String> = (0..10).map(|n| format!(r#""user_{}":{n}"#, row * 10 + n)).collect();
        survey.add(&message(row, format!(r#"{{"inputs":{{"seen":{{{}}},"a":1}}}}"#, entries.join(","))));
    }
    let schema = survey.propose(None).expect("a schema");
    assert_eq!(input_type(&schema, "seen"), Some(&Type::MapDouble));
    assert_eq!(schema.columns(), 2);
}

#[test]
fn features_that_most_rows_have_are_columns_not_a_map() {
    let features: Vec<String> = (0..30).map(|n| format!(r#""f{n}":{n}"#)).collect();
    let (schema, _) = table(&[format!(r#"{{"inputs":{{"features":{{{}}}}}}}"#, features.join(","))]);
    assert_eq!(schema.columns(), 31);
    // One more key that is another in each row changes nothing of it.
    let values: Vec<String> =
        (0..300).map(|row| format!(r#"{{"inputs":{{"features":{{{},"u{row}":1}}}}}}"#, features.join(","))).collect();
    let (schema, file) = table(&values);
    assert_eq!(schema.columns(), 31);
    assert_eq!(file.raw_rows().len(), 300);
    // Few keys that vary are columns too.
    let values: Vec<String> = (0..300).map(|row| format!(r#"{{"outputs":{{"p":{{"c{}":1}}}}}}"#, row % 10)).collect();
    let (schema, file) = table(&values);
    assert_eq!(schema.columns(), 11);
    assert_eq!(file.raw_rows(), Vec::<usize>::new());
    // And what is not numbers is no map of numbers.
    let values: Vec<String> = (0..300).map(|row| format!(r#"{{"inputs":{{"a":1,"p":{{"c{row}":"x"}}}}}}"#)).collect();
    let (schema, file) = table(&values);
    assert_eq!(schema.columns(), 1);
    assert_eq!(file.raw_rows().len(), 300);
}

#[test]
fn a_map_holds_thousands_of_keys_and_each_once() {
    let many: Vec<String> = (0..2_000).map(|n| format!(r#""k{n}":{n}"#)).collect();
    let mut values: Vec<String> = (0..300).map(|row| format!(r#"{{"outputs":{{"p":{{{}}}}}}}"#, best(row))).collect();
    values[0] = format!(r#"{{"outputs":{{"p":{{{}}}}}}}"#, many.join(","));
    values[1] = format!(r#"{{"outputs":{{"p":{{{},"k7":0.5,"k8":{{}}}}}}}}"#, many.join(","));
    values[2] = r#"{"outputs":{"p":{"a":1,"b":2,"a":[3],"c":"NaN"}}}"#.to_owned();
    values[3] = r#"{"outputs":{"p":{"a":"text","b":null,"c":9007199254740993}}}"#.to_owned();
    values[4] = r#"{"outputs":{"p":0.5}}"#.to_owned();
    let (schema, file) = table(&values);
    assert_eq!(output_type(&schema, "p"), Some(&Type::MapDouble));
    assert_eq!(file.raw_rows(), [1, 2, 3, 4]);
    let column = file.column("outputs.p");
    let map = column.as_map();
    assert_eq!([0, 1, 2, 3].map(|row| map.value_length(row)), [2_000, 2_000, 3, 3]);
    assert!(map.is_null(4));
    let [first, third] = [2, 3].map(|row| map.value(row).column(1).as_primitive::<Float64Type>().clone());
    assert_eq!((first.value(0), first.value(1), first.value(2).is_nan()), (1.0, 2.0, true));
    assert_eq!(third.null_count(), 3);
}

#[test]
fn embeddings_are_lists_of_doubles_or_of_floats_where_declared() {
    let (schema, file) = table(&[
        r#"{"outputs":{"e":[0.1,0.2,0.3]}}"#,
        r#"{"outputs":{"e":[1,2,3],"f":[0.1,0.10000000149011612,16777216],"g":[[0.5],[1]]},"types":{"outputs.f":"FP32","outputs.g":"FP32"}}"#,
        r#"{"outputs":{"f":[0.1234567890123]},"types":{"outputs.f":"FP32"}}"#,
        r#"{"outputs":{"f":[16777217]},"types":{"outputs.f":"FP32"}}"#,
    ]);
    assert_eq!(output_type(&schema, "e"), Some(&list(Type::Double)));
    assert_eq!(output_type(&schema, "f"), Some(&list(Type::Float)));
    assert_eq!(output_type(&schema, "g"), Some(&list(list(Type::Float))));
    // What no FLOAT is stays in `_raw`.
    assert_eq!(file.raw_rows(), [2, 3]);
    let floats = file.column("outputs.f").as_list::<i32>().value(1);
    assert_eq!(floats.as_primitive::<Float32Type>().values(), &[0.1, 0.1, 16_777_216.0]);
}

#[test]
fn memory_is_bounded_whatever_the_keys_are() {
    let within = |survey: &Survey| {
        let (keys, bytes) = (survey.tree.nodes.len(), survey.tree.names);
        assert!(keys <= 2 * NODES_MAX && bytes <= 2 * NAMES_BYTES_MAX + 255, "{keys} keys of {bytes} bytes");
    };
    let mut survey = Survey::new(1_000);
    let long = "k".repeat(200);
    for row in 0..2_000u64 {
        let keys: Vec<String> = (0..100).map(|key| format!(r#""{long}{row}_{key}":{{"x":1}}"#)).collect();
        survey.add(&message(row, format!(r#"{{"inputs":{{"a":1,{}}}}}"#, keys.join(","))));
        within(&survey);
    }
    survey.add(&message(3_000, format!(r#"{{"inputs":{{"{}":1}}}}"#, "l".repeat(1 << 20))));
    within(&survey);
    assert_eq!(survey.propose(None).expect("a schema").columns(), 1);
}

/// Keys that one row each has fill the memory: what a third of the rows has becomes a column all the same.
#[test]
fn many_keys_of_one_row_each_do_not_keep_out_the_others() {
    let mut survey = Survey::new(1_000);
    for row in 0..240u64 {
        let more = match row % 3 {
            _ if row < 60 => String::new(),
            0 => r#","late":1,"o":{"x":"t"}"#.to_owned(),
            _ => String::new(),
        };
        let keys: Vec<String> = (0..3_000).map(|key| format!(r#""u{row}_{key}":1"#)).collect();
        survey.add(&message(row, format!(r#"{{"inputs":{{"a":1,{}{more}}}}}"#, keys.join(","))));
    }
    let schema = survey.propose(None).expect("a schema");
    assert_eq!(input_type(&schema, "late"), Some(&Type::Double));
    assert_eq!(schema.columns(), 4, "a, late, o and o.x");
}

#[test]
fn names_that_readers_fold_or_make_themselves_are_not_taken() {
    let (schema, file) = table(&[r#"{"dt":"x","Hour":7,"inputs":{"dt":1,"K":2,"\u212a":3,"straße":4,"STRASSE":5}}"#]);
    let names: Vec<&str> = schema.extras().iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, ["dt_2", "Hour_2"], "the folders are columns too");
    let names: Vec<&str> = schema.inputs().iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, ["dt", "K", "\u{212a}_2", "straße", "STRASSE_2"]);
    assert_eq!(file.raw_rows(), Vec::<usize>::new());
    assert_eq!(file.texts("dt_2"), [Some("x".to_owned())]);
}

/// A value that a record may have under a key, as JSON.
fn value() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<u64>().prop_map(|n| n.to_string()),
        any::<i32>().prop_map(|n| format!("{:?}", f64::from(n) / 8.0)),
        "[a-z]{0,3}".prop_map(|text| format!("\"{text}\"")),
        Just("\"NaN\"".to_owned()),
    ];
    scalar.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::btree_map("[abAB]{1,2}", inner, 0..4).prop_map(|entries| {
                let entries: Vec<String> = entries.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                format!("{{{}}}", entries.join(","))
            }),
        ]
    })
}

/// What a column says of one row, as JSON; keys that only its STRUCTs have are left out, and so are its nulls.
fn cell(array: &dyn Array, fields: &[crate::table::Field], data_type: &Type, row: usize) -> serde_json::Value {
    use serde_json::{Value, json};
    if array.is_null(row) {
        return Value::Null;
    }
    match data_type {
        Type::Boolean => json!(array.as_boolean().value(row)),
        Type::Double => match array.as_primitive::<Float64Type>().value(row) {
            nan if nan.is_nan() => json!("NaN"),
            double => json!(double),
        },
        Type::String => json!(array.as_string::<i32>().value(row)),
        Type::List(element) => {
            let items = array.as_list::<i32>().value(row);
            (0..items.len()).map(|item| cell(&items, &[], element, item)).collect()
        }
        Type::MapDouble => {
            let entries = array.as_map().value(row);
            let (keys, values) = (entries.column(0).as_string::<i32>(), entries.column(1));
            (0..entries.len()).map(|at| (keys.value(at).to_owned(), cell(values, &[], &Type::Double, at))).collect()
        }
        Type::Struct(_) => {
            let emitted = Schema::emitted(fields).zip(array.as_struct().columns());
            emitted
                .map(|(field, array)| (field.key().to_owned(), cell(array, field.children(), &field.data_type, row)))
                .collect()
        }
        other => unreachable!("{other:?} is never inferred"),
    }
}

/// Without the keys that have no value: a column cannot tell them from keys that are not there.
fn without_null(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Object(entries) => entries
            .into_iter()
            .map(|(key, value)| (key, without_null(value)))
            .filter(|(_, value)| !value.is_null())
            .collect(),
        // In a double, as it arrives.
        Value::Number(number) => number.as_f64().map_or(Value::Null, |double| serde_json::json!(double)),
        Value::Array(items) => items.into_iter().map(without_null).collect(),
        other => other,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the records are and whatever schema they meet: a row without `_raw` says in its columns all that the record says, one with it
    /// has the record's own text.
    #[test]
    fn no_value_is_lost(
        before in prop::collection::vec(value(), 0..4),
        records in prop::collection::vec(value(), 1..8),
    ) {
        let record = |value: &String| format!(r#"{{"inputs":{{"v":{value},"w":1}}}}"#);
        let before: Vec<String> = before.iter().map(record).collect();
        let records: Vec<String> = records.iter().map(record).collect();
        let pinned = surveyed(&messages(&before)).propose(None);
        let all = messages(&records);
        let schema = surveyed(&all).propose(pinned.as_ref()).or(pinned).unwrap_or_default();
        let file = write_with(&Arc::new(schema.clone()), &all, SETTINGS);
        let raw = file.texts("_raw");
        let inputs = file.column("inputs");
        for (row, record) in records.iter().enumerate() {
            if let Some(raw) = &raw[row] {
                prop_assert_eq!(raw, record);
                continue;
            }
            let sent: serde_json::Value = serde_json::from_str(record).expect("JSON");
            let whole = Type::Struct(schema.inputs().to_vec());
            let have = cell(&inputs, schema.inputs(), &whole, row);
            prop_assert_eq!(without_null(have), without_null(sent["inputs"].clone()));
        }
    }
}
