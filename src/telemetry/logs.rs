//! Log lines: to stderr, one per event; for people on a terminal, JSON lines otherwise.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use super::console::Console;

/// What is logged when nothing is said. librdkafka reports every lost connection by itself; its errors are enough.
const FILTER_DEFAULT: &str = "info,librdkafka=error,rdkafka=error,aws=warn,hyper=warn,h2=warn,opentelemetry=warn";

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One line of words and fields.
    Text,
    /// One JSON object a line, with `timestamp`, `level`, `target`, `message` and the event's fields.
    Json,
}

impl Format {
    /// [`Format::Text`] on a terminal.
    pub fn on(console: &Console) -> Format {
        if console.is_terminal() { Format::Text } else { Format::Json }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    #[error(
        "failed to read the log filter `{filter}` (WEIR_LOG); write for example `info` or `weir::drain=debug,info`"
    )]
    Filter {
        filter: String,
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    #[error("failed to install the logger: one is installed already")]
    Installed,
}

/// Installs the process's logger. `filter` is what `WEIR_LOG` holds, e.g. `debug` or `weir::drain=debug,info`.
///
/// # Errors
/// If the filter cannot be read, or a logger is installed already.
pub fn init(console: &Console, format: Format, filter: Option<&str>) -> Result<(), LogsError> {
    let filter = filter.map(str::trim).filter(|filter| !filter.is_empty()).unwrap_or(FILTER_DEFAULT);
    let filter =
        EnvFilter::try_new(filter).map_err(|source| LogsError::Filter { filter: filter.to_owned(), source })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(console.clone()).with_timer(Utc);
    let installed = match format {
        Format::Json => builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
        Format::Text => builder.with_ansi(console.is_terminal()).with_target(false).try_init(),
    };
    installed.map_err(|_| LogsError::Installed)
}

/// RFC 3339 in UTC, with microseconds, like `occurred_at` of the records.
struct Utc;

impl FormatTime for Utc {
    fn format_time(&self, to: &mut Writer<'_>) -> std::fmt::Result {
        write!(to, "{:.6}", jiff::Timestamp::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_cannot_be_read_is_an_error_that_says_what_to_write() {
        let error = init(&Console::stderr(), Format::Json, Some("weir=louder")).unwrap_err();
        assert!(error.to_string().contains("weir::drain=debug,info"), "{error}");
    }

    #[test]
    fn the_default_filter_can_be_read() {
        assert!(EnvFilter::try_new(FILTER_DEFAULT).is_ok());
    }
}
