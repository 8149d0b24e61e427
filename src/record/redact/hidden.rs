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
//! - a request whose values stand at positions, if rules only know names and none of them is a key of the body; of an
//!   answer, if one of those values is a text
//!
//! This errs towards hiding: a body too many is kept as length and HMAC, and `parse_error` says why.

use crate::config::{RedactRule, Side};
use crate::protocol::generic;
use crate::protocol::media;
use crate::protocol::names::{Names, ROWS};
use crate::protocol::{Object, Value, json};

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

/// What hides names in the body of one side; `None`: its names are its keys.
pub fn hides_names(body: &Value<'_>, rules: &[RedactRule], side: Side) -> Option<Hides> {
    let names = RuleNames::of(rules, side);
    let mut keys_found = false;
    let found = look(body, &names, &mut keys_found);
    found.map(Hides::Always).or_else(|| {
        let matters = !names.by_name.is_empty() && !names.has_positions && !keys_found;
        let positional = match side {
            Side::Inputs => is_positional(body) || at_any_batch(body, &is_positional),
            Side::Outputs => holds_texts(body) || at_any_batch(body, &holds_texts),
        };
        (matters && positional).then_some(Hides::Positions(POSITIONS))
    })
}

/// As [`hides_names`], for one row that a protocol has given its names: values at positions stand under positional names, or in
/// a list that could not be split, `list` if the route names its key.
pub fn hides_names_in_row(
    row: &Value<'_>,
    rules: &[RedactRule],
    side: Side,
    list: Option<&str>,
) -> Option<&'static str> {
    let names = RuleNames::of(rules, side);
    if names.by_name.is_empty() {
        return None;
    }
    let mut keys_found = false;
    look(row, &names, &mut keys_found).or_else(|| {
        let positions = Names::of(side);
        let unnamed =
            |key: &str| key == media::TEXT || key == ROWS || key == positions.list() || positions.is_position(key);
        let positional = matches!(row, Value::Object(fields) if fields.iter().any(|(key, value)| {
            unnamed(key) || (list == Some(key.as_ref()) && is_positional(value))
        }));
        (!names.has_positions && !keys_found && positional).then_some(POSITIONS)
    })
}

/// The names that the rules of one side look for.
pub struct RuleNames<'r> {
    /// Each key of each path.
    by_name: Vec<&'r str>,
    /// Whole paths of several keys, as texts may write them.
    dotted: Vec<String>,
    has_positions: bool,
}

impl<'r> RuleNames<'r> {
    pub fn of(rules: &'r [RedactRule], side: Side) -> RuleNames<'r> {
        let positions = Names::of(side);
        let rules = || rules.iter().filter(move |rule| rule.side == side);
        RuleNames {
            by_name: rules().flat_map(|rule| &rule.keys).map(String::as_str).collect(),
            dotted: rules().filter(|rule| rule.keys.len() > 1).map(|rule| rule.keys.join(".")).collect(),
            has_positions: rules().any(|rule| rule.keys.first().is_some_and(|key| positions.is_unnamed(key))),
        }
    }

    /// Whether a rule could mean what a column of this name holds.
    pub fn means(&self, column: &str) -> bool {
        self.named_by(column).is_some() || self.decorated_in(column)
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        self.by_name.iter().copied().chain(self.dotted.iter().map(String::as_str))
    }

    /// Whether a text is a rule's name as pipelines decorate it: `num__email`, `email:0`, `customer.email`, `in/email`.
    fn decorated_in(&self, text: &str) -> bool {
        !text.contains(char::is_whitespace)
            && text.replace("__", ":").split([':', '.', '/']).any(|part| self.named_by(part).is_some())
    }

    /// The rule's name that a text is.
    fn named_by(&self, text: &str) -> Option<&str> {
        let text = text.trim();
        self.iter().find(|name| name.eq_ignore_ascii_case(text))
    }
}

/// Follows a body down. `keys_found` becomes true if a rule's name is a key of it.
fn look(value: &Value<'_>, names: &RuleNames<'_>, keys_found: &mut bool) -> Option<&'static str> {
    match value {
        Value::Text(text) => text_hides(text, names),
        Value::List(items) => items.iter().find_map(|item| match item {
            Value::Text(text) if names.means(text) => Some("a redacted field's name in a list"),
            item => look(item, names, keys_found),
        }),
        Value::Object(fields) => {
            if let Some(shape) = shape(fields) {
                return Some(shape);
            }
            fields.iter().find_map(|(key, value)| {
                *keys_found |= names.iter().any(|name| name == key);
                match value {
                    Value::Text(text) => match names.named_by(text) {
                        Some(name) if !fields.iter().any(|(key, _)| key == name) => {
                            Some("a redacted field's name as a value")
                        }
                        _ => text_hides(text, names),
                    },
                    value => look(value, names, keys_found),
                }
            })
        }
        Value::Json(value) => look(value, names, keys_found),
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

/// Whether a text holds fields of its own.
fn text_hides(text: &str, names: &RuleNames<'_>) -> Option<&'static str> {
    let trimmed = text.trim_start();
    if trimmed.starts_with(['{', '[']) && is_json_with_names(trimmed) {
        return Some("JSON within a text");
    }
    if is_coded(trimmed) {
        return Some("JSON or gzip as base64 within a text");
    }
    names.iter().any(|name| names_a_field(text, name)).then_some("a redacted field's name within a text")
}

/// Whether a text is base64 (or a JSON web token) of what begins like JSON's objects, or like gzip.
fn is_coded(text: &str) -> bool {
    // `{"`, `{ "`, `{` and a line's end, `[{"`, gzip.
    const BEGINNINGS: [&str; 5] = ["eyJ", "eyAi", "ewo", "W3si", "H4sI"];
    const BYTES_MIN: usize = 16;
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_=.\r\n".contains(&byte);
    text.len() >= BYTES_MIN
        && BEGINNINGS.iter().any(|beginning| text.starts_with(beginning))
        && text.trim_end().bytes().all(is_base64)
}

fn is_json_with_names(text: &str) -> bool {
    match json::read(text.as_bytes(), usize::MAX) {
        Ok(document) => match document.value {
            Value::List(items) => items.iter().any(|item| item.is_container() || matches!(item, Value::Text(_))),
            value => value.is_object(),
        },
        Err(_) => false,
    }
}

/// Whether `name` stands in the text as a word with a separator behind it; commas and tabs separate in a text of lines.
fn names_a_field(text: &str, name: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let is_table = text.contains('\n');
    !name.is_empty()
        && text.match_indices(name).any(|(at, _)| {
            let (before, after) = (&text[..at], &text[at + name.len()..]);
            let behind = after.trim_start_matches(['"', '\'', '\\', ' ']).chars().next();
            let separates = match behind {
                Some(':' | '=' | '>') => true,
                Some(',' | ';' | '|' | '\t' | '\n' | '\r') => is_table,
                _ => false,
            };
            separates && !before.ends_with(is_word) && !after.starts_with(is_word)
        })
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
