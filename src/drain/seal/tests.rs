//! What belongs into one file: guard, dates (K23), resends (K28), damage, totals.

use std::sync::Arc;

use super::*;
use crate::record::ContentType;
use crate::source::Damaged;

const DAY_MS: i64 = 24 * 3_600_000;
const TODAY_MS: i64 = 20_000 * DAY_MS;

fn head(dt: Option<i64>) -> Head {
    Head { dt: dt.map(|ms| Dt::of(ms, Partitioning::Day)), ..Head::at_start(10, TODAY_MS, Sources::new()) }
}

fn seal(head: &Head) -> Seal {
    let chain = ChainId { table: "t".into(), origin: "o".into(), generation: 1, partition: 0 };
    Seal::new(&chain, "", Partitioning::Day, 7 * DAY_MS, head, TODAY_MS)
}

const OTHER: &str = "00000000000000000000000000000007-0-00000001";
const SOURCE: &str = "00000000000000000000000000000007-3-0000000a";

fn at(offset: u64, timestamp_ms: i64) -> Message {
    Message {
        offset,
        timestamp_ms,
        create_time: false,
        key: None,
        value: None,
        content_type: ContentType::Json,
        source: None,
        seq: None,
        damaged: None,
    }
}

fn created_at(offset: u64, timestamp_ms: i64) -> Message {
    Message { create_time: true, ..at(offset, timestamp_ms) }
}

fn sent(offset: u64, seq: u64) -> Message {
    Message { source: Some(Arc::from(SOURCE)), seq: Some(seq), ..at(offset, TODAY_MS) }
}

fn damaged(next: u64, is_position: bool) -> Damaged {
    Damaged { next, is_position, why: "crc".into() }
}

fn facts() -> Facts {
    Facts { quarantined: 0, schema: 0, writer: "w".into(), cause: None }
}

fn date(sealed: &Sealed) -> &str {
    sealed.footer.dt.as_str()
}

/// Admits until the cut; how many were rows, and the file.
fn admit(mut seal: Seal, messages: &[Message]) -> (usize, Sealed) {
    let rows = messages.iter().take_while(|message| seal.admit(message) == Admit::Row).count();
    (rows, seal.finish(0, facts()).expect("there are records"))
}

#[test]
fn a_later_date_ends_the_file_and_a_late_record_never_does() {
    let messages = [
        at(10, TODAY_MS),
        at(11, TODAY_MS - 3 * DAY_MS),
        at(12, TODAY_MS + 5),
        at(13, TODAY_MS + DAY_MS),
        at(14, TODAY_MS),
    ];
    let (rows, sealed) = admit(seal(&head(None)), &messages);
    assert_eq!((rows, date(&sealed), sealed.footer.next), (3, "2024-10-04", 13));
    assert_eq!((sealed.footer.min_timestamp_ms, sealed.footer.max_timestamp_ms), (TODAY_MS - 3 * DAY_MS, TODAY_MS + 5));
}

#[test]
fn the_date_never_goes_back_within_a_chain() {
    let yesterday_first = [at(10, TODAY_MS - DAY_MS), at(11, TODAY_MS)];
    let (rows, sealed) = admit(seal(&head(Some(TODAY_MS))), &yesterday_first);
    assert_eq!((rows, date(&sealed)), (2, "2024-10-04"), "a late first record does not start a file of yesterday");
    let (rows, sealed) = admit(seal(&head(None)), &yesterday_first);
    assert_eq!((rows, date(&sealed)), (1, "2024-10-03"));
}

#[test]
fn a_record_without_a_time_is_late() {
    let (rows, sealed) = admit(seal(&head(Some(TODAY_MS))), &[at(10, -1), at(11, i64::MIN), at(12, TODAY_MS)]);
    assert_eq!((rows, date(&sealed)), (3, "2024-10-04"));
}

#[test]
fn a_producers_clock_far_ahead_keeps_the_previous_date() {
    let future = TODAY_MS + 3_650 * DAY_MS;
    let (rows, sealed) = admit(seal(&head(Some(TODAY_MS))), &[created_at(10, future), created_at(11, TODAY_MS)]);
    assert_eq!((rows, date(&sealed)), (1, "2024-10-04"), "sealed alone");
    let (_, sealed) = admit(seal(&head(None)), &[created_at(10, future)]);
    assert_eq!(date(&sealed), "2024-10-04", "without a file before it, the origin document's date");
    let (_, broker) = admit(seal(&head(Some(TODAY_MS))), &[at(10, TODAY_MS + 30 * DAY_MS)]);
    assert_eq!(date(&broker), "2024-11-03", "a broker's clock is believed: the topic may have been idle for a month");
}

#[test]
fn a_producers_clock_far_ahead_does_not_make_a_file_of_every_record() {
    let future = TODAY_MS + 3_650 * DAY_MS;
    let always: Vec<_> = (10..20).map(|offset| created_at(offset, future + offset as i64)).collect();
    assert_eq!(admit(seal(&head(Some(TODAY_MS))), &always).0, 10, "if all are from the future, they share a file");
    let now_and_then: Vec<_> =
        (10..20).map(|offset| created_at(offset, if offset % 3 == 1 { TODAY_MS } else { future })).collect();
    assert_eq!(admit(seal(&head(Some(TODAY_MS))), &now_and_then).0, 10, "in the middle of a file it ends nothing");
}

#[test]
fn after_an_idle_week_the_second_file_has_the_right_date() {
    let now_ms = TODAY_MS + 20 * DAY_MS;
    let chain = ChainId { table: "t".into(), origin: "o".into(), generation: 1, partition: 0 };
    let idle = head(Some(TODAY_MS));
    let after = Seal::new(&chain, "", Partitioning::Day, 7 * DAY_MS, &idle, now_ms);
    let (rows, first) = admit(after, &[created_at(10, now_ms), created_at(11, now_ms)]);
    assert_eq!((rows, date(&first)), (1, "2024-10-04"));
    let next = Head { created_ms: now_ms, next: 11, ..head(Some(TODAY_MS)) };
    let after = Seal::new(&chain, "", Partitioning::Day, 7 * DAY_MS, &next, now_ms);
    let (_, second) = admit(after, &[created_at(11, now_ms)]);
    assert_eq!(date(&second), "2024-10-24");
}

#[test]
fn what_lies_before_the_range_is_dropped_and_counted() {
    let mut seal = seal(&head(None));
    assert_eq!(seal.admit(&at(8, TODAY_MS)), Admit::Behind);
    assert_eq!(seal.admit(&at(10, TODAY_MS)), Admit::Row);
    assert_eq!(seal.admit(&at(10, TODAY_MS)), Admit::Behind, "the same offset twice");
    assert_eq!(seal.admit(&at(15, TODAY_MS)), Admit::Row, "a gap forward is a gap");
    assert_eq!(seal.behind(), 2);
    let sealed = seal.finish(16, facts()).expect("two rows");
    assert_eq!((sealed.footer.rows, sealed.footer.totals.consumed, sealed.messages), (2, 2, 4));
}

#[test]
fn rows_that_were_sent_again_are_left_out_within_a_file_and_across_files() {
    let mut first = seal(&head(None));
    assert_eq!(first.admit(&sent(10, 0)), Admit::Row);
    assert_eq!(first.admit(&sent(11, 2)), Admit::Row, "an interval set, not a maximum");
    assert_eq!(first.admit(&sent(12, 1)), Admit::Row);
    assert_eq!(first.admit(&sent(13, 2)), Admit::Resent);
    let first = first.finish(14, facts()).expect("rows");
    let next = Head::of_file(first.key.clone(), &first.footer);
    let mut second = seal(&next);
    assert_eq!(second.admit(&sent(14, 1)), Admit::Resent);
    assert_eq!(second.admit(&sent(15, 3)), Admit::Row);
    assert_eq!(second.admit(&at(16, TODAY_MS)), Admit::Row, "a foreign producer has no seq");
    let second = second.finish(17, facts()).expect("rows");
    let Totals { consumed, stored, resent } = second.footer.totals;
    assert_eq!((consumed, stored, resent), (7, 5, 2));
    assert_eq!(second.footer.rows, 2);
    assert_eq!(second.footer.sources.0[SOURCE].seqs.iter().collect::<Vec<_>>(), [(0, 4)]);
}

#[test]
fn another_producers_headers_leave_no_row_out() {
    for source in ["s", "orders-0-00000001", "00000000000000000000000000000007-03-0000000a", "", &SOURCE.to_uppercase()]
    {
        let mut seal = seal(&head(None));
        for offset in [10, 11] {
            let message = Message { source: Some(Arc::from(source)), ..sent(offset, 0) };
            assert_eq!(seal.admit(&message), Admit::Row, "{source}");
        }
        assert!(seal.finish(12, facts()).expect("rows").footer.sources.is_empty());
    }
}

#[test]
fn a_range_of_resends_only_is_a_file_without_rows() {
    let mut first = seal(&head(None));
    first.admit(&sent(10, 0));
    let first = first.finish(11, facts()).expect("rows");
    let mut second = seal(&Head::of_file(first.key.clone(), &first.footer));
    assert_eq!(second.admit(&sent(11, 0)), Admit::Resent);
    let second = second.finish(12, facts()).expect("consumed rows are counted in a footer");
    assert_eq!((second.footer.rows, second.footer.totals.consumed, second.footer.totals.resent), (0, 2, 1));
}

#[test]
fn a_damaged_range_is_one_row_that_covers_its_seqs() {
    let mut seal = seal(&head(None));
    let damaged = Message { damaged: Some(damaged(20, true)), ..sent(10, 10) };
    assert_eq!(seal.admit(&damaged), Admit::Row);
    assert_eq!(seal.admit(&sent(19, 19)), Admit::Behind);
    assert_eq!(seal.admit(&sent(20, 20)), Admit::Row);
    let sealed = seal.finish(0, facts()).expect("rows");
    assert_eq!((sealed.footer.rows, sealed.footer.next), (2, 21));
    assert_eq!(sealed.footer.sources.0[SOURCE].seqs.iter().collect::<Vec<_>>(), [(10, 21)]);
    assert!(record_hash(&damaged).is_empty(), "nobody knows its bytes");
}

#[test]
fn a_damaged_range_in_a_topic_takes_one_offset_however_many_seqs_it_covers() {
    let mut seal = seal(&head(None));
    assert_eq!(seal.admit(&Message { damaged: Some(damaged(2_000, false)), ..sent(10, 1_000) }), Admit::Row);
    assert_eq!(seal.admit(&sent(11, 2_000)), Admit::Row);
    let sealed = seal.finish(0, facts()).expect("rows");
    assert_eq!((sealed.footer.rows, sealed.footer.next), (2, 12));
    assert_eq!(sealed.footer.sources.0[SOURCE].seqs.iter().collect::<Vec<_>>(), [(1_000, 2_001)]);
}

#[test]
fn a_damaged_range_of_which_some_rows_are_stored_still_names_the_others() {
    let mut seal = seal(&head(None));
    let range = |offset| Message { damaged: Some(damaged(9, false)), ..sent(offset, 5) };
    let admitted = [sent(10, 5), sent(11, 6), range(12), range(13), sent(14, 8)].map(|message| seal.admit(&message));
    assert_eq!(admitted, [Admit::Row, Admit::Row, Admit::Row, Admit::Resent, Admit::Resent]);
}

#[test]
fn a_drain_whose_clock_stood_still_forgets_nobody_when_it_is_set() {
    let mut early = Seal { now_ms: 0, ..seal(&head(None)) };
    early.admit(&sent(10, 0));
    let early = early.finish(11, facts()).expect("rows");
    let mut later = seal(&Head::of_file(early.key.clone(), &early.footer));
    later.admit(&Message { source: Some(Arc::from(OTHER)), ..sent(11, 0) });
    let later = later.finish(12, facts()).expect("rows");
    assert_eq!(later.footer.sources.0.keys().collect::<Vec<_>>(), [OTHER, SOURCE]);
}

#[test]
fn a_source_that_was_silent_for_the_window_is_forgotten_by_broker_time() {
    let mut old = seal(&head(None));
    old.admit(&sent(10, 0));
    let old = old.finish(11, facts()).expect("rows");
    let head = Head::of_file(old.key.clone(), &old.footer);
    let other = |timestamp_ms| Message { source: Some(Arc::from(OTHER)), seq: Some(0), ..at(11, timestamp_ms) };
    let next = |message: &Message, now_ms: i64| {
        let mut seal = Seal { now_ms, ..seal(&head) };
        seal.admit(message);
        let sealed = seal.finish(12, facts()).expect("rows");
        sealed.footer.sources.0.keys().cloned().collect::<Vec<_>>()
    };
    let later_ms = TODAY_MS + 8 * DAY_MS;
    assert_eq!(next(&other(TODAY_MS + DAY_MS), TODAY_MS + DAY_MS), [OTHER, SOURCE]);
    assert_eq!(next(&other(later_ms), later_ms), [OTHER]);
    assert_eq!(next(&other(later_ms), TODAY_MS), [OTHER, SOURCE], "a clock in the future forgets nobody");
}

#[test]
fn a_hash_tells_records_apart() {
    let record = |key: Option<&'static str>, value: Option<&'static str>| Message {
        key: key.map(|key| key.as_bytes().into()),
        value: value.map(|value| value.as_bytes().into()),
        ..at(10, TODAY_MS)
    };
    let hashes: std::collections::BTreeSet<String> = [
        record(None, None),
        record(None, Some("")),
        record(Some(""), None),
        record(Some("a"), Some("bc")),
        record(Some("ab"), Some("c")),
        at(11, TODAY_MS),
        at(10, TODAY_MS + 1),
    ]
    .iter()
    .map(record_hash)
    .collect();
    assert_eq!(hashes.len(), 7, "{hashes:?}");
    assert!(hashes.iter().all(|hash| hash.len() == 32));
}
