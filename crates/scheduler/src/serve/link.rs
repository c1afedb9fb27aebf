//! A conversation on the loop. Interest in writability only while frames wait: otherwise every frame the other side
//! reads would wake us.

use ipc::{Channel, Frame};
use mio::{Interest, Registry, Token};
use std::io;

#[derive(Debug)]
pub struct Link<Out, In> {
    pub channel: Channel<Out, In>,
    token: Token,
    writable: bool,
}

impl<Out, In> Link<Out, In>
where
    Channel<Out, In>: mio::event::Source,
{
    pub fn new(mut channel: Channel<Out, In>, token: Token, registry: &Registry) -> io::Result<Self> {
        registry.register(&mut channel, token, Interest::READABLE)?;
        Ok(Self { channel, token, writable: false })
    }
}

impl<Out, In> Link<Out, In>
where
    Out: Frame + serde::Serialize,
    In: Frame + serde::de::DeserializeOwned,
{
    /// Sends what waits and keeps the interest right.
    pub fn settle(&mut self, registry: &Registry) -> io::Result<()> {
        if self.channel.pending() > 0 {
            self.channel.flush()?;
        }
        let writable = self.channel.pending() > 0;
        if writable != self.writable {
            let interest = if writable { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
            registry.reregister(&mut self.channel, self.token, interest)?;
            self.writable = writable;
        }
        Ok(())
    }
}
