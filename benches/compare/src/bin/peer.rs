//! The peer: the crate opentelemetry-application-insights, used as charitably as it can be. It reads the
//! same lines as `telemetry-upload`, streamed, and flushes before its queue of 2,048 could overflow, since
//! it would lose the rest without a word.

use opentelemetry::logs::{AnyValue, LogRecord, Logger, LoggerProvider};
use opentelemetry_application_insights::Exporter;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use serde_json::{Map, Value};
use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader};

/// What fits into its queue.
const QUEUE: usize = 2_048;

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let path = std::env::args_os().nth(1).ok_or("a file of events")?;
    let exporter = Exporter::new_from_env(reqwest::blocking::Client::new())?;
    let provider = SdkLoggerProvider::builder()
        .with_batch_exporter(exporter)
        .build();
    let logger = provider.logger("peer");
    for (number, line) in BufReader::new(File::open(path)?).lines().enumerate() {
        let fields: Map<String, Value> = serde_json::from_str(&line?)?;
        let mut record = logger.create_log_record();
        for (key, value) in fields {
            match (key.as_str(), value) {
                ("eventType", Value::String(name)) => record.set_body(name.into()),
                ("timestamp", Value::String(time)) => {
                    let time = chrono::DateTime::parse_from_rfc3339(&time)?;
                    record.set_timestamp(time.into());
                }
                (_, value) => record.add_attribute(key, any(value)),
            }
        }
        logger.emit(record);
        if (number + 1) % QUEUE == 0 {
            provider.force_flush()?;
        }
    }
    provider.shutdown()?;
    Ok(())
}

fn any(value: Value) -> AnyValue {
    match value {
        Value::Bool(truth) => truth.into(),
        Value::Number(number) => number.as_f64().unwrap_or_default().into(),
        Value::String(text) => text.into(),
        other => other.to_string().into(),
    }
}
