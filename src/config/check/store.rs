//! Where the files go, and how they look.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Rules;
use crate::config::file;
use crate::config::report::ConfigError;
use crate::config::units::Span;
use crate::config::{BadColumn, FixedType, PUT_BYTES_MAX, Parquet, S3, Store, StoreTo, meeting};

const ROLL_BYTES_MIN: u64 = 1024;
const ROLL_BYTES_MAX: u64 = 16 << 30;
const MULTIPART_BYTES_MIN: u64 = 1024;
const ZSTD_LEVEL_MAX: i32 = 22;
const ROW_GROUP_MAX: usize = 10_000_000;
const COLUMNS_MAX: usize = 10_000;

pub(super) fn store(at: &Rules<'_>, file: &file::Store, data_dir: &Path) -> Result<Store, ConfigError> {
    let key = |key| ["store", key];
    if file.delta {
        let what = "`store.delta: true` is not in this version";
        return Err(at.wrong(&key("delta"), what, "write `delta: false`, or remove it"));
    }
    let parquet = |key| ["store", "parquet", key];
    Ok(Store {
        to: to(at, file, data_dir)?,
        roll_bytes: at.size(&["store", "roll", "size"], file.roll.size, ROLL_BYTES_MIN, ROLL_BYTES_MAX)?,
        roll_every: at.span(&["store", "roll", "every"], file.roll.every, Span::millis(100), Span::secs(86_400))?,
        partition: file.partition,
        parquet: Parquet {
            zstd_level: at.range(&parquet("level"), file.parquet.level, 1, ZSTD_LEVEL_MAX)?,
            row_group_rows: at.range(&parquet("row_group"), file.parquet.row_group, 1, ROW_GROUP_MAX)?,
            encodings: file.parquet.encodings,
        },
        columns_max: at.range(&key("columns_max"), file.columns_max, 1, COLUMNS_MAX)?,
        tables: tables(at, file)?,
    })
}

fn tables(at: &Rules<'_>, file: &file::Store) -> Result<BTreeMap<String, Vec<FixedType>>, ConfigError> {
    let mut tables = BTreeMap::new();
    for (table, written) in &file.tables.0 {
        let mut types: Vec<FixedType> = Vec::new();
        for (column, data_type) in &written.types.0 {
            let key = ["store", "tables", table, "types", column];
            let path = column.parse().map_err(|BadColumn { what, fix }| at.tree.key_error(&key, what, fix))?;
            let data_type = data_type.parse().map_err(|BadColumn { what, fix }| at.wrong(&key, what, fix))?;
            types.push(FixedType { path, data_type });
            if let Some((one, other)) = meeting(&types.iter().map(|fixed| &fixed.path).collect::<Vec<_>>()) {
                let what = format!("`{one}` and `{other}` cannot both be columns of {table}");
                return Err(at.tree.key_error(&key, what, "remove one of them"));
            }
        }
        tables.insert(table.clone(), types);
    }
    Ok(tables)
}

fn to(at: &Rules<'_>, file: &file::Store, data_dir: &Path) -> Result<StoreTo, ConfigError> {
    let key = ["store", "to"];
    let written = file.to.as_deref();
    let Some(address) = written.and_then(|to| to.strip_prefix("s3://")) else {
        for (name, set) in [
            ("endpoint", file.endpoint.is_some()),
            ("region", file.region.is_some()),
            ("path_style", file.path_style.is_some()),
            ("sse_kms", file.sse_kms.is_some()),
        ] {
            if set {
                let what = format!("`store.{name}` is for S3, but the files go to a folder");
                return Err(at.wrong(&["store", name], what, "write `to: s3://bucket/prefix`, or remove it"));
            }
        }
        return match written {
            None => Ok(StoreTo::Folder(data_dir.join("parquet"))),
            Some(path) if path.contains("://") => {
                let what = format!("`{path}` is no place for files");
                Err(at.wrong(&key, what, "write a folder, or `s3://bucket/prefix`"))
            }
            Some("") => Err(at.wrong(&key, "`store.to` is empty", "write a folder, or `s3://bucket/prefix`")),
            Some(path) => {
                at.folder(&key, path)?;
                Ok(StoreTo::Folder(PathBuf::from(path)))
            }
        };
    };
    let (bucket, prefix) = address.split_once('/').unwrap_or((address, ""));
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
    if bucket.len() < 3 || bucket.len() > 63 || !bucket.chars().all(allowed) || bucket.starts_with(['.', '-']) {
        let what = format!("`{bucket}` cannot be a bucket: 3 to 63 lower-case letters, digits, `.` and `-`");
        return Err(at.wrong(&key, what, "write `s3://bucket/prefix`"));
    }
    let prefix = prefix.trim_matches('/');
    if prefix.split('/').any(|part| part == "." || part == "..") || (prefix.contains("//")) {
        let what = format!("the prefix `{prefix}` has an empty part, `.` or `..`");
        return Err(at.wrong(&key, what, "write for example `s3://bucket/predictions`"));
    }
    if let Some(endpoint) = &file.endpoint {
        let host = endpoint.strip_prefix("http://").or_else(|| endpoint.strip_prefix("https://"));
        let key = ["store", "endpoint"];
        match host.map(|host| host.trim_end_matches('/')) {
            None => {
                let what = format!("`{endpoint}` has no scheme");
                return Err(at.wrong(&key, what, format!("write `http://{endpoint}` or `https://{endpoint}`")));
            }
            Some(host) if host.parse::<http::uri::Authority>().is_err() => {
                let what = format!("`{endpoint}` is not the URL of an S3 server");
                return Err(at.wrong(&key, what, "write scheme, host and port, for example `http://127.0.0.1:9000`"));
            }
            Some(_) => {}
        }
    }
    if file.region.as_deref().is_some_and(str::is_empty) {
        return Err(at.wrong(&["store", "region"], "`store.region` is empty", "write for example `us-east-1`"));
    }
    let kms_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':' | '/');
    if file.sse_kms.as_deref().is_some_and(|key| key.is_empty() || !key.chars().all(kms_key)) {
        let what = "`store.sse_kms` is no id, ARN or alias of a KMS key";
        return Err(at.wrong(&["store", "sse_kms"], what, "write for example `alias/predictions`, or the key's ARN"));
    }
    let threshold = ["store", "multipart_threshold"];
    Ok(StoreTo::S3(S3 {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
        endpoint: file.endpoint.as_ref().map(|endpoint| endpoint.trim_end_matches('/').to_owned()),
        region: file.region.clone(),
        // Servers that are not AWS seldom have a host name per bucket.
        path_style: file.path_style.unwrap_or(file.endpoint.is_some()),
        sse_kms: file.sse_kms.clone(),
        multipart_bytes: at.size(&threshold, file.multipart_threshold, MULTIPART_BYTES_MIN, PUT_BYTES_MAX)?,
    }))
}
