use aws_sdk_s3::presigning::PresigningConfig;

use super::super::create::crc32;
use super::super::*;
use super::script::*;

#[test]
fn a_create_is_one_plain_conditional_put() {
    let s3 = scripted([stored(b"content")]);
    assert_eq!(s3.create().unwrap(), Created::New);
    let requests = s3.requests.lock().unwrap();
    let Request { head, body } = &requests[0];
    assert!(head.starts_with("put /bucket/p/t/a.parquet"), "{head}");
    assert!(head.contains("\r\nif-none-match: *\r\n") && head.contains("\r\ncontent-length: 7\r\n"), "{head}");
    // The checksum is a header of its own: what stores that are not AWS stumble over is the trailer.
    assert!(!head.contains("aws-chunked") && !head.contains("x-amz-trailer"), "{head}");
    let checksum = format!("\r\nx-amz-checksum-crc32: {}\r\n", crc32(b"content").to_lowercase());
    assert!(head.contains(&checksum), "{head}");
    assert!(!head.contains("server-side-encryption"), "{head}");
    assert_eq!((body.as_slice(), requests.len()), (b"content".as_slice(), 1));
    // A known value (RFC 1952's CRC-32 of "123456789"), in the byte order of S3.
    assert_eq!(crc32(b"123456789"), "y/Q5Jg==");
}

#[test]
fn every_answer_to_a_create_is_one_the_drain_can_act_on_and_nothing_is_asked_twice() {
    let s3 = scripted([error(412, "PreconditionFailed")]);
    assert_eq!(s3.create().unwrap(), Created::Exists);
    for (say, kind) in [
        (error(503, "SlowDown"), Kind::Retry),
        (error(500, "InternalError"), Kind::Retry),
        (error(200, "InternalError"), Kind::Retry),
        (error(400, "BadDigest"), Kind::Retry),
        (Say::Answer(502, "", "<html>a proxy's page</html>".to_owned()), Kind::Retry),
        (Say::Nothing, Kind::Retry),
        (Say::Half, Kind::Retry),
        (error(403, "AccessDenied"), Kind::Stop),
        (error(404, "NoSuchBucket"), Kind::Stop),
        (error(400, "KMS.DisabledException"), Kind::Stop),
        (error(301, "PermanentRedirect"), Kind::Stop),
    ] {
        let s3 = scripted([say]);
        let error = s3.create().unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains("s3://bucket/p/t/a.parquet"), "{error}");
        assert!(!error.to_string().contains("the-secret"), "{error}");
        assert_eq!(s3.methods(), ["put"], "{error}");
    }
}

/// What a 200 is worth that does not repeat the checksum.
#[test]
fn an_answer_that_proves_nothing_is_believed_only_with_the_object() {
    let tag = "etag: \"0123456789abcdef0123456789abcdef\"\r\n";
    let wrong = "etag: \"x\"\r\nx-amz-checksum-crc32: AAAAAA==\r\n";
    let page = "<html>a proxy's page</html>".to_owned();
    for say in [
        ok(),
        Say::Answer(200, tag, String::new()),
        Say::Answer(200, wrong, String::new()),
        Say::Answer(200, "content-type: text/html\r\n", page.clone()),
        Say::Answer(204, "", String::new()),
    ] {
        // It is not there: the answer came from somewhere else.
        let s3 = scripted([say.clone(), error(404, "NoSuchKey")]);
        let error = s3.create().unwrap_err();
        assert_eq!((error.kind(), s3.methods()), (Kind::Retry, vec!["put".to_owned(), "get".to_owned()]), "{error}");
        // Nobody knows: the next call is told.
        let s3 = scripted([say.clone(), Say::Nothing]);
        assert_eq!(s3.create().unwrap_err().kind(), Kind::Retry);
        // The same proxy answers all requests. Its page is longer or shorter than what was sent, or another.
        for page in ["", "half", "CONTENT", &page] {
            let s3 = scripted([say.clone(), Say::Answer(200, "", page.to_owned())]);
            assert_eq!(s3.create().unwrap(), Created::Exists, "{page}: read it, said the answer");
        }
        let s3 = scripted([say, Say::Answer(206, "content-range: bytes 0-6/7\r\n", "content".to_owned())]);
        assert_eq!(s3.create().unwrap(), Created::New);
    }
}

#[test]
fn a_large_object_is_recognised_by_its_end_and_its_size() {
    let body: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
    let end = String::from_utf8(vec![b'x'; 65_536]).unwrap();
    let body = [&body[..], end.as_bytes()].concat();
    for (range, created) in [("134464-199999/265536", Created::New), ("134464-199999/265535", Created::Exists)] {
        let header: &'static str = format!("content-range: bytes {range}\r\n").leak();
        let s3 = scripted([ok(), Say::Answer(206, header, end.clone())]);
        let made = s3.store.create("t/a.parquet", Content::Bytes(body.clone().into())).unwrap();
        assert_eq!(made, created);
        assert!(s3.requests.lock().unwrap()[1].head.contains("\r\nrange: bytes=-65536\r\n"));
    }
}

#[test]
fn a_store_that_knows_no_checksums_is_sent_none_from_then_on() {
    for (status, code) in [(400, "InvalidArgument"), (400, "InvalidRequest"), (501, "NotImplemented")] {
        let s3 = scripted_by(
            |_| {},
            move |request| match request.head.contains("crc32") {
                true => error(status, code),
                false if request.head.starts_with("get") => Say::Answer(200, "", "content".to_owned()),
                false => ok(),
            },
        );
        assert_eq!(s3.create().unwrap(), Created::New);
        assert_eq!(s3.create().unwrap(), Created::New);
        assert_eq!(s3.methods(), ["put", "put", "get", "put", "get"], "{code}");
        // What is refused for another reason is refused without it too, and proves nothing about checksums.
        let s3 = scripted([error(status, code)]);
        let refused = s3.create().unwrap_err();
        assert_eq!((refused.kind(), s3.methods()), (Kind::Stop, vec!["put".to_owned(); 2]), "{refused}");
        assert!(s3.store.checksums.are_sent());
    }
}

#[test]
fn after_a_conflict_the_object_itself_is_asked() {
    let s3 = scripted([error(409, "ConditionalRequestConflict"), Say::Answer(200, "", "x".to_owned())]);
    assert_eq!(s3.create().unwrap(), Created::Exists);
    assert_eq!(s3.methods(), ["put", "get"]);
    for second in [error(404, "NoSuchKey"), error(404, ""), error(403, ""), Say::Nothing] {
        let s3 = scripted([error(409, "ConditionalRequestConflict"), second]);
        assert_eq!(s3.create().unwrap_err().kind(), Kind::Retry);
    }
}

#[test]
fn a_server_that_says_nothing_does_not_hold_a_create_for_ever() {
    let mut s3 = scripted([Say::Silence]);
    s3.store.limits.read = Duration::from_millis(300);
    let error = s3.create().unwrap_err();
    assert!(error.kind() == Kind::Retry && error.to_string().contains(&s3.endpoint), "{error}");
    assert_eq!(s3.methods(), ["put"]);
}

#[test]
fn the_key_of_kms_goes_with_each_object() {
    let s3 = scripted_by(|s3| s3.sse_kms = Some("alias/rows".to_owned()), |_| stored(b"content"));
    assert_eq!(s3.create().unwrap(), Created::New);
    let head = &s3.requests.lock().unwrap()[0].head;
    assert!(head.contains("\r\nx-amz-server-side-encryption: aws:kms\r\n"), "{head}");
    assert!(head.contains("\r\nx-amz-server-side-encryption-aws-kms-key-id: alias/rows\r\n"), "{head}");
}

#[test]
fn region_and_addressing_are_as_configured() {
    let change = |s3: &mut config::S3| s3.region = Some("eu-central-1".to_owned());
    let s3 = scripted_by(change, |_| stored(b"content"));
    s3.create().unwrap();
    assert!(s3.requests.lock().unwrap()[0].head.contains("/eu-central-1/s3/aws4_request"));
    // A bucket's own host does not resolve here: what would be asked is signed, not sent.
    let url = |path_style: bool, endpoint: Option<&str>| {
        let change = |s3: &mut config::S3| {
            s3.path_style = path_style;
            s3.endpoint = endpoint.map(str::to_owned);
        };
        let s3 = scripted_by(change, |_| ok());
        let get = s3.store.client().get_object().bucket("bucket").key("k");
        let signed = get.presigned(PresigningConfig::expires_in(Duration::from_secs(1)).unwrap());
        s3.store.runtime.block_on(signed).unwrap().uri().split('?').next().unwrap().to_owned()
    };
    assert_eq!(url(true, Some("http://s3.example:9000")), "http://s3.example:9000/bucket/k");
    assert_eq!(url(false, Some("http://s3.example:9000")), "http://bucket.s3.example:9000/k");
    assert_eq!(url(false, None), "https://bucket.s3.us-east-1.amazonaws.com/k");
    assert_eq!(url(true, None), "https://s3.us-east-1.amazonaws.com/bucket/k");
}

#[test]
fn a_transfer_has_time_for_its_size_and_an_end() {
    assert_eq!(LIMITS.transfer(0), LIMITS.read);
    assert!(LIMITS.transfer(128 << 20) > LIMITS.transfer(64 << 20));
    assert_eq!(LIMITS.transfer(u64::MAX), LIMITS.transfer_max);
}
