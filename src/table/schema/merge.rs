//! Two lists of columns as one: what is there stays as it is, what is new gets a name that no reader confuses with another.

use std::collections::{HashMap, HashSet};

use super::super::envelope;
use super::{Field, Type};

/// Columns that readers make of the folders' names.
const FOLDERS: [&str; 2] = ["dt", "hour"];

/// The column of a key. Where a MAP was put beside a STRUCT, it is the MAP: what stands later counts.
pub(in crate::table) fn find<'f>(fields: &'f [Field], key: &str) -> Option<&'f Field> {
    fields.iter().rfind(|field| field.key() == key)
}

/// Whether `new` is a MAP that was asked for by its key, so that it may stand beside a STRUCT of this key.
pub fn is_beside(old: &Type, new: &Field) -> bool {
    matches!((old, &new.data_type), (Type::Struct(_), Type::MapDouble)) && new.key.is_some()
}

/// Adds to `mine` what `theirs` has beyond it. `top`: they stand beside weir's own columns.
pub fn merge_fields(mine: &mut Vec<Field>, theirs: &[Field], next_id: &mut i32, top: bool) {
    // Positions and folded names by hash: a schema may have a thousand columns.
    let mut by_key: HashMap<String, usize> = HashMap::new();
    let mut taken: HashSet<String> = Default::default();
    if top {
        taken.extend(envelope::names().chain(FOLDERS).map(folded));
    }
    for (at, field) in mine.iter().enumerate() {
        by_key.insert(field.key().to_owned(), at);
        taken.insert(folded(&field.name));
    }
    for their in theirs {
        let known = by_key.get(their.key()).copied();
        let base = match known {
            Some(at) if is_beside(&mine[at].data_type, their) => format!("{}_map", their.key()),
            Some(at) => {
                if let (Type::Struct(mine), Type::Struct(theirs)) = (&mut mine[at].data_type, &their.data_type) {
                    merge_fields(mine, theirs, next_id, false);
                }
                continue;
            }
            None => their.key().to_owned(),
        };
        let name = free_name(&base, &taken);
        taken.insert(folded(&name));
        let id = *next_id;
        *next_id += their.data_type.ids();
        let data_type = match &their.data_type {
            Type::Struct(theirs) => {
                let mut fields = Vec::new();
                merge_fields(&mut fields, theirs, next_id, false);
                Type::Struct(fields)
            }
            other => other.clone(),
        };
        by_key.insert(their.key().to_owned(), mine.len());
        let key = (name != their.key()).then(|| their.key().to_owned());
        mine.push(Field { name, key, id, data_type });
    }
}

/// Names are equal for an engine that folds case: by the upper case for some (`K` is also the sign of Kelvin), by the lower case for others.
fn folded(name: &str) -> String {
    name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// A column name that no other has in any case: engines with SQL's names fold it.
fn free_name(key: &str, taken: &HashSet<String>) -> String {
    let base = if key.is_empty() { "_empty" } else { key };
    if !taken.contains(&folded(base)) {
        return base.to_owned();
    }
    (2..).map(|n| format!("{base}_{n}")).find(|name| !taken.contains(&folded(name))).expect("numbers do not end")
}
