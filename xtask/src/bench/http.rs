//! A thin HTTP/1.1 connection: messages written whole, messages read whole, on blocking sockets.
//!
//! It measures others, so it must cost little. It is no HTTP library: bodies need a `Content-Length`, and the peers are
//! on this machine.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A peer that says nothing for this long is taken for dead.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);
/// Longer heads or bodies than this are a fault of the peer.
const MESSAGE_LIMIT_BYTES: usize = 8 << 20;

/// One end of a connection that stays open.
pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// What of `buffer` was handed out already.
    used: usize,
}

/// A request or an answer.
pub(super) struct Message<'a> {
    /// The start line and the headers.
    head: &'a [u8],
    /// The body.
    pub(super) body: &'a [u8],
}

impl<'a> Message<'a> {
    /// The status code of an answer.
    pub(super) fn status(&self) -> Option<u16> {
        let text = std::str::from_utf8(self.head.get(9..12)?).ok()?;
        self.head.starts_with(b"HTTP/1.").then(|| text.parse().ok())?
    }

    /// Whether it is a request with this method.
    pub(super) fn has_method(&self, method: &str) -> bool {
        self.head.starts_with(method.as_bytes())
    }

    /// A header's value.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        header(self.head, name)
    }

    /// The answer's body when its status is a good one and the function did not fail.
    pub(super) fn good_body(&self) -> Result<&'a [u8], String> {
        let is_good = self.status().is_some_and(|status| (200..300).contains(&status));
        if is_good && self.header("x-amz-function-error").is_none() {
            return Ok(self.body);
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Err(format!("unexpected answer: {} {}", text(self.head), text(self.body)))
    }
}

impl Connection {
    /// Connects.
    pub(super) fn open(address: SocketAddr) -> io::Result<Self> {
        Self::over(TcpStream::connect(address)?)
    }

    /// Takes an accepted stream.
    pub(super) fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE_LIMIT))?;
        Ok(Connection { stream, buffer: Vec::with_capacity(16 << 10), used: 0 })
    }

    /// Sends bytes.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a request and reads its answer.
    pub(super) fn exchange(&mut self, request: &[u8]) -> io::Result<Message<'_>> {
        self.send(request)?;
        self.read()
    }

    /// Reads the next message; what came after it is kept for the next call.
    pub(super) fn read(&mut self) -> io::Result<Message<'_>> {
        self.buffer.drain(..self.used);
        self.used = 0;
        let mut looked_at = 0;
        let head_end = loop {
            if let Some(at) = find(&self.buffer[looked_at..], b"\r\n\r\n") {
                break looked_at + at + 4;
            }
            looked_at = self.buffer.len().saturating_sub(3);
            self.more()?;
        };
        let bad = |text: &str| io::Error::new(io::ErrorKind::InvalidData, text.to_owned());
        let head = &self.buffer[..head_end];
        if header(head, "transfer-encoding").is_some() {
            return Err(bad("the peer sends a chunked body, which this client does not read"));
        }
        let body_length = match header(head, "content-length") {
            Some(value) => value.parse::<usize>().map_err(|_| bad("Content-Length is no number"))?,
            None => 0,
        };
        let end = head_end.saturating_add(body_length);
        while self.buffer.len() < end {
            self.more()?;
        }
        self.used = end;
        Ok(Message { head: &self.buffer[..head_end], body: &self.buffer[head_end..end] })
    }

    fn more(&mut self) -> io::Result<()> {
        if self.buffer.len() > MESSAGE_LIMIT_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the message is too long"));
        }
        let mut piece = [0; 16 << 10];
        let count = self.stream.read(&mut piece)?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the peer closed the connection"));
        }
        self.buffer.extend_from_slice(&piece[..count]);
        Ok(())
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    let lines = head.split(|byte| *byte == b'\n').skip(1);
    for line in lines {
        if line.len() > name.len()
            && line[name.len()] == b':'
            && line[..name.len()].eq_ignore_ascii_case(name.as_bytes())
        {
            return std::str::from_utf8(&line[name.len() + 1..]).ok().map(str::trim);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn messages_in_one_piece_are_read_one_by_one() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut ours = Connection::open(listener.local_addr().unwrap()).unwrap();
        let mut peer = Connection::over(listener.accept().unwrap().0).unwrap();
        peer.send(b"POST /a HTTP/1.1\r\ncontent-LENGTH: 2\r\n\r\nokGET /b HTTP/1.1\r\n\r\n").unwrap();
        let first = ours.read().unwrap();
        assert!(first.has_method("POST"));
        assert_eq!((first.body, first.status()), (b"ok".as_slice(), None));
        assert!(ours.read().unwrap().has_method("GET"));
        peer.send(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n").unwrap();
        let answer = ours.read().unwrap();
        assert_eq!(answer.status(), Some(500));
        assert!(answer.good_body().is_err());
        drop(peer);
        assert!(ours.read().is_err());
    }
}
