//! Brokers as they are in production: TLS and a log-in. What is right works end to end; what is wrong is said in words that hold
//! the fix, disturbs no prediction, and once it is put right every row is stored without a restart of weir.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::OnceLock;

use serde_json::Value;

use crate::outage::waiting;
use crate::support::certs::{Authority, Flaw};
use crate::support::kafka::name;
use crate::support::model::Model;
use crate::support::secure::{AUDIENCE, PASSWORD, Secured, USER};
use crate::support::weir::{Weir, number, rows};
use crate::support::{python, until};

/// The broker of the tests that do not stop it.
fn secured() -> &'static Secured {
    static SHARED: OnceLock<Secured> = OnceLock::new();
    SHARED.get_or_init(|| Secured::start(Flaw::None))
}

/// A weir in front of a model, on a topic of its own that it makes itself.
fn weir(address: &str, connect: &str) -> (Weir, Model) {
    let model = Model::start();
    let yaml = format!(
        "routes: {{ m: {{ upstream: {}, model: {} }} }}\n\
         kafka:\n  brokers: [{address}]\n  create_topics: {{ partitions: 2, replication: 1 }}\n{connect}\n",
        model.url(),
        name("tls"),
    );
    (Weir::new(&yaml).env("WEIR_PASSWORD", PASSWORD), model)
}

pub fn scram(secured: &Secured, user: &str, password: &str) -> String {
    let ca = secured.path("ca.pem").display().to_string();
    format!("  tls: {{ ca: {ca} }}\n  sasl: {{ mechanism: SCRAM-SHA-512, username: {user}, password: \"{password}\" }}")
}

/// Five predictions, all answered by the model.
pub fn predict(weir: &Weir) {
    let mut client = weir.client();
    for x in 0..5 {
        let answer = client.post("/predict", format!("{{\"x\":{x}}}").as_bytes()).expect("an answer");
        assert_eq!((answer.status, &*answer.body), (200, format!("{{\"y\":{:.1}}}", f64::from(x) * 2.0).as_bytes()));
    }
}

fn until_said(weir: &Weir, parts: &[&str]) {
    parts.iter().for_each(|part| weir.names(part));
    until("the log says it too", || parts.iter().all(|part| weir.stderr().contains(part)));
    // `weir check` says the same, beside the running process.
    let check = weir.cli_json(&["check"]);
    assert_eq!(check["ok"], Value::Bool(false), "{check:#}");
    let kafka = check["checks"].as_array().unwrap().iter().find(|line| line["part"] == "kafka").unwrap();
    assert!(parts.iter().all(|part| kafka["text"].as_str().unwrap().contains(part)), "{kafka:#}");
}

/// Everything is stored, and the password is in nothing that weir wrote or says.
pub fn settled(weir: &Weir, expected: u64) {
    // Each client asks for its token again every ten seconds: longer than one request may wait.
    until("the rows are stored", || number(&weir.status(), "/rows/stored") == expected);
    let (status, report) = weir.settle();
    assert_eq!((number(&status, "/rows/stored"), rows(&report)), (expected, expected), "{status:#}");
    weir.is_well();
    let show = weir.cli(&["config", "show"]);
    let shown = [status.to_string(), weir.stderr(), String::from_utf8_lossy(&show.stdout).into_owned()];
    for shown in shown {
        assert!(!shown.contains(PASSWORD) && !shown.contains("BEGIN PRIVATE KEY"), "{shown}");
    }
}

fn works(address: &str, connect: &str) {
    let (weir, _model) = weir(address, connect);
    let weir = weir.start();
    predict(&weir);
    settled(&weir, 5);
    let check = weir.cli_json(&["check"]);
    assert_eq!(check["ok"], Value::Bool(true), "{check:#}");
}

#[test]
fn every_password_mechanism_over_tls() {
    let secured = secured();
    let ca = secured.path("ca.pem").display().to_string();
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let password = "${env:WEIR_PASSWORD}";
        let sasl = format!("  sasl: {{ mechanism: {mechanism}, username: {USER}, password: \"{password}\" }}");
        works(&secured.address, &format!("  tls: {{ ca: {ca} }}\n{sasl}"));
    }
}

#[test]
fn a_certificate_in_place_of_a_log_in() {
    let secured = secured();
    let (certificate, key) = secured.authority.issue("weir", Flaw::None);
    let (cert_file, key_file) = (secured.path("client.pem"), secured.path("client.key"));
    fs::write(&cert_file, certificate).unwrap();
    fs::write(&key_file, key).unwrap();
    let ca = secured.path("ca.pem").display().to_string();
    let (cert, key) = (cert_file.display(), key_file.display());
    works(&secured.mutual, &format!("  tls: {{ ca: {ca}, cert: {cert}, key: \"${{file:{key}}}\" }}"));
    // And without one.
    let (weir, _model) = weir(&secured.mutual, &format!("  tls: {{ ca: {ca} }}"));
    let weir = weir.start();
    predict(&weir);
    until_said(&weir, &["wants a certificate of its clients", "`kafka.tls.cert`"]);
}

#[test]
fn a_wrong_password_is_named_and_waited_out() {
    let secured = secured();
    let connect = scram(secured, "forgetful", "${file:password}");
    let (weir, _model) = weir(&secured.address, &connect);
    fs::write(weir.dir.join("password"), "another\n").unwrap();
    let weir = weir.start();
    predict(&weir);
    until_said(&weir, &["refuses the log-in of user `forgetful` with SCRAM-SHA-512", "wrong user name or password"]);
    waiting(&weir, 5);
    assert!(!weir.trouble().contains("can be reached"), "{}", weir.trouble());
    predict(&weir);
    // The operator of the brokers puts it right.
    python::run(&["scram.py", secured.broker.address(), "forgetful", "another"]);
    settled(&weir, 10);
}

#[test]
fn a_wrong_certificate_is_named_for_what_is_wrong_and_waited_out() {
    let mut secured = Secured::start(Flaw::Expired);
    let (weir, _model) = weir(&secured.address, &scram(&secured, USER, "${env:WEIR_PASSWORD}"));
    let weir = weir.start();
    predict(&weir);
    until_said(&weir, &["the certificate of broker", "expired on 20", "renew it there"]);
    let stranger = Authority::new("nobody knows it");
    let again = |secured: &mut Secured, authority: Option<&Authority>, flaw| {
        secured.broker.kill();
        secured.certify(authority.unwrap_or(&secured.authority), flaw);
        secured.broker.up();
    };
    again(&mut secured, Some(&stranger), Flaw::None);
    predict(&weir);
    until_said(&weir, &["is not trusted", "ca.pem", "`kafka.tls.ca`"]);
    again(&mut secured, None, Flaw::OtherName);
    predict(&weir);
    until_said(&weir, &["is for another name", "elsewhere.example"]);
    again(&mut secured, None, Flaw::None);
    settled(&weir, 15);
}

#[test]
fn tls_on_one_side_only_is_named() {
    let secured = secured();
    let (to_tls, _model) = weir(&secured.mutual, "");
    let to_tls = to_tls.start();
    predict(&to_tls);
    until_said(&to_tls, &["add `kafka.tls: {}`"]);
    let (to_plain, _model) = weir(secured.broker.address(), "  tls: {}");
    let to_plain = to_plain.start();
    predict(&to_plain);
    until_said(&to_plain, &["does not speak TLS on this port"]);
}

#[test]
fn tokens_of_a_file_are_read_again_until_one_is_good() {
    let secured = secured();
    let ca = secured.path("ca.pem").display().to_string();
    let connect = format!("  tls: {{ ca: {ca} }}\n  sasl: {{ mechanism: OAUTHBEARER, token_file: token }}");
    let (weir, _model) = weir(&secured.address, &connect);
    fs::write(weir.dir.join("token"), "").unwrap();
    let weir = weir.start();
    predict(&weir);
    until_said(&weir, &["no token for Kafka", "the file `token` is empty"]);
    fs::write(weir.dir.join("token"), secured.token(AUDIENCE, 600)).unwrap();
    settled(&weir, 5);
}

#[test]
fn tokens_of_an_openid_provider() {
    let secured = secured();
    let ca = secured.path("ca.pem").display().to_string();
    let issuer = |audience| {
        let oidc = format!(
            "oidc: {{ url: \"{}\", client_id: weir, client_secret: \"${{env:WEIR_PASSWORD}}\", scope: kafka }}",
            provider(secured.token(audience, 600))
        );
        format!("  tls: {{ ca: {ca} }}\n  sasl: {{ mechanism: OAUTHBEARER, {oidc} }}")
    };
    works(&secured.address, &issuer(AUDIENCE));
    // A token for somebody else.
    let (weir, _model) = weir(&secured.address, &issuer("another"));
    let weir = weir.start();
    predict(&weir);
    until_said(&weir, &["refuses the token of `kafka.sasl`", "invalid_token"]);
}

/// A token endpoint that knows one client; its URL.
fn provider(token: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = String::new();
            while !request.ends_with("scope=kafka") {
                let mut bytes = [0; 4096];
                let Ok(count @ 1..) = stream.read(&mut bytes) else { break };
                request.push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
            use base64::Engine as _;
            let basic = base64::engine::general_purpose::STANDARD.encode(format!("weir:{PASSWORD}"));
            let (status, body) = if request.contains(&format!("Basic {basic}")) {
                (200, format!("{{\"access_token\":\"{token}\",\"token_type\":\"Bearer\",\"expires_in\":600}}"))
            } else {
                (401, "{\"error\":\"invalid_client\"}".to_owned())
            };
            let head =
                format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}", body.len());
            let _sent = stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes());
        }
    });
    url
}
