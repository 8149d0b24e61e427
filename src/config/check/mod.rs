//! The file as written -> [`Config`], or the first thing that is wrong with it. Every rule names its key, so that the
//! error stands at the line that has to change.

mod connect;
mod feedback;
mod kafka;
mod properties;
mod record;
mod redact;
mod routes;
mod sample;
mod store;

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::file::{self, File, Recorders, Role};
use super::report::ConfigError;
use super::secret::Lookup;
use super::tree::Tree;
use super::units::{Size, Span};
use super::{Admin, Config, Listen, Log, Memory, Roles, Stop};

/// The highest model count, thread count and so on: beyond these a value is a mistake, not a wish.
const MODELS_MAX: usize = 10_000;
const RECORDERS_MAX: usize = 64;
const CONNECTIONS_MAX: usize = 1_000_000;
const HEADERS_MAX: usize = 1_000;
/// hyper's smallest read buffer.
const HEADER_BYTES_MIN: u64 = 8 * 1024;
const HEADER_BYTES_MAX: u64 = 1024 * 1024;
const BODY_BYTES_MAX: u64 = 1 << 30;
const MEMORY_BYTES_MAX: u64 = 1 << 40;
const DISK_BYTES_MAX: u64 = 1 << 50;
const SEGMENT_BYTES_MIN: u64 = 4 * 1024;
const SEGMENT_BYTES_MAX: u64 = 4 << 30;

/// What the rules have in common: ranges, names, and errors that stand at a key of the tree.
pub(super) struct Rules<'a> {
    pub tree: &'a Tree<'a>,
    pub lookup: Lookup<'a>,
}

/// Turns what was written into what the stages take.
pub(super) fn check(file: &File, tree: &Tree<'_>, lookup: Lookup<'_>) -> Result<Config, ConfigError> {
    let at = Rules { tree, lookup };
    match file.version {
        Some(1) => {}
        Some(_) => return Err(at.wrong(&["version"], "this weir reads version 1 of the file", "write `version: 1`")),
        None => return Err(at.wrong(&["version"], "the file does not say its version", "add the line `version: 1`")),
    }
    if file.data_dir.trim().is_empty() {
        return Err(at.wrong(&["data_dir"], "`data_dir` is empty", "write a folder, for example `./weir-data`"));
    }
    at.folder(&["data_dir"], &file.data_dir)?;
    let roles = roles(&at, file)?;
    let listen = listen(&at, &file.listen)?;
    let admin = admin(&at, &file.admin)?;
    if listen.address == admin.address && listen.address.port() != 0 {
        let what = format!("`admin.address` and `listen.address` are both {}", admin.address);
        let written = ["admin", "listen"].into_iter().find(|port| at.tree.entry(&[port, "address"]).is_some());
        return Err(at.wrong(&[written.unwrap_or("admin"), "address"], what, "give one of them another port"));
    }
    let memory = memory(&at, &file.memory)?;
    let drain = kafka::drain(&at, file, roles)?;
    let kafka = file.kafka.as_ref().map(|kafka| kafka::kafka(&at, kafka, drain.resend_window)).transpose()?;
    let routes = routes::routes(&at, file, &memory)?;
    let data_dir = PathBuf::from(&file.data_dir);
    Ok(Config {
        models_max: at.range(&["models_max"], file.models_max, 1, MODELS_MAX)?,
        recorders: recorders(&at, file.recorders)?,
        log: log(&at, &file.log)?,
        stop: stop(&at, &file.stop)?,
        drain,
        store: store::store(&at, &file.store, &data_dir)?,
        data_dir,
        listen,
        admin,
        routes,
        memory,
        kafka,
        roles,
    })
}

fn roles(at: &Rules<'_>, file: &File) -> Result<Roles, ConfigError> {
    let roles = Roles { gateway: file.roles.contains(&Role::Gateway), drain: file.roles.contains(&Role::Drain) };
    let key = ["roles"];
    if !roles.gateway && !roles.drain {
        return Err(at.wrong(
            &key,
            "`roles` is empty: this process would do nothing",
            "write `roles: [gateway, drain]`",
        ));
    }
    if file.roles.len() > 1 && file.roles[0] == file.roles[file.roles.len() - 1] {
        return Err(at.wrong(&key, "`roles` names one role twice", "write each once"));
    }
    if file.kafka.is_none() && !(roles.gateway && roles.drain) {
        let what = if roles.gateway {
            "without `kafka` nothing would read the log of this gateway"
        } else {
            "without `kafka` this drain would have nothing to read"
        };
        return Err(at.wrong(&key, what, "write `roles: [gateway, drain]`, or add `kafka:`"));
    }
    if roles.gateway && file.routes.is_empty() {
        let fix = "add a route: `routes: { <name>: { upstream: http://127.0.0.1:8000 } }`";
        return Err(at.wrong(&["routes"], "there is no route, so nothing would be forwarded", fix));
    }
    Ok(roles)
}

fn listen(at: &Rules<'_>, file: &file::Listen) -> Result<Listen, ConfigError> {
    let limit = |key| ["listen", "limits", key];
    let limits = &file.limits;
    Ok(Listen {
        address: at.address(&["listen", "address"], &file.address)?,
        connections_max: at.range(&limit("connections"), limits.connections, 1, CONNECTIONS_MAX)?,
        headers_max: at.range(&limit("headers"), limits.headers, 1, HEADERS_MAX)?,
        header_bytes_max: at.size(&limit("header_bytes"), limits.header_bytes, HEADER_BYTES_MIN, HEADER_BYTES_MAX)?,
        body_bytes_max: at.size(&limit("body"), limits.body, 1, BODY_BYTES_MAX)?,
        header_timeout: at.span(&limit("header_timeout"), limits.header_timeout, Span::millis(10), Span::secs(3600))?,
        body_idle: at.span(&limit("body_idle"), limits.body_idle, Span::millis(10), Span::secs(3600))?,
        drain_timeout: at.span(&["listen", "drain_timeout"], file.drain_timeout, Span::secs(0), Span::secs(3600))?,
    })
}

fn admin(at: &Rules<'_>, file: &file::Admin) -> Result<Admin, ConfigError> {
    let address = at.address(&["admin", "address"], &file.address)?;
    if !address.ip().is_loopback() {
        let what =
            "the admin port shows what clients send and is open to the network here, which is not in this version";
        let fix = format!("write `127.0.0.1:{}`", address.port());
        return Err(at.wrong(&["admin", "address"], what, fix));
    }
    if file.token != "auto" {
        let what = "`admin.token` other than `auto` is not in this version";
        return Err(at.wrong(&["admin", "token"], what, "write `token: auto`, or remove it"));
    }
    Ok(Admin { address })
}

fn recorders(at: &Rules<'_>, file: Recorders) -> Result<usize, ConfigError> {
    match file {
        // Recording a call costs about a quarter of forwarding it, and the data workers want their cores.
        Recorders::Auto => {
            let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
            Ok((cores / 4).clamp(1, 8))
        }
        Recorders::Count(count) => at.range(&["recorders"], count, 1, RECORDERS_MAX),
    }
}

fn log(at: &Rules<'_>, file: &file::Log) -> Result<Log, ConfigError> {
    let key = |key| ["log", key];
    let segment_bytes = at.size(&key("segment"), file.segment, SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX)?;
    let bytes_max = at.size(&key("max_size"), file.max_size, 2 * SEGMENT_BYTES_MIN, DISK_BYTES_MAX)?;
    if bytes_max < 2 * segment_bytes {
        // Space comes back by whole segments: with one segment a full log could never take a record again.
        let smaller = Size(2 * segment_bytes);
        let what = format!("`log.max_size` ({}) holds less than two segments of {}", file.max_size, file.segment);
        return Err(at.wrong(
            &key("max_size"),
            what,
            format!("write at least `{smaller}`, or a smaller `log.segment`"),
        ));
    }
    Ok(Log {
        sync: at.span(&key("sync"), file.sync, Span::millis(1), Span::secs(60))?,
        bytes_max,
        reserve_free_bytes: at.size(&key("reserve_free"), file.reserve_free, 0, DISK_BYTES_MAX)?,
        segment_bytes,
    })
}

fn stop(at: &Rules<'_>, file: &file::Stop) -> Result<Stop, ConfigError> {
    let span = |key, value| at.span(&["stop", key], value, Span::secs(0), Span::secs(3600));
    Ok(Stop {
        recorders: span("recorders", file.recorders)?,
        publish: span("publish", file.publish)?,
        store: span("store", file.store)?,
    })
}

fn memory(at: &Rules<'_>, file: &file::Memory) -> Result<Memory, ConfigError> {
    let size = |key, value| at.size(&["memory", key], value, 1024 * 1024, MEMORY_BYTES_MAX);
    Ok(Memory {
        capture_bytes: size("capture", file.capture)?,
        queue_bytes: size("queue", file.queue)?,
        producer_bytes: size("producer", file.producer)?,
        drain_bytes: size("drain", file.drain)?,
    })
}

impl Rules<'_> {
    pub(super) fn wrong(&self, path: &[&str], what: impl Into<String>, fix: impl Into<String>) -> ConfigError {
        self.tree.error(path, what, fix)
    }

    pub(super) fn range<T: PartialOrd + Display + Copy>(
        &self,
        path: &[&str],
        value: T,
        least: T,
        most: T,
    ) -> Result<T, ConfigError> {
        if value >= least && value <= most {
            return Ok(value);
        }
        let key = path.join(".");
        let (side, bound) = if value < least { ("small", least) } else { ("large", most) };
        let fix = format!("write a value from {least} to {most}");
        Err(self.wrong(path, format!("`{key}` is too {side}: {value}, the limit is {bound}"), fix))
    }

    pub(super) fn size(&self, path: &[&str], value: Size, least: u64, most: u64) -> Result<u64, ConfigError> {
        self.range(path, value, Size(least), Size(most)).map(|size| size.0)
    }

    pub(super) fn span(
        &self,
        path: &[&str],
        value: Span,
        least: Span,
        most: Span,
    ) -> Result<std::time::Duration, ConfigError> {
        self.range(path, value, least, most).map(|span| span.0)
    }

    /// Only a shell knows what `~` is.
    pub(super) fn folder(&self, path: &[&str], folder: &str) -> Result<(), ConfigError> {
        if folder.starts_with('~') {
            let what = format!("`{folder}` begins with `~`, which only a shell replaces by the home folder");
            return Err(self.wrong(path, what, "write the whole path, or one from the current folder: `./weir-data`"));
        }
        Ok(())
    }

    fn address(&self, path: &[&str], text: &str) -> Result<SocketAddr, ConfigError> {
        text.parse().map_err(|_| {
            let key = path.join(".");
            let fix = match text.rsplit_once(':') {
                Some((host, port)) if port.parse::<u16>().is_ok() => match host {
                    "localhost" => format!("write `127.0.0.1:{port}`"),
                    "" | "*" => format!("write `127.0.0.1:{port}` for this machine, `0.0.0.0:{port}` for the network"),
                    _ => format!("write an IP address, for example `127.0.0.1:{port}`"),
                },
                _ => "write an IP address and a port, for example `127.0.0.1:7600`".to_owned(),
            };
            self.wrong(path, format!("`{key}` is not an address to listen on: `{text}`"), fix)
        })
    }

    /// Checks a name that becomes a folder, a topic or a label: `[A-Za-z0-9._-]{1,64}`, not beginning with `.` or `_`.
    pub(super) fn name(&self, path: &[&str], what: &str, name: &str) -> Result<(), ConfigError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty() || name.len() > 64 || !name.chars().all(allowed) {
            let what = format!("`{name}` cannot be {what}: only letters, digits, `.`, `_` and `-`, at most 64");
            let clean: String = name.chars().take(64).map(|c| if allowed(c) { c } else { '-' }).collect();
            let clean = clean.trim_start_matches(['.', '_', '-']);
            let fix =
                if clean.is_empty() { "write for example `churn`".to_owned() } else { format!("write `{clean}`") };
            return Err(self.wrong(path, what, fix));
        }
        if name.starts_with(['.', '_']) {
            let what =
                format!("`{name}` cannot be {what}: readers of Parquet folders skip names that begin with `.` or `_`");
            let clean = name.trim_start_matches(['.', '_']);
            let fix =
                if clean.is_empty() { "write for example `churn`".to_owned() } else { format!("write `{clean}`") };
            return Err(self.wrong(path, what, fix));
        }
        Ok(())
    }
}
