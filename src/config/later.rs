//! Found in the tree before it is read: keys that a later version brings, secrets written in the file, and references to
//! secrets where none is wanted.

use super::report::{self, ConfigError};
use super::secret::is_reference;
use super::tree::{Kind, Node, Tree, Value};

/// Keys of the documented form whose stage is not built yet, and what to do meanwhile. `*` is any key.
const LATER: &[(&[&str], &str)] = &[
    (&["listen", "tls"], "remove it; put a proxy that speaks TLS in front"),
    (&["probes"], "remove it; `/livez`, `/readyz` and `/metrics` are on `admin.address`"),
    (&["admin", "allowed_hosts"], "remove it; the admin port is on loopback only"),
    (&["admin", "tls"], "remove it; the admin port is on loopback only"),
    (&["routes", "*", "upstream", "targets"], "write one URL, `upstream: http://127.0.0.1:8000`"),
    (&["routes", "*", "upstream"], "write one URL, `upstream: http://127.0.0.1:8000`"),
    (&["telemetry"], "remove it; metrics are at `/metrics` of `admin.address`"),
];

/// Values of the documented form whose stage is not built yet.
const LATER_VALUES: &[(&[&str], &[&str], &str)] = &[
    (&["routes", "*", "capture", "mode"], &["required"], "write `best_effort`, or remove it"),
    (&["log", "sync"], &["each", "never"], "write for example `200ms`"),
    (
        &["store", "parquet", "compression"],
        &["snappy", "lz4", "gzip", "none", "uncompressed"],
        "write `zstd`, or remove it",
    ),
];

/// Checks what can be said without knowing the types.
pub(super) fn refuse(tree: &Tree<'_>) -> Result<(), ConfigError> {
    tree.walk(&mut |path, node| {
        refuse_secret(tree, path, node)?;
        refuse_later(tree, path, node)?;
        match &node.value {
            Value::Null if !path.is_empty() => {
                let key = path.join(".");
                Err(tree.key_error(path, format!("`{key}` has no value"), "write one, or remove the key"))
            }
            _ => Ok(()),
        }
    })
}

fn refuse_later(tree: &Tree<'_>, path: &[&str], node: &Node) -> Result<(), ConfigError> {
    let matches = |pattern: &[&str]| {
        pattern.len() == path.len() && pattern.iter().zip(path).all(|(want, key)| *want == "*" || want == key)
    };
    if let Value::Scalar(scalar) = &node.value
        && let Some((_, _, fix)) =
            LATER_VALUES.iter().find(|(pattern, values, _)| matches(pattern) && values.contains(&scalar.text.as_str()))
    {
        let what = format!("`{}: {}` is not in this version", path.join("."), scalar.text);
        return Err(tree.error_at(node.spot, what, *fix));
    }
    let Some((pattern, fix)) = LATER.iter().find(|(pattern, _)| matches(pattern)) else { return Ok(()) };
    let is_map = matches!(node.value, Value::Map(_));
    // These keys have a form that is built: only the larger one is not.
    let has_simple_form = matches!(pattern, [.., "upstream"]);
    if has_simple_form && !is_map {
        return Ok(());
    }
    let key = path.join(".");
    let what = if has_simple_form {
        format!("this form of `{key}` is not in this version")
    } else {
        format!("`{key}` is not in this version")
    };
    Err(tree.key_error(path, what, *fix))
}

/// A secret that stands in the file is refused first, for it must leave the file anyway.
fn refuse_secret(tree: &Tree<'_>, path: &[&str], node: &Node) -> Result<(), ConfigError> {
    let Value::Scalar(scalar) = &node.value else { return Ok(()) };
    let key = path.join(".");
    let secret = is_secret(path);
    if secret && !is_reference(&scalar.text) && !(path == ["admin", "token"] && scalar.text == "auto") {
        let name = key.rsplit(['.', '_']).next().unwrap_or("secret").to_ascii_lowercase();
        let what = format!("a secret is written in the file, in `{key}` (its value is not shown)");
        let fix = if path == ["admin", "token"] {
            "write `token: auto`".to_owned()
        } else {
            format!("write `\"${{file:secrets/{name}}}\"` or `\"${{env:WEIR_{}}}\"`", name.to_ascii_uppercase())
        };
        return Err(tree.error_at(node.spot, what, fix));
    }
    if scalar.kind == Kind::Text && scalar.text.contains("${") && may_be_secret(path) && !is_reference(&scalar.text) {
        let what = format!("the reference in `{key}` is not whole");
        return Err(tree.error_at(node.spot, what, "write `\"${env:NAME}\"` or `\"${file:PATH}\"`, and nothing else"));
    }
    if !secret && !may_be_secret(path) && scalar.kind == Kind::Text && scalar.text.contains("${") {
        let what = format!("`{key}` is not a secret; `${{..}}` is read only where one is wanted");
        return Err(tree.error_at(node.spot, what, "write the value itself"));
    }
    if report::mask_userinfo(&scalar.text) != scalar.text {
        let what = format!("`{key}` has a user name or password in it (not shown)");
        return Err(tree.error_at(node.spot, what, "remove everything up to the `@`, but for the scheme"));
    }
    Ok(())
}

fn is_secret(path: &[&str]) -> bool {
    match path {
        ["admin", "token"] | ["listen", "tls", "key"] | ["admin", "tls", "key"] | ["kafka", "tls", "key"] => true,
        ["kafka", "sasl", "token_file"] => false,
        ["kafka", "sasl", key] | ["kafka", "sasl", "oidc", key] => report::is_secret_key(key),
        // Public parts of librdkafka's TLS and SASL settings; the rest of what sounds like a secret is one.
        ["kafka", "producer" | "consumer", key] => {
            report::is_secret_key(key) && !key.ends_with(".location") && !key.ends_with("endpoint.url")
        }
        ["routes", _, "redact", _, "hash"] => true,
        _ => false,
    }
}

/// Keys whose value may be a reference or stand in the file.
fn may_be_secret(path: &[&str]) -> bool {
    matches!(
        path,
        ["kafka", "producer" | "consumer", _] | ["kafka", "sasl", "username"] | ["kafka", "sasl", "oidc", "client_id"]
    )
}
