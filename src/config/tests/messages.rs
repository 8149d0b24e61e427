//! Whole messages, as a person reads them.

use super::*;

#[track_caller]
fn says(text: &str, message: &str) {
    let error = config(text).expect_err("the configuration is wrong");
    assert_eq!(error.to_string(), message.trim_matches('\n'), "\n{error}");
}

#[test]
fn an_unknown_key_is_named_with_the_one_that_was_meant() {
    says(
        "version: 1\nroutes:\n  churn:\n    upsteam: http://127.0.0.1:8000\n",
        "
error: unknown key `upsteam` in `routes.churn`
 --> weir.yaml:4:5
  |
4 |     upsteam: http://127.0.0.1:8000
  |     ^^^^^^^ did you mean `upstream`?
  = allowed here: path, upstream, model, version, protocol, timeouts, retry, concurrency, labels, feedback, capture, record, redact
",
    );
}

#[test]
fn an_unknown_key_that_is_like_no_other() {
    says(
        "version: 1\nmodels: {}\n",
        "
error: unknown key `models` at the top level
 --> weir.yaml:2:1
  |
2 | models: {}
  | ^^^^^^ remove it, or write one of the keys below
  = allowed here: version, data_dir, listen, admin, routes, models_max, recorders, log, stop, memory, kafka, drain, store, roles
",
    );
}

#[test]
fn an_upstream_without_a_scheme() {
    says(
        "version: 1\nroutes:\n  churn:\n    upstream: localhost:8000\n",
        "
error: `localhost:8000` has no scheme
 --> weir.yaml:4:15
  |
4 |     upstream: localhost:8000
  |               ^^^^^^^^^^^^^^ write `http://localhost:8000`
",
    );
}

#[test]
fn a_duration_without_a_unit() {
    says(
        &format!("{SMALLEST}    timeouts: {{ first_byte: 30 }}\n"),
        "
error: `routes.churn.timeouts.first_byte`: a duration needs a unit: `30` could be seconds or milliseconds
 --> weir.yaml:5:29
  |
5 |     timeouts: { first_byte: 30 }
  |                             ^^ write `30s` or `30ms`
",
    );
}

#[test]
fn two_routes_on_one_path() {
    says(
        "version: 1
routes:
  churn:
    path: /predict
    upstream: http://127.0.0.1:8000
  credit:
    path: /predict/
    upstream: http://127.0.0.1:8001
",
        "
error: the path `/predict` is already used by the route `churn` (line 4)
 --> weir.yaml:7:11
  |
7 |     path: /predict/
  |           ^^^^^^^^^ give one of them another path, for example `/predict/credit`
",
    );
}

#[test]
fn a_secret_in_the_file_is_not_shown() {
    says(
        &format!("{SMALLEST}admin: {{ token: hunter2 }}\n"),
        "
error: a secret is written in the file, in `admin.token` (its value is not shown)
 --> weir.yaml:5:17
  |
5 | admin: { token: ***
  |                 ^^^ write `token: auto`
",
    );
}

#[test]
fn an_admin_port_that_is_open_to_the_network() {
    says(
        &format!("{SMALLEST}admin:\n  address: 0.0.0.0:7601\n"),
        "
error: the admin port shows what clients send and is open to the network here, which is not in this version
 --> weir.yaml:6:12
  |
6 |   address: 0.0.0.0:7601
  |            ^^^^^^^^^^^^ write `127.0.0.1:7601`
",
    );
}

#[test]
fn a_version_from_a_header_that_cannot_be() {
    says(
        &format!("{SMALLEST}    version: 'header:model version'\n"),
        "
error: `model version` is not the name of a header
 --> weir.yaml:5:14
  |
5 |     version: 'header:model version'
  |              ^^^^^^^^^^^^^^^^^^^^^^ write for example `header:x-model-version`
",
    );
    says(
        &format!("{SMALLEST}    version: header:x-api-key\n"),
        "
error: the header `x-api-key` carries credentials, which are never recorded
 --> weir.yaml:5:14
  |
5 |     version: header:x-api-key
  |              ^^^^^^^^^^^^^^^^ name another one, for example `header:x-model-version`
",
    );
}

#[test]
fn a_tab() {
    says(
        "version: 1\nroutes:\n\tchurn: {}\n",
        "
error: a tab is used for indentation; YAML allows only spaces
 --> weir.yaml:3:2
  |
3 |  churn: {}
  |  ^ replace it by spaces
",
    );
}

#[test]
fn a_route_written_twice() {
    says(
        "version: 1\nroutes:\n  churn:\n    upstream: http://a:1\n  churn:\n    upstream: http://b:1\n",
        "
error: `churn` is written twice (first in line 3); the second would silently replace the first
 --> weir.yaml:5:3
  |
5 |   churn:
  |   ^^^^^ remove one of the two, or rename it
",
    );
}

#[test]
fn a_key_that_a_later_version_brings() {
    says(
        &format!("{SMALLEST}telemetry: {{ sample: 0.01 }}\n"),
        "
error: `telemetry` is not in this version
 --> weir.yaml:5:1
  |
5 | telemetry: { sample: 0.01 }
  | ^^^^^^^^^ remove it; metrics are at `/metrics` of `admin.address`
",
    );
}

#[test]
fn a_protected_property_of_kafka() {
    says(
        &format!("{SMALLEST}kafka:\n  brokers: [127.0.0.1:9092]\n  producer:\n    acks: 1\n"),
        "
error: `acks` cannot be set: weir's promises rest on it
 --> weir.yaml:8:5
  |
8 |     acks: 1
  |     ^^^^ remove it: it is always `all`, so that an acknowledged record is safe
",
    );
}

#[test]
fn a_file_that_does_not_exist() {
    let error = Config::load(std::path::Path::new("no/such/weir.yaml")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "error: there is no such file\n --> no/such/weir.yaml\n = let `weir init` write one, or run without: \
         `weir run --upstream http://127.0.0.1:8000`"
    );
}

#[test]
fn an_upstream_on_the_command_line() {
    let error = Config::for_upstream("localhost:8000", None).unwrap_err();
    assert_eq!(error.to_string(), "error: `localhost:8000` has no scheme\n  = write `http://localhost:8000`");
}

#[test]
fn a_line_number_of_two_digits_keeps_the_frame_straight() {
    let text = format!("{SMALLEST}\n\n\n\n\n\nlog: {{ sync: 1h }}\n");
    says(
        &text,
        "
error: `log.sync` is too large: 1h, the limit is 1m
  --> weir.yaml:11:14
   |
11 | log: { sync: 1h }
   |              ^^ write a value from 1ms to 1m
",
    );
}
