//! What a process takes, read from `/proc` (proc(5)).

use std::collections::BTreeMap;
use std::time::Duration;

/// The binary that is measured: the one just built, or another one (one of the `dist` profile) that `WEIR_TEST_BINARY` names.
pub fn binary() -> String {
    std::env::var("WEIR_TEST_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_weir").to_string())
}

/// User + system time of a process, without that of its children; zero once it ended.
pub fn cpu(pid: u32) -> Duration {
    used(&format!("/proc/{pid}/stat"))
}

/// The same for each of its threads that live, by their names; numbers at the end of a name are left out.
pub fn cpu_by_thread(pid: u32) -> BTreeMap<String, Duration> {
    let mut threads = BTreeMap::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        let name = name.trim().trim_end_matches(|c: char| c.is_ascii_digit() || c == '-').to_string();
        *threads.entry(name).or_default() += used(&entry.path().join("stat").display().to_string());
    }
    threads
}

fn used(stat: &str) -> Duration {
    let stat = std::fs::read_to_string(stat).unwrap_or_default();
    let after_the_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    // utime and stime, in units of 1/100 s (USER_HZ).
    let ticks: u64 = after_the_name.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// A line of `/proc/<pid>/status` that is in KiB (`VmRSS`, `VmHWM`), as MiB; zero once the process ended.
pub fn mib(pid: u32, which: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(which));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
