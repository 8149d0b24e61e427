//! `openapi.json` -> the names of a row's values, where the schema of the body describes a row without keys: a tuple whose items have
//! titles (FastAPI writes a `NamedTuple` so), or a list of columns (BentoML's frames).
//!
//! Specifications: OpenAPI 3.1, JSON Schema 2020-12, `prefixItems`.

use serde_json::Value;

use crate::record::Learned;

/// Steps down a schema, and schemas looked at in all: a document may refer to itself.
const DEPTH_MAX: usize = 12;
const SCHEMAS_MAX: usize = 2_000;

/// The names for POST requests to `path`.
pub fn names(document: &Value, path: &str) -> Learned {
    let Some(operation) = operation(document, path) else { return Learned::default() };
    let answers = &operation["responses"];
    let answer = ["200", "201", "2XX", "default"].iter().map(|code| &answers[code]).find(|answer| !answer.is_null());
    Learned {
        inputs: row(document, &operation["requestBody"]),
        outputs: answer.map(|answer| row(document, answer)).unwrap_or_default(),
    }
}

/// The operation of a path: itself, else one with parameters in it.
fn operation<'d>(document: &'d Value, path: &str) -> Option<&'d Value> {
    let paths = document["paths"].as_object()?;
    let item = paths
        .get(path)
        .or_else(|| paths.iter().find(|(template, _)| matches_template(template, path)).map(|(_, item)| item))?;
    item.get("post")
}

fn matches_template(template: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(want), Some(segment)) => {
                let is_parameter = want.starts_with('{') && want.ends_with('}') && !segment.is_empty();
                if want != segment && !is_parameter {
                    return false;
                }
            }
            _ => return false,
        }
    }
}

/// The names of the only row that a body's schema describes; none if it describes several.
fn row(document: &Value, body: &Value) -> Vec<String> {
    let content = &resolve(document, body)["content"];
    let schema = &content["application/json"]["schema"];
    let mut search = Search { document, found: Vec::new(), left: SCHEMAS_MAX };
    search.look(schema, DEPTH_MAX);
    match search.found.as_slice() {
        [names] => names.clone(),
        _ => Vec::new(),
    }
}

struct Search<'d> {
    document: &'d Value,
    found: Vec<Vec<String>>,
    left: usize,
}

impl<'d> Search<'d> {
    fn look(&mut self, schema: &'d Value, depth: usize) {
        if depth == 0 || self.left == 0 {
            return;
        }
        self.left -= 1;
        let schema = resolve(self.document, schema);
        if let Some(names) = tuple(self.document, schema).or_else(|| columns(schema)) {
            if !self.found.contains(&names) {
                self.found.push(names);
            }
            return;
        }
        let lists = ["anyOf", "oneOf", "allOf"].iter().filter_map(|key| schema[key].as_array()).flatten();
        let properties = schema["properties"].as_object().into_iter().flat_map(|properties| properties.values());
        for below in lists.chain(properties).chain(schema.get("items")) {
            self.look(below, depth - 1);
        }
    }
}

/// Follows references within the document.
fn resolve<'d>(document: &'d Value, mut schema: &'d Value) -> &'d Value {
    for _ in 0..DEPTH_MAX {
        match schema["$ref"].as_str().and_then(|reference| document.pointer(reference.strip_prefix('#')?)) {
            Some(target) => schema = target,
            None => break,
        }
    }
    schema
}

fn tuple(document: &Value, schema: &Value) -> Option<Vec<String>> {
    let items = schema["prefixItems"].as_array().filter(|items| !items.is_empty())?;
    items.iter().map(|item| Some(name(resolve(document, item)["title"].as_str()?))).collect()
}

fn columns(schema: &Value) -> Option<Vec<String>> {
    let names = schema["columns"].as_array().filter(|names| !names.is_empty())?;
    names.iter().map(|name| name.as_str().map(str::to_owned)).collect()
}

/// The field's name of a title: pydantic makes `Monthly Charge` of `monthly_charge`. Any other title is a name itself.
fn name(title: &str) -> String {
    let mut starts = true;
    let is_made = title.chars().all(|c| {
        let fits = match c {
            ' ' => true,
            c if c.is_alphabetic() => c.is_uppercase() == starts,
            c => c.is_ascii_digit(),
        };
        starts = !c.is_alphabetic();
        fits
    });
    if is_made { title.to_lowercase().replace(' ', "_") } else { title.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn titles_that_pydantic_made_are_names_again() {
        for (title, field) in [
            ("Age", "age"),
            ("Monthly Charge", "monthly_charge"),
            ("X2Y", "x2y"),
            ("pH", "pH"),
            ("Days since login", "Days since login"),
            ("ID", "ID"),
        ] {
            assert_eq!(name(title), field);
        }
    }

    #[test]
    fn a_path_with_parameters_is_found() {
        for (template, path, fits) in [
            ("/score/{id}", "/score/7", true),
            ("/score/{id}", "/score/", false),
            ("/score/{id}", "/score/7/8", false),
            ("/score", "/score", true),
        ] {
            assert_eq!(matches_template(template, path), fits, "{template} {path}");
        }
    }

    #[test]
    fn a_document_that_refers_to_itself_ends() {
        let document = json!({
            "paths": {"/p": {"post": {"requestBody": {"content": {"application/json": {"schema": {"$ref": "#/a"}}}}}}},
            "a": {"anyOf": [{"$ref": "#/a"}, {"$ref": "#/b"}, {"items": {"$ref": "#/a"}}], "properties": {"x": {"$ref": "#/a"}}},
            "b": {"$ref": "#/b"},
        });
        assert_eq!(names(&document, "/p"), Learned::default());
    }

    #[test]
    fn two_rows_are_none() {
        let tuple = |title: &str| json!({"type": "array", "prefixItems": [{"title": title}]});
        let body = |schema: Value| json!({"paths": {"/p": {"post": {"requestBody": {"content": {"application/json": {"schema": schema}}}}}}});
        let one = body(json!({"properties": {"rows": {"items": tuple("Age")}, "again": tuple("Age")}}));
        assert_eq!(names(&one, "/p").inputs, ["age"]);
        let two = body(json!({"properties": {"rows": {"items": tuple("Age")}, "other": tuple("Plan")}}));
        assert_eq!(names(&two, "/p").inputs, [""; 0]);
        let frame = body(json!({"properties": {"df": {"type": "dataframe", "columns": ["a", "b"]}}}));
        assert_eq!(names(&frame, "/p").inputs, ["a", "b"]);
    }
}
