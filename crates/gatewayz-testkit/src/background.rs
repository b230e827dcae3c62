//! A thread with a runtime of its own, for what serves a test from behind.

use std::net::{Ipv4Addr, TcpListener};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

/// Ends its tasks and closes their sockets when dropped.
#[derive(Debug)]
pub(crate) struct Background {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    pub(crate) fn start(name: &str, serve: impl Future<Output = ()> + Send + 'static) -> Self {
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("build the runtime");
                runtime.block_on(async move {
                    tokio::select! {
                        () = serve => {}
                        // An error means that this was dropped, which is the same.
                        _ = stopped => {}
                    }
                });
                runtime.shutdown_background();
            })
            .expect("start the thread");
        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has failed its test already.
            let _ = thread.join();
        }
    }
}

/// Listens on a port of the loopback; 0 means a free one.
pub(crate) fn bind(port: u16) -> TcpListener {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("bind a port of the loopback");
    listener
        .set_nonblocking(true)
        .expect("make the listener non-blocking");
    listener
}
