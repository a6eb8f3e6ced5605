//! [`Served`]: the routes of a host in this process, over HTTP.

use host_harness::{
    host::Host,
    http::{self, Access},
};
use std::net::SocketAddr;
use tokio::{runtime::Runtime, sync::oneshot, task::JoinHandle};

/// The routes of a host, served until it is stopped.
pub struct Served {
    /// Where.
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Served {
    /// On loopback; `bind` is `127.0.0.1:0` for any port.
    pub fn start(runtime: &Runtime, host: &Host, bind: &str) -> Self {
        Self::start_for(runtime, host, bind, Access::on_loopback())
    }

    /// For those who have access.
    pub fn start_for(runtime: &Runtime, host: &Host, bind: &str, access: Access) -> Self {
        let (ready, address) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let router = http::router(host, access);
        let bind = bind.parse().unwrap();
        let task = runtime.spawn(http::serve(
            router,
            bind,
            move |address| ready.send(address).unwrap(),
            async move {
                let _ = stopped.await;
            },
        ));
        Self {
            address: runtime.block_on(address).unwrap(),
            stop,
            task,
        }
    }

    /// Ends it, as Ctrl-C does.
    pub fn stop(self, runtime: &Runtime) {
        self.stop.send(()).unwrap();
        runtime.block_on(self.task).unwrap().unwrap();
    }
}
