//! For every protocol: a canary under a redacted name, in the request and in the answer, is in no message, whatever the rule does
//! and however the body arrives. The search is byte by byte.

use std::collections::BTreeSet;

use self::canaries::{Arrival, Case, Cut, cases};
use super::redaction::{CANARY, doing};
use super::redaction_actions::{hash, mask};
use super::*;
use crate::config::{RedactAction, Side};
use crate::protocol::recognise::FORMS;

#[path = "../../../tests/it/support/canaries.rs"]
mod canaries;

/// A call of this arrival.
fn made(arrival: &Arrival) -> Call {
    let mut call = call(arrival.request.body.clone(), arrival.response.body.clone());
    call.path = arrival.path.to_owned();
    let lines = |message: &canaries::Message| {
        headers(&message.headers.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>())
    };
    (call.request_headers, call.response_headers) = (lines(&arrival.request), lines(&arrival.response));
    call.status = StatusCode::from_u16(arrival.status).ok();
    for side in [&mut call.request, &mut call.response] {
        match arrival.cut {
            Some(Cut::Copy) => side.kept = Kept::Cut,
            Some(Cut::Transfer) => side.ended = false,
            Some(Cut::Unsaid) | None => {}
        }
    }
    with_route(call, |route| {
        route.capture.bodies = config::Bodies::Always;
        if arrival.keep_rows {
            route.capture.rows = Rows::Keep;
        }
    })
}

fn redacting(case: &Case, call: Call, action: &RedactAction) -> Call {
    with_route(call, |route| {
        route.redact =
            vec![doing(Side::Inputs, case.input, action.clone()), doing(Side::Outputs, case.output, action.clone())];
    })
}

fn holds_canary(message: &[u8]) -> bool {
    message.windows(CANARY.len()).any(|window| window == CANARY.as_bytes())
}

#[test]
fn a_canary_is_in_no_message_of_any_protocol() {
    let actions = [RedactAction::Drop, hash(), RedactAction::Truncate(3), mask()];
    let mut seen = BTreeSet::new();
    // What every rule can change: an address begins with the canary.
    for case in cases(&format!("{CANARY}@example.com")) {
        // Without rules it is in both sides, so there is something to find.
        let row = messages(&made(&case.whole())).remove(0);
        let name = case.name();
        assert_eq!(row["protocol"], case.protocol, "{name}");
        seen.insert(case.protocol);
        if case.protocol != "raw" {
            assert_eq!((&row["parse_status"], row.get("parse_error")), (&"ok".into(), None), "{name}");
            for side in ["inputs", "outputs"] {
                assert!(holds_canary(row[side].to_string().as_bytes()), "{name}: {side} {}", row[side]);
            }
        }
        for action in &actions {
            // Half an address that was sent as a whole body looks like none.
            let masks = matches!(action, RedactAction::Mask(_));
            for arrival in case.arrivals(1..16).iter().filter(|arrival| !masks || arrival.cut != Some(Cut::Unsaid)) {
                for message in recorder().messages(&redacting(&case, made(arrival), action)).1 {
                    let (text, what) = (String::from_utf8_lossy(&message), &arrival.what);
                    assert!(!holds_canary(&message), "{name}, {what}, {action:?}: {text}");
                    // Bodies could hide it in base64.
                    assert!(!text.contains("_body\":"), "{name}, {what}, {action:?}: {text}");
                }
            }
            // What is read is not withheld, but changed.
            let rows = messages(&redacting(&case, made(&case.whole()), action));
            if case.protocol != "raw" {
                assert_eq!(rows[0]["parse_status"], "ok", "{name} {action:?}: {}", rows[0]);
            }
            if case.protocol != "raw" && masks {
                for side in ["inputs", "outputs"] {
                    assert!(rows[0][side].to_string().contains("[email]"), "{name}: {}", rows[0]);
                }
            }
        }
    }
    for form in &FORMS {
        assert!(seen.contains(form.name), "no canary for the protocol {}: add a case", form.name);
    }
}
