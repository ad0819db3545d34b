//! TLS as a client of BMCs: which server certificates will do. The rules stand in the module above.

use std::sync::{Arc, LazyLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// What does the cryptography: named here, for there is no default of the process.
static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(ring::default_provider()));

/// For endpoints without credentials.
static NOBODY: LazyLock<Result<Arc<ClientConfig>, Error>> = LazyLock::new(|| client_config(&[], None));

/// Our provider.
pub(super) fn provider() -> &'static CryptoProvider {
    &PROVIDER
}

/// The configuration that presents no certificate and takes any.
pub(super) fn nobody() -> Result<Arc<ClientConfig>, Error> {
    NOBODY.clone()
}

/// A configuration that trusts these authorities (none: any certificate) and presents this identity.
pub(super) fn client_config(
    authorities: &[CertificateDer<'static>],
    identity: Option<CertifiedKey>,
) -> Result<Arc<ClientConfig>, Error> {
    let algorithms = PROVIDER.signature_verification_algorithms;
    let verifier: Arc<dyn ServerCertVerifier> = if authorities.is_empty() {
        Arc::new(Any { algorithms })
    } else {
        Arc::new(SignedBy { roots: roots(authorities)?, themselves: authorities.to_vec(), algorithms })
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match identity {
        Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity))),
        None => builder.with_no_client_auth(),
    };
    // A resumed session is not asked for its certificate, which may have expired or changed since.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// The certificates as trust anchors; an error for one that cannot be parsed.
pub(super) fn roots(authorities: &[CertificateDer<'static>]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    authorities.iter().try_for_each(|authority| roots.add(authority.clone()))?;
    Ok(roots)
}

/// Takes any certificate. Then there is nothing that a signature made with it could prove either,
/// and a certificate too old to be parsed is as good as another.
#[derive(Debug)]
struct Any {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Takes certificates that an authority has signed, and the authorities' own.
#[derive(Debug)]
struct SignedBy {
    roots: RootCertStore,
    themselves: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for SignedBy {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // A BMC's self-signed certificate in ca.crt is trusted by name, as it were: path building
        // refuses an authority in a server's place.
        if self.themselves.iter().any(|authority| authority == end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, algorithms)?;
        match verify_server_name(&certificate, server_name) {
            Err(error) if names_an_address(&error) => Err(error),
            Ok(()) | Err(Error::InvalidCertificate(CertificateError::NotValidForNameContext { .. })) => {
                Ok(ServerCertVerified::assertion())
            }
            Err(error) => Err(error),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Whether a certificate for other names has IP addresses among them. The error is where they can
/// be read; a test notices if they come to be written otherwise.
fn names_an_address(error: &Error) -> bool {
    match error {
        Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. }) => {
            presented.iter().any(|name| name.starts_with("IpAddress"))
        }
        _ => false,
    }
}
