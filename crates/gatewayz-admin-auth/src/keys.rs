//! The configured admin keys: hashed, checked at start, compared in constant time.

use std::fmt;
use std::sync::Arc;

use gatewayz_config::sha256_from_hex;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// A key or a presented token is at most this long.
pub(crate) const MAX_KEY_BYTES: usize = 512;
const MIN_KEY_CHARACTERS: usize = 16;
const MAX_ID_CHARACTERS: usize = 64;
/// A presented token is compared with each of them.
const MAX_HASHES: usize = 64;
const MIN_DISTINCT_CHARACTERS: usize = 5;

/// SHA-256 of keys that anyone can read in public documents.
const PUBLISHED_HASHES: [&str; 1] = ["aed36cf82ff355b2f2313069dc09c40962096223c94d7bf2e8efbbe51d75bcb9"];

/// Compared with the lower-case letters and digits of a key. Long enough that a random key holds one
/// with a chance below one in ten million.
const PLACEHOLDERS: [&str; 15] = [
    "adminapikey",
    "adminkey",
    "apikeyhere",
    "changeit",
    "changeme",
    "changethis",
    "default",
    "example",
    "insecure",
    "password",
    "placeholder",
    "replaceme",
    "replacethis",
    "secretkey",
    "yourkey",
];

/// What a key that was published (in the first documents of the product) is worth here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// It works like any other: for a machine that only its developer reaches.
    Accepted,
    /// One such key disables the admin endpoints, also when other keys stand beside it.
    Refused,
}

/// Why no admin call can succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisabledReason {
    /// There is no key.
    NotConfigured,
    /// One of the keys is public and [`Published::Refused`] holds.
    PublishedKey,
}

impl DisabledReason {
    /// The same in words, for a log line or an answer.
    pub fn detail(self) -> &'static str {
        match self {
            Self::NotConfigured => "admin endpoints are disabled: no admin key is configured",
            Self::PublishedKey => {
                "admin endpoints are disabled: a configured admin key is public, generate a new one"
            }
        }
    }
}

/// Why keys are not usable. Positions count from 1; no message holds any part of a key or entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A plain key that can be guessed.
    #[error("accept admin key {position}: it has fewer than 16 characters")]
    TooShort {
        /// Which of the plain keys.
        position: usize,
    },
    /// A plain key that is a placeholder word, or has fewer than 5 different characters.
    #[error("accept admin key {position}: it is a placeholder, not a random key")]
    Placeholder {
        /// Which of the plain keys.
        position: usize,
    },
    /// A plain key that no `Authorization` header can carry.
    #[error("accept admin key {position}: only visible ASCII, at most 512 bytes, can be sent in a header")]
    Unsendable {
        /// Which of the plain keys.
        position: usize,
    },
    /// A hash entry in another form, for example a plain key.
    #[error("read admin key hash {position}: expected id:hex with the 64 hex digits of a SHA-256")]
    Hash {
        /// Which of the hash entries.
        position: usize,
    },
    /// An id that is not 1 to 64 letters, digits, `.`, `_` or `-`.
    #[error(
        "read admin key hash {position}: an id has 1 to 64 letters, digits, dots, underscores or hyphens"
    )]
    Id {
        /// Which of the hash entries.
        position: usize,
    },
    /// More than 64 hash entries.
    #[error("read admin key hash {position}: there may be 64 of them")]
    TooMany {
        /// Which of the hash entries.
        position: usize,
    },
    /// An id that stands for two different keys.
    #[error("read admin key hash {position}: its id is already taken by another key")]
    DuplicateId {
        /// Which of the hash entries.
        position: usize,
    },
}

/// Keys that open the admin endpoints, as SHA-256 only.
///
/// A key is random (at least 128 bits by [`keygen`](crate::keygen())), so that a plain hash protects it
/// and no password function is needed.
#[derive(Clone)]
pub struct AdminKeys {
    keys: Vec<AdminKey>,
    published: Published,
    holds_published: bool,
}

#[derive(Clone)]
struct AdminKey {
    id: Arc<str>,
    hash: [u8; 32],
}

impl AdminKeys {
    /// No key yet. That is no error but [`AdminKeys::disabled`], also when nothing but white space is added.
    pub fn none(published: Published) -> Self {
        Self {
            keys: Vec::new(),
            published,
            holds_published: false,
        }
    }

    /// The keys of [`AdminKeys::add_hashes`] and [`AdminKeys::add_plain`].
    ///
    /// # Errors
    /// The first key or entry that cannot be used.
    pub fn new(
        plain: impl IntoIterator<Item = SecretString>,
        hashes: &str,
        published: Published,
    ) -> Result<Self, KeyError> {
        let mut keys = Self::none(published);
        keys.add_hashes(hashes)?;
        keys.add_plain(plain)?;
        Ok(keys)
    }

    /// Takes `id:hex,id:hex` or `hex,hex`, also one a line; white space around entries does not count and empty ones
    /// are skipped. A key without an id is known by the first 8 hex digits of its hash. One that is there already
    /// counts once and keeps its id.
    ///
    /// # Errors
    /// The first entry that cannot be used; those before it are taken.
    pub fn add_hashes(&mut self, hashes: &str) -> Result<(), KeyError> {
        let entries = hashes
            .split([',', '\n'])
            .map(str::trim)
            .filter(|entry| !entry.is_empty());
        for (position, entry) in (1..).zip(entries) {
            if position > MAX_HASHES {
                return Err(KeyError::TooMany { position });
            }
            let key = read_entry(entry, position)?;
            if self.holds(&key.hash) {
                continue;
            }
            if self.keys.iter().any(|known| known.id == key.id) {
                return Err(KeyError::DuplicateId { position });
            }
            self.push(key);
        }
        Ok(())
    }

    /// Hashes `plain` at once and wipes it. One value holds one key, or several, one a line (a key file during
    /// rotation); white space around keys does not count and empty ones are skipped. A key that is there already counts
    /// once.
    ///
    /// # Errors
    /// The first key that cannot be used; those before it are taken.
    pub fn add_plain(&mut self, plain: impl IntoIterator<Item = SecretString>) -> Result<(), KeyError> {
        let mut position = 0;
        for secret in plain {
            for key in secret
                .expose_secret()
                .lines()
                .map(str::trim)
                .filter(|key| !key.is_empty())
            {
                position += 1;
                check_strength(key, position)?;
                let hash: [u8; 32] = Sha256::digest(key).into();
                if !self.holds(&hash) {
                    self.push(AdminKey {
                        id: short_id(&hash),
                        hash,
                    });
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, key: AdminKey) {
        self.holds_published |= PUBLISHED_HASHES.contains(&hex(&key.hash).as_str());
        self.keys.push(key);
    }

    fn holds(&self, hash: &[u8; 32]) -> bool {
        self.keys.iter().any(|known| known.hash == *hash)
    }

    /// Why no key opens anything; `None` when the keys work. Worth one ERROR line at start.
    pub fn disabled(&self) -> Option<DisabledReason> {
        if self.keys.is_empty() {
            Some(DisabledReason::NotConfigured)
        } else if self.published == Published::Refused && self.holds_published {
            Some(DisabledReason::PublishedKey)
        } else {
            None
        }
    }

    /// Whether one of the keys is public. Worth one WARN line at start where that is accepted.
    pub fn holds_published_key(&self) -> bool {
        self.holds_published
    }

    /// The ids of all keys, as they stand in audit events.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| &*key.id)
    }

    /// The id of the key that `token` is; `None` when it is none of them or keys are disabled.
    ///
    /// The token is hashed and compared with every key, without an early exit: the time taken tells
    /// neither which key nor how much of one matches. More than 512 bytes are refused without hashing.
    pub fn verify(&self, token: &[u8]) -> Option<&Arc<str>> {
        if token.len() > MAX_KEY_BYTES || self.disabled().is_some() {
            return None;
        }

        let hash: [u8; 32] = Sha256::digest(token).into();
        let mut found = Choice::from(0);
        let mut position = 0_u64;
        for (candidate, key) in (0_u64..).zip(&self.keys) {
            let equal = key.hash.ct_eq(&hash);
            position.conditional_assign(&candidate, equal);
            found |= equal;
        }

        if !bool::from(found) {
            return None;
        }
        let position = usize::try_from(position).ok()?;
        self.keys.get(position).map(|key| &key.id)
    }
}

impl fmt::Debug for AdminKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AdminKeys")
            .field("ids", &self.ids().collect::<Vec<_>>())
            .field("disabled", &self.disabled())
            .finish_non_exhaustive()
    }
}

/// Lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 0x0f)])
        .collect()
}

pub(crate) fn short_id(hash: &[u8; 32]) -> Arc<str> {
    let [first, second, third, fourth, ..] = *hash;
    hex(&[first, second, third, fourth]).into()
}

fn read_entry(entry: &str, position: usize) -> Result<AdminKey, KeyError> {
    let (id, digits) = match entry.split_once(':') {
        Some((id, digits)) => (Some(id.trim()), digits.trim()),
        None => (None, entry),
    };
    let hash = sha256_from_hex(digits).ok_or(KeyError::Hash { position })?;

    let Some(id) = id else {
        return Ok(AdminKey {
            id: short_id(&hash),
            hash,
        });
    };
    let known = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    if id.is_empty() || id.len() > MAX_ID_CHARACTERS || !id.chars().all(known) {
        return Err(KeyError::Id { position });
    }
    Ok(AdminKey { id: id.into(), hash })
}

fn check_strength(key: &str, position: usize) -> Result<(), KeyError> {
    if key.len() > MAX_KEY_BYTES || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(KeyError::Unsendable { position });
    }
    if key.len() < MIN_KEY_CHARACTERS {
        return Err(KeyError::TooShort { position });
    }

    // In place: a lower-case copy of the key would outlive it in freed memory.
    let holds = |word: &str| {
        let letters = || key.bytes().filter(u8::is_ascii_alphanumeric);
        (0..letters().count()).any(|start| {
            let mut rest = letters().skip(start);
            word.bytes().all(|expected| {
                rest.next()
                    .is_some_and(|byte| byte.eq_ignore_ascii_case(&expected))
            })
        })
    };
    let mut seen = [false; 128];
    for byte in key.bytes() {
        if let Some(flag) = seen.get_mut(usize::from(byte)) {
            *flag = true;
        }
    }
    let distinct = seen.iter().filter(|flag| **flag).count();
    if distinct < MIN_DISTINCT_CHARACTERS || PLACEHOLDERS.iter().any(|word| holds(word)) {
        return Err(KeyError::Placeholder { position });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
