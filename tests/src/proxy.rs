//! A network between a host and its secondary that can be spoilt.

use parking_lot::{Condvar, Mutex};
use socket2::SockRef;
use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// What a server sends of itself, as the first byte of a WebSocket frame says.
const PING: u8 = 9;

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

struct Sky {
    weather: Mutex<Weather>,
    /// Connections with a smaller number are held.
    held: AtomicU64,
    /// Connections with a smaller number are, or were, held.
    once_held: AtomicU64,
    /// How many of them have something to deliver.
    holding: AtomicU64,
    /// What the server has sent on those that were held.
    late_answers: AtomicU64,
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
            held: AtomicU64::new(0),
            once_held: AtomicU64::new(0),
            holding: AtomicU64::new(0),
            late_answers: AtomicU64::new(0),
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
    /// also when the client has given them up. Later ones pass.
    pub fn hold(&self) {
        let now = self.sky.connections.load(Ordering::SeqCst);
        self.sky.held.store(now, Ordering::SeqCst);
        self.sky.once_held.store(now, Ordering::SeqCst);
    }

    /// Has something been held?
    pub fn is_holding(&self) -> bool {
        self.sky.holding.load(Ordering::SeqCst) > 0
    }

    /// How often the server has answered on connections that were held once.
    pub fn late_answers(&self) -> u64 {
        self.sky.late_answers.load(Ordering::SeqCst)
    }

    /// How many bytes clients have sent so far, delivered or not.
    pub fn asked(&self) -> u64 {
        self.sky.asked.load(Ordering::SeqCst)
    }

    /// Delivers what was held.
    pub fn deliver(&self) {
        self.sky.held.store(0, Ordering::SeqCst);
        let _weather = self.sky.weather.lock();
        self.sky.changed.notify_all();
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
        for (from, to, way) in [
            (client.try_clone()?, server.try_clone()?, Way::ToServer),
            (server, client, Way::ToClient),
        ] {
            let sky = Arc::clone(self);
            thread::spawn(move || {
                let _ = sky.carry(&from, &to, way, number);
                // However it ends, it ends for both sides; unless the server
                // is not to know that the client has gone.
                if !is_to_be_reset(&from) && !sky.was_held(number) {
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
        let mut piece = [0; 4096];
        loop {
            let length = from.read(&mut piece)?;
            if length == 0 {
                return Ok(());
            }
            if way == Way::ToServer {
                let bytes = u64::try_from(length).unwrap_or(0);
                self.asked.fetch_add(bytes, Ordering::SeqCst);
            }
            match way {
                Way::ToServer => self.wait_while_held(number),
                Way::ToClient if self.was_held(number) => {
                    let is_answer = piece[0] & 0x0f != PING;
                    self.late_answers
                        .fetch_add(u64::from(is_answer), Ordering::SeqCst);
                    // Nobody may be there any more to be told.
                    let _ = to.write_all(&piece[..length]);
                    continue;
                }
                Way::ToClient => {}
            }
            match self.passable(way) {
                Weather::Delayed(time) => thread::sleep(time),
                Weather::Narrow(bytes) => {
                    let part = length as f64 / f64::from(bytes);
                    thread::sleep(Duration::from_secs_f64(part));
                }
                _ => {}
            }
            to.write_all(&piece[..length])?;
        }
    }

    fn was_held(&self, number: u64) -> bool {
        number < self.once_held.load(Ordering::SeqCst)
    }

    /// Waits until the connection is not held.
    fn wait_while_held(&self, number: u64) {
        let held = || number < self.held.load(Ordering::SeqCst);
        let mut weather = self.weather.lock();
        if !held() {
            return;
        }
        self.holding.fetch_add(1, Ordering::SeqCst);
        while held() {
            self.changed.wait(&mut weather);
        }
        self.holding.fetch_sub(1, Ordering::SeqCst);
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
    use std::io::ErrorKind;

    /// A client and what the server got of it, through the proxy.
    fn pair(server: &TcpListener, proxy: &Proxy) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(proxy.address).unwrap();
        let (served, _) = server.accept().unwrap();
        (client, served)
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
