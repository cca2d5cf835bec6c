//! Which connections wait and which are closed when the memory for connections that are not admitted runs out.

use super::*;

const FIRST_BYTE: Duration = Duration::from_secs(1);

fn unadmitted(bytes_max: usize, silence_max: Duration) -> Arc<Unadmitted> {
    Unadmitted::new(bytes_max, silence_max, FIRST_BYTE)
}

/// Requests room for a read that fills a connection's buffers. If there is no room, returns the connections that must close as an error.
fn fill(ticket: &Ticket) -> Result<(), Vec<u64>> {
    let mut closed = Vec::new();
    let bytes = CONNECTION_BYTES_MAX - BASE_BYTES;
    let room = ticket.poll_room(&Context::from_waker(Waker::noop()), bytes, |at| closed.push(at.connection));
    if room.is_pending() {
        return Err(closed);
    }
    assert!(closed.is_empty());
    ticket.hold(true, bytes, |_| panic!("there was room for it"));
    Ok(())
}

#[test]
fn above_the_limit_the_oldest_connections_are_closed() {
    let all = unadmitted(BYTES_MAX, Duration::from_secs(10));
    let fit = BYTES_MAX / CONNECTION_BYTES_MAX;
    let mut tickets: Vec<Ticket> = (0..fit).map(|_| all.enter(0)).collect();
    assert!(tickets.iter().all(|ticket| fill(ticket).is_ok()));
    tickets.push(all.enter(0));
    let held = all.held_bytes();
    assert_eq!(fill(&tickets[fit]), Err(vec![0]));
    assert!(tickets[0].is_closing() && !tickets[1].is_closing());
    // The closing connection counts until its memory is freed, and no other connection is closed in its place.
    assert_eq!((fill(&tickets[fit]), all.held_bytes()), (Err(vec![]), held));
    assert_eq!(fill(&tickets[0]), Err(vec![]), "a closing connection no longer reads");
    tickets.remove(0);
    assert_eq!(fill(&tickets[fit - 1]), Ok(()));
    assert!(all.held_bytes() <= BYTES_MAX, "{}", all.held_bytes());
    // Dropping the tickets returns all memory.
    tickets.clear();
    assert_eq!((all.held_bytes(), all.closed(), all.connections().closing_bytes), (0, 1, 0));
}

#[test]
fn connections_that_read_concurrently_stay_below_the_limit() {
    let bytes_max = BYTES_MAX / 16;
    let all = unadmitted(bytes_max, Duration::from_secs(10));
    let mut tickets: Vec<Ticket> = std::iter::from_fn(|| (!all.is_full()).then(|| all.enter(0))).collect();
    let mut unread: Vec<u64> = tickets.iter().map(|ticket| ticket.address.connection).collect();
    while !unread.is_empty() {
        // A shard runs all its connections before it closes one.
        for ticket in &tickets {
            if unread.contains(&ticket.address.connection) && fill(ticket).is_ok() {
                unread.retain(|&connection| connection != ticket.address.connection);
            }
            assert!(all.held_bytes() <= bytes_max, "{}", all.held_bytes());
        }
        let before = tickets.len();
        tickets.retain(|ticket| !ticket.is_closing());
        unread.retain(|&connection| tickets.iter().any(|ticket| ticket.address.connection == connection));
        assert!(unread.is_empty() || tickets.len() < before, "deadlock");
    }
    assert!(tickets.len() > bytes_max / CONNECTION_BYTES_MAX / 2, "{} are left", tickets.len());
}

#[test]
fn a_connection_that_waits_for_room_is_woken() {
    struct Woken(AtomicBool);
    impl std::task::Wake for Woken {
        fn wake(self: Arc<Woken>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let all = unadmitted(CONNECTION_BYTES_MAX, SWEEP);
    let (first, second) = (all.enter(0), all.enter(0));
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&woken));
    let cx = Context::from_waker(&waker);
    let bytes = CONNECTION_BYTES_MAX - BASE_BYTES;
    let mut closed = Vec::new();
    assert!(second.poll_room(&cx, bytes, |at| closed.push(at)).is_pending());
    assert_eq!(closed, [first.address()]);
    second.hold(false, 0, |_| ());
    assert!(!woken.0.load(Ordering::Relaxed), "no memory was freed, so waking would loop forever");
    all.sweep(0);
    all.sweep(0);
    assert_eq!(all.close_idle(), None, "a connection that waits for room is not silent");
    drop(first);
    assert!(woken.0.load(Ordering::Relaxed));
    assert!(second.poll_room(&cx, bytes, |_| panic!("there is room")).is_ready());
}

#[test]
fn a_connection_without_a_byte_is_closed_after_a_second() {
    let all = unadmitted(BYTES_MAX, Duration::from_secs(10));
    let (sent, unsent) = (all.enter(0), all.enter(0));
    sent.hold(true, 0, |_| ());
    let sweeps = |time: Duration| time.as_millis() / SWEEP.as_millis();
    for _ in 0..sweeps(FIRST_BYTE) {
        all.sweep(0);
    }
    assert_eq!(
        all.close_idle(),
        None,
        "not yet, because the first sweep may come right after the connection is accepted"
    );
    all.sweep(0);
    assert_eq!(all.close_idle(), Some(unsent.address()));
    for _ in sweeps(FIRST_BYTE) + 1..sweeps(Duration::from_secs(10)) {
        all.sweep(0);
        assert_eq!(all.close_idle(), None);
    }
    all.sweep(0);
    assert_eq!(all.close_idle(), Some(sent.address()));
}

#[test]
fn silent_connections_are_closed_before_devices_wait() {
    let all = unadmitted(BYTES_MAX, SWEEP * 2);
    let (silent, talking, other_shard) = (all.enter(0), all.enter(0), all.enter(1));
    all.sweep(0);
    assert_eq!(all.close_idle(), None);
    for _ in 0..2 {
        talking.hold(true, 0, |_| ());
        all.sweep(0);
    }
    assert_eq!(all.close_idle(), Some(silent.address()));
    assert_eq!(all.close_idle(), None);
    assert!(!other_shard.is_closing(), "its shard did not run, so its silence was not counted");
    // A connection that keeps sending may stay three times as long.
    for _ in 0..3 {
        talking.hold(true, 0, |_| ());
        all.sweep(0);
    }
    assert_eq!(all.close_idle(), Some(talking.address()));
}

#[test]
fn accepting_pauses_below_the_limit() {
    let all = unadmitted(BYTES_MAX, SWEEP);
    let mut tickets = Vec::new();
    while !all.is_full() {
        tickets.push(all.enter(0));
    }
    assert!(all.held_bytes() > BYTES_MAX / 2 && all.held_bytes() < BYTES_MAX);
    assert!(tickets.len() >= 1_000, "{} handshakes at a time", tickets.len());
    tickets.pop();
    assert!(!all.is_full());
}

#[tokio::test]
async fn the_end_of_a_connection_is_notified() {
    let all = unadmitted(BYTES_MAX, SWEEP);
    let ticket = all.enter(0);
    drop(ticket);
    all.freed().await;
}
