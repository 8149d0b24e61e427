//! Names of a body that are none of its rows: protocols take `instances`, `choices` or `predictions` apart and call what was in
//! them by other names. A rule with such a name finds nothing, so the side is withheld. In: the bodies before they are read,
//! then the rows. Out: what of the rules' names was there and is gone.

use std::collections::BTreeSet;

use crate::config::{RedactRule, Side};
use crate::protocol::{Matter, Object, Reading, Value};

/// Keys that hold no values but say what others are.
const DESCRIBING: [&str; 5] = ["name", "names", "columns", "datatype", "shape"];

/// The rules' names that are keys in the request's body, and in the answer's, each with the keys above it wherever it stands.
pub struct Named<'r>([Vec<Places<'r>>; 2]);

/// A name, and the keys above it, of each place.
type Places<'r> = (&'r str, BTreeSet<Vec<String>>);

impl<'r> Named<'r> {
    pub fn of(matter: &Matter<'_>, rules: &'r [RedactRule]) -> Named<'r> {
        let in_body = |side: Side, body: Option<&Value<'_>>| {
            let firsts = rules.iter().filter(|rule| rule.side == side).filter_map(|rule| rule.keys.first());
            firsts
                .map(String::as_str)
                .filter(|name| !DESCRIBING.contains(name))
                .filter_map(|name| {
                    let mut above = BTreeSet::new();
                    collect(body?, name, &mut Vec::new(), &mut above);
                    let owned = |keys: Vec<&str>| keys.into_iter().map(str::to_owned).collect();
                    (!above.is_empty()).then(|| (name, above.into_iter().map(owned).collect()))
                })
                .collect()
        };
        let request = in_body(Side::Inputs, matter.request.value.as_ref().ok());
        Named([request, in_body(Side::Outputs, matter.response.value.as_ref().ok())])
    }

    /// The sides of which one of the names is a key in no row, or only in another place than one of its own: under none of the keys that it had
    /// above it.
    pub fn gone(&self, reading: &Reading<'_>) -> [bool; 2] {
        let id = reading.client_id.as_ref().and_then(|found| found.keys.first());
        // The client's id need not be a column; as an id it is left out.
        let is_id = |side: usize, name: &str| side == 0 && id == Some(&name);
        [0, 1].map(|side| {
            self.0[side].iter().any(|(name, places)| {
                let mut above = BTreeSet::new();
                for row in &reading.rows {
                    let fields = if side == 0 { &row.inputs } else { &row.outputs };
                    collect_in(fields, name, &mut Vec::new(), &mut above);
                }
                let keeps = |place: &Vec<String>| {
                    above.iter().any(|keys| {
                        keys.last().is_none_or(|key| place.is_empty() || place.iter().any(|above| above == key))
                    })
                };
                !places.iter().all(keeps) && !is_id(side, name)
            })
        })
    }
}

/// The keys above `name`, wherever it is a key.
fn collect<'v>(value: &'v Value<'_>, name: &str, above: &mut Vec<&'v str>, found: &mut BTreeSet<Vec<&'v str>>) {
    match value {
        Value::Object(fields) => collect_in(fields, name, above, found),
        Value::List(items) => items.iter().for_each(|item| collect(item, name, above, found)),
        Value::Json(value) => collect(value, name, above, found),
        _ => {}
    }
}

fn collect_in<'v>(fields: &'v Object<'_>, name: &str, above: &mut Vec<&'v str>, found: &mut BTreeSet<Vec<&'v str>>) {
    for (key, value) in fields {
        if key == name && !found.contains(above) {
            found.insert(above.clone());
        }
        above.push(key);
        collect(value, name, above, found);
        above.pop();
    }
}
