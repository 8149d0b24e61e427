//! Rules that a compiler does not keep: the order of the modules, the words of logs and errors, and what must not be in
//! the repository.

use std::fs;
use std::path::{Path, PathBuf};

/// The only files that may hold `unsafe`, each with its reason. Everywhere else the lint denies it.
const UNSAFE_ALLOWED: &[(&str, &str)] = &[
    ("src/ledger", "the counters live in a memory-mapped file"),
    ("src/publish/token.rs", "librdkafka's admin client takes tokens only by its C function"),
    ("src/drain/store/folder.rs", "files that never change are mapped, not copied"),
];

/// A source file: its path from the root of the repository, and its text.
struct Source {
    path: String,
    text: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Files below `folder` whose name ends in one of `endings`; all if there are none.
fn sources(folder: &str, endings: &[&str]) -> Vec<Source> {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && name != ".git" && name != "node_modules" && !name.starts_with("weir-d") {
                    collect(&path, found);
                }
            } else {
                found.push(path);
            }
        }
    }
    let mut paths = Vec::new();
    collect(&root().join(folder), &mut paths);
    paths.sort();
    let mut sources = Vec::new();
    for path in paths {
        let name = path.strip_prefix(root()).expect("it is below the root").to_string_lossy().replace('\\', "/");
        if endings.is_empty() || endings.iter().any(|ending| name.ends_with(ending)) {
            // What is not text has no words to check.
            if let Ok(text) = fs::read_to_string(&path) {
                sources.push(Source { path: name, text });
            }
        }
    }
    sources
}

fn rust() -> Vec<Source> {
    let found = sources("src", &[".rs"]);
    assert!(found.len() > 10, "the sources were found");
    found
}

/// The text with comments blanked and, if asked for, the insides of string literals too; lines stay where they are.
fn code_only(text: &str, blank_strings: bool) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        if rest.starts_with(&['/', '/']) {
            let length = rest.iter().position(|c| *c == '\n').unwrap_or(rest.len());
            at += length;
        } else if let Some(length) = string_length(rest) {
            for c in &rest[..length] {
                out.push(if blank_strings && *c != '\n' && *c != '"' { ' ' } else { *c });
            }
            at += length;
        } else if let Some(length) = char_length(rest) {
            out.extend(&rest[..length]);
            at += length;
        } else {
            out.push(rest[0]);
            at += 1;
        }
    }
    out
}

/// The length of the string literal that begins here, raw ones included.
fn string_length(rest: &[char]) -> Option<usize> {
    if rest[0] == '"' {
        let mut at = 1;
        while at < rest.len() && rest[at] != '"' {
            at += if rest[at] == '\\' { 2 } else { 1 };
        }
        return Some((at + 1).min(rest.len()));
    }
    if rest[0] != 'r' {
        return None;
    }
    let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return None;
    }
    let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let begin = 2 + hashes;
    let length = rest[begin..].windows(end.len()).position(|window| window == end.as_slice())?;
    Some(begin + length + end.len())
}

/// The length of the character literal that begins here; a lifetime is none.
fn char_length(rest: &[char]) -> Option<usize> {
    match rest {
        ['\'', '\\', _, tail @ ..] => tail.iter().position(|c| *c == '\'').map(|at| at + 4),
        ['\'', _, '\'', ..] => Some(3),
        _ => None,
    }
}

fn line_of(text: &str, byte: usize) -> usize {
    text[..byte].matches('\n').count() + 1
}

#[track_caller]
fn none(found: String, rule: &str) {
    assert!(found.is_empty(), "{rule}:\n{found}");
}

/// The modules of `lib.rs`, in order.
fn modules() -> Vec<String> {
    let text = fs::read_to_string(root().join("src/lib.rs")).expect("lib.rs is there");
    let code = code_only(&text, true);
    code.lines()
        .filter_map(|line| line.trim().trim_start_matches("pub ").strip_prefix("mod "))
        .map(|name| name.trim_end_matches(';').trim().to_owned())
        .collect()
}

/// Names after every `crate::` of the code, also in braces: `use crate::{log, record::Row}` gives `log` and `record`.
fn crate_uses(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if at > 0 && code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => found.push((at, first_word(rest))),
            Some(inner) => {
                let mut depth = 0;
                let mut name_begins = true;
                for (offset, c) in inner.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => name_begins = true,
                        c if depth == 0 && name_begins && (c.is_alphanumeric() || c == '_') => {
                            found.push((at, first_word(&inner[offset..])));
                            name_begins = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    found
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn no_module_refers_to_one_that_is_declared_after_it() {
    let modules = modules();
    assert!(modules.len() > 5 && modules[0] == "config", "lib.rs declares the path of a record: {modules:?}");
    let mut found = String::new();
    for source in rust() {
        let below = source.path.trim_start_matches("src/");
        let own = below.split(['/', '.']).next().unwrap_or("");
        let Some(own_place) = modules.iter().position(|module| module == own) else { continue };
        let code = code_only(&source.text, true);
        for (at, used) in crate_uses(&code) {
            if modules.iter().position(|module| *module == used).is_some_and(|place| place > own_place) {
                found.push_str(&format!("  {}:{}: `{own}` uses `{used}`\n", source.path, line_of(&code, at)));
            }
        }
    }
    none(found, "a module refers to one that stands after it in lib.rs; let `app` connect them");
}

#[test]
fn every_module_is_declared_in_path_order_and_stays_so() {
    let settings = fs::read_to_string(root().join(".rustfmt.toml")).expect("there is a .rustfmt.toml");
    assert!(settings.contains("reorder_modules = false"), "rustfmt would sort the modules of lib.rs");
}

/// String literals that are the text of a log line or of an error's `Display`, with their place.
fn messages(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for call in ["error!(", "warn!(", "info!(", "debug!(", "trace!(", "#[error("] {
        for (at, _) in code.match_indices(call) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let call_length = arguments_length(&code[at + call.len()..]);
            let arguments = &code[at + call.len()..at + call.len() + call_length];
            if let Some(message) = message_of(arguments) {
                found.push((at, message));
            }
        }
    }
    found
}

/// Up to the bracket that closes the call.
fn arguments_length(rest: &str) -> usize {
    let chars: Vec<char> = rest.chars().collect();
    let (mut at, mut depth, mut bytes) = (0, 1, 0);
    while at < chars.len() {
        let length = string_length(&chars[at..]).or_else(|| char_length(&chars[at..])).unwrap_or(1);
        if length == 1 {
            match chars[at] {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return bytes;
            }
        }
        bytes += chars[at..at + length].iter().map(|c| c.len_utf8()).sum::<usize>();
        at += length;
    }
    bytes
}

/// The first string that is an argument of its own: not the value of a field (`name = ".."`), not inside a call.
fn message_of(arguments: &str) -> Option<String> {
    let chars: Vec<char> = arguments.chars().collect();
    let (mut at, mut depth) = (0, 0);
    let mut begins = true;
    while at < chars.len() {
        if let Some(length) = string_length(&chars[at..]) {
            if begins && depth == 0 {
                let literal: String = chars[at..at + length].iter().collect();
                return Some(literal.trim_start_matches(['r', '#']).trim_end_matches('#').trim_matches('"').to_owned());
            }
            at += length;
            continue;
        }
        match chars[at] {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            c if c.is_whitespace() => {}
            _ => begins = false,
        }
        at += 1;
    }
    None
}

#[test]
fn logs_and_errors_begin_in_lower_case_and_end_without_a_full_stop() {
    let mut found = String::new();
    for source in rust() {
        let code = code_only(&source.text, false);
        for (at, message) in messages(&code) {
            let mut letters = message.chars();
            let (first, second) = (letters.next(), letters.next());
            // `SIGTERM`, `S3` and the like keep their capitals.
            let capital = first.is_some_and(char::is_uppercase) && second.is_none_or(char::is_lowercase);
            if capital || (message.ends_with('.') && !message.ends_with("..")) {
                found.push_str(&format!("  {}:{}: {message:?}\n", source.path, line_of(&code, at)));
            }
        }
    }
    none(found, "a log line or an error is not lower case, or ends in a full stop");
}

#[test]
fn nothing_is_left_to_do_in_the_code() {
    let words = [concat!("FIX", "ME"), concat!("dbg", "!("), concat!("todo", "!(")];
    let stubs = [concat!("unimplemented", "!("), concat!("unbounded", "_channel"), concat!("Unbounded", "Sender")];
    let mut found = String::new();
    for source in rust().into_iter().chain(sources("tests", &[".rs"])) {
        for word in words.iter().chain(&stubs) {
            for (at, _) in source.text.match_indices(word) {
                found.push_str(&format!("  {}:{}: `{word}`\n", source.path, line_of(&source.text, at)));
            }
        }
    }
    none(found, "something was left behind, or is unbounded");
}

#[test]
fn no_channel_is_unbounded() {
    let mut found = String::new();
    for source in rust() {
        let code = code_only(&source.text, true);
        for call in ["mpsc::channel()", "mpsc::channel::<", "unbounded()", "SegQueue::new("] {
            for (at, _) in code.match_indices(call) {
                // tokio's bounded channel has a capacity; std's `channel` has none to give.
                let is_tokio = code[at..].starts_with("mpsc::channel::<") && !code[..at].ends_with("std::sync::");
                if !is_tokio {
                    found.push_str(&format!("  {}:{}: `{call}`\n", source.path, line_of(&code, at)));
                }
            }
        }
    }
    none(found, "nothing unbounded exists: use a bounded channel");
}

#[test]
fn unsafe_stands_only_where_it_has_a_reason() {
    let mut found = String::new();
    for source in rust() {
        let code = code_only(&source.text, true);
        let allowed = UNSAFE_ALLOWED.iter().any(|(path, _)| source.path.starts_with(path));
        for (at, _) in code.match_indices("unsafe") {
            let (before, after) = (code[..at].chars().next_back(), code[at + "unsafe".len()..].chars().next());
            let is_word = !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
                && !after.is_some_and(|c| c.is_alphanumeric() || c == '_');
            if is_word && !allowed {
                found.push_str(&format!("  {}:{}\n", source.path, line_of(&code, at)));
            }
        }
    }
    none(found, "`unsafe` outside the files that may hold it");
}

#[test]
fn nothing_names_a_machine() {
    // A checkout path, a home folder, a private registry: true on one machine only.
    let words = [concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/"), concat!("/wo", "rk/")];
    let folders =
        [("src", &[][..]), ("tests", &[]), ("deploy", &[]), ("load-tests", &[]), ("proto", &[]), (".ci", &[])];
    let mut files: Vec<Source> = folders.iter().flat_map(|(folder, endings)| sources(folder, endings)).collect();
    for name in ["README.md", "Cargo.toml", ".clippy.toml", ".gitignore", "build.rs"] {
        if let Ok(text) = fs::read_to_string(root().join(name)) {
            files.push(Source { path: name.to_owned(), text });
        }
    }
    let mut found = String::new();
    for source in files {
        for word in words {
            for (at, _) in source.text.match_indices(word) {
                // A URL's path may hold the word; a path of a machine begins with it.
                let before = source.text[..at].chars().next_back();
                if !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | ')' | '}')) {
                    found.push_str(&format!("  {}:{}: `{word}`\n", source.path, line_of(&source.text, at)));
                }
            }
        }
    }
    none(found, "a path of one machine");
}

#[test]
fn the_documents_name_only_metrics_that_exist() {
    let metrics: Vec<&str> = weir::telemetry::table().map(|(name, _)| name).collect();
    let mut found = String::new();
    let documents = ["deploy", "load-tests"].iter().flat_map(|folder| sources(folder, &[".md", ".yaml", ".yml"]));
    let readme = fs::read_to_string(root().join("README.md")).unwrap_or_default();
    for source in documents.chain([Source { path: "README.md".to_owned(), text: readme }]) {
        for (at, _) in source.text.match_indices("weir_") {
            let name: String = source.text[at..]
                .chars()
                .take_while(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_')
                .collect();
            // The series of a histogram have the metric's name and an ending.
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
            let is_word = !source.text[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '/'));
            if is_word && !metrics.contains(&name.as_str()) && !metrics.contains(&base) {
                found.push_str(&format!("  {}:{}: `{name}`\n", source.path, line_of(&source.text, at)));
            }
        }
    }
    none(found, "a metric is named that does not exist");
}

mod the_reader_itself {
    use super::*;

    #[test]
    fn sees_code_but_not_comments_and_strings() {
        let text = "a(); // unsafe\nlet s = \"unsafe // \\\" x\"; let r = r#\"un\"safe\"#; let c = '\"'; b('\\'');";
        let code = code_only(text, true);
        assert!(!code.contains("unsafe") && !code.contains("safe"), "{code}");
        assert!(code.contains("a();") && code.contains("let c = '\"'; b('\\'');"), "{code}");
        assert_eq!(code.lines().count(), 2);
    }

    #[test]
    fn finds_what_is_used_from_the_crate() {
        let names = |code| crate_uses(code).into_iter().map(|(_, name)| name).collect::<Vec<_>>();
        assert_eq!(names("use crate::log::Source; crate::drain::run(); $crate::x"), ["log", "drain"]);
        assert_eq!(names("use crate::{record::{Row, Wire}, log, source::Event as E};"), ["record", "log", "source"]);
    }

    #[test]
    fn finds_the_message_of_a_log_line() {
        let message = |code| messages(code).pop().map(|(_, message)| message);
        assert_eq!(
            message("warn!(topic, why = \"Not this\", error = %f(\"Nor this\"), \"this one: {x}\");").as_deref(),
            Some("this one: {x}")
        );
        assert_eq!(message("#[error(\"failed to put `{key}`\")]").as_deref(), Some("failed to put `{key}`"));
        assert_eq!(message("#[error(transparent)]"), None);
    }
}

/// The right that each call to S3 needs (AWS, "Actions, resources, and condition keys for Amazon S3").
const S3_RIGHTS: &[(&str, &str)] = &[
    ("put_object", "s3:PutObject"),
    ("create_multipart_upload", "s3:PutObject"),
    ("upload_part", "s3:PutObject"),
    ("complete_multipart_upload", "s3:PutObject"),
    ("abort_multipart_upload", "s3:AbortMultipartUpload"),
    ("get_object", "s3:GetObject"),
    ("list_objects_v2", "s3:ListBucket"),
];

#[test]
fn the_policy_file_allows_what_the_store_calls_and_nothing_else() {
    let mut needed = std::collections::BTreeSet::new();
    for source in sources("src/drain/store", &[".rs"]).iter().filter(|source| !source.path.ends_with("tests.rs")) {
        let joined: String = source.text.split_whitespace().collect();
        for call in joined.split("self.client().").skip(1) {
            let name: String = call.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let right = S3_RIGHTS.iter().find(|(known, _)| *known == name);
            needed.insert(
                right.unwrap_or_else(|| panic!("{}: what right does `{name}` need?", source.path)).1.to_owned(),
            );
        }
    }
    assert!(needed.len() >= 3, "the calls were found: {needed:?}");
    let text = fs::read_to_string(root().join("deploy/s3-policy.json")).expect("the policy file");
    let policy: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let statements = policy["Statement"].as_array().expect("statements");
    let actions = statements.iter().flat_map(|statement| statement["Action"].as_array().expect("actions"));
    let allowed: std::collections::BTreeSet<String> =
        actions.map(|action| action.as_str().expect("a word").to_owned()).collect();
    assert_eq!(allowed, needed);
}
