//! A broker as it is in production: one listener with TLS and every log-in, one that wants a certificate of its clients.

use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::sign::Signer;
use tempfile::TempDir;

use super::certs::{Authority, Flaw};
use super::fetch::free_port;
use super::kafka::{Broker, Extra, Listener};

pub const USER: &str = "weir";
/// Must not be found in anything that weir writes.
pub const PASSWORD: &str = "canary-4b1f-password";
pub const ISSUER: &str = "https://issuer.example";
pub const AUDIENCE: &str = "kafka";

/// A broker with its authority, its users and the key that signs its clients' tokens.
pub struct Secured {
    pub broker: Broker,
    pub authority: Authority,
    /// `host:port` that wants TLS and a log-in: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER.
    pub address: String,
    /// `host:port` that wants TLS with a certificate of the client.
    pub mutual: String,
    folder: TempDir,
    signer: PKey<Private>,
}

impl Secured {
    /// A broker that answers, with a certificate that is wrong in this way.
    pub fn start(flaw: Flaw) -> Secured {
        Secured::start_with(flaw, "")
    }

    /// A broker on which users have the rights that they are given (`root` and who comes without a log-in: all), and which asks for a SCRAM-SHA-512
    /// password again every three seconds.
    pub fn strict() -> Secured {
        Secured::start_with(
            Flaw::None,
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
             super.users=User:ANONYMOUS;User:root\n\
             listener.name.login.scram-sha-512.connections.max.reauth.ms=3000\n",
        )
    }

    fn start_with(flaw: Flaw, more: &str) -> Secured {
        for _ in 0..3 {
            let mut secured = Secured::prepare(flaw, more);
            if secured.broker.try_up() {
                return secured;
            }
            eprintln!("the secured kafka did not start:\n{}", secured.broker.output());
        }
        panic!("the secured kafka did not start three times in a row");
    }

    /// `more`: lines of server.properties.
    fn prepare(flaw: Flaw, more: &str) -> Secured {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("authority of the tests");
        authority.write(&folder.path().join("ca.pem"));
        let signer = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        fs::write(folder.path().join("jwks.json"), jwks(&signer)).unwrap();
        let (login, mutual) = (format!("127.0.0.1:{}", free_port()), format!("127.0.0.1:{}", free_port()));
        let store = folder.path().join("broker.pem").display().to_string();
        let ca = folder.path().join("ca.pem").display().to_string();
        let jwks = format!("file://{}", folder.path().join("jwks.json").display());
        let module = "org.apache.kafka.common.security";
        let mut properties = format!("inter.broker.listener.name=PLAINTEXT\n{more}");
        for name in ["login", "mutual"] {
            properties += &format!(
                "listener.name.{name}.ssl.keystore.type=PEM\nlistener.name.{name}.ssl.keystore.location={store}\n\
                 listener.name.{name}.ssl.truststore.type=PEM\nlistener.name.{name}.ssl.truststore.location={ca}\n"
            );
        }
        properties += &format!(
            "listener.name.mutual.ssl.client.auth=required\n\
             listener.name.login.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER\n\
             listener.name.login.plain.sasl.jaas.config={module}.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";\n\
             listener.name.login.scram-sha-256.sasl.jaas.config={module}.scram.ScramLoginModule required;\n\
             listener.name.login.scram-sha-512.sasl.jaas.config={module}.scram.ScramLoginModule required;\n\
             listener.name.login.oauthbearer.sasl.jaas.config={module}.oauthbearer.OAuthBearerLoginModule required;\n\
             listener.name.login.oauthbearer.sasl.server.callback.handler.class={module}.oauthbearer.OAuthBearerValidatorCallbackHandler\n\
             listener.name.login.oauthbearer.sasl.oauthbearer.jwks.endpoint.url={jwks}\n\
             listener.name.login.oauthbearer.sasl.oauthbearer.expected.issuer={ISSUER}\n\
             listener.name.login.oauthbearer.sasl.oauthbearer.expected.audience={AUDIENCE}\n"
        );
        let scram = |mechanism: &str, user: &str| format!("{mechanism}=[name={user},password={PASSWORD}]");
        let extra = Extra {
            listeners: vec![
                Listener {
                    name: "LOGIN".into(),
                    protocol: "SASL_SSL",
                    address: login.clone(),
                    advertised: login.clone(),
                },
                Listener {
                    name: "MUTUAL".into(),
                    protocol: "SSL",
                    address: mutual.clone(),
                    advertised: mutual.clone(),
                },
            ],
            properties,
            format: [scram("SCRAM-SHA-256", USER), scram("SCRAM-SHA-512", USER), scram("SCRAM-SHA-512", "forgetful")]
                .into_iter()
                .flat_map(|user| ["--add-scram".to_owned(), user])
                .collect(),
            disk_mebibytes: None,
            java: vec![format!("-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={jwks}")],
        };
        let secured =
            Secured { broker: Broker::prepare_with(&extra), authority, address: login, mutual, folder, signer };
        secured.certify(&secured.authority, flaw);
        secured
    }

    /// Gives the broker another certificate, which it shows from its next start on.
    pub fn certify(&self, authority: &Authority, flaw: Flaw) {
        let (certificate, key) = authority.issue("broker", flaw);
        fs::write(self.path("broker.pem"), format!("{key}{certificate}")).unwrap();
    }

    /// A file beside the broker's: `ca.pem`, and what a test puts there.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A signed token for this audience that lives for so many seconds.
    pub fn token(&self, audience: &str, seconds: u64) -> String {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let head = part(serde_json::json!({"alg": "RS256", "typ": "JWT", "kid": "one"}));
        let claims = part(serde_json::json!(
            {"iss": ISSUER, "aud": audience, "sub": "weir-at-the-issuer", "scope": "kafka", "iat": now, "exp": now + seconds}
        ));
        let mut signer = Signer::new(MessageDigest::sha256(), &self.signer).unwrap();
        let signature = signer.sign_oneshot_to_vec(format!("{head}.{claims}").as_bytes()).unwrap();
        format!("{head}.{claims}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// The signer's public key in the form in which issuers publish it.
fn jwks(key: &PKey<Private>) -> String {
    let rsa = key.rsa().unwrap();
    let number = |number: &openssl::bn::BigNumRef| URL_SAFE_NO_PAD.encode(number.to_vec());
    serde_json::json!({"keys": [
        {"kty": "RSA", "kid": "one", "use": "sig", "alg": "RS256", "n": number(rsa.n()), "e": number(rsa.e())}
    ]})
    .to_string()
}
