//! Topics that somebody else fills: what other drains lose in silence is kept here, or stands quarantined with its bytes.

use parquet::record::{Field, Row};
use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::message::ToBytes;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::support::kafka::{admin, block_on, brokers, client, name, topic};
use crate::support::process::signal;
use crate::support::weir::{Weir, rows};
use crate::support::{PATIENCE, kafka, parquet as files, until};

/// A drain alone; `topics` as in YAML.
fn drain_of(topics: &str, more: &str) -> Weir {
    Weir::new(&format!(
        "roles: [drain]\nkafka: {{ brokers: [{}] }}\ndrain: {{ topics: [{topics}]{more} }}\n",
        kafka::brokers()
    ))
}

fn send<K: ToBytes + ?Sized>(producer: &BaseProducer, record: BaseRecord<'_, K, [u8]>) {
    producer.send(record).map_err(|(error, _)| error).expect("it is queued");
}

/// Sends messages to partition 0, in order.
fn produce(topic: &str, values: &[&[u8]]) {
    let producer: BaseProducer = client(&brokers()).create().expect("a producer");
    for value in values {
        send(&producer, BaseRecord::<(), [u8]>::to(topic).partition(0).payload(value));
    }
    producer.flush(PATIENCE).expect("it is sent");
}

/// The rows of one table by offset (one partition).
fn table(weir: &Weir, topic: &str) -> Vec<Row> {
    let mut rows = files::rows(&weir.parquet().join(topic));
    rows.sort_by_key(|row| match field(row, "_offset") {
        Field::Long(offset) => offset,
        other => panic!("_offset is {other:?}"),
    });
    rows
}

/// A column's value; one of a STRUCT by `struct.column`. What is not there is null.
fn field(row: &Row, path: &str) -> Field {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let found = row.get_column_iter().find(|(name, _)| *name == first).map_or(Field::Null, |(_, field)| field.clone());
    match (found, rest) {
        (Field::Group(row), Some(rest)) => field(&row, rest),
        (Field::Null, _) => Field::Null,
        (found, None) => found,
        (found, Some(_)) => panic!("{path} is {found:?}"),
    }
}

fn text(row: &Row, column: &str) -> String {
    match field(row, column) {
        Field::Str(text) => text,
        other => panic!("{column} is {other:?}"),
    }
}

/// Of the peers, each loses one of these in silence (an integer that wraps, a column of nulls, a bad record that stops the
/// task, an empty value that vanishes).
#[test]
fn what_other_drains_lose_is_kept_in_columns_in_raw_or_quarantined_with_its_bytes() {
    let topic = topic(&brokers(), "losses", 1);
    let weir = drain_of(&topic, "");
    // Numbers pin the column first, with all their digits.
    let digits = ["0.30000000000000004", "0.87", "1e-7", "123456.78901234567", "5e-324", "9007199254740991"];
    let pinned: Vec<String> = digits.iter().map(|x| format!(r#"{{"id":"p","inputs":{{"x":{x}}}}}"#)).collect();
    produce(&topic, &pinned.iter().map(String::as_bytes).collect::<Vec<_>>());
    weir.drain();
    for (row, digits) in table(&weir, &topic).iter().zip(digits) {
        assert_eq!(field(row, "inputs.x"), Field::Double(digits.parse().expect("a number")), "{digits}");
        assert_eq!(field(row, "_raw"), Field::Null, "{digits} fits exactly");
    }

    let kept = [
        r#"{"id":"big","inputs":{"x":12345678901234567890}}"#,
        r#"{"id":"text","inputs":{"x":"high"}}"#,
        r#"{"id":"unknown","inputs":{"x":1.5},"sensor":{"deep":[1,{"a":"é"}]}}"#,
    ];
    let quarantined = [r#"{"id":"broken","inputs":{"x":1"#, r#"{"id":"one"}{"id":"two"}"#, "[1,2]", ""];
    // A record without any envelope: its fields become columns of their own.
    let flat = r#"{"score":1.5,"grade":"B"}"#;
    produce(&topic, &kept.iter().chain([&flat]).chain(&quarantined).map(|text| text.as_bytes()).collect::<Vec<_>>());
    let no_text = b"\xff\xfe{}";
    produce(&topic, &[no_text]);
    let producer: BaseProducer = client(&brokers()).create().expect("a producer");
    send(&producer, BaseRecord::<[u8], [u8]>::to(&topic).partition(0).key(b"tombstone"));
    producer.flush(PATIENCE).expect("it is sent");
    produce(&topic, &[br#"{"id":"after","inputs":{"x":2}}"#]);
    weir.drain();

    let all = table(&weir, &topic);
    assert_eq!(all.len(), digits.len() + kept.len() + quarantined.len() + 4);
    let all = &all[digits.len()..];
    for (row, sent) in all.iter().zip(kept) {
        assert_eq!(text(row, "_raw"), sent, "{row}");
        assert_eq!(field(row, "_quarantined"), Field::Bool(false), "{sent}");
    }
    assert_eq!(field(&all[1], "inputs.x"), Field::Null);
    assert_eq!(field(&all[2], "inputs.x"), Field::Double(1.5));
    let flat = &all[kept.len()];
    assert_eq!((field(flat, "score"), text(flat, "grade")), (Field::Double(1.5), "B".to_owned()), "{flat}");
    let all = &all[kept.len() + 1..];
    for (row, sent) in all.iter().zip(quarantined) {
        assert_eq!(text(row, "_raw"), sent);
        assert_eq!(field(row, "_quarantined"), Field::Bool(true), "{sent}");
        assert!(!text(row, "_error").is_empty(), "{sent}");
    }
    let all = &all[quarantined.len()..];
    assert_eq!(text(&all[0], "_raw"), "//57fQ==", "the bytes as base64");
    assert!(text(&all[0], "_error").starts_with("base64:"));
    assert_eq!(field(&all[1], "_key"), Field::Bytes(b"tombstone".to_vec().into()));
    assert!(text(&all[1], "_error").contains("tombstone"));
    assert_eq!(field(&all[2], "inputs.x"), Field::Double(2.0), "nothing stops at a bad record");
    let report = weir.verify();
    assert_eq!(report["tables"][&topic]["quarantined"], 6, "{report:#}");
}

/// K24: wherever in a file the bad record is, it is a row, and the next file begins behind it.
#[test]
fn a_bad_record_may_be_the_only_one_of_a_file_its_first_or_its_last() {
    let topic = topic(&brokers(), "poison", 1);
    let weir = drain_of(&topic, "");
    let (bad, good) = (b"{\"id\":".as_slice(), br#"{"id":"g","inputs":{"x":1}}"#.as_slice());
    // A column that comes up in the middle of a file.
    let more = br#"{"id":"m","inputs":{"x":1,"y":"a"}}"#.as_slice();
    let mut sent = Vec::new();
    for (file, values) in [vec![bad], vec![bad, good], vec![good, more, good, bad], vec![bad]].into_iter().enumerate() {
        produce(&topic, &values);
        weir.drain();
        sent.extend(values);
        let report = weir.verify();
        let table = &report["tables"][&topic];
        assert_eq!((&table["files"], rows(&report)), (&(file + 1).into(), sent.len() as u64), "{report:#}");
        let quarantined = sent.iter().filter(|value| **value == bad).count();
        assert_eq!(table["quarantined"], quarantined, "{report:#}");
    }
    for (row, sent) in table(&weir, &topic).iter().zip(sent) {
        assert_eq!(field(row, "_quarantined"), Field::Bool(sent == bad), "{row}");
    }
}

#[test]
fn keys_and_clocks_far_off_are_kept() {
    let brokers = brokers();
    let topic = name("clocks");
    let new = NewTopic::new(&topic, 1, TopicReplication::Fixed(1))
        .set("message.timestamp.type", "CreateTime")
        .set("message.timestamp.after.max.ms", "9223372036854775807")
        .set("retention.ms", "-1");
    block_on(admin(&brokers).create_topics([&new], &AdminOptions::new())).expect("a topic");
    kafka::create(&brokers, &topic, 1);
    let producer: BaseProducer = client(&brokers).create().expect("a producer");
    let (y2035, y1970) = (2_066_688_000_000, 1_000);
    let sent: [(&[u8], i64); 4] = [(b"customer-1", y2035), (b"\x00\xff", y1970), (b"", y2035), (b"customer-1", y1970)];
    for (key, timestamp) in sent {
        let record = BaseRecord::to(&topic).partition(0).key(key).payload(&br#"{"id":"a","inputs":{"x":1}}"#[..]);
        send(&producer, record.timestamp(timestamp));
    }
    producer.flush(PATIENCE).expect("it is sent");
    let weir = drain_of(&topic, "").start();
    until("every row is stored", || weir.status()["rows"]["consumed"] == 4);
    weir.drain_running();
    let stored = table(&weir, &topic);
    assert_eq!(stored.len(), 4);
    for (row, (key, timestamp)) in stored.iter().zip(sent) {
        assert_eq!(field(row, "_key"), Field::Bytes(key.to_vec().into()));
        assert_eq!(field(row, "_timestamp"), Field::TimestampMicros(timestamp * 1_000));
    }
    weir.verify();
}

/// K22: aborted batches at a file's start and end, and as all that there is of one.
#[test]
fn of_transactions_exactly_the_committed_rows_are_stored() {
    let brokers = brokers();
    let topic = topic(&brokers, "transactions", 1);
    let producer: BaseProducer =
        client(&brokers).set("transactional.id", name("tx")).create().expect("a transactional producer");
    producer.init_transactions(PATIENCE).expect("transactions");
    let weir = drain_of(&topic, "");
    let mut expected = Vec::new();
    for (batch, commit) in [true, false, false, true, true, false].into_iter().enumerate() {
        producer.begin_transaction().expect("a transaction");
        for n in 0..50 {
            let value = format!(r#"{{"id":"{batch}-{n}","inputs":{{"x":{n}}}}}"#);
            send(&producer, BaseRecord::<(), [u8]>::to(&topic).partition(0).payload(value.as_bytes()));
            if commit {
                expected.push(format!("{batch}-{n}"));
            }
        }
        producer.flush(PATIENCE).expect("it is sent");
        if commit {
            producer.commit_transaction(PATIENCE).expect("committed");
        } else {
            producer.abort_transaction(PATIENCE).expect("aborted");
        }
        weir.drain();
    }
    let ids: Vec<String> = table(&weir, &topic).iter().map(|row| text(row, "id")).collect();
    assert_eq!(ids, expected);
    assert_eq!(rows(&weir.verify()), 150);
}

#[test]
fn a_pattern_takes_the_topics_it_matches_and_those_that_come_later() {
    let brokers = brokers();
    let family = name("family");
    let made = |end: &str| {
        let topic = format!("{family}-{end}");
        kafka::create(&brokers, &topic, 1);
        produce(&topic, &[br#"{"id":"a"}"#, br#"{"id":"b"}"#]);
        topic
    };
    let (eu, us, other) = (made("eu"), made("us"), made("other"));
    let weir = drain_of(&format!("\"^{family}-(eu|us|late)$\""), "");
    weir.drain();
    let report = weir.verify();
    assert_eq!(rows(&report), 4, "{report:#}");
    let late = made("late");
    weir.drain();
    let report = weir.verify();
    assert!([&eu, &us, &late].iter().all(|topic| report["tables"][topic]["rows"] == 2), "{report:#}");
    assert!(report["tables"].get(&other).is_none(), "{report:#}");
}

#[test]
fn two_drains_of_different_groups_on_one_root_store_each_row_once() {
    two_drains("one", "two");
}

#[test]
fn two_drains_of_one_group_on_one_root_store_each_row_once() {
    two_drains("both", "both");
}

/// K18: whether they share the work or each does all of it: each row is there once, whatever becomes of either.
fn two_drains(first: &str, second: &str) {
    let topic = topic(&brokers(), "two", 1);
    let shared = tempfile::tempdir().expect("a folder");
    let drain = |group: &str| {
        let to = shared.path().display();
        drain_of(&topic, &format!(", group: {group} }}\nstore: {{ to: \"{to}\", roll: {{ every: 500ms }}")).start()
    };
    let (mut one, two) = (drain(first), drain(second));
    let mut sent = 0;
    let mut more = || {
        let values: Vec<String> =
            (sent..sent + 400).map(|n| format!(r#"{{"id":"{n}","inputs":{{"x":{n}}}}}"#)).collect();
        produce(&topic, &values.iter().map(String::as_bytes).collect::<Vec<_>>());
        sent += 400;
        sent as usize
    };
    let stored = || files::rows(&shared.path().join(&topic)).len();
    let reaches = |rows: usize| until("every row is stored", || stored() >= rows);
    reaches(more());
    let rows_now = more();
    one.kill();
    reaches(rows_now);
    one.up();
    let rows_now = more();
    signal(two.pid(), rustix::process::Signal::STOP);
    reaches(rows_now);
    signal(two.pid(), rustix::process::Signal::CONT);
    let rows_now = more();
    reaches(rows_now);
    assert_eq!(rows(&one.verify()), rows_now as u64);
    let mut ids: Vec<u64> =
        files::column(&shared.path().join(&topic), "id").iter().map(|id| id.parse().expect("a number")).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..rows_now as u64).collect::<Vec<_>>());
}
