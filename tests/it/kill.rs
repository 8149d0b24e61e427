//! kill -9 at random moments under load: nothing stored is lost or doubled, what is gone is `dropped{crash}`.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::support::http::Client;
use crate::support::model::Model;
use crate::support::until;
use crate::support::weir::{Weir, balanced, dropped, number, rows};

/// Kills in the test command; `WEIR_KILLS` sets another number.
fn kills() -> u32 {
    std::env::var("WEIR_KILLS").ok().and_then(|v| v.parse().ok()).unwrap_or(30)
}

/// Clients that post until told to stop; what was answered completely, by its `x-weir-id`.
struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<Vec<(String, u64)>>>,
    tried: Arc<AtomicU64>,
}

impl Load {
    fn start(weir: &Weir, clients: u64) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let tried = Arc::new(AtomicU64::new(0));
        let address = weir.address();
        let threads = (0..clients)
            .map(|client| {
                let (stop, tried) = (stop.clone(), tried.clone());
                std::thread::spawn(move || {
                    let mut connection = Client::new(address);
                    let mut answered = Vec::new();
                    let mut n = 0_u64;
                    while !stop.load(Ordering::SeqCst) {
                        n += 1;
                        let batch = n.is_multiple_of(7);
                        let body = if batch {
                            format!(r#"[{{"x":{n}}},{{"x":{client}}},{{"x":0.5}}]"#)
                        } else {
                            format!(r#"{{"x":{n},"client":{client}}}"#)
                        };
                        tried.fetch_add(1, Ordering::SeqCst);
                        match connection.post("/predict", body.as_bytes()) {
                            Ok(answer) => {
                                let id = answer.header("x-weir-id").expect("x-weir-id").to_string();
                                answered.push((id, if batch { 3 } else { 1 }));
                            }
                            Err(_) => break,
                        }
                    }
                    answered
                })
            })
            .collect();
        Load { stop, threads, tried }
    }

    fn join(self) -> Vec<(String, u64)> {
        self.stop.store(true, Ordering::SeqCst);
        self.threads.into_iter().flat_map(|thread| thread.join().expect("a client")).collect()
    }
}

/// How a process ends.
pub enum Death<'a> {
    /// kill -9 after this time.
    After(Duration),
    /// At a failpoint: its name and action.
    At(&'static str),
    /// As this does it, which finds it serving and leaves it ended.
    By(Box<dyn FnOnce(&mut Weir) + 'a>),
    /// The same with these failpoints armed, none of which ends it.
    With(&'static str, Box<dyn FnOnce(&mut Weir) + 'a>),
}

/// kill -9 once it has stored a row of this life's.
pub fn once_stored() -> Death<'static> {
    Death::By(Box::new(|weir| {
        stores_more(weir);
        weir.kill();
    }))
}

/// Waits until it has stored more rows than at the call.
pub fn stores_more(weir: &Weir) {
    let stored = || number(&weir.status(), "/rows/stored");
    let before = stored();
    until("more is stored", || stored() > before);
}

/// Kills `weir` again and again at random moments under load, then settles it and accounts for every call.
pub fn torment(weir: &mut Weir, kills: u32, seed: u64, stored_ids: impl Fn(&Weir) -> Vec<String>) {
    let mut dice = seed;
    let deaths = (0..kills).map(|_| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Death::After(Duration::from_millis(30 + (dice >> 33) % 400))
    });
    die_and_account(weir, deaths, |_| {}, stored_ids);
}

/// Has `weir` die under load in each of these ways, then settles it and accounts for every call. `heal`: done after each death, with nothing
/// running. `stored_ids`: the `id` column of every file.
pub fn die_and_account<'a>(
    weir: &mut Weir,
    deaths: impl Iterator<Item = Death<'a>>,
    heal: impl Fn(&Weir),
    stored_ids: impl Fn(&Weir) -> Vec<String>,
) {
    let mut answered: Vec<(String, u64)> = Vec::new();
    let mut tried = 0;
    for death in deaths {
        let load = match death {
            Death::At(failpoint) => {
                let load = weir.up_to_die(failpoint).then(|| Load::start(weir, 4));
                weir.until_dead(failpoint);
                load
            }
            Death::After(time) => Some(serve_and_end(weir, None, |weir| {
                std::thread::sleep(time);
                weir.kill();
            })),
            Death::By(end) => Some(serve_and_end(weir, None, end)),
            Death::With(failpoints, end) => Some(serve_and_end(weir, Some(failpoints), end)),
        };
        if let Some(load) = load {
            tried += load.tried.load(Ordering::SeqCst);
            answered.extend(load.join());
        }
        heal(weir);
    }
    weir.up();
    let (status, report) = weir.settle();
    account(weir, &status, &report, tried, &answered, &stored_ids(weir));
}

fn serve_and_end(weir: &mut Weir, failpoints: Option<&str>, end: impl FnOnce(&mut Weir)) -> Load {
    weir.up_with(failpoints);
    only_crashes(weir, &weir.status());
    let load = Load::start(weir, 4);
    end(weir);
    load
}

/// Every row once; what is answered and missing is what is counted as crashed.
fn account(weir: &Weir, status: &Value, report: &Value, tried: u64, answered: &[(String, u64)], stored: &[String]) {
    let seen = number(status, "/calls/seen");
    let crashed = crashed(weir, status);
    only_crashes(weir, status);
    assert_eq!(seen, number(status, "/calls/logged") + crashed, "what is gone is exactly what crashed");
    assert!(seen <= tried, "{seen} seen of {tried} tried");
    assert_eq!(rows(report), number(status, "/rows/appended"), "{report:#}");

    let unique: HashSet<&String> = stored.iter().collect();
    assert_eq!(unique.len(), stored.len(), "a row is stored twice");
    let calls: HashSet<&str> =
        stored.iter().map(|id| id.split_once('_').map_or(id.as_str(), |(call, _)| call)).collect();
    assert_eq!(calls.len() as u64, number(status, "/calls/logged"), "each logged call is stored");
    let missing = answered.iter().filter(|(id, rows)| {
        let first = if *rows == 1 { id.clone() } else { format!("{id}_0") };
        !unique.contains(&first)
    });
    let missing = missing.count() as u64;
    assert!(missing <= crashed, "{missing} answered calls are missing, {crashed} are counted as crashed");
    for (id, rows) in answered {
        if *rows > 1 {
            let have = (0..*rows).filter(|i| unique.contains(&format!("{id}_{i}"))).count() as u64;
            assert!(have == 0 || have == *rows, "half of a batch is stored: {id}");
        }
    }
}

/// Calls that went with a process, or that ended after a second signal had skipped the wait for them.
fn crashed(weir: &Weir, status: &Value) -> u64 {
    let dropped = |reason: &str| status["calls"]["dropped"][reason].as_u64().unwrap_or(0);
    let skipped = weir.stderr().contains("skipped by a signal");
    dropped("crash") + if skipped { dropped("lost") } else { 0 }
}

/// The equations hold, and nothing but a crash has dropped a call.
fn only_crashes(weir: &Weir, status: &Value) {
    balanced(status);
    assert_eq!(dropped(status), crashed(weir, status), "only crashes drop: {status:#}");
}

#[test]
fn thirty_kills_lose_nothing_that_was_logged() {
    let model = Model::start();
    let mut weir = Weir::new(&format!(
        "routes: {{ m: {{ upstream: {} }} }}\nstore: {{ roll: {{ size: 64KiB, every: 1s }} }}\n",
        model.url()
    ));
    torment(&mut weir, kills(), 1, |weir| crate::support::parquet::column(&weir.parquet(), "id"));
}
