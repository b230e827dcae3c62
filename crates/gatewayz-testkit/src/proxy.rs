//! A TCP proxy between a client and a server that can start to fail, and stop failing, while it runs.

mod link;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;

use crate::background::Background;
use crate::serve::Traffic;

/// What the proxy does to its connections, those that are open included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Forwards everything at once.
    Pass,
    /// Forwards both ways this much later.
    Latency(Duration),
    /// Forwards what the client sends at once, and the answers this much later.
    AnswerLatency(Duration),
    /// Accepts connections and forwards nothing, not even an end; what was sent meanwhile goes on when this is
    /// lifted, as with a process that was stopped and continues.
    Hang,
    /// Nobody listens on the port, which stays the proxy's; open connections are closed.
    Refuse,
    /// Resets open connections, and new ones as soon as they are there.
    Reset,
    /// Forwards this many bytes of each connection to the target, counted from now on; the next one resets it
    /// on both sides.
    LimitRequestBytes(u64),
    /// Forwards this many bytes of each connection to the client, counted from now on; the next one resets it
    /// on both sides. With 0 the target has the whole request and the client no answer.
    LimitAnswerBytes(u64),
    /// Forwards this many bytes a second of each connection, each way. 0 is the same as [`Hang`](Self::Hang).
    Bandwidth(u64),
}

/// Listens on a free port of the loopback; dropping it closes the port and every connection.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    commands: UnboundedSender<Command>,
    traffic: Arc<Traffic>,
    _thread: Background,
    /// Bound and never listening, so that nobody else gets the port while connections are refused.
    _port: Socket,
}

/// A fault, and whom to tell that it is in force.
type Command = (Fault, mpsc::Sender<()>);

/// How a connection ends on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Close,
    Reset,
}

impl Proxy {
    /// Starts a proxy that passes everything to `target`, which need not be there yet: a connection is made when
    /// a client makes one.
    ///
    /// # Panics
    /// When the loopback has no free port or no thread can be started.
    pub fn start(target: SocketAddr) -> Self {
        let port = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let address = port.local_addr().expect("read the bound address").as_socket();
        let address = address.expect("an address of the internet");
        let listener = listen(address);
        let traffic = Arc::new(Traffic::default());
        let (commands, received) = unbounded_channel();
        let accepting = accept(address, listener, target, received, Arc::clone(&traffic));
        Self {
            address,
            commands,
            traffic,
            _thread: Background::start("proxy", accepting),
            _port: port,
        }
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the behaviour; when this returns, it holds for new connections, and open ones follow.
    ///
    /// # Panics
    /// When the proxy's thread has panicked.
    pub fn set(&self, fault: Fault) {
        let (done, in_force) = mpsc::channel();
        self.commands.send((fault, done)).expect("tell the proxy");
        in_force.recv().expect("hear from the proxy");
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> usize {
        self.traffic.counts().connections
    }

    /// How many connections are open.
    pub fn open_connections(&self) -> usize {
        let counts = self.traffic.counts();
        counts.connections - counts.closed_connections
    }

    /// Waits until `count` connections were accepted, and returns whether they were within `timeout`.
    pub fn wait_for_connections(&self, count: usize, timeout: Duration) -> bool {
        self.traffic
            .wait_until(timeout, |counts| counts.connections >= count)
    }

    /// Waits until `count` connections have ended, and returns whether they did within `timeout`.
    pub fn wait_for_closed(&self, count: usize, timeout: Duration) -> bool {
        self.traffic
            .wait_until(timeout, |counts| counts.closed_connections >= count)
    }
}

async fn accept(
    address: SocketAddr,
    listener: std::net::TcpListener,
    target: SocketAddr,
    mut commands: UnboundedReceiver<Command>,
    traffic: Arc<Traffic>,
) {
    let mut listener = Some(listener_of_runtime(listener));
    let (sender, fault) = watch::channel(Fault::Pass);
    loop {
        tokio::select! {
            command = commands.recv() => {
                let Some((changed, done)) = command else {
                    return;
                };
                if changed == Fault::Refuse {
                    listener = None;
                } else if listener.is_none() {
                    listener = Some(listener_of_runtime(listen(address)));
                }
                sender.send_replace(changed);
                // Nobody waits when the test has ended.
                let _ = done.send(());
            }
            client = next_client(listener.as_ref()) => {
                let open = traffic.open_connection();
                let fault = fault.clone();
                tokio::spawn(async move {
                    carry(client, target, fault).await;
                    drop(open);
                });
            }
        }
    }
}

async fn next_client(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    loop {
        if let Ok((client, _)) = listener.accept().await {
            return client;
        }
    }
}

async fn carry(mut client: TcpStream, target: SocketAddr, fault: watch::Receiver<Fault>) {
    let end = tokio::select! {
        biased;
        end = ended(fault.clone()) => end,
        connected = connect(target, fault.clone()) => match connected {
            // Nobody is there: the client sees its connection close.
            Err(_) => End::Close,
            Ok(mut server) => {
                let end = tokio::select! {
                    biased;
                    end = ended(fault.clone()) => end,
                    end = link::forward(&mut client, &mut server, &fault) => end,
                };
                finish(&server, end);
                end
            }
        },
    };
    finish(&client, end);
}

async fn connect(target: SocketAddr, mut fault: watch::Receiver<Fault>) -> std::io::Result<TcpStream> {
    // An error means that the proxy is being dropped, and this with it.
    let _ = fault.wait_for(|fault| *fault != Fault::Hang).await;
    TcpStream::connect(target).await
}

/// Returns when open connections have to end.
async fn ended(mut fault: watch::Receiver<Fault>) -> End {
    let ends = |fault: &Fault| matches!(fault, Fault::Refuse | Fault::Reset);
    match fault.wait_for(ends).await.map(|fault| *fault) {
        Ok(Fault::Reset) => End::Reset,
        _ => End::Close,
    }
}

fn finish(stream: &TcpStream, end: End) {
    if end == End::Reset {
        // A socket that refuses is closed already.
        let _ = stream.set_zero_linger();
    }
}

fn listener_of_runtime(listener: std::net::TcpListener) -> TcpListener {
    TcpListener::from_std(listener).expect("hand the listener to the runtime")
}

fn listen(address: SocketAddr) -> std::net::TcpListener {
    let socket = bound(address);
    socket.listen(1024).expect("listen on the bound port");
    socket
        .set_nonblocking(true)
        .expect("make the listener non-blocking");
    socket.into()
}

fn bound(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("make a socket");
    socket.set_reuse_address(true).expect("share the port");
    socket.bind(&address.into()).expect("bind a port of the loopback");
    socket
}
