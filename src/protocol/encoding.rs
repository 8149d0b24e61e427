//! Content encodings, undone on the copy. In: coded bytes. Out: the plain ones, never more than the cap.

use std::borrow::Cow;
use std::io::{self, Read};

use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use super::{ParseStatus, Problem};

/// Codings that one body may be wrapped in.
const CODINGS_MAX: usize = 3;

/// The window that a zstd frame may ask for, as a power of two: the 8 MiB that RFC 8878 recommends to support.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Undoes the codings that the head names, last one first. Borrows if there are none.
///
/// # Errors
/// `limit` beyond `bytes_max`, `truncated` if the coded bytes end too early, `invalid` if they are damaged,
/// `unsupported` for a coding that weir does not know.
pub fn decode<'a>(head: &HeaderMap, body: &'a [u8], bytes_max: u64) -> Result<Cow<'a, [u8]>, Problem> {
    let codings = codings(head);
    if codings.len() > CODINGS_MAX {
        return Err(Problem::new(ParseStatus::Unsupported, format!("{} content encodings", codings.len())));
    }
    let mut plain = Cow::Borrowed(body);
    for coding in codings.iter().rev() {
        plain = Cow::Owned(undo(coding, &plain, bytes_max)?);
    }
    Ok(plain)
}

fn codings(head: &HeaderMap) -> Vec<String> {
    head.get_all(CONTENT_ENCODING)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(|word| String::from_utf8_lossy(word).trim().to_ascii_lowercase())
        .filter(|word| !word.is_empty() && word != "identity")
        .collect()
}

fn undo(coding: &str, coded: &[u8], bytes_max: u64) -> Result<Vec<u8>, Problem> {
    match coding {
        "gzip" | "x-gzip" if coded.len() > 1 && !coded.starts_with(&GZIP_MAGIC) => {
            Err(Problem::new(ParseStatus::Invalid, format!("not {coding}, though the head says so")))
        }
        "gzip" | "x-gzip" => read(flate2::read::MultiGzDecoder::new(coded), coding, bytes_max),
        // The name means zlib; some servers send the bare form.
        "deflate" if zlib_head(coded) => read(flate2::read::ZlibDecoder::new(coded), coding, bytes_max),
        "deflate" => read(flate2::read::DeflateDecoder::new(coded), coding, bytes_max),
        "br" if large_window(coded) => Err(Problem::new(ParseStatus::Invalid, "br with a large window")),
        "br" => read(brotli::Decompressor::new(Ends(coded), 4096), coding, bytes_max),
        "zstd" => {
            let decoder = zstd::stream::read::Decoder::with_buffer(coded).and_then(|mut decoder| {
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Ok(decoder)
            });
            match decoder {
                Ok(decoder) => read(decoder, coding, bytes_max),
                Err(error) => Err(damaged(coding, 0, &error)),
            }
        }
        _ => {
            let word: String = coding.chars().filter(char::is_ascii_graphic).take(32).collect();
            Err(Problem::new(ParseStatus::Unsupported, format!("content encoding `{word}`")))
        }
    }
}

fn zlib_head(coded: &[u8]) -> bool {
    matches!(coded, [first, second, ..] if first & 0x0f == 8 && (u16::from(*first) << 8 | u16::from(*second)) % 31 == 0)
}

/// Whether a brotli stream asks for a window beyond 16 MiB, up to 1 GiB: not a form that HTTP knows.
fn large_window(coded: &[u8]) -> bool {
    coded.first().is_some_and(|first| first & 0x7f == 0x11)
}

/// Input whose end is an error: the brotli reader asks for more only when the stream goes on, and would call a cut damage.
struct Ends<'a>(&'a [u8]);

impl Read for Ends<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 if !buffer.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            count => Ok(count),
        }
    }
}

fn read(mut decoder: impl Read, coding: &str, bytes_max: u64) -> Result<Vec<u8>, Problem> {
    let cap = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    let mut plain = Vec::new();
    let mut chunk = [0_u8; 16 * 1024];
    loop {
        let count = match decoder.read(&mut chunk) {
            Ok(0) => return Ok(plain),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(damaged(coding, plain.len(), &error)),
        };
        if count > cap - plain.len() {
            return Err(Problem::new(ParseStatus::Limit, format!("{coding}: more than {cap} bytes when decoded")));
        }
        // Grown by hand, so that doubling never passes the cap.
        if plain.capacity() - plain.len() < count {
            let wanted = (plain.capacity() * 2).max(plain.len() + count).min(cap);
            plain.reserve_exact(wanted - plain.len());
        }
        plain.extend_from_slice(&chunk[..count]);
    }
}

fn damaged(coding: &str, at: usize, error: &io::Error) -> Problem {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            Problem::new(ParseStatus::Truncated, format!("{coding} ends early, after {at} decoded bytes"))
        }
        _ => Problem::new(ParseStatus::Invalid, format!("damaged {coding} after {at} decoded bytes")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn head(coding: &str) -> HeaderMap {
        let mut head = HeaderMap::new();
        head.insert(CONTENT_ENCODING, coding.parse().expect("a header value"));
        head
    }

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(plain).expect("memory");
        encoder.finish().expect("memory")
    }

    fn coded(plain: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        zlib.write_all(plain).expect("memory");
        let mut bare = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        bare.write_all(plain).expect("memory");
        let mut br = Vec::new();
        brotli::BrotliCompress(&mut &plain[..], &mut br, &brotli::enc::BrotliEncoderParams::default()).expect("memory");
        vec![
            ("gzip", gzip(plain)),
            ("X-GZIP", gzip(plain)),
            ("deflate", zlib.finish().expect("memory")),
            ("deflate", bare.finish().expect("memory")),
            ("br", br),
            ("zstd", zstd::encode_all(plain, 1).expect("memory")),
            ("identity", plain.to_vec()),
            ("gzip, gzip", gzip(&gzip(plain))),
        ]
    }

    #[test]
    fn every_coding_is_undone_up_to_the_cap() {
        let plain = br#"{"age":38}"#.repeat(3_000);
        for (coding, body) in coded(&plain) {
            assert_eq!(decode(&head(coding), &body, 30_000).expect(coding).as_ref(), plain, "{coding}");
            if coding != "identity" {
                let status = decode(&head(coding), &body, 29_999).expect_err(coding).status;
                assert_eq!(status, ParseStatus::Limit, "{coding}");
            }
        }
    }

    #[test]
    fn cut_and_damaged_are_told_apart() {
        let plain: Vec<u8> = (0..20_000_u32).flat_map(|i| (i.wrapping_mul(2_654_435_761)).to_le_bytes()).collect();
        for (coding, body) in coded(&plain).into_iter().filter(|(coding, _)| *coding != "identity") {
            let cut = decode(&head(coding), &body[..body.len() / 2], u64::MAX).expect_err(coding).status;
            assert_eq!(cut, ParseStatus::Truncated, "{coding}");
        }
        let mut body = gzip(&plain);
        body[0] = 0;
        assert_eq!(decode(&head("gzip"), b"{}", u64::MAX).expect_err("plain").status, ParseStatus::Invalid);
        assert_eq!(decode(&head("gzip"), &body, u64::MAX).expect_err("damaged").status, ParseStatus::Invalid);
        assert_eq!(decode(&head("snappy"), b"", u64::MAX).expect_err("unknown").status, ParseStatus::Unsupported);
    }

    #[test]
    fn a_bomb_stops_at_the_cap() {
        let bomb = gzip(&vec![0; 64 << 20]);
        assert_eq!(decode(&head("gzip"), &bomb, 1 << 20).expect_err("bomb").status, ParseStatus::Limit);
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut seed = 7_u64;
        for length in 0..200 {
            let body: Vec<u8> = (0..length)
                .map(|_| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (seed >> 56) as u8
                })
                .collect();
            for coding in ["gzip", "deflate", "br", "zstd", "zstd, br"] {
                drop(decode(&head(coding), &body, 1 << 16));
            }
        }
    }
}
