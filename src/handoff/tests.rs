use super::*;
use crate::gateway::exchange::{Captured, Keep, Origin, Outcome, Permit, Timings};
use crate::ledger::Ledger;

fn exchange(ledger: &Ledger, route: &Arc<crate::config::Route>, length: usize) -> Exchange {
    let request = Captured { frames: vec![bytes::Bytes::from(vec![0; length])], ..Captured::default() };
    Exchange {
        id: uuid::Uuid::nil(),
        route: route.clone(),
        keep: Keep::Bodies,
        arrived_at_us: 0,
        method: http::Method::POST,
        path: String::new(),
        request_headers: http::HeaderMap::new(),
        request,
        status: None,
        response_headers: http::HeaderMap::new(),
        response: Captured::default(),
        outcome: Outcome::Complete,
        origin: Origin::Model,
        error: None,
        attempts: 0,
        upstream: None,
        timings: Timings::default(),
        tags: Vec::new(),
        ticket: ledger.see(),
        permit: Permit { bytes: 0, release: None },
    }
}

fn ledger() -> (tempfile::TempDir, Ledger, Arc<crate::config::Route>) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&folder.path().join("ledger"), crate::ledger::Logged::default()).unwrap();
    (folder, ledger, Arc::new(crate::gateway::test_route(([127, 0, 0, 1], 1).into())))
}

#[test]
fn what_does_not_fit_is_given_back_and_counted() {
    let (_folder, ledger, route) = ledger();
    let (by_count, received) = queue(2, 1 << 20);
    by_count.offer(exchange(&ledger, &route, 1));
    by_count.offer(exchange(&ledger, &route, 1));
    assert!(by_count.try_offer(exchange(&ledger, &route, 1)).is_err());
    by_count.offer(exchange(&ledger, &route, 1));
    assert_eq!((by_count.depth(), received.depth()), (2, 2));
    assert_eq!(ledger.calls().dropped[Reason::QueueFull as usize], 1);

    let (by_bytes, received) = queue(100, 2 * EXCHANGE_BYTES + 10);
    assert!(by_bytes.try_offer(exchange(&ledger, &route, 10)).is_ok());
    assert!(by_bytes.try_offer(exchange(&ledger, &route, 1)).is_err());
    assert!(by_bytes.try_offer(exchange(&ledger, &route, 0)).is_ok());
    assert_eq!(by_bytes.bytes(), 2 * EXCHANGE_BYTES + 10);
    assert!(matches!(received.recv(Duration::ZERO), Received::Item(_)));
    assert!(matches!(received.recv(Duration::ZERO), Received::Item(_)));
    assert_eq!(by_bytes.bytes(), 0);
    assert!(matches!(received.recv(Duration::from_millis(1)), Received::Empty));
}

#[test]
fn after_a_close_what_is_left_is_received_and_nothing_more_is_taken() {
    let (_folder, ledger, route) = ledger();
    let (sender, receiver) = queue(10, 1 << 20);
    sender.offer(exchange(&ledger, &route, 1));
    sender.close();
    sender.offer(exchange(&ledger, &route, 1));
    let dropped = ledger.calls().dropped;
    assert_eq!((dropped[Reason::Lost as usize], dropped[Reason::QueueFull as usize]), (1, 0), "it was not full");
    assert!(matches!(receiver.recv(Duration::ZERO), Received::Item(_)));
    assert!(matches!(receiver.recv(Duration::from_secs(60)), Received::Closed));
}

#[test]
fn many_threads_lose_and_double_nothing_and_every_sleeper_wakes() {
    let (_folder, ledger, route) = ledger();
    let (sender, receiver) = queue(64, 1 << 30);
    let received = std::thread::scope(|scope| {
        let consumers: Vec<_> = (0..3)
            .map(|_| {
                let receiver = receiver.clone();
                scope.spawn(move || {
                    let mut numbers = Vec::new();
                    loop {
                        match receiver.recv(Duration::from_secs(60)) {
                            Received::Item(exchange) => numbers.push(exchange.ticket.number()),
                            Received::Empty => panic!("a wake-up was lost"),
                            Received::Closed => return numbers,
                        }
                    }
                })
            })
            .collect();
        let producers: Vec<_> = (0..3)
            .map(|_| {
                let (sender, ledger, route) = (sender.clone(), ledger.clone(), route.clone());
                scope.spawn(move || {
                    for _ in 0..3_000 {
                        let mut waiting = exchange(&ledger, &route, 3);
                        while let Err((back, _)) = sender.try_offer(waiting) {
                            waiting = back;
                            std::thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        producers.into_iter().for_each(|producer| producer.join().unwrap());
        sender.close();
        let mut all: Vec<u64> = consumers.into_iter().flat_map(|consumer| consumer.join().unwrap()).collect();
        all.sort_unstable();
        all
    });
    assert_eq!(received, (1..=9_000).collect::<Vec<u64>>());
    assert_eq!((sender.depth(), sender.bytes()), (0, 0));
}
