//! Tokens for Amazon MSK with IAM: a presigned URL of `kafka-cluster:Connect`, in base64, signed with the credentials of AWS's
//! default chain (environment, profile, container, instance role).

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::config::{Credentials, ProvideCredentials as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use super::Token;

/// The longest that MSK takes.
const LIFE: Duration = Duration::from_secs(900);
const SERVICE: &str = "kafka-cluster";

pub(super) async fn token(region: Option<&str>) -> Result<Token, String> {
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12());
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_owned()));
    }
    let aws = loader.load().await;
    let region = aws.region().ok_or("no AWS region is set: write `kafka.sasl.msk_iam.region`, or set AWS_REGION")?;
    let fix =
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile with AWS_PROFILE, or give the machine a role";
    let provider = aws.credentials_provider().ok_or_else(|| format!("there are no AWS credentials: {fix}"))?;
    let credentials = provider
        .provide_credentials()
        .await
        .map_err(|error| format!("no AWS credentials: {}: {fix}", crate::telemetry::with_causes(&error)))?;
    let now = SystemTime::now();
    let signed = now + LIFE;
    let until = credentials.expiry().map_or(signed, |expiry| expiry.min(signed));
    let text = sign(&credentials, region.as_ref(), now)?;
    Ok(Token { text, subject: credentials.access_key_id().to_owned(), until })
}

/// Signature version 4 in the query, as `aws-msk-iam-sasl-signer` makes it.
fn sign(credentials: &Credentials, region: &str, now: SystemTime) -> Result<String, String> {
    let host = format!("kafka.{region}.amazonaws.com");
    let stamp =
        jiff::Timestamp::try_from(now).map_err(|error| error.to_string())?.strftime("%Y%m%dT%H%M%SZ").to_string();
    let date = &stamp[..8];
    let scope = format!("{date}/{region}/{SERVICE}/aws4_request");
    // In the order that is signed: sorted by name.
    let mut query = String::from("Action=kafka-cluster%3AConnect&X-Amz-Algorithm=AWS4-HMAC-SHA256");
    let mut add = |name: &str, value: &str| {
        query.push_str(&format!("&{name}={}", escaped(value)));
    };
    add("X-Amz-Credential", &format!("{}/{scope}", credentials.access_key_id()));
    add("X-Amz-Date", &stamp);
    add("X-Amz-Expires", &LIFE.as_secs().to_string());
    if let Some(token) = credentials.session_token() {
        add("X-Amz-Security-Token", token);
    }
    add("X-Amz-SignedHeaders", "host");
    let canonical = format!("GET\n/\n{query}\nhost:{host}\n\nhost\n{}", hex(&Sha256::digest([])));
    let to_sign = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
    let mut key = hmac(format!("AWS4{}", credentials.secret_access_key()).as_bytes(), date);
    for part in [region, SERVICE, "aws4_request"] {
        key = hmac(&key, part);
    }
    let signature = hex(&hmac(&key, &to_sign));
    let agent = concat!("weir%2F", env!("CARGO_PKG_VERSION"));
    Ok(URL_SAFE_NO_PAD.encode(format!("https://{host}/?{query}&X-Amz-Signature={signature}&User-Agent={agent}")))
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length will do");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a text takes what is written to it");
        text
    })
}

/// RFC 3986: everything but the unreserved.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            write!(escaped, "%{byte:02X}").expect("a text takes what is written to it");
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What botocore's `SigV4QueryAuth` signs with the same key at the same time.
    #[test]
    fn the_signature_is_the_one_that_botocore_makes() {
        let now = std::time::UNIX_EPOCH + Duration::from_secs(1_795_597_687);
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        for (session, signature) in [
            (None, "65018167ecb0606766b93383dd0226494f06200a4c4977ece99bfcc1346b0f41"),
            (Some("to/ken+="), "dc1805f8ce1e4c6af21791b1af39d914e470eaafcc6ace88bcb1c4f1f8440096"),
        ] {
            let credentials = Credentials::new("AKIDEXAMPLE", secret, session.map(str::to_owned), None, "test");
            let token = sign(&credentials, "eu-central-1", now).unwrap();
            let url = String::from_utf8(URL_SAFE_NO_PAD.decode(token).unwrap()).unwrap();
            assert!(
                url.starts_with("https://kafka.eu-central-1.amazonaws.com/?Action=kafka-cluster%3AConnect&"),
                "{url}"
            );
            assert!(url.contains("&X-Amz-Date=20261125T090807Z&X-Amz-Expires=900&"), "{url}");
            assert!(url.contains(&format!("&X-Amz-Signature={signature}&User-Agent=weir%2F")), "{url}");
            assert_eq!(url.contains("&X-Amz-Security-Token=to%2Fken%2B%3D&"), session.is_some(), "{url}");
        }
    }
}
