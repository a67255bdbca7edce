//! The task that sends spans to the collector.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::settings::Otlp;
use crate::domain::Clock;
use crate::outbound::{ClientError, Collector};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::spans::Tracer;

/// How long a stop waits for the collector to take the last spans.
const LAST: Duration = Duration::from_secs(2);

/// The task, where a collector is configured.
pub(super) struct Traces(Option<(CancellationToken, JoinHandle<()>)>);

impl Traces {
    /// Starts it. Returns what records spans for it.
    pub(super) fn start(
        otlp: Option<&Otlp>,
        metrics: &Arc<Metrics>,
        clock: &Arc<dyn Clock>,
    ) -> Result<(Tracer, Self), ClientError> {
        let Some(otlp) = otlp else { return Ok((Tracer::default(), Self(None))) };
        let (tracer, spans) = Tracer::new(otlp.sample, Arc::clone(metrics));
        let collector = Collector::new(otlp, spans, Arc::clone(metrics), Arc::clone(clock))?;
        let stop = CancellationToken::new();
        let task = tokio::spawn(collector.run(stop.clone()));
        Ok((tracer, Self(Some((stop, task)))))
    }

    /// Sends the last spans, for a short time at most.
    pub(super) async fn finish(self) {
        let Some((stop, mut task)) = self.0 else { return };
        stop.cancel();
        if tokio::time::timeout(LAST, &mut task).await.is_err() {
            task.abort();
            tracing::warn!("telemetry.otlp: the collector did not take the last spans in time; they are dropped");
        }
    }
}
