//! What `io serve` of `guests/linux/io.c` is, on the machine that measures: for a guest that asks its
//! host.

use anyhow::{Context, Result};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::thread::JoinHandle;

/// Ports that are tried until both protocols have the same one.
const TRIES: u32 = 20;
const BLOCK: usize = 64 << 10;

/// Sends each datagram back, and tells how much each stream has brought, until it is dropped.
#[derive(Debug)]
pub struct Server {
    /// The port of both protocols, on the loopback interface.
    pub port: u16,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// Starts it.
    ///
    /// # Errors
    /// When there is no port to listen at.
    pub fn start() -> Result<Self> {
        let (streams, datagrams) = (0..TRIES)
            .find_map(|_| sockets().ok())
            .context("no port is free for both TCP and UDP")?;
        let port = streams.local_addr()?.port();
        let threads = vec![
            std::thread::spawn(move || take_streams(&streams)),
            std::thread::spawn(move || send_back(&datagrams)),
        ];
        Ok(Self { port, threads })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A datagram and a stream with nothing in them.
        let to = (Ipv4Addr::LOCALHOST, self.port);
        let ends = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|end| end.send_to(&[], to));
        if ends.is_ok() && TcpStream::connect(to).is_ok() {
            for thread in self.threads.drain(..) {
                let _ = thread.join();
            }
        }
    }
}

fn sockets() -> std::io::Result<(TcpListener, UdpSocket)> {
    let streams = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let datagrams = UdpSocket::bind(streams.local_addr()?)?;
    Ok((streams, datagrams))
}

fn send_back(datagrams: &UdpSocket) {
    let mut block = [0; BLOCK];
    while let Ok((size, from)) = datagrams.recv_from(&mut block) {
        if size == 0 {
            return;
        }
        let _ = datagrams.send_to(&block[..size], from);
    }
}

fn take_streams(streams: &TcpListener) {
    while let Ok((mut stream, _)) = streams.accept() {
        let mut total = 0_u64;
        let mut block = vec![0; BLOCK];
        while let Ok(size @ 1..) = stream.read(&mut block) {
            total += size as u64;
        }
        let _ = stream.write_all(&total.to_le_bytes());
        if total == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Shutdown;

    #[test]
    fn streams_are_counted_and_datagrams_come_back() {
        let server = Server::start().unwrap();
        let to = (Ipv4Addr::LOCALHOST, server.port);
        let mut stream = TcpStream::connect(to).unwrap();
        stream.write_all(&[1; 100_000]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut total = [0; 8];
        stream.read_exact(&mut total).unwrap();
        assert_eq!(u64::from_le_bytes(total), 100_000);
        let end = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        end.send_to(b"x", to).unwrap();
        let mut byte = [0];
        assert_eq!(end.recv(&mut byte).unwrap(), 1);
        assert_eq!(&byte, b"x");
    }
}
