//! The pinned schema of a table: what `_weir/schema/<n>.json` holds. Additive only: a column never changes its type, place, name or id.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field as ArrowField, FieldRef, Fields, Schema as ArrowSchema, TimeUnit};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;
use serde::{Deserialize, Serialize};

use super::envelope::{self, Kind, Needed};

mod merge;

pub(super) use merge::find;
use merge::{is_beside, merge_fields};

/// Version of the JSON form.
const FORM: u32 = 1;

/// Levels of STRUCT, `inputs` itself counted.
pub(super) const STRUCT_DEPTH_MAX: usize = 4;

/// The columns of a table beyond the fixed ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// Version of this JSON form.
    form: u32,
    version: u32,
    /// The next free field id.
    next_id: i32,
    inputs: Vec<Field>,
    outputs: Vec<Field>,
    /// Top-level fields that are not weir's own.
    extras: Vec<Field>,
}

/// One column, in the order of first sight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// The column's name: the key, with a suffix where another column has the same name in another case.
    pub name: String,
    /// The key in the JSON, where the column's name differs from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Parquet field id; the ids after it belong to a LIST's elements or a MAP's key and value.
    pub id: i32,
    #[serde(rename = "type")]
    pub data_type: Type,
}

impl Field {
    /// The key in the JSON.
    pub fn key(&self) -> &str {
        self.key.as_deref().unwrap_or(&self.name)
    }
}

/// Type of a column. Inferred are only BOOLEAN, DOUBLE, STRING, LISTs of them, `LIST<LIST<DOUBLE>>`, MAP and STRUCT; the others must be declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Type {
    Boolean,
    Double,
    String,
    Int8,
    Int16,
    Int32,
    Int64,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Float,
    Binary,
    /// MAP<STRING, DOUBLE>; inferred too, for objects of numbers whose keys vary.
    MapDouble,
    List(Box<Type>),
    Struct(Vec<Field>),
}

impl Type {
    /// Field ids that a column of this type takes, its children's not counted.
    fn ids(&self) -> i32 {
        match self {
            Type::MapDouble => 3,
            Type::List(element) => 1 + element.ids(),
            _ => 1,
        }
    }

    /// Whether any column of Parquet comes of it: an empty STRUCT is refused by the format.
    fn has_leaves(&self) -> bool {
        match self {
            Type::Struct(fields) => fields.iter().any(|field| field.data_type.has_leaves()),
            _ => true,
        }
    }
}

/// Why a schema document cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("the schema is not in the form that this weir writes")]
    Json(#[from] serde_json::Error),
    #[error("the schema's form is {0}, this weir reads {FORM}; use the weir that wrote it or a newer one")]
    Form(u32),
}

/// Version 1, without a column of its own.
impl Default for Schema {
    fn default() -> Schema {
        let (inputs, outputs, extras) = Default::default();
        Schema { form: FORM, version: 1, next_id: envelope::DYNAMIC_IDS, inputs, outputs, extras }
    }
}

/// The three places that columns come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Inputs,
    Outputs,
    Extras,
}

impl Place {
    /// What stands before the names of its columns.
    pub fn prefix(self) -> &'static str {
        match self {
            Place::Inputs => "inputs.",
            Place::Outputs => "outputs.",
            Place::Extras => "",
        }
    }
}

pub(super) const PLACES: [Place; 3] = [Place::Inputs, Place::Outputs, Place::Extras];

impl Schema {
    /// The number in `_weir/schema/<n>.json`, from 1.
    pub fn version(&self) -> u32 {
        self.version
    }

    pub fn inputs(&self) -> &[Field] {
        &self.inputs
    }

    pub fn outputs(&self) -> &[Field] {
        &self.outputs
    }

    /// Columns of the record's other top-level fields.
    pub fn extras(&self) -> &[Field] {
        &self.extras
    }

    pub(super) fn fields(&self, place: Place) -> &[Field] {
        match place {
            Place::Inputs => &self.inputs,
            Place::Outputs => &self.outputs,
            Place::Extras => &self.extras,
        }
    }

    /// Columns, each STRUCT and each of its fields counted.
    pub fn columns(&self) -> usize {
        fn count(fields: &[Field]) -> usize {
            let inner = |field: &Field| if let Type::Struct(fields) = &field.data_type { count(fields) } else { 0 };
            fields.iter().map(|field| 1 + inner(field)).sum()
        }
        PLACES.into_iter().map(|place| count(self.fields(place))).sum()
    }

    /// Content of `_weir/schema/<n>.json`.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec_pretty(self).expect("plain data has a JSON form");
        json.push(b'\n');
        json
    }

    /// Reads what [`Schema::to_json`] wrote.
    ///
    /// # Errors
    /// Anything else, and forms of later versions.
    pub fn from_json(json: &[u8]) -> Result<Schema, SchemaError> {
        #[derive(Deserialize)]
        struct Head {
            form: u32,
        }
        match serde_json::from_slice(json)? {
            Head { form: FORM } => Ok(serde_json::from_slice(json)?),
            Head { form } => Err(SchemaError::Form(form)),
        }
    }

    /// Whether every column of `other` is a column of this schema, whatever its type.
    pub fn covers(&self, other: &Schema) -> bool {
        fn covered(mine: &[Field], theirs: &[Field]) -> bool {
            theirs.iter().all(|their| match (find(mine, their.key()).map(|mine| &mine.data_type), &their.data_type) {
                (None, _) => false,
                (Some(mine), _) if is_beside(mine, their) => false,
                (Some(Type::Struct(mine)), Type::Struct(theirs)) => covered(mine, theirs),
                // A pinned type wins: nothing is missing that could be added.
                (Some(_), _) => true,
            })
        }
        PLACES.into_iter().all(|place| covered(self.fields(place), other.fields(place)))
    }

    /// This schema and what `other` has beyond it, as the next version.
    pub fn merge(&self, other: &Schema) -> Schema {
        let mut merged = self.clone();
        merged.version += 1;
        for place in PLACES {
            let mut added = merged.fields(place).to_vec();
            merge_fields(&mut added, other.fields(place), &mut merged.next_id, place == Place::Extras);
            *merged.fields_mut(place) = added;
        }
        merged
    }

    pub(super) fn fields_mut(&mut self, place: Place) -> &mut Vec<Field> {
        match place {
            Place::Inputs => &mut self.inputs,
            Place::Outputs => &mut self.outputs,
            Place::Extras => &mut self.extras,
        }
    }

    /// An empty schema one version on, to be merged: what a survey adds.
    pub(super) fn of_parts(inputs: Vec<Field>, outputs: Vec<Field>, extras: Vec<Field>) -> Schema {
        Schema { inputs, outputs, extras, ..Schema::default() }
    }

    /// All columns of a file: fixed ones and these, in the order of design section 6, with field ids.
    pub fn arrow(&self) -> ArrowSchema {
        let mut columns: Vec<FieldRef> = Vec::new();
        for (name, kind) in envelope::RECORD {
            let id = envelope::id(name);
            match (name, kind) {
                ("inputs", _) => columns.extend(side("inputs", id, &self.inputs)),
                ("outputs", _) => {
                    columns.extend(side("outputs", id, &self.outputs));
                    columns.extend(arrow_fields(&self.extras));
                }
                _ => columns.push(fixed(name, id, kind, Needed::Optional)),
            }
        }
        columns.extend(envelope::SYSTEM.map(|(name, kind, needed)| fixed(name, envelope::id(name), kind, needed)));
        ArrowSchema::new(columns)
    }
}

fn with_id(field: ArrowField, id: i32) -> FieldRef {
    Arc::new(field.with_metadata(HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string())])))
}

fn side(name: &str, id: i32, fields: &[Field]) -> Option<FieldRef> {
    let inner: Vec<FieldRef> = arrow_fields(fields).collect();
    (!inner.is_empty()).then(|| with_id(ArrowField::new(name, DataType::Struct(Fields::from(inner)), true), id))
}

fn arrow_fields(fields: &[Field]) -> impl Iterator<Item = FieldRef> {
    fields
        .iter()
        .filter(|field| field.data_type.has_leaves())
        .map(|field| with_id(ArrowField::new(&field.name, arrow_type(&field.data_type, field.id), true), field.id))
}

fn arrow_type(data_type: &Type, id: i32) -> DataType {
    match data_type {
        Type::Boolean => DataType::Boolean,
        Type::Double => DataType::Float64,
        Type::String => DataType::Utf8,
        Type::Int8 => DataType::Int8,
        Type::Int16 => DataType::Int16,
        Type::Int32 => DataType::Int32,
        Type::Int64 => DataType::Int64,
        Type::Uint8 => DataType::UInt8,
        Type::Uint16 => DataType::UInt16,
        Type::Uint32 => DataType::UInt32,
        Type::Uint64 => DataType::UInt64,
        Type::Float => DataType::Float32,
        Type::Binary => DataType::Binary,
        Type::MapDouble => map_type(DataType::Float64, id + 1),
        Type::List(element) => {
            DataType::List(with_id(ArrowField::new("element", arrow_type(element, id + 1), true), id + 1))
        }
        Type::Struct(fields) => DataType::Struct(Fields::from(arrow_fields(fields).collect::<Vec<_>>())),
    }
}

fn map_type(value: DataType, key_id: i32) -> DataType {
    let key = with_id(ArrowField::new("key", DataType::Utf8, false), key_id);
    let value = with_id(ArrowField::new("value", value, true), key_id + 1);
    let entries = DataType::Struct(Fields::from(vec![key, value]));
    DataType::Map(Arc::new(ArrowField::new("key_value", entries, false)), false)
}

fn fixed(name: &str, id: i32, kind: Kind, needed: Needed) -> FieldRef {
    let data_type = match kind {
        Kind::Text => DataType::Utf8,
        Kind::Binary => DataType::Binary,
        Kind::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Kind::Int32 => DataType::Int32,
        Kind::Int64 => DataType::Int64,
        Kind::Double => DataType::Float64,
        Kind::Bool => DataType::Boolean,
        Kind::TextMap => map_type(DataType::Utf8, envelope::map_ids(id)),
        Kind::Side => unreachable!("a side has fields"),
    };
    with_id(ArrowField::new(name, data_type, needed == Needed::Optional), id)
}

impl Schema {
    /// The fields that become columns.
    pub(super) fn emitted(fields: &[Field]) -> impl Iterator<Item = &Field> {
        fields.iter().filter(|field| field.data_type.has_leaves())
    }

    /// The same as another version.
    pub(super) fn numbered(self, version: u32) -> Schema {
        Schema { version, ..self }
    }

    /// The next version, with the same columns.
    pub fn next(self) -> Schema {
        let version = self.version + 1;
        self.numbered(version)
    }

    /// Before the first version.
    pub(super) fn unborn() -> Schema {
        Schema { version: 0, ..Schema::default() }
    }
}

impl Field {
    /// A STRUCT's fields.
    pub(super) fn children(&self) -> &[Field] {
        match &self.data_type {
            Type::Struct(fields) => fields,
            _ => &[],
        }
    }
}
