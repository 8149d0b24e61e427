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
