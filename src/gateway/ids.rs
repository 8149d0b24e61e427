//! Ids that weir makes itself: UUIDv7 for calls, W3C trace context for requests that carry none.

use std::cell::RefCell;
use std::fs::File;
use std::io::Read;

use http::HeaderValue;
use uuid::Uuid;

/// Random bytes fetched from the system in one go: one system call for about 400 ids.
const POOL_BYTES: usize = 4096;

thread_local! {
    static POOL: RefCell<Pool> = RefCell::new(Pool { bytes: Box::new([0; POOL_BYTES]), used: POOL_BYTES });
}

struct Pool {
    bytes: Box<[u8; POOL_BYTES]>,
    used: usize,
}

/// Bytes that nobody can guess: an id is what a client names a call by.
fn random<const N: usize>() -> [u8; N] {
    POOL.with_borrow_mut(|pool| {
        if pool.used + N > POOL_BYTES {
            let filled = File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut pool.bytes[..]));
            if filled.is_err() {
                for chunk in pool.bytes.chunks_exact_mut(16) {
                    chunk.copy_from_slice(Uuid::new_v4().as_bytes());
                }
            }
            pool.used = 0;
        }
        let mut taken = [0; N];
        taken.copy_from_slice(&pool.bytes[pool.used..pool.used + N]);
        pool.used += N;
        taken
    })
}

/// A call's id. `at_us` is its arrival, microseconds since the epoch.
pub(super) fn call_id(at_us: i64) -> Uuid {
    let millis = u64::try_from(at_us / 1000).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random::<10>()).into_uuid()
}

/// An id as a header's value.
pub(super) fn header(id: Uuid) -> HeaderValue {
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    let text = id.hyphenated().encode_lower(&mut text);
    HeaderValue::from_str(text).expect("a UUID's text is a header value")
}

/// One gateway's own entry for `via`, by which it knows a request that it has sent itself.
pub(super) fn via() -> HeaderValue {
    let number = u64::from_ne_bytes(random::<8>());
    HeaderValue::from_str(&format!("1.1 weir-{number:016x}")).expect("letters and digits are a header value")
}

/// A trace context of our own, not sampled.
pub(super) fn traceparent() -> HeaderValue {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = random::<24>();
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    let places = (3..35).step_by(2).chain((36..52).step_by(2));
    for (at, byte) in places.zip(bytes) {
        text[at] = HEX[usize::from(byte >> 4)];
        text[at + 1] = HEX[usize::from(byte & 15)];
    }
    HeaderValue::from_bytes(&text).expect("hexadecimal digits are a header value")
}

/// Whether `value` is a trace context that can be passed on: known length, lower-case hexadecimal, no zero ids.
pub(super) fn is_traceparent(value: &[u8]) -> bool {
    let hex = |part: &[u8]| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    value.len() == 55
        && value[2] == b'-'
        && value[35] == b'-'
        && value[52] == b'-'
        && hex(&value[..2])
        && hex(&value[3..35])
        && hex(&value[36..52])
        && hex(&value[53..])
        && &value[..2] != b"ff"
        && value[3..35].iter().any(|byte| *byte != b'0')
        && value[36..52].iter().any(|byte| *byte != b'0')
}

/// Whether a client's `x-request-id` can be passed on as it is.
pub(super) fn is_request_id(value: &[u8]) -> bool {
    (1..=128).contains(&value.len())
        && value.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_version_7_and_differ() {
        let ids: std::collections::HashSet<Uuid> = (0..2_000).map(|_| call_id(1_764_000_000_000_000)).collect();
        assert_eq!(ids.len(), 2_000);
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
        assert_eq!(header(Uuid::nil()), "00000000-0000-0000-0000-000000000000");
    }

    #[test]
    fn a_made_trace_context_is_one_that_would_be_passed() {
        assert!(is_traceparent(traceparent().as_bytes()));
        assert!(!is_traceparent(b"00-00000000000000000000000000000000-b7ad6b7169203331-01"));
        assert!(!is_traceparent(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"));
        assert!(!is_traceparent(b"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01"));
        assert!(is_traceparent(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
    }

    #[test]
    fn request_ids_with_odd_characters_are_not_passed() {
        assert!(is_request_id(b"a-B_9"));
        for odd in [&b""[..], b"a b", b"a\tb", b"a\"b", &[b'a'; 129]] {
            assert!(!is_request_id(odd));
        }
    }
}
