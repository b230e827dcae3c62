//! The export request around a batch of encoded spans, and what its answer says.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use gatewayz_delivery::Batch;
use opentelemetry::{Key, KeyValue};
use opentelemetry_sdk::Resource;

use crate::encode::{attribute, bytes, length_delimited, varint, varint_len};

const RESOURCE_SPANS: u8 = 0x0a;
const RESOURCE: u8 = 0x0a;
const SCOPE_SPANS: u8 = 0x12;
const SCOPE: u8 = 0x0a;

/// Everything of a request that is the same each time: resource and scope.
#[derive(Debug)]
pub(super) struct Frame {
    resource: Vec<u8>,
    scope: Vec<u8>,
}

impl Frame {
    pub(super) fn new(attributes: &[(String, String)]) -> Self {
        let attributes = attributes
            .iter()
            .map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
        // The SDK's resource decides which of two attributes of one name stays.
        let merged = Resource::builder_empty().with_attributes(attributes).build();
        let mut resource = Vec::new();
        resource.push(RESOURCE);
        length_delimited(&mut resource, |out| {
            let mut pairs: Vec<(&Key, String)> = merged
                .iter()
                .map(|(key, value)| (key, value.to_string()))
                .collect();
            pairs.sort();
            for (key, value) in pairs {
                attribute(0x0a, key.as_str(), out, |out| bytes(0x0a, value.as_bytes(), out));
            }
        });
        let mut scope = Vec::new();
        scope.push(SCOPE);
        length_delimited(&mut scope, |out| {
            bytes(0x0a, env!("CARGO_PKG_NAME").as_bytes(), out);
            bytes(0x12, env!("CARGO_PKG_VERSION").as_bytes(), out);
        });
        Self { resource, scope }
    }

    /// The parts of a request, to be sent one after the other. The same batch always gives the same bytes.
    pub(super) fn request(&self, batch: &Arc<Batch>) -> Parts {
        let scope_spans = self.scope.len() + batch.bytes();
        let resource_spans = self.resource.len() + 1 + varint_len(scope_spans as u64) + scope_spans;
        let mut head = Vec::with_capacity(32 + self.resource.len() + self.scope.len());
        head.push(RESOURCE_SPANS);
        varint(resource_spans as u64, &mut head);
        head.extend_from_slice(&self.resource);
        head.push(SCOPE_SPANS);
        varint(scope_spans as u64, &mut head);
        head.extend_from_slice(&self.scope);
        Parts {
            head,
            spans: Arc::clone(batch),
        }
    }
}

/// One request in pieces, so that a transport copies it only where it must.
#[derive(Debug)]
pub(super) struct Parts {
    head: Vec<u8>,
    spans: Arc<Batch>,
}

impl Parts {
    pub(super) fn len(&self) -> usize {
        self.head.len() + self.spans.bytes()
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(self.head.as_slice()).chain(self.spans.runs())
    }

    /// All of it in one piece.
    pub(super) fn joined(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len());
        for part in self.iter() {
            bytes.extend_from_slice(part);
        }
        bytes
    }

    /// All of it in one piece, compressed with gzip.
    pub(super) fn compressed(&self) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::with_capacity(self.len() / 8), Compression::fast());
        for part in self.iter() {
            // Writing into memory cannot fail.
            let _ = encoder.write_all(part);
        }
        encoder.finish().unwrap_or_default()
    }

    /// The pieces themselves. They hold the batch until the transport lets go of them.
    pub(super) fn pieces(self) -> impl Iterator<Item = Bytes> {
        std::iter::once(Bytes::from(self.head)).chain(self.spans.shared_runs().map(Bytes::from_owner))
    }
}
