//! Certificates of the tests' own: an authority, and what it issues.

use std::path::Path;

use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{BasicConstraints, KeyUsage, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509NameBuilder};

const DAY: i64 = 24 * 60 * 60;

/// Issues certificates.
pub struct Authority {
    certificate: X509,
    key: PKey<Private>,
}

/// How a certificate is wrong, if it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    None,
    /// It ended yesterday.
    Expired,
    /// It is for a name at which nobody is reached here.
    OtherName,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let key = key();
        let mut builder = builder(name, &key, 0, 10 * DAY);
        builder.set_issuer_name(&named(name)).unwrap();
        builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
        builder.append_extension(KeyUsage::new().critical().key_cert_sign().crl_sign().build().unwrap()).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        Authority { certificate: builder.build(), key }
    }

    /// Writes the authority's certificate.
    pub fn write(&self, path: &Path) {
        std::fs::write(path, self.certificate.to_pem().unwrap()).unwrap();
    }

    /// A certificate for 127.0.0.1 and its key, both PEM.
    pub fn issue(&self, name: &str, flaw: Flaw) -> (String, String) {
        let key = key();
        let until = if flaw == Flaw::Expired { -DAY } else { 5 * DAY };
        let mut builder = builder(name, &key, -2 * DAY, until);
        builder.set_issuer_name(self.certificate.subject_name()).unwrap();
        let mut names = SubjectAlternativeName::new();
        match flaw {
            Flaw::OtherName => names.dns("elsewhere.example"),
            _ => names.ip("127.0.0.1"),
        };
        let names = names.build(&builder.x509v3_context(Some(&self.certificate), None)).unwrap();
        builder.append_extension(names).unwrap();
        builder.sign(&self.key, MessageDigest::sha256()).unwrap();
        let pem = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (pem(builder.build().to_pem().unwrap()), pem(key.private_key_to_pem_pkcs8().unwrap()))
    }
}

fn key() -> PKey<Private> {
    let curve = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&curve).unwrap()).unwrap()
}

fn named(name: &str) -> openssl::x509::X509Name {
    let mut builder = X509NameBuilder::new().unwrap();
    builder.append_entry_by_nid(Nid::COMMONNAME, name).unwrap();
    builder.build()
}

/// A certificate that is good between two times, in seconds from now.
fn builder(name: &str, key: &PKey<Private>, from: i64, until: i64) -> X509Builder {
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    let at = |seconds: i64| Asn1Time::from_unix(now + seconds).unwrap();
    let serial = BigNum::from_slice(&uuid::Uuid::new_v4().as_bytes()[..15]).unwrap();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&Asn1Integer::from_bn(&serial).unwrap()).unwrap();
    builder.set_subject_name(&named(name)).unwrap();
    builder.set_pubkey(key).unwrap();
    builder.set_not_before(&at(from)).unwrap();
    builder.set_not_after(&at(until)).unwrap();
    builder
}
