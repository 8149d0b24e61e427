//! Names of a body that are none of its rows: protocols take `instances`, `choices` or `predictions` apart and call what was in
//! them by other names. A rule with such a name finds nothing, so the side is withheld. In: the bodies before they are read,
//! then the rows. Out: what of the rules' names was there and is gone.

use crate::config::{RedactRule, Side};
use crate::protocol::{Matter, Reading, Value};

/// Keys that hold no values but say what others are.
const DESCRIBING: [&str; 5] = ["name", "names", "columns", "datatype", "shape"];

/// The rules' names that are keys in the request's body, and in the answer's.
pub struct Named<'r>([Vec<&'r str>; 2]);

impl<'r> Named<'r> {
    pub fn of(matter: &Matter<'_>, rules: &'r [RedactRule]) -> Named<'r> {
        let in_body = |side: Side, body: Option<&Value<'_>>| {
            let firsts = rules.iter().filter(|rule| rule.side == side).filter_map(|rule| rule.keys.first());
            firsts
                .map(String::as_str)
                .filter(|name| !DESCRIBING.contains(name) && body.is_some_and(|body| has_key(body, name)))
                .collect()
        };
        let request = in_body(Side::Inputs, matter.request.value.as_ref().ok());
        Named([request, in_body(Side::Outputs, matter.response.value.as_ref().ok())])
    }

    /// The sides of which one of the names is a key in no row.
    pub fn gone(&self, reading: &Reading<'_>) -> [bool; 2] {
        let id = reading.client_id.as_ref().and_then(|found| found.keys.first());
        let kept = |side: usize, name: &str| {
            reading.rows.iter().any(|row| {
                let fields = if side == 0 { &row.inputs } else { &row.outputs };
                fields.iter().any(|(key, value)| key == name || has_key(value, name))
            })
        };
        // The client's id need not be a column; as an id it is left out.
        let is_id = |side: usize, name: &&str| side == 0 && id == Some(name);
        [0, 1].map(|side| self.0[side].iter().any(|name| !kept(side, name) && !is_id(side, name)))
    }
}

fn has_key(value: &Value<'_>, name: &str) -> bool {
    match value {
        Value::Object(fields) => fields.iter().any(|(key, value)| key == name || has_key(value, name)),
        Value::List(items) => items.iter().any(|item| has_key(item, name)),
        Value::Json(value) => has_key(value, name),
        _ => false,
    }
}
