//! Calls of every protocol with a canary under a redacted name in the request and in the answer, and what can become of such calls on
//! their way. Plain data: `src/record/tests/redaction_canaries.rs` makes records of them, `tests/it/canaries.rs` sends them.

/// A call as it should be.
pub struct Case {
    pub protocol: &'static str,
    pub path: &'static str,
    pub request: Message,
    pub response: Message,
    /// The fields that the canary stands under.
    pub input: &'static str,
    pub output: &'static str,
}

/// One side of a call.
#[derive(Debug, Clone)]
pub struct Message {
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Message {
    pub fn kind(&self) -> &str {
        self.headers.iter().find(|(name, _)| *name == "content-type").map_or("", |(_, kind)| kind)
    }

    fn set(&mut self, name: &'static str, value: &str) {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.to_owned()));
    }
}

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

fn case(
    canary: &str,
    protocol: &'static str,
    path: &'static str,
    (request_type, request): (&'static str, &str),
    (response_type, response): (&'static str, &str),
    (input, output): (&'static str, &'static str),
) -> Case {
    let message = |kind: &str, text: &str| Message {
        headers: vec![("content-type", kind.to_owned())],
        body: text.replace("CANARY", canary).into_bytes(),
    };
    let (request, response) = (message(request_type, request), message(response_type, response));
    Case { protocol, path, request, response, input, output }
}

/// Every protocol, with this in both sides' redacted fields; every rule can change it if it is an address.
pub fn cases(canary: &str) -> Vec<Case> {
    let case = |protocol, path, request, response, rules| case(canary, protocol, path, request, response, rules);
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
        v2_binary(canary),
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
fn v2_binary(canary: &str) -> Case {
    let response = (JSON, r#"{"outputs":[{"name":"secret","shape":[1],"datatype":"BYTES","data":["CANARY"]}]}"#);
    let request = ("application/octet-stream", "CANARY");
    let mut case = case(canary, "v2", "/v2/models/m/infer", request, response, ("secret", "secret"));
    let length = u32::try_from(case.request.body.len()).expect("short").to_le_bytes();
    let tensor = [&length[..], &case.request.body].concat();
    let head = format!(
        r#"{{"inputs":[{{"name":"secret","shape":[1],"datatype":"BYTES","parameters":{{"binary_data_size":{}}}}}]}}"#,
        tensor.len()
    );
    case.request.headers.push(("inference-header-content-length", head.len().to_string()));
    case.request.body = [head.as_bytes(), &tensor].concat();
    case
}

/// Who cut a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The copy's limit.
    Copy,
    /// The transfer.
    Transfer,
    /// Nobody who says so.
    Unsaid,
}

/// A call, and what became of it on its way.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub what: String,
    pub path: &'static str,
    pub status: u16,
    /// Its batch shall stay one row.
    pub keep_rows: bool,
    pub request: Message,
    pub response: Message,
    /// Of both bodies; they are cut already.
    pub cut: Option<Cut>,
}

impl Case {
    pub fn name(&self) -> String {
        format!("{} {} {}", self.protocol, self.path, self.request.kind())
    }

    pub fn whole(&self) -> Arrival {
        Arrival {
            what: "whole".to_owned(),
            path: self.path,
            status: 200,
            keep_rows: false,
            request: self.request.clone(),
            response: self.response.clone(),
            cut: None,
        }
    }

    /// The call as it should be, and what can become of it; cut at each of `parts` sixteenths.
    pub fn arrivals(&self, parts: impl Iterator<Item = usize>) -> Vec<Arrival> {
        let mut arrivals = vec![self.whole()];
        let mut add = |what: &str, edit: &dyn Fn(&mut Arrival)| {
            let mut arrival = Arrival { what: what.to_owned(), ..self.whole() };
            edit(&mut arrival);
            arrivals.push(arrival);
        };
        add("kept in one row", &|call| call.keep_rows = true);
        for status in [400, 422, 500, 302] {
            add(&format!("status {status}"), &|call| call.status = status);
        }
        // A rule is for one side: an echo is found where both sides have one for the name.
        if self.input == self.output {
            add("the request as the answer to itself", &|call| call.response = self.request.clone());
        }
        for unknown in ["application/x-unknown", "text/xml", "text/plain", "application/json", "text/csv", "text/html"]
        {
            add(unknown, &|call| {
                call.request.set("content-type", unknown);
                call.response.set("content-type", unknown);
            });
        }
        add("an unknown coding", &|call| {
            call.request.set("content-encoding", "snappy");
            call.response.set("content-encoding", "gzip");
        });
        for (coding, coded) in [("gzip", gzip as fn(&[u8]) -> Vec<u8>), ("br", br), ("zstd", zstd)] {
            add(coding, &|call| {
                for message in [&mut call.request, &mut call.response] {
                    message.body = coded(&message.body);
                    message.set("content-encoding", coding);
                }
            });
        }
        // Where the rule's name is the body's own word, not only the protocol's.
        if self.output != "content" {
            add("another path", &|call| call.path = "/elsewhere");
        }
        add("garbage behind", &|call| {
            for message in [&mut call.request, &mut call.response] {
                message.body.extend(b"\xff}");
            }
        });
        for part in parts {
            for cut in [Cut::Copy, Cut::Transfer, Cut::Unsaid] {
                add(&format!("cut at {part}/16 ({cut:?})"), &|call| {
                    for message in [&mut call.request, &mut call.response] {
                        message.body.truncate(message.body.len() * part / 16);
                    }
                    call.cut = Some(cut);
                });
            }
        }
        arrivals
    }
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, plain).expect("memory");
    encoder.finish().expect("memory")
}

fn br(plain: &[u8]) -> Vec<u8> {
    let mut coded = Vec::new();
    brotli::BrotliCompress(&mut &plain[..], &mut coded, &brotli::enc::BrotliEncoderParams::default()).expect("memory");
    coded
}

fn zstd(plain: &[u8]) -> Vec<u8> {
    zstd::encode_all(plain, 1).expect("memory")
}
