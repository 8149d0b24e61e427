//! One test per bad key or value: where the error stands, what it says, and the fix it names.

use super::*;

#[track_caller]
fn refused(text: &str, at: &str, what: &str, fix: &str) {
    let error = config(text).expect_err("the configuration is wrong");
    let place = error.place.as_ref().expect("an error in a file has a place");
    assert_eq!(format!("{}:{}", place.line, place.column), at, "\n{error}");
    assert!(error.what.contains(what), "\n{error}");
    assert!(error.fix.contains(fix), "\n{error}");
    for shown in [&error.what, &error.fix] {
        assert!(!shown.is_empty() && !shown.ends_with('.') && !shown.contains('\n'), "\n{error}");
    }
}

/// Lines after the smallest file: they begin at line 5.
macro_rules! refused_after_smallest {
    ($($name:ident: $more:expr, $at:literal, $what:literal, $fix:literal;)+) => {
        $(#[test]
        fn $name() {
            refused(&format!("{SMALLEST}{}\n", $more), $at, $what, $fix);
        })+
    };
}

/// Whole files.
macro_rules! refused_file {
    ($($name:ident: $text:expr, $at:literal, $what:literal, $fix:literal;)+) => {
        $(#[test]
        fn $name() {
            refused($text, $at, $what, $fix);
        })+
    };
}

/// A `kafka` section with one broker; what follows begins at line 7.
fn kafka(more: &str) -> String {
    format!("kafka:\n  brokers: [127.0.0.1:9092]\n{more}")
}

refused_file! {
    an_empty_file: "# nothing\n", "1:1", "empty", "weir init";
    a_list_at_the_top: "- version: 1\n", "1:1", "not a map", "version: 1";
    two_documents: "version: 1\n---\nversion: 1\n", "3:1", "more than one document", "keep one";
    a_file_without_a_version: "routes: { a: { upstream: \"http://a:1\" } }\n", "1:1", "version", "version: 1";
    a_version_to_come: "version: 2\n", "1:10", "version 1", "version: 1";
    no_route: "version: 1\n", "1:1", "no route", "upstream";
    a_route_without_an_upstream: "version: 1\nroutes:\n  churn: { path: / }\n", "3:3", "where its requests go", "upstream: ";
    a_route_without_anything: "version: 1\nroutes:\n  churn:\n", "3:3", "no value", "write one";
    a_bracket_left_open: "version: 1\nroles: [gateway\n", "2:8", "never closed", "]";
    a_quote_left_open: "version: 1\ndata_dir: \"x\n", "2:11", "never closed", "same quote";
    a_value_in_a_value: "version: 1\ndata_dir: a: b\n", "2:12", "second `key: value`", "quotes";
    an_alias_of_nothing: "version: 1\ndata_dir: *x\n", "2:11", "alias", "quotes";
    a_name_of_a_route_with_a_slash: "version: 1\nroutes: { a/b: { upstream: \"http://a:1\" } }\n", "2:11", "`a/b`", "`a-b`";
    a_name_of_a_route_that_readers_skip: "version: 1\nroutes: { _a: { upstream: \"http://a:1\" } }\n", "2:11", "skip names", "`a`";
    an_https_upstream: "version: 1\nroutes: { a: { upstream: \"https://a/x\" } }\n", "2:26", "not in this version", "`http://a/x`";
    an_upstream_of_another_scheme: "version: 1\nroutes: { a: { upstream: \"grpc://a:1\" } }\n", "2:26", "`grpc`", "`http://a:1`";
    an_upstream_with_a_query: "version: 1\nroutes: { a: { upstream: \"http://a:1/x?y=1\" } }\n", "2:26", "query", "`http://a:1/x`";
    an_upstream_with_a_wrong_port: "version: 1\nroutes: { a: { upstream: \"http://a:99999\" } }\n", "2:26", "port", "1 to 65535";
    an_upstream_without_a_host: "version: 1\nroutes: { a: { upstream: \"http:///x\" } }\n", "2:26", "host", "http://127.0.0.1";
    an_upstream_with_a_password: "version: 1\nroutes: { a: { upstream: \"http://me:hunter2@a:1\" } }\n", "2:26", "not shown", "remove";
    an_upstream_of_several_targets: "version: 1\nroutes: { a: { upstream: { targets: [\"http://a:1\"] } } }\n", "2:16", "not in this version", "one URL";
    an_upstream_that_is_a_list: "version: 1\nroutes: { a: { upstream: [\"http://a:1\"] } }\n", "2:26", "found a list", "text";
}

refused_after_smallest! {
    a_path_without_a_slash: "    path: predict", "5:11", "begin with `/`", "`/predict`";
    a_path_with_a_pattern: "    path: /predict/*", "5:11", "prefix", "`/predict`";
    a_path_with_dots: "    path: /a/../b", "5:11", "`..`", "as clients send it";
    a_model_with_a_space: "    model: my model", "5:12", "`my model`", "`my-model`";
    a_model_that_is_only_dots: "    model: ..", "5:12", "skip names", "`churn`";
    a_version_at_no_path: "    version: response:version", "5:14", "must begin with `$.`", "`response:$.version`";
    a_version_from_no_header: "    version: 'header:x y'", "5:14", "not the name of a header", "x-model-version";
    a_protocol_that_is_none: "    protocol: jsn", "5:15", "not one of", "did you mean `json`?";
    a_timeout_of_zero: "    timeouts: { connect: 0s }", "5:26", "too small", "1ms";
    a_timeout_in_words: "    timeouts: { connect: 5 sec }", "5:26", "`sec`", "`5s`";
    a_retry_of_what_was_sent: "    retry: { stale: true }", "5:21", "not in this version", "stale: false";
    too_many_retries: "    retry: { connect: 11 }", "5:23", "too large", "0 to 10";
    a_negative_concurrency: "    concurrency: -1", "5:18", "whole number", "0 or more";
    no_concurrency: "    concurrency: 0", "5:18", "too small", "1 to 100000";
    a_label_with_a_space: "    labels: { a b: c }", "5:20", "name of a label", "`a-b`";
    a_feedback_path_without_a_slash: "    feedback: feedback", "5:15", "does not begin with `/`", "`/feedback`";
    a_feedback_path_of_everything: "    feedback: /", "5:15", "one path", "`/feedback`";
    a_feedback_path_that_is_a_pattern: "    feedback: /f/*", "5:15", "a pattern", "`/f`";
    a_feedback_path_that_is_its_route_s: "    feedback: /p/\n    path: /p", "5:15", "the path of the route `churn`", "`/p/feedback`";
    a_rule_for_feedback_without_any: "    redact: { truth.email: drop }", "5:15", "does not take", "add `feedback: /feedback`";
    a_rule_for_no_key_of_truth: "    feedback: /f\n    redact: { truth..a: drop }", "6:15", "does not name a key", "inputs.email";
    a_model_that_is_feedback: "    model: churn.feedback", "5:12", "the feedback of `churn`", "`churn-feedback`";
    the_mode_required: "    capture: { mode: required }", "5:22", "not in this version", "best_effort";
    a_mode_that_is_none: "    capture: { mode: besteffort }", "5:22", "not one of", "`best_effort`";
    a_sampling_rate_in_percent: "    capture: { sample: 10% }", "5:24", "`10%` is not a share", "`0.1`";
    a_sampling_rate_in_words: "    capture: { sample: few }", "5:24", "found text", "rate: 0.1";
    a_sampling_rate_above_one: "    capture: { sample: 25 }", "5:24", "from 0 to 1", "`0.25`";
    a_negative_sampling_rate: "    capture: { sample: { rate: -1 } }", "5:32", "from 0 to 1", "0.1";
    a_sampling_rate_far_above_one: "    capture: { sample: 1000 }", "5:24", "from 0 to 1", "one call in ten";
    a_sampling_rate_of_nothing: "    capture: { sample: 0 }", "5:24", "record nothing", "`mode: off`";
    a_sampling_rule_of_nothing: "    capture: { sample: { rate: 0, keep_errors: false } }", "5:32", "record nothing", "keep_errors: true";
    a_sampling_rule_without_a_rate: "    capture: { sample: { keep_errors: true } }", "5:24", "`rate` is missing", "add it";
    a_sampling_rule_with_an_unknown_key: "    capture: { sample: { rate: 0.1, keep_error: true } }", "5:37", "unknown key `keep_error`", "`keep_errors`";
    a_sampling_rule_by_a_bare_name: "    capture: { sample: { rate: 0.1, by: x-user } }", "5:41", "which header", "`header:x-user`";
    a_sampling_rule_by_no_header: "    capture: { sample: { rate: 0.1, by: 'header:x y' } }", "5:41", "name of a header", "header:x-user-id";
    a_sampling_rule_in_a_list: "    capture: { sample: [0.1] }", "5:24", "found a list", "rate: 0.1";
    a_body_larger_than_its_budget: "    capture: { body: 40MiB }", "5:22", "memory.capture", "`32MiB`";
    a_size_in_half_a_unit: "    capture: { body: 64K }", "5:22", "`K`", "`64KiB`";
    a_header_that_is_a_credential: "    capture: { headers: [Authorization] }", "5:25", "credentials", "remove it";
    a_header_that_is_none: "    capture: { headers: ['x y'] }", "5:25", "name of a header", "x-model-version";
    a_method_that_is_none: "    capture: { methods: [PREDICT] }", "5:25", "`PREDICT`", "POST";
    no_method: "    capture: { methods: [] }", "5:25", "nothing would be recorded", "mode: off";
    too_deep: "    capture: { depth: 1000 }", "5:23", "too large", "1 to 128";
    rows_at_no_path: "    record: { inputs: { rows: data } }", "5:31", "must begin with `$.`", "`$.data`";
    rows_at_a_json_pointer: "    record: { inputs: { rows: /a/b } }", "5:31", "must begin with `$.`", "`$.a.b`";
    rows_at_a_pattern: "    record: { outputs: { rows: '$.a[*]' } }", "5:32", "not a path of keys", "$.payload.items";
    rows_of_a_protocol: "    protocol: v2\n    record: { inputs: { rows: $.a } }", "6:31", "only `protocol: json`", "remove it";
    a_column_without_a_name: "    record: { inputs: { columns: [a, ''] } }", "5:34", "column 1 has no name", "[age, plan]";
    a_column_twice: "    record: { inputs: { columns: [a, b, a] } }", "5:34", "`a` names two columns", "a name of its own";
    a_column_named_by_its_position: "    record: { inputs: { columns: [x1, x0] } }", "5:34", "`x1` is what a value without a name is called", "another name";
    a_sample_by_pattern: "    record: { samples: ['a-*.http'] }", "5:24", "does not name one file", "each file";
    an_unknown_key_of_rows: "    record: { inputs: { colums: [a] } }", "5:25", "unknown key `colums`", "`columns`";
    a_redaction_without_a_side: "    redact: { email: drop }", "5:15", "inputs or the outputs", "`inputs.email`";
    a_redaction_of_nothing: "    redact: { inputs.: drop }", "5:15", "does not name a key", "inputs.email";
    a_redaction_by_pattern: "    redact: { 'inputs.*_note': drop }", "5:15", "pattern", "the key itself";
    a_redaction_by_hash_without_its_key: "    redact: { inputs.id: { hash: \"${file:no/such/key}\" } }", "5:34", "no/such/key", "name the file";
    a_redaction_by_hash_with_the_key_in_the_file: "    redact: { inputs.id: { hash: hunter2 } }", "5:34", "a secret is written in the file", "${file:";
    a_redaction_by_hash_alone: "    redact: { inputs.id: hash }", "5:26", "needs a value", "secrets/hmac.key";
    a_redaction_that_keeps_nothing: "    redact: { inputs.id: { truncate: 0 } }", "5:38", "too small", "1 to 1024";
    a_redaction_that_keeps_some: "    redact: { inputs.id: { truncate: few } }", "5:38", "whole number", "0 or more";
    a_redaction_that_masks_nothing: "    redact: { inputs.id: { mask: [] } }", "5:34", "masks nothing", "email, phone, card";
    a_redaction_that_masks_what_it_does_not_know: "    redact: { inputs.id: { mask: [iban] } }", "5:35", "not one of", "`card`";
    a_redaction_that_does_two_things: "    redact: { inputs.id: { truncate: 3, mask: [email] } }", "5:26", "one thing", "truncate: 3";
    a_redaction_by_an_unknown_word: "    redact: { inputs.id: { encrypt: x } }", "5:26", "not one of", "`hash`";
    a_redaction_that_is_none: "    redact: { inputs.id: remove }", "5:26", "not one of", "`drop`";
    a_reference_where_no_secret_is_wanted: "    model: ${env:MODEL}", "5:12", "not a secret", "the value itself";

    tls_on_the_data_port: "listen: { tls: { cert: a, key: \"${file:k}\" } }", "5:11", "not in this version", "proxy";
    a_host_name_to_listen_on: "listen: { address: 'localhost:7600' }", "5:20", "not an address", "`127.0.0.1:7600`";
    only_a_port_to_listen_on: "listen: { address: ':7600' }", "5:20", "not an address", "`0.0.0.0:7600`";
    a_port_as_an_address: "listen: { address: 7600 }", "5:20", "not an address", "127.0.0.1:7600";
    one_address_for_both_ports: "listen: { address: '127.0.0.1:7601' }", "5:20", "both", "another port";
    small_headers: "listen: { limits: { header_bytes: 1KiB } }", "5:35", "too small", "8KiB";
    a_bare_body_limit: "listen: { limits: { body: 10000000 } }", "5:27", "needs a unit", "`10000000B`";
    no_connections: "listen: { limits: { connections: 0 } }", "5:34", "too small", "1 to 1000000";
    a_body_idle_of_zero: "listen: { limits: { body_idle: 0s } }", "5:32", "too small", "10ms";
    an_admin_token_from_a_file: "admin: { token: \"${file:t}\" }", "5:17", "not in this version", "token: auto";
    allowed_hosts: "admin: { allowed_hosts: [a] }", "5:10", "not in this version", "remove it";
    probes: "probes: { address: '0.0.0.0:7602' }", "5:1", "not in this version", "/livez";
    telemetry: "telemetry: { otlp: 'http://127.0.0.1:4318' }", "5:1", "not in this version", "/metrics";

    no_models: "models_max: 0", "5:13", "too small", "1 to 10000";
    recorders_in_words: "recorders: many", "5:12", "`auto` or a number", "`auto`";
    no_recorders: "recorders: 0", "5:12", "too small", "1 to 64";
    a_sync_on_demand: "log: { sync: each }", "5:14", "not in this version", "200ms";
    a_log_smaller_than_two_segments: "log: { max_size: 64MiB }", "5:18", "two segments", "`128MiB`";
    a_small_segment: "log: { segment: 1B }", "5:17", "too small", "4KiB";
    a_stop_of_a_day: "stop: { store: 1d }", "5:16", "too large", "1h";
    memory_below_a_mebibyte: "memory: { queue: 1KB }", "5:18", "too small", "1MiB";
    memory_without_a_unit: "memory: { queue: 64 }", "5:18", "needs a unit", "`64MiB`";

    no_broker: "kafka: { brokers: [] }", "5:19", "no broker", "127.0.0.1:9092";
    kafka_without_brokers: "kafka: { lanes: 4 }", "5:1", "no broker", "127.0.0.1:9092";
    an_empty_kafka: "kafka:", "5:1", "no value", "remove the key";
    a_broker_without_a_port: "kafka: { brokers: [b1] }", "5:19", "no port", "`b1:9092`";
    a_broker_with_tls: "kafka: { brokers: ['SSL://b1:9093'] }", "5:19", "has a scheme", "`kafka.tls: {}`";
    a_broker_with_all: "kafka: { brokers: ['SASL_SSL://b1:9093'] }", "5:19", "has a scheme", "`kafka.sasl`";
    a_topic_with_a_slash: kafka("  topic: a/b"), "7:10", "cannot be a topic", "{model}";
    a_topic_with_another_placeholder: kafka("  topic: \"{route}\""), "7:10", "placeholder", "{model}";
    an_unknown_form: kafka("  format: avro"), "7:11", "not one of its values", "protobuf";
    a_key_that_is_no_field: kafka("  key: customer_id"), "7:8", "`customer_id` is no field", "`inputs.customer_id`";
    no_lanes: kafka("  lanes: 0"), "7:10", "too small", "1 to 64";
    a_record_without_a_unit: kafka("  max_record: 900000"), "7:15", "needs a unit", "`900000B`";
    an_authority_that_is_no_file: kafka("  tls: { ca: no/such/ca.pem }"), "7:14", "no file `no/such/ca.pem`", "correct it";
    an_authority_that_is_no_pem: kafka("  tls: { ca: Cargo.toml }"), "7:14", "no certificate in PEM form", "BEGIN CERTIFICATE";
    a_certificate_without_a_key: kafka("  tls: { cert: Cargo.toml }"), "7:16", "without its key", "client.key";
    a_key_without_a_certificate: kafka("  tls: { key: \"${file:Cargo.toml}\" }"), "7:15", "without its certificate", "client.pem";
    a_key_by_its_path: kafka("  tls: { key: client.key }"), "7:15", "a secret is written in the file", "${file:secrets/key}";
    a_verification_that_is_none: kafka("  tls: { verify: maybe }"), "7:18", "`maybe`", "full";
    a_log_in_without_a_mechanism: kafka("  sasl: { username: weir }"), "7:3", "does not say its mechanism", "SCRAM-SHA-512";
    a_log_in_by_kerberos: kafka("  sasl: { mechanism: GSSAPI }"), "7:22", "`GSSAPI`", "SCRAM";
    a_log_in_without_a_password: kafka("  sasl: { mechanism: PLAIN, username: weir }"), "7:3", "no `password`", "${env:WEIR_KAFKA_PASSWORD}";
    a_log_in_without_a_name: kafka("  sasl: { mechanism: PLAIN, password: \"${env:WEIR_KAFKA_PASSWORD}\" }"), "7:3", "no `username`", "username:";
    a_variable_that_is_not_set: kafka("  sasl: { mechanism: PLAIN, username: u, password: \"${env:NO_SUCH}\" }"), "7:52", "NO_SUCH is not set; `kafka.sasl.password` needs it", "export NO_SUCH=";
    a_secret_file_that_is_not_there: kafka("  sasl: { mechanism: PLAIN, username: u, password: \"${file:no/such}\" }"), "7:52", "no file `no/such`; `kafka.sasl.password` needs it", "name the file";
    a_secret_file_in_a_home: kafka("  sasl: { mechanism: PLAIN, username: u, password: \"${file:~/x}\" }"), "7:52", "only a shell", "whole path";
    tokens_from_nowhere: kafka("  sasl: { mechanism: OAUTHBEARER }"), "7:3", "where tokens come from", "`oidc`, `token_file` or `msk_iam`";
    tokens_from_two_places: kafka("  sasl: { mechanism: OAUTHBEARER, token_file: a, msk_iam: {} }"), "7:3", "more than once", "keep one of";
    a_password_for_tokens: kafka("  sasl: { mechanism: OAUTHBEARER, username: u }"), "7:35", "no meaning with OAUTHBEARER", "`oidc`";
    tokens_for_a_password: kafka("  sasl: { mechanism: PLAIN, token_file: a }"), "7:29", "no meaning with PLAIN", "`password`";
    a_provider_without_a_client: kafka("  sasl: { mechanism: OAUTHBEARER, oidc: { url: 'https://a' } }"), "7:35", "no `client_id`", "client_id: weir";
    a_provider_that_is_no_url: kafka("  sasl: { mechanism: OAUTHBEARER, oidc: { url: a, client_id: b, client_secret: \"${env:WEIR_KAFKA_PASSWORD}\" } }"), "7:48", "not the URL", "https://issuer";
    half_a_reference: kafka("  sasl: { mechanism: PLAIN, username: \"x-${env:U}\" }"), "7:39", "not whole", "nothing else";
    a_password_of_kafka_in_the_file: kafka("  producer: { sasl.password: hunter2 }"), "7:30", "secret", "${env:WEIR_PASSWORD}";
    a_mechanism_of_librdkafka: kafka("  producer: { sasl.mechanism: PLAIN }"), "7:15", "set by `kafka.sasl`", "mechanism";
    kerberos_of_librdkafka: kafka("  consumer: { sasl.kerberos.keytab: /a }"), "7:15", "Kerberos", "SCRAM";
    tokens_of_librdkafka: kafka("  producer: { sasl.oauthbearer.method: oidc }"), "7:15", "librdkafka's own way", "OAUTHBEARER";
    a_security_protocol: kafka("  consumer: { security.protocol: SSL }"), "7:15", "set by what `kafka` has", "`kafka.tls: {}`";
    a_property_whose_secret_is_refused: kafka("  producer: { linger.ms: \"${env:WEIR_KAFKA_PASSWORD}\" }"), "7:26", "refuses this value of `linger.ms`", "CONFIGURATION.md";
    the_brokers_as_a_property: kafka("  producer: { bootstrap.servers: a }"), "7:15", "cannot be set", "kafka.brokers";
    a_message_timeout: kafka("  producer: { message.timeout.ms: 1000 }"), "7:15", "cannot be set", "wait in the log";
    a_group_as_a_property: kafka("  consumer: { group.id: a }"), "7:15", "cannot be set", "drain.group";
    group_protocol: kafka("  consumer: { group.protocol: consumer }"), "7:15", "cannot be set", "who is in the group";
    auto_commit: kafka("  consumer: { enable.auto.commit: true }"), "7:15", "cannot be set", "the commit";
    a_property_that_librdkafka_has_not: kafka("  producer: { lingr.ms: 5 }"), "7:15", "no property `lingr.ms`", "CONFIGURATION.md";
    a_value_that_librdkafka_refuses: kafka("  producer: { linger.ms: soon }"), "7:26", "refuses this value", "CONFIGURATION.md";
    a_callback: kafka("  producer: { error_cb: x }"), "7:15", "callback", "remove it";
    no_partitions: kafka("  create_topics: { partitions: 0 }"), "7:32", "too small", "1 to 10000";

    topics_without_kafka: "drain: { topics: [a] }", "5:18", "no `kafka:`", "remove it";
    a_pattern_of_topics_that_is_none: kafka("drain: { topics: ['^a('] }"), "7:18", "no pattern of topics", "^fraud-.*";
    a_model_in_a_pattern: kafka("drain: { topics: ['{model}-*'] }"), "7:18", "no meaning", "two topics";
    no_topics: kafka("drain: { topics: [] }"), "7:18", "nothing would be drained", "{model}";
    several_writers: "drain: { writers: 2 }", "5:19", "not in this version", "writers: 1";
    a_start_that_is_none: "drain: { start: beginning }", "5:17", "not one of", "`earliest` or `latest`";
    a_small_spool: "drain: { spool: 1KB }", "5:17", "too small", "1MiB";
    a_group_with_a_space: "drain: { group: a b }", "5:17", "not a name", "weir-drain";

    a_store_of_another_kind: "store: { to: 'gs://a/b' }", "5:14", "no place for files", "s3://";
    a_bucket_in_capitals: "store: { to: 's3://Bucket/a' }", "5:14", "`Bucket`", "s3://bucket/prefix";
    a_prefix_with_dots: "store: { to: 's3://bucket/a/../b' }", "5:14", "`..`", "s3://bucket/predictions";
    an_endpoint_for_a_folder: "store: { endpoint: 'http://127.0.0.1:9000' }", "5:20", "for S3", "s3://";
    an_endpoint_without_a_scheme: "store: { to: 's3://bucket', endpoint: '127.0.0.1:9000' }", "5:39", "no scheme", "`http://127.0.0.1:9000`";
    a_kms_key_for_a_folder: "store: { sse_kms: a }", "5:19", "for S3", "s3://";
    a_kms_key_that_is_none: "store: { to: 's3://bucket', sse_kms: 'a b' }", "5:38", "no id", "alias/";
    small_parts: "store: { to: 's3://bucket', multipart_threshold: 1B }", "5:50", "too small", "1KiB";
    more_than_s3_takes: "store: { to: 's3://bucket', multipart_threshold: 6GiB }", "5:50", "too large", "5GiB";
    delta: "store: { delta: true }", "5:17", "not in this version", "delta: false";
    a_roll_of_zero: "store: { roll: { every: 0s } }", "5:25", "too small", "100ms";
    a_partition_that_is_none: "store: { partition: daily }", "5:21", "not one of", "`day`";
    snappy: "store: { parquet: { compression: snappy } }", "5:34", "not in this version", "zstd";
    level_23: "store: { parquet: { level: 23 } }", "5:28", "too large", "1 to 22";
    a_type_that_is_none: "store: { tables: { churn: { types: { inputs.a: number } } } }", "5:48", "`number`", "int64";
    a_column_that_is_none: "store: { tables: { churn: { types: { inputs: double } } } }", "5:38", "`inputs`", "`inputs.age`";
    a_column_of_weirs_own: "store: { tables: { churn: { types: { latency_ms: float } } } }", "5:38", "weir's own", "inputs.latency_ms";
    a_column_in_a_column: "store: { tables: { churn: { types: { inputs.a: double, inputs.a.b: double } } } }", "5:56", "cannot both", "remove";
    no_columns: "store: { columns_max: 0 }", "5:23", "too small", "1 to 10000";

    a_home_folder: "data_dir: ~/weir", "5:11", "`~`", "./weir-data";
    files_in_a_home_folder: "store: { to: ~/files }", "5:14", "`~`", "./weir-data";

    no_role: "roles: []", "5:8", "do nothing", "[gateway, drain]";
    a_role_that_is_none: "roles: [gateway, drains]", "5:18", "not one of", "did you mean `drain`?";
    a_role_twice: "roles: [drain, drain]", "5:8", "twice", "once";
    a_gateway_alone_without_kafka: "roles: [gateway]", "5:8", "nothing would read", "kafka:";
    a_drain_alone_without_kafka: "roles: [drain]", "5:8", "nothing to read", "kafka:";
}

#[test]
fn a_drain_without_routes_must_name_its_topics() {
    let text = "version: 1\nroles: [drain]\nkafka: { brokers: ['127.0.0.1:9092'] }\n";
    let error = config(text).unwrap_err();
    assert!(error.what.contains("`{model}`") && error.fix.contains("topics: ["), "{error}");
    assert_eq!(good(&format!("{text}drain: {{ topics: [churn] }}\n")).drain.topics, ["churn"]);
    let patterns = ["^fraud-(eu|us)$", "credit-*"];
    let topics = format!("drain: {{ topics: ['{}', '{}'] }}\n", patterns[0], patterns[1]);
    assert_eq!(good(&format!("{text}{topics}")).drain.topics, patterns);
}

#[test]
fn nothing_secret_is_shown_whatever_else_is_wrong() {
    let secret = "hunter2";
    for text in [
        format!("version: 1\nadmin:\n  tokn: {secret}\n"),
        format!("version: 1\nadmin:\n  token: [{secret}]\n"),
        format!("version: 1\nadmin: {{ adress: 1, token: {secret} }}\n"),
        format!("version: 1\nadmin: {{ token: {secret}, adress: 1 }}\n"),
        format!("version: 1\nadmin:\n  token: |\n    {secret}\n"),
        format!("version: 1\nadmin:\n  token: \"{secret}\n"),
        format!("version: 1\nadmin:\n\ttoken: {secret}\n"),
        format!("version: 1\nkafka: {{ brokers: [a], sasl: {{ username: u, password: {secret} }} }}\n"),
        format!("version: 1\nkafka: {{ brokers: [a], producer: {{ sasl.password: {secret} }} }}\n"),
        format!("version: 1\nkafka: {{ producer: {{ ssl.key.pem: '{secret}' }} }}\n"),
        format!("version: 1\nkafka: {{ tls: {{ key: {secret} }} }}\n"),
        format!("version: 1\nkafka: {{ sasl: {{ oidc: {{ client_secret: {secret} }} }} }}\n"),
        format!("version: 1\nkafka: {{ brokers: ['u:{secret}@b:1'] }}\n"),
        format!("version: 1\nroutes: {{ a: {{ upstream: 'u:{secret}@b:1' }} }}\n"),
        format!("version: 1\nroutes: {{ a: {{ upstream: 'https://u:{secret}@b:1' }} }}\n"),
        format!("version: 1\nroutes: {{ a: {{ redact: {{ inputs.x: {{ hash: {secret} }} }} }} }}\n"),
        format!("version: 1\nlisten: {{ tls: {{ key: {secret} }} }}\n"),
        format!("version: 1\nstore: {{ to: 's3://u:{secret}@bucket/x' }}\n"),
        format!("version: 1\nstore: {{ to: 's3://bucket/x', secret_access_key: {secret} }}\n"),
        format!("version: 1\nadmin:\n  token: {secret}\nadmin: 1\n"),
        format!("version: 1\npassword: {secret}: x\n"),
    ] {
        let shown = config(&text).expect_err("the configuration is wrong").to_string();
        assert!(!shown.contains(secret), "{text}\n{shown}");
    }
    let shown = Config::for_upstream(&format!("http://u:{secret}@h"), None).unwrap_err();
    assert!(!format!("{shown}{shown:?}").contains(secret), "{shown:?}");
}

#[test]
fn whatever_is_cut_off_or_changed_is_an_error_and_never_a_panic() {
    let text = include_str!("../../../deploy/weir.yaml");
    for end in (0..text.len()).step_by(7).filter(|end| text.is_char_boundary(*end)) {
        names_a_fix(&text[..end]);
    }
    for (at, _) in text.char_indices().step_by(61) {
        for strange in ["\t", "\"", "{", "]", ":", "\u{0}", "é", "- ", "&a *a", "\n"] {
            let mut changed = text.to_owned();
            changed.insert_str(at, strange);
            names_a_fix(&changed);
        }
    }
}

/// If the text is wrong, the error says where and what to do.
#[track_caller]
fn names_a_fix(text: &str) {
    if let Err(error) = config(text) {
        assert!(!error.fix.is_empty() && error.place.is_some() && error.to_string().lines().count() > 1, "{error}");
    }
}

#[test]
fn two_routes_do_not_share_a_path_of_feedback() {
    let route = |name: &str, more: &str| format!("  {name}:\n    upstream: http://127.0.0.1:8000\n{more}");
    let both = |feedback: &str| {
        let first = route("a", &format!("    feedback: {feedback}\n"));
        format!("version: 1\nroutes:\n{first}{}", route("b", "    feedback: /b/feedback\n    path: /b\n"))
    };
    good(&both("/a/feedback"));
    for (taken, what) in [("/b/feedback/", "already used by the route `a`"), ("/b", "the path of the route `b`")] {
        let error = config(&both(taken)).unwrap_err();
        assert!(error.what.contains(what) && error.fix.contains("/feedback"), "{error}");
    }
}

#[test]
fn a_topic_does_not_end_like_one_of_feedback() {
    let error = config(&format!("{SMALLEST}kafka: {{ brokers: ['b:1'], topic: '{{model}}.feedback' }}\n")).unwrap_err();
    assert!(error.what.contains("topic of feedback"), "{error}");
    let error = config("version: 1\nroutes: { churn.feedback: { upstream: http://127.0.0.1:8000 } }\n").unwrap_err();
    assert!(error.what.contains("the feedback of `churn`"), "{error}");
}
