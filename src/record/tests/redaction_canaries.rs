//! For every protocol: a canary under a redacted name, in the request and in the answer, is in no message, whatever the rule does
//! and however the body arrives. The search is byte by byte.

use std::collections::BTreeSet;

use super::redaction::{CANARY, doing};
use super::redaction_actions::{hash, mask};
use super::*;
use crate::config::{RedactAction, Side};
use crate::protocol::recognise::FORMS;
use crate::protocol::stream::CONTENT;

/// A call with [`CANARY`] as `C` in its bodies, and the fields it stands under.
struct Case {
    protocol: &'static str,
    path: &'static str,
    request_type: &'static str,
    request: Vec<u8>,
    response_type: &'static str,
    response: String,
    input: &'static str,
    output: &'static str,
    /// Further header of the request.
    header: Option<(&'static str, String)>,
}

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

fn case(
    protocol: &'static str,
    path: &'static str,
    (request_type, request): (&'static str, &str),
    (response_type, response): (&'static str, &str),
    (input, output): (&'static str, &'static str),
) -> Case {
    // What every rule can change: an address begins with the canary.
    let with_canary = |text: &str| text.replace("CANARY", &format!("{CANARY}@example.com"));
    let (request, response) = (with_canary(request).into_bytes(), with_canary(response));
    Case { protocol, path, request_type, request, response_type, response, input, output, header: None }
}

fn cases() -> Vec<Case> {
    let chat = r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"CANARY"}]}]}"#;
    let v2 = |name: &str| {
        format!(
            r#"{{"{name}":[{{"name":"secret","shape":[2],"datatype":"BYTES","data":["CANARY","b"]}},{{"name":"n","shape":[2],"datatype":"INT64","data":[1,2]}}]}}"#
        )
    };
    let generic = (JSON, r#"{"score":1,"secret":"CANARY"}"#);
    let both = ("secret", "secret");
    vec![
        case("json", "/predict", (JSON, r#"{"a":1,"secret":"CANARY","secret":"CANARY"}"#), generic, both),
        case(
            "json",
            "/predict",
            (JSON, r#"[{"secret":"CANARY"},{"a":{"secret":"CANARY"}}]"#),
            (JSON, r#"[{"secret":"CANARY"},{"secret":["CANARY"]}]"#),
            both,
        ),
        case("form", "/predict", ("application/x-www-form-urlencoded", "a=1&secret=CANARY"), generic, both),
        case(
            "multipart",
            "/predict",
            (
                "multipart/form-data; boundary=B",
                "--B\r\nContent-Disposition: form-data; name=\"secret\"; filename=\"CANARY\"\r\nContent-Type: text/plain\r\n\r\nCANARY\r\n--B\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--B--\r\n",
            ),
            generic,
            both,
        ),
        case(
            "v1",
            "/v1/models/m:predict",
            (JSON, r#"{"instances":[{"a":1,"secret":"CANARY"},{"a":2,"secret":"CANARY"}]}"#),
            (JSON, r#"{"predictions":[{"secret":"CANARY"},{"secret":"CANARY"}]}"#),
            both,
        ),
        case(
            "v1",
            "/v1/models/m:predict",
            (JSON, r#"{"inputs":{"a":[1,2],"secret":["CANARY","CANARY"]}}"#),
            (JSON, r#"{"outputs":{"secret":["CANARY","CANARY"]}}"#),
            both,
        ),
        case("v2", "/v2/models/m/infer", (JSON, &v2("inputs")), (JSON, &v2("outputs")), both),
        v2_binary(),
        case(
            "mlflow",
            "/invocations",
            (JSON, r#"{"dataframe_split":{"columns":["a","secret"],"data":[[1,"CANARY"],[2,"CANARY"]]}}"#),
            (JSON, r#"{"predictions":[{"secret":"CANARY"},{"secret":"CANARY"}]}"#),
            both,
        ),
        case(
            "mlflow",
            "/invocations",
            (JSON, r#"{"dataframe_records":[{"a":1,"secret":"CANARY"}]}"#),
            (JSON, r#"{"predictions":[{"secret":"CANARY"}]}"#),
            both,
        ),
        case(
            "sagemaker",
            "/invocations",
            ("text/csv", "a,secret\n1,CANARY\n2,CANARY\n"),
            (JSON, r#"{"predictions":[{"secret":"CANARY"},{"secret":"CANARY"}]}"#),
            both,
        ),
        case(
            "sagemaker",
            "/invocations",
            ("application/jsonlines", "{\"a\":1,\"secret\":\"CANARY\"}\n{\"a\":2,\"secret\":\"CANARY\"}\n"),
            ("application/jsonlines", "{\"secret\":\"CANARY\"}\n{\"secret\":\"CANARY\"}\n"),
            both,
        ),
        case(
            "seldon",
            "/api/v1.0/predictions",
            (
                JSON,
                r#"{"meta":{"puid":"p","tags":{"secret":"CANARY"}},"data":{"names":["a","secret"],"ndarray":[[1,"CANARY"],[2,"CANARY"]]}}"#,
            ),
            (JSON, r#"{"data":{"names":["secret"],"ndarray":[["CANARY"],["CANARY"]]}}"#),
            both,
        ),
        case("torchserve", "/predictions/m", (JSON, r#"{"a":1,"secret":"CANARY"}"#), generic, both),
        case(
            "torchserve",
            "/predictions/m",
            (
                "multipart/form-data; boundary=B",
                "--B\r\nContent-Disposition: form-data; name=secret\r\n\r\nCANARY\r\n--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\nContent-Type: image/png\r\n\r\npp\r\n--B--\r\n",
            ),
            generic,
            both,
        ),
        case(
            "triton_generate",
            "/v2/models/m/generate",
            (JSON, r#"{"text_input":"CANARY","n":1}"#),
            (JSON, r#"{"text_output":"CANARY","model_name":"m"}"#),
            ("text_input", "text_output"),
        ),
        case(
            "openai",
            "/v1/chat/completions",
            (JSON, chat),
            (
                JSON,
                r#"{"choices":[{"message":{"role":"assistant","content":"CANARY"},"logprobs":{"content":[{"token":"CANARY"}]},"finish_reason":"stop"}],"model":"m-1"}"#,
            ),
            ("messages", "content"),
        ),
        case(
            "openai",
            "/v1/chat/completions",
            (JSON, chat),
            (
                EVENTS,
                "data: {\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"CANARY and \"}}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"CANARY\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
            ),
            ("messages.content.text", "content"),
        ),
        case(
            "openai",
            "/v1/completions",
            (JSON, r#"{"model":"m","prompt":"CANARY"}"#),
            (JSON, r#"{"choices":[{"text":"CANARY","finish_reason":"stop"}]}"#),
            ("prompt", "content"),
        ),
        case(
            "openai",
            "/v1/embeddings",
            (JSON, r#"{"model":"m","input":["CANARY","CANARY"]}"#),
            (JSON, r#"{"data":[{"index":0,"embedding":[1.5]},{"index":1,"embedding":[2.5]}],"secret":"CANARY"}"#),
            ("input", "secret"),
        ),
        case(
            "openai",
            "/v1/responses",
            (JSON, r#"{"model":"m","input":"CANARY"}"#),
            (
                JSON,
                r#"{"model":"m","status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"CANARY"}]}]}"#,
            ),
            ("input", "content"),
        ),
        case(
            "anthropic",
            "/v1/messages",
            (JSON, chat),
            (JSON, r#"{"model":"c","content":[{"type":"text","text":"CANARY"}],"stop_reason":"end_turn"}"#),
            ("messages", "content"),
        ),
        case(
            "ollama",
            "/api/chat",
            (JSON, chat),
            (
                "application/x-ndjson",
                "{\"model\":\"l\",\"message\":{\"role\":\"assistant\",\"content\":\"CANARY \"},\"done\":false}\n{\"model\":\"l\",\"message\":{\"role\":\"assistant\",\"content\":\"CANARY\"},\"done\":true,\"done_reason\":\"stop\"}\n",
            ),
            ("content", "content"),
        ),
        case(
            "huggingface",
            "/generate",
            (JSON, r#"{"inputs":"CANARY","parameters":{"n":1}}"#),
            (JSON, r#"{"generated_text":"CANARY","details":{"tokens":[{"text":"CANARY"}]}}"#),
            ("inputs", "generated_text"),
        ),
        case("raw", "/predict", ("text/xml", "<secret>CANARY</secret>"), ("text/xml", "<secret>CANARY</secret>"), both),
    ]
}

/// A tensor of texts behind the JSON, each after its length.
fn v2_binary() -> Case {
    let json = (JSON, r#"{"outputs":[{"name":"secret","shape":[1],"datatype":"BYTES","data":["CANARY"]}]}"#);
    let mut case = case("v2", "/v2/models/m/infer", ("application/octet-stream", "CANARY"), json, ("secret", "secret"));
    let length = u32::try_from(case.request.len()).expect("short").to_le_bytes();
    let tensor = [&length[..], &case.request].concat();
    let head = format!(
        r#"{{"inputs":[{{"name":"secret","shape":[1],"datatype":"BYTES","parameters":{{"binary_data_size":{}}}}}]}}"#,
        tensor.len()
    );
    case.header = Some(("inference-header-content-length", head.len().to_string()));
    case.request = [head.as_bytes(), &tensor].concat();
    case
}

/// Who cut a body: the copy's limit, the transfer, or nobody who says so.
const KEPT: &str = " by the copy";
const ENDED: &str = " by the transfer";
const UNSAID: &str = " by the client";

impl Case {
    fn call(&self) -> Call {
        let mut call = call(self.request.clone(), self.response.clone());
        call.path = self.path.to_owned();
        call.request_headers = headers(&[("content-type", self.request_type)]);
        if let Some((name, value)) = &self.header {
            call.request_headers.insert(*name, value.parse().expect("a header's value"));
        }
        call.response_headers = headers(&[("content-type", self.response_type)]);
        call
    }

    fn redacting(&self, call: Call, action: &RedactAction) -> Call {
        with_route(call, |route| {
            route.capture.bodies = config::Bodies::Always;
            route.redact = vec![
                doing(Side::Inputs, self.input, action.clone()),
                doing(Side::Outputs, self.output, action.clone()),
            ];
        })
    }

    /// The call as it should be, and what can become of it on its way.
    fn arrivals(&self) -> Vec<(String, Call)> {
        let mut arrivals = vec![("whole".to_owned(), self.call())];
        let mut add = |what: &str, edit: &dyn Fn(&mut Call)| {
            let mut call = self.call();
            edit(&mut call);
            arrivals.push((what.to_owned(), call));
        };
        let keep: &dyn Fn(&mut Call) = &|call| {
            let mut route = (*call.route).clone();
            route.capture.rows = Rows::Keep;
            call.route = Arc::new(route);
        };
        add("kept in one row", keep);
        for status in [400, 422, 500, 302] {
            add("another status", &|call| call.status = StatusCode::from_u16(status).ok());
        }
        // A rule is for one side: an echo is found where both sides have one for the name.
        if self.input == self.output {
            add("the request as the answer to itself", &|call| {
                call.response = captured(self.request.clone().into());
                call.response_headers = call.request_headers.clone();
            });
        }
        for unknown in ["application/x-unknown", "text/xml", "text/plain", "application/json", "text/csv", "text/html"]
        {
            add(unknown, &|call| {
                call.request_headers.insert("content-type", HeaderValue::from_static(unknown));
                call.response_headers.insert("content-type", HeaderValue::from_static(unknown));
            });
        }
        add("an unknown coding", &|call| {
            call.request_headers.insert("content-encoding", HeaderValue::from_static("snappy"));
            call.response_headers.insert("content-encoding", HeaderValue::from_static("gzip"));
        });
        // Where the rule's name is the body's own word, not only the protocol's.
        if self.output != CONTENT {
            add("another path", &|call| call.path = "/elsewhere".to_owned());
        }
        add("garbage behind", &|call| {
            call.request = captured([&self.request[..], b"\xff}"].concat().into());
            call.response = captured([self.response.as_bytes(), b"\xff}"].concat().into());
        });
        for part in 1..16 {
            let half = |length: usize| length * part / 16;
            for cut in [KEPT, ENDED, UNSAID] {
                add(&format!("cut at {part}/16{cut}"), &|call| {
                    call.request = captured(self.request[..half(self.request.len())].to_vec().into());
                    call.response = captured(self.response.as_bytes()[..half(self.response.len())].to_vec().into());
                    for side in [&mut call.request, &mut call.response] {
                        match cut {
                            KEPT => side.kept = Kept::Cut,
                            ENDED => side.ended = false,
                            _ => {}
                        }
                    }
                });
            }
        }
        arrivals
    }
}

fn holds_canary(message: &[u8]) -> bool {
    message.windows(CANARY.len()).any(|window| window == CANARY.as_bytes())
}

#[test]
fn a_canary_is_in_no_message_of_any_protocol() {
    let actions = [RedactAction::Drop, hash(), RedactAction::Truncate(3), mask()];
    let mut seen = BTreeSet::new();
    for case in cases() {
        // Without rules it is in both sides, so there is something to find.
        let open = with_route(case.call(), |route| route.capture.bodies = config::Bodies::Always);
        let row = messages(&open).remove(0);
        let name = format!("{} {} {}", case.protocol, case.path, case.request_type);
        assert_eq!(row["protocol"], case.protocol, "{name}");
        seen.insert(case.protocol);
        if case.protocol != "raw" {
            assert_eq!((&row["parse_status"], row.get("parse_error")), (&"ok".into(), None), "{name}");
            for side in ["inputs", "outputs"] {
                assert!(holds_canary(row[side].to_string().as_bytes()), "{name}: {side} {}", row[side]);
            }
        }
        for action in &actions {
            // Half an address that was sent as a whole body looks like none.
            let masks = matches!(action, RedactAction::Mask(_));
            for (arrival, call) in
                case.arrivals().into_iter().filter(|(arrival, _)| !masks || !arrival.ends_with(UNSAID))
            {
                let call = case.redacting(call, action);
                for message in recorder().messages(&call).1 {
                    let text = String::from_utf8_lossy(&message);
                    assert!(!holds_canary(&message), "{name}, {arrival}, {action:?}: {text}");
                    // Bodies could hide it in base64.
                    assert!(!text.contains("_body\":"), "{name}, {arrival}, {action:?}: {text}");
                }
            }
            // What is read is not withheld, but changed.
            let rows = messages(&case.redacting(case.call(), action));
            if case.protocol != "raw" {
                assert_eq!(rows[0]["parse_status"], "ok", "{name} {action:?}: {}", rows[0]);
            }
            if case.protocol != "raw" && masks {
                for side in ["inputs", "outputs"] {
                    assert!(rows[0][side].to_string().contains("[email]"), "{name}: {}", rows[0]);
                }
            }
        }
    }
    for form in &FORMS {
        assert!(seen.contains(form.name), "no canary for the protocol {}: add a case", form.name);
    }
}
