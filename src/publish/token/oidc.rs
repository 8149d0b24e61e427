//! Client credentials (RFC 6749, 4.4) at an OpenID provider: one POST on a connection of its own, some times an hour.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use form_urlencoded::{Serializer, byte_serialize};
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::{Claims, LIFE_UNKNOWN, TOKEN_BYTES_MAX, Token};
use crate::config::Oidc;
use crate::publish::roots;

pub(super) async fn token(oidc: &Oidc) -> Result<Token, String> {
    let (status, body) = ask(oidc).await.map_err(|why| {
        format!("the token endpoint {} cannot be reached: {why}; see to it, or correct `kafka.sasl.oidc.url`", oidc.url)
    })?;
    let answer: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    if status != StatusCode::OK {
        let word = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
        let said = [word("error"), word("error_description")].join(" ");
        return Err(format!(
            "the token endpoint {} refuses client `{}` with {status} {}: correct `kafka.sasl.oidc` and restart weir",
            oidc.url,
            oidc.client_id.written(),
            said.trim()
        ));
    }
    let text = answer["access_token"].as_str().filter(|text| !text.is_empty());
    let Some(text) = text else {
        return Err(format!("the token endpoint {} answers without an access token: is it one?", oidc.url));
    };
    let claims = Claims::of(text);
    let life = answer["expires_in"].as_u64().map_or(LIFE_UNKNOWN, Duration::from_secs);
    let subject = claims.subject.unwrap_or_else(|| oidc.client_id.expose().to_owned());
    Ok(Token { text: text.to_owned(), subject, until: claims.until.unwrap_or_else(|| SystemTime::now() + life) })
}

async fn ask(oidc: &Oidc) -> Result<(StatusCode, Bytes), String> {
    let uri: Uri = oidc.url.parse().map_err(text)?;
    let host = uri.host().unwrap_or_default();
    let is_tls = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await.map_err(text)?;
    let request = request(oidc, &uri)?;
    if !is_tls {
        return send(TokioIo::new(stream), request).await;
    }
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(text)?;
    let config = roots::client(oidc.ca.as_deref())?;
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(text)?;
    send(TokioIo::new(stream), request).await
}

fn request(oidc: &Oidc, uri: &Uri) -> Result<Request<Full<Bytes>>, String> {
    let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let (id, secret) = (encoded(oidc.client_id.expose()), encoded(oidc.client_secret.expose()));
    let mut body = Serializer::new(String::new());
    body.append_pair("grant_type", "client_credentials");
    if let Some(scope) = &oidc.scope {
        body.append_pair("scope", scope);
    }
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    Request::post(target)
        .header(header::HOST, uri.authority().map_or("", |authority| authority.as_str()))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT, "application/json")
        .header(header::AUTHORIZATION, format!("Basic {}", STANDARD.encode(format!("{id}:{secret}"))))
        .body(Full::new(Bytes::from(body.finish())))
        .map_err(text)
}

async fn send<S>(stream: TokioIo<S>, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), String>
where
    TokioIo<S>: hyper::rt::Read + hyper::rt::Write + Unpin,
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.map_err(text)?;
    let answered = async {
        let answer = sender.send_request(request).await.map_err(text)?;
        let status = answer.status();
        let limit = usize::try_from(TOKEN_BYTES_MAX).unwrap_or(usize::MAX);
        let body = Limited::new(answer.into_body(), limit).collect().await.map_err(|error| error.to_string())?;
        Ok((status, body.to_bytes()))
    };
    // The connection moves the answer. It may end before the answer is looked at, for good or ill; what came is at hand then.
    tokio::pin!(answered, connection);
    tokio::select! {
        answered = &mut answered => return answered,
        _ended = &mut connection => {}
    }
    answered.await
}

/// An error with its causes.
fn text(error: impl std::error::Error) -> String {
    crate::telemetry::with_causes(&error)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::super::Tokens;
    use crate::config::{Config, KafkaSasl};

    fn tokens(url: &str) -> Tokens {
        let text = format!(
            "version: 1\nroutes: {{ m: {{ upstream: 'http://127.0.0.1:1' }} }}\nkafka:\n  brokers: [a:1]\n  sasl: {{ mechanism: OAUTHBEARER, \
             oidc: {{ url: '{url}', client_id: 'we ir', client_secret: '${{env:S}}', scope: 'a b' }} }}\n"
        );
        let config = Config::from_yaml("weir.yaml", &text, &|_| Some("hunter:2".into())).unwrap();
        let kafka = config.kafka.unwrap();
        assert!(matches!(kafka.sasl, Some(KafkaSasl::Token(_))));
        Tokens::of(&kafka)
    }

    /// Answers one request and returns it.
    fn answer(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/oauth2/token?x=1", listener.local_addr().unwrap());
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = String::new();
            while !request.ends_with("scope=a+b") {
                let mut bytes = [0; 4096];
                let count = stream.read(&mut bytes).unwrap();
                assert!(count > 0, "the request ended early: {request}");
                request.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
            }
            stream.write_all(answer.as_bytes()).unwrap();
            request
        });
        (url, served)
    }

    #[test]
    fn client_credentials_are_sent_as_the_standard_says() {
        let (url, served) =
            answer("HTTP/1.1 200 OK\r\ncontent-length: 42\r\n\r\n{\"access_token\":\"opaque\",\"expires_in\":60}\n");
        let token = tokens(&url).get().unwrap();
        assert_eq!((token.token.as_str(), token.principal_name.as_str()), ("opaque", "we ir"));
        let request = served.join().unwrap().to_ascii_lowercase();
        assert!(request.starts_with("post /oauth2/token?x=1 http/1.1\r\n"), "{request}");
        // `we+ir:hunter%3A2`
        assert!(request.contains("authorization: basic d2uraxi6ahvudgvyjtnbmg=="), "{request}");
        assert!(request.ends_with("\r\n\r\ngrant_type=client_credentials&scope=a+b"), "{request}");
    }

    #[test]
    fn a_provider_that_refuses_says_why_and_the_secret_is_not_shown() {
        let (url, served) = answer(
            "HTTP/1.1 401 Unauthorized\r\ncontent-length: 52\r\n\r\n{\"error\":\"invalid_client\",\"error_description\":\"no\"}  ",
        );
        let said = tokens(&url).get().err().unwrap().to_string();
        for part in [url.as_str(), "client `we ir`", "401", "invalid_client no", "`kafka.sasl.oidc`"] {
            assert!(said.contains(part), "{said}");
        }
        assert!(!said.contains("hunter"), "{said}");
        served.join().unwrap();
    }

    #[test]
    fn a_provider_that_is_away_is_named() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let said = tokens(&format!("http://{closed}/token")).get().err().unwrap().to_string();
        assert!(said.contains(&closed.to_string()) && said.contains("cannot be reached"), "{said}");
    }
}
