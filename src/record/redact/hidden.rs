//! Whether a body may say a field's name as a value, where a rule by name cannot find it. In: a parsed body and the
//! rules. Out: what it looks like, or nothing.
//!
//! Rules follow JSON keys. In the forms of protocols that this version does not read (Open Inference V2, MLflow, Seldon,
//! Azure, pandas' `split`, protobuf's JSON) a name is a text in one place and its value stands in another. Nothing can be
//! dropped from such a body by name, so it is not read at all. Four signs, at any depth:
//!
//! - a shape of those protocols: a tensor, a list of column names, a pair of name and value
//! - a text that is the name of a rule of this side, unless the object it stands in has a field of that name: there the
//!   rule finds its field, and the text is one of a category
//! - a text that is JSON itself (base64 of it too), or that has a rule's name before a separator (CSV, a form, XML)
//! - a request whose values stand at positions, if there are rules by name and none of those names is a key of the body; of
//!   an answer, if one of those values is a text. Where whole rows are lists, each of the names must be a key beside them: the
//!   field of one that is not could stand at any position, and rules by position do not say that it does not
//!
//! This errs towards hiding: a body too many is kept as length and HMAC, and `parse_error` says why.

use std::borrow::Cow;

use super::rule_names::{Keys, RuleNames};
use super::texts::text_hides;
use crate::config::{RedactRule, Side};
use crate::protocol::generic;
use crate::protocol::media;
use crate::protocol::names::{Names, ROWS};
use crate::protocol::{Object, Value};

/// Keys that only protocols have whose names are values, or whose rows stand where no rule looks.
const FOREIGN: &[&str] = &[
    "dataframe_split",
    "dataframe_records",
    "input_data",
    "Inputs",
    "ndarray",
    "tftensor",
    "strData",
    "binData",
    "jsonData",
    "customData",
    "raw_input_contents",
    "raw_output_contents",
    "bytesList",
    "bytes_list",
    "floatList",
    "float_list",
    "int64List",
    "int64_list",
    "b64",
];

/// Keys of a list of names.
const NAME_LISTS: &[&str] = &[
    "columns",
    "column_names",
    "columnNames",
    "colnames",
    "cols",
    "feature_names",
    "featureNames",
    "feature_columns",
    "featureColumns",
    "field_names",
    "fieldNames",
    "input_names",
    "inputNames",
    "output_names",
    "outputNames",
];

/// Keys of a list of names where another list or object stands beside it; alone they are features.
const NAME_LISTS_BESIDE: &[&str] =
    &["names", "fields", "header", "headers", "keys", "schema", "attributes", "variables", "features"];

/// Keys of one name.
const NAME: &[&str] = &[
    "name",
    "key",
    "k",
    "field",
    "feature",
    "column",
    "attribute",
    "variable",
    "property",
    "param",
    "parameter",
    "feature_name",
    "featureName",
    "field_name",
    "fieldName",
    "column_name",
    "columnName",
];

/// Keys of what a name beside them names.
const NAMED: &[&str] = &["value", "values", "val", "v", "data", "contents", "datatype", "dtype", "shape"];

/// What hides names in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hides {
    /// Whatever is made of the body.
    Always(&'static str),
    /// Unless somebody names the values.
    Positions(&'static str),
}

const POSITIONS: &str = "values at positions, and rules only for names";

/// Whether values stand at positions in one.
type Test = fn(&Value<'_>) -> bool;

/// What hides names in the body of one side; `None`: its names are its keys.
pub fn hides_names(body: &Value<'_>, rules: &[RedactRule], side: Side) -> Option<Hides> {
    let names = RuleNames::of(rules, side);
    let mut keys = Keys::none_of(&names);
    let found = look(body, &names, &mut keys);
    found.map(Hides::Always).or_else(|| {
        let (values, rows): (Test, Test) = match side {
            Side::Inputs => (|body| is_positional(body) || is_scalar(body), holds_lists),
            Side::Outputs => (holds_texts, holds_texts),
        };
        let hides = (keys.lack_one() && (rows(body) || at_first_batch(body, &rows)))
            || (keys.lack_all() && (values(body) || at_any_batch(body, &values)));
        hides.then_some(Hides::Positions(POSITIONS))
    })
}

/// Where values of a row stand at positions, beside the names that weir gives to such.
pub struct Unnamed<'u> {
    /// The key of the list of rows, if the route names it.
    pub list: Option<&'u str>,
    /// The columns of the only tensor.
    pub tensor: &'u [Cow<'u, str>],
}

/// As [`hides_names`], for one row that a protocol has given its names: values at positions stand under positional names, or in
/// a list that could not be split. `at`: where such values may stand; nothing, if all have their names.
pub fn hides_names_in_row(
    row: &Value<'_>,
    rules: &[RedactRule],
    side: Side,
    at: Option<&Unnamed<'_>>,
) -> Option<&'static str> {
    let names = RuleNames::of(rules, side);
    if names.by_name.is_empty() {
        return None;
    }
    let mut keys = Keys::none_of(&names);
    look(row, &names, &mut keys).or_else(|| {
        let (Some(at), Value::Object(fields)) = (at, row) else { return None };
        let positions = Names::of(side);
        // Of an answer, numbers of a tensor are no more than that, unless a rule has its name.
        let in_tensor = |key: &str, value: &Value<'_>| {
            at.tensor.len() > 1
                && at.tensor.iter().any(|column| column == key)
                && (side == Side::Inputs || has_text(value) || keys.lack_tensor_of(key))
        };
        let is_list = |key: &str| key == ROWS || at.list == Some(key);
        let hides = fields.iter().any(|(key, value)| {
            let in_rows = key == positions.list()
                || positions.is_position(key)
                || in_tensor(key, value)
                || (is_list(key) && holds_lists(value));
            let at_all = key == media::TEXT || key == ROWS || (is_list(key) && is_positional(value));
            (in_rows && keys.lack_one()) || (at_all && keys.lack_all())
        });
        hides.then_some(POSITIONS)
    })
}

/// Follows a body down and has `keys` see each of its keys.
fn look(value: &Value<'_>, names: &RuleNames<'_>, keys: &mut Keys<'_, '_>) -> Option<&'static str> {
    match value {
        Value::Text(text) => text_hides(text, names),
        Value::List(items) => items.iter().find_map(|item| match item {
            Value::Text(text) if names.means(text) => Some("a redacted field's name in a list"),
            item => look(item, names, keys),
        }),
        Value::Object(fields) => {
            if let Some(shape) = shape(fields) {
                return Some(shape);
            }
            fields.iter().find_map(|(key, value)| {
                keys.see(key);
                if names.listed_in(key) {
                    return Some("a redacted field's name within a key");
                }
                match value {
                    Value::Text(text) => match names.named_by(text) {
                        Some(name) if !fields.iter().any(|(key, _)| key == name) => {
                            Some("a redacted field's name as a value")
                        }
                        _ => text_hides(text, names),
                    },
                    value => look(value, names, keys),
                }
            })
        }
        Value::Json(value) => look(value, names, keys),
        _ => None,
    }
}

/// The shape of an object in which names are values.
fn shape(fields: &Object<'_>) -> Option<&'static str> {
    let has = |keys: &[&str]| fields.iter().any(|(key, _)| keys.contains(&key.as_ref()));
    if has(FOREIGN) {
        return Some("a form that this version does not read");
    }
    if has(&["context"]) && has(&["examples"]) {
        return Some("examples with a context");
    }
    let texts_under =
        |keys: &[&str]| fields.iter().position(|(key, value)| keys.contains(&key.as_ref()) && is_list_of_texts(value));
    let beside = |at: usize| fields.iter().enumerate().any(|(other, (_, value))| other != at && value.is_container());
    if texts_under(NAME_LISTS).is_some() || texts_under(NAME_LISTS_BESIDE).is_some_and(beside) {
        return Some("a list of names");
    }
    let has_name = fields.iter().any(|(key, value)| NAME.contains(&key.as_ref()) && matches!(value, Value::Text(_)));
    if has_name && fields.iter().any(|(key, _)| NAMED.contains(&key.as_ref()) || is_typed_value(key)) {
        return Some("a name beside its value");
    }
    if has(&["shape", "tensor_shape", "tensorShape"]) && has(&["values", "data", "dtype"]) {
        return Some("a tensor");
    }
    // pandas' `orient="index"`: the rows' own keys are numbers.
    let is_numbered = |key: &str| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit());
    if !fields.is_empty() && fields.iter().all(|(key, value)| is_numbered(key) && value.is_container()) {
        return Some("rows under numbers");
    }
    None
}

/// `stringValue`, `int_value`: protobuf's JSON of a value of any type.
fn is_typed_value(key: &str) -> bool {
    key.strip_suffix("Value").or_else(|| key.strip_suffix("_value")).is_some_and(|kind| !kind.is_empty())
}

fn is_list_of_texts(value: &Value<'_>) -> bool {
    matches!(value, Value::List(items)
        if !items.is_empty() && items.iter().all(|item| matches!(item, Value::Text(_) | Value::Null))
            && items.iter().any(|item| *item != Value::Null))
}

/// Whether `test` holds for what stands under a key that batches stand under, at any depth.
fn at_any_batch(value: &Value<'_>, test: &impl Fn(&Value<'_>) -> bool) -> bool {
    match value {
        Value::Object(fields) => fields.iter().any(|(key, value)| {
            ((generic::holds_batches(key) || key == "instances") && test(value)) || at_any_batch(value, test)
        }),
        Value::List(items) => items.iter().any(|item| at_any_batch(item, test)),
        _ => false,
    }
}

/// As [`at_any_batch`], but not within rows that have names.
fn at_first_batch(value: &Value<'_>, test: &impl Fn(&Value<'_>) -> bool) -> bool {
    matches!(value, Value::Object(fields) if fields.iter().any(|(key, value)| {
        ((generic::holds_batches(key) || key == "instances") && test(value)) || at_first_batch(value, test)
    }))
}

fn is_scalar(value: &Value<'_>) -> bool {
    !value.is_container() && *value != Value::Null
}

/// A list of rows without names.
fn holds_lists(value: &Value<'_>) -> bool {
    matches!(value, Value::List(items) if items.iter().any(Value::is_list))
}

fn has_text(value: &Value<'_>) -> bool {
    match value {
        Value::Text(_) => true,
        Value::List(items) => items.iter().any(has_text),
        _ => false,
    }
}

/// A list without names: scalars, or lists.
fn is_positional(value: &Value<'_>) -> bool {
    matches!(value, Value::List(items) if items.iter().any(|item| !item.is_object() && *item != Value::Null))
}

/// A list of lists with a text in it.
fn holds_texts(value: &Value<'_>) -> bool {
    let is_text = |value: &Value<'_>| matches!(value, Value::Text(_));
    matches!(value, Value::List(items) if items.iter().any(|item| {
        matches!(item, Value::List(inner) if inner.iter().any(is_text) || holds_texts(item))
    }))
}
