//! How brokers are reached: TLS and the log-in, checked.

use std::path::PathBuf;

use super::secret::{Secret, Setting};

/// TLS to the brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaTls {
    /// Certificates of the authorities that are trusted; `None`: those of the machine.
    pub ca: Option<PathBuf>,
    /// The certificate that weir shows, with its key.
    pub client: Option<ClientCertificate>,
    pub verify: Verify,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// PEM: the certificate, then those that lead to its authority.
    pub cert: PathBuf,
    /// PEM.
    pub key: Secret,
}

/// What a broker's certificate must prove.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verify {
    /// A trusted authority issued it for the name that the broker is reached by.
    #[default]
    Full,
    /// A trusted authority issued it, for whatever name.
    Ca,
    /// Nothing: whoever answers is believed.
    None,
}

/// The log-in to the brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KafkaSasl {
    Password {
        mechanism: Mechanism,
        username: Setting,
        password: Secret,
    },
    /// OAUTHBEARER.
    Token(TokenFrom),
}

/// The ways to log in, by the names that Kafka gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub enum Mechanism {
    #[serde(rename = "PLAIN")]
    Plain,
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
    #[serde(rename = "OAUTHBEARER")]
    OauthBearer,
}

impl Mechanism {
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha512 => "SCRAM-SHA-512",
            Mechanism::OauthBearer => "OAUTHBEARER",
        }
    }
}

impl KafkaSasl {
    pub fn mechanism(&self) -> Mechanism {
        match self {
            KafkaSasl::Password { mechanism, .. } => *mechanism,
            KafkaSasl::Token(_) => Mechanism::OauthBearer,
        }
    }
}

/// Where tokens come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenFrom {
    /// An OpenID provider, by client credentials.
    Oidc(Oidc),
    /// A file that somebody else renews; it is read each time a token is needed.
    File(PathBuf),
    /// Amazon MSK: signed with the AWS credentials of this machine. `None`: the region that they name.
    MskIam { region: Option<String> },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oidc {
    /// The token endpoint.
    pub url: String,
    pub client_id: Setting,
    pub client_secret: Secret,
    pub scope: Option<String>,
    /// Certificates of the authorities that are trusted; `None`: those of the machine.
    pub ca: Option<PathBuf>,
}
