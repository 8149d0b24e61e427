//! Secrets are resolved at load, and only their references are ever shown.

use super::*;

fn kafka(password: &str) -> String {
    format!(
        "kafka:\n  brokers: [127.0.0.1:9092]\n  sasl: {{ mechanism: SCRAM-SHA-512, username: weir, password: \"{password}\" }}\n"
    )
}

fn password(config: &Config) -> &Secret {
    match config.kafka.as_ref().and_then(|kafka| kafka.sasl.as_ref()) {
        Some(KafkaSasl::Password { password, .. }) => password,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_reference_to_the_environment_is_resolved_and_never_its_value_shown() {
    let config = with(&format!(
        "{}  producer: {{ ssl.key.password: \"${{env:WEIR_KAFKA_PASSWORD}}\" }}\n",
        kafka("${env:WEIR_KAFKA_PASSWORD}")
    ));
    assert_eq!(password(&config).expose(), SECRET);
    assert_eq!(config.kafka.as_ref().unwrap().producer["ssl.key.password"].expose(), SECRET);
    let json = serde_json::to_string(password(&config)).unwrap();
    for shown in [config.to_yaml_effective(), format!("{config:?}{config:#?}"), json] {
        assert!(!shown.contains(SECRET), "{shown}");
        assert!(shown.contains("${env:WEIR_KAFKA_PASSWORD}"), "{shown}");
    }
}

#[test]
fn a_reference_to_a_file_is_its_content_without_the_last_line_end() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let reference = format!("${{file:{}}}", file.path().display());
    for (content, value) in [("hunter2\n", "hunter2"), ("hunter2\r\n", "hunter2"), (" hunter\n2", " hunter\n2")] {
        std::fs::write(file.path(), content).unwrap();
        assert_eq!(password(&with(&kafka(&reference))).expose(), value);
    }
    for (content, what) in [(&b""[..], "is empty"), (b"\n", "is empty"), (b"\xff", "is not text")] {
        std::fs::write(file.path(), content).unwrap();
        let error = config(&format!("{SMALLEST}{}", kafka(&reference))).unwrap_err();
        assert!(error.what.contains(what) && error.what.contains("kafka.sasl.password"), "{error}");
    }
}

#[test]
fn an_empty_variable_is_as_good_as_none() {
    let text = format!("{SMALLEST}{}", kafka("${env:X}"));
    let error = Config::from_yaml("weir.yaml", &text, &|_| Some(String::new())).unwrap_err();
    assert!(error.what.contains("X is empty"), "{error}");
}

#[test]
fn a_command_that_connects_to_nothing_needs_no_secret() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{SMALLEST}{}", kafka("${file:no/such/file}"))).unwrap();
    assert!(Config::load(file.path()).unwrap_err().what.contains("no/such/file"));
    let config = Config::load_without_secrets(file.path()).unwrap();
    assert!(
        config.to_yaml_effective().contains("password: \"${file:no/such/file}\""),
        "{}",
        config.to_yaml_effective()
    );
}

#[test]
fn what_sends_secrets_in_clear_text_or_to_anybody_is_warned_of() {
    let warned = |text: &str| with(text).warnings().join("\n");
    let plain = "sasl: { mechanism: PLAIN, username: u, password: \"${env:WEIR_KAFKA_PASSWORD}\" }";
    assert!(warned(&format!("kafka: {{ brokers: ['b:1'], {plain} }}\n")).contains("clear text"));
    assert_eq!(warned(&format!("kafka: {{ brokers: ['b:1'], tls: {{}}, {plain} }}\n")), "");
    assert!(warned("kafka: { brokers: ['b:1'], tls: { verify: none } }\n").contains("whoever answers"));
    assert_eq!(warned(&kafka("${env:WEIR_KAFKA_PASSWORD}")), "");
}
