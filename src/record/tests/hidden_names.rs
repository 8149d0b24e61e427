//! On a route with rules: bodies whose names are values are not stored, in any form; others lose nothing by that.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::redaction::{CANARY, clean, rule};
use super::*;
use crate::config::Side;

/// A route with rules by name only.
fn redacting(request: &str, response: &str) -> Call {
    with_route(call(request.to_owned(), response.to_owned()), |route| {
        route.redact = ["email", "address.street"]
            .into_iter()
            .flat_map(|path| [rule(Side::Inputs, path), rule(Side::Outputs, path)])
            .collect();
    })
}

/// Forms in which the canary is the value of `email`.
fn forms() -> Vec<String> {
    let c = CANARY;
    vec![
        // Open Inference V2, as it is and within other things.
        format!(r#"{{"inputs":[{{"name":"email","shape":[1],"datatype":"BYTES","data":["{c}"]}}]}}"#),
        format!(r#"{{"outputs":[{{"name":"mail","shape":[1],"datatype":"BYTES","data":["{c}"]}}]}}"#),
        format!(r#"{{"inputs":[{{"name":"mail","contents":{{"bytes_contents":["{c}"]}}}}]}}"#),
        format!(r#"{{"a":{{"b":[{{"name":"mail","datatype":"BYTES","text":"{c}"}}]}}}}"#),
        // MLflow, pandas.
        format!(r#"{{"dataframe_split":{{"columns":["a","email"],"data":[[1,"{c}"]]}}}}"#),
        format!(r#"{{"dataframe_records":[{{"a":1,"email":"{c}"}}]}}"#),
        format!(r#"{{"columns":["a","email"],"data":[[1,"{c}"]]}}"#),
        format!(r#"{{"a":[{{"columns":["a","mail"],"index":[0],"data":[[1,"{c}"]]}}]}}"#),
        format!(r#"{{"schema":{{"fields":[{{"name":"email","type":"string"}}]}},"data":[["{c}"]]}}"#),
        format!(r#"{{"0":{{"email":"{c}"}},"1":{{"email":"{c}"}}}}"#),
        // Azure.
        format!(r#"{{"input_data":{{"columns":["email"],"index":[0],"data":[["{c}"]]}}}}"#),
        format!(r#"{{"input_data":{{"email":"{c}"}}}}"#),
        format!(r#"{{"Inputs":{{"data":[{{"email":"{c}"}}]}},"GlobalParameters":1}}"#),
        // Seldon.
        format!(r#"{{"data":{{"names":["a","email"],"ndarray":[[1,"{c}"]]}}}}"#),
        format!(r#"{{"data":{{"names":["email"],"tensor":{{"shape":[1,1],"values":["{c}"]}}}}}}"#),
        format!(r#"{{"data":{{"ndarray":[["{c}"]]}}}}"#),
        format!(r#"{{"strData":"email={c}"}}"#),
        format!(r#"{{"binData":"{c}"}}"#),
        format!(r#"{{"jsonData":{{"email":"{c}"}}}}"#),
        // TensorFlow and protobuf.
        format!(r#"{{"examples":[{{"a":1}}],"context":{{"email":"{c}"}}}}"#),
        format!(r#"{{"features":{{"feature":{{"email":{{"bytesList":{{"value":["{c}"]}}}}}}}}}}"#),
        format!(r#"{{"instances":[{{"b64":"{c}"}}]}}"#),
        format!(r#"{{"fields":[{{"key":"mail","stringValue":"{c}"}}]}}"#),
        format!(r#"{{"instances":[{{"data":{{"features":{{"keys":["mail"],"shape":[9],"values":["{c}"]}}}}}}]}}"#),
        // Names in lists, names in pairs, whatever their keys are called.
        format!(r#"{{"features":[1,"{c}"],"feature_names":["a","mail"]}}"#),
        format!(r#"{{"metadata":{{"feature_names":["mail"]}},"results":[{{"values":["{c}"]}}]}}"#),
        format!(r#"[{{"key":"email","value":"{c}"}},{{"key":"age","value":3}}]"#),
        format!(r#"[{{"key":"mail","value":"{c}"}}]"#),
        format!(r#"{{"a":[{{"was":"email","ist":"{c}"}}]}}"#),
        format!(r#"{{"email":"x","a":[{{"was":"EMAIL ","ist":"{c}"}}]}}"#),
        format!(r#"{{"email":"x","spalten":["email"],"werte":["{c}"]}}"#),
        format!(r#"{{"a":{{"p":"address.street","q":"{c}"}}}}"#),
        format!(r#"[["a","email"],[1,"{c}"]]"#),
        format!(r#"[["email","{c}"],["age",3]]"#),
        // Texts with fields of their own.
        format!(r#"{{"csv":"age,email\n3,{c}"}}"#),
        format!(r#"{{"form":"age=3&email={c}"}}"#),
        format!(r#"{{"xml":"<email>{c}</email>"}}"#),
        format!(r#"{{"body":"{{\"mail\":\"{c}\"}}"}}"#),
        format!(r#"{{"repr":"{{'email': '{c}'}}"}}"#),
        format!(r#"{{"body":"{}","a":"{c}"}}"#, STANDARD.encode(format!(r#"{{"mail":"{c}"}}"#))),
        format!(r#"{{"spalten":["num__age","num__email"],"werte":[["{c}"]]}}"#),
        format!(r#"{{"tensors":["email:0"],"of":"{c}"}}"#),
        // Positions.
        format!(r#"[[1,"{c}"],[2,"{c}"]]"#),
        format!(r#"{{"data":[[1,"{c}"]]}}"#),
        format!(r#"{{"threshold":1,"rows":[{{"features":[["{c}"]]}}]}}"#),
    ]
}

#[test]
fn a_request_that_hides_names_is_kept_as_length_and_hmac() {
    let mut forms = forms();
    forms.push(format!(r#"[1,"{CANARY}"]"#));
    forms.push(format!(r#"{{"features":[1,"{CANARY}"]}}"#));
    let mut withheld = 0;
    for form in forms {
        for response in [r#"{"p":1}"#, r#"{"predictions":[1,2]}"#] {
            for row in clean(&redacting(&form, response)) {
                // Read by its names, and dropped by them.
                if row["protocol"] != "json" && row["parse_status"] != "unsupported" {
                    continue;
                }
                withheld += 1;
                assert_eq!(row["parse_status"], "unsupported", "{form}");
                assert_eq!(row["inputs"], serde_json::json!({}), "{form}");
                assert_eq!(row["metadata"]["request_hmac"].as_str().map(str::len), Some(64), "{form}");
                assert_eq!(row["request_bytes"], form.len(), "{form}");
            }
        }
    }
    assert!(withheld >= 80, "only {withheld}");
}

#[test]
fn names_that_are_values_are_found_in_the_rows() {
    let tensor =
        |name: &str, data: &str| format!(r#"{{"name":"{name}","shape":[1],"datatype":"BYTES","data":[{data}]}}"#);
    let canary = format!("\"{CANARY}\"");
    for (request, protocol) in [
        (format!(r#"{{"inputs":[{},{}]}}"#, tensor("email", &canary), tensor("a", "1")), "v2"),
        (format!(r#"{{"dataframe_split":{{"columns":["a","email"],"data":[[1,{canary}]]}}}}"#), "mlflow"),
        (format!(r#"{{"data":{{"names":["a","email"],"ndarray":[[1,{canary}]]}}}}"#), "seldon"),
        (format!(r#"{{"input_data":{{"columns":["a","email"],"data":[[1,{canary}]]}}}}"#), "mlflow"),
        (format!(r#"{{"columns":["a","email"],"data":[[1,{canary}]]}}"#), "mlflow"),
        (format!(r#"{{"fields":["a","email"],"rows":[[1,{canary}]]}}"#), "mlflow"),
    ] {
        for answer in [r#"{"p":1}"#, &request] {
            let row = clean(&redacting(&request, answer)).remove(0);
            assert_eq!(
                (&row["protocol"], &row["inputs"]),
                (&protocol.into(), &serde_json::json!({"a":1})),
                "{request}"
            );
            // An answer whose names the protocol does not know is withheld.
            let is_read = row["parse_status"] == "ok";
            assert!(is_read || row["outputs"] == serde_json::json!({}), "{row}");
            assert!(is_read || answer == request, "{row}");
        }
    }
}

#[test]
fn a_body_that_was_written_as_json_twice_is_redacted_by_its_names() {
    let twice = format!(r#""{{\"a\":1,\"email\":\"{CANARY}\"}}""#);
    let row = clean(&redacting(&twice, &twice)).remove(0);
    let kept = serde_json::json!({"a": 1});
    assert_eq!((&row["inputs"], &row["outputs"], &row["parse_status"]), (&kept, &kept, &"ok".into()), "{row}");
}

#[test]
fn an_answer_that_hides_names_is_kept_as_length_and_hmac() {
    for form in forms() {
        for status in [200, 201, 302] {
            let mut call = redacting(r#"{"a":1}"#, &form);
            call.status = StatusCode::from_u16(status).ok();
            for row in clean(&call) {
                assert_eq!(row["parse_status"], "unsupported", "{form}");
                assert_eq!((&row["inputs"]["a"], &row["outputs"]), (&1.into(), &serde_json::json!({})), "{form}");
                assert_eq!(row["metadata"]["response_hmac"].as_str().map(str::len), Some(64), "{form}");
            }
        }
    }
}

#[test]
fn what_such_a_body_is_asked_for_is_withheld_with_it() {
    let form = format!(
        r#"{{"columnNames":["email"],"data":[["{CANARY}"]],"client_request_id":"{CANARY}","{CANARY}":1,"{CANARY}":2}}"#
    );
    let call = with_route(redacting(&form, &form), |route| {
        route.version = Some(config::VersionFrom::Response(vec!["client_request_id".to_owned()]));
    });
    let row = clean(&call).remove(0);
    assert_eq!((row.get("client_request_id"), &row["model_version"]), (None, &serde_json::Value::Null));
}

#[test]
fn without_rules_every_form_is_kept() {
    for form in forms() {
        let row = &messages(&call(form.clone(), "{}"))[0];
        assert_eq!(row["metadata"].get("request_hmac"), None, "{form}");
        assert_ne!(row["parse_status"], "unsupported", "{form}");
        assert_ne!(row["inputs"], serde_json::json!({}), "{form}");
    }
}

#[test]
fn ordinary_bodies_are_not_taken_for_such() {
    for (request, response) in [
        (r#"{"age":3,"email":"x","contact":"email","tags":["a","b"]}"#, r#"{"label":"churn","score":0.5}"#),
        (r#"[{"age":3,"email":"x"},{"age":4}]"#, "[0.1,0.2]"),
        (r#"{"data":[{"age":3}]}"#, r#"{"predictions":[[0.1,0.9]]}"#),
        (r#"{"instances":[{"email":"x","features":[1,2,3]}]}"#, r#"{"predictions":["yes"]}"#),
        (r#"{"name":"Ann","city":"x","note":"send an email, please"}"#, "0.5"),
        (r#"{"messages":[{"role":"user","content":"[CLS] hello"}]}"#, r#"{"labels":["a","b"],"scores":[0.5,0.5]}"#),
        (r#"{"inputs":{"age":[1,2],"email":["x","y"]}}"#, r#"{"outputs":[1,2]}"#),
        (r#"{"embedding":"[0.5,0.25]","address":{"city":"x"}}"#, r#"{"prediction":null}"#),
    ] {
        for row in clean(&redacting(request, response)) {
            assert_eq!(row["parse_status"], "ok", "{request} {response} {:?}", row.get("parse_error"));
            assert_eq!(row["inputs"].get("email"), None);
        }
    }
}
