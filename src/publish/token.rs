//! Tokens for OAUTHBEARER, which librdkafka asks its client for: from an OpenID provider, a file, or signed for Amazon MSK.
//!
//! It asks when it starts and again when four fifths of a token's life are over, on the thread that polls, which waits meanwhile:
//! every wait here is bounded. After a failure it asks again ten seconds later, and the error is the client's problem until then.

mod msk;
mod oidc;

use std::future::Future;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use rdkafka::bindings::{rd_kafka_oauthbearer_set_token, rd_kafka_resp_err_t};
use rdkafka::client::{Client, ClientContext, OAuthToken};

use crate::config::{Kafka, KafkaSasl, TokenFrom};

/// How long a provider is waited for.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a token is used that does not say when it ends.
const LIFE_UNKNOWN: Duration = Duration::from_secs(300);
/// A token is a line in a header; a larger file is none.
const TOKEN_BYTES_MAX: u64 = 64 << 10;

/// A token and its end.
struct Token {
    text: String,
    /// Whom it stands for, as far as it says.
    subject: String,
    until: SystemTime,
}

/// Where a client's tokens come from.
#[derive(Debug, Clone)]
pub(crate) struct Tokens(Option<TokenFrom>);

impl Tokens {
    pub(crate) fn of(kafka: &Kafka) -> Tokens {
        Tokens(match &kafka.sasl {
            Some(KafkaSasl::Token(from)) => Some(from.clone()),
            _ => None,
        })
    }

    /// A token, in the form that librdkafka's callback returns. Blocks; from plain threads only.
    ///
    /// # Errors
    /// With the reason and the fix.
    pub(crate) fn get(&self) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        let token = match &self.0 {
            Some(TokenFrom::File(path)) => from_file(path)?,
            Some(TokenFrom::Oidc(oidc)) => wait(oidc::token(oidc))?,
            Some(TokenFrom::MskIam { region }) => wait(msk::token(region.as_deref()))?,
            None => return Err("`kafka.sasl` names no place where tokens come from".into()),
        };
        let until = token.until.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(OAuthToken {
            token: token.text,
            principal_name: token.subject,
            lifetime_ms: i64::try_from(until.as_millis()).unwrap_or(i64::MAX),
        })
    }

    /// Gives a client its token at once: that of the admin API takes no callbacks.
    pub(crate) fn give<C: ClientContext>(&self, client: &Client<C>) -> Result<(), String> {
        if self.0.is_none() {
            return Ok(());
        }
        let token = self.get().map_err(|error| error.to_string())?;
        let text = std::ffi::CString::new(token.token).map_err(|error| error.to_string())?;
        let subject = std::ffi::CString::new(token.principal_name).map_err(|error| error.to_string())?;
        let mut said = [0_u8; 512];
        // SAFETY: the client lives as long as its reference, the texts end in a zero and outlive the call, which copies them;
        // `said` is writable for as long as it says and is ended by a zero within.
        #[expect(unsafe_code, reason = "the binding has no safe way to give a token outside its callback")]
        let code = unsafe {
            rd_kafka_oauthbearer_set_token(
                client.native_ptr(),
                text.as_ptr(),
                token.lifetime_ms,
                subject.as_ptr(),
                std::ptr::null_mut(),
                0,
                said.as_mut_ptr().cast(),
                said.len(),
            )
        };
        if code == rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Ok(());
        }
        let said = said.split(|byte| *byte == 0).next().unwrap_or_default();
        Err(format!("librdkafka refuses the token: {}", String::from_utf8_lossy(said)))
    }
}

fn wait<T>(asked: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let answer = runtime.block_on(async { tokio::time::timeout(TIMEOUT, asked).await });
    answer.unwrap_or_else(|_| Err(format!("no answer within {} s", TIMEOUT.as_secs())))
}

fn from_file(path: &Path) -> Result<Token, String> {
    let shown = path.display();
    let fix = "see to what renews it, or correct `kafka.sasl.token_file`";
    let read = std::fs::metadata(path).and_then(|found| {
        if found.len() > TOKEN_BYTES_MAX {
            Err(std::io::ErrorKind::FileTooLarge.into())
        } else {
            std::fs::read_to_string(path)
        }
    });
    let text = read.map_err(|error| format!("the file `{shown}` cannot be read: {error}; {fix}"))?.trim().to_owned();
    if text.is_empty() {
        return Err(format!("the file `{shown}` is empty; {fix}"));
    }
    let claims = Claims::of(&text);
    let until = claims.until.unwrap_or_else(|| SystemTime::now() + LIFE_UNKNOWN);
    if until <= SystemTime::now() {
        return Err(format!("the token in the file `{shown}` expired on {}; {fix}", super::at(until)));
    }
    Ok(Token { text, subject: claims.subject.unwrap_or_else(|| "weir".to_owned()), until })
}

/// What a JSON web token says of itself; nothing is verified, the broker does that.
#[derive(Default)]
struct Claims {
    subject: Option<String>,
    until: Option<SystemTime>,
}

impl Claims {
    /// Of a token that is no JWT: nothing.
    fn of(token: &str) -> Claims {
        let claims = token.split('.').nth(1).and_then(|part| {
            let part = part.trim_end_matches('=');
            let bytes = URL_SAFE_NO_PAD.decode(part).or_else(|_| URL_SAFE.decode(part)).ok()?;
            serde_json::from_slice::<serde_json::Value>(&bytes).ok()
        });
        let Some(claims) = claims else { return Claims::default() };
        let seconds = claims["exp"].as_f64().filter(|seconds| (0.0..1e12).contains(seconds));
        Claims {
            subject: claims["sub"].as_str().filter(|sub| !sub.is_empty() && !sub.contains('\0')).map(str::to_owned),
            until: seconds.map(|seconds| UNIX_EPOCH + Duration::from_secs_f64(seconds)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A token that nobody signed.
    fn jwt(claims: &str) -> String {
        format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode(claims))
    }

    fn file(text: &str) -> (tempfile::NamedTempFile, Tokens) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let tokens = Tokens(Some(TokenFrom::File(file.path().to_owned())));
        (file, tokens)
    }

    #[test]
    fn a_token_of_a_file_is_read_each_time_and_lives_as_long_as_it_says() {
        let (file, tokens) = file(&format!("{}\n", jwt(r#"{"sub":"weir-1","exp":4102444800}"#)));
        let token = tokens.get().unwrap();
        assert_eq!((token.principal_name.as_str(), token.lifetime_ms), ("weir-1", 4_102_444_800_000));
        assert!(!token.token.ends_with('\n'));
        std::fs::write(file.path(), "opaque").unwrap();
        let token = tokens.get().unwrap();
        assert_eq!((token.token.as_str(), token.principal_name.as_str()), ("opaque", "weir"));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
        assert!(token.lifetime_ms > now && token.lifetime_ms <= now + 300_000);
    }

    #[test]
    fn a_file_without_a_good_token_is_named() {
        for (text, what) in [("", "is empty"), (&*jwt(r#"{"exp":1}"#), "expired on 1970-01-01T00:00:01Z")] {
            let (file, tokens) = file(text);
            let said = tokens.get().err().unwrap().to_string();
            assert!(said.contains(what) && said.contains(&*file.path().to_string_lossy()), "{said}");
        }
        let gone = Tokens(Some(TokenFrom::File("no/such/token".into()))).get().err().unwrap().to_string();
        assert!(gone.contains("no/such/token"), "{gone}");
    }
}
