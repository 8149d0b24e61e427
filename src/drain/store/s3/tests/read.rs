use super::super::*;
use super::script::*;

#[test]
fn reads_are_asked_again_and_half_an_answer_is_none() {
    let whole = Say::Answer(200, "", "whole".to_owned());
    let s3 = scripted([error(503, "SlowDown"), Say::Half, whole]);
    assert_eq!(s3.store.get("t/a").unwrap().unwrap(), "whole");
    assert_eq!(s3.methods(), ["get", "get", "get"]);
    let s3 = scripted([Say::Half]);
    assert_eq!(s3.store.get("t/a").unwrap_err().kind(), Kind::Retry);
    assert_eq!(s3.methods().len(), READ_ATTEMPTS as usize);
    let s3 = scripted([error(404, "NoSuchKey")]);
    assert_eq!(s3.store.get("t/a").unwrap(), None);
    // A page of another server is no word on whether the head of a chain exists.
    let s3 = scripted([Say::Answer(404, "", "not found".to_owned())]);
    assert_eq!(s3.store.get("t/a").unwrap_err().kind(), Kind::Stop);
}

#[test]
fn a_store_without_ranges_still_gives_the_end() {
    let s3 = scripted([Say::Answer(200, "", "0123456789".to_owned())]);
    assert_eq!(s3.store.tail("t/a", 4).unwrap().unwrap(), (Bytes::from("6789"), 10));
    assert!(s3.requests.lock().unwrap()[0].head.contains("\r\nrange: bytes=-4\r\n"));
    let s3 = scripted([Say::Answer(206, "content-range: bytes 996-999/1000\r\n", "6789".to_owned())]);
    assert_eq!(s3.store.tail("t/a", 4).unwrap().unwrap(), (Bytes::from("6789"), 1000));
}

#[test]
fn less_of_an_end_than_was_said_is_no_end() {
    let s3 = scripted([Say::Answer(206, "content-range: bytes 996-999/1000\r\n", "67".to_owned())]);
    assert_eq!(s3.store.tail("t/a", 4).unwrap_err().kind(), Kind::Retry);
    // The whole of an object that is shorter than what was asked for.
    let s3 = scripted([Say::Answer(206, "content-range: bytes 0-1/2\r\n", "67".to_owned())]);
    assert_eq!(s3.store.tail("t/a", 4).unwrap().unwrap(), (Bytes::from("67"), 2));
    let s3 = scripted([error(416, "InvalidRange")]);
    assert_eq!(s3.store.tail("t/a", 4).unwrap().unwrap(), (Bytes::new(), 0));
}

#[test]
fn a_range_is_all_of_it_or_none() {
    let s3 = scripted([Say::Answer(206, "content-range: bytes 2-5/10\r\n", "2345".to_owned())]);
    assert_eq!(s3.store.range("t/a", 2..6).unwrap().unwrap(), "2345");
    assert!(s3.requests.lock().unwrap()[0].head.contains("\r\nrange: bytes=2-5\r\n"));
    let whole = || Say::Answer(200, "", "0123456789".to_owned());
    assert_eq!(scripted([whole()]).store.range("t/a", 2..6).unwrap().unwrap(), "2345");
    assert_eq!(scripted([whole()]).store.range("t/a", 8..12).unwrap_err().kind(), Kind::Retry);
    let short = Say::Answer(206, "content-range: bytes 2-3/4\r\n", "23".to_owned());
    assert_eq!(scripted([short]).store.range("t/a", 2..6).unwrap_err().kind(), Kind::Retry);
    assert_eq!(scripted([error(404, "NoSuchKey")]).store.range("t/a", 2..6).unwrap(), None);
    assert_eq!(scripted([]).store.range("t/a", 2..2).unwrap().unwrap(), "", "nothing is asked for");
}

#[test]
fn half_a_list_is_none() {
    let list = |inner: &str| {
        let xml = format!("<ListBucketResult><Name>bucket</Name>{inner}</ListBucketResult>");
        Say::Answer(200, "content-type: application/xml\r\n", xml)
    };
    let object = "<Contents><Key>p/t/a</Key><Size>1</Size></Contents>";
    let token = "<NextContinuationToken>more</NextContinuationToken>";
    let [first, last] = [
        list(&format!("<IsTruncated>true</IsTruncated>{token}{object}")),
        list(&format!("<IsTruncated>false</IsTruncated>{}", object.replace("/a", "/b"))),
    ];
    let s3 = scripted([first.clone(), last]);
    let keys: Vec<_> = s3.store.list("t/", None).unwrap().into_iter().map(|listed| listed.key).collect();
    assert_eq!(keys, ["t/a", "t/b"]);
    for page in [
        list(&format!("<IsTruncated>true</IsTruncated>{object}")),
        list(object),
        Say::Answer(200, "", String::new()),
        Say::Answer(200, "", "<html>a proxy's page</html>".to_owned()),
        error(200, "InternalError"),
        Say::Half,
        Say::Answer(204, "", String::new()),
    ] {
        for script in [[page.clone(), page.clone()], [first.clone(), page.clone()]] {
            assert_eq!(scripted(script).store.list("t/", None).unwrap_err().kind(), Kind::Retry);
        }
    }
}
