//! Which requests are the same.

use sha2::{Digest, Sha256};

use crate::call::Call;
use crate::request::{Request, canonical, is_deeper_than};
use crate::routing::Model;

/// Larger requests are not looked up.
const MAX_REQUEST_BYTES: usize = 1024 * 1024;
/// Nor are deeper ones: each level is read once more for the canonical text.
const MAX_DEPTH: usize = 16;

/// What an answer is kept under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key([u8; 32]);

/// How an answer came, and is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Whole,
    Events,
}

impl Key {
    /// Keys of a request in both forms; `None` when it is not looked up.
    pub(crate) fn both(request: &Request, model: &Model, call: &Call) -> Option<(Self, Self)> {
        if request.body.len() > MAX_REQUEST_BYTES || is_deeper_than(&request.body, MAX_DEPTH) {
            return None;
        }
        let tenant = call.tenant.as_deref().unwrap_or_default();
        let beta = call.beta();
        let canonical = canonical(str::from_utf8(&request.body).ok()?)?;
        let mut hash = Sha256::new();
        // Lengths keep neighbours apart.
        for part in [tenant, &model.id, &model.places, &canonical]
            .map(str::as_bytes)
            .into_iter()
            .chain([beta])
        {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let of = |form: Form| Self(hash.clone().chain_update([form as u8]).finalize().into());
        Some((of(Form::Whole), of(Form::Events)))
    }
}
