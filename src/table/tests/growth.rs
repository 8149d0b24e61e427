//! Schemas only grow, and any two writers agree in the end.

use proptest::prelude::*;

use super::*;
use crate::table::Field;

fn propose(pinned: Option<&Schema>, values: &[&str]) -> Option<Schema> {
    surveyed(&messages(values)).propose(pinned)
}

/// Every column of the old schema is in the new one, at its place, with its name, type and id.
pub fn is_grown(old: &[Field], new: &[Field]) -> bool {
    old.len() <= new.len()
        && old.iter().zip(new).all(|(old, new)| {
            let same = (&old.name, old.key(), old.id) == (&new.name, new.key(), new.id);
            same && match (&old.data_type, &new.data_type) {
                (Type::Struct(old), Type::Struct(new)) => is_grown(old, new),
                (old, new) => old == new,
            }
        })
}

#[test]
fn a_later_field_is_added_and_nothing_else_changes() {
    let one = propose(None, &[r#"{"inputs":{"a":1,"o":{"x":1}}}"#]).expect("version 1");
    assert_eq!(one.version(), 1);
    assert_eq!(propose(Some(&one), &[r#"{"inputs":{"a":2,"o":{"x":5}}}"#]), None);
    let two = propose(Some(&one), &[r#"{"inputs":{"b":"x","a":"text","o":{"y":true}},"outputs":{"s":1}}"#])
        .expect("version 2");
    assert_eq!(two.version(), 2);
    assert!(is_grown(one.inputs(), two.inputs()));
    assert!(two.covers(&one) && !one.covers(&two));
    assert_eq!(input_type(&two, "a"), Some(&Type::Double));
    let again = Schema::from_json(&two.to_json()).expect("its own form");
    assert_eq!(again, two);
    assert!(Schema::from_json(br#"{"form":2}"#).is_err());
    assert!(Schema::from_json(b"x").is_err());
}

#[test]
fn two_proposals_merge() {
    let base = propose(None, &[r#"{"inputs":{"a":1}}"#]).expect("version 1");
    let mine = propose(Some(&base), &[r#"{"inputs":{"b":1}}"#]).expect("version 2");
    let theirs = propose(Some(&base), &[r#"{"inputs":{"c":1}}"#]).expect("version 2");
    let merged = theirs.merge(&mine);
    assert_eq!(merged.version(), 3);
    assert!(merged.covers(&mine) && merged.covers(&theirs));
    let ids: Vec<i32> = merged.inputs().iter().map(|field| field.id).collect();
    assert_eq!(ids, [1000, 1001, 1002]);
}

#[test]
fn misfits_propose_what_a_second_pass_needs() {
    let schema = Arc::new(propose(None, &[r#"{"inputs":{"a":1}}"#]).expect("version 1"));
    let write = |rare: usize| {
        let mut writer =
            FileWriter::new(schema.clone(), "churn", 0, std::io::sink(), SETTINGS).expect("settings").columns_max(10);
        for row in 0..300 {
            let late = if row < rare { r#","late":1,"odd":"x""# } else { "" };
            writer.push(&message(row as u64, format!(r#"{{"inputs":{{"a":1{late}}}}}"#))).expect("a row");
        }
        writer.misfits().propose(Some(&schema))
    };
    assert_eq!(write(2), None, "3 of 300 are needed");
    let wider = write(3).expect("version 2");
    assert_eq!((wider.version(), wider.columns()), (2, 3));
}

#[test]
fn field_ids_are_unique() {
    let schema =
        propose(None, &[r#"{"inputs":{"l":[1],"ll":[[1]],"o":{"a":[true],"b":1}},"outputs":{"y":1},"z":{"w":["s"]}}"#])
            .expect("a schema");
    let mut ids = std::collections::HashSet::new();
    fn collect(fields: &arrow_schema::Fields, ids: &mut std::collections::HashSet<String>) {
        for field in fields {
            if let Some(id) = field.metadata().get("PARQUET:field_id") {
                assert!(ids.insert(id.clone()), "{field} has {id} again");
            } else {
                assert_eq!(field.name(), "key_value");
            }
            match field.data_type() {
                arrow_schema::DataType::Struct(inner) => collect(inner, ids),
                arrow_schema::DataType::List(inner) | arrow_schema::DataType::Map(inner, _) => {
                    collect(&vec![inner.clone()].into(), ids)
                }
                _ => {}
            }
        }
    }
    collect(schema.arrow().fields(), &mut ids);
    assert!(ids.contains("1") && ids.contains("1000"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn schemas_only_grow(steps in prop::collection::vec(prop::collection::vec(("[aAbBc]", 0usize..7), 1..6), 1..6)) {
        let shapes = ["1", "\"x\"", "true", "[1]", "[[1]]", "{\"a\":1}", "{\"B\":{\"c\":\"x\"}}"];
        let mut pinned: Option<Schema> = None;
        for step in steps {
            let entries: Vec<String> = step.iter().map(|(key, shape)| format!("\"{key}\":{}", shapes[*shape])).collect();
            let record = format!("{{\"inputs\":{{{0}}},{0}}}", entries.join(","));
            let Some(next) = propose(pinned.as_ref(), &[&record]) else { continue };
            if let Some(before) = &pinned {
                prop_assert_eq!(next.version(), before.version() + 1);
                prop_assert!(next.covers(before) && !before.covers(&next));
                prop_assert!(is_grown(before.inputs(), next.inputs()) && is_grown(before.extras(), next.extras()));
            }
            let mut folded: Vec<String> = next.arrow().fields().iter().map(|field| field.name().to_lowercase()).collect();
            folded.sort();
            folded.dedup();
            prop_assert_eq!(folded.len(), next.arrow().fields().len());
            pinned = Some(next);
        }
    }
}
