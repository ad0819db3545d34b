//! Certificates made for a test.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use rcgen::{BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;

use crate::endpoint::trust;

/// An authority.
pub(super) struct Pki {
    authority: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key.
pub(super) struct Identity {
    pub(super) certificate: Certificate,
    pub(super) key: KeyPair,
}

impl Pki {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { authority: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    /// Signed by it, and of these names.
    pub(super) fn identity(&self, names: Vec<SanType>) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params(names).signed_by(&key, &self.authority).unwrap();
        Identity { certificate, key }
    }

    /// A Secret's data: a client of this authority, who trusts it.
    pub(super) fn secret(&self) -> BTreeMap<String, Vec<u8>> {
        let mut data = self.identity(Vec::new()).secret();
        data.insert("ca.crt".to_owned(), self.authority.pem().into_bytes());
        data
    }

    /// A server's side of TLS that wants a client of this authority.
    pub(super) fn server_for_own_clients(&self, identity: Identity) -> Arc<ServerConfig> {
        let provider = Arc::new(ring::default_provider());
        let roots = Arc::new(trust::roots(&[self.authority.der().clone()]).unwrap());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider)).build().unwrap();
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.unwrap().with_client_cert_verifier(verifier);
        let (chain, key) = identity.into_parts();
        Arc::new(builder.with_single_cert(vec![chain], key).unwrap())
    }
}

impl Identity {
    /// Signed by itself, as a BMC's is out of the box.
    pub(super) fn self_signed() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = params(Vec::new());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { certificate: params.self_signed(&key).unwrap(), key }
    }

    /// A Secret's data with this identity alone.
    pub(super) fn secret(&self) -> BTreeMap<String, Vec<u8>> {
        BTreeMap::from([
            ("tls.crt".to_owned(), self.certificate.pem().into_bytes()),
            ("tls.key".to_owned(), self.key.serialize_pem().into_bytes()),
        ])
    }

    /// A server's side of TLS that takes anybody.
    pub(super) fn server(self) -> Arc<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let (chain, key) = self.into_parts();
        Arc::new(builder.with_single_cert(vec![chain], key).unwrap())
    }

    fn into_parts(self) -> (rustls::pki_types::CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = PrivateKeyDer::Pkcs8(self.key.serialize_der().into());
        (self.certificate.der().clone(), key)
    }
}

/// The name of an address.
pub(super) fn address(ip: Ipv4Addr) -> SanType {
    SanType::IpAddress(IpAddr::V4(ip))
}

/// The name of a host.
pub(super) fn host(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn params(names: Vec<SanType>) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names = names;
    params
}
