//! What a value says about the type of its column.

/// What a value decides about its column's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Class {
    /// null, `[]`, `{}`, and the strings for NaN and the infinities.
    Undecided,
    Bool,
    Number,
    Text,
    ListBool,
    ListNumber,
    ListText,
    ListListNumber,
    Object,
    /// A list of what no LIST can hold.
    Other,
}

pub(super) const CLASSES: [Class; 10] = [
    Class::Undecided,
    Class::Bool,
    Class::Number,
    Class::Text,
    Class::ListBool,
    Class::ListNumber,
    Class::ListText,
    Class::ListListNumber,
    Class::Object,
    Class::Other,
];

/// What a list has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct List {
    /// Of its own scalars: undecided, one of the three scalars, or other.
    pub elements: Class,
    /// Whether a list is in it, and of what.
    pub nested: bool,
    inner: Class,
}

impl List {
    pub fn empty() -> List {
        List { elements: Class::Undecided, nested: false, inner: Class::Undecided }
    }

    pub fn scalar(&mut self, level: u32, class: Class) {
        let seen = match level {
            1 => &mut self.elements,
            _ => &mut self.inner,
        };
        match (*seen, class) {
            (_, Class::Undecided) => {}
            (Class::Undecided, class) => *seen = class,
            (same, class) if same == class => {}
            _ => *seen = Class::Other,
        }
    }

    pub fn class(self) -> Class {
        match (self.nested, self.elements, self.inner) {
            (false, Class::Bool, _) => Class::ListBool,
            (false, Class::Number, _) => Class::ListNumber,
            (false, Class::Text, _) => Class::ListText,
            (true, Class::Undecided, Class::Number) => Class::ListListNumber,
            (_, Class::Undecided, Class::Undecided) => Class::Undecided,
            _ => Class::Other,
        }
    }
}
