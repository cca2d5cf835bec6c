//! Connections whose device has vanished: nothing is sent or read any more, and the socket stays open until the peer closes it.
//! Used by `driver`. Independent of machines and timers.

use super::transport::Transport;
use std::io;
use tokio::io::Interest;

/// Keeps a connection open and silent, on this thread's runtime, until the peer closes it or the runtime ends.
pub(super) fn hold(transport: Transport) {
    tokio::task::spawn_local(closed_by_peer(transport));
}

async fn closed_by_peer(transport: Transport) {
    let Some(socket) = transport.socket() else { return std::future::pending().await };
    while let Ok(ready) = socket.ready(Interest::READABLE).await {
        if ready.is_read_closed() {
            break;
        }
        // Data stays unread. Only clear the readiness, so that the next wait ends with the next event.
        let _ = socket.try_io(Interest::READABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
    }
}
