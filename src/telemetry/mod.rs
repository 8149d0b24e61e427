//! Every metric, declared once; its doc comment is its HELP text. In: counts from all stages, and one [`Snapshot`] read
//! at scrape time. Out: the text of `/metrics`. Nothing here waits, and no label takes a value that a client can choose without a bound: topics
//! are cleaned names, at most `models_max` of them come from clients, and there are at most `snapshot::SERIES_MAX` series of partitions.
//!
//! What the request path touches ([`RouteMeters`]) is bound at start: a count is one atomic add. What other modules count
//! anyway (the ledger, the log, the drain) is not counted twice: [`Meters::observe`] names where to read it.

mod causes;
mod declared;
mod drain;
pub mod console;
pub mod logs;
mod snapshot;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundCounter, BoundHistogram, Counter, Histogram, Meter, MeterProvider as _};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};

pub use causes::with_causes;
pub use drain::{Commit, DrainMeters};
use snapshot::Observer;
pub use snapshot::{PartitionSample, Snapshot};

/// The classes of a status, as the label `code` says them; the last is for requests that ended without an answer.
const CODES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "none"];

/// Name and HELP text of every metric, in the order in which they are declared.
pub fn table() -> impl Iterator<Item = (&'static str, &'static str)> {
    declared::ALL.iter().map(|declared| (declared.name, declared.help.trim()))
}

/// All instruments of one process, and the Prometheus text they become. Cheap to clone.
#[derive(Clone)]
pub struct Meters {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Registry,
    // Instruments count only while their provider lives.
    _provider: SdkMeterProvider,
    requests: Counter<u64>,
    seconds: Histogram<f64>,
    passed: Counter<u64>,
    not_kept: Counter<u64>,
    refused: Counter<u64>,
    drain: DrainMeters,
    connections: Arc<AtomicI64>,
    observer: Observer,
}

/// The instruments of one route, bound once at start. Cheap to clone.
#[derive(Clone)]
pub struct RouteMeters {
    /// In the order of [`CODES`].
    requests: [BoundCounter<u64>; CODES.len()],
    seconds: BoundHistogram<f64>,
    passed: BoundCounter<u64>,
    not_kept: BoundCounter<u64>,
}

impl Meters {
    pub fn new() -> Meters {
        let registry = Registry::new();
        // Names and units are written out where the instruments are declared, so that a search for a metric finds it.
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .without_target_info()
            .without_units()
            .without_counter_suffixes()
            .build()
            .expect("a new registry takes its first collector");
        let provider = SdkMeterProvider::builder().with_reader(exporter).build();
        let meter: Meter = provider.meter("weir");
        let connections = Arc::new(AtomicI64::new(0));
        let opened = connections.clone();
        declared::CONNECTIONS.gauge(&meter, move |gauge| {
            gauge.observe(u64::try_from(opened.load(Ordering::Relaxed)).unwrap_or(0), &[]);
        });
        let observer = Observer::new(&meter);
        Meters {
            inner: Arc::new(Inner {
                requests: declared::REQUESTS.counter(&meter),
                seconds: declared::SECONDS.histogram(&meter, &declared::SECONDS_BOUNDARIES),
                passed: declared::PASSED.counter(&meter),
                not_kept: declared::NOT_KEPT.counter(&meter),
                refused: declared::REFUSED.counter(&meter),
                drain: DrainMeters::new(&meter),
                registry,
                _provider: provider,
                connections,
                observer,
            }),
        }
    }

    /// Binds the instruments of a route.
    pub fn route(&self, name: &str) -> RouteMeters {
        let route = KeyValue::new("route", name.to_owned());
        let only_route = std::slice::from_ref(&route);
        let meters = RouteMeters {
            requests: CODES.map(|code| self.inner.requests.bind(&[route.clone(), KeyValue::new("code", code)])),
            seconds: self.inner.seconds.bind(only_route),
            passed: self.inner.passed.bind(only_route),
            not_kept: self.inner.not_kept.bind(only_route),
        };
        // A series that exists from the start can be alerted on: a rate needs a zero to rise from.
        for counter in &meters.requests {
            counter.add(0);
        }
        meters.passed.add(0);
        meters.not_kept.add(0);
        meters
    }

    /// The instruments of the drain.
    pub fn drain(&self) -> DrainMeters {
        self.inner.drain.clone()
    }

    /// A request refused before it reached a route: `bad_request`, `header_too_large`, `no_route`, `upgrade`.
    pub fn refused(&self, why: &'static str) {
        self.inner.refused.add(1, &[KeyValue::new("why", why)]);
    }

    /// A client connection opened (`+1`) or closed (`-1`).
    pub fn connections(&self, change: i64) {
        self.inner.connections.fetch_add(change, Ordering::Relaxed);
    }

    /// Names where the numbers that other modules keep are read, once per scrape. A later call replaces an earlier one.
    pub fn observe(&self, read: impl Fn() -> Snapshot + Send + Sync + 'static) {
        self.inner.observer.set(Arc::new(read));
    }

    /// The text of `/metrics` (Prometheus exposition format 0.0.4).
    pub fn render(&self) -> String {
        self.inner.observer.refresh();
        let families = self.inner.registry.gather();
        TextEncoder::new().encode_to_string(&families).unwrap_or_else(|error| {
            tracing::error!(%error, "failed to write the metrics as text");
            String::new()
        })
    }
}

impl Default for Meters {
    fn default() -> Self {
        Self::new()
    }
}

impl RouteMeters {
    /// A request on this route ended: the status sent (0: none), seconds from its head to its end, and whether it predicts.
    /// Requests that do not predict (health, metadata) are counted as passed, and keep out of the latency histogram.
    pub fn finished(&self, status: u16, seconds: f64, predicts: bool) {
        let class = match status / 100 {
            class @ 1..=5 => usize::from(class) - 1,
            _ => CODES.len() - 1,
        };
        self.requests[class].add(1);
        if predicts {
            self.seconds.record(seconds);
        } else {
            self.passed.add(1);
        }
    }

    /// A body was not kept for want of a memory permit.
    pub fn not_kept(&self) {
        self.not_kept.add(1);
    }
}

#[cfg(test)]
mod tests;
