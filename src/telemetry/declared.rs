//! The table of metrics: name, and what it means. The doc comment of each is the HELP text a scraper sees.

use opentelemetry::metrics::{AsyncInstrument, Counter, Histogram, Meter};

/// One metric's name and HELP text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Declared {
    pub name: &'static str,
    pub help: &'static str,
}

macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $id:ident = $name:literal;)+) => {
        $(
            $(#[doc = $help])+
            pub(super) const $id: Declared = Declared { name: $name, help: concat!($($help),+) };
        )+
        /// Every metric that this process exports.
        pub(super) const ALL: &[Declared] = &[$($id),+];
    };
}

metrics! {
    /// Requests that reached a route and ended, by the class of the status sent (none: the client got no answer)
    REQUESTS = "weir_requests_total";
    /// Seconds from the head of a predicting request to the end of its answer
    SECONDS = "weir_request_seconds";
    /// Requests that do not predict (health, metadata, GET): forwarded, not recorded
    PASSED = "weir_passed_total";
    /// Bodies that were not kept because memory.capture was used up; their records exist without them
    NOT_KEPT = "weir_capture_not_kept_total";
    /// Requests refused before they reached a route, or that are no feedback that can be taken; they are not calls
    REFUSED = "weir_refused_total";
    /// Client connections open now
    CONNECTIONS = "weir_connections";
    /// Calls by what became of them: seen = logged + pending + dropped + unsampled
    CALLS = "weir_calls_total";
    /// Calls without a record, by reason
    DROPPED = "weir_dropped_total";
    /// Calls seen and not yet settled
    PENDING = "weir_pending_calls";
    /// Feedbacks by what became of them, each one of a list: seen = logged + pending + dropped
    FEEDBACK = "weir_feedback_total";
    /// Feedbacks that are not kept, by reason; who sent them was told so
    FEEDBACK_DROPPED = "weir_feedback_dropped_total";
    /// Feedbacks seen and not yet settled
    FEEDBACK_PENDING = "weir_pending_feedback";
    /// Rows by stage: appended = delivered + backlog, consumed = stored + resent; quarantined rows are stored rows,
    /// shortened ones were delivered with less in them because their topic refused them for their size
    ROWS = "weir_rows_total";
    /// Rows in the log that are not yet delivered (to Kafka, or to the store when there is no Kafka)
    BACKLOG = "weir_backlog_rows";
    /// Bytes of the log on disk
    LOG_BYTES = "weir_log_bytes";
    /// Age in seconds of the oldest row that is not yet in the store, 0 if there is none
    OLDEST = "weir_oldest_unstored_seconds";
    /// Ranges closed and stored as a file by this process, by cause (size, age, date, pressure, manual, stop)
    DRAIN_ROTATIONS = "weir_drain_rotations_total";
    /// Bytes of the files that this process stored
    DRAIN_FILE_BYTES = "weir_drain_file_bytes";
    /// What became of attempts to store a file: created, ours (a lost answer was settled), adopted (another drain was first), conflict (refused), error
    DRAIN_COMMITS = "weir_drain_commit_total";
    /// Seconds from asking the store to create a file to its answer
    DRAIN_UPLOAD = "weir_drain_upload_seconds";
    /// First offset that is not stored
    DRAIN_HEAD = "weir_drain_head_offset";
    /// Offsets that exist in the partition (or lane) and are not stored
    DRAIN_LAG = "weir_drain_lag_records";
    /// Age in seconds of the oldest message at hand that is not stored, 0 if there is none
    DRAIN_OLDEST = "weir_drain_oldest_unstored_seconds";
    /// Messages at hand that are not stored
    DRAIN_OPEN_ROWS = "weir_drain_open_rows";
    /// Bytes of the values of the messages at hand that are not stored
    DRAIN_OPEN_BYTES = "weir_drain_open_bytes";
    /// When the newest file was made, in seconds since the epoch
    DRAIN_LAST_FILE = "weir_drain_last_file_timestamp_seconds";
}

/// What the OpenTelemetry conventions advise for request durations in seconds.
pub(super) const SECONDS_BOUNDARIES: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// From a file of a handful of rows to far beyond `store.roll.size`.
pub(super) const FILE_BYTES_BOUNDARIES: [f64; 10] = [1e4, 1e5, 1e6, 4e6, 16e6, 32e6, 64e6, 128e6, 256e6, 1e9];

/// A folder answers in milliseconds, a large file on S3 in minutes.
pub(super) const UPLOAD_BOUNDARIES: [f64; 12] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0, 600.0];

impl Declared {
    fn help(&self) -> &'static str {
        self.help.trim()
    }

    pub(super) fn counter(&self, meter: &Meter) -> Counter<u64> {
        meter.u64_counter(self.name).with_description(self.help()).build()
    }

    pub(super) fn histogram(&self, meter: &Meter, boundaries: &[f64]) -> Histogram<f64> {
        meter.f64_histogram(self.name).with_description(self.help()).with_boundaries(boundaries.to_vec()).build()
    }

    /// A counter whose total is kept elsewhere and read at scrape time.
    pub(super) fn observed(&self, meter: &Meter, read: impl Fn(&dyn AsyncInstrument<u64>) + Send + Sync + 'static) {
        meter.u64_observable_counter(self.name).with_description(self.help()).with_callback(read).build();
    }

    pub(super) fn gauge(&self, meter: &Meter, read: impl Fn(&dyn AsyncInstrument<u64>) + Send + Sync + 'static) {
        meter.u64_observable_gauge(self.name).with_description(self.help()).with_callback(read).build();
    }

    pub(super) fn gauge_f64(&self, meter: &Meter, read: impl Fn(&dyn AsyncInstrument<f64>) + Send + Sync + 'static) {
        meter.f64_observable_gauge(self.name).with_description(self.help()).with_callback(read).build();
    }
}
