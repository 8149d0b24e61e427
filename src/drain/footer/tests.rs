use proptest::prelude::*;

use super::*;
use crate::config::Partitioning;

/// A whole footer, for tests of the drain.
fn footer() -> Footer {
    let mut sources = Sources::new();
    sources.insert("0198-0-0badcafe", 0, 1);
    sources.insert_range("0198-0-0badcafe", 4, 9, 2);
    Footer {
        version: FOOTER_VERSION,
        chain: ChainId { table: "churn".into(), origin: "churn".into(), generation: 1, partition: 3 },
        topic_id: "a-topic".into(),
        first: 120_000,
        next: 120_010,
        rows: 6,
        quarantined: 1,
        dt: Dt::of(1_795_564_800_000, Partitioning::Day),
        created_ms: 1_795_564_800_123,
        min_timestamp_ms: -1,
        max_timestamp_ms: 1_795_564_800_100,
        schema: 2,
        sources,
        totals: Totals { consumed: 10, stored: 8, resent: 2 },
        last_hash: "00ff".into(),
        writer: "w".into(),
        previous: Some("churn/dt=2026-11-24/churn.g01-p0003-00000000000000000000.parquet".into()),
        cause: Some(Cause::Pressure),
    }
}

#[test]
fn a_footer_is_read_back_among_other_programs_key_values() {
    let mut pairs = footer().to_key_values();
    pairs.push(("ARROW:schema".into(), "x".into()));
    pairs.push(("weir.later".into(), "unknown keys of the same version are for newer readers".into()));
    assert_eq!(Footer::from_key_values(pairs).unwrap(), footer());
    let first = Footer { previous: None, cause: None, ..footer() };
    assert_eq!(Footer::from_key_values(first.to_key_values()).unwrap(), first);
}

#[test]
fn an_unknown_version_is_refused_whatever_else_is_there() {
    let error = Footer::from_key_values([("weir.version", "2")]).unwrap_err();
    assert!(matches!(error, FooterError::Version(2)), "{error}");
    assert!(error.to_string().contains("or a newer one"));
    assert!(matches!(Footer::from_key_values::<&str, &str>([]).unwrap_err(), FooterError::Missing("weir.version")));
}

#[test]
fn every_key_but_the_link_and_the_cause_is_needed() {
    for (missing, _) in footer().to_key_values() {
        let pairs = footer().to_key_values().into_iter().filter(|(key, _)| *key != missing);
        let read = Footer::from_key_values(pairs);
        assert_eq!(read.is_ok(), [PREVIOUS, CAUSE].contains(&missing.as_str()), "{missing}");
    }
}

proptest! {
    #[test]
    fn a_damaged_value_is_an_error_or_another_footer_but_no_panic(at in 0usize..23, value in "\\PC{0,100}") {
        let mut pairs = footer().to_key_values();
        let at = at % pairs.len();
        pairs[at].1 = value;
        if let Err(error) = Footer::from_key_values(pairs) {
            prop_assert!(error.to_string().len() < 600);
        }
    }
}
