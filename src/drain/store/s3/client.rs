//! The SDK's client: made from the configuration and AWS's default chain, and made anew when its credentials are refused.

use arc_swap::ArcSwap;
use aws_config::BehaviorVersion;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{Builder, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation};

use super::Limits;
use crate::config;
use crate::drain::store::StoreError;

/// Where S3 servers that are not AWS mostly are; they want one in the signature.
const REGION_ELSEWHERE: &str = "us-east-1";

/// The client in use.
#[derive(Debug)]
pub(super) struct Clients {
    s3: config::S3,
    /// In place of the default chain.
    credentials: Option<Credentials>,
    limits: Limits,
    current: ArcSwap<Client>,
}

impl Clients {
    pub(super) async fn open(
        s3: &config::S3,
        credentials: Option<Credentials>,
        limits: Limits,
    ) -> Result<Clients, StoreError> {
        let client = client(s3, credentials.clone(), limits).await?;
        Ok(Clients { s3: s3.clone(), credentials, limits, current: ArcSwap::from_pointee(client) })
    }

    pub(super) fn current(&self) -> Client {
        Client::clone(&self.current.load())
    }

    /// As configured.
    pub(super) fn endpoint(&self) -> Option<&str> {
        self.s3.endpoint.as_deref()
    }

    /// Reads the default chain from its beginning. Credentials are renewed before they end without this; but those that
    /// were withdrawn or exchanged earlier would be kept until then, and a profile's file is read once per client.
    pub(super) async fn renew(&self) {
        if self.credentials.is_some() {
            return;
        }
        match client(&self.s3, None, self.limits).await {
            Ok(client) => self.current.store(client.into()),
            Err(error) => tracing::warn!(%error, "cannot read the credentials for S3 again"),
        }
    }
}

async fn client(s3: &config::S3, credentials: Option<Credentials>, limits: Limits) -> Result<Client, StoreError> {
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12());
    if let Some(region) = &s3.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(credentials) = credentials {
        loader = loader.credentials_provider(credentials);
    }
    let shared = loader.load().await;
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(limits.connect)
        .read_timeout(limits.read)
        .operation_timeout(limits.transfer_max)
        .build();
    // For S3 alone: what the chain asks for credentials has addresses, times and retries of its own. The checksums that
    // are sent are chosen in `create`; other stores refuse those that they do not know, each in its own way.
    let mut builder = Builder::from(&shared)
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        .force_path_style(s3.path_style)
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    if let Some(endpoint) = &s3.endpoint {
        builder = builder.endpoint_url(endpoint);
    }
    if shared.region().is_none() {
        if s3.endpoint.is_none() && shared.endpoint_url().is_none() {
            return Err(StoreError::Refused {
                action: "open",
                object: format!("s3://{}", s3.bucket),
                why: "no region is set".to_owned(),
                fix: "set `store.region`, or the environment variable AWS_REGION".to_owned(),
            });
        }
        builder = builder.region(Region::new(REGION_ELSEWHERE));
    }
    Ok(Client::from_conf(builder.build()))
}
