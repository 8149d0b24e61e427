//! A checked configuration as text: the effective YAML, the JSON schema, the memory it may take.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::file::{
    self, Compression, Concurrency, File, HeaderChoice, Limits, Ordered, Recorders, Redaction, Retry, Role, Start,
};
use super::units::{Size, Span};
use super::{
    CaptureMode, Config, FixedType, KafkaSasl, KafkaTls, Layout, Mechanism, RedactAction, RedactRule, Route, Sample,
    Setting, Side, Store, StoreTo, TokenFrom, Verify, VersionFrom,
};

/// When the model servers that most people run close a connection that is not used.
const KEEP_ALIVE_USUAL: Duration = Duration::from_secs(5);

/// The JSON schema of the configuration file, for editors.
pub fn json_schema() -> Value {
    let mut schema = schemars::schema_for!(File).to_value();
    without_null(&mut schema);
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".to_owned(), "weir.yaml".into());
        root.insert("required".to_owned(), serde_json::json!(["version"]));
    }
    schema
}

/// A key may be left out, but not be written without a value: `null` is an error everywhere.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Object(entries) => {
            if let Some(Value::Array(types)) = entries.get_mut("type") {
                types.retain(|kind| kind != "null");
                if let [one] = types.as_slice() {
                    let one = one.clone();
                    entries.insert("type".to_owned(), one);
                }
            }
            if let Some(Value::Array(choices)) = entries.get_mut("anyOf") {
                choices.retain(|choice| choice.get("type").is_none_or(|kind| kind != "null"));
            }
            entries.retain(|key, value| key != "default" || !value.is_null());
            entries.values_mut().for_each(without_null);
        }
        Value::Array(items) => items.iter_mut().for_each(without_null),
        _ => {}
    }
}

impl Config {
    /// The whole configuration as it is used, as YAML that gives the same configuration when it is read again. Of secrets
    /// it has the references.
    pub fn to_yaml_effective(&self) -> String {
        let file = serde_json::to_value(written(self)).expect("a configuration has only string keys");
        let mut yaml = String::new();
        block(&mut yaml, &file, 0);
        yaml
    }

    /// The most memory that the buffers may take, in bytes: the stages that this process runs.
    pub fn memory_sum(&self) -> u64 {
        self.memory_parts().iter().map(|(_, bytes)| bytes).sum()
    }

    /// [`Config::memory_sum`] for people: `288MiB of buffers: capture 64MiB + queue 64MiB + producer 32MiB + drain 128MiB`.
    pub fn memory_line(&self) -> String {
        let parts: Vec<String> =
            self.memory_parts().iter().map(|(name, bytes)| format!("{name} {}", Size(*bytes))).collect();
        format!("{} of buffers: {}", Size(self.memory_sum()), parts.join(" + "))
    }

    /// What is allowed and still likely to be a mistake; one line each, for `weir check` and the start.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for route in &self.routes {
            let name = &route.name;
            if route.timeouts.pool_idle >= KEEP_ALIVE_USUAL {
                let idle = Span(route.timeouts.pool_idle);
                warnings.push(format!(
                    "`routes.{name}.timeouts.pool_idle` is {idle}: uvicorn closes an unused connection after 5s, and a \
                     request sent at that moment fails; use `4s` unless the model server keeps connections longer"
                ));
            }
            if route.capture.mode == CaptureMode::Off {
                warnings.push(format!("`routes.{name}.capture.mode` is `off`: nothing of this route is recorded"));
            }
        }
        if let Some(kafka) = &self.kafka {
            let verify = kafka.tls.as_ref().map(|tls| tls.verify);
            let said = match (verify, kafka.sasl.as_ref().map(KafkaSasl::mechanism)) {
                (None, Some(Mechanism::Plain | Mechanism::OauthBearer)) => Some(
                    "`kafka.sasl` without `kafka.tls` sends the password or token in clear text: add `kafka.tls: {}`",
                ),
                (Some(Verify::None), _) => Some(
                    "`kafka.tls.verify` is `none`: whoever answers in a broker's place gets the records and the log-in",
                ),
                _ => None,
            };
            warnings.extend(said.map(str::to_owned));
        }
        warnings
    }

    fn memory_parts(&self) -> Vec<(&'static str, u64)> {
        let memory = &self.memory;
        let mut parts = Vec::new();
        if self.roles.gateway {
            parts.push(("capture", memory.capture_bytes));
            parts.push(("queue", memory.queue_bytes));
            if self.kafka.is_some() {
                parts.push(("producer", memory.producer_bytes));
            }
        }
        if self.roles.drain {
            parts.push(("drain", memory.drain_bytes));
        }
        parts
    }
}

/// The checked configuration in the file's form, every value written out.
fn written(config: &Config) -> File {
    let listen = &config.listen;
    File {
        version: Some(1),
        data_dir: config.data_dir.display().to_string(),
        listen: file::Listen {
            address: listen.address.to_string(),
            limits: Limits {
                connections: listen.connections_max,
                headers: listen.headers_max,
                header_bytes: Size(listen.header_bytes_max),
                body: Size(listen.body_bytes_max),
                header_timeout: Span(listen.header_timeout),
                body_idle: Span(listen.body_idle),
            },
            drain_timeout: Span(listen.drain_timeout),
        },
        admin: file::Admin { address: config.admin.address.to_string(), token: "auto".to_owned() },
        routes: Ordered(config.routes.iter().map(|route| (route.name.clone(), written_route(route))).collect()),
        models_max: config.models_max,
        recorders: Recorders::Count(config.recorders),
        log: file::Log {
            sync: Span(config.log.sync),
            max_size: Size(config.log.bytes_max),
            reserve_free: Size(config.log.reserve_free_bytes),
            segment: Size(config.log.segment_bytes),
        },
        stop: file::Stop {
            recorders: Span(config.stop.recorders),
            publish: Span(config.stop.publish),
            store: Span(config.stop.store),
        },
        memory: file::Memory {
            capture: Size(config.memory.capture_bytes),
            queue: Size(config.memory.queue_bytes),
            producer: Size(config.memory.producer_bytes),
            drain: Size(config.memory.drain_bytes),
        },
        kafka: config.kafka.as_ref().map(|kafka| file::Kafka {
            brokers: kafka.brokers.clone(),
            topic: kafka.topic.clone(),
            format: kafka.format,
            lanes: kafka.lanes,
            key: kafka.key.as_ref().map(ToString::to_string),
            max_record: Size(kafka.record_bytes_max as u64),
            tls: kafka.tls.as_ref().map(written_tls),
            sasl: kafka.sasl.as_ref().map(written_sasl),
            producer: written_properties(&kafka.producer),
            consumer: written_properties(&kafka.consumer),
            create_topics: kafka
                .create_topics
                .map(|create| file::CreateTopics { partitions: create.partitions, replication: create.replication }),
        }),
        drain: file::Drain {
            topics: config.drain.topics.clone(),
            group: config.drain.group.clone(),
            start: if config.drain.start_earliest { Start::Earliest } else { Start::Latest },
            writers: 1,
            spool: Size(config.drain.spool_bytes_max),
            resend_window: Span(config.drain.resend_window),
        },
        store: written_store(&config.store),
        roles: [(config.roles.gateway, Role::Gateway), (config.roles.drain, Role::Drain)]
            .into_iter()
            .filter_map(|(has, role)| has.then_some(role))
            .collect(),
    }
}

fn written_properties(properties: &BTreeMap<String, Setting>) -> BTreeMap<String, String> {
    properties.iter().map(|(name, value)| (name.clone(), value.written().to_owned())).collect()
}

fn written_ca(ca: Option<&PathBuf>) -> String {
    ca.map_or_else(|| file::SYSTEM_CA.to_owned(), |path| path.display().to_string())
}

fn written_tls(tls: &KafkaTls) -> file::KafkaTls {
    let client = tls.client.as_ref();
    file::KafkaTls {
        ca: written_ca(tls.ca.as_ref()),
        cert: client.map(|client| client.cert.display().to_string()),
        key: client.map(|client| client.key.reference().to_owned()),
        verify: tls.verify,
    }
}

fn written_sasl(sasl: &KafkaSasl) -> file::KafkaSasl {
    let mut file = file::KafkaSasl { mechanism: Some(sasl.mechanism()), ..file::KafkaSasl::default() };
    match sasl {
        KafkaSasl::Password { username, password, .. } => {
            file.username = Some(username.written().to_owned());
            file.password = Some(password.reference().to_owned());
        }
        KafkaSasl::Token(TokenFrom::Oidc(oidc)) => {
            file.oidc = Some(file::Oidc {
                url: Some(oidc.url.clone()),
                client_id: Some(oidc.client_id.written().to_owned()),
                client_secret: Some(oidc.client_secret.reference().to_owned()),
                scope: oidc.scope.clone(),
                ca: Some(written_ca(oidc.ca.as_ref())),
            });
        }
        KafkaSasl::Token(TokenFrom::File(path)) => file.token_file = Some(path.display().to_string()),
        KafkaSasl::Token(TokenFrom::MskIam { region }) => {
            file.msk_iam = Some(file::MskIam { region: region.clone() });
        }
    }
    file
}

fn written_route(route: &Route) -> file::Route {
    let capture = &route.capture;
    let upstream = format!("http://{}{}", route.upstream.authority, route.upstream.path.as_deref().unwrap_or(""));
    file::Route {
        path: Some(route.path.clone()),
        upstream: Some(upstream),
        model: route.model.clone(),
        version: route.version.as_ref().map(|version| match version {
            VersionFrom::Fixed(text) => text.clone(),
            VersionFrom::Header(name) => format!("header:{name}"),
            VersionFrom::Response(keys) => format!("response:$.{}", keys.join(".")),
        }),
        protocol: route.protocol,
        timeouts: file::Timeouts {
            connect: Span(route.timeouts.connect),
            first_byte: Span(route.timeouts.first_byte),
            idle: Span(route.timeouts.idle),
            pool_idle: Span(route.timeouts.pool_idle),
        },
        retry: Retry { connect: route.retry_connect, stale: false },
        concurrency: Concurrency(route.concurrency_max),
        labels: route.labels.clone(),
        capture: file::Capture {
            mode: capture.mode,
            body: Size(capture.body_bytes_max),
            sample: capture.sample.as_ref().map_or(file::Sample::rate(1.0), written_sample),
            headers: capture.headers.clone(),
            rows: capture.rows,
            bodies: capture.bodies,
            header: if capture.header_allowed { HeaderChoice::Allow } else { HeaderChoice::Forbid },
            methods: capture.methods.clone(),
            rows_max: capture.rows_max,
            decompressed: Size(capture.decompressed_bytes_max),
            depth: capture.depth_max,
        },
        feedback: route.feedback.as_ref().map(|feedback| feedback.path.clone()),
        record: file::Record {
            inputs: written_layout(&route.record.inputs),
            outputs: written_layout(&route.record.outputs),
            discover: route.record.discover,
            samples: route.record.samples.iter().map(|path| path.display().to_string()).collect(),
        },
        redact: Ordered(written_rules(route)),
    }
}

/// Of the feedback's rules the first are the outputs', which stand there already.
fn written_rules(route: &Route) -> Vec<(String, Redaction)> {
    let of_outputs = route.redact.iter().filter(|rule| rule.side == Side::Outputs).count();
    let of_truth = route.feedback.iter().flat_map(|feedback| &feedback.redact[of_outputs..]);
    let side = |rule: &RedactRule| match rule.side {
        Side::Inputs => "inputs",
        Side::Outputs => "outputs",
    };
    let rules = route.redact.iter().map(|rule| (side(rule), rule)).chain(of_truth.map(|rule| ("truth", rule)));
    let written = rules.map(|(of, rule)| {
        let action = match &rule.action {
            RedactAction::Drop => Redaction::Drop,
            RedactAction::Hash(key) => Redaction::Hash(key.reference().to_owned()),
            RedactAction::Truncate(chars) => Redaction::Truncate(*chars),
            RedactAction::Mask(kinds) => Redaction::Mask(kinds.clone()),
        };
        let target = std::iter::once(of).chain(rule.keys.iter().map(String::as_str));
        (target.collect::<Vec<_>>().join("."), action)
    });
    written.collect()
}

fn written_layout(layout: &Layout) -> file::Layout {
    let path =
        |keys: &Vec<String>| ["$"].into_iter().chain(keys.iter().map(String::as_str)).collect::<Vec<_>>().join(".");
    file::Layout { rows: layout.rows.as_ref().map(path), columns: layout.columns.clone() }
}

fn written_sample(sample: &Sample) -> file::Sample {
    file::Sample(file::Drawn {
        rate: sample.rate,
        by: sample.by.as_ref().map(|name| format!("header:{name}")),
        keep_errors: sample.keep_errors,
    })
}

fn written_store(store: &Store) -> file::Store {
    let mut file = file::Store {
        roll: file::Roll { size: Size(store.roll_bytes), every: Span(store.roll_every) },
        partition: store.partition,
        parquet: file::Parquet {
            compression: Compression::Zstd,
            level: store.parquet.zstd_level,
            row_group: store.parquet.row_group_rows,
            encodings: store.parquet.encodings,
        },
        columns_max: store.columns_max,
        tables: Ordered(store.tables.iter().map(|(table, types)| (table.clone(), written_types(types))).collect()),
        ..file::Store::default()
    };
    match &store.to {
        StoreTo::Folder(path) => file.to = Some(path.display().to_string()),
        StoreTo::S3(s3) => {
            let slash = if s3.prefix.is_empty() { "" } else { "/" };
            file.to = Some(format!("s3://{}{slash}{}", s3.bucket, s3.prefix));
            file.endpoint = s3.endpoint.clone();
            file.region = s3.region.clone();
            file.path_style = Some(s3.path_style);
            file.sse_kms = s3.sse_kms.clone();
            file.multipart_threshold = Size(s3.multipart_bytes);
        }
    }
    file
}

fn written_types(types: &[FixedType]) -> file::Table {
    let types = types.iter().map(|fixed| (fixed.path.to_string(), fixed.data_type.to_string()));
    file::Table { types: Ordered(types.collect()) }
}

/// Writes the entries of a map as block YAML; maps below it go deeper, lists stay on their line.
fn block(yaml: &mut String, value: &Value, depth: usize) {
    let Value::Object(entries) = value else { return };
    for (key, value) in entries {
        yaml.push_str(&"  ".repeat(depth));
        yaml.push_str(&text(key));
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                yaml.push_str(":\n");
                block(yaml, value, depth + 1);
            }
            _ => {
                yaml.push_str(": ");
                yaml.push_str(&flow(value));
                yaml.push('\n');
            }
        }
    }
}

fn flow(value: &Value) -> String {
    match value {
        Value::String(said) => text(said),
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Number(number) if number.is_f64() => format!("{:?}", number.as_f64().unwrap_or_default()),
        other => other.to_string(),
    }
}

/// A text as YAML: plain where nothing can mistake it for something else, in JSON's quotes (which are YAML's) otherwise.
fn text(said: &str) -> String {
    let plain = said.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '.' | '/'))
        && said.chars().all(|c| c.is_ascii_alphanumeric() || "._/:@+=-".contains(c))
        && !said.ends_with(':')
        && !said.starts_with("...")
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&said.to_ascii_lowercase().as_str())
        && !said.trim_start_matches('.').starts_with(|c: char| c.is_ascii_digit())
        && !matches!(said.to_ascii_lowercase().as_str(), ".inf" | ".nan");
    let unit =
        said.parse::<Span>().is_ok() || said.parse::<Size>().is_ok() || said.parse::<std::net::SocketAddrV4>().is_ok();
    if plain || unit {
        return said.to_owned();
    }
    Value::String(said.to_owned()).to_string()
}
