//! A call as a recorder gets it.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use weir::config::Config;
use weir::gateway::exchange::{Captured, Keep, Kept, Origin, Outcome, Timings};
use weir::record::Call;

/// A body with its headers.
pub struct Side {
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Side {
    pub fn json(body: impl Into<Vec<u8>>) -> Side {
        Side::of("application/json", body)
    }

    pub fn of(media: &str, body: impl Into<Vec<u8>>) -> Side {
        Side { headers: vec![("content-type", media.to_owned())], body: body.into() }
    }
}

/// A call to the model `m` that was answered well.
pub fn call(path: &str, request: &Side, answer: &Side) -> Call {
    let config = Config::for_upstream("http://127.0.0.1:1", Some("m")).expect("a configuration");
    let head = |side: &Side| -> HeaderMap {
        let value = |value: &str| HeaderValue::from_str(value).expect("a header's value");
        side.headers.iter().map(|(name, text)| (HeaderName::from_static(name), value(text))).collect()
    };
    Call {
        id: uuid::Uuid::now_v7(),
        route: Arc::new(config.routes[0].clone()),
        keep: Keep::Bodies,
        arrived_at_us: 1_764_037_200_123_456,
        method: Method::POST,
        path: path.to_owned(),
        request_headers: head(request),
        request: captured(&request.body),
        status: Some(StatusCode::OK),
        response_headers: head(answer),
        response: captured(&answer.body),
        outcome: Outcome::Complete,
        origin: Origin::Model,
        error: None,
        attempts: 1,
        upstream: Some("127.0.0.1:8000".into()),
        timings: Timings { latency_us: 3_125, upstream_us: Some(3_020), ttfb_us: Some(3_001) },
        tags: Vec::new(),
    }
}

fn captured(body: &[u8]) -> Captured {
    Captured {
        frames: vec![Bytes::copy_from_slice(body)],
        seen_bytes: body.len() as u64,
        kept: Kept::Whole,
        ended: true,
    }
}
