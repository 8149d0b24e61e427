//! `capture.sample`: the share of calls that are recorded, and by what it is drawn.

use super::Rules;
use crate::config::Sample;
use crate::config::file::Sample as Written;
use crate::config::report::ConfigError;

/// `None`: every call is recorded.
pub(super) fn sample(at: &Rules<'_>, route: &str, file: &Written) -> Result<Option<Sample>, ConfigError> {
    let key = |key| ["routes", route, "capture", "sample", key];
    let drawn = &file.0;
    let rate = drawn.rate;
    if !(0.0..=1.0).contains(&rate) {
        let what = format!("`{rate}` is not a share of calls, which is from 0 to 1");
        let fix = if rate > 1.0 && rate <= 100.0 {
            format!("write `{}` for {rate} calls in 100", rate / 100.0)
        } else {
            "write for example `0.1` for one call in ten".to_owned()
        };
        return Err(wrong_rate(at, route, what, fix));
    }
    if rate == 0.0 && !drawn.keep_errors {
        let what = "a rate of 0 would record nothing".to_owned();
        let fix = "write `mode: off` if that is meant, or `sample: { rate: 0, keep_errors: true }` for errors only";
        return Err(wrong_rate(at, route, what, fix.to_owned()));
    }
    let by = match drawn.by.as_deref() {
        None => None,
        Some(by) => Some(header(at, &key("by"), by)?),
    };
    Ok((rate < 1.0).then_some(Sample { rate, by, keep_errors: drawn.keep_errors }))
}

/// The rate stands alone or in the map.
fn wrong_rate(at: &Rules<'_>, route: &str, what: String, fix: String) -> ConfigError {
    let path = ["routes", route, "capture", "sample", "rate"];
    let written = if at.tree.entry(&path).is_some() { &path[..] } else { &path[..4] };
    at.wrong(written, what, fix)
}

/// Any header will do, those with credentials too: its value is hashed and forgotten.
fn header(at: &Rules<'_>, key: &[&str], by: &str) -> Result<String, ConfigError> {
    let Some(name) = by.strip_prefix("header:") else {
        let what = format!("`{by}` does not say which header of the request calls are told apart by");
        let plain = http::HeaderName::from_bytes(by.as_bytes()).is_ok();
        return Err(at.wrong(key, what, format!("write `header:{}`", if plain { by } else { "x-user-id" })));
    };
    let name = name.trim().to_ascii_lowercase();
    if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
        let what = format!("`{name}` is not the name of a header");
        return Err(at.wrong(key, what, "write for example `header:x-user-id`"));
    }
    Ok(name)
}
