//! Seldon's form: `{"request": .., "response": .., "reward": 1.0, "truth": ..}`, where the three are messages as predictions are.
//!
//! Its clients know no `x-weir-id`: which prediction is meant says the header, if it is there, else the `puid`, which a
//! prediction has as `client_request_id`. `request` and `response` are looked at for that and are not kept.

use std::borrow::Cow;

use http::HeaderMap;

use super::plain;
use super::said::{CLIENT_ID_BYTES_MAX, Id, Said};
use crate::gateway::feedback::Posted;
use crate::protocol::{Object, Value, seldon};

/// The id of the prediction's answer, sent back.
const WEIR_ID: &str = "x-weir-id";
const PUID: &str = "seldon-puid";

const KEYS: [&str; 4] = ["request", "response", "reward", "truth"];

/// Whether it is this form: neither has the plain one.
pub fn is(fields: &Object<'_>) -> bool {
    fields.iter().any(|(key, _)| key == "request" || key == "response")
}

/// One feedback per row of the truth.
pub fn read<'a>(fields: Object<'a>, posted: &Posted) -> Result<Vec<Said<'a>>, String> {
    if fields.iter().any(|(key, _)| !KEYS.contains(&key.as_ref())) {
        let keys = KEYS.map(|key| format!("`{key}`")).join(", ");
        return Err(format!(
            "feedback with `request` or `response` is in Seldon's form, which has {keys} and nothing else"
        ));
    }
    let body = Value::Object(fields);
    let puid = |of: &str| body.get(&[of, "meta", "puid"]).and_then(Value::as_word).filter(|puid| !puid.is_empty());
    let id = header(&posted.headers, WEIR_ID)
        .map(|id| Id::parse(&id).ok_or("the header `x-weir-id` is no id that weir gives"))
        .transpose()?;
    let client_id =
        puid("response").or_else(|| puid("request")).or_else(|| header(&posted.headers, PUID).map(Cow::Owned));
    let client_request_id = client_id.filter(|id| id.len() <= CLIENT_ID_BYTES_MAX);
    if id.is_none() && client_request_id.is_none() {
        return Err(
            "it names no prediction: send the header `x-weir-id` of the answer, or a `meta.puid` in `response`"
                .to_owned(),
        );
    }
    let Value::Object(fields) = body else { return Ok(Vec::new()) };
    let (mut truth, mut reward) = (None, None);
    for (key, value) in fields {
        match (key.as_ref(), value) {
            (_, Value::Null) => {}
            ("truth", message) => truth = Some(message),
            ("reward", number) => reward = Some(plain::reward(number)?),
            _ => {}
        }
    }
    let said = |row_index: Option<u32>, truth| Said {
        id: id.clone().map(|id| match row_index {
            Some(row) => Id::of(id.request_id, Some(row)),
            None => id,
        }),
        client_request_id: client_request_id.clone(),
        row_index,
        truth,
        reward: reward.clone(),
        metadata: Vec::new(),
    };
    let truths = match truth {
        None => Vec::new(),
        Some(message) => {
            seldon::truths(message).map_err(|problem| format!("`truth` cannot be read: {}", problem.what))?
        }
    };
    match truths.len() {
        0 if reward.is_none() => Err("it says nothing: neither `truth` nor `reward`; send one of them".to_owned()),
        0 => Ok(vec![said(None, None)]),
        1 => Ok(truths.into_iter().map(|truth| said(None, Some(truth))).collect()),
        rows if rows > posted.route.capture.rows_max => {
            Err(format!("`truth` has {rows} rows, more than {} (`capture.rows_max`)", posted.route.capture.rows_max))
        }
        _ => Ok(truths.into_iter().zip(0..).map(|(truth, row)| said(Some(row), Some(truth))).collect()),
    }
}

fn header(head: &HeaderMap, name: &str) -> Option<String> {
    head.get(name).map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned()).filter(|line| !line.is_empty())
}
