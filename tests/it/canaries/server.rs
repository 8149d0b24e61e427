//! A model server that answers each call with what the call's `x-case` says, and tells names that bodies do not have.

use std::io::{BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use serde_json::json;

use super::{CANARY, CONTROL, TOLD};
use crate::support::canaries::{Arrival, Cut};
use crate::support::http::Asked;

/// Bytes of a stream that go out together: events and lines are cut anywhere.
const PIECE: usize = 7;

/// Serves on a free loopback port until the process ends.
pub fn start(arrivals: Vec<Arrival>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let arrivals = Arc::new(arrivals);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let arrivals = arrivals.clone();
            std::thread::spawn(move || {
                let _ended = serve(stream, &arrivals);
            });
        }
    });
    address
}

fn serve(stream: TcpStream, arrivals: &[Arrival]) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(asked) = Asked::read(&mut stream)? {
        let stream = stream.get_mut();
        match asked.header("x-case").and_then(|case| case.parse::<usize>().ok()) {
            Some(case) => {
                if !answer(stream, &arrivals[case])? {
                    return Ok(());
                }
            }
            None => plain(stream, asked.line(), &asked.body)?,
        }
    }
    Ok(())
}

/// Whether the connection can serve another.
fn answer(stream: &mut TcpStream, arrival: &Arrival) -> std::io::Result<bool> {
    let message = &arrival.response;
    write!(
        stream,
        "HTTP/1.1 {} X\r\nx-secret: {CANARY}\r\nset-cookie: c={CANARY}\r\nx-kept: {CONTROL}\r\n",
        arrival.status
    )?;
    for (name, value) in &message.headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    let is_cut = arrival.cut == Some(Cut::Transfer);
    if ["text/event-stream", "application/x-ndjson"].contains(&message.kind()) {
        write!(stream, "transfer-encoding: chunked\r\ntrailer: x-secret\r\n\r\n")?;
        for piece in message.body.chunks(PIECE) {
            write!(stream, "{:x}\r\n", piece.len())?;
            stream.write_all(piece)?;
            write!(stream, "\r\n")?;
        }
        if !is_cut {
            write!(stream, "0\r\nx-secret: {CANARY}\r\n\r\n")?;
        }
        return Ok(!is_cut);
    }
    let missing = if is_cut { 100 } else { 0 };
    write!(stream, "content-length: {}\r\n\r\n", message.body.len() + missing)?;
    stream.write_all(&message.body)?;
    Ok(!is_cut)
}

/// A description of the rows of `/rows`, answers for them, and nothing else.
fn plain(stream: &mut TcpStream, request: &str, body: &[u8]) -> std::io::Result<()> {
    let names = |names: [&str; 2]| {
        let titles = names.map(|name| json!({"title": name}));
        json!({"content": {"application/json": {"schema": {"type": "array", "items": {"prefixItems": titles}}}}})
    };
    let operation = json!({"requestBody": names(["a", "secret"]), "responses": {"200": names([TOLD, "q"])}});
    let answer = match request.split(' ').collect::<Vec<_>>()[..] {
        ["GET", "/openapi.json", ..] => json!({"paths": {"/rows": {"post": operation}}}).to_string(),
        ["POST", "/rows", ..] => json!([[1, CONTROL]]).to_string(),
        ["POST", "/echo", ..] => String::from_utf8_lossy(body).into_owned(),
        _ => return write!(stream, "HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n"),
    };
    let length = answer.len();
    write!(stream, "HTTP/1.1 200 X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{answer}")
}
