//! The process dies at points between two durable facts (failpoints in the binary), one life after another. After each death `weir drain --once`
//! stores what is at hand and `weir verify --deep` finds it whole; in the end nothing that was logged is lost, nothing is stored twice.
//!
//! A point that is never reached fails the test: the process must die at it, and say so.
//!
//! # The crash list
//! The K numbers of all tests are those of this list. *Here* are the tests of this file; others are of `tests/it` unless they say `src`. All of it
//! at once: `torture.rs`.
//!
//! | | Killed or disturbed at | Shown by |
//! |---|---|---|
//! | K1 | the start, before the newest file is looked for | here |
//! | K2 | after the seek, before the first message | here |
//! | K3 | the middle of a range | here |
//! | K4 | rows written aside, no footer | here |
//! | K5 | a whole file aside, not created | here |
//! | K6 | the middle of a PUT: cut after one byte, in half, before the last | `lost_answers.rs` |
//! | K7 | created, the answer lost, the process lives | `lost_answers.rs` |
//! | K8 | created, the answer lost, the process dies | here, `lost_answers.rs` |
//! | K9 | created, the head in memory not moved | here |
//! | K10 | before Kafka's commit | here |
//! | K11 | Kafka's commit refused | here |
//! | K12 | after the commit | here |
//! | K13 | an upload in parts: begun, some sent, all sent, completed and not answered, unknown, 200 with an error | `multipart.rs`, `s3_faults.rs`, `src/drain/store/s3/tests/parts.rs` |
//! | K14 | 409 to a PUT, to a completion, again and again | `s3_faults.rs`, `src/drain/store/s3/tests/create.rs`, `parts.rs` |
//! | K15 | 503 to some and to all, no answer, resets | `s3_faults.rs`, `outage.rs`, `lost_answers.rs` |
//! | K16 | another drain takes over while an upload is on its way: either arrives first | `zombies.rs` |
//! | K17 | paused with an upload on its way, awake after others made three files | `zombies.rs`, `group.rs` |
//! | K18 | two drains of different groups on one root | `foreign.rs`, `torture.rs`, `src/drain/model.rs` |
//! | K19 | SIGTERM, once and twice | here, `stop.rs` |
//! | K20 | the spool's disk full, its budget used up, no file descriptors | `exhausted.rs`, `kafka_source.rs` |
//! | K21 | a topic made again, retention past the head, an unclean election | `loud_kafka.rs`, `unclean.rs` |
//! | K22 | aborted batches at a file's start and end and as all of it | `foreign.rs`, `kafka_source.rs` |
//! | K23 | clocks days off, times of 1970 and 2035, a late record at a date's border | `clock.rs`, `foreign.rs`, `src/drain/seal/tests.rs` |
//! | K24 | a bad record first, last, alone; a new column in the middle of a file | `foreign.rs`, `kafka_s3.rs` |
//! | K25 | a store that overwrites, says 409 for 412, or lists late | `s3_faults.rs`, `src/drain/store/s3/tests/create.rs`, `src/drain/chain/tests.rs` |
//! | K26 | the newest file gone, under a marker, the oldest gone, all gone | `deleted.rs`, `loud.rs`, `loud_kafka.rs` |
//! | K27 | without Kafka: each step of log and folder, torn tails, full disk, power cut | here, `outage.rs`, `src/log/tests` (`damage.rs`, `faults.rs`, `model.rs`) |
//! | K28 | a message sent and not acknowledged | here, `lost_answers.rs` |
//! | K29 | a follower that registers files in a table format | there is no follower yet |
//! | K30 | an older or newer writer on one chain | `src/drain/footer/tests.rs`: an unknown version is refused; there was only one so far |

use std::cell::Cell;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::kafka_s3::{deployed, store, stored_ids};
use crate::kill::{Death, die_and_account, once_stored, stores_more};
use crate::support::kafka;
use crate::support::model::Model;
use crate::support::process;
use crate::support::s3::bucket;
use crate::support::until;
use crate::support::weir::{Weir, number, rows};

/// Before there is a chain; in the order in which one is made.
const FIRST: &[&str] = &[
    "drain_before_head=panic",   // K1: the first question to the store
    "drain_before_origin=panic", // K1: no document of the origin
    "drain_after_origin=panic",
    "drain_after_schema=panic", // a schema that no file has
];

/// Steps of the drain, in their order.
const DRAIN: &[&str] = &[
    "drain_before_head=panic",   // K1
    "drain_after_head=panic",    // K1: the newest file is known, nothing is read
    "drain_after_seek=panic",    // K2: before the first message
    "drain_before_write=panic",  // K3: a sealed range, no file
    "drain_rows_written=panic",  // K4: rows in a file aside, no footer
    "drain_footer_closed=panic", // K5: a whole file aside, not created
    "drain_before_create=panic", // K5: just before the store is asked
    "drain_after_create=panic",  // K8: created, the answer not used
    "drain_before_commit=panic", // K9, K10: before the cursor moves
    "drain_after_commit=panic",  // K12
];

/// Steps of a create in a folder (K27), as no object store has them.
const FOLDER: &[&str] =
    &["store_aside_written=panic", "store_aside_synced=panic", "store_linked=panic", "store_folder_synced=panic"];

/// Steps of the log (K27), two of them again after they have gone well a few times.
const LOG: &[&str] = &[
    "log.append=panic",
    "log.append=20*off->panic",
    "log.sync=panic",
    "log.sync=3*off->panic",
    "log.roll=panic",
    "log.cursor=panic", // K28 with Kafka: acknowledged, the cursor not written
    "log.unlink=panic", // K28 with Kafka: the cursor written, no segment gone
];

/// Steps of the publisher (K28).
const PUBLISH: &[&str] = &["publish_sent=panic", "publish_sent=5*off->panic", "publish_acked=panic"];

fn at(points: &[&'static str]) -> Vec<Death<'static>> {
    points.iter().map(|point| Death::At(point)).collect()
}

/// Before and after there is a chain: a life in between stores something.
fn deaths(later: &[&[&'static str]]) -> Vec<Death<'static>> {
    let mut deaths = at(FIRST);
    deaths.push(once_stored());
    later.iter().for_each(|points| deaths.extend(at(points)));
    // K11: each commit is refused; K19: stopped, and stopped without patience.
    let unwilling = |weir: &mut Weir| {
        stores_more(weir);
        weir.kill();
    };
    deaths.push(Death::With("drain_commit_refused=return", Box::new(unwilling)));
    deaths.push(Death::By(Box::new(|weir| {
        stores_more(weir);
        weir.term();
    })));
    deaths.push(Death::By(Box::new(|weir| {
        let (pid, log) = (weir.pid(), weir.dir.join("stderr.log"));
        let said = std::fs::read_to_string(&log).map_or(0, |text| text.matches("stopping").count());
        let second = std::thread::spawn(move || {
            until("the stop has begun", || {
                std::fs::read_to_string(&log).is_ok_and(|text| text.matches("stopping").count() > said)
            });
            process::try_signal(pid, rustix::process::Signal::TERM);
        });
        weir.term();
        second.join().expect("the second signal");
    })));
    deaths
}

#[test]
fn at_points_of_log_and_drain_without_kafka() {
    let model = Model::start();
    let mut weir = Weir::new(&format!(
        "routes: {{ m: {{ upstream: {} }} }}\nlog: {{ segment: 64KiB }}\nstore: {{ roll: {{ size: 64KiB, every: 1s }} }}\n",
        model.url()
    ));
    let heal = once_there_is_a_chain(|weir| {
        let status = weir.drain_alone();
        assert_eq!(number(&status, "/rows/backlog"), 0, "{status:#}");
        assert_eq!(rows(&weir.verify()), number(&status, "/rows/appended"), "{status:#}");
    });
    let deaths = deaths(&[DRAIN, FOLDER, LOG]);
    die_and_account(&mut weir, deaths.into_iter(), heal, |weir| crate::support::parquet::column(&weir.parquet(), "id"));
}

#[test]
fn at_points_of_log_publisher_and_drain_with_kafka_and_s3() {
    let model = Model::start();
    let (bucket, brokers) = (bucket(), kafka::brokers());
    let topic = kafka::topic(&brokers, "points", 3);
    let yaml = format!("log: {{ segment: 64KiB }}\n{}", store(&bucket, ", roll: { size: 64KiB, every: 1s }"));
    let mut weir = deployed(&model.url(), &brokers, &topic, &bucket, &yaml);
    let heal = once_there_is_a_chain(|weir| heal_from_kafka(weir, &brokers, &topic, 3));
    let deaths = deaths(&[DRAIN, PUBLISH, LOG]);
    die_and_account(&mut weir, deaths.into_iter(), heal, |weir| stored_ids(weir, &bucket, &topic));
}

/// `heal` after each death but those of [`FIRST`], which would find made what they die at.
fn once_there_is_a_chain(heal: impl Fn(&Weir)) -> impl Fn(&Weir) {
    let deaths = Cell::new(0);
    move |weir| {
        deaths.set(deaths.get() + 1);
        if deaths.get() >= FIRST.len() {
            heal(weir);
        }
    }
}

/// After a death, with nothing running: `weir drain --once` has read all of the topic, `weir verify --deep` finds each row of it once.
pub fn heal_from_kafka(weir: &Weir, brokers: &str, topic: &str, partitions: i32) {
    let status = weir.drain_alone();
    let (stored, resent) = (number(&status, "/rows/stored"), number(&status, "/rows/resent"));
    assert_eq!(number(&status, "/rows/consumed"), messages(brokers, topic, partitions), "{status:#}");
    assert_eq!(number(&status, "/rows/consumed"), stored + resent, "{status:#}");
    let report = weir.verify();
    assert_eq!(rows(&report), stored, "{report:#}");
}

/// Messages on a topic without transactions.
pub fn messages(brokers: &str, topic: &str, partitions: i32) -> u64 {
    let consumer: BaseConsumer = kafka::client(brokers).create().expect("a client");
    let mut messages = 0;
    for partition in 0..partitions {
        // A leader may have changed just now.
        until("the topic's end is known", || {
            let ends = consumer.fetch_watermarks(topic, partition, Duration::from_secs(5));
            ends.inspect(|(_, end)| messages += *end as u64).is_ok()
        });
    }
    messages
}
