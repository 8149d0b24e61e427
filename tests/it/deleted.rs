//! Files of a bucket are deleted (K26): by a lifecycle rule, which takes the oldest; by hand, the newest; all of them. With versions only a marker
//! stands where a file was, and what it hides can be put back.

use serde_json::Value;

use crate::copies::refusal;
use crate::loud_kafka::Lost;
use crate::support::s3::Bucket;
use crate::support::weir::rows;
use crate::support::{moto, until};

const HOUR: i64 = 3_600;

/// A topic with 30 rows in one file of this bucket, and 10 in another; the drain has stopped.
fn two_files(bucket: &Bucket) -> Lost {
    Lost::in_bucket(bucket, -HOUR).and_a_second_file()
}

fn all_is_well(lost: &Lost, wanted: u64) {
    until("everything is stored", || {
        lost.weir.drain_running();
        rows(&lost.weir.cli_json(&["verify"])) == wanted
    });
    lost.weir.is_well();
}

#[test]
fn a_marker_over_the_newest_file_is_refused_until_it_is_taken_away() {
    let bucket = moto::bucket();
    bucket.keep_versions();
    let mut lost = two_files(&bucket);
    let newest = bucket.files().pop().expect("a file");
    bucket.delete(&newest);
    lost.send(4);
    lost.weir.up();
    let said = refusal(&lost.weir);
    for part in ["before offset 40", "ends at 30", "deleted or moved", "Put them back"] {
        assert!(said.contains(part), "no `{part}` in {said}");
    }
    assert_eq!(bucket.files().len(), 1, "nothing was written");
    lost.weir.term();
    bucket.undelete();
    assert_eq!(rows(&lost.weir.verify()), 40);
    lost.weir.up();
    all_is_well(&lost, 44);
    assert_eq!(rows(&lost.weir.verify()), 44);
}

/// As a lifecycle rule that ends files by their age does it.
#[test]
fn a_drain_goes_on_without_its_oldest_file_and_verify_names_the_gap() {
    let bucket = moto::bucket();
    bucket.keep_versions();
    let mut lost = two_files(&bucket);
    let oldest = bucket.files().remove(0);
    bucket.delete(&oldest);
    lost.weir.up();
    lost.send(4);
    all_is_well(&lost, 14);
    let report = lost.weir.cli_json(&["verify"]);
    assert_eq!(report["ok"], Value::Bool(false), "{report:#}");
    assert!(report.to_string().contains("gap"), "{report:#}");
    lost.weir.term();
    bucket.undelete();
    assert_eq!(rows(&lost.weir.verify()), 44);
}

#[test]
fn an_emptied_bucket_is_refused_and_the_way_on_begins_behind_what_was_stored() {
    let bucket = moto::bucket();
    let mut lost = two_files(&bucket);
    bucket.keys().iter().for_each(|key| bucket.delete(key));
    lost.send(4);
    lost.refused_until_told(0, &["is missing", "rows before offset 40 were stored", "was the folder emptied"], 4);
}
