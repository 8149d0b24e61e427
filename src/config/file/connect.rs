//! `kafka.tls` and `kafka.sasl` as they are written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::config::connect::{Mechanism, Verify};

/// The word for the machine's own certificates.
pub const SYSTEM_CA: &str = "system";

/// TLS to the brokers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaTls {
    /// PEM file of the authorities that are trusted; `system`: those of the machine.
    pub ca: String,
    /// PEM file of the certificate that weir shows to the brokers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<String>,
    /// Its key: `${file:PATH}` or `${env:NAME}`, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What a broker's certificate must prove: `full`, `ca` (any name) or `none`.
    pub verify: Verify,
}

/// The log-in to the brokers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaSasl {
    /// `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512` or `OAUTHBEARER`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mechanism: Option<Mechanism>,
    /// For PLAIN and SCRAM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Its password: `${file:PATH}` or `${env:NAME}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// For OAUTHBEARER: tokens of an OpenID provider, by client credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oidc: Option<Oidc>,
    /// For OAUTHBEARER: a file that holds a token and is renewed by somebody else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<String>,
    /// For OAUTHBEARER: Amazon MSK with IAM, by this machine's AWS credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub msk_iam: Option<MskIam>,
}

/// An OpenID provider.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Oidc {
    /// URL of its token endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The client that weir is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Its secret: `${file:PATH}` or `${env:NAME}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    /// What to ask for, where the provider wants that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// PEM file of the authorities that are trusted; `system`: those of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

/// Amazon MSK with IAM.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MskIam {
    /// Region of the cluster. Default: from the environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

impl Default for KafkaTls {
    fn default() -> KafkaTls {
        KafkaTls { ca: SYSTEM_CA.to_owned(), cert: None, key: None, verify: Verify::Full }
    }
}
