//! Columns that a person asks for: their types beat what records declare and what they look like. They too are only added.

use std::collections::BTreeMap;
use std::fmt;

use super::schema::{Field, PLACES, Place, Schema, Type, find};
use crate::config::{ColumnPath, ColumnType, FixedType};

/// A column that is asked for, and its type.
pub type Wanted = (ColumnPath, Type);

/// A column that is there with another type, or cannot be there because of one that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    pub wanted: ColumnPath,
    pub wanted_type: Type,
    /// The column that stands in the way: the same, or one on the way to it.
    pub column: String,
    pub column_type: Type,
}

impl From<&ColumnType> for Type {
    fn from(data_type: &ColumnType) -> Type {
        match data_type {
            ColumnType::Boolean => Type::Boolean,
            ColumnType::Double => Type::Double,
            ColumnType::Float => Type::Float,
            ColumnType::String => Type::String,
            ColumnType::Int8 => Type::Int8,
            ColumnType::Int16 => Type::Int16,
            ColumnType::Int32 => Type::Int32,
            ColumnType::Int64 => Type::Int64,
            ColumnType::Uint8 => Type::Uint8,
            ColumnType::Uint16 => Type::Uint16,
            ColumnType::Uint32 => Type::Uint32,
            ColumnType::Uint64 => Type::Uint64,
            ColumnType::Binary => Type::Binary,
            ColumnType::Map => Type::MapDouble,
            ColumnType::List(element) => Type::List(Box::new(Type::from(&**element))),
        }
    }
}

/// What a configuration or a command line fixes.
pub fn wanted(fixed: &[FixedType]) -> Vec<Wanted> {
    fixed.iter().map(|fixed| (fixed.path.clone(), Type::from(&fixed.data_type))).collect()
}

/// The place of a column, and the keys below it.
pub(super) fn place_of(path: &ColumnPath) -> (Place, &[String]) {
    match path.keys() {
        [side, below @ ..] if side == "inputs" => (Place::Inputs, below),
        [side, below @ ..] if side == "outputs" => (Place::Outputs, below),
        keys => (Place::Extras, keys),
    }
}

impl Schema {
    /// The next version, with these columns; `None` if it has them all, or has something else in their places.
    pub fn with(&self, wanted: &[Wanted]) -> Option<Schema> {
        let asked = asked(wanted);
        (!self.covers(&asked)).then(|| self.merge(&asked))
    }

    /// What a table without a version begins with, for a survey to add to.
    pub fn unborn_with(wanted: &[Wanted]) -> Schema {
        let unborn = Schema::unborn();
        unborn.with(wanted).map_or(unborn, |schema| schema.numbered(0))
    }

    /// Which of these columns are not, and will never be, as they are asked for: a column keeps its type.
    pub fn conflicts(&self, wanted: &[Wanted]) -> Vec<Conflict> {
        wanted.iter().filter_map(|(path, data_type)| self.conflict(path, data_type)).collect()
    }

    /// STRUCTs of numbers alone, below `inputs` and `outputs`: where the records have a map, such as of labels to probabilities, and the first files
    /// had too few rows to show it.
    pub fn structs_of_numbers(&self) -> Vec<ColumnPath> {
        fn collect(fields: &[Field], path: &[String], found: &mut Vec<ColumnPath>) {
            for field in fields {
                let Type::Struct(inner) = &field.data_type else { continue };
                let is_current = find(fields, field.key()).is_some_and(|current| current.name == field.name);
                let path = [path, &[field.key().to_owned()]].concat();
                if is_current && inner.iter().all(|field| field.data_type == Type::Double) {
                    found.push(ColumnPath::of(path));
                } else if is_current {
                    collect(inner, &path, found);
                }
            }
        }
        let mut found = Vec::new();
        for place in PLACES {
            let side: Vec<String> = place.prefix().split_terminator('.').map(str::to_owned).collect();
            collect(self.fields(place), &side, &mut found);
        }
        found
    }

    /// The column at a path, by the name that queries use, and its type.
    pub fn column(&self, path: &ColumnPath) -> Option<(String, &Type)> {
        let (place, keys) = place_of(path);
        let mut name = place.prefix().to_owned();
        let mut fields = self.fields(place);
        let (last, above) = keys.split_last()?;
        for key in above {
            let field = find(fields, key)?;
            name.push_str(&field.name);
            name.push('.');
            fields = field.children();
        }
        let field = find(fields, last)?;
        Some((name + &field.name, &field.data_type))
    }

    /// Where the values of columns stand whose name is not their key.
    pub fn keys(&self) -> BTreeMap<String, ColumnPath> {
        fn collect(fields: &[Field], name: &str, path: &[String], found: &mut BTreeMap<String, ColumnPath>) {
            for field in fields {
                let name = format!("{name}{}", field.name);
                let path = [path, &[field.key().to_owned()]].concat();
                collect(field.children(), &format!("{name}."), &path, found);
                let path = ColumnPath::of(path);
                if path.to_string() != name {
                    found.insert(name, path);
                }
            }
        }
        let mut found = BTreeMap::new();
        for place in PLACES {
            let side: Vec<String> = place.prefix().split_terminator('.').map(str::to_owned).collect();
            collect(self.fields(place), place.prefix(), &side, &mut found);
        }
        found
    }

    fn conflict(&self, path: &ColumnPath, wanted: &Type) -> Option<Conflict> {
        let (place, keys) = place_of(path);
        let mut fields = self.fields(place);
        let mut column = place.prefix().to_owned();
        for (at, key) in keys.iter().enumerate() {
            let field = find(fields, key)?;
            column.push_str(&field.name);
            let last = at + 1 == keys.len();
            let is_struct = matches!(field.data_type, Type::Struct(_));
            let fits = match (last, wanted) {
                (false, _) => is_struct,
                (true, Type::Struct(_)) => is_struct,
                // A MAP is put beside it, and takes what comes from then on.
                (true, Type::MapDouble) if is_struct => true,
                (true, wanted) => field.data_type == *wanted,
            };
            if !fits {
                let (wanted, wanted_type) = (path.clone(), wanted.clone());
                return Some(Conflict { wanted, wanted_type, column, column_type: field.data_type.clone() });
            }
            column.push('.');
            fields = field.children();
        }
        None
    }
}

/// A schema of just these columns, STRUCTs around them.
fn asked(wanted: &[Wanted]) -> Schema {
    let mut parts: [Vec<Field>; 3] = Default::default();
    for (path, data_type) in wanted {
        let (place, keys) = place_of(path);
        let at = PLACES.iter().position(|known| *known == place).expect("one of the three");
        insert(&mut parts[at], keys, data_type);
    }
    let [inputs, outputs, extras] = parts;
    Schema::of_parts(inputs, outputs, extras)
}

fn insert(fields: &mut Vec<Field>, keys: &[String], data_type: &Type) {
    let [key, below @ ..] = keys else { return };
    let at = fields.iter().position(|field| field.key() == key).unwrap_or_else(|| {
        let data_type = if below.is_empty() { data_type.clone() } else { Type::Struct(Vec::new()) };
        // With its key, a MAP may stand beside a STRUCT.
        let beside = (data_type == Type::MapDouble).then(|| key.clone());
        fields.push(Field { name: key.clone(), key: beside, id: 0, data_type });
        fields.len() - 1
    });
    if let Type::Struct(inner) = &mut fields[at].data_type {
        insert(inner, below, data_type);
    }
}

/// As a column's type is shown and written.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::MapDouble => f.write_str("MAP<STRING, DOUBLE>"),
            Type::List(element) => write!(f, "LIST<{element}>"),
            Type::Struct(_) => f.write_str("STRUCT"),
            flat => f.write_str(&format!("{flat:?}").to_uppercase()),
        }
    }
}
