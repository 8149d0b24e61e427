//! The file that `weir init` writes: what most people change, each line with its reason.

/// A commented `weir.yaml`. The upstream is only named, not tried; without one, the usual port of a local model server.
pub fn init_yaml(upstream: Option<&str>) -> String {
    let upstream = upstream.unwrap_or("http://127.0.0.1:8000");
    // Quotes only where a plain text would not do, so that the file looks like one written by hand.
    let plain = upstream.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":/.-_[]".contains(&byte));
    let upstream = if plain { upstream.to_owned() } else { serde_json::Value::from(upstream).to_string() };
    format!(
        r#"# yaml-language-server: $schema=./weir-data/schema.json
# Every key with its default: deploy/weir.yaml. Check this file with `weir check`, see what it means with `weir config show`.
version: 1

# The log, the ledger and the Parquet files.
data_dir: ./weir-data

listen:
  # Where clients send predictions. In a container: 0.0.0.0:7600.
  address: 127.0.0.1:7600

routes:
  # The name of the route is the name of the model, of its table and, with Kafka, of its topic.
  model:
    # Your model server. Without a path, requests keep theirs: change the port in the client, nothing else.
    upstream: {upstream}

    # A second route needs paths, for example `/predict/churn`; the longest that matches wins.
    #path: /

    # What is removed before anything is written anywhere. A body that cannot be read is then kept as its length only.
    #redact:
    #  inputs.email: drop

    # Constant values in every record's metadata.
    #labels: {{ team: growth }}

# Kafka between the log and the files. Without it, the log is drained to Parquet directly.
#kafka:
#  brokers: [127.0.0.1:9092]
#  topic: "{{model}}"

store:
  # A folder, or s3://bucket/prefix with credentials from the environment, as the AWS tools read them.
  to: ./weir-data/parquet
  # A file is closed when it has this size, or this age (sooner while weir is young).
  roll: {{ size: 128MiB, every: 5m }}
"#
    )
}
