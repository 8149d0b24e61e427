//! Columns that a person asks for: before the first record, later, out of `_raw`; and what can no longer be.

use arrow_array::types::{Int64Type, UInt8Type};
use proptest::prelude::*;

use super::*;
use crate::config::FixedType;
use crate::table::{Conflict, Wanted, wanted};

fn asked(columns: &[&str]) -> Vec<Wanted> {
    let fixed: Vec<FixedType> = columns.iter().map(|text| text.parse().expect("a column and its type")).collect();
    wanted(&fixed)
}

fn named(conflicts: Vec<Conflict>) -> Vec<String> {
    conflicts.into_iter().map(|conflict| format!("{} is {}", conflict.column, conflict.column_type)).collect()
}

#[test]
fn what_is_fixed_beats_what_is_declared_and_what_it_looks_like() {
    let values = [
        r#"{"inputs":{"id":9007199254740993,"n":200,"b":"AAH/","o":{"x":1,"y":"t"},"p":{"a":1}},"user":7,"types":{"inputs.n":"INT32"}}"#,
        r#"{"inputs":{"id":1.5,"n":256,"b":"no base64","o":{"x":2}}}"#,
        r#"{"inputs":{"id":1,"b":"AAH"}}"#,
    ];
    let messages = messages(&values);
    let columns =
        ["inputs.id=int64", "inputs.n=uint8", "inputs.b=binary", "inputs.o.x=int64", "inputs.p=map", "user=string"];
    let base = Schema::unborn_with(&asked(&columns));
    let schema = surveyed(&messages).propose(Some(&base)).expect("a column of its own");
    assert_eq!(schema.version(), 1);
    assert_eq!(schema.conflicts(&asked(&columns)), []);
    let names: Vec<&str> = schema.inputs().iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, ["id", "n", "b", "o", "p"], "in the order in which they were asked for");
    let file = write_with(&Arc::new(schema), &messages, SETTINGS);
    assert_eq!(file.raw_rows(), [0, 1, 2], "`user` is no string, then 1.5, 256 and no base64; the last is not whole");
    let ids: Vec<_> = file.column("inputs.id").as_primitive::<Int64Type>().iter().collect();
    assert_eq!(ids, [Some(9_007_199_254_740_993), None, Some(1)]);
    let small: Vec<_> = file.column("inputs.n").as_primitive::<UInt8Type>().iter().collect();
    assert_eq!(small, [Some(200), None, None]);
    assert_eq!(
        file.column("inputs.b").as_binary::<i32>().iter().collect::<Vec<_>>(),
        [Some(&[0, 1, 255][..]), None, None]
    );
    assert_eq!(file.texts("inputs.o.y"), [Some("t".to_owned()), None, None], "beside a fixed one others are found");
    assert_eq!(file.column("inputs.p").as_map().value_length(0), 1);
}

#[test]
fn a_column_can_be_asked_for_before_any_row_has_it() {
    let base = Schema::unborn_with(&asked(&["inputs.later=int64"]));
    assert_eq!(base.version(), 0);
    let first = surveyed(&messages(&[r#"{"inputs":{}}"#])).propose(Some(&base)).unwrap_or_else(|| base.next());
    assert_eq!((first.version(), first.columns()), (1, 1));
    let file = write_with(&Arc::new(first.clone()), &messages(&[r#"{"inputs":{}}"#]), SETTINGS);
    assert!(file.column("inputs.later").is_null(0));
    let second = first.with(&asked(&["inputs.more.below=string"])).expect("a new column");
    assert_eq!(second.version(), 2);
    assert!(second.covers(&first));
    assert_eq!(second.with(&asked(&["inputs.more.below=string", "inputs.later=int64"])), None);
    assert_eq!(Schema::unborn_with(&[]).next(), Schema::default());
}

#[test]
fn a_column_keeps_its_type_and_its_place() {
    let (schema, _) = table(&[r#"{"inputs":{"a":1,"o":{"x":1},"A":2}}"#]);
    let conflicts = |columns: &[&str]| named(schema.conflicts(&asked(columns)));
    assert_eq!(conflicts(&["inputs.a=double", "inputs.o.x=double", "inputs.new=int64"]), Vec::<String>::new());
    assert_eq!(conflicts(&["inputs.a=int64"]), ["inputs.a is DOUBLE"]);
    assert_eq!(conflicts(&["inputs.A=int64"]), ["inputs.A_2 is DOUBLE"]);
    assert_eq!(conflicts(&["inputs.a.b=int64"]), ["inputs.a is DOUBLE"]);
    assert_eq!(conflicts(&["inputs.o=string"]), ["inputs.o is STRUCT"]);
    // They change nothing, and what is free is added beside them.
    assert_eq!(schema.with(&asked(&["inputs.a=int64", "inputs.a.b=int64", "inputs.o=string"])), None);
    let wider = schema.with(&asked(&["inputs.a=int64", "inputs.O=int64", "dt=string"])).expect("two columns");
    assert_eq!(wider.columns(), schema.columns() + 2);
    let keys: Vec<String> = wider.keys().iter().map(|(name, path)| format!("{name} of {path}")).collect();
    assert_eq!(keys, ["dt_2 of dt", "inputs.A_2 of inputs.A", "inputs.O_2 of inputs.O"]);
}

#[test]
fn a_rare_field_has_a_type_to_be_promoted_with() {
    let mut survey = Survey::default();
    for row in 0..1_000u64 {
        survey.add(&message(row, r#"{"inputs":{"a":1}}"#));
    }
    survey.add(&message(1_000, r#"{"inputs":{"rare":5,"o":{"x":"t","never":null},"l":[{"x":1}]},"user":true}"#));
    let at = |path: &str| survey.at(&path.parse().expect("a path"));
    assert_eq!(at("inputs.rare"), Some((1, Some(Type::Double))));
    assert_eq!(at("inputs.o.x"), Some((1, Some(Type::String))));
    assert_eq!(at("user"), Some((1, Some(Type::Boolean))));
    assert!(matches!(at("inputs.o"), Some((1, Some(Type::Struct(fields)))) if fields.len() == 1));
    assert_eq!((at("inputs.l"), at("inputs.o.never")), (Some((1, None)), Some((1, None))));
    assert_eq!((at("inputs.nobody"), at("outputs.rare"), at("inputs.rare.x")), (None, None, None));
    let schema = survey.propose(None).expect("a schema");
    assert_eq!(input_type(&schema, "rare"), None);
    let beyond = |schema: &Schema| -> Vec<String> {
        let shown = |data_type: Option<Type>| data_type.map_or("-".to_owned(), |data_type| data_type.to_string());
        survey.beyond(schema).into_iter().map(|(path, rows, of)| format!("{path} {rows} {}", shown(of))).collect()
    };
    assert_eq!(
        beyond(&schema),
        ["inputs.l 1 -", "inputs.o 1 STRUCT", "inputs.rare 1 DOUBLE", "user 1 BOOLEAN"],
        "and not `inputs.a`, which 1,000 rows have and a column too"
    );
    let wider = schema.with(&asked(&["inputs.o.x=string", "user=string"])).expect("wider");
    assert_eq!(beyond(&wider), ["inputs.l 1 -", "inputs.o.never 1 -", "inputs.rare 1 DOUBLE"]);
}

#[test]
fn keys_that_one_row_each_has_make_no_columns_where_they_are_many() {
    let row = |row: u64, count: u64| {
        let keys: Vec<String> = (0..count).map(|key| format!(r#""k{row}_{key}":1"#)).collect();
        format!(r#"{{"inputs":{{"a":1,{}}}}}"#, keys.join(","))
    };
    let values: Vec<String> = (0..50).map(|at| row(at, 200)).collect();
    let (schema, file) = table(&values);
    assert_eq!(schema.columns(), 1, "ten thousand keys");
    assert_eq!(file.raw_rows().len(), 50);
    // One row alone says nothing of the others, and a few new keys are welcome.
    assert_eq!(table(&[row(0, 200)]).0.columns(), 201);
    assert_eq!(table(&[row(0, 10), row(1, 10)]).0.columns(), 21);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is asked for of whatever schema: nothing that was there changes, asking again adds nothing, and each column is there as asked
    /// or named as a conflict.
    #[test]
    fn asking_only_adds(
        before in prop::collection::vec(("[aA]", 0usize..5), 0..4),
        columns in prop::collection::vec(("[aAb](\\.[xX]){0,2}", prop::sample::select(vec!["int64", "double", "string", "map", "list<float>"])), 1..6),
    ) {
        let shapes = ["1", "\"t\"", "[1]", "{\"x\":1}", "{\"X\":{\"x\":true}}"];
        let entries: Vec<String> = before.iter().map(|(key, shape)| format!("\"{key}\":{}", shapes[*shape])).collect();
        let record = format!("{{\"inputs\":{{{}}}}}", entries.join(","));
        let schema = surveyed(&messages(&[record])).propose(None).unwrap_or_default();
        let columns: Vec<String> = columns.iter().map(|(path, of)| format!("inputs.{path}={of}")).collect();
        let mut columns = asked(&columns.iter().map(String::as_str).collect::<Vec<_>>());
        // The configuration and the command line refuse a column within another.
        let mut kept: Vec<Wanted> = Vec::new();
        columns.retain(|column| {
            let free = kept.iter().all(|(path, _)| !path.meets(&column.0));
            kept.extend(free.then(|| column.clone()));
            free
        });
        let grown = schema.with(&columns).unwrap_or_else(|| schema.clone());
        prop_assert!(growth::is_grown(schema.inputs(), grown.inputs()));
        prop_assert_eq!(grown.with(&columns), None);
        let conflicts = grown.conflicts(&columns);
        for (path, data_type) in &columns {
            let is = grown.column(path).is_some_and(|(_, of)| of == data_type);
            prop_assert!(is != conflicts.iter().any(|conflict| conflict.wanted == *path && conflict.wanted_type == *data_type));
        }
        let arrow = grown.arrow();
        if let Ok(field) = arrow.field_with_name("inputs") && let arrow_schema::DataType::Struct(fields) = field.data_type() {
            let mut folded: Vec<String> = fields.iter().map(|field| field.name().to_lowercase()).collect();
            folded.sort();
            folded.dedup();
            prop_assert_eq!(folded.len(), fields.len());
        }
    }
}
