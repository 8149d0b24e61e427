//! What a good file means.

use super::*;
use crate::config::PUT_BYTES_MAX;

#[test]
fn the_smallest_file_means_the_same_as_an_upstream_on_the_command_line() {
    assert_eq!(good(SMALLEST), Config::for_upstream("http://127.0.0.1:8000", Some("churn")).unwrap());
    assert_eq!(Config::for_upstream("http://127.0.0.1:8000", None).unwrap().routes[0].name, "model");
}

#[test]
fn an_only_route_takes_everything_and_keeps_its_paths() {
    let config = good(SMALLEST);
    assert_eq!(config.routes[0].path, "/");
    assert_eq!(config.routes[0].upstream, Upstream { authority: "127.0.0.1:8000".to_owned(), path: None });
}

#[test]
fn an_only_route_takes_the_path_of_its_upstream() {
    let route = &Config::for_upstream("http://127.0.0.1:8000/predict", None).unwrap().routes[0];
    assert_eq!(route.path, "/predict");
    assert_eq!(route.upstream.path.as_deref(), Some("/predict"));
}

#[test]
fn several_routes_are_told_apart_by_name() {
    let config = good(
        "version: 1\nroutes:\n  b: { upstream: \"http://a:1/x\" }\n  a: { upstream: \"http://a:1\", path: /v1/ }\n",
    );
    let paths: Vec<_> = config.routes.iter().map(|route| (route.name.as_str(), route.path.as_str())).collect();
    assert_eq!(paths, [("b", "/predict/b"), ("a", "/v1")], "in the order of the file");
}

#[test]
fn an_upstream_has_port_80_unless_it_says_another() {
    for (url, authority) in
        [("http://model", "model:80"), ("http://[::1]:8000", "[::1]:8000"), ("http://[::1]", "[::1]:80")]
    {
        assert_eq!(Config::for_upstream(url, None).unwrap().routes[0].upstream.authority, authority);
    }
}

#[test]
fn a_version_is_a_constant_a_header_or_a_path() {
    let version = |text: &str| with(&format!("    version: {text}\n")).routes[0].version.clone().unwrap();
    assert_eq!(version("v7"), VersionFrom::Fixed("v7".to_owned()));
    assert_eq!(version("7"), VersionFrom::Fixed("7".to_owned()));
    assert_eq!(version("1.10"), VersionFrom::Fixed("1.10".to_owned()));
    assert_eq!(version("header:X-Model-Version"), VersionFrom::Header("x-model-version".to_owned()));
    let keys = vec!["meta".to_owned(), "version".to_owned()];
    assert_eq!(version("response:$.meta.version"), VersionFrom::Response(keys));
}

#[test]
fn a_sample_is_a_share_or_a_share_and_how_it_is_drawn() {
    let sample = |text: &str| with(&format!("    capture: {{ sample: {text} }}\n")).routes[0].capture.sample.clone();
    let drawn = |rate, by: Option<&str>, keep_errors| Some(Sample { rate, by: by.map(str::to_owned), keep_errors });
    assert_eq!(sample("0.1"), drawn(0.1, None, false));
    assert_eq!(sample("{ rate: 0.1 }"), drawn(0.1, None, false));
    let all = "{ rate: 0.25, by: header:X-User-Id, keep_errors: true }";
    assert_eq!(sample(all), drawn(0.25, Some("x-user-id"), true));
    assert_eq!(sample("{ rate: 0, keep_errors: true }"), drawn(0.0, None, true), "errors only");
    for every in ["1", "1.0", "{ rate: 1, keep_errors: true }"] {
        assert_eq!(sample(every), None, "{every}");
    }
}

#[test]
fn redaction_rules_keep_their_order_and_their_depth() {
    let config = with("    redact:\n      outputs.z: drop\n      inputs.address.street: drop\n");
    let rules = &config.routes[0].redact;
    assert_eq!(rules[0], RedactRule { side: Side::Outputs, keys: vec!["z".to_owned()], action: RedactAction::Drop });
    assert_eq!(rules[1].keys, ["address", "street"]);
}

#[test]
fn a_redaction_may_hash_truncate_or_mask_and_reads_back_as_it_was_written() {
    let written = "    redact:\n      inputs.id: { hash: \"${env:WEIR_KAFKA_PASSWORD}\" }\n      inputs.zip: { truncate: 3 }\n      \
                   outputs.note: { mask: [email, card] }\n";
    let config = with(written);
    let actions: Vec<_> = config.routes[0].redact.iter().map(|rule| &rule.action).collect();
    let [RedactAction::Hash(key), RedactAction::Truncate(3), RedactAction::Mask(kinds)] = actions[..] else {
        panic!("{actions:?}")
    };
    assert_eq!((key.expose(), &kinds[..]), (SECRET, &[MaskKind::Email, MaskKind::Card][..]));
    let shown = config.to_yaml_effective();
    assert!(!shown.contains(SECRET) && !format!("{config:?}").contains(SECRET), "{shown}");
    assert_eq!(good(&shown), config, "{shown}");
}

#[test]
fn rules_of_the_outputs_are_rules_of_truth_and_read_back_as_they_were_written() {
    let config = with(
        "    feedback: /churn/feedback/\n    redact:\n      truth.note: { truncate: 3 }\n      outputs.z: drop\n      inputs.email: drop\n      truth: { mask: [email] }\n",
    );
    let route = &config.routes[0];
    let feedback = route.feedback.as_ref().unwrap();
    assert_eq!(feedback.path, "/churn/feedback");
    let keys = |rules: &[RedactRule]| rules.iter().map(|rule| rule.keys.join(".")).collect::<Vec<_>>();
    assert_eq!(
        (keys(&route.redact), keys(&feedback.redact)),
        (vec!["z".into(), "email".into()], vec!["z".into(), "note".into(), String::new()])
    );
    assert_eq!(config.route_topics(), ["churn", "churn.feedback"]);
    let shown = config.to_yaml_effective();
    assert_eq!(good(&shown), config, "{shown}");
}

#[test]
fn a_key_of_hashes_that_can_be_guessed_is_refused() {
    let text = format!("{SMALLEST}    redact: {{ inputs.id: {{ hash: \"${{env:K}}\" }} }}\n");
    let with_key = |key: &str| Config::from_yaml("weir.yaml", &text, &|_| Some(key.to_owned()));
    let error = with_key("fifteen bytes..").unwrap_err();
    assert!(error.what.contains("15 bytes") && error.fix.contains("openssl rand"), "{error}");
    assert!(!error.to_string().contains("fifteen"), "{error}");
    with_key("sixteen bytes...").unwrap();
}

#[test]
fn properties_of_kafka_are_taken_as_they_are_written() {
    let config = with(
        "kafka:\n  brokers: ['b1:9092']\n  producer: { linger.ms: 20, compression.type: zstd, socket.keepalive.enable: true }\n",
    );
    let kafka = config.kafka.unwrap();
    let written: Vec<_> = kafka.producer.iter().map(|(key, value)| (key.as_str(), value.expose())).collect();
    assert_eq!(written, [("compression.type", "zstd"), ("linger.ms", "20"), ("socket.keepalive.enable", "true")]);
    assert_eq!((kafka.topic.as_str(), kafka.lanes, kafka.record_bytes_max), ("{model}", 4, 900_000));
    assert_eq!(kafka.create_topics, None);
}

#[test]
fn a_store_on_s3() {
    let config = with("store:\n  to: s3://bucket/some/prefix/\n  endpoint: http://127.0.0.1:9000/\n");
    let StoreTo::S3(s3) = &config.store.to else { panic!("{:?}", config.store.to) };
    assert_eq!((s3.bucket.as_str(), s3.prefix.as_str()), ("bucket", "some/prefix"));
    assert_eq!(s3.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
    assert!(s3.path_style, "a server of one's own seldom has a host per bucket");
    let StoreTo::S3(s3) = with("store: { to: 's3://bucket' }\n").store.to else { panic!() };
    assert_eq!((s3.prefix.as_str(), s3.path_style), ("", false));
    assert_eq!((s3.sse_kms.as_deref(), s3.multipart_bytes), (None, 64 << 20));
    let keys =
        "endpoint: 'http://127.0.0.1:9', path_style: false, region: r, sse_kms: alias/k, multipart_threshold: 5GiB";
    let StoreTo::S3(s3) = with(&format!("store: {{ to: 's3://bucket', {keys} }}\n")).store.to else { panic!() };
    assert_eq!((s3.region.as_deref(), s3.path_style), (Some("r"), false));
    assert_eq!((s3.sse_kms.as_deref(), s3.multipart_bytes), (Some("alias/k"), PUT_BYTES_MAX));
}

#[test]
fn roles_can_be_split_once_there_is_kafka() {
    let kafka = "kafka: { brokers: ['127.0.0.1:9092'] }\n";
    assert_eq!(with(&format!("{kafka}roles: [gateway]\n")).roles, Roles { gateway: true, drain: false });
    assert_eq!(with(&format!("{kafka}roles: [drain]\n")).roles, Roles { gateway: false, drain: true });
}

#[test]
fn the_files_move_with_the_data_unless_they_were_named() {
    let mut config = good(SMALLEST);
    config.overrides(Some("127.0.0.1:9".parse().unwrap()), Some("/tmp/x".into()));
    assert_eq!(config.listen.address.port(), 9);
    assert_eq!(config.store.to, StoreTo::Folder("/tmp/x/parquet".into()));
    let mut config = with("store: { to: /files }\n");
    config.overrides(None, Some("/tmp/x".into()));
    assert_eq!(config.store.to, StoreTo::Folder("/files".into()));
}

#[test]
fn the_memory_is_summed_over_the_stages_that_run() {
    let config = good(SMALLEST);
    assert_eq!(config.memory_sum(), 256 << 20);
    assert_eq!(config.memory_line(), "256MiB of buffers: capture 64MiB + queue 64MiB + drain 128MiB");
    let config = with("kafka: { brokers: ['127.0.0.1:9092'] }\nroles: [gateway]\n");
    assert_eq!(config.memory_line(), "160MiB of buffers: capture 64MiB + queue 64MiB + producer 32MiB");
}

#[test]
fn what_is_likely_a_mistake_is_a_warning() {
    assert!(good(SMALLEST).warnings().is_empty());
    let warnings = with("    timeouts: { pool_idle: 75s }\n    capture: { mode: off }\n").warnings();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("75s") && warnings[0].contains("`4s`"), "{warnings:?}");
}

#[test]
fn the_effective_form_means_the_same() {
    let everything = "    path: /a b\n";
    assert!(config(&format!("{SMALLEST}{everything}")).is_err());
    for more in [
        "",
        "    version: '7'\n    model: \"1e5\"\n    labels: { team: 'yes', note: 'a: b # c', empty: '', n: '0x1F' }\n",
        "    redact: { inputs.a b: drop, outputs.é: drop }\n    protocol: v1\n    version: response:$.a.b\n",
        "    capture: { mode: off, rows: keep, bodies: always, header: forbid, body: 900KB, headers: [] }\n",
        "    protocol: bentoml\n",
        "    capture: { sample: 0.1 }\n",
        "    capture: { sample: { rate: 0, by: header:x-user-id, keep_errors: true } }\n",
        "listen: { address: '[::1]:0', drain_timeout: 0s }\nlog: { sync: 1500us, reserve_free: 0B }\n",
        "kafka:\n  brokers: ['b1:1', 'b2:2']\n  topic: x-{model}\n  key: inputs.a.b\n  create_topics: {}\n  producer: { linger.ms: 5 }\n",
        "kafka: { brokers: ['b:1'], tls: { verify: ca }, sasl: { mechanism: PLAIN, username: 'a b', password: '${env:WEIR_KAFKA_PASSWORD}' } }\n",
        "kafka: { brokers: ['b:1'], producer: { sasl.password: '${env:WEIR_KAFKA_PASSWORD}', sasl.username: x } }\n",
        "kafka: { brokers: ['b:1'], sasl: { mechanism: OAUTHBEARER, token_file: ./t } }\n",
        "kafka: { brokers: ['b:1'], sasl: { mechanism: OAUTHBEARER, msk_iam: {} } }\n",
        "kafka: { brokers: ['b:1'], sasl: { mechanism: OAUTHBEARER, oidc: { url: 'http://a/b', client_id: c, client_secret: '${env:WEIR_KAFKA_PASSWORD}' } } }\n",
        "store: { to: 's3://bucket/p', region: eu-west-1, partition: none, parquet: { encodings: compact } }\n",
        "store: { to: './-strange #dir' }\ndata_dir: ../...\ndrain: { start: latest }\nrecorders: 3\n",
    ] {
        let config = with(more);
        let yaml = config.to_yaml_effective();
        let again = config_of("effective", &yaml).unwrap_or_else(|error| panic!("{yaml}\n{error}"));
        assert_eq!(again, config, "{yaml}");
    }
}

/// The word `key` names secrets elsewhere; here it is a field.
#[test]
fn the_key_of_a_message_is_no_secret() {
    let config = with("kafka:\n  brokers: ['b1:1']\n  key: id\n");
    assert_eq!(config.kafka.as_ref().and_then(|kafka| kafka.key.clone()), Some(KeyField::Id));
    assert!(config.to_yaml_effective().contains("key: id\n"), "{}", config.to_yaml_effective());
}

#[test]
fn a_byte_order_mark_is_not_part_of_the_file() {
    assert_eq!(good(&format!("\u{feff}{SMALLEST}")), good(SMALLEST));
}

#[test]
fn a_file_is_loaded_by_its_name() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), SMALLEST).unwrap();
    assert_eq!(Config::load(file.path()).unwrap(), good(SMALLEST));
    std::fs::write(file.path(), [0xff, 0xfe]).unwrap();
    assert!(Config::load(file.path()).unwrap_err().what.contains("UTF-8"));
}

#[test]
fn rows_and_columns_are_read_and_read_back_as_they_were_written() {
    let config = with(
        "    record: { inputs: { rows: $.payload.items, columns: [age, plan] }, outputs: { rows: $, columns: [score] }, samples: [a.http, b/c.http], discover: false }\n",
    );
    let record = &config.routes[0].record;
    assert_eq!(record.inputs.rows.as_deref(), Some(&["payload".to_owned(), "items".to_owned()][..]));
    assert_eq!(record.outputs.rows.as_deref(), Some(&[][..]));
    assert_eq!(
        (&record.inputs.columns, &record.outputs.columns),
        (&vec!["age".into(), "plan".into()], &vec!["score".into()])
    );
    assert_eq!(good(&config.to_yaml_effective()), config);
    let too_many = (0..257).map(|n| format!("c{n}")).collect::<Vec<_>>().join(", ");
    let error = config_error(&format!("    record: {{ inputs: {{ columns: [{too_many}] }} }}\n"));
    assert!(error.what.contains("the limit is 256"), "{error}");
}

#[track_caller]
fn config_error(more: &str) -> ConfigError {
    super::config(&format!("{SMALLEST}{more}")).expect_err("the configuration is wrong")
}
