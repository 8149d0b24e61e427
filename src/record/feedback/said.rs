//! One feedback as plain data.

use std::borrow::Cow;

use uuid::Uuid;

use crate::protocol::Value;

/// Keys of the plain form.
pub const KEYS: [&str; 5] = ["id", "client_request_id", "truth", "reward", "metadata"];

/// Bytes of a client's own id.
pub const CLIENT_ID_BYTES_MAX: usize = 1024;

/// What was said about one prediction.
#[derive(Debug, Clone, PartialEq)]
pub struct Said<'a> {
    /// One of the two ids is there.
    pub id: Option<Id>,
    pub client_request_id: Option<Cow<'a, str>>,
    /// Of a client's own id: the row that is meant.
    pub row_index: Option<u32>,
    pub truth: Option<Value<'a>>,
    pub reward: Option<Value<'a>>,
    pub metadata: Vec<(String, String)>,
}

impl Said<'_> {
    /// The id that its sender knows it by.
    pub fn word(&self) -> &str {
        match (&self.id, &self.client_request_id) {
            (Some(id), _) => &id.text,
            (None, Some(id)) => id,
            (None, None) => "",
        }
    }
}

/// An id that weir gave: a call's, or `<call>_<i>` of its row `i`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Id {
    pub text: String,
    /// The call's.
    pub request_id: String,
    pub row_index: Option<u32>,
}

impl Id {
    /// Reads an id, and writes it as the table has it.
    pub fn parse(text: &str) -> Option<Id> {
        let (call, row) = match text.split_once('_') {
            Some((call, row)) => (call, Some(row)),
            None => (text, None),
        };
        // Other forms of a UUID would be found in no table.
        let request_id = Uuid::try_parse(call).ok().filter(|_| call.len() == 36)?.hyphenated().to_string();
        let row_index = match row {
            None => None,
            Some(row) => Some(row.parse::<u32>().ok().filter(|number| number.to_string() == row)?),
        };
        Some(Id::of(request_id, row_index))
    }

    pub fn of(request_id: String, row_index: Option<u32>) -> Id {
        let text = match row_index {
            Some(row) => format!("{request_id}_{row}"),
            None => request_id.clone(),
        };
        Id { text, request_id, row_index }
    }
}

/// Where in a request something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The request is one feedback.
    Whole,
    /// Its number in the list, from 0.
    At(usize),
}

impl Place {
    pub fn number(at: usize) -> Place {
        Place::At(at)
    }

    /// A sentence about it.
    pub fn says(self, what: impl std::fmt::Display) -> String {
        match self {
            Place::Whole => what.to_string(),
            Place::At(at) => format!("feedback [{at}]: {what}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_call_or_a_row_of_one() {
        let call = "0199a7b2-7c10-7abc-8def-0123456789ab";
        let id = |text: &str| Id::parse(text).map(|id| (id.text, id.request_id, id.row_index));
        assert_eq!(id(call), Some((call.to_owned(), call.to_owned(), None)));
        assert_eq!(id(&format!("{call}_0")), Some((format!("{call}_0"), call.to_owned(), Some(0))));
        assert_eq!(id(&call.to_uppercase()), Some((call.to_owned(), call.to_owned(), None)), "as the table has it");
        let row = |row: &str| format!("{call}_{row}");
        for none in ["", "42", "_", &call.replace('-', ""), &format!("{{{call}}}"), &row(""), &row("01"), &row("-1")] {
            assert_eq!(id(none), None, "{none}");
        }
        for none in [row("+1"), row("1_1"), row("4294967296"), format!("{call} ")] {
            assert_eq!(id(&none), None, "{none}");
        }
    }
}
