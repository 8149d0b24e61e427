//! Sampling: the share, what is drawn together, what is kept anyway, and that every call is settled.

use proptest::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::*;
use crate::config::Sample;
use crate::gateway::exchange::{Exchange, Permit};
use crate::ledger::Ledger;
use crate::record::sample::{Draw, draw};

fn sampled(sample: Sample) -> Call {
    with_route(call(r#"{"x":1}"#, r#"{"y":2}"#), |route| route.capture.sample = Some(sample))
}

fn rate(rate: f64) -> Sample {
    Sample { rate, by: None, keep_errors: false }
}

fn by_user(rate: f64) -> Sample {
    Sample { rate, by: Some("x-user-id".to_owned()), keep_errors: false }
}

/// The n-th of a fixed list of ids.
fn with_id(mut call: Call, n: u128) -> Call {
    call.id = Uuid::from_u128(0x0193_2f3a_7c1e_7a00_8000_0000_0000_0000 + n);
    call
}

fn of_user(mut call: Call, user: &str) -> Call {
    call.request_headers.insert("x-user-id", HeaderValue::from_str(user).expect("a header value"));
    call
}

#[test]
fn the_share_of_a_fixed_list_of_ids_is_always_the_same_and_near_the_rate() {
    let ids = 20_000;
    // Exact, for a hash is no chance: another number means that gateways of two versions draw differently.
    for (share, kept) in [(0.01, KEPT[0]), (0.1, KEPT[1]), (0.5, KEPT[2]), (0.9, KEPT[3])] {
        let mut call = sampled(rate(share));
        let mut found = 0;
        for n in 0..ids {
            call = with_id(call, n);
            found += u32::from(draw(&call) != Draw::Left);
        }
        let deviation = (ids as f64 * share * (1.0 - share)).sqrt();
        assert!((f64::from(found) - ids as f64 * share).abs() < 4.0 * deviation, "{found} at {share}");
        assert_eq!(found, kept, "at {share}");
    }
}

/// Kept of the list above, by rate.
const KEPT: [u32; 4] = [218, 2_042, 10_097, 18_000];

#[test]
fn a_reader_can_draw_again_from_the_request_id() {
    let mut kept = 0;
    for n in 0..200 {
        let call = with_id(sampled(rate(0.3)), n);
        let again = xxh3_64(call.id.to_string().as_bytes()) as f64 / 2_f64.powi(64) < 0.3;
        assert_eq!(draw(&call), if again { Draw::Kept(Some(0.3)) } else { Draw::Left });
        kept += u32::from(again);
    }
    assert!(kept > 0 && kept < 200, "both happen");
}

proptest! {
    #[test]
    fn one_value_of_the_header_is_kept_all_or_none(user in "[ -~]{0,20}[!-~]", share in 0.0..1.0_f64, ids: [u64; 8]) {
        let draws = ids.map(|n| draw(&with_id(of_user(sampled(by_user(share)), &user), n.into())));
        let again = xxh3_64(user.as_bytes()) as f64 / 2_f64.powi(64) < share;
        prop_assert_eq!(draws, [if again { Draw::Kept(Some(share)) } else { Draw::Left }; 8]);
    }

    #[test]
    fn what_a_small_share_keeps_a_larger_one_keeps_too(n: u64, small in 0.0..1.0_f64, large in 0.0..1.0_f64) {
        let kept = |share| draw(&with_id(sampled(rate(share)), n.into())) != Draw::Left;
        prop_assert!(!kept(small.min(large)) || kept(small.max(large)));
    }
}

#[test]
fn without_the_header_or_with_an_empty_one_the_id_decides() {
    for n in 0..100 {
        let by_id = draw(&with_id(sampled(rate(0.5)), n));
        assert_eq!(draw(&with_id(sampled(by_user(0.5)), n)), by_id);
        assert_eq!(draw(&with_id(of_user(sampled(by_user(0.5)), ""), n)), by_id);
    }
}

#[test]
fn errors_are_kept_for_certain_if_that_is_asked_for() {
    let failures: [fn(&mut Call); 5] = [
        |call| call.status = Some(StatusCode::BAD_REQUEST),
        |call| call.status = Some(StatusCode::SERVICE_UNAVAILABLE),
        |call| call.status = None,
        |call| call.outcome = Outcome::UpstreamAborted,
        |call| call.outcome = Outcome::ClientAborted,
    ];
    for (at, fail) in failures.into_iter().enumerate() {
        let mut call = sampled(Sample { keep_errors: true, ..rate(0.0) });
        assert_eq!(draw(&call), Draw::Left, "a good answer is drawn");
        fail(&mut call);
        assert_eq!(draw(&call), Draw::Kept(Some(1.0)), "failure {at}");
        let call = with_route(call, |route| route.capture.sample = Some(rate(0.0)));
        assert_eq!(draw(&call), Draw::Left, "failure {at} where errors are drawn like others");
    }
}

/// Records one call and says what became of it: its row and (logged or pending, unsampled).
fn recorded(call: Call) -> (Option<serde_json::Value>, (u64, u64)) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ledger = Ledger::open(&folder.path().join("ledger"), crate::ledger::Logged::default()).expect("a ledger");
    let exchange = Exchange {
        id: call.id,
        route: call.route,
        keep: call.keep,
        arrived_at_us: call.arrived_at_us,
        method: call.method,
        path: call.path,
        request_headers: call.request_headers,
        request: call.request,
        status: call.status,
        response_headers: call.response_headers,
        response: call.response,
        outcome: call.outcome,
        origin: call.origin,
        error: call.error,
        attempts: call.attempts,
        upstream: call.upstream,
        timings: call.timings,
        tags: call.tags,
        ticket: ledger.see(),
        permit: Permit { bytes: 0, release: None },
    };
    let row = recorder().record(exchange).map(|recorded| {
        recorded.ticket.logged();
        strict(recorded.rows.into_iter().map(|row| row.value.into()).collect()).remove(0)
    });
    let calls = ledger.calls();
    assert_eq!((calls.seen, calls.dropped_total()), (1, 0), "it is settled, and not as dropped");
    (row, (calls.logged, calls.unsampled))
}

#[test]
fn a_record_says_how_likely_it_was_and_a_call_without_one_is_counted() {
    let (row, counts) = recorded(call(r#"{"x":1}"#, r#"{"y":2}"#));
    assert_eq!((row.expect("a record").get("sampling_rate"), counts), (None, (1, 0)));

    let nothing = with_route(call("{", "}"), |route| route.capture.sample = Some(rate(0.0)));
    assert_eq!(recorded(nothing), (None, (0, 1)));

    let almost_all = 1.0 - f64::EPSILON;
    let (row, counts) = recorded(sampled(rate(almost_all)));
    assert_eq!((&row.expect("a record")["sampling_rate"], counts), (&almost_all.into(), (1, 0)));

    let mut failed = sampled(Sample { keep_errors: true, ..rate(0.0) });
    failed.status = Some(StatusCode::INTERNAL_SERVER_ERROR);
    let (row, counts) = recorded(failed);
    assert_eq!((&row.expect("a record")["sampling_rate"], counts), (&1.0.into(), (1, 0)));
}
