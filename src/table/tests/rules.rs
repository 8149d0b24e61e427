//! Design T1, rule by rule.

use super::*;

#[test]
fn a_weir_record_fills_every_fixed_column() {
    let (schema, file) = table(&[
        r#"{"id":"a_0","model_name":"churn","model_version":"7","inputs":{"age":41,"vip":true,"plan":"pro"},
        "outputs":{"score":0.87},"occurred_at":"2026-11-25T12:00:00.000001Z","request_id":"a","client_request_id":"c","trace_id":"t",
        "row_index":0,"row_count":2,"status_code":200,"outcome":"complete","origin":"model","attempts":1,"upstream":"127.0.0.1:1","latency_ms":1.5,
        "upstream_ms":1.25,"ttfb_ms":1,"route":"churn","protocol":"json","method":"POST","path":"/p","request_bytes":10,"response_bytes":20,
        "streamed":false,"partial":false,"truncated":false,"parse_status":"ok","parse_error":"","error":"","sampling_rate":1.0,
        "metadata":{"team":"growth","x":"y"},"types":{"inputs.age":"INT64"},"request_body":"q","response_body":"r","body_encoding":"utf8","schema_version":1}"#,
    ]);
    assert_eq!(file.quarantined, 0);
    assert_eq!(file.raw_rows(), Vec::<usize>::new());
    for column in file.batch.columns().iter().zip(file.batch.schema().fields()) {
        let absent = ["_raw", "_key", "_error"].contains(&column.1.name().as_str());
        assert_eq!(column.0.null_count(), usize::from(absent), "{}", column.1.name());
    }
    assert_eq!(input_type(&schema, "age"), Some(&Type::Int64), "declared by `types`");
    let at = file.column("occurred_at").as_primitive::<TimestampMicrosecondType>().value(0);
    assert_eq!(at, "2026-11-25T12:00:00.000001Z".parse::<jiff::Timestamp>().expect("a time").as_microsecond());
    assert_eq!(file.column("status_code").as_primitive::<Int32Type>().value(0), 200);
    let names: Vec<String> = file.batch.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names[..6], ["id", "model_name", "model_version", "inputs", "outputs", "occurred_at"]);
    assert_eq!(names.last().map(String::as_str), Some("_error"));
    assert_eq!(names.len(), 48);
}

#[test]
fn types_are_inferred_as_the_design_says() {
    let (schema, file) = table(&[
        r#"{"inputs":{"n":1,"f":0.5,"b":true,"s":"x","ln":[1,2],"lb":[true,null],"ls":["a"],"lln":[[1,2],[],[3.5]],"o":{"p":{"q":{"r":1}}}}}"#,
        r#"{"inputs":{"n":null,"f":2,"b":false,"s":"NaN","ln":[],"lb":[],"ls":[null],"lln":[],"o":{}}}"#,
    ]);
    assert_eq!(input_type(&schema, "n"), Some(&Type::Double));
    assert_eq!(input_type(&schema, "f"), Some(&Type::Double));
    assert_eq!(input_type(&schema, "b"), Some(&Type::Boolean));
    assert_eq!(input_type(&schema, "s"), Some(&Type::String));
    assert_eq!(input_type(&schema, "ln"), Some(&list(Type::Double)));
    assert_eq!(input_type(&schema, "lb"), Some(&list(Type::Boolean)));
    assert_eq!(input_type(&schema, "ls"), Some(&list(Type::String)));
    assert_eq!(input_type(&schema, "lln"), Some(&list(list(Type::Double))));
    assert_eq!(file.raw_rows(), Vec::<usize>::new());
    assert_eq!(file.doubles("inputs.n"), [Some(1.0), None]);
    assert_eq!(file.doubles("inputs.o.p.q.r"), [Some(1.0), None]);
    assert_eq!(file.texts("inputs.s"), [Some("x".to_owned()), Some("NaN".to_owned())]);
    let nested = file.column("inputs.lln");
    let first = nested.as_list::<i32>().value(0);
    assert_eq!(first.as_list::<i32>().len(), 3);
    assert_eq!(first.as_list::<i32>().value(2).as_primitive::<Float64Type>().value(0), 3.5);
    assert!(nested.is_valid(1), "an empty list is no null");
    assert!(file.column("inputs.o").is_valid(1), "an empty object is no null");
}

#[test]
fn deeper_objects_and_lists_of_objects_live_in_raw() {
    let (schema, file) =
        table(&[r#"{"inputs":{"a":{"b":{"c":{"d":1,"e":{"f":2}}}},"l":[{"x":1}],"m":[1,"a"],"k":[[[1]]]}}"#]);
    assert_eq!(file.doubles("inputs.a.b.c.d"), [Some(1.0)]);
    assert_eq!(schema.columns(), 4);
    assert_eq!(file.raw_rows(), [0]);
}

#[test]
fn what_decides_no_type_makes_no_column() {
    let (schema, file) =
        table(&[r#"{"inputs":{"a":null,"b":[],"c":{},"d":"NaN","e":"-Infinity","f":[null,[]]},"outputs":{}}"#]);
    assert_eq!(schema, Arc::new(Schema::default()));
    assert!(!file.has("inputs") && !file.has("outputs"), "Parquet has no empty STRUCT");
    assert_eq!(file.raw_rows(), [0]);
    let (_, file) = table(&[r#"{"id":"a","inputs":{},"outputs":{},"extra":null}"#]);
    assert_eq!(file.raw_rows(), Vec::<usize>::new(), "nothing is in it that the columns lack");
}

#[test]
fn not_finite_texts_turn_back_into_doubles() {
    let (_, file) = table(&[
        r#"{"inputs":{"a":1.5,"l":[1,"NaN"]}}"#,
        r#"{"inputs":{"a":"NaN","l":["-Infinity"]}}"#,
        r#"{"inputs":{"a":"Infinity"}}"#,
        r#"{"inputs":{"a":"-Infinity"}}"#,
        r#"{"inputs":{"a":NaN}}"#,
        r#"{"inputs":{"a":"nan"}}"#,
    ]);
    let a = file.doubles("inputs.a");
    assert!(a[1].is_some_and(f64::is_nan) && a[4].is_some_and(f64::is_nan));
    assert_eq!((a[2], a[3], a[5]), (Some(f64::INFINITY), Some(f64::NEG_INFINITY), None));
    assert_eq!(file.raw_rows(), [5]);
}

#[test]
fn a_key_needs_one_percent_of_the_rows_that_count() {
    let row = |extra: &str| format!(r#"{{"inputs":{{"a":1{extra}}}}}"#);
    let mut values: Vec<String> = (0..201).map(|_| row("")).collect();
    values[0] = row(r#","rare":1"#);
    values[1] = row(r#","rare":1"#);
    let (schema, file) = table(&values);
    assert_eq!(input_type(&schema, "rare"), None, "2 of 201, 3 are needed");
    assert_eq!(file.raw_rows(), [0, 1]);
    values[2] = row(r#","rare":1"#);
    let (schema, _) = table(&values);
    assert_eq!(input_type(&schema, "rare"), Some(&Type::Double));
    // Failed and unparsed rows neither have keys nor count.
    values[2] = r#"{"inputs":{"rare":1},"status_code":500}"#.to_owned();
    values.extend((0..300).map(|_| r#"{"inputs":{"bad":1},"parse_status":"invalid"}"#.to_owned()));
    values.truncate(150);
    values.push(r#"{"inputs":{"bad":1},"parse_status":"truncated"}"#.to_owned());
    let (schema, _) = table(&values);
    assert_eq!(input_type(&schema, "rare"), Some(&Type::Double), "2 of 149");
    assert_eq!(input_type(&schema, "bad"), None);
}

#[test]
fn of_several_types_most_rows_decide_and_raw_keeps_the_rest() {
    let (schema, file) = table(&[
        r#"{"inputs":{"a":1,"o":{"x":1}}}"#,
        r#"{"inputs":{"a":2,"o":{"x":2}}}"#,
        r#"{"inputs":{"a":"three","o":3}}"#,
    ]);
    assert_eq!(input_type(&schema, "a"), Some(&Type::Double));
    assert!(matches!(input_type(&schema, "o"), Some(Type::Struct(_))));
    assert_eq!(file.raw_rows(), [2]);
    assert!(file.column("inputs.o").is_null(2));
    assert_eq!(file.doubles("inputs.o.x"), [Some(1.0), Some(2.0), None]);
}

#[test]
fn pinned_beats_declared_beats_inferred() {
    let first = messages(&[r#"{"inputs":{"a":1}}"#]);
    let pinned = surveyed(&first).propose(None).expect("a schema");
    let later = messages(&[
        r#"{"inputs":{"a":1,"b":2,"c":3,"d":4},"types":{"inputs.a":"INT64","inputs.b":"INT32","inputs.c":"INT8","inputs.d":"BOOL"}}"#,
        r#"{"inputs":{"a":1,"b":2,"c":3,"d":4},"types":{"inputs.a":"INT64","inputs.b":"INT32","inputs.c":"FP32","inputs.d":"FP32"}}"#,
    ]);
    let schema = surveyed(&later).propose(Some(&pinned)).expect("a wider schema");
    assert_eq!(input_type(&schema, "a"), Some(&Type::Double));
    assert_eq!(input_type(&schema, "b"), Some(&Type::Int32));
    assert_eq!(input_type(&schema, "c"), Some(&Type::Double), "numeric declarations that differ");
    assert_eq!(input_type(&schema, "d"), Some(&Type::String), "other declarations that differ");
    let file = write_with(
        &Arc::new(schema),
        &messages(&[r#"{"inputs":{"b":2147483647}}"#, r#"{"inputs":{"b":2147483648}}"#]),
        SETTINGS,
    );
    assert_eq!(file.raw_rows(), [1], "out of range");
}

#[test]
fn names_that_differ_only_in_case_get_a_suffix() {
    let (schema, file) = table(&[r#"{"inputs":{"Age":1,"age":2,"AGE":3,"":4},"ID":"x","_raw":"y","_Offset":5}"#]);
    let names: Vec<&str> = schema.inputs().iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, ["Age", "age_2", "AGE_3", "_empty"]);
    assert_eq!(file.doubles("inputs.age_2"), [Some(2.0)]);
    assert_eq!(file.doubles("inputs._empty"), [Some(4.0)]);
    assert_eq!(file.texts("ID_2"), [Some("x".to_owned())]);
    assert_eq!(file.texts("_raw_2"), [Some("y".to_owned())]);
    assert_eq!(file.doubles("_Offset_2"), [Some(5.0)]);
    assert_eq!(file.raw_rows(), Vec::<usize>::new());
}

#[test]
fn a_foreign_record_keeps_its_other_fields_as_columns_after_outputs() {
    let (_, file) = table(&[
        r#"{"id": "1", "model_name": "m", "model_version": "1", "inputs": {"x": 1}, "outputs": {"y": 0.5}, "user": "u", "ctx": {"a": [1]}, "score": 2}"#,
    ]);
    assert_eq!(file.raw_rows(), Vec::<usize>::new());
    let names: Vec<String> = file.batch.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names[3..9], ["inputs", "outputs", "user", "ctx", "score", "occurred_at"]);
    assert_eq!(file.texts("user"), [Some("u".to_owned())]);
    assert_eq!(file.doubles("score"), [Some(2.0)]);
}

#[test]
fn fixed_fields_of_another_type_are_null_and_kept_in_raw() {
    let (_, file) = table(&[
        r#"{"id":5,"model_version":3,"inputs":[1],"outputs":"x","occurred_at":"yesterday","row_count":1.0,"metadata":{"a":1,"b":"c"},"latency_ms":"fast"}"#,
        r#"{"id":"b","occurred_at":"2026-11-25T12:00:00.0000001Z"}"#,
        r#"{"id":"c","status_code":99999999999}"#,
    ]);
    assert_eq!(file.quarantined, 0);
    assert_eq!(file.raw_rows(), [0, 1, 2]);
    for column in ["id", "model_version", "occurred_at", "row_count", "latency_ms"] {
        assert!(file.column(column).is_null(0), "{column}");
    }
    let metadata = file.column("metadata");
    assert_eq!(metadata.as_map().value_length(0), 2);
    assert_eq!(file.texts("id")[1..], [Some("b".to_owned()), Some("c".to_owned())]);
}

#[test]
fn what_is_no_record_is_a_quarantine_row() {
    let values: [&[u8]; 9] = [
        b"{\"id\":\"a\",\"inputs\":{\"x\":1}}",
        b"[1,2]",
        b"\"text\"",
        b"null",
        b"{\"id\":\"b\",\"inputs\":{\"x\":1}",
        b"{\"id\":\"c\",\"inputs\":{\"x\":\xff}}",
        b"",
        b"{\"id\":\"d\"} trailing",
        b"{\"id\":\"e\",\"inputs\":{\"x\":2}}",
    ];
    let mut messages = messages(&values);
    messages.push(Message { value: None, key: Some(Bytes::from_static(b"k\xff")), ..message(9, "") });
    let damaged = Some(Damaged { next: 20, is_position: false, why: "bad checksum".to_owned() });
    messages.push(Message { value: None, damaged, seq: Some(17), ..message(10, "") });
    messages.push(Message { content_type: ContentType::Protobuf, ..message(11, b"\x08\x01") });
    let schema = Arc::new(surveyed(&messages).propose(None).expect("a schema"));
    let file = write_with(&schema, &messages, SETTINGS);
    assert_eq!(file.quarantined, 10);
    let flags: Vec<bool> = file.bools("_quarantined").into_iter().flatten().collect();
    let expected: Vec<bool> = (0..12).map(|row| ![0, 8].contains(&row)).collect();
    assert_eq!(flags, expected);
    assert_eq!(file.doubles("inputs.x").iter().filter(|x| x.is_some()).count(), 2);
    let error = |row: usize| file.text("_error", row).expect("an error");
    assert!(error(1).contains("array"), "{}", error(1));
    assert!(error(4).contains("not JSON") && error(4).contains("column"), "{}", error(4));
    assert!(error(5).starts_with("base64:"), "{}", error(5));
    assert!(error(9).contains("tombstone"));
    assert!(error(10).contains("17 to 19") && error(10).contains("bad checksum"), "{}", error(10));
    assert!(error(11).starts_with("base64:") && error(11).contains("protobuf"));
    assert_eq!(file.text("_raw", 4).as_deref(), Some("{\"id\":\"b\",\"inputs\":{\"x\":1}"));
    assert_eq!(file.text("_raw", 11).as_deref(), Some("CAE="));
    assert_eq!(file.column("_key").as_binary::<i32>().value(9), b"k\xff");
    assert_eq!(file.texts("id").into_iter().flatten().collect::<Vec<_>>(), ["a", "e"]);
}

#[test]
fn many_keys_do_not_make_many_columns() {
    let values: Vec<String> =
        (0..10_000).map(|row| format!(r#"{{"inputs":{{"a":{row},"user_{row}":1}},"outputs":{{"y":1}}}}"#)).collect();
    let (schema, file) = table(&values);
    assert_eq!(schema.columns(), 2);
    assert_eq!(file.raw_rows().len(), 10_000);
}

#[test]
fn columns_max_holds() {
    let keys: Vec<String> = (0..50).map(|key| format!(r#""k{key}":1"#)).collect();
    let messages = messages(&[format!(r#"{{"inputs":{{{}}}}}"#, keys.join(","))]);
    let mut survey = Survey::new(20);
    survey.add(&messages[0]);
    let schema = survey.propose(None).expect("a schema");
    assert_eq!(schema.columns(), 20);
    assert_eq!(survey.propose(Some(&schema)), None);
    assert_eq!(write_with(&Arc::new(schema), &messages, SETTINGS).raw_rows(), [0]);
}

#[test]
fn the_survey_forgets_what_is_rare_and_keeps_what_is_not() {
    let mut survey = Survey::new(1_000);
    for row in 0..3_000u64 {
        let keys: Vec<String> = (0..40).map(|key| format!(r#""d{row}_{key}":1"#)).collect();
        survey.add(&message(row, format!(r#"{{"inputs":{{"a":1,{},"z":{{"y":1}}}}}}"#, keys.join(","))));
    }
    let schema = survey.propose(None).expect("a schema");
    assert_eq!(schema.columns(), 3);
}
