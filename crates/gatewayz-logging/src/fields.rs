//! Fields of events and spans as JSON members, bounded and unable to override the line's own keys.

use std::cell::Cell;
use std::fmt::{self, Debug, Write};
use std::ops::Range;

use tracing::field::{Field, Visit};

use crate::json::write_escaped;
use crate::key::Key;

/// Keys the line itself writes. A field of that name gets an underscore at its end.
pub(crate) const RESERVED: [&str; 15] = [
    "timestamp",
    "level",
    "service",
    "endpoint",
    "method",
    "status_code",
    "duration_ms",
    "trace_id",
    "span_id",
    "message",
    "environment",
    "route",
    "target",
    "suppressed",
    "truncated",
];
/// The field that is the line's message.
const MESSAGE: &str = "message";
/// Room kept for the end of the line, so that a cut line is still one JSON object.
pub(crate) const CLOSING_BYTES: usize = 64;
/// Most of each buffer that is kept between two lines of a thread.
const KEPT_BYTES: usize = 4096;
/// Longest name and quotes that are written for one field beside its value.
pub(crate) const KEY_BYTES: usize = 128;

/// Collects `,"name":value` members and, apart from them, the message.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    pub(crate) members: Vec<u8>,
    pub(crate) message: Vec<u8>,
    /// Fields cut or left out for their length.
    pub(crate) truncated: u64,
    pub(crate) names: Vec<&'static str>,
    limit: usize,
    /// Whether these are a span's, whose attributes no line shows.
    is_inheriting: bool,
}

impl Fields {
    /// Lends empty fields whose buffers are kept per thread; members and message together stay below `limit` bytes.
    /// A line written while another is being written (a field's `Debug` that logs) gets buffers of its own.
    pub(crate) fn lend<T>(limit: usize, run: impl FnOnce(&mut Self) -> T) -> T {
        thread_local!(static KEPT: Cell<Option<Box<Fields>>> = const { Cell::new(None) });
        // A thread that ends has none any more.
        let mut fields = KEPT.try_with(Cell::take).ok().flatten().unwrap_or_default();
        fields.members.clear();
        fields.message.clear();
        fields.names.clear();
        fields.truncated = 0;
        fields.limit = limit;
        fields.is_inheriting = false;
        let result = run(&mut fields);
        fields.members.shrink_to(KEPT_BYTES);
        fields.message.shrink_to(KEPT_BYTES);
        let _ = KEPT.try_with(|kept| kept.set(Some(fields)));
        result
    }

    fn room(&self) -> usize {
        self.limit.saturating_sub(self.members.len() + self.message.len())
    }

    fn member(&mut self, name: &'static str, write: impl FnOnce(&mut Self)) {
        if Key::with(name, |key| self.begin(name, key)) {
            write(self);
        }
    }

    /// Begins a member, unless it is not to be written.
    fn begin(&mut self, name: &'static str, key: &Key) -> bool {
        if key.is_instruction || self.is_inheriting && key.is_attribute || self.names.contains(&name) {
            return false;
        }
        if self.room() < KEY_BYTES || key.bytes.is_empty() {
            self.truncated += 1;
            return false;
        }
        self.names.push(name);
        self.members.extend_from_slice(&key.bytes);
        true
    }

    fn text(&mut self, value: &dyn fmt::Display) {
        self.members.push(b'"');
        let limit = self.room().saturating_sub(CLOSING_BYTES);
        let mut escaped = Escaped {
            end: self.members.len() + limit,
            out: &mut self.members,
            whole: true,
        };
        let written = write!(escaped, "{value}");
        let whole = escaped.whole && written.is_ok();
        self.truncated += u64::from(!whole);
        self.members.push(b'"');
    }

    /// Takes over members of a span that are not set already.
    pub(crate) fn inherit(&mut self, span: &SpanFields) {
        for (name, range) in &span.ranges {
            let Some(member) = span.fields.members.get(range.clone()) else {
                continue;
            };
            if self.names.contains(name) {
                continue;
            }
            if self.room() < member.len() + CLOSING_BYTES {
                self.truncated += 1;
                continue;
            }
            self.names.push(name);
            self.members.extend_from_slice(member);
        }
    }
}

impl Fields {
    fn integer(&mut self, name: &'static str, value: impl itoa::Integer) {
        self.member(name, |fields| {
            let mut digits = itoa::Buffer::new();
            fields.members.extend_from_slice(digits.format(value).as_bytes());
        });
    }

    fn string(&mut self, name: &'static str, value: &str) {
        self.member(name, |fields| {
            fields.members.push(b'"');
            let limit = fields.room().saturating_sub(CLOSING_BYTES);
            fields.truncated += u64::from(!write_escaped(value, limit, &mut fields.members));
            fields.members.push(b'"');
        });
    }

    fn flag(&mut self, name: &'static str, value: bool) {
        self.member(name, |fields| write_display(&value, &mut fields.members));
    }

    fn number(&mut self, name: &'static str, value: f64) {
        self.member(name, |fields| {
            if value.is_finite() {
                write_display(&value, &mut fields.members);
            } else {
                fields.text(&value);
            }
        });
    }
}

impl Visit for Fields {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.integer(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.integer(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.flag(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.number(field.name(), value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == MESSAGE {
            let limit = self.room() / 2;
            self.truncated += u64::from(!write_escaped(value, limit, &mut self.message));
        } else {
            self.string(field.name(), value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == MESSAGE {
            let limit = self.room() / 2;
            let mut escaped = Escaped {
                end: self.message.len() + limit,
                out: &mut self.message,
                whole: true,
            };
            let written = write!(escaped, "{value:?}");
            let whole = escaped.whole && written.is_ok();
            self.truncated += u64::from(!whole);
        } else {
            self.member(field.name(), |fields| fields.text(&format_args!("{value:?}")));
        }
    }
}

/// A span's fields, encoded once for every event inside it; together at most 4,096 bytes.
#[derive(Debug, Default)]
pub(crate) struct SpanFields {
    fields: Fields,
    ranges: Vec<(&'static str, Range<usize>)>,
}

impl SpanFields {
    /// Longest encoded form of one span's fields.
    const LIMIT_BYTES: usize = 4096;

    /// Adds what `record` visits; a field recorded again replaces the earlier value.
    pub(crate) fn extend(&mut self, record: impl FnOnce(&mut dyn Visit)) {
        self.fields.limit = Self::LIMIT_BYTES;
        self.fields.is_inheriting = true;
        record(&mut OneByOne { span: self });
    }

    fn add(&mut self, field: &Field, write: impl FnOnce(&mut Fields)) {
        let name = field.name();
        let start = self.fields.members.len();
        write(&mut self.fields);
        // These are for the fields of one event.
        self.fields.names.clear();
        self.fields.message.clear();
        if self.fields.members.len() > start {
            self.put(name, start);
        }
    }

    /// Takes the bytes from `start` on as the value of `name`, and an earlier one out.
    fn put(&mut self, name: &'static str, start: usize) {
        let earlier = self.ranges.iter().position(|(other, _)| *other == name);
        self.ranges.push((name, start..self.fields.members.len()));
        let Some(earlier) = earlier else { return };
        let (_, gap) = self.ranges.remove(earlier);
        self.fields.members.drain(gap.clone());
        for (_, range) in self.ranges.iter_mut().skip(earlier) {
            *range = range.start - gap.len()..range.end - gap.len();
        }
    }
}

struct OneByOne<'a> {
    span: &'a mut SpanFields,
}

impl Visit for OneByOne<'_> {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.span.add(field, |fields| fields.record_i64(field, value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.span.add(field, |fields| fields.record_u64(field, value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.span.add(field, |fields| fields.record_bool(field, value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.span.add(field, |fields| fields.record_f64(field, value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.span.add(field, |fields| fields.record_str(field, value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.span.add(field, |fields| fields.record_debug(field, value));
    }
}

/// Takes over the fields of the spans around an event, where the event and a span nearer to it have none of the name.
#[derive(Debug)]
pub struct Inherited<'a>(&'a mut Fields);

impl<'a> Inherited<'a> {
    pub(crate) fn to(fields: &'a mut Fields) -> Self {
        fields.is_inheriting = true;
        Self(fields)
    }

    /// A whole number.
    pub fn integer(&mut self, name: &'static str, value: i64) {
        self.0.integer(name, value);
    }

    /// A whole number above `i64::MAX`.
    pub fn unsigned(&mut self, name: &'static str, value: u64) {
        self.0.integer(name, value);
    }

    /// A boolean.
    pub fn flag(&mut self, name: &'static str, value: bool) {
        self.0.flag(name, value);
    }

    /// A number; one that is not finite is written as text.
    pub fn number(&mut self, name: &'static str, value: f64) {
        self.0.number(name, value);
    }

    /// A text, cut where the line has no more room. A span has no message, so one of that name is left out.
    pub fn text(&mut self, name: &'static str, value: &str) {
        if name != MESSAGE {
            self.0.string(name, value);
        }
    }

    pub(crate) fn add(&mut self, span: &SpanFields) {
        self.0.inherit(span);
    }
}

/// Escapes while it formats, and stops at a limit instead of building the whole text.
struct Escaped<'a> {
    out: &'a mut Vec<u8>,
    end: usize,
    whole: bool,
}

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.end.saturating_sub(self.out.len());
        self.whole = write_escaped(text, room, self.out);
        if self.whole { Ok(()) } else { Err(fmt::Error) }
    }
}

pub(crate) fn write_display(value: &dyn fmt::Display, out: &mut Vec<u8>) {
    // Numbers and booleans are short and plain.
    let _ = write!(
        Escaped {
            end: usize::MAX,
            out,
            whole: true
        },
        "{value}"
    );
}
