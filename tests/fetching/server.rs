//! A server on this machine that answers every request as it is told.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// One request: its path, its headers in lower case, and how many came before it.
pub struct Request {
    pub path: String,
    pub headers: HashMap<String, String>,
    pub number: usize,
}

/// Begins to answer. Returns the address, and the paths that were asked for.
pub fn serve(
    answer: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static,
) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let (seen, answer) = (Arc::clone(&requests), Arc::new(answer));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
            thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let first = lines.next().unwrap().unwrap();
                let header = |line: String| {
                    let (name, value) = line.split_once(':')?;
                    Some((name.to_ascii_lowercase(), value.trim().to_owned()))
                };
                let headers = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).filter_map(header);
                let headers = headers.collect();
                let path = first.split(' ').nth(1).unwrap().to_owned();
                let number = {
                    let mut seen = seen.lock().unwrap();
                    seen.push(path.clone());
                    seen.len() - 1
                };
                answer(&Request { path, headers, number }, &mut stream);
            });
        }
    });
    (address, requests)
}

/// The client may have gone away: that is its right.
pub fn send(stream: &mut TcpStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes);
}

pub fn head(stream: &mut TcpStream, status: &str, headers: &str) {
    let length = if headers.to_ascii_lowercase().contains("length") { "" } else { "Content-Length: 0\r\n" };
    send(stream, format!("HTTP/1.1 {status}\r\nConnection: close\r\n{length}{headers}\r\n").as_bytes());
}
