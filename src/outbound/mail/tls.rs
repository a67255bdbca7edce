//! TLS with the mail server.

use std::sync::Arc;

use lettre::transport::smtp::client::{Certificate, CertificateStore, TlsParameters, TlsParametersBuilder};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::TlsConnector;

use super::super::tls;
use crate::config::settings::{MailSecurity, Smtp};

/// What TLS needs, for either way of beginning it.
pub(super) struct Tls {
    host: String,
    connector: TlsConnector,
    pub(super) parameters: TlsParameters,
}

impl Tls {
    /// Prepares TLS where the settings ask for it: the system's certificates, and those of `ca_file`.
    pub(super) fn new(smtp: &Smtp) -> Result<Option<Self>, String> {
        if smtp.security == MailSecurity::None {
            return Ok(None);
        }
        let own = || smtp.ca.iter().cloned().map(CertificateDer::from);
        let mut roots = RootCertStore::empty();
        let known: Vec<_> = tls::system_roots().chain(own()).filter(|root| roots.add(root.clone()).is_ok()).collect();
        let mut config = tls::with_roots(roots)?;
        config.alpn_protocols.clear();
        let mut builder =
            TlsParametersBuilder::new(smtp.bare_host().to_owned()).certificate_store(CertificateStore::None);
        for root in known {
            let root = Certificate::from_der(root.to_vec()).map_err(|error| error.to_string())?;
            builder = builder.add_root_certificate(root);
        }
        let parameters = builder.build().map_err(|error| error.to_string())?;
        Ok(Some(Self {
            host: smtp.bare_host().to_owned(),
            connector: TlsConnector::from(Arc::new(config)),
            parameters,
        }))
    }

    pub(super) fn connector(&self) -> &TlsConnector {
        &self.connector
    }

    pub(super) fn server_name(&self) -> Result<ServerName<'static>, String> {
        ServerName::try_from(self.host.clone()).map_err(|error| error.to_string())
    }
}
