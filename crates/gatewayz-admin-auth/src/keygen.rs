//! Makes new admin keys.

use rand::TryRngCore;
use rand::rngs::OsRng;
use secrecy::SecretString;
use secrecy::zeroize::Zeroize;
use sha2::{Digest, Sha256};

use crate::keys::{hex, short_id};

const PREFIX: &str = "gw_live_";
const BASE64URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A new admin key; its `Debug` shows only the hash.
#[derive(Debug)]
pub struct NewKey {
    /// `gw_live_` and 22 base64url characters: 128 random bits. For the caller of the endpoints.
    pub plain: SecretString,
    /// `id:hex` for `ADMIN_API_KEYS_SHA256`, the id being the first 8 hex digits. For the service.
    pub hash_entry: String,
}

/// Why no key could be made.
#[derive(Debug, thiserror::Error)]
pub enum KeygenError {
    /// The random source of the system did not answer.
    #[error("read 128 random bits from the system")]
    Random(#[source] rand::rand_core::OsError),
}

/// A key from 128 bits of the system's random source.
pub fn keygen() -> Result<NewKey, KeygenError> {
    let mut bits = [0; 16];
    OsRng.try_fill_bytes(&mut bits).map_err(KeygenError::Random)?;
    let new = encode(u128::from_be_bytes(bits));
    bits.zeroize();
    Ok(new)
}

fn encode(bits: u128) -> NewKey {
    // The exact capacity: turning the text into a secret must not leave a copy behind.
    let mut plain = String::with_capacity(PREFIX.len() + 22);
    plain.push_str(PREFIX);
    for start in (0..128).step_by(6) {
        let sextet = (bits << start >> 122) as usize;
        plain.push(BASE64URL.get(sextet).copied().map_or('A', char::from));
    }
    let hash: [u8; 32] = Sha256::digest(&plain).into();
    NewKey {
        plain: plain.into(),
        hash_entry: format!("{}:{}", short_id(&hash), hex(&hash)),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;
    use crate::{AdminKeys, Published};

    #[test]
    fn a_key_is_the_base64url_form_of_its_bits() {
        let new = encode(0x0001_0203_0405_0607_fbff_0a0b_0c0d_0eff);

        assert_eq!(new.plain.expose_secret(), "gw_live_AAECAwQFBgf7_woLDA0O_w");
    }

    #[test]
    fn the_hash_entry_opens_what_the_plain_key_opens() {
        let new = keygen().unwrap();

        let keys = AdminKeys::new([], &new.hash_entry, Published::Refused).unwrap();

        let id = keys.verify(new.plain.expose_secret().as_bytes()).unwrap();
        assert!(new.hash_entry.starts_with(&format!("{id}:{id}")));
    }

    #[test]
    fn two_keys_differ_and_have_the_documented_length() {
        let (first, second) = (keygen().unwrap(), keygen().unwrap());

        assert_ne!(first.plain.expose_secret(), second.plain.expose_secret());
        assert_eq!(first.plain.expose_secret().len(), 30);
    }

    #[test]
    fn the_debug_output_shows_no_key() {
        let new = keygen().unwrap();

        assert!(!format!("{new:?}").contains(new.plain.expose_secret()));
    }
}
