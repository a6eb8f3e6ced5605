//! A network between a host and its secondary that can be spoilt.

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
    time::Duration,
};

/// What happens to bytes on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// They pass.
    Fair,
    /// Each piece passes after this time.
    Delayed(Duration),
    /// So many pass in a second, each way.
    Narrow(u32),
    /// They are held back until the weather is better, both ways; connections
    /// are accepted all the same.
    BlackHole,
    /// Requests pass, answers are held back.
    AnswersLost,
    /// Answers pass, requests are held back.
    RequestsLost,
    /// Connections are accepted and reset at once.
    Refused,
}

/// One way through the proxy.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    ToServer,
    ToClient,
}

/// What is held back on its way to the server.
#[derive(Default)]
struct Held {
    /// That of connections with a smaller number is.
    below: u64,
    /// The bytes of each of them, and where they are to go.
    bytes: BTreeMap<u64, (TcpStream, Vec<u8>)>,
    /// What the requests among them say.
    requests: Vec<Vec<u8>>,
}

struct Sky {
    weather: Mutex<Weather>,
    held: Mutex<Held>,
    /// Connections with a smaller number are, or were, held.
    once_held: AtomicU64,
    /// How many requests of each connection have no answer yet. One that ends
    /// without being held gets none.
    unanswered: Mutex<BTreeMap<u64, i64>>,
    connections: AtomicU64,
    /// Bytes that clients have sent.
    asked: AtomicU64,
    changed: Condvar,
    over: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

/// A TCP proxy on a loopback port. It ends when this is dropped.
pub struct Proxy {
    address: SocketAddr,
    sky: Arc<Sky>,
}

impl Proxy {
    /// A proxy in fair weather, to the server at `target` (`host:port`).
    pub fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let sky = Arc::new(Sky {
            weather: Mutex::new(Weather::Fair),
            held: Mutex::default(),
            once_held: AtomicU64::new(0),
            unanswered: Mutex::default(),
            connections: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            changed: Condvar::new(),
            over: AtomicBool::new(false),
            open: Mutex::default(),
        });
        let above = Arc::clone(&sky);
        thread::spawn(move || {
            for client in listener.incoming() {
                if above.over.load(Ordering::Acquire) {
                    return;
                }
                // One that fails is the client's to notice.
                let _ = client.and_then(|client| above.connect(client, target));
            }
        });
        Self { address, sky }
    }

    /// Where clients reach it.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Changes the weather, also for open connections.
    pub fn set(&self, weather: Weather) {
        *self.sky.weather.lock() = weather;
        self.sky.changed.notify_all();
    }

    /// Holds what is sent to the server on the connections that are open now,
    /// also when the client has given them up. Later ones pass, unless it is
    /// called again.
    pub fn hold(&self) {
        let now = self.sky.connections.load(Ordering::SeqCst);
        let mut held = self.sky.held.lock();
        held.below = now;
        self.sky.once_held.store(now, Ordering::SeqCst);
    }

    /// Is one of the requests that are held one that contains all of this?
    pub fn holds(&self, parts: &[&str]) -> bool {
        let is_in = |request: &[u8], part: &str| {
            let mut places = request.windows(part.len());
            places.any(|place| place == part.as_bytes())
        };
        let held = self.sky.held.lock();
        let mut requests = held.requests.iter();
        requests.any(|request| parts.iter().all(|part| is_in(request, part)))
    }

    /// How many requests on connections that were held once the server has not
    /// answered yet, delivered or not.
    pub fn unanswered(&self) -> i64 {
        let once_held = self.sky.once_held.load(Ordering::SeqCst);
        let unanswered = self.sky.unanswered.lock();
        unanswered.range(..once_held).map(|(_, count)| count).sum()
    }

    /// How many bytes clients have sent so far, delivered or not.
    pub fn asked(&self) -> u64 {
        self.sky.asked.load(Ordering::SeqCst)
    }

    /// Delivers what was held, but not that the client closes the connection: at
    /// that the server cancels its requests.
    pub fn deliver(&self) {
        let mut held = self.sky.held.lock();
        held.below = 0;
        held.requests.clear();
        for (mut to, bytes) in std::mem::take(&mut held.bytes).into_values() {
            // One that fails is the server's end, which a test notices.
            let _ = to.write_all(&bytes);
        }
    }

    /// Ends all open connections in order (FIN).
    pub fn cut(&self) {
        self.sky.end_all(false);
    }

    /// Ends all open connections at once (RST).
    pub fn reset(&self) {
        self.sky.end_all(true);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.sky.over.store(true, Ordering::Release);
        self.set(Weather::Fair);
        self.deliver();
        self.cut();
        // Wakes the listener, to see that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

impl Sky {
    fn connect(self: &Arc<Self>, client: TcpStream, target: SocketAddr) -> io::Result<()> {
        if *self.weather.lock() == Weather::Refused {
            return SockRef::from(&client).set_linger(Some(Duration::ZERO));
        }
        // Held from before the server can see the connection, so that whoever
        // has seen it there can end it here.
        let mut open = self.open.lock();
        let server = TcpStream::connect(target)?;
        open.extend([client.try_clone()?, server.try_clone()?]);
        drop(open);
        let number = self.connections.fetch_add(1, Ordering::SeqCst);
        self.unanswered.lock().insert(number, 0);
        for (from, to, way) in [
            (client.try_clone()?, server.try_clone()?, Way::ToServer),
            (server, client, Way::ToClient),
        ] {
            let sky = Arc::clone(self);
            thread::spawn(move || {
                let _ = sky.carry(&from, &to, way, number);
                // However it ends, it ends for both sides; unless the server
                // is not to know that the client has gone.
                if sky.was_held(number) {
                    return;
                }
                sky.unanswered.lock().remove(&number);
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
        way: Way,
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
            match way {
                Way::ToServer => {
                    let bytes = u64::try_from(length).unwrap_or(0);
                    self.asked.fetch_add(bytes, Ordering::SeqCst);
                    self.note(number, count);
                    if self.was_held(number) {
                        piece = &piece[..length.saturating_sub(messages.goodbye())];
                    }
                    if self.hold_back(number, to, piece, whole)? {
                        continue;
                    }
                }
                Way::ToClient => {
                    self.note(number, -count);
                    if self.was_held(number) {
                        // Nobody may be there any more to be told.
                        let _ = to.write_all(piece);
                        continue;
                    }
                }
            }
            match self.passable(way) {
                Weather::Delayed(time) => thread::sleep(time),
                Weather::Narrow(bytes) => {
                    let part = length as f64 / f64::from(bytes);
                    thread::sleep(Duration::from_secs_f64(part));
                }
                _ => {}
            }
            to.write_all(piece)?;
        }
    }

    /// Notes requests that have no answer yet; less than none are answers.
    fn note(&self, number: u64, requests: i64) {
        if let Some(count) = self.unanswered.lock().get_mut(&number) {
            *count += requests;
        }
    }

    fn was_held(&self, number: u64) -> bool {
        number < self.once_held.load(Ordering::SeqCst)
    }

    /// Keeps what a held connection sends to the server; false if it is not held.
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
            .extend(requests.into_iter().map(Message::said));
        match held.bytes.entry(number) {
            Entry::Occupied(mut kept) => kept.get_mut().1.extend_from_slice(piece),
            Entry::Vacant(free) => {
                free.insert((to.try_clone()?, piece.to_vec()));
            }
        }
        Ok(true)
    }

    /// Waits until bytes may go this way, and says how.
    fn passable(&self, way: Way) -> Weather {
        let mut weather = self.weather.lock();
        loop {
            let held = match *weather {
                Weather::BlackHole => true,
                Weather::AnswersLost => way == Way::ToClient,
                Weather::RequestsLost => way == Way::ToServer,
                _ => false,
            };
            if !held {
                return *weather;
            }
            self.changed.wait(&mut weather);
        }
    }

    fn end_all(&self, by_reset: bool) {
        for stream in self.open.lock().drain(..) {
            if by_reset {
                // Sent when the last handle is closed. The end of the input
                // has the threads close theirs.
                let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                let _ = stream.shutdown(Shutdown::Read);
            } else {
                let _ = stream.shutdown(Shutdown::Both);
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

    /// A client and what the server got of it, through the proxy.
    fn pair(server: &TcpListener, proxy: &Proxy) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(proxy.address).unwrap();
        let (served, _) = server.accept().unwrap();
        (client, served)
    }

    #[test]
    fn what_is_held_arrives_late_and_without_the_goodbye() {
        const HEAD: &[u8] = b"GET / HTTP/1.1\r\n\r\n";
        // "hi" with a mask of zeros, and the end.
        const REQUEST: &[u8] = &[0x82, 0x82, 0, 0, 0, 0, b'h', b'i'];
        const GOODBYE: &[u8] = &[0x88, 0x80, 0, 0, 0, 0];
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
            .write_all(&[REQUEST, REQUEST, GOODBYE].concat())
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
    fn the_weather_is_as_it_is_set() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let proxy = Proxy::start(server.local_addr().unwrap());
        let (mut client, mut served) = pair(&server, &proxy);
        let mut got = [0; 2];
        client.write_all(b"hi").unwrap();
        served.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"hi");
        assert_eq!(proxy.asked(), 2);

        // Held back, then passed on.
        proxy.set(Weather::RequestsLost);
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
        proxy.set(Weather::Fair);
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

        proxy.set(Weather::Refused);
        let mut client = TcpStream::connect(proxy.address).unwrap();
        assert_eq!(
            client.read(&mut got).unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
    }
}
