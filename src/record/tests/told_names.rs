//! Names that a server told: for calls after the answer, on sides that no rule is for, where the route names none.

use serde_json::json;
use tokio::sync::mpsc::Receiver;

use super::redaction::{CANARY, clean, rule};
use super::*;
use crate::config::{Layout, RedactRule, Side};

/// A recorder, and what it wants to know.
fn rig() -> (Recorder, Arc<Told>, Receiver<Question>) {
    let (told, questions) = told();
    (recorder().told(told.clone()), told, questions)
}

fn rows(recorder: &Recorder, call: &Call) -> Vec<serde_json::Value> {
    strict(recorder.messages(call).1)
}

fn names() -> Answer {
    let names = |list: [&str; 2]| list.map(str::to_owned).to_vec();
    Answer::Names(Learned { inputs: names(["age", "email"]), outputs: names(["no", "yes"]) })
}

fn positional() -> Call {
    call("[[41,\"a@b.de\"],[28,\"c@d.de\"]]", "[[0.75,0.25],[0.5,0.5]]")
}

#[test]
fn calls_before_the_answer_have_positions_and_those_after_it_names() {
    let (recorder, told, mut questions) = rig();
    for _ in 0..2 {
        let row = rows(&recorder, &positional()).remove(1);
        assert_eq!((&row["inputs"], &row["outputs"]), (&json!({"x0":28,"x1":"c@d.de"}), &json!({"y0":0.5,"y1":0.5})));
    }
    let question = questions.try_recv().expect("a question");
    assert_eq!((question.route.name.as_str(), question.path.as_str()), ("churn", "/predict"));
    assert!(questions.try_recv().is_err(), "it is asked once");
    told.answer(&question, names());
    let row = rows(&recorder, &positional()).remove(1);
    assert_eq!((&row["inputs"], &row["outputs"]), (&json!({"age":28,"email":"c@d.de"}), &json!({"no":0.5,"yes":0.5})));
    assert_eq!(row["metadata"].get("layout"), None);

    // Another path is another question; a row of another length keeps its positions.
    let mut other = positional();
    other.path = "/other".to_owned();
    assert!(rows(&recorder, &other)[0]["inputs"].get("x0").is_some());
    assert_eq!(questions.try_recv().expect("a question").path, "/other");
    let row = rows(&recorder, &call("[[1,2,3]]", "[0.5]")).remove(0);
    assert_eq!((&row["inputs"], &row["outputs"]), (&json!({"x0":1,"x1":2,"x2":3}), &json!({"prediction":0.5})));
    assert_eq!(row["metadata"]["layout"], "inputs: row 0 has 3 values, the model server names 2");
}

#[test]
fn names_of_the_route_and_of_the_protocol_come_first() {
    let (recorder, told, mut questions) = rig();
    let named = with_route(positional(), |route| {
        route.record.inputs = Layout { rows: None, columns: vec!["a".to_owned(), "b".to_owned()] };
    });
    rows(&recorder, &named);
    told.answer(&questions.try_recv().expect("the outputs have no names"), names());
    let row = rows(&recorder, &named).remove(0);
    assert_eq!((&row["inputs"], &row["outputs"]), (&json!({"a":41,"b":"a@b.de"}), &json!({"no":0.75,"yes":0.25})));
    let keyed = call(r#"[{"x0":1,"x1":2}]"#, r#"[{"p":1}]"#);
    assert_eq!(rows(&recorder, &keyed)[0]["inputs"], json!({"x0":1,"x1":2}));
    let mut tensors = call(
        r#"{"inputs":[{"name":"in","shape":[1,2],"datatype":"FP32","data":[1,2]}]}"#,
        r#"{"outputs":[{"name":"out","shape":[1,2],"datatype":"FP32","data":[1,2]}]}"#,
    );
    tensors.path = "/predict".to_owned();
    let row = rows(&recorder, &tensors).remove(0);
    assert_eq!((&row["inputs"], &row["outputs"]), (&json!({"in_0":1,"in_1":2}), &json!({"out_0":1,"out_1":2})));
}

#[test]
fn nobody_is_asked_without_need_and_where_it_is_switched_off() {
    let (recorder, _told, mut questions) = rig();
    rows(&recorder, &call(r#"[{"a":1}]"#, r#"[{"p":1}]"#));
    rows(&recorder, &with_route(positional(), |route| route.record.discover = false));
    let mut refused = positional();
    refused.status = Some(StatusCode::NOT_FOUND);
    rows(&recorder, &refused);
    let mut made = positional();
    made.origin = Origin::Gateway;
    rows(&recorder, &made);
    let columns = |names: [&str; 2]| Layout { rows: None, columns: names.map(str::to_owned).to_vec() };
    rows(
        &recorder,
        &with_route(positional(), |route| {
            (route.record.inputs, route.record.outputs) = (columns(["a", "b"]), columns(["c", "d"]));
        }),
    );
    assert!(questions.try_recv().is_err());
}

#[test]
fn what_a_server_tells_opens_nothing_that_a_rule_could_mean() {
    let request = format!(r#"[[41,"{CANARY}"],[28,"{CANARY}"]]"#);
    let redacting = |rules: &[&str]| {
        with_route(call(request.clone(), "[[0.75,0.25],[0.5,0.5]]"), |route| {
            route.redact = rules.iter().map(|path| rule(Side::Inputs, path)).collect::<Vec<RedactRule>>();
        })
    };
    for rules in [&["email"][..], &["x1"], &["x1", "age"], &["mail"]] {
        let (recorder, told, mut questions) = rig();
        let before = clean(&redacting(rules));
        rows(&recorder, &redacting(rules));
        // Asked for the outputs.
        told.answer(&questions.try_recv().expect("a question"), names());
        let after = recorder.messages(&redacting(rules)).1;
        for message in &after {
            assert!(!String::from_utf8_lossy(message).contains(CANARY), "{rules:?}");
        }
        let after = strict(after);
        assert_eq!(after[1]["inputs"], before[1]["inputs"], "{rules:?}");
        assert_eq!(after[1]["outputs"], json!({"no":0.5,"yes":0.5}));
    }
}
