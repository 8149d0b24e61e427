use super::*;

/// One sample line of the exposition format.
#[derive(Debug, PartialEq)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

/// Reads the exposition format strictly: what a scraper would refuse panics.
fn parse(text: &str) -> (Vec<(String, String, String)>, Vec<Sample>) {
    let mut families: Vec<(String, String, String)> = Vec::new();
    let mut samples = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("HELP has a name and a text");
            assert!(families.iter().all(|family| family.0 != name), "{name} is declared twice");
            families.push((name.to_owned(), help.to_owned(), String::new()));
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("TYPE has a name and a kind");
            let family = families.last_mut().expect("HELP comes before TYPE");
            assert_eq!(family.0, name);
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{kind}");
            family.2 = kind.to_owned();
        } else {
            samples.push(sample(line));
        }
    }
    (families, samples)
}

fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
    let value = if value == "+Inf" { f64::INFINITY } else { value.parse().expect("a value is a number") };
    let (name, labels) = match series.split_once('{') {
        None => (series, Vec::new()),
        Some((name, labels)) => {
            let labels = labels.strip_suffix('}').expect("labels end with a brace");
            let labels = labels.split(',').map(|label| {
                let (key, value) = label.split_once('=').expect("a label has a value");
                let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).expect("quoted");
                (key.to_owned(), value.to_owned())
            });
            (name, labels.collect())
        }
    };
    assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{name}");
    Sample { name: name.to_owned(), labels, value }
}

fn value(samples: &[Sample], name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let mut found = samples.iter().filter(|sample| {
        sample.name == name
            && labels.iter().all(|(key, value)| sample.labels.iter().any(|(k, v)| k == key && v == value))
    });
    let first = found.next()?.value;
    assert!(found.next().is_none(), "{name} {labels:?} is not one series");
    Some(first)
}

fn partition(topic: &str, partition: u32, lag: u64) -> PartitionSample {
    PartitionSample {
        topic: topic.to_owned(),
        partition: partition.to_string(),
        head: Some(40),
        lag: Some(lag),
        oldest_seconds: 2.5,
        open_rows: 3,
        open_bytes: 300,
        last_file_seconds: Some(1e9),
    }
}

fn snapshot() -> Snapshot {
    Snapshot {
        seen: 10,
        logged: 6,
        unsampled: 1,
        dropped: vec![("queue_full", 1), ("crash", 0)],
        pending: 2,
        feedback_seen: 8,
        feedback_logged: 4,
        feedback_dropped: vec![("log_full", 3)],
        feedback_pending: 1,
        appended: 9,
        delivered: 5,
        shortened: 1,
        backlog: 4,
        consumed: 6,
        stored: 5,
        resent: 1,
        quarantined: 1,
        log_bytes: 4096,
        oldest_unstored_seconds: 1.5,
        partitions: vec![partition("churn", 0, 7), partition("churn", 1, 5)],
    }
}

#[test]
fn the_page_parses_and_shows_every_declared_metric_with_its_help() {
    let meters = Meters::new();
    let route = meters.route("churn");
    route.finished(200, 0.004, true);
    route.not_kept();
    meters.refused("no_route");
    meters.drain().begin(&["age"]);
    meters.drain().stored("size", 5_000_000);
    meters.drain().commit(Commit::Created, std::time::Duration::from_millis(300));
    meters.observe(snapshot);
    let text = meters.render();
    let (families, samples) = parse(&text);
    for declared in declared::ALL {
        let family = families.iter().find(|family| family.0 == declared.name);
        assert_eq!(family.map(|family| family.1.as_str()), Some(declared.help.trim()), "{}", declared.name);
    }
    assert_eq!(families.len(), declared::ALL.len(), "{text}");
    assert!(!text.contains("otel_scope") && !text.contains("target_info"), "{text}");
    assert_eq!(value(&samples, "weir_calls_total", &[("state", "seen")]), Some(10.0));
    assert_eq!(value(&samples, "weir_dropped_total", &[("reason", "queue_full")]), Some(1.0));
    assert_eq!(value(&samples, "weir_dropped_total", &[("reason", "crash")]), Some(0.0));
    assert_eq!(value(&samples, "weir_feedback_total", &[("state", "seen")]), Some(8.0));
    assert_eq!(value(&samples, "weir_feedback_total", &[("state", "logged")]), Some(4.0));
    assert_eq!(value(&samples, "weir_feedback_dropped_total", &[("reason", "log_full")]), Some(3.0));
    assert_eq!(value(&samples, "weir_pending_feedback", &[]), Some(1.0));
    assert_eq!(value(&samples, "weir_rows_total", &[("state", "resent")]), Some(1.0));
    assert_eq!(value(&samples, "weir_rows_total", &[("state", "shortened")]), Some(1.0));
    assert_eq!(value(&samples, "weir_oldest_unstored_seconds", &[]), Some(1.5));
    assert_eq!(value(&samples, "weir_log_bytes", &[]), Some(4096.0));
    assert_eq!(value(&samples, "weir_refused_total", &[("why", "no_route")]), Some(1.0));
    assert_eq!(value(&samples, "weir_drain_lag_records", &[("topic", "churn"), ("partition", "1")]), Some(5.0));
    assert_eq!(value(&samples, "weir_drain_head_offset", &[("topic", "churn"), ("partition", "0")]), Some(40.0));
    assert_eq!(value(&samples, "weir_drain_rotations_total", &[("cause", "size")]), Some(1.0));
    assert_eq!(value(&samples, "weir_drain_rotations_total", &[("cause", "age")]), Some(0.0));
    assert_eq!(value(&samples, "weir_drain_commit_total", &[("outcome", "adopted")]), Some(0.0));
    assert_eq!(value(&samples, "weir_drain_upload_seconds_sum", &[]), Some(0.3));
    assert_eq!(value(&samples, "weir_drain_file_bytes_bucket", &[("le", "16000000")]), Some(1.0));
}

#[test]
fn thousands_of_partitions_are_a_series_per_topic() {
    let partitions: Vec<_> = (0..3).flat_map(|p| [partition("a", p, 1), partition("b", p, 10)]).collect();
    assert_eq!(snapshot::bounded(partitions.clone(), 6), partitions);
    let folded = snapshot::bounded(partitions, 5);
    let said: Vec<_> = folded.iter().map(|p| (p.topic.as_str(), p.partition.as_str(), p.lag, p.open_rows)).collect();
    assert_eq!(said, [("a", "all", Some(3), 9), ("b", "all", Some(30), 9)]);
    assert_eq!(folded[0].head, None);
}

#[test]
fn a_request_is_counted_by_route_and_class_and_only_predictions_are_timed() {
    let meters = Meters::new();
    let churn = meters.route("churn");
    let credit = meters.route("credit");
    churn.finished(200, 0.004, true);
    churn.finished(204, 0.3, true);
    churn.finished(503, 0.001, true);
    churn.finished(0, 1.0, true);
    churn.finished(200, 60.0, false);
    credit.finished(422, 0.02, true);
    let (_, samples) = parse(&meters.render());
    let code = |route: &str, code: &str| value(&samples, "weir_requests_total", &[("route", route), ("code", code)]);
    assert_eq!(code("churn", "2xx"), Some(3.0));
    assert_eq!(code("churn", "5xx"), Some(1.0));
    assert_eq!(code("churn", "none"), Some(1.0));
    assert_eq!(code("churn", "4xx"), Some(0.0), "a series exists from the start");
    assert_eq!(code("credit", "4xx"), Some(1.0));
    assert_eq!(value(&samples, "weir_passed_total", &[("route", "churn")]), Some(1.0));
    assert_eq!(value(&samples, "weir_request_seconds_count", &[("route", "churn")]), Some(4.0));
    assert_eq!(value(&samples, "weir_request_seconds_bucket", &[("route", "churn"), ("le", "0.005")]), Some(2.0));
    assert_eq!(value(&samples, "weir_request_seconds_bucket", &[("route", "churn"), ("le", "+Inf")]), Some(4.0));
}

#[test]
fn connections_go_up_and_down() {
    let meters = Meters::new();
    meters.connections(1);
    meters.connections(1);
    meters.connections(-1);
    let (_, samples) = parse(&meters.render());
    assert_eq!(value(&samples, "weir_connections", &[]), Some(1.0));
}

#[test]
fn derived_numbers_are_read_once_per_page_and_absent_before_anything_is_observed() {
    let meters = Meters::new();
    assert!(!meters.render().contains("weir_calls_total"));
    let reads = Arc::new(AtomicI64::new(0));
    let counted = reads.clone();
    meters
        .observe(move || Snapshot { seen: counted.fetch_add(1, Ordering::Relaxed) as u64 + 1, ..Snapshot::default() });
    meters.render();
    let (_, samples) = parse(&meters.render());
    assert_eq!(value(&samples, "weir_calls_total", &[("state", "seen")]), Some(2.0));
    assert_eq!(reads.load(Ordering::Relaxed), 2);
}

#[test]
fn clones_and_threads_count_into_the_same_series() {
    let meters = Meters::new();
    let route = meters.route("churn");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let route = route.clone();
            scope.spawn(move || (0..1000).for_each(|_| route.finished(200, 0.001, true)));
        }
    });
    let (_, samples) = parse(&meters.clone().render());
    assert_eq!(value(&samples, "weir_requests_total", &[("route", "churn"), ("code", "2xx")]), Some(4000.0));
    assert_eq!(value(&samples, "weir_request_seconds_count", &[("route", "churn")]), Some(4000.0));
}
