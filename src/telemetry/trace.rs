//! Sets up logs (JSON or text) and, where an OTLP endpoint is configured, traces: a span of each reconcile, and the way of each
//! change. Talks to the collector.

use std::io::IsTerminal;
use std::sync::Arc;

use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState, TracerProvider as _,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, SdkTracerProvider, SpanData, SpanEvents, SpanLinks, SpanProcessor,
};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use super::change::Part;
use crate::config::LogFormat;

/// Keeps the exporters alive; dropping it sends what is left.
#[derive(Debug, Default)]
pub struct Guard {
    reconciles: Option<SdkTracerProvider>,
    changes: Changes,
}

impl Guard {
    /// Where the ways of changes go.
    pub fn changes(&self) -> Changes {
        self.changes.clone()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(traces) = self.reconciles.take() {
            let _ = traces.shutdown();
        }
        if let Some(changes) = self.changes.0.take() {
            let _ = changes.shutdown();
        }
    }
}

/// Sends the ways of changes, in batches and in a thread of its own. Cloning clones a handle.
#[derive(Clone, Debug, Default)]
pub struct Changes(Option<Arc<BatchSpanProcessor>>);

impl Changes {
    /// Whether anybody wants to hear of them.
    pub fn are_wanted(&self) -> bool {
        self.0.is_some()
    }

    /// Sends parts. What a collector does not take is lost: traces inform, and nothing waits for them.
    pub fn send(&self, parts: Vec<Part>) {
        if let Some(processor) = &self.0 {
            for part in parts {
                processor.on_end(data(part));
            }
        }
    }
}

/// Installs the subscriber of this process. Traces go to this endpoint, if there is one.
///
/// # Errors
/// If an OTLP exporter cannot be built, or a subscriber is installed already.
pub fn install(
    format: LogFormat,
    filter: &str,
    endpoint: Option<&str>,
) -> Result<Guard, Box<dyn std::error::Error + Send + Sync>> {
    let logs = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let logs = match format {
        LogFormat::Json => logs.json().flatten_event(true).boxed(),
        LogFormat::Text => logs.boxed(),
    };
    let guard = match endpoint {
        Some(endpoint) => Guard {
            reconciles: Some(reconciles(endpoint)?),
            changes: changes(endpoint)?,
        },
        None => Guard::default(),
    };
    let spans = guard
        .reconciles
        .as_ref()
        .map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer("slipway")));
    tracing_subscriber::registry()
        .with(EnvFilter::try_new(filter)?)
        .with(logs)
        .with(spans)
        .try_init()?;
    Ok(guard)
}

fn reconciles(endpoint: &str) -> Result<SdkTracerProvider, ExporterBuildError> {
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter(endpoint)?)
        .build())
}

fn changes(endpoint: &str) -> Result<Changes, ExporterBuildError> {
    let mut processor = BatchSpanProcessor::builder(exporter(endpoint)?).build();
    processor.set_resource(&Resource::builder().build());
    Ok(Changes(Some(Arc::new(processor))))
}

/// The exporter reads the other standard `OTEL_*` variables itself.
fn exporter(endpoint: &str) -> Result<SpanExporter, ExporterBuildError> {
    let url = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
    SpanExporter::builder()
        .with_http()
        .with_endpoint(url)
        .build()
}

/// A part as the exporter takes it.
fn data(part: Part) -> SpanData {
    let (trace, span) = (TraceId::from(part.trace), SpanId::from(part.span));
    let state = TraceState::default();
    let attributes = part.attributes.into_iter();
    SpanData {
        span_context: SpanContext::new(trace, span, TraceFlags::SAMPLED, false, state),
        parent_span_id: part.parent.map_or(SpanId::INVALID, SpanId::from),
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: part.name.into(),
        start_time: part.from.into(),
        end_time: part.to.into(),
        attributes: attributes
            .map(|(name, value)| KeyValue::new(name, value))
            .collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: part.failure.map_or(Status::Unset, Status::error),
        instrumentation_scope: InstrumentationScope::builder("slipway/change").build(),
    }
}
