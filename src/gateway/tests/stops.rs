//! Stopping: what is in flight ends well, what is idle or half open is not waited for, what hangs is cut and counted.

use super::*;
use crate::gateway::exchange::Outcome;
use crate::gateway::{StartError, Stopped};

#[test]
fn open_requests_finish_and_idle_or_half_open_connections_do_not_hold_the_stop() {
    let model = Model::new();
    let rig = Setup::new(model.address).start();
    let address = rig.gateway.address();
    let mut idle = rig.client();
    idle.send("GET /health HTTP/1.1\r\nhost: w\r\n\r\n");
    let mut first = model.accept();
    first.head();
    first.answer("1");
    idle.answer().unwrap();
    let mut half = rig.client();
    half.send("POST / HTTP/1.1\r\nhost:");
    let mut silent = rig.client();
    let mut open = rig.client();
    open.post("/", "{}");
    first.head();
    first.read(2);
    assert_eq!(rig.gateway.in_flight(), 1);
    std::thread::scope(|scope| {
        let stop = scope.spawn(|| rig.gateway.stop(PATIENCE));
        assert!(idle.is_closed());
        assert!(half.is_closed());
        assert!(silent.is_closed());
        first.answer("2");
        let answer = open.answer().unwrap();
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
        assert!(open.is_closed());
        assert_eq!(stop.join().unwrap(), Stopped { abandoned: 0 });
    });
    assert!(TcpStream::connect(address).is_err());
    assert_eq!(rig.exchange().outcome, Outcome::Complete);
    rig.finish();
}

#[test]
fn what_hangs_is_cut_counted_and_still_recorded() {
    let model = Model::new();
    let rig = Setup::new(model.address).start();
    let mut client = rig.client();
    client.post("/", "{}");
    let mut taken = model.accept();
    taken.head();
    taken.read(2);
    assert_eq!(rig.gateway.stop(Duration::from_millis(50)), Stopped { abandoned: 1 });
    assert!(client.is_closed());
    // Offered before the stop returned.
    assert_eq!(rig.offered.exchanges.lock().unwrap().len(), 1);
    assert_eq!(rig.exchange().outcome, Outcome::ClientAborted);
    rig.finish();
}

#[test]
fn an_address_in_use_is_named_with_what_to_do() {
    let model = Model::new();
    let mut setup = Setup::new(model.address);
    setup.listen.address = model.address;
    let folder = tempfile::tempdir().unwrap();
    let parts = Parts {
        ledger: Ledger::open(&folder.path().join("ledger"), crate::ledger::Logged::default()).unwrap(),
        offer: Arc::new(Offered::default()),
        feedback: None,
        meters: Meters::new(),
        capture_bytes: 1,
        workers: 1,
    };
    let error = Gateway::start(setup.listen, vec![Arc::new(setup.route)], parts).err().unwrap();
    assert!(matches!(error, StartError::InUse { .. }));
    assert!(error.to_string().contains("`listen.address`"));
}
