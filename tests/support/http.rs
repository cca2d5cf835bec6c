//! A client for plain HTTP that writes raw bytes, for the health endpoints of the emulator.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// Sends a GET request. Returns the status and the body.
pub fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let answer = send(address, format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes());
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status.unwrap_or_else(|| panic!("not HTTP: {answer}")), body.to_owned())
}

/// Sends bytes, and returns everything that the server sends until it closes the connection.
pub fn send(address: SocketAddr, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(address).expect("it listens");
    // The server may close the connection before it has read everything.
    let _ = socket.write_all(bytes);
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    String::from_utf8(answer).expect("the answer is UTF-8")
}
