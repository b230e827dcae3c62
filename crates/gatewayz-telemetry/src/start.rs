//! Start, health, flush and end of the three signals.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use actix_web::http::header::HeaderMap;
use gatewayz_delivery::{Flushed, Status};
use gatewayz_logging::{Format, LevelHandle, LineEncoder, LineSettings, LineSink, Lines, LogLayer, bunyan};
use gatewayz_metrics::{CatalogError, Registry, SeriesError, process};
use gatewayz_tracing::w3c::StrictTraceContextPropagator;
use gatewayz_tracing::{RequestSubscriber, SpanSubscriber, Tracer};
use tracing::subscriber::set_global_default;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::SubscriberExt;

use crate::deliveries::{deliver_loki, deliver_otlp, deliver_stdout};
use crate::facts::{FACTS, LogEvents};
use crate::health::SignalHealth;
use crate::http::{InFlightCounts, Recorder, RequestTelemetry};
use crate::loki_lines::LokiLines;
use crate::resource::resource;
use crate::scrape::{ScrapeError, Scrapes};
use crate::self_metrics::{Deliveries, register};
use crate::settings::TelemetrySettings;
use crate::{FAMILIES, http, panic};

/// Time at the end of a shutdown that belongs to stdout alone.
const STDOUT_RESERVE: Duration = Duration::from_millis(300);
/// How long a shutdown waits for requests that the server has cut off.
const REQUESTS_GRACE: Duration = Duration::from_millis(500);
/// Why telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A delivery thread was refused, or stdout is closed.
    #[error("start the delivery of {signal}")]
    Delivery {
        /// Which one.
        signal: &'static str,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The metric families do not fit together.
    #[error("put the metrics catalog together")]
    Catalog(#[from] CatalogError),
    /// A family of our own was refused.
    #[error("register the metrics")]
    Series(#[from] SeriesError),
    /// The OTLP exporter cannot be built from its settings.
    #[error("build the OTLP exporter")]
    Otlp(#[from] gatewayz_tracing::otlp::BuildError),
    /// The OpenTelemetry API's exporter cannot be built.
    #[error("build the OpenTelemetry API's exporter")]
    Api(#[from] opentelemetry_otlp::ExporterBuildError),
    /// The Loki sink cannot be built from its settings.
    #[error("build the Loki sink")]
    Loki(#[from] gatewayz_loki::BuildError),
    /// Another subscriber or logger is installed in this process.
    #[error("install the tracing subscriber: another one is installed")]
    Installed,
}

/// The running telemetry of a process. Clones share it.
#[derive(Clone)]
pub struct Telemetry(Arc<Inner>);

struct Inner {
    registry: Registry,
    scrapes: Arc<Scrapes>,
    levels: LevelHandle,
    recorder: Arc<Recorder>,
    resource: Vec<(String, String)>,
    deliveries: Deliveries,
    ended: AtomicBool,
}

/// Ends telemetry when it is dropped; made by [`Telemetry::shutdown_on_drop`].
#[derive(Debug)]
pub struct ShutdownGuard {
    telemetry: Telemetry,
    timeout: Duration,
}

impl Drop for ShutdownGuard {
    fn drop(&mut self) {
        if !self.telemetry.0.ended.load(Ordering::Acquire) {
            let _ = self.telemetry.shutdown(Instant::now() + self.timeout);
        }
    }
}

/// What the end of telemetry left.
#[derive(Debug)]
pub struct ShutdownReport {
    /// Final figures by exporter, stdout last.
    pub exporters: Vec<(&'static str, Status)>,
}

impl ShutdownReport {
    /// Records that could not be delivered during the shutdown.
    #[must_use]
    pub fn undelivered(&self) -> u64 {
        let shutdown = gatewayz_delivery::Discard::Shutdown;
        self.exporters
            .iter()
            .map(|(_, status)| status.discarded_for(shutdown) + status.queued)
            .sum()
    }
}

impl Telemetry {
    /// Starts the deliveries and installs the process's subscriber, log bridge, panic hook, and OpenTelemetry API
    /// provider and propagator.
    ///
    /// No destination is contacted, so none has to be there.
    ///
    /// # Errors
    /// When settings cannot be used, the system refuses a thread, or a subscriber is installed already.
    pub fn start(settings: TelemetrySettings) -> Result<Self, StartError> {
        let families: Vec<_> = FAMILIES
            .iter()
            .map(|(_, families)| *families)
            .chain(settings.families.iter().copied())
            .collect();
        let registry = Registry::new(&families, settings.metrics)?;
        process::register(&registry)?;
        let resource = resource(&settings);
        let deliveries = Deliveries {
            stdout: Arc::new(deliver_stdout(&settings.log, &registry)?),
            loki: settings
                .loki
                .as_ref()
                .map(|loki| deliver_loki(loki, &settings.log, &registry))
                .transpose()?
                .map(Arc::new),
            otlp: match &settings.traces.export {
                Some(export) => Some(Arc::new(deliver_otlp(export, &resource, &registry)?)),
                None => None,
            },
        };
        let others: Vec<Box<dyn LineSink>> = match &deliveries.loki {
            Some(loki) => vec![Box::new(LokiLines(loki.queue().clone()))],
            None => Vec::new(),
        };
        let lines = Lines::new(deliveries.stdout.queue().clone(), others);
        let export = deliveries.otlp.as_ref().map(|otlp| otlp.queue().clone());
        let tracer = Tracer::new(
            settings.traces.sampler,
            settings.traces.incoming_sampled_per_second,
            export,
        );
        http::register_info(&registry, &settings)?;

        let levels = LevelHandle::new(settings.log.levels.clone());
        let encoder = LineEncoder::new(&LineSettings {
            service: settings.service_name.clone(),
            environment: settings.environment.clone(),
            line_max_bytes: settings.log.line_max_bytes,
        });
        let mut log =
            LogLayer::new(encoder, settings.log.format, levels.clone(), lines.clone()).with_facts(FACTS);
        if let Some(per_second) = settings.log.events_per_second {
            log = log.with_storm_limit(per_second);
        }
        register(&registry, &deliveries, log.clone(), tracer.clone())?;
        let installed = match settings.log.format {
            Format::Json | Format::Pretty => {
                set_global_default(SpanSubscriber::new(tracer.clone(), LogEvents(log.clone())))
            }
            Format::Bunyan => {
                let bunyan = bunyan::layers(settings.service_name.clone(), lines);
                let layers = tracer.layer().and_then(bunyan).and_then(log.clone());
                set_global_default(RequestSubscriber::new(
                    tracing_subscriber::registry().with(layers),
                ))
            }
        };
        installed.map_err(|_| StartError::Installed)?;
        tracing_log::LogTracer::init().map_err(|_| StartError::Installed)?;
        if let Some(provider) = tracer.api_provider()? {
            opentelemetry::global::set_tracer_provider(provider);
        }
        opentelemetry::global::set_text_map_propagator(StrictTraceContextPropagator);
        panic::install_hook();

        let recorder = Arc::new(Recorder {
            app_name: settings.app_name,
            registry: registry.clone(),
            log,
            tracer,
            silent_routes: settings.silent_routes,
            in_flight: InFlightCounts::default(),
        });
        Ok(Self(Arc::new(Inner {
            registry,
            scrapes: Arc::default(),
            levels,
            recorder,
            resource,
            deliveries,
            ended: AtomicBool::new(false),
        })))
    }

    /// The middleware around the application.
    #[must_use]
    pub fn requests(&self) -> RequestTelemetry {
        RequestTelemetry::new(Arc::clone(&self.0.recorder))
    }

    /// The metrics, to register the service's own.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// Answers a scrape with these headers: the page in the format that `Accept` asks for. Requests do not wait for it:
    /// it is rendered on a thread of its own and sent in pieces. At most four are rendered at a time.
    ///
    /// # Errors
    /// When four are being rendered, or the page cannot be.
    pub async fn scrape(&self, headers: &HeaderMap) -> Result<HttpResponse, ScrapeError> {
        self.0.scrapes.answer(&self.0.registry, headers).await
    }

    /// The log levels at run time.
    #[must_use]
    pub fn levels(&self) -> &LevelHandle {
        &self.0.levels
    }

    /// Attributes of the resource as every exported span carries them, in the order of their names. There without an
    /// export too.
    #[must_use]
    pub fn resource(&self) -> &[(String, String)] {
        &self.0.resource
    }

    /// How lines on stdout fare.
    #[must_use]
    pub fn stdout(&self) -> SignalHealth {
        SignalHealth::of(Some(&self.0.deliveries.stdout))
    }

    /// How lines to Loki fare.
    #[must_use]
    pub fn loki(&self) -> SignalHealth {
        SignalHealth::of(self.0.deliveries.loki.as_deref())
    }

    /// How spans fare.
    #[must_use]
    pub fn traces(&self) -> SignalHealth {
        SignalHealth::of(self.0.deliveries.otlp.as_deref())
    }

    /// Waits until the spans queued so far are delivered or lost; `None` when export is off.
    ///
    /// Blocks: call it from a blocking context.
    #[must_use]
    pub fn flush_traces(&self, timeout: Duration) -> Option<Flushed> {
        Some(self.0.deliveries.otlp.as_ref()?.flush(timeout))
    }

    /// The same for lines to Loki; `None` when push is off.
    #[must_use]
    pub fn flush_loki(&self, timeout: Duration) -> Option<Flushed> {
        Some(self.0.deliveries.loki.as_ref()?.flush(timeout))
    }

    /// The same for lines on stdout.
    #[must_use]
    pub fn flush_stdout(&self, timeout: Duration) -> Flushed {
        self.0.deliveries.stdout.flush(timeout)
    }

    /// Requests that have begun and have no outcome yet.
    #[must_use]
    pub fn requests_in_flight(&self) -> usize {
        self.0.recorder.in_flight.total()
    }

    /// A server that is stopped may still be dropping requests on its workers; each leaves its signals then.
    fn wait_for_requests(&self, deadline: Instant) {
        while self.requests_in_flight() > 0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Ends telemetry, within `timeout`, when the value is dropped: what `main` logged before it returned an error
    /// or panicked is delivered all the same. After [`Self::shutdown`] it does nothing.
    #[must_use]
    pub fn shutdown_on_drop(&self, timeout: Duration) -> ShutdownGuard {
        ShutdownGuard {
            telemetry: self.clone(),
            timeout,
        }
    }

    /// Delivers what is queued until `deadline` and ends: spans and Loki side by side, stdout last, so that it
    /// can still tell what the others left. Blocks.
    #[must_use]
    pub fn shutdown(&self, deadline: Instant) -> ShutdownReport {
        self.0.ended.store(true, Ordering::Release);
        let deliveries = &self.0.deliveries;
        // stdout needs a moment of the same deadline, after the others are given up.
        let earlier = deadline.checked_sub(STDOUT_RESERVE).unwrap_or(deadline);
        self.wait_for_requests(earlier.min(Instant::now() + REQUESTS_GRACE));
        let mut exporters: Vec<(&'static str, Status)> = std::thread::scope(|scope| {
            let remote = [&deliveries.otlp, &deliveries.loki].into_iter().flatten();
            let ends: Vec<_> = remote
                .map(|delivery| scope.spawn(|| (delivery.name(), delivery.shutdown(earlier))))
                .collect();
            ends.into_iter().filter_map(|end| end.join().ok()).collect()
        });
        for (exporter, status) in &exporters {
            let undelivered = status.discarded_for(gatewayz_delivery::Discard::Shutdown);
            if undelivered > 0 {
                tracing::warn!(
                    exporter,
                    undelivered,
                    "Telemetry was not delivered before the shutdown's deadline"
                );
            }
        }
        exporters.push((deliveries.stdout.name(), deliveries.stdout.shutdown(deadline)));
        ShutdownReport { exporters }
    }
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Telemetry")
            .field("levels", &self.0.levels)
            .finish_non_exhaustive()
    }
}
