//! Sets up logs (JSON or text) and, where an OTLP endpoint is configured, traces.

use std::io::IsTerminal;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::LogFormat;

/// Keeps the exporter alive; dropping it sends what is left.
#[derive(Debug, Default)]
pub struct Guard {
    traces: Option<SdkTracerProvider>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(traces) = self.traces.take() {
            let _ = traces.shutdown();
        }
    }
}

/// Installs the subscriber of this process.
///
/// # Errors
/// If the OTLP exporter cannot be built from the environment, or a subscriber is installed already.
pub fn install(
    format: LogFormat,
    filter: &str,
    traces: bool,
) -> Result<Guard, Box<dyn std::error::Error + Send + Sync>> {
    let logs = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let logs = match format {
        LogFormat::Json => logs.json().flatten_event(true).boxed(),
        LogFormat::Text => logs.boxed(),
    };
    let provider = if traces { Some(exporter()?) } else { None };
    let spans = provider
        .as_ref()
        .map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer("slipway")));
    tracing_subscriber::registry()
        .with(EnvFilter::try_new(filter)?)
        .with(logs)
        .with(spans)
        .try_init()?;
    Ok(Guard { traces: provider })
}

/// The exporter reads the standard `OTEL_*` variables itself.
fn exporter() -> Result<SdkTracerProvider, opentelemetry_otlp::ExporterBuildError> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .build()?;
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .build())
}
