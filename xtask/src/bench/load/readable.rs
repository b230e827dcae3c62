//! Which connections have something to read.

use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::buffer::spare_capacity;
use rustix::event::epoll;

use super::timespec;

/// Waits for connections at a cost that does not grow with the silent ones. In an open loop most are silent, and the
/// load must leave time to the receivers on its core.
pub(super) struct Readable {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Readable {
    /// Watches these connections, known by their places.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn among(streams: &[TcpStream]) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("watch the connections")?;
        for (place, stream) in streams.iter().enumerate() {
            let place = epoll::EventData::new_u64(place as u64);
            epoll::add(&epoll, stream, place, epoll::EventFlags::IN).context("watch a connection")?;
        }
        Ok(Self {
            epoll,
            events: Vec::with_capacity(streams.len()),
        })
    }

    /// The places of those that can be read, as soon as there is one; none after that time.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn wait(&mut self, time: Duration) -> Result<impl ExactSizeIterator<Item = usize>> {
        self.events.clear();
        let room = spare_capacity(&mut self.events);
        epoll::wait(&self.epoll, room, Some(&timespec(time))).context("wait for answers")?;
        Ok(self.events.iter().map(|event| event.data.u64() as usize))
    }
}
