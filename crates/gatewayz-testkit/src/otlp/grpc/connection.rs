//! A connection that the answer to a request can end.

use std::io::{Error, ErrorKind, Result};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use socket2::SockRef;
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
    end: Option<End>,
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
            end: None,
            ender: Ender(Arc::new(Mutex::new(Some(ender)))),
            _open: open,
        }
    }

    /// Whether the connection is closed for the server's side; an error when it is reset.
    fn is_closed(&mut self, context: &mut Context<'_>) -> Result<bool> {
        if self.end.is_none()
            && let Poll::Ready(Ok(end)) = Pin::new(&mut self.ending).poll(context)
        {
            self.end = Some(end);
            match end {
                End::Close => SockRef::from(&self.stream).shutdown(Shutdown::Write)?,
                End::Reset => self.stream.set_zero_linger()?,
            }
        }
        match self.end {
            None => Ok(false),
            Some(End::Close) => Ok(true),
            Some(End::Reset) => Err(Error::from(ErrorKind::ConnectionAborted)),
        }
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
        if !self.is_closed(context)? {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        // Closing a socket with something unread would be a reset, so the client's end is waited for.
        let mut unread = [0; 1024];
        loop {
            let mut unread = ReadBuf::new(&mut unread);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut unread))?;
            if unread.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        if self.is_closed(context)? {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        if self.is_closed(context)? {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
