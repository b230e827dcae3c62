//! A connection that the answer to a request can end.

use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tonic::transport::server::Connected;

use crate::serve::OpenConnection;

/// How a connection ends before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Close,
    Reset,
}

#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    ending: oneshot::Receiver<End>,
    has_ended: bool,
    ender: Ender,
    _open: OpenConnection,
}

/// Ends the connection that a request came over.
#[derive(Debug, Clone)]
pub(super) struct Ender(Arc<Mutex<Option<oneshot::Sender<End>>>>);

impl Connection {
    pub(super) fn new(stream: TcpStream, open: OpenConnection) -> Self {
        let (ender, ending) = oneshot::channel();
        Self {
            stream,
            ending,
            has_ended: false,
            ender: Ender(Arc::new(Mutex::new(Some(ender)))),
            _open: open,
        }
    }

    /// An error once the connection is to end, so that nothing more goes over it.
    fn check(&mut self, context: &mut Context<'_>) -> Result<()> {
        if !self.has_ended
            && let Poll::Ready(Ok(end)) = Pin::new(&mut self.ending).poll(context)
        {
            self.has_ended = true;
            if end == End::Reset {
                self.stream.set_zero_linger()?;
            }
        }
        if self.has_ended {
            return Err(Error::from(ErrorKind::ConnectionAborted));
        }
        Ok(())
    }
}

impl Ender {
    pub(super) fn end(&self, end: End) {
        if let Some(ender) = self.0.lock().expect("take the lock").take() {
            // A connection that is gone has ended.
            let _ = ender.send(end);
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Ender;

    fn connect_info(&self) -> Ender {
        self.ender.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
