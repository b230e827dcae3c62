//! Writing the page.

use std::thread;

use crate::catalog::Entry;
use crate::cells::{gauge_value, histogram_value};
use crate::collect::Collected;
use crate::exemplar::ExemplarCell;
use crate::family::{Kind, Unit};
use crate::foreign::{ForeignValue, ReadyFamily};
use crate::format::Format;
use crate::text::{bound_text, push_decimal, push_float, push_help, push_integer, without_total};

/// Written between two offers of the core to other threads; takes some 50 us.
const TURN_BYTES: usize = 64 * 1024;

/// A page being written.
pub(crate) struct Page<'a> {
    out: &'a mut Vec<u8>,
    format: Format,
    /// Length of `out` from which another thread may go first.
    give_way_at: usize,
}

impl<'a> Page<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>, format: Format) -> Self {
        Self {
            give_way_at: out.len() + TURN_BYTES,
            out,
            format,
        }
    }

    /// Writes a family under each of its names.
    pub(crate) fn entry(&mut self, index: usize, entry: &Entry, collected: &Collected) {
        let blocks = entry.series.blocks();
        // Read once, so that all names of the family show the same values.
        let mut words = Vec::new();
        for block in &blocks {
            for (index, _) in block.label_sets().enumerate() {
                block.read(index, &mut words);
            }
        }
        for exposed in &entry.exposed {
            self.header(exposed.name, exposed.help, exposed.kind, entry.family.unit);
            let mut readings = words.chunks_exact(entry.series.words_per_series());
            for block in &blocks {
                // Series made since the reading are at the end and wait for the next page.
                for ((index, labels), words) in block.label_sets().enumerate().zip(&mut readings) {
                    self.series(entry, exposed.name, labels, words, block.exemplars(index));
                }
            }
            for (labels, words) in collected.of(index) {
                self.series(entry, exposed.name, labels, words, &[]);
            }
        }
    }

    /// Writes a family of another library.
    pub(crate) fn foreign(&mut self, family: &ReadyFamily) {
        let ReadyFamily {
            name,
            help,
            kind,
            series,
        } = family;
        self.header(name, help, *kind, Unit::None);
        for (labels, value) in series {
            match value {
                ForeignValue::Number(value) => {
                    self.start(name, "", labels);
                    push_float(self.out, *value);
                    self.out.push(b'\n');
                }
                ForeignValue::Histogram { buckets, sum, count } => {
                    let mut total = 0;
                    for (bound, up_to) in buckets.iter().filter(|(bound, _)| bound.is_finite()) {
                        total = total.max(*up_to);
                        self.bucket(name, labels, &bound_text(*bound), total);
                        self.out.push(b'\n');
                    }
                    // A source that counts while it is read must not show fewer in all than in a part.
                    let total = total.max(*count);
                    self.bucket(name, labels, "+Inf", total);
                    self.out.push(b'\n');
                    self.sum_and_count(name, labels, total, |out| push_float(out, *sum));
                }
            }
        }
    }

    /// Closes the page; nothing may follow.
    pub(crate) fn end(self) {
        match self.format {
            Format::Text => {}
            Format::OpenMetrics => self.out.extend_from_slice(b"# EOF\n"),
        }
    }

    fn header(&mut self, name: &str, help: &str, kind: Kind, unit: Unit) {
        let open_metrics = self.format == Format::OpenMetrics;
        let name = if open_metrics && kind == Kind::Counter {
            without_total(name)
        } else {
            name
        };
        let mut line = |keyword: &str, write: &dyn Fn(&mut Vec<u8>)| {
            for part in ["# ", keyword, " ", name, " "] {
                self.out.extend_from_slice(part.as_bytes());
            }
            write(self.out);
            self.out.push(b'\n');
        };
        line("HELP", &|out| push_help(out, help, open_metrics));
        line("TYPE", &|out| out.extend_from_slice(kind.as_str().as_bytes()));
        let unit = unit.as_str();
        // OpenMetrics allows the line only for names that end in the unit.
        let named = name.strip_suffix(unit).is_some_and(|stem| stem.ends_with('_'));
        if open_metrics && !unit.is_empty() && named {
            line("UNIT", &|out| out.extend_from_slice(unit.as_bytes()));
        }
    }

    fn series(&mut self, entry: &Entry, name: &str, labels: &str, words: &[u64], exemplars: &[ExemplarCell]) {
        if self.out.len() >= self.give_way_at {
            // On a machine of one core a worker would wait until this thread's time slice ends.
            thread::yield_now();
            self.give_way_at = self.out.len() + TURN_BYTES;
        }
        match entry.family.kind {
            Kind::Counter => {
                self.start(name, "", labels);
                push_decimal(
                    self.out,
                    words.first().copied().unwrap_or_default(),
                    entry.decimals,
                );
                self.out.push(b'\n');
            }
            Kind::Gauge => {
                self.start(name, "", labels);
                push_float(self.out, gauge_value(words));
                self.out.push(b'\n');
            }
            Kind::Histogram => self.histogram(entry, name, labels, words, exemplars),
        }
    }

    fn histogram(
        &mut self,
        entry: &Entry,
        name: &str,
        labels: &str,
        words: &[u64],
        exemplars: &[ExemplarCell],
    ) {
        let exemplars = if self.format == Format::OpenMetrics {
            exemplars
        } else {
            &[]
        };
        let (sum, counts) = histogram_value(words);
        let bounds = entry.bound_texts.iter().map(String::as_str).chain(["+Inf"]);
        let mut total: u64 = 0;
        for (index, (bound, count)) in bounds.zip(counts).enumerate() {
            total = total.saturating_add(*count);
            self.bucket(name, labels, bound, total);
            if let Some(exemplar) = exemplars.get(index) {
                exemplar.push(self.out, entry.decimals);
            }
            self.out.push(b'\n');
        }
        self.sum_and_count(name, labels, total, |out| push_decimal(out, sum, entry.decimals));
    }

    fn sum_and_count(&mut self, name: &str, labels: &str, total: u64, sum: impl FnOnce(&mut Vec<u8>)) {
        self.start(name, "_sum", labels);
        sum(self.out);
        self.out.push(b'\n');
        self.start(name, "_count", labels);
        push_integer(self.out, total);
        self.out.push(b'\n');
    }

    /// Name and labels of a sample, up to the value.
    fn start(&mut self, name: &str, suffix: &str, labels: &str) {
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(suffix.as_bytes());
        if labels.is_empty() {
            self.out.push(b' ');
        } else {
            self.out.push(b'{');
            self.out.extend_from_slice(labels.as_bytes());
            self.out.extend_from_slice(b"} ");
        }
    }

    /// A bucket line, up to what may follow the value.
    fn bucket(&mut self, name: &str, labels: &str, bound: &str, total: u64) {
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"_bucket{");
        self.out.extend_from_slice(labels.as_bytes());
        if !labels.is_empty() {
            self.out.push(b',');
        }
        self.out.extend_from_slice(b"le=\"");
        self.out.extend_from_slice(bound.as_bytes());
        self.out.extend_from_slice(b"\"} ");
        push_integer(self.out, total);
    }
}
