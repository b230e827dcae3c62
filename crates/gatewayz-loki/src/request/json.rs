//! The JSON form: `{"streams":[{"stream":{...},"values":[["<ns>","<line>",{...}]]}]}`.

use super::Entry;

pub(super) fn head(labels: &[(&str, String)]) -> Vec<u8> {
    let mut out = br#"{"stream":{"#.to_vec();
    for (index, (name, value)) in labels.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(name, &mut out);
        out.push(b':');
        write_string(value, &mut out);
    }
    out.extend_from_slice(br#"},"values":["#);
    out
}

pub(super) fn write<'a>(streams: impl Iterator<Item = (&'a Vec<u8>, &'a Vec<Entry<'a>>)>, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"streams":["#);
    for (index, (head, entries)) in streams.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(head);
        for (index, entry) in entries.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_entry(entry, out);
        }
        out.extend_from_slice(b"]}");
    }
    out.extend_from_slice(b"]}");
}

fn write_entry(entry: &Entry<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"[""#);
    out.extend_from_slice(itoa::Buffer::new().format(entry.unix_nanos).as_bytes());
    out.extend_from_slice(br#"","#);
    write_string(&entry.line, out);
    match (&entry.trace_id, &entry.span_id) {
        (None, None) => {}
        (Some(trace_id), None) => write_metadata(&[("trace_id", trace_id)], out),
        (None, Some(span_id)) => write_metadata(&[("span_id", span_id)], out),
        (Some(trace_id), Some(span_id)) => {
            write_metadata(&[("trace_id", trace_id), ("span_id", span_id)], out);
        }
    }
    out.push(b']');
}

/// Hexadecimal digits need no escape.
fn write_metadata(pairs: &[(&str, &[u8])], out: &mut Vec<u8>) {
    let mut before = b",{\"".as_slice();
    for (name, digits) in pairs {
        out.extend_from_slice(before);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(br#"":""#);
        out.extend_from_slice(digits);
        out.push(b'"');
        before = b",\"";
    }
    out.push(b'}');
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let mut rest = text.as_bytes();
    let is_escaped = |byte: &u8| matches!(byte, 0..=0x1f | b'"' | b'\\');
    while let Some(index) = rest.iter().position(is_escaped) {
        let (plain, from_escaped) = rest.split_at(index);
        let Some((escaped, after)) = from_escaped.split_first() else {
            break;
        };
        out.extend_from_slice(plain);
        match escaped {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *escaped]),
            control => {
                out.extend_from_slice(br"\u00");
                out.push(HEX[usize::from(control >> 4)]);
                out.push(HEX[usize::from(control & 15)]);
            }
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}
