//! Types that a person fixes for columns: `inputs.customer_id: int64`, in the configuration and for `weir schema --pin`.

use std::fmt;
use std::str::FromStr;

/// Keys on the way to a column, the side counted: `inputs` and four levels of STRUCT.
const DEPTH_MAX: usize = 5;

/// Longer keys are no columns: bytes.
pub const KEY_BYTES_MAX: usize = 255;

/// Columns that every table has; their types are weir's own.
pub const OWN_COLUMNS: [&str; 48] = [
    "id",
    "model_name",
    "model_version",
    "inputs",
    "outputs",
    "occurred_at",
    "request_id",
    "client_request_id",
    "trace_id",
    "row_index",
    "row_count",
    "status_code",
    "outcome",
    "origin",
    "attempts",
    "upstream",
    "latency_ms",
    "upstream_ms",
    "ttfb_ms",
    "route",
    "protocol",
    "method",
    "path",
    "request_bytes",
    "response_bytes",
    "streamed",
    "partial",
    "truncated",
    "parse_status",
    "parse_error",
    "error",
    "sampling_rate",
    "metadata",
    "types",
    "request_body",
    "response_body",
    "body_encoding",
    "schema_version",
    "_raw",
    "_source",
    "_seq",
    "_topic",
    "_partition",
    "_offset",
    "_key",
    "_timestamp",
    "_quarantined",
    "_error",
];

/// What is wrong with a text, and what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {fix}")]
pub struct BadColumn {
    pub what: String,
    pub fix: String,
}

fn bad(what: String, fix: impl Into<String>) -> BadColumn {
    BadColumn { what, fix: fix.into() }
}

/// Where a column's values stand in a record: `inputs.customer_id`, or `user` at the top level of a record that another program wrote. A key
/// that has a dot in it stands in quotes: `inputs."user.age"`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ColumnPath(Vec<String>);

impl ColumnPath {
    /// At least one; the first is `inputs`, `outputs`, or a field of its own.
    pub fn keys(&self) -> &[String] {
        &self.0
    }

    /// The path of these keys.
    pub fn of(keys: Vec<String>) -> ColumnPath {
        ColumnPath(keys)
    }

    /// Whether one of the two is a part of the other, or both are one.
    pub fn meets(&self, other: &ColumnPath) -> bool {
        self.0.iter().zip(&other.0).all(|(mine, theirs)| mine == theirs)
    }
}

impl FromStr for ColumnPath {
    type Err = BadColumn;

    fn from_str(text: &str) -> Result<ColumnPath, BadColumn> {
        let keys = split(text)
            .ok_or_else(|| bad(format!("`{text}` does not name a column"), "write for example `inputs.customer_id`"))?;
        match keys.as_slice() {
            [side] if side == "inputs" || side == "outputs" => {
                return Err(bad(
                    format!("`{side}` is no column of one type"),
                    format!("name a key of it: `{side}.age`"),
                ));
            }
            [own, ..] if own != "inputs" && own != "outputs" && OWN_COLUMNS.contains(&own.as_str()) => {
                let fix = format!("name a field of the model: `inputs.{own}`");
                return Err(bad(format!("`{own}` is a column of weir's own, with a type of its own"), fix));
            }
            keys if keys.len() > DEPTH_MAX => {
                let what = format!("`{text}` is more than four levels deep: such values stay in `_raw`");
                return Err(bad(what, "remove it"));
            }
            keys if keys.iter().any(|key| key.len() > KEY_BYTES_MAX) => {
                let what = format!("a key of `{text}` has more than {KEY_BYTES_MAX} bytes: its values stay in `_raw`");
                return Err(bad(what, "remove it"));
            }
            _ => {}
        }
        Ok(ColumnPath(keys))
    }
}

/// The keys of a path; `None` for an empty key or a quote that is not whole.
fn split(text: &str) -> Option<Vec<String>> {
    let mut keys = Vec::new();
    let mut rest = text;
    loop {
        let (key, after) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (key, after) = quoted.split_once('"')?;
                (key, after)
            }
            None => {
                let end = rest.find('.').unwrap_or(rest.len());
                rest.split_at(end)
            }
        };
        if key.is_empty() || key.contains('"') {
            return None;
        }
        keys.push(key.to_owned());
        if after.is_empty() {
            return Some(keys);
        }
        rest = after.strip_prefix('.')?;
    }
}

impl fmt::Display for ColumnPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, key) in self.0.iter().enumerate() {
            let dot = if at == 0 { "" } else { "." };
            match key.contains('.') {
                true => write!(f, "{dot}\"{key}\"")?,
                false => write!(f, "{dot}{key}")?,
            }
        }
        Ok(())
    }
}

/// A type that a column can be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnType {
    Boolean,
    Double,
    Float,
    String,
    Int8,
    Int16,
    Int32,
    Int64,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    /// Bytes; base64 in the record.
    Binary,
    /// From names to doubles.
    Map,
    List(Box<ColumnType>),
}

/// Each with the words it has elsewhere: SQL's, Arrow's, V2's.
const WORDS: [(&str, ColumnType, &[&str]); 13] = [
    ("boolean", ColumnType::Boolean, &["bool"]),
    ("double", ColumnType::Double, &["float64", "fp64"]),
    ("float", ColumnType::Float, &["float32", "fp32"]),
    ("string", ColumnType::String, &["text", "utf8", "varchar"]),
    ("int8", ColumnType::Int8, &["tinyint"]),
    ("int16", ColumnType::Int16, &["smallint"]),
    ("int32", ColumnType::Int32, &["int", "integer"]),
    ("int64", ColumnType::Int64, &["long", "bigint"]),
    ("uint8", ColumnType::Uint8, &[]),
    ("uint16", ColumnType::Uint16, &[]),
    ("uint32", ColumnType::Uint32, &[]),
    ("uint64", ColumnType::Uint64, &[]),
    ("binary", ColumnType::Binary, &[]),
];

impl FromStr for ColumnType {
    type Err = BadColumn;

    fn from_str(text: &str) -> Result<ColumnType, BadColumn> {
        let word: String = text.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_lowercase();
        let inner = |list: &str| word.strip_prefix(list).and_then(|rest| rest.strip_suffix('>')).map(str::to_owned);
        if word == "map" || word == "map<string,double>" {
            return Ok(ColumnType::Map);
        }
        if let Some(element) = inner("list<") {
            let element: ColumnType = element.parse()?;
            let numbers = |of: &ColumnType| !matches!(of, ColumnType::Map | ColumnType::List(_));
            match &element {
                ColumnType::List(inner) if numbers(inner) => return Ok(ColumnType::List(Box::new(element))),
                flat if numbers(flat) => return Ok(ColumnType::List(Box::new(element))),
                _ => {}
            }
        }
        let known = WORDS.iter().find(|(name, _, others)| *name == word || others.contains(&word.as_str()));
        known.map(|(_, data_type, _)| data_type.clone()).ok_or_else(|| {
            let names: Vec<&str> = WORDS.iter().map(|(name, ..)| *name).collect();
            let fix = format!("write one of {}, list<double> (or of another), map<string, double>", names.join(", "));
            bad(format!("`{text}` is no type of a column"), fix)
        })
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ColumnType::Map => f.write_str("map<string, double>"),
            ColumnType::List(element) => write!(f, "list<{element}>"),
            flat => match WORDS.iter().find(|(_, data_type, _)| data_type == flat) {
                Some((name, ..)) => f.write_str(name),
                None => write!(f, "{flat:?}"),
            },
        }
    }
}

/// A column whose type a person says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixedType {
    pub path: ColumnPath,
    pub data_type: ColumnType,
}

impl FromStr for FixedType {
    type Err = BadColumn;

    /// `inputs.customer_id=int64`, as on a command line.
    fn from_str(text: &str) -> Result<FixedType, BadColumn> {
        let (path, data_type) = text
            .rsplit_once('=')
            .ok_or_else(|| bad(format!("`{text}` names no type"), format!("write for example `{text}=int64`")))?;
        Ok(FixedType { path: path.parse()?, data_type: data_type.parse()? })
    }
}

/// The first two that cannot both be: one is the other, or a part of it.
pub fn meeting<'t>(columns: &[&'t ColumnPath]) -> Option<(&'t ColumnPath, &'t ColumnPath)> {
    let pairs = columns.iter().enumerate().flat_map(|(at, one)| columns[..at].iter().map(move |other| (*other, *one)));
    pairs.into_iter().find(|(one, other)| one.meets(other))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_are_read_with_and_without_quotes() {
        let keys = |text: &str| text.parse::<ColumnPath>().map(|path| path.keys().join("|"));
        assert_eq!(keys("inputs.customer_id"), Ok("inputs|customer_id".to_owned()));
        assert_eq!(keys("inputs.\"user.age\".x"), Ok("inputs|user.age|x".to_owned()));
        assert_eq!(keys("user"), Ok("user".to_owned()));
        assert_eq!(keys("inputs.id"), Ok("inputs|id".to_owned()));
        for wrong in
            ["", "inputs", "outputs", "inputs.", ".a", "inputs..a", "inputs.\"a", "inputs.\"a\"b", "inputs.a\"b"]
        {
            assert!(keys(wrong).is_err(), "{wrong}");
        }
        assert!(keys("id").unwrap_err().what.contains("weir's own"));
        assert!(keys("inputs.a.b.c.d").is_ok());
        assert!(keys("inputs.a.b.c.d.e").unwrap_err().what.contains("four levels"));
        assert!(keys(&format!("inputs.{}", "k".repeat(256))).is_err());
    }

    #[test]
    fn types_have_the_words_of_several_worlds() {
        let named = |text: &str| text.parse::<ColumnType>().map(|data_type| data_type.to_string());
        for (text, name) in [
            ("INT64", "int64"),
            ("bigint", "int64"),
            ("FP32", "float"),
            ("List<Double>", "list<double>"),
            ("list< list<fp32> >", "list<list<float>>"),
            ("MAP<STRING, DOUBLE>", "map<string, double>"),
            ("map", "map<string, double>"),
            ("binary", "binary"),
        ] {
            assert_eq!(named(text), Ok(name.to_owned()), "{text}");
        }
        for wrong in [
            "",
            "number",
            "list",
            "list<>",
            "list<map>",
            "list<list<list<double>>>",
            "map<string, string>",
            "list<double",
        ] {
            assert!(named(wrong).unwrap_err().fix.contains("int64"), "{wrong}");
        }
        assert!("inputs.a".parse::<FixedType>().unwrap_err().fix.contains("inputs.a=int64"));
        assert!("inputs.a=int64".parse::<FixedType>().is_ok());
    }

    #[test]
    fn a_column_is_not_within_another() {
        let paths: Vec<ColumnPath> =
            ["inputs.a", "inputs.b.c", "outputs.a", "inputs.b"].iter().map(|text| text.parse().unwrap()).collect();
        let paths: Vec<&ColumnPath> = paths.iter().collect();
        assert_eq!(meeting(&paths[..3]), None);
        assert_eq!(meeting(&paths), Some((paths[1], paths[3])));
    }

    proptest! {
        #[test]
        fn a_path_is_read_as_it_is_shown(keys in prop::collection::vec("[^\"]{1,8}", 1..4)) {
            let path = ColumnPath([vec!["inputs".to_owned()], keys].concat());
            prop_assert_eq!(path.to_string().parse::<ColumnPath>(), Ok(path));
        }

        #[test]
        fn whatever_is_written_is_read_or_refused_with_a_fix(text in ".{0,40}") {
            if let Err(bad) = text.parse::<FixedType>() {
                prop_assert!(!bad.what.is_empty() && !bad.fix.is_empty());
            }
        }
    }
}
