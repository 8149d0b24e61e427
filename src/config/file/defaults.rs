//! Every default of the file, in one place.

use std::collections::BTreeMap;

use super::*;

impl Default for File {
    fn default() -> File {
        File {
            version: None,
            data_dir: "./weir-data".to_owned(),
            listen: Listen::default(),
            admin: Admin::default(),
            routes: Ordered::default(),
            models_max: 64,
            recorders: Recorders::Auto,
            log: Log::default(),
            stop: Stop::default(),
            memory: Memory::default(),
            kafka: None,
            drain: Drain::default(),
            store: Store::default(),
            roles: vec![Role::Gateway, Role::Drain],
        }
    }
}

impl Default for Listen {
    fn default() -> Listen {
        // Below Kubernetes' grace period of 30 s.
        Listen { address: "127.0.0.1:7600".to_owned(), limits: Limits::default(), drain_timeout: Span::secs(25) }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 10_000,
            headers: 100,
            header_bytes: Size::kib(64),
            body: Size::mib(10),
            header_timeout: Span::secs(10),
            body_idle: Span::secs(30),
        }
    }
}

impl Default for Admin {
    fn default() -> Admin {
        Admin { address: "127.0.0.1:7601".to_owned(), token: "auto".to_owned() }
    }
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        // uvicorn closes an idle connection after 5 s; a request sent at that moment cannot safely be sent again.
        Timeouts { connect: Span::secs(1), first_byte: Span::secs(60), idle: Span::secs(60), pool_idle: Span::secs(4) }
    }
}

impl Default for Retry {
    fn default() -> Retry {
        Retry { connect: 1, stale: false }
    }
}

impl Default for Concurrency {
    fn default() -> Concurrency {
        Concurrency(256)
    }
}

impl Default for Capture {
    fn default() -> Capture {
        Capture {
            mode: CaptureMode::BestEffort,
            body: Size::mib(1),
            sample: Sample::rate(1.0),
            headers: ["content-type", "x-request-id", "traceparent"].map(str::to_owned).to_vec(),
            rows: Rows::Split,
            bodies: Bodies::OnError,
            header: HeaderChoice::Allow,
            methods: vec!["POST".to_owned()],
            rows_max: 10_000,
            decompressed: Size::mib(8),
            depth: 64,
        }
    }
}

impl Default for Log {
    fn default() -> Log {
        Log { sync: Span::millis(200), max_size: Size::gib(2), reserve_free: Size::gib(1), segment: Size::mib(64) }
    }
}

impl Default for Stop {
    fn default() -> Stop {
        Stop { recorders: Span::secs(5), publish: Span::secs(5), store: Span::secs(20) }
    }
}

impl Default for Memory {
    fn default() -> Memory {
        Memory { capture: Size::mib(64), queue: Size::mib(64), producer: Size::mib(32), drain: Size::mib(128) }
    }
}

impl Default for Kafka {
    fn default() -> Kafka {
        Kafka {
            brokers: Vec::new(),
            topic: "{model}".to_owned(),
            format: Format::Json,
            lanes: 4,
            key: None,
            // Below the million bytes that librdkafka and the brokers take, with room for key and headers.
            max_record: Size(900_000),
            tls: None,
            sasl: None,
            producer: BTreeMap::new(),
            consumer: BTreeMap::new(),
            create_topics: None,
        }
    }
}

impl Default for CreateTopics {
    fn default() -> CreateTopics {
        CreateTopics { partitions: 6, replication: 3 }
    }
}

impl Default for Drain {
    fn default() -> Drain {
        Drain {
            topics: vec!["{model}".to_owned()],
            group: "weir-drain".to_owned(),
            start: Start::Earliest,
            writers: 1,
            spool: Size::gib(4),
            resend_window: Span(std::time::Duration::from_secs(7 * 24 * 60 * 60)),
        }
    }
}

impl Default for Store {
    fn default() -> Store {
        Store {
            to: None,
            endpoint: None,
            region: None,
            path_style: None,
            sse_kms: None,
            multipart_threshold: Size::mib(64),
            roll: Roll::default(),
            partition: Partitioning::Day,
            parquet: Parquet::default(),
            columns_max: 1000,
            tables: Ordered::default(),
            delta: false,
        }
    }
}

impl Default for Roll {
    fn default() -> Roll {
        Roll { size: Size::mib(128), every: Span::secs(300) }
    }
}

impl Default for Parquet {
    fn default() -> Parquet {
        Parquet { compression: Compression::Zstd, level: 1, row_group: 131_072, encodings: Encodings::Compatible }
    }
}
