//! Requests of one device that wait for an answer of their own: each has an id, and ends once. Owned by `messages`, made when
//! the device first has subscribed to the answers.

use crate::plan::GET_ON_CONNECT;
use crate::session::Tag;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What a device has asked for and has no answer to, over any number of connections.
#[derive(Debug)]
pub(crate) struct Requests {
    /// The id of the next one: unique as long as the device lives, so that an answer is never taken for another's.
    next_rid: u64,
    /// In the order in which they were sent, which is that of their ids.
    open: VecDeque<Request>,
    /// Answers come on this connection.
    pub(crate) listening: bool,
    /// Since when none do, as far as requests have waited for that: it is not this generator's doing.
    pub(super) deaf_from_ns: Option<u64>,
    /// When the request for the whole twin was due that a device makes once it has come, while it is not sent.
    pub(super) get_due_ns: Option<u64>,
    /// That request has not ended yet.
    getting: bool,
}

/// A request that was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    rid: u64,
    pub(crate) tag: Tag,
    pub(crate) sent: Instant,
}

/// What an answer is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answered {
    /// For this request, which has ended with it.
    Open(Request),
    /// For one that had ended before.
    Late,
    /// For none that was ever made.
    Unknown,
}

impl Requests {
    /// None was made, and no answer came until now.
    pub(crate) fn new() -> Requests {
        Requests {
            next_rid: 0,
            open: VecDeque::new(),
            listening: false,
            deaf_from_ns: Some(0),
            get_due_ns: None,
            getting: false,
        }
    }

    /// The request for the whole twin is due that comes with a connection.
    pub(crate) fn get(&mut self, due_ns: u64) {
        (self.get_due_ns, self.getting) = (Some(due_ns), true);
    }

    /// That request is due, or under way.
    pub(crate) fn is_getting(&self) -> bool {
        self.getting
    }

    /// It ended without having been sent; when it was due.
    pub(crate) fn give_up_get(&mut self) -> Option<u64> {
        let due_ns = self.get_due_ns.take()?;
        self.getting = false;
        Some(due_ns)
    }

    /// The connection is gone.
    pub(crate) fn deafen(&mut self, now_ns: u64) {
        self.listening = false;
        self.deaf_from_ns.get_or_insert(now_ns);
    }

    /// The id that the next request will have.
    pub(crate) fn next_rid(&self) -> u64 {
        self.next_rid
    }

    /// The request with that id was sent.
    pub(crate) fn sent(&mut self, tag: Tag, sent: Instant) {
        self.open.push_back(Request { rid: self.next_rid, tag, sent });
        self.next_rid += 1;
    }

    /// An answer came. Ids come back as they were written: `7`, and not `07` or `+7`.
    pub(crate) fn answered(&mut self, rid: &str) -> Answered {
        let number = rid.parse::<u64>().ok().filter(|number| *number < self.next_rid);
        let Some(number) = number.filter(|_| rid == "0" || !rid.starts_with(['0', '+'])) else {
            return Answered::Unknown;
        };
        let place = self.open.binary_search_by_key(&number, |request| request.rid).ok();
        match place.and_then(|place| self.open.remove(place)) {
            Some(request) => Answered::Open(self.ended(request)),
            None => Answered::Late,
        }
    }

    fn ended(&mut self, request: Request) -> Request {
        self.getting &= request.tag.stream != GET_ON_CONNECT;
        request
    }

    /// The next request that was sent `timeout` ago, or longer.
    pub(crate) fn expired(&mut self, now: Instant, timeout: Duration) -> Option<Request> {
        let request = self.open.pop_front_if(|request| request.sent + timeout <= now)?;
        Some(self.ended(request))
    }

    /// When `expired` will have something to say.
    pub(crate) fn expires(&self, timeout: Duration) -> Option<Instant> {
        self.open.front().map(|request| request.sent + timeout)
    }

    /// The next request that will not be answered any more.
    pub(crate) fn lost(&mut self) -> Option<Request> {
        let request = self.open.pop_front()?;
        Some(self.ended(request))
    }

    /// None waits for its answer.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(count: u64, now: Instant) -> Requests {
        let mut requests = Requests::new();
        for seq in 0..count {
            let sent = now + Duration::from_secs(seq);
            requests.sent(Tag { due: now, picked: now, stream: 0, seq }, sent);
        }
        requests
    }

    #[test]
    fn an_answer_ends_its_request_and_no_other() {
        let mut requests = requests(12, crate::clock::now());
        for rid in ["11", "0", "5"] {
            let Answered::Open(request) = requests.answered(rid) else { panic!("{rid}") };
            assert_eq!(request.tag.seq.to_string(), rid);
            assert!(matches!(requests.answered(rid), Answered::Late), "{rid} was answered once");
        }
        assert_eq!(requests.open.len(), 9);
    }

    #[test]
    fn what_was_never_asked_is_unknown() {
        let mut requests = requests(3, crate::clock::now());
        let huge = "9".repeat(70_000);
        for rid in ["3", "-1", "+1", "01", "", "x", "1 ", "18446744073709551615", "ä", huge.as_str()] {
            assert!(matches!(requests.answered(rid), Answered::Unknown), "{rid:.20}");
        }
        assert_eq!(requests.open.len(), 3);
    }

    #[test]
    fn requests_expire_in_their_order() {
        let now = crate::clock::now();
        let mut requests = requests(3, now);
        let minute = Duration::from_secs(60);
        assert_eq!(requests.expires(minute), Some(now + minute));
        let at = now + minute + Duration::from_secs(1);
        let expired: Vec<u64> =
            std::iter::from_fn(|| requests.expired(at, minute)).map(|request| request.rid).collect();
        assert_eq!(expired, [0, 1]);
        assert!(matches!(requests.answered("0"), Answered::Late));
        assert_eq!(requests.lost().map(|request| request.rid), Some(2));
        assert_eq!((requests.is_empty(), requests.expires(minute)), (true, None));
    }
}
