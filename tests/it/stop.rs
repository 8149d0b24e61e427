//! SIGTERM under load: no accepted request fails, no record is lost, each phase says how it went.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::support::http::Client;
use crate::support::model::Model;
use crate::support::until;
use crate::support::weir::Weir;

#[test]
fn sigterm_under_load_fails_no_request_and_loses_no_record() {
    let model = Model::start();
    // `/slow/50`: requests are under way when the signal comes.
    let mut weir = Weir::new(&format!("routes: {{ m: {{ upstream: {}/slow/50 }} }}\n", model.url())).start();
    let address = weir.address();
    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (stop, answered) = (stop.clone(), answered.clone());
            std::thread::spawn(move || {
                let mut client = Client::new(address);
                while !stop.load(Ordering::SeqCst) {
                    match client.post("/slow/50", br#"{"x": 1}"#) {
                        Ok(answer) => {
                            assert_eq!(answer.status, 200);
                            answered.fetch_add(1, Ordering::SeqCst);
                            if answer.header("connection") == Some("close") {
                                return;
                            }
                        }
                        // The listener is closed, or an idle connection was: nothing was accepted of this one.
                        Err(error) => {
                            use std::io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, UnexpectedEof};
                            let kind = error.kind();
                            assert!(
                                matches!(kind, BrokenPipe | ConnectionRefused | ConnectionReset | UnexpectedEof),
                                "{error}"
                            );
                            return;
                        }
                    }
                }
            })
        })
        .collect();
    until("some are answered", || answered.load(Ordering::SeqCst) > 30);
    assert!(weir.term().success(), "{}", weir.stderr());
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().expect("a client");
    }
    let words = weir.stderr();
    for phase in ["gateway", "recorders", "publish", "store", "log"] {
        assert!(words.contains(phase), "{phase} says nothing:\n{words}");
    }
    // Everything the model answered is in Parquet already: the stop stored it.
    let report = weir.verify();
    let stored = crate::support::weir::rows(&report);
    assert!(stored >= answered.load(Ordering::SeqCst), "{stored} rows of {answered:?} answers");
    assert_eq!(stored, model.requests.load(Ordering::SeqCst), "one row per request that the model read");
}

#[test]
fn a_second_signal_skips_a_phase() {
    let model = Model::start();
    let mut weir = Weir::new(&format!("routes: {{ m: {{ upstream: {}/slow/20000 }} }}\n", model.url())).start();
    let address = weir.address();
    let hanging = std::thread::spawn(move || Client::new(address).post("/slow/20000", b"{}"));
    until("the model has the request", || model.requests.load(Ordering::SeqCst) == 1);
    let pid = weir.pid();
    let second = std::thread::spawn({
        let log = weir.dir.join("stderr.log");
        move || {
            until("the stop has begun", || std::fs::read_to_string(&log).is_ok_and(|t| t.contains("stopping")));
            crate::support::process::signal(pid, rustix::process::Signal::TERM);
        }
    });
    weir.term();
    second.join().expect("the second signal");
    assert!(weir.stderr().contains("skipped by a signal"), "{}", weir.stderr());
    let _cut = hanging.join();
}
