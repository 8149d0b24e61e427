//! Integration tests: the real binary, real servers over the wire.

#![allow(clippy::unwrap_used, reason = "a test's helper ends the test as the test itself would")]

mod support;

mod brokers;
mod cli;
mod clock;
mod copies;
mod crash_points;
mod deleted;
mod exhausted;
mod feedback;
mod foreign;
mod foreign_apps;
mod growth;
mod group;
mod growth_services;
mod group_load;
mod hints;
mod kafka_path;
mod kafka_readers;
mod kafka_rights;
mod kafka_s3;
mod kafka_source;
mod kafka_tls;
mod kill;
mod log_repair;
mod loud;
mod loud_kafka;
mod lost_answers;
mod move_to_kafka;
mod multipart;
mod names;
mod new_generation;
mod outage;
mod path;
mod protobuf;
mod read_back;
mod redaction;
mod s3_faults;
mod s3_store;
mod schema;
mod sampling;
mod secrets;
mod servers_asked;
mod servers_chat;
mod servers_mlflow;
mod servers_mlserver;
mod servers_triton;
mod shared_store;
mod stop;
mod torture;
mod topics;
mod unclean;
mod where_is_my_file;
mod zombies;
