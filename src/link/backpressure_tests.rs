//! Back-pressure: peers that send more than their machine wants to hear yet, and what the driver holds of it.

use bytes::{Buf, BytesMut};
use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::testing::piped_link;
use super::{End, Link};
use crate::sansio::{Close, Closed, Machine, OUTPUT_BYTES_MAX};

/// What the link may hold of what was not wanted yet: one read.
const HELD_BYTES_MAX: usize = 16 * 1024;

const FRAME: [u8; 4] = [0, 0, 0, 4];

/// Frames are as long as their first four bytes say. It owes a byte for each, and hears no more while it owes many.
#[derive(Debug, Default)]
struct Debtor {
    heard: usize,
    owed: usize,
    /// How often it was given input, and how many bytes that was in all.
    calls: usize,
    offered: usize,
    closed: Vec<Closed>,
}

const OWED_MAX: usize = 100;

impl Machine for Debtor {
    type Error = ();

    fn handle_input(&mut self, _now: Instant, input: &mut BytesMut) -> Result<(), ()> {
        assert!(self.wants_input(), "it was not asked");
        self.calls += 1;
        self.offered += input.len();
        while self.wants_input()
            && let Some(&length) = input.first_chunk()
            && let length = u32::from_be_bytes(length) as usize
            && length <= input.len()
        {
            input.advance(length);
            self.heard += 1;
            self.owed += 1;
        }
        Ok(())
    }

    fn handle_timeout(&mut self, _now: Instant) -> Result<(), ()> {
        Ok(())
    }

    fn handle_flushed(&mut self, _now: Instant) {}

    fn handle_closed(&mut self, _now: Instant, why: Closed) {
        self.closed.push(why);
    }

    fn poll_output(&mut self, _now: Instant, out: &mut BytesMut) {
        let owed = std::mem::take(&mut self.owed);
        out.resize(out.len() + owed, b'a');
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn wants_input(&self) -> bool {
        self.owed < OWED_MAX
    }

    fn poll_close(&self) -> Option<Close> {
        None
    }
}

/// Drives to the end; `after` sees the link after each turn.
async fn run(link: &mut Link, debtor: &mut Debtor, mut after: impl FnMut(&Link, &Debtor)) -> End<()> {
    poll_fn(|cx| {
        let end = link.poll(cx, debtor);
        after(link, debtor);
        end
    })
    .await
}

/// Drives until nothing more happens by itself.
async fn settle(link: &mut Link, debtor: &mut Debtor) -> Option<End<()>> {
    tokio::select! {
        biased;
        end = run(link, debtor, |_, _| {}) => Some(end),
        () = tokio::time::sleep(Duration::from_millis(1)) => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_floods_and_reads_costs_one_read_of_memory_and_work_in_proportion() {
    const FRAMES: usize = 200_000;
    let (mut link, mut peer) = piped_link(1 << 20);
    let mut debtor = Debtor::default();
    let sending = async move {
        peer.write_all(&FRAME.repeat(FRAMES)).await.expect("the link reads");
        let mut all = vec![0; FRAMES];
        peer.read_exact(&mut all).await.expect("each is answered");
    };
    let mut held = 0;
    let running = run(&mut link, &mut debtor, |link, _| held = held.max(link.owned_bytes()));
    let (end, ()) = tokio::join!(running, sending);
    assert_eq!((end, debtor.heard), (End::Closed(Closed::Eof), FRAMES));
    assert!((1..=HELD_BYTES_MAX).contains(&held), "{held} bytes held");
    // A read is offered again for each 100 frames of it, and each time is shorter: no byte is offered more than 41 times.
    let most = FRAMES * FRAME.len() * (HELD_BYTES_MAX / FRAME.len() / OWED_MAX + 1);
    assert!(debtor.offered <= most, "{} bytes offered", debtor.offered);
    assert!(debtor.calls <= FRAMES / OWED_MAX * 3, "{} calls", debtor.calls);
}

#[tokio::test(start_paused = true)]
async fn all_that_came_before_the_end_is_heard() {
    const FRAMES: usize = 10_000;
    // It reads nothing and goes at once, so that every write fails, the first one already.
    let (mut link, mut peer) = piped_link(1 << 20);
    peer.write_all(&FRAME.repeat(FRAMES)).await.expect("room");
    peer.write_all(&FRAME[..3]).await.expect("room");
    drop(peer);
    let mut debtor = Debtor::default();
    assert_eq!(run(&mut link, &mut debtor, |_, _| {}).await, End::Closed(Closed::Eof));
    assert_eq!((debtor.heard, debtor.closed), (FRAMES, vec![Closed::Eof]));

    // It closes its side, and reads.
    let (mut link, mut peer) = piped_link(1 << 20);
    peer.write_all(&FRAME.repeat(FRAMES)).await.expect("room");
    peer.shutdown().await.expect("it is open");
    let mut debtor = Debtor::default();
    assert_eq!(run(&mut link, &mut debtor, |_, _| {}).await, End::Closed(Closed::Eof));
    assert_eq!(debtor.heard, FRAMES);
    let mut answers = Vec::new();
    drop(link);
    peer.read_to_end(&mut answers).await.expect("an end");
    assert_eq!(answers.len(), FRAMES);
}

#[tokio::test(start_paused = true)]
async fn what_came_before_the_end_is_heard_also_behind_answers_that_nobody_takes() {
    const FRAMES: usize = 4_000;
    let (mut link, mut peer) = piped_link(FRAMES * FRAME.len());
    let mut debtor = Debtor::default();
    peer.write_all(&FRAME.repeat(FRAMES)).await.expect("room");
    // What the peer does not read fills the pipe and the link: then nothing more is heard.
    debtor.owed = FRAMES * FRAME.len() + OUTPUT_BYTES_MAX;
    assert_eq!(settle(&mut link, &mut debtor).await, None);
    debtor.owed = OWED_MAX;
    assert_eq!(settle(&mut link, &mut debtor).await, None);
    assert!(debtor.heard < FRAMES, "{}", debtor.heard);
    drop(peer);
    assert_eq!(run(&mut link, &mut debtor, |_, _| {}).await, End::Closed(Closed::Eof));
    assert_eq!(debtor.heard, FRAMES);
}

#[tokio::test(start_paused = true)]
async fn a_frame_of_many_reads_comes_through_behind_back_pressure() {
    const LENGTH: usize = 1 << 20;
    let (mut link, mut peer) = piped_link(1 << 16);
    let mut debtor = Debtor::default();
    let large =
        [&u32::try_from(LENGTH).expect("it fits").to_be_bytes()[..], &vec![b'x'; LENGTH - 4]].concat();
    let talk = async {
        for _ in 0..2 {
            peer.write_all(&FRAME.repeat(OWED_MAX + 1)).await.expect("the link reads");
            peer.write_all(&large).await.expect("the link reads");
        }
        let mut all = vec![0; 2 * (OWED_MAX + 2)];
        peer.read_exact(&mut all).await.expect("each is answered");
        drop(peer);
    };
    let mut held = 0;
    let (end, ()) =
        tokio::join!(run(&mut link, &mut debtor, |link, _| held = held.max(link.owned_bytes())), talk);
    assert_eq!((end, debtor.heard), (End::Closed(Closed::Eof), 2 * (OWED_MAX + 2)));
    // Growing doubles it.
    assert!((LENGTH / 2..=2 * LENGTH + 2 * HELD_BYTES_MAX).contains(&held), "{held} bytes held");
}

#[tokio::test(start_paused = true)]
async fn a_large_frame_that_drips_stays_where_it_is() {
    const LENGTH: usize = 256 * 1024;
    let (mut link, mut peer) = piped_link(1 << 20);
    let mut debtor = Debtor::default();
    peer.write_all(&u32::try_from(LENGTH).expect("it fits").to_be_bytes()).await.expect("room");
    peer.write_all(&vec![b'x'; LENGTH - 4 - 1_000]).await.expect("room");
    assert_eq!(settle(&mut link, &mut debtor).await, None);
    let mut moved = 0;
    let mut place = link.input().as_ptr();
    for _ in 0..1_000 {
        peer.write_all(b"x").await.expect("room");
        assert_eq!(debtor.heard, 0);
        assert_eq!(settle(&mut link, &mut debtor).await, None);
        moved += usize::from(place != link.input().as_ptr());
        place = link.input().as_ptr();
    }
    // It grows once, and is gone with its last byte.
    assert!(moved <= 2, "moved {moved} times");
    assert_eq!((debtor.heard, link.owned_bytes()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_small_frame_behind_a_large_one_does_not_keep_its_memory() {
    const LENGTH: usize = 256 * 1024;
    let (mut link, mut peer) = piped_link(1 << 20);
    let mut debtor = Debtor::default();
    peer.write_all(&u32::try_from(LENGTH).expect("it fits").to_be_bytes()).await.expect("room");
    peer.write_all(&vec![b'x'; LENGTH - 5]).await.expect("room");
    assert_eq!(settle(&mut link, &mut debtor).await, None);
    peer.write_all(&[b'x', 0, 0]).await.expect("room");
    assert_eq!(settle(&mut link, &mut debtor).await, None);
    assert_eq!(debtor.heard, 1);
    assert!((2..=64).contains(&link.owned_bytes()), "{}", link.owned_bytes());
    assert!(!link.input().try_reclaim(LENGTH / 2), "the memory in front of it is gone, too");
}

#[tokio::test(flavor = "local")]
async fn a_connection_under_back_pressure_starves_nobody() {
    let turns = Rc::new(Cell::new(0_u32));
    let (mut flooded, mut flood) = piped_link(1 << 20);
    tokio::task::spawn_local(async move {
        let (frames, mut answers) = (FRAME.repeat(1 << 14), vec![0; 1 << 14]);
        // What waits to be heard never runs out.
        flood.write_all(&frames.repeat(4)).await.expect("room");
        loop {
            flood.write_all(&frames).await.expect("the link reads");
            flood.read_exact(&mut answers).await.expect("each is answered");
        }
    });
    let counted = turns.clone();
    tokio::task::spawn_local(async move {
        let (mut debtor, mut before) = (Debtor::default(), 0);
        let after = |_: &Link, debtor: &Debtor| {
            counted.set(counted.get() + 1);
            assert!(debtor.heard - before <= OWED_MAX, "{} frames in one turn", debtor.heard - before);
            before = debtor.heard;
        };
        run(&mut flooded, &mut debtor, after).await
    });
    let (mut calm, mut peer) = piped_link(64);
    tokio::task::spawn_local(async move { run(&mut calm, &mut Debtor::default(), |_, _| {}).await });
    let talk = tokio::task::spawn_local(async move {
        for _ in 0..1_000 {
            let before = turns.get();
            peer.write_all(&FRAME).await.expect("room");
            peer.read_u8().await.expect("an answer");
            let waited = turns.get() - before;
            assert!(waited <= 4, "the other one had {waited} turns meanwhile");
        }
        assert!(turns.get() > 1_000, "it was flooded all the time");
    });
    talk.await.expect("no panic");
}
