use std::collections::VecDeque;

use super::super::create::crc32;
use super::super::*;
use super::script::*;

const BODY: &[u8] = b"a large file";

fn not_there() -> Say {
    error(404, "NoSuchKey")
}

fn there(content: &str) -> Say {
    Say::Answer(200, "", content.to_owned())
}

fn ours() -> Say {
    there("a large file")
}

fn completed() -> Say {
    let xml = "<CompleteMultipartUploadResult><ETag>\"e-1\"</ETag></CompleteMultipartUploadResult>";
    Say::Answer(200, "content-type: application/xml\r\n", xml.to_owned())
}

fn begun() -> Say {
    let xml = "<InitiateMultipartUploadResult><UploadId>upload-1</UploadId></InitiateMultipartUploadResult>";
    Say::Answer(200, "content-type: application/xml\r\n", xml.to_owned())
}

/// Each kind of request has a script of its own, whose last step is repeated.
struct Script {
    looks: Vec<Say>,
    begin: Say,
    parts: Vec<Say>,
    complete: Say,
}

impl Default for Script {
    fn default() -> Script {
        let part = Say::Answer(200, "etag: \"part\"\r\n", String::new());
        Script { looks: vec![not_there(), ours()], begin: begun(), parts: vec![part], complete: completed() }
    }
}

fn run(script: Script) -> Scripted {
    let (mut looks, mut parts) = (VecDeque::from(script.looks), VecDeque::from(script.parts));
    let next =
        |says: &mut VecDeque<Say>| if says.len() > 1 { says.pop_front() } else { says.front().cloned() }.unwrap();
    let change = |s3: &mut config::S3| s3.multipart_bytes = 5;
    scripted_by(change, move |request| match what(request) {
        "look" => next(&mut looks),
        "begin" => script.begin.clone(),
        "part" => next(&mut parts),
        "complete" => script.complete.clone(),
        _ => Say::Answer(204, "", String::new()),
    })
}

fn what(request: &Request) -> &'static str {
    let line = request.head.lines().next().unwrap();
    match (line.split(' ').next().unwrap(), line.contains("uploadid="), line.contains("?uploads")) {
        ("get", ..) => "look",
        ("post", false, true) => "begin",
        ("put", true, _) => "part",
        ("post", true, _) => "complete",
        ("delete", true, _) => "abort",
        _ => panic!("{line}"),
    }
}

impl Scripted {
    fn create_large(&self) -> Result<Created, StoreError> {
        self.store.create("t/a.parquet", Content::Bytes(Bytes::from_static(BODY)))
    }

    fn steps(&self) -> String {
        self.requests.lock().unwrap().iter().map(what).collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn a_large_object_is_completed_on_condition_and_read_back() {
    let s3 = run(Script::default());
    assert_eq!(s3.create_large().unwrap(), Created::New);
    assert_eq!(s3.steps(), "look begin part complete look");
    let requests = s3.requests.lock().unwrap();
    let [_, begin, part, complete, _] = &requests[..] else { panic!("{requests:?}") };
    assert!(begin.head.contains("\r\nx-amz-checksum-algorithm: crc32\r\n"), "{}", begin.head);
    assert!(begin.head.contains("\r\ncontent-type: application/vnd.apache.parquet\r\n"), "{}", begin.head);
    assert!(part.head.contains("partnumber=1") && part.head.contains("uploadid=upload-1"), "{}", part.head);
    assert!(part.head.contains(&crc32(BODY).to_lowercase()) && !part.head.contains("aws-chunked"), "{}", part.head);
    assert_eq!(part.body, BODY);
    assert!(complete.head.contains("\r\nif-none-match: *\r\n"), "{}", complete.head);
    let listed = String::from_utf8_lossy(&complete.body);
    assert!(listed.contains("<PartNumber>1</PartNumber>") && listed.contains("part"), "{listed}");
}

#[test]
fn an_object_of_many_parts_is_theirs_in_order() {
    let content: Vec<u8> = (0..(16u32 << 20) * 2 + 7).map(|n| (n / 251) as u8).collect();
    let end = "x".repeat(65_536);
    let content = [&content[..], end.as_bytes()].concat();
    let header: &'static str = format!("content-range: bytes 0-65535/{}\r\n", content.len()).leak();
    let s3 = run(Script { looks: vec![not_there(), Say::Answer(206, header, end)], ..Script::default() });
    let made = s3.store.create("t/a.parquet", Content::Bytes(content.clone().into())).unwrap();
    assert_eq!(made, Created::New);
    let requests = s3.requests.lock().unwrap();
    let mut parts: Vec<_> = requests.iter().filter(|request| what(request) == "part").collect();
    parts.sort_by_key(|part| part.head.split("partnumber=").nth(1).unwrap().chars().next());
    assert_eq!(parts.iter().map(|part| part.body.len()).collect::<Vec<_>>(), [16 << 20, 16 << 20, 65_543]);
    assert_eq!(parts.iter().flat_map(|part| part.body.clone()).collect::<Vec<_>>(), content);
}

#[test]
fn what_is_there_already_is_not_sent_again() {
    let s3 = run(Script { looks: vec![ours()], ..Script::default() });
    assert_eq!((s3.create_large().unwrap(), s3.steps().as_str()), (Created::Exists, "look"));
    let s3 = run(Script { looks: vec![error(403, "AccessDenied")], ..Script::default() });
    assert_eq!((s3.create_large().unwrap_err().kind(), s3.steps().as_str()), (Kind::Stop, "look"));
}

#[test]
fn every_answer_to_a_completion_ends_in_what_stands_there() {
    let page = || Say::Answer(200, "", "<html>a proxy's page</html>".to_owned());
    // Unclear ones, 200 among them: the object decides.
    for complete in [
        completed(),
        error(200, "InternalError"),
        page(),
        Say::Half,
        Say::Nothing,
        error(500, "InternalError"),
        error(503, "SlowDown"),
        error(404, "NoSuchUpload"),
        error(400, "InvalidPart"),
    ] {
        let case = |look: Say| {
            let s3 = run(Script { complete: complete.clone(), looks: vec![not_there(), look], ..Script::default() });
            (s3.create_large().map_err(|error| error.kind()), s3.steps())
        };
        let steps = |end: &str| format!("look begin part complete look{end}");
        assert_eq!(case(ours()), (Ok(Created::New), steps("")));
        assert_eq!(case(there("another file")), (Ok(Created::Exists), steps(" abort")));
        assert_eq!(case(not_there()), (Err(Kind::Retry), steps(" abort")));
        assert_eq!(case(error(503, "SlowDown")), (Err(Kind::Retry), steps(" abort")));
    }
    for (complete, answer) in [
        (error(412, "PreconditionFailed"), Ok(Created::Exists)),
        (error(403, "AccessDenied"), Err(Kind::Stop)),
        (error(404, "NoSuchBucket"), Err(Kind::Stop)),
    ] {
        let s3 = run(Script { complete, ..Script::default() });
        assert_eq!(s3.create_large().map_err(|error| error.kind()), answer);
        assert_eq!(s3.steps(), "look begin part complete abort");
    }
    for (look, answer) in [(there("x"), Ok(Created::Exists)), (not_there(), Err(Kind::Retry))] {
        let complete = error(409, "ConditionalRequestConflict");
        let s3 = run(Script { complete, looks: vec![not_there(), look], ..Script::default() });
        assert_eq!(s3.create_large().map_err(|error| error.kind()), answer);
        assert_eq!(s3.steps(), "look begin part complete look abort");
    }
}

#[test]
fn a_part_is_sent_again_and_the_whole_is_given_up_when_that_does_not_help() {
    let good = Say::Answer(200, "etag: \"part\"\r\n", String::new());
    let parts = vec![error(503, "SlowDown"), ok(), good];
    let s3 = run(Script { parts, ..Script::default() });
    assert_eq!(s3.create_large().unwrap(), Created::New);
    assert_eq!(s3.steps(), "look begin part part part complete look");
    for (part, kind, parts) in [
        (error(500, "InternalError"), Kind::Retry, 4),
        (error(404, "NoSuchUpload"), Kind::Retry, 1),
        (error(403, "AccessDenied"), Kind::Stop, 1),
    ] {
        let s3 = run(Script { parts: vec![part], ..Script::default() });
        assert_eq!(s3.create_large().unwrap_err().kind(), kind);
        assert_eq!(s3.steps(), format!("look begin{} abort", " part".repeat(parts)));
    }
}

#[test]
fn an_upload_that_does_not_begin_is_no_upload() {
    for (begin, kind) in [
        (ok(), Kind::Retry),
        (Say::Answer(200, "", "<html>a proxy's page</html>".to_owned()), Kind::Retry),
        (error(503, "SlowDown"), Kind::Retry),
        (error(403, "AccessDenied"), Kind::Stop),
    ] {
        let s3 = run(Script { begin, ..Script::default() });
        let error = s3.create_large().unwrap_err();
        assert_eq!((error.kind(), s3.steps().as_str()), (kind, "look begin"), "{error}");
    }
}

#[test]
fn the_key_of_kms_goes_with_the_begin() {
    let change = |s3: &mut config::S3| {
        s3.multipart_bytes = 5;
        s3.sse_kms = Some("alias/rows".to_owned());
    };
    let s3 = scripted_by(change, |request| if what(request) == "begin" { begun() } else { not_there() });
    s3.create_large().unwrap_err();
    let requests = s3.requests.lock().unwrap();
    let with: Vec<_> = requests.iter().filter(|request| request.head.contains("kms")).map(what).collect();
    assert_eq!(with, ["begin"]);
}

#[test]
fn a_store_that_overwrites_by_parts_is_refused_unless_none_are_used() {
    // `PutObject` keeps its promise; completing does not, or says so and does not, or is not known.
    for (complete, overwrites, is_fit) in [
        (error(412, "PreconditionFailed"), false, true),
        (error(412, "PreconditionFailed"), true, false),
        (completed(), true, false),
        (error(501, "NotImplemented"), false, false),
        (error(400, "InvalidArgument"), false, false),
    ] {
        for multipart_bytes in [config::MULTIPART_BYTES, config::PUT_BYTES_MAX] {
            let (mut stands, mut part) = (None, String::new());
            let complete = complete.clone();
            let change = |s3: &mut config::S3| s3.multipart_bytes = multipart_bytes;
            let s3 = scripted_by(change, move |request| {
                let body = String::from_utf8_lossy(&request.body).into_owned();
                if request.head.starts_with("put") && !request.head.contains("uploadid=") {
                    if stands.is_some() {
                        return error(412, "PreconditionFailed");
                    }
                    stands = Some(body);
                    return ok();
                }
                match what(request) {
                    "look" => stands.clone().map_or_else(not_there, |stands| there(&stands)),
                    "begin" => begun(),
                    "part" => {
                        part = body;
                        Say::Answer(200, "etag: \"part\"\r\n", String::new())
                    }
                    "complete" => {
                        if overwrites {
                            stands = Some(part.clone());
                        }
                        complete.clone()
                    }
                    _ => Say::Answer(204, "", String::new()),
                }
            });
            let tested = s3.store.self_test();
            if is_fit || multipart_bytes == config::PUT_BYTES_MAX {
                tested.unwrap();
                continue;
            }
            let error = tested.unwrap_err();
            assert!(matches!(error, StoreError::Overwrites { .. }), "{error}");
            assert!(error.to_string().contains("store.multipart_threshold: 5GiB"), "{error}");
        }
    }
}
