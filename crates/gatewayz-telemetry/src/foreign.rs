//! Families of a `prometheus::Registry` on the page.

use gatewayz_metrics::{ForeignFamilies, ForeignFamily, ForeignSeries, ForeignValue, Kind};
use prometheus::Registry;
use prometheus::proto::{Metric, MetricFamily, MetricType};

/// Puts the families of a `prometheus::Registry` on the page, for middleware that only knows that crate.
#[derive(Debug, Clone)]
pub struct PrometheusFamilies(pub Registry);

impl ForeignFamilies for PrometheusFamilies {
    fn gather(&self) -> Vec<ForeignFamily> {
        self.0.gather().iter().filter_map(family).collect()
    }
}

fn family(family: &MetricFamily) -> Option<ForeignFamily> {
    let kind = match family.get_field_type() {
        MetricType::COUNTER => Kind::Counter,
        MetricType::GAUGE => Kind::Gauge,
        MetricType::HISTOGRAM => Kind::Histogram,
        // No middleware we carry makes these, and they have no place in our catalog.
        MetricType::SUMMARY | MetricType::UNTYPED => return None,
    };
    Some(ForeignFamily {
        name: family.name().to_owned(),
        help: family.help().to_owned(),
        kind,
        series: family
            .get_metric()
            .iter()
            .map(|metric| series(metric, kind))
            .collect(),
    })
}

fn series(metric: &Metric, kind: Kind) -> ForeignSeries {
    let labels = metric
        .get_label()
        .iter()
        .map(|label| (label.name().to_owned(), label.value().to_owned()))
        .collect();
    let value = match kind {
        Kind::Counter => ForeignValue::Number(metric.get_counter().get_value()),
        Kind::Gauge => ForeignValue::Number(metric.get_gauge().get_value()),
        Kind::Histogram => {
            let histogram = metric.get_histogram();
            let buckets = histogram.get_bucket().iter();
            ForeignValue::Histogram {
                buckets: buckets
                    .map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()))
                    .collect(),
                sum: histogram.get_sample_sum(),
                count: histogram.get_sample_count(),
            }
        }
    };
    ForeignSeries { labels, value }
}
