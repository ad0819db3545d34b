//! What a Secret holds for a BMC: a client certificate and its key, whom to trust, a login.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::header::HeaderValue;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};

use super::trust;

const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const AUTHORITIES: &str = "ca.crt";
const USERNAME: &str = "username";
const PASSWORD: &str = "password";

/// The most bytes of one value: the most that a Secret can hold in all.
const MAX_VALUE: usize = 1 << 20;

/// A login, a client certificate and trust, checked: what exists can be used.
#[derive(Clone)]
pub struct Credentials {
    data: BTreeMap<&'static str, Vec<u8>>,
    tls: Arc<ClientConfig>,
    basic: Option<HeaderValue>,
}

/// Equal data makes equal credentials.
impl PartialEq for Credentials {
    fn eq(&self, other: &Self) -> bool {
        self.data == other.data
    }
}

impl Eq for Credentials {}

/// Why a Secret's data cannot be used. Never holds any of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// A key that must be there is not, or has no value.
    #[error("{0}: is missing or empty")]
    Missing(&'static str),
    /// A value is not what it should be.
    #[error("{key}: expected {expected}")]
    Invalid {
        /// The Secret's key.
        key: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// The private key is another certificate's.
    #[error("tls.key: is not the key of the (first) certificate in tls.crt")]
    NotTogether,
    /// Half a login.
    #[error("{missing}: is missing or empty, while there is a {present}")]
    HalfALogin {
        /// The key that is missing.
        missing: &'static str,
        /// The key that is there.
        present: &'static str,
    },
}

impl Credentials {
    /// Checks a Secret's data. Keys that are not ours are left alone; an empty value is an absent one.
    pub fn from_secret(data: &BTreeMap<String, Vec<u8>>) -> Result<Self, CredentialsError> {
        let data = ours(data)?;
        required(&data, CERTIFICATE)?;
        Self::checked(data)
    }

    /// The same for a host of its own, which may know its visitors by their login alone: a certificate
    /// and its key may both be absent.
    pub fn of_host(data: &BTreeMap<String, Vec<u8>>) -> Result<Self, CredentialsError> {
        Self::checked(ours(data)?)
    }

    fn checked(data: BTreeMap<&'static str, Vec<u8>>) -> Result<Self, CredentialsError> {
        let identity = if data.contains_key(CERTIFICATE) || data.contains_key(KEY) {
            Some(identity(required(&data, CERTIFICATE)?, required(&data, KEY)?)?)
        } else {
            None
        };
        let authorities = match data.get(AUTHORITIES) {
            Some(text) => certificates(AUTHORITIES, text)?,
            None => Vec::new(),
        };
        let basic = basic(&data)?;
        // Its parts have been checked: the certificates here, and the rest is ours.
        let tls = trust::client_config(&authorities, identity).map_err(|_| not_a(AUTHORITIES))?;
        Ok(Self { data, tls, basic })
    }

    /// How TLS is spoken with these.
    pub(super) fn tls(&self) -> &Arc<ClientConfig> {
        &self.tls
    }

    /// The value of the Authorization header, if there is a login.
    pub(super) fn basic(&self) -> Option<&HeaderValue> {
        self.basic.as_ref()
    }

    /// Whether there is a username and a password.
    pub fn has_login(&self) -> bool {
        self.basic.is_some()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Credentials").field(&self.data.keys()).finish()
    }
}

/// The values that we read.
fn ours(data: &BTreeMap<String, Vec<u8>>) -> Result<BTreeMap<&'static str, Vec<u8>>, CredentialsError> {
    let mut ours = BTreeMap::new();
    for key in [CERTIFICATE, KEY, AUTHORITIES, USERNAME, PASSWORD] {
        match data.get(key) {
            Some(value) if value.len() > MAX_VALUE => {
                return Err(CredentialsError::Invalid { key, expected: "at most 1 MiB" });
            }
            Some(value) if !value.is_empty() => {
                ours.insert(key, value.clone());
            }
            _ => {}
        }
    }
    Ok(ours)
}

fn required<'a>(
    data: &'a BTreeMap<&'static str, Vec<u8>>,
    key: &'static str,
) -> Result<&'a [u8], CredentialsError> {
    data.get(key).map(Vec::as_slice).ok_or(CredentialsError::Missing(key))
}

/// A certificate (with those that lead to its authority) and its key.
fn identity(chain: &[u8], key: &[u8]) -> Result<CertifiedKey, CredentialsError> {
    let chain = certificates(CERTIFICATE, chain)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| not_a(KEY))?;
    let key = trust::provider().key_provider.load_private_key(key).map_err(|_| not_a(KEY))?;
    if !is_key_of(key.as_ref(), chain.first()) {
        return Err(CredentialsError::NotTogether);
    }
    Ok(CertifiedKey::new(chain, key))
}

/// Whether a certificate is about this key.
///
/// Compared as trust anchors have it: that reads certificates of X.509 version 1 too, which
/// `openssl x509 -req` makes, and a [`CertifiedKey`]'s own check does not.
fn is_key_of(key: &dyn SigningKey, certificate: Option<&CertificateDer<'static>>) -> bool {
    let roots = certificate.and_then(|certificate| trust::roots(std::slice::from_ref(certificate)).ok());
    let Some((anchor, key)) = roots.as_ref().and_then(|roots| roots.roots.first()).zip(key.public_key())
    else {
        return false;
    };
    // An anchor has the contents, without the outer tag and length.
    key.as_ref().ends_with(&anchor.subject_public_key_info)
}

/// All certificates of a PEM text: at least one, and each of them readable.
fn certificates(key: &'static str, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    let certificates = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|_| not_a(key))?;
    if certificates.is_empty() || trust::roots(&certificates).is_err() {
        return Err(not_a(key));
    }
    Ok(certificates)
}

fn not_a(key: &'static str) -> CredentialsError {
    let expected = if key == KEY {
        "a private key in PEM, not encrypted (RSA, ECDSA on P-256 or P-384, Ed25519)"
    } else {
        "X.509 certificates in PEM"
    };
    CredentialsError::Invalid { key, expected }
}

/// The Authorization header's value (RFC 7617), if there is a login.
fn basic(data: &BTreeMap<&'static str, Vec<u8>>) -> Result<Option<HeaderValue>, CredentialsError> {
    let (username, password) = match (data.get(USERNAME), data.get(PASSWORD)) {
        (None, None) => return Ok(None),
        (Some(_), None) => {
            return Err(CredentialsError::HalfALogin { missing: PASSWORD, present: USERNAME });
        }
        (None, Some(_)) => {
            return Err(CredentialsError::HalfALogin { missing: USERNAME, present: PASSWORD });
        }
        (Some(username), Some(password)) => (text(USERNAME, username)?, text(PASSWORD, password)?),
    };
    if username.contains(':') {
        return Err(CredentialsError::Invalid { key: USERNAME, expected: "no colon" });
    }
    let value = format!("Basic {}", BASE64.encode(format!("{username}:{password}")));
    // Base64 is always a header's value.
    let mut value = HeaderValue::from_str(&value).map_err(|_| not_text(USERNAME))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn text<'a>(key: &'static str, value: &'a [u8]) -> Result<&'a str, CredentialsError> {
    let text = std::str::from_utf8(value).map_err(|_| not_text(key))?;
    if text.chars().any(char::is_control) { Err(not_text(key)) } else { Ok(text) }
}

fn not_text(key: &'static str) -> CredentialsError {
    CredentialsError::Invalid { key, expected: "UTF-8 text without a line break or other control character" }
}
