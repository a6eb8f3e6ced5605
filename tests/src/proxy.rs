//! A network with faults between a host and one of its databases.

mod messages;

use messages::{Message, Messages};
use parking_lot::{Condvar, Mutex};
use socket2::SockRef;
use std::{
    collections::{BTreeMap, btree_map::Entry},
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// What the network does with bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Passes them on.
    Healthy,
    /// Delays each piece by this time.
    Delayed(Duration),
    /// Passes on that many bytes per second in each direction, those of all
    /// connections together.
    Throttled(u32),
    /// Holds back both directions until the state changes. Connections are still
    /// accepted.
    BlackHole,
    /// Passes on requests, holds back responses.
    ResponsesHeld,
    /// Passes on responses, holds back requests.
    RequestsHeld,
    /// Resets connections as soon as they are accepted.
    Resetting,
}

/// A direction through the proxy.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToServer,
    ToClient,
}

/// A line that carries one piece after the other.
struct Line {
    /// When it has carried everything that it was given.
    free_at: Mutex<Instant>,
}

impl Line {
    fn new() -> Self {
        Self {
            free_at: Mutex::new(Instant::now()),
        }
    }

    /// Waits until a piece has got through that takes the line so long.
    fn carry(&self, time: Duration) {
        let through = {
            let mut free_at = self.free_at.lock();
            *free_at = (*free_at).max(Instant::now()) + time;
            *free_at
        };
        thread::sleep(through.saturating_duration_since(Instant::now()));
    }
}

/// Requests that are held back.
#[derive(Default)]
struct Held {
    /// Connections with a smaller number are held.
    below: u64,
    /// The bytes of each of them, and the connection to the server.
    bytes: BTreeMap<u64, (TcpStream, Vec<u8>)>,
    /// The text of the requests among them.
    requests: Vec<Vec<u8>>,
}

struct Shared {
    network: Mutex<Network>,
    held: Mutex<Held>,
    /// Connections with a smaller number are, or were, held.
    once_held: AtomicU64,
    /// How many requests of each connection have no response yet. A connection
    /// that ends without being held is removed.
    unanswered: Mutex<BTreeMap<u64, i64>>,
    connections: AtomicU64,
    to_server: Line,
    to_client: Line,
    /// Bytes that clients have sent.
    bytes_sent: AtomicU64,
    changed: Condvar,
    closed: AtomicBool,
    open: Mutex<Vec<OpenConnection>>,
}

/// Both ends of a connection through the proxy.
struct OpenConnection {
    client: TcpStream,
    server: TcpStream,
}

/// A TCP proxy on a loopback port. It ends when this is dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    /// A healthy network to the server at `target` (`host:port`).
    pub fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            network: Mutex::new(Network::Healthy),
            held: Mutex::default(),
            once_held: AtomicU64::new(0),
            unanswered: Mutex::default(),
            connections: AtomicU64::new(0),
            to_server: Line::new(),
            to_client: Line::new(),
            bytes_sent: AtomicU64::new(0),
            changed: Condvar::new(),
            closed: AtomicBool::new(false),
            open: Mutex::default(),
        });
        let for_listener = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                if for_listener.closed.load(Ordering::Acquire) {
                    return;
                }
                // The client notices a failure.
                let _ = client.and_then(|client| for_listener.connect(client, target));
            }
        });
        Self { address, shared }
    }

    /// The URL for clients.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Changes what the network does, also with open connections.
    pub fn set(&self, network: Network) {
        *self.shared.network.lock() = network;
        self.shared.changed.notify_all();
    }

    /// Holds what is sent to the server on the connections that are open now, even
    /// after the client has closed them. Later connections are not held, unless
    /// this is called again.
    pub fn hold(&self) {
        let now = self.shared.connections.load(Ordering::SeqCst);
        let mut held = self.shared.held.lock();
        held.below = now;
        self.shared.once_held.store(now, Ordering::SeqCst);
    }

    /// Does a held request contain all of these parts?
    pub fn holds(&self, parts: &[&str]) -> bool {
        let is_in = |request: &[u8], part: &str| {
            let mut places = request.windows(part.len());
            places.any(|place| place == part.as_bytes())
        };
        let held = self.shared.held.lock();
        let mut requests = held.requests.iter();
        requests.any(|request| parts.iter().all(|part| is_in(request, part)))
    }

    /// How many requests on connections that are or were held have no response
    /// yet, delivered or not.
    pub fn unanswered(&self) -> i64 {
        let once_held = self.shared.once_held.load(Ordering::SeqCst);
        let unanswered = self.shared.unanswered.lock();
        unanswered.range(..once_held).map(|(_, count)| count).sum()
    }

    /// How many connections were opened so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many bytes clients have sent so far, delivered or not.
    pub fn bytes_sent(&self) -> u64 {
        self.shared.bytes_sent.load(Ordering::SeqCst)
    }

    /// Delivers what was held, except the close of the connection: on that, the
    /// server would cancel its requests.
    pub fn deliver(&self) {
        let mut held = self.shared.held.lock();
        held.below = 0;
        held.requests.clear();
        for (mut to, bytes) in std::mem::take(&mut held.bytes).into_values() {
            // It fails if the server has ended, which a test notices.
            let _ = to.write_all(&bytes);
        }
    }

    /// Closes the clients' ends of all open connections. The server does not
    /// notice it on those that are held: what was held is still delivered.
    pub fn cut_clients(&self) {
        for connection in self.shared.open.lock().drain(..) {
            let _ = connection.client.shutdown(Shutdown::Both);
        }
    }

    /// Closes all open connections (FIN).
    pub fn cut(&self) {
        self.shared.end_all(false);
    }

    /// Resets all open connections (RST).
    pub fn reset(&self) {
        self.shared.end_all(true);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        self.set(Network::Healthy);
        self.deliver();
        self.cut();
        // Wakes the listener, so that it ends.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn connect(self: &Arc<Self>, client: TcpStream, target: SocketAddr) -> io::Result<()> {
        if *self.network.lock() == Network::Resetting {
            return SockRef::from(&client).set_linger(Some(Duration::ZERO));
        }
        // Locked before the server can see the connection, so that a test that has
        // seen it there can close it here.
        let mut open = self.open.lock();
        let server = TcpStream::connect(target)?;
        open.push(OpenConnection {
            client: client.try_clone()?,
            server: server.try_clone()?,
        });
        drop(open);
        let number = self.connections.fetch_add(1, Ordering::SeqCst);
        self.unanswered.lock().insert(number, 0);
        for (from, to, direction) in [
            (
                client.try_clone()?,
                server.try_clone()?,
                Direction::ToServer,
            ),
            (server, client, Direction::ToClient),
        ] {
            let shared = Arc::clone(self);
            thread::spawn(move || {
                let _ = shared.carry(&from, &to, direction, number);
                // Both directions end together, unless the server is not to notice
                // that the client is gone.
                if shared.was_held(number) {
                    return;
                }
                shared.unanswered.lock().remove(&number);
                if !is_to_be_reset(&from) {
                    let _ = from.shutdown(Shutdown::Both);
                    let _ = to.shutdown(Shutdown::Both);
                }
            });
        }
        Ok(())
    }

    fn carry(
        &self,
        mut from: &TcpStream,
        mut to: &TcpStream,
        direction: Direction,
        number: u64,
    ) -> io::Result<()> {
        let mut buffer = [0; 4096];
        let mut messages = Messages::default();
        loop {
            let length = from.read(&mut buffer)?;
            if length == 0 {
                return Ok(());
            }
            let mut piece = &buffer[..length];
            let whole = messages.take(piece);
            let count = i64::try_from(whole.len()).unwrap_or(0);
            match direction {
                Direction::ToServer => {
                    let bytes = u64::try_from(length).unwrap_or(0);
                    self.bytes_sent.fetch_add(bytes, Ordering::SeqCst);
                    self.note(number, count);
                    if self.was_held(number) {
                        piece = &piece[..length.saturating_sub(messages.close_frame())];
                    }
                    if self.hold_back(number, to, piece, whole)? {
                        continue;
                    }
                }
                Direction::ToClient => {
                    self.note(number, -count);
                    if self.was_held(number) {
                        // The client may be gone.
                        let _ = to.write_all(piece);
                        continue;
                    }
                }
            }
            match self.passable(direction) {
                Network::Delayed(time) => thread::sleep(time),
                Network::Throttled(bytes) => {
                    let time = Duration::from_secs_f64(length as f64 / f64::from(bytes));
                    match direction {
                        Direction::ToServer => self.to_server.carry(time),
                        Direction::ToClient => self.to_client.carry(time),
                    }
                }
                _ => {}
            }
            to.write_all(piece)?;
        }
    }

    /// Counts requests without a response; a negative number counts responses.
    fn note(&self, number: u64, requests: i64) {
        if let Some(count) = self.unanswered.lock().get_mut(&number) {
            *count += requests;
        }
    }

    fn was_held(&self, number: u64) -> bool {
        number < self.once_held.load(Ordering::SeqCst)
    }

    /// Keeps what a held connection sends to the server. False if it is not held.
    fn hold_back(
        &self,
        number: u64,
        to: &TcpStream,
        piece: &[u8],
        requests: Vec<Message>,
    ) -> io::Result<bool> {
        let mut held = self.held.lock();
        if number >= held.below {
            return Ok(false);
        }
        held.requests
            .extend(requests.into_iter().map(Message::payload));
        match held.bytes.entry(number) {
            Entry::Occupied(mut kept) => kept.get_mut().1.extend_from_slice(piece),
            Entry::Vacant(free) => {
                free.insert((to.try_clone()?, piece.to_vec()));
            }
        }
        Ok(true)
    }

    /// Waits until bytes may pass in this direction, and returns how.
    fn passable(&self, direction: Direction) -> Network {
        let mut network = self.network.lock();
        loop {
            let held = match *network {
                Network::BlackHole => true,
                Network::ResponsesHeld => direction == Direction::ToClient,
                Network::RequestsHeld => direction == Direction::ToServer,
                _ => false,
            };
            if !held {
                return *network;
            }
            self.changed.wait(&mut network);
        }
    }

    fn end_all(&self, by_reset: bool) {
        for OpenConnection { client, server } in self.open.lock().drain(..) {
            for stream in [client, server] {
                if by_reset {
                    // Sent when the last handle is closed. The end of the input makes
                    // the threads close theirs.
                    let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                    let _ = stream.shutdown(Shutdown::Read);
                } else {
                    let _ = stream.shutdown(Shutdown::Both);
                }
            }
        }
    }
}

fn is_to_be_reset(stream: &TcpStream) -> bool {
    SockRef::from(stream)
        .linger()
        .is_ok_and(|time| time.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait;
    use std::io::ErrorKind;

    /// A client and its connection on the server, through the proxy.
    fn pair(server: &TcpListener, proxy: &Proxy) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(proxy.address).unwrap();
        let (served, _) = server.accept().unwrap();
        (client, served)
    }

    #[test]
    fn held_requests_are_delivered_without_the_close_frame() {
        const HEAD: &[u8] = b"GET / HTTP/1.1\r\n\r\n";
        // "hi" with a mask of zeros.
        const REQUEST: &[u8] = &[0x82, 0x82, 0, 0, 0, 0, b'h', b'i'];
        const CLOSE_FRAME: &[u8] = &[0x88, 0x80, 0, 0, 0, 0];
        const ANSWER: &[u8] = &[0x82, 2, b'o', b'k'];
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let proxy = Proxy::start(server.local_addr().unwrap());
        let (mut client, mut served) = pair(&server, &proxy);
        let mut got = [0; HEAD.len()];
        client.write_all(HEAD).unwrap();
        served.write_all(HEAD).unwrap();
        served.read_exact(&mut got).unwrap();
        client.read_exact(&mut got).unwrap();

        proxy.hold();
        client
            .write_all(&[REQUEST, REQUEST, CLOSE_FRAME].concat())
            .unwrap();
        drop(client);
        wait::until("the requests", || proxy.unanswered(), |count| *count == 2);
        wait::until("their text", || proxy.holds(&["h", "hi"]), |holds| *holds);
        assert!(!proxy.holds(&["hi", "ho"]));

        proxy.deliver();
        let mut got = [0; 2 * REQUEST.len()];
        served.read_exact(&mut got).unwrap();
        assert_eq!(got, [REQUEST, REQUEST].concat()[..]);
        served.set_nonblocking(true).unwrap();
        let next = served.read(&mut got).unwrap_err();
        assert_eq!(next.kind(), ErrorKind::WouldBlock);
        served.write_all(&[ANSWER, ANSWER].concat()).unwrap();
        wait::until("the answers", || proxy.unanswered(), |count| *count == 0);
    }

    #[test]
    fn the_network_does_what_is_set() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let proxy = Proxy::start(server.local_addr().unwrap());
        let (mut client, mut served) = pair(&server, &proxy);
        let mut got = [0; 2];
        client.write_all(b"hi").unwrap();
        served.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"hi");
        assert_eq!(proxy.bytes_sent(), 2);

        // Held back, then passed on.
        proxy.set(Network::RequestsHeld);
        client.write_all(b"ho").unwrap();
        served.write_all(b"yo").unwrap();
        client.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"yo");
        served
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        assert_eq!(
            served.read_exact(&mut got).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        proxy.set(Network::Healthy);
        served.set_read_timeout(None).unwrap();
        served.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"ho");

        proxy.cut();
        assert_eq!(client.read(&mut got).unwrap(), 0);
        assert_eq!(served.read(&mut got).unwrap(), 0);

        let (mut client, _served) = pair(&server, &proxy);
        proxy.reset();
        assert_eq!(
            client.read(&mut got).unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );

        proxy.set(Network::Resetting);
        let mut client = TcpStream::connect(proxy.address).unwrap();
        assert_eq!(
            client.read(&mut got).unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
    }
}
