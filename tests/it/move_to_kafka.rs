//! Adding Kafka to a log whose cursor on disk is behind what is stored.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::support::kafka::{self, brokers};
use crate::support::model::Model;
use crate::support::weir::{Weir, number};
use crate::support::{PATIENCE, until};

#[test]
fn it_dies_right_after_the_log_says_that_it_has_moved() {
    let model = Model::start();
    let brokers = brokers();
    let topic = kafka::topic(&brokers, "moved", 1);
    let mut weir = Weir::new(&format!(
        "routes: {{ m: {{ upstream: {}, model: {topic} }} }}\nstore: {{ roll: {{ size: 64KiB, every: 1h }} }}\n",
        model.url()
    ));
    // It stores a file, dies before its cursor moves, and has logged more by then.
    assert!(weir.up_to_die("drain_after_create=panic"));
    let mut client = weir.client();
    let ballast = "x".repeat(1024);
    let mut n = 0;
    while client.post("/predict", format!(r#"{{"x":{n},"b":"{ballast}"}}"#).as_bytes()).is_ok() {
        n += 1;
        std::thread::sleep(Duration::from_millis(1));
    }
    weir.until_dead("drain_after_create");
    weir.more(&format!("kafka: {{ brokers: [\"{brokers}\"], lanes: 1 }}\n"));
    let _ = weir.up_to_die("move_after_meta=panic");
    weir.until_dead("move_after_meta=panic");
    weir.up();
    until("published", || number(&weir.status(), "/rows/backlog") == 0);
    let consumer: BaseConsumer = kafka::client(&brokers).create().expect("c");
    let (_, end) = consumer.fetch_watermarks(&topic, 0, PATIENCE).unwrap();
    assert_eq!(end, 0, "rows that were stored before the move were published");
    let (_, report) = weir.settle();
    assert_eq!(report["ok"], true, "{report:#}");
}
