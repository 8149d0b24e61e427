//! The crash points of peers-kafka-to-parquet 2.10 that the chain decides, each from the side of the one who comes after.

use super::*;
use crate::drain::seal::{Admit, Facts};
use crate::record::ContentType;
use crate::source::Message;

const DAY_MS: i64 = 24 * 3_600_000;
const TODAY_MS: i64 = 20_000 * DAY_MS;

fn pinned() -> Pinned {
    Pinned {
        id: ChainId { table: "churn".into(), origin: "churn".into(), generation: 1, partition: 3 },
        partitioning: Partitioning::Day,
        topic_id: "topic-1".into(),
        start: 100,
        older_end: 0,
        created_ms: TODAY_MS,
        resend_window_ms: 7 * DAY_MS,
        inherited: Sources::new(),
    }
}

fn bounds() -> Bounds {
    Bounds { start: 100, end: 1_000, topic_id: "topic-1".into(), hint: None }
}

fn message(offset: u64) -> Message {
    Message {
        offset,
        timestamp_ms: TODAY_MS,
        create_time: false,
        key: None,
        value: Some(format!("{{\"row\":{offset}}}").into_bytes().into()),
        content_type: ContentType::Json,
        source: Some("00000000000000000000000000000007-0-00000001".into()),
        seq: Some(offset),
        damaged: None,
    }
}

fn opened(pinned: Pinned, bounds: Bounds, found: Option<Found>) -> Chain {
    let mut chain = Chain::new(pinned, bounds);
    chain.head_found(found);
    chain
}

fn collecting() -> Chain {
    let mut chain = opened(pinned(), bounds(), None);
    assert!(matches!(chain.step(), Step::Seek(100)));
    chain.sought();
    chain
}

/// The file of `offsets`, ending at `to`.
fn file(chain: &Chain, offsets: impl IntoIterator<Item = u64>, to: u64, writer: &str) -> Sealed {
    let mut seal = chain.seal(TODAY_MS);
    for offset in offsets {
        assert_eq!(seal.admit(&message(offset)), Admit::Row);
    }
    let facts = Facts { quarantined: 0, schema: 1, writer: writer.into(), cause: None };
    seal.finish(to, facts).expect("the range has records")
}

fn found(sealed: &Sealed) -> Found {
    Found {
        key: sealed.key.clone(),
        footer: sealed.footer.clone(),
        last_here: LastHere::Hash(sealed.footer.last_hash.clone()),
    }
}

fn exists(sealed: &Sealed) -> Answer {
    Answer::Exists(Box::new(found(sealed)))
}

fn refusal(chain: &Chain) -> &Refusal {
    match chain.step() {
        Step::Refused(refusal) => {
            let text = refusal.to_string();
            let fixes = text.contains("weir drain --once --new-generation") || text.contains("goes on");
            assert!(fixes && text.contains("weir "), "a refusal holds the commands that fix it: {text}");
            refusal
        }
        step => panic!("not refused: {step:?}"),
    }
}

#[test]
fn k1_to_k5_before_a_create_nothing_is_true_but_the_head() {
    let first = collecting();
    let lost = file(&first, 100..110, 110, "a");
    // Killed with the file closed and not sent: the next one starts from the same head and may cut elsewhere.
    let again = collecting();
    let other_cut = file(&again, 100..105, 105, "b");
    assert_eq!(lost.key, other_cut.key, "one head, one key, whatever the cut");
    assert_eq!(lost.key, "churn/dt=2024-10-04/churn.g01-p0003-00000000000000000100.parquet");
}

#[test]
fn k6_k15_an_unknown_answer_sends_the_same_file_again() {
    let mut chain = collecting();
    let sealed = file(&chain, 100..110, 110, "a");
    chain.created(sealed.clone());
    for _ in 0..20 {
        assert_eq!(chain.answered(Answer::Undecided), Outcome::Again);
        let Step::Create(again) = chain.step() else { panic!("still creating") };
        assert_eq!((&again.key, &again.footer), (&sealed.key, &sealed.footer));
    }
    assert_eq!(chain.answered(Answer::New), Outcome::Stored);
    assert_eq!(chain.head().next, 110);
}

#[test]
fn k7_a_lost_answer_of_our_own_is_success_once() {
    let mut chain = collecting();
    let sealed = file(&chain, 100..110, 110, "a");
    chain.created(sealed.clone());
    assert_eq!(chain.answered(Answer::Undecided), Outcome::Again);
    assert_eq!(chain.answered(exists(&sealed)), Outcome::Stored);
    assert!(matches!(chain.step(), Step::Collect), "what was collected behind it stays valid: no seek");
    assert_eq!(chain.head().totals.stored, 10);
}

#[test]
fn k8_to_k12_after_a_create_the_next_process_goes_on_behind_it() {
    let chain = collecting();
    let sealed = file(&chain, 100..110, 115, "a");
    for hint in [None, Some(100), Some(115)] {
        let next = opened(pinned(), Bounds { hint, ..bounds() }, Some(found(&sealed)));
        assert!(matches!(next.step(), Step::Seek(115)), "{:?}", next.step());
        assert_eq!(next.head().totals, sealed.footer.totals);
        assert_eq!(next.head().key.as_ref(), Some(&sealed.key));
    }
}

#[test]
fn k16_k17_a_zombie_adopts_what_others_stored_meanwhile() {
    let mut zombie = collecting();
    let own = file(&zombie, 100..150, 150, "zombie");
    zombie.created(own);
    // Three files by another drain while it was stopped.
    let mut other = collecting();
    let mut files = Vec::new();
    for (from, to) in [(100, 120), (120, 130), (130, 160)] {
        let sealed = file(&other, from..to, to, "other");
        other.created(sealed.clone());
        assert_eq!(other.answered(Answer::New), Outcome::Stored);
        files.push(sealed);
    }
    for (at, sealed) in files.iter().enumerate() {
        if at > 0 {
            zombie.sought();
            let stale = file(&zombie, zombie.head().next..sealed.footer.next, sealed.footer.next, "zombie");
            assert_eq!(stale.key, sealed.key, "it meets every file of the chain under its own key");
            zombie.created(stale);
        }
        assert_eq!(zombie.answered(exists(sealed)), Outcome::Adopted);
        assert!(matches!(zombie.step(), Step::Seek(next) if next == sealed.footer.next));
    }
    assert_eq!(zombie.head().totals.stored, 60);
}

#[test]
fn k18_a_second_drain_with_another_cut_goes_on_behind_the_winners_cut() {
    for (winner_to, loser_to) in [(110, 150), (150, 110)] {
        let mut winner = collecting();
        let mut loser = collecting();
        let won = file(&winner, 100..winner_to, winner_to, "winner");
        let lost = file(&loser, 100..loser_to, loser_to, "loser");
        winner.created(won.clone());
        loser.created(lost);
        assert_eq!(winner.answered(Answer::New), Outcome::Stored);
        assert_eq!(loser.answered(exists(&won)), Outcome::Adopted);
        assert_eq!(loser.head().next, winner_to);
    }
}

#[test]
fn k21_a_head_that_retention_passed_is_refused() {
    let sealed = file(&collecting(), 100..110, 110, "a");
    let chain = opened(pinned(), Bounds { start: 120, ..bounds() }, Some(found(&sealed)));
    assert!(matches!(refusal(&chain), Refusal::Lost { head: 110, start: 120, .. }));
    let chain = opened(pinned(), Bounds { start: 120, ..bounds() }, None);
    assert!(matches!(refusal(&chain), Refusal::Lost { head: 100, start: 120, .. }), "a partition whose start is gone");
}

#[test]
fn k21_a_topic_that_was_made_again_is_refused() {
    let sealed = file(&collecting(), 100..110, 110, "a");
    let shorter = opened(pinned(), Bounds { start: 0, end: 50, ..bounds() }, Some(found(&sealed)));
    assert!(matches!(refusal(&shorter), Refusal::Beyond { head: 110, end: 50, .. }));
    let other_id = Bounds { topic_id: "topic-2".into(), ..bounds() };
    assert!(matches!(refusal(&opened(pinned(), other_id.clone(), Some(found(&sealed)))), Refusal::OtherTopic { .. }));
    assert!(
        matches!(refusal(&opened(pinned(), other_id, None)), Refusal::OtherTopic { .. }),
        "also before its first file"
    );
    let longer = Found { last_here: LastHere::Hash("another".into()), ..found(&sealed) };
    assert!(matches!(refusal(&opened(pinned(), bounds(), Some(longer))), Refusal::OtherRecord { head: 110, .. }));
    let unknown = Found { last_here: LastHere::Unknown, ..found(&sealed) };
    assert!(
        matches!(opened(pinned(), bounds(), Some(unknown)).step(), Step::Seek(110)),
        "a record that is gone proves nothing"
    );
}

#[test]
fn a_copied_log_does_not_adopt_the_file_of_its_twin() {
    let mut chain = collecting();
    let own = file(&chain, 100..110, 110, "a");
    let twins = file(&collecting(), 100..108, 108, "twin");
    chain.created(own);
    let answer = Found { last_here: LastHere::Hash("our own record 107".into()), ..found(&twins) };
    assert_eq!(chain.clone().answered(Answer::Exists(Box::new(answer.clone()))), Outcome::Refused);
    let damaged = Found { last_here: LastHere::Hash(String::new()), ..answer.clone() };
    assert_eq!(chain.clone().answered(Answer::Exists(Box::new(damaged))), Outcome::Refused, "it cannot be compared");
    let longer = Found { last_here: LastHere::NotThere, ..answer.clone() };
    let mut ends_before = chain.clone();
    assert_eq!(ends_before.answered(Answer::Exists(Box::new(longer))), Outcome::Refused);
    assert!(matches!(refusal(&ends_before), Refusal::Longer { head: 108, .. }));
    assert_eq!(chain.answered(Answer::Exists(Box::new(answer))), Outcome::Refused);
    assert!(matches!(refusal(&chain), Refusal::OtherRecord { head: 108, .. }));
}

#[test]
fn k22_gaps_are_inside_the_range_and_no_record_means_no_file() {
    let mut chain = collecting();
    // A marker first, another in the middle, an aborted batch at the end.
    let sealed = file(&chain, [103, 104, 107], 112, "a");
    assert_eq!((sealed.footer.first, sealed.footer.next, sealed.footer.rows), (100, 112, 3));
    chain.created(sealed);
    assert_eq!(chain.answered(Answer::New), Outcome::Stored);
    let facts = Facts { quarantined: 0, schema: 1, writer: "b".into(), cause: None };
    assert!(
        chain.seal(TODAY_MS).finish(500, facts).is_none(),
        "markers only: nothing to store, no empty files in a row"
    );
    let next = file(&chain, [400], 401, "c");
    assert_eq!((next.footer.first, next.footer.next), (112, 401), "and the next file covers them");
    assert_eq!(
        next.footer.previous.as_deref(),
        Some("churn/dt=2024-10-04/churn.g01-p0003-00000000000000000100.parquet")
    );
}

#[test]
fn k25_a_late_listing_walks_forward_by_the_files_it_meets() {
    let mut chain = collecting();
    let sealed = file(&chain, 100..110, 110, "a");
    chain.created(sealed.clone());
    assert_eq!(chain.answered(Answer::New), Outcome::Stored);
    // The listing does not show the file yet: the new owner begins at the start and meets it.
    let mut late = collecting();
    let again = file(&late, 100..104, 104, "b");
    late.created(again);
    assert_eq!(late.answered(exists(&sealed)), Outcome::Adopted);
    assert!(matches!(late.step(), Step::Seek(110)));
}

#[test]
fn k26_a_head_that_is_gone_is_looked_for_again_and_then_refused() {
    let remembered = Bounds { hint: Some(130), ..bounds() };
    let mut chain = Chain::new(pinned(), remembered);
    for _ in 1..LOOKUPS_MAX {
        chain.head_found(None);
        assert!(matches!(chain.step(), Step::FindHead), "the listing may be late");
    }
    chain.head_found(None);
    assert!(matches!(refusal(&chain), Refusal::HeadMissing { head: 100, hint: 130, .. }));
}

/// The generation before it ended at 130, and the topic lost what lay behind 100.
#[test]
fn k21_what_was_remembered_of_an_older_generation_is_not_missed() {
    let begun_below = || Pinned { older_end: 130, ..pinned() };
    let mut chain = Chain::new(begun_below(), Bounds { hint: Some(130), ..bounds() });
    chain.head_found(None);
    assert!(matches!(chain.step(), Step::Seek(100)));
    let mut chain = Chain::new(begun_below(), Bounds { hint: Some(131), ..bounds() });
    (0..LOOKUPS_MAX).for_each(|_| chain.head_found(None));
    assert!(matches!(refusal(&chain), Refusal::HeadMissing { head: 100, hint: 131, .. }), "its own file is gone");
}

#[test]
fn k26_a_listing_that_was_late_is_forgiven() {
    let mut before = collecting();
    let sealed = file(&before, 100..130, 130, "a");
    before.created(sealed.clone());
    let mut chain = Chain::new(pinned(), Bounds { hint: Some(130), ..bounds() });
    chain.head_found(None);
    chain.head_found(Some(found(&sealed)));
    assert!(matches!(chain.step(), Step::Seek(130)));
}

#[test]
fn a_file_that_is_not_of_this_chain_is_refused() {
    let mut chain = collecting();
    let sealed = file(&chain, 100..110, 110, "a");
    chain.created(sealed.clone());
    let mut strange = sealed.clone();
    strange.footer.writer = "other".into();
    strange.footer.chain.partition = 4;
    assert_eq!(chain.answered(exists(&strange)), Outcome::Refused);
    assert!(matches!(refusal(&chain), Refusal::Strange { .. }));

    let mut chain = collecting();
    chain.created(sealed.clone());
    strange = sealed;
    strange.footer.writer = "other".into();
    strange.footer.next = strange.footer.first;
    assert_eq!(
        chain.answered(exists(&strange)),
        Outcome::Refused,
        "a file that does not move on would be adopted for ever"
    );
}

#[test]
#[should_panic(expected = "does not follow the head")]
fn a_second_create_before_the_answer_is_a_bug() {
    let mut chain = collecting();
    let sealed = file(&chain, 100..110, 110, "a");
    chain.created(sealed.clone());
    chain.created(sealed);
}
