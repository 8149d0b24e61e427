//! TLS and the log-in to the brokers.

use std::path::PathBuf;

use super::Rules;
use crate::config::file::{self, Mechanism, SYSTEM_CA};
use crate::config::report::ConfigError;
use crate::config::secret::Lookup;
use crate::config::{ClientCertificate, KafkaSasl, KafkaTls, Oidc, TokenFrom};

/// Keys of `kafka.sasl` that say where tokens come from.
const TOKEN_KEYS: &str = "`oidc`, `token_file` or `msk_iam`";

pub(super) fn tls(at: &Rules<'_>, file: &file::KafkaTls) -> Result<KafkaTls, ConfigError> {
    let key = |key| ["kafka", "tls", key];
    let client = match (&file.cert, &file.key) {
        (None, None) => None,
        (Some(cert), Some(secret)) => {
            let path = pem(at, &key("cert"), cert)?;
            let secret = at.secret(&key("key"), secret)?;
            if !matches!(at.lookup, Lookup::Nowhere) && !secret.expose().contains("-----BEGIN") {
                let what = format!("`kafka.tls.key` refers to no key in PEM form ({})", secret.reference());
                return Err(at.wrong(&key("key"), what, "name the file that begins with `-----BEGIN`"));
            }
            Some(ClientCertificate { cert: path, key: secret })
        }
        (Some(_), None) => {
            let what = "`kafka.tls.cert` is there without its key";
            return Err(at.wrong(&key("cert"), what, "add `key: \"${file:client.key}\"`"));
        }
        (None, Some(_)) => {
            let what = "`kafka.tls.key` is there without its certificate";
            return Err(at.wrong(&key("key"), what, "add `cert: client.pem`"));
        }
    };
    Ok(KafkaTls { ca: ca(at, &key("ca"), &file.ca)?, client, verify: file.verify })
}

pub(super) fn sasl(at: &Rules<'_>, file: &file::KafkaSasl) -> Result<KafkaSasl, ConfigError> {
    let key = |key| ["kafka", "sasl", key];
    let Some(mechanism) = file.mechanism else {
        let fix = "write `mechanism: SCRAM-SHA-512`, or PLAIN, SCRAM-SHA-256, OAUTHBEARER: what the brokers take";
        return Err(at.wrong(&["kafka", "sasl"], "`kafka.sasl` does not say its mechanism", fix));
    };
    let token_keys =
        [("oidc", file.oidc.is_some()), ("token_file", file.token_file.is_some()), ("msk_iam", file.msk_iam.is_some())];
    let password_keys = [("username", file.username.is_some()), ("password", file.password.is_some())];
    let (wrong, needs) = if mechanism == Mechanism::OauthBearer {
        (&password_keys[..], TOKEN_KEYS)
    } else {
        (&token_keys[..], "`username` and `password`")
    };
    if let Some((name, _)) = wrong.iter().find(|(_, set)| *set) {
        let what = format!("`kafka.sasl.{name}` has no meaning with {}", mechanism.name());
        return Err(at.tree.key_error(&key(name), what, format!("remove it: {} needs {needs}", mechanism.name())));
    }
    if mechanism != Mechanism::OauthBearer {
        let (Some(username), Some(password)) = (&file.username, &file.password) else {
            let name = if file.username.is_none() { "username" } else { "password" };
            let what = format!("`kafka.sasl` has no `{name}`, which {} needs", mechanism.name());
            let fix = match name {
                "username" => "add `username: NAME`",
                _ => "add `password: \"${env:WEIR_KAFKA_PASSWORD}\"`, or `\"${file:PATH}\"`",
            };
            return Err(at.wrong(&["kafka", "sasl"], what, fix));
        };
        return Ok(KafkaSasl::Password {
            mechanism,
            username: at.setting(&key("username"), username)?,
            password: at.secret(&key("password"), password)?,
        });
    }
    match (&file.oidc, &file.token_file, &file.msk_iam) {
        (Some(oidc), None, None) => self::oidc(at, oidc).map(|oidc| KafkaSasl::Token(TokenFrom::Oidc(oidc))),
        (None, Some(path), None) => {
            at.folder(&key("token_file"), path)?;
            // It may come later than weir: what renews it is somebody else's.
            Ok(KafkaSasl::Token(TokenFrom::File(PathBuf::from(path))))
        }
        (None, None, Some(msk)) => {
            if msk.region.as_deref().is_some_and(str::is_empty) {
                let what = "`kafka.sasl.msk_iam.region` is empty";
                return Err(at.wrong(
                    &["kafka", "sasl", "msk_iam", "region"],
                    what,
                    "write for example `eu-central-1`",
                ));
            }
            Ok(KafkaSasl::Token(TokenFrom::MskIam { region: msk.region.clone() }))
        }
        (None, None, None) => {
            let what = "`kafka.sasl` does not say where tokens come from, which OAUTHBEARER needs";
            Err(at.wrong(&["kafka", "sasl"], what, format!("add one of {TOKEN_KEYS}")))
        }
        _ => {
            let what = "`kafka.sasl` says more than once where tokens come from";
            Err(at.wrong(&["kafka", "sasl"], what, format!("keep one of {TOKEN_KEYS}")))
        }
    }
}

fn oidc(at: &Rules<'_>, file: &file::Oidc) -> Result<Oidc, ConfigError> {
    let key = |key| ["kafka", "sasl", "oidc", key];
    let missing = |name: &str, fix: &str| {
        at.wrong(&["kafka", "sasl", "oidc"], format!("`kafka.sasl.oidc` has no `{name}`"), format!("add `{fix}`"))
    };
    let url = file.url.as_ref().ok_or_else(|| missing("url", "url: https://issuer/token"))?;
    let client_id = file.client_id.as_ref().ok_or_else(|| missing("client_id", "client_id: weir"))?;
    let secret = file
        .client_secret
        .as_ref()
        .ok_or_else(|| missing("client_secret", "client_secret: \"${env:WEIR_KAFKA_CLIENT_SECRET}\""))?;
    let parsed = url.parse::<http::Uri>().ok().filter(|uri| uri.authority().is_some());
    if !parsed.is_some_and(|uri| matches!(uri.scheme_str(), Some("http" | "https"))) {
        let what = format!("`{url}` is not the URL of a token endpoint");
        return Err(at.wrong(&key("url"), what, "write for example `https://issuer/oauth2/token`"));
    }
    Ok(Oidc {
        url: url.clone(),
        client_id: at.setting(&key("client_id"), client_id)?,
        client_secret: at.secret(&key("client_secret"), secret)?,
        scope: file.scope.clone(),
        ca: ca(at, &key("ca"), file.ca.as_deref().unwrap_or(SYSTEM_CA))?,
    })
}

fn ca(at: &Rules<'_>, key: &[&str], ca: &str) -> Result<Option<PathBuf>, ConfigError> {
    if ca == SYSTEM_CA { Ok(None) } else { pem(at, key, ca).map(Some) }
}

/// A file of certificates that can be read now: a client that cannot be made says it less clearly.
fn pem(at: &Rules<'_>, key: &[&str], path: &str) -> Result<PathBuf, ConfigError> {
    at.folder(key, path)?;
    if matches!(at.lookup, Lookup::Nowhere) {
        return Ok(PathBuf::from(path));
    }
    let name = key.join(".");
    let fix = "name a file in PEM form, one or more parts that begin with `-----BEGIN CERTIFICATE-----`";
    match std::fs::read(path) {
        Ok(bytes) if String::from_utf8_lossy(&bytes).contains("-----BEGIN") => Ok(PathBuf::from(path)),
        Ok(_) => Err(at.wrong(key, format!("`{path}` holds no certificate in PEM form; `{name}` needs one"), fix)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(at.wrong(
            key,
            format!("there is no file `{path}`; `{name}` needs it"),
            "correct it; a path is seen from the folder weir starts in",
        )),
        Err(error) => Err(at.wrong(key, format!("`{path}` cannot be read: {error}; `{name}` needs it"), fix)),
    }
}
