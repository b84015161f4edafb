//! The metrics of the HTTP interface itself. What the domain counts is kept by the app and written beside it.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

/// Seconds: from a millisecond to the longest poll.
const DURATION_BUCKETS: [f64; 15] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Bytes: from an id to the largest artifact.
const SIZE_BUCKETS: [f64; 7] = [64.0, 256.0, 1024.0, 16_384.0, 262_144.0, 10_485_760.0, 104_857_600.0];

/// Counters and histograms by method and route template. A cheap clone.
#[derive(Debug, Clone)]
pub struct HttpMetrics {
    registry: Registry,
    requests: IntCounterVec,
    duration: HistogramVec,
    request_size: HistogramVec,
    response_size: HistogramVec,
}

/// What is measured of one request and its answer.
#[derive(Debug)]
pub(crate) struct Exchange<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) status: u16,
    pub(crate) elapsed: Duration,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
}

impl HttpMetrics {
    /// Registers the metrics, and `minitower_build_info` with the version and this commit, in a registry of their
    /// own: two servers in one process do not share numbers.
    pub fn new(commit: &str) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let info = IntGaugeVec::new(
            Opts::new("minitower_build_info", "Always 1; the labels say what runs."),
            &["version", "commit"],
        )?;
        info.with_label_values(&[env!("CARGO_PKG_VERSION"), commit]).set(1);
        registry.register(Box::new(info))?;
        Ok(Self {
            requests: register(
                &registry,
                IntCounterVec::new(
                    Opts::new("minitower_http_requests_total", "Requests answered."),
                    &["method", "path", "status"],
                )?,
            )?,
            duration: histogram(
                &registry,
                "minitower_http_request_duration_seconds",
                "Time from a request's head to its answer's head; waiting polls included.",
                &DURATION_BUCKETS,
            )?,
            request_size: histogram(
                &registry,
                "minitower_http_request_size_bytes",
                "Announced length of request bodies.",
                &SIZE_BUCKETS,
            )?,
            response_size: histogram(
                &registry,
                "minitower_http_response_size_bytes",
                "Length of answers' bodies.",
                &SIZE_BUCKETS,
            )?,
            registry,
        })
    }

    pub(crate) fn observe(&self, exchange: &Exchange<'_>) {
        let Exchange { method, path, status, elapsed, request_bytes, response_bytes } = *exchange;
        let mut buffer = [0_u8; 3];
        self.requests.with_label_values(&[method, path, status_label(status, &mut buffer)]).inc();
        let labels = [method, path];
        self.duration.with_label_values(&labels).observe(elapsed.as_secs_f64());
        self.request_size.with_label_values(&labels).observe(to_f64(request_bytes));
        self.response_size.with_label_values(&labels).observe(to_f64(response_bytes));
    }

    /// Writes these metrics and those of the domain in Prometheus' text format.
    pub(crate) fn encode(&self, domain: &[MetricFamily], out: &mut String) -> Result<(), prometheus::Error> {
        let encoder = TextEncoder::new();
        encoder.encode_utf8(&self.registry.gather(), out)?;
        encoder.encode_utf8(domain, out)
    }
}

fn register<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

fn histogram(
    registry: &Registry,
    name: &str,
    help: &str,
    buckets: &[f64],
) -> Result<HistogramVec, prometheus::Error> {
    let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    register(registry, HistogramVec::new(opts, &["method", "path"])?)
}

/// A status is three digits: written without an allocation, as this runs for every request.
fn status_label(status: u16, buffer: &mut [u8; 3]) -> &str {
    let digits = [status / 100 % 10, status / 10 % 10, status % 10];
    for (byte, digit) in buffer.iter_mut().zip(digits) {
        *byte = b'0' + u8::try_from(digit).unwrap_or(0);
    }
    std::str::from_utf8(buffer).unwrap_or("000")
}

#[expect(clippy::cast_precision_loss, reason = "sizes of bodies stay far below 2^52")]
fn to_f64(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exchange_is_counted_under_its_template() {
        let metrics = HttpMetrics::new("abc").unwrap();
        metrics.observe(&Exchange {
            method: "GET",
            path: "/api/v1/runs/{run}",
            status: 404,
            elapsed: Duration::from_millis(3),
            request_bytes: 0,
            response_bytes: 70,
        });
        let mut text = String::new();
        metrics.encode(&[], &mut text).unwrap();
        for line in [
            r#"minitower_http_requests_total{method="GET",path="/api/v1/runs/{run}",status="404"} 1"#,
            r#"minitower_http_request_duration_seconds_count{method="GET",path="/api/v1/runs/{run}"} 1"#,
            r#"minitower_http_response_size_bytes_sum{method="GET",path="/api/v1/runs/{run}"} 70"#,
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        assert!(text.contains(r#"minitower_build_info{commit="abc",version=""#));
    }
}
