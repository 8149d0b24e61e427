//! Reads columns of a folder of Parquet with the parquet crate.

use std::path::{Path, PathBuf};

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;

/// Every `*.parquet` below a folder, as a plain glob would find it.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return found };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|e| e == "parquet") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// All values of a text column; nulls are left out.
pub fn column(folder: &Path, name: &str) -> Vec<String> {
    let mut values = Vec::new();
    for row in rows(folder) {
        if let Some((_, Field::Str(text))) = row.get_column_iter().find(|(n, _)| *n == name) {
            values.push(text.clone());
        }
    }
    values
}

/// All rows of all files.
pub fn rows(folder: &Path) -> Vec<parquet::record::Row> {
    files(folder)
        .iter()
        .flat_map(|path| {
            let file = std::fs::File::open(path).expect("a file");
            let reader = SerializedFileReader::new(file).expect("a Parquet file");
            reader.get_row_iter(None).expect("rows").collect::<Result<Vec<_>, _>>().expect("rows")
        })
        .collect()
}
