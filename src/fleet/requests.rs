//! Requests of one device that wait for an answer of their own: each has an id, and ends once. Owned by `messages`, made when
//! the device first has subscribed to the answers.

use super::open::Open;
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
    /// The request for the whole twin that comes with a connection, while it is due and not sent.
    get: Option<Open>,
    /// That request has not ended yet.
    getting: bool,
}

/// A request that was sent.
#[derive(Debug)]
pub(crate) struct Request {
    rid: u64,
    pub(crate) open: Open,
    /// Which of the fleet's sends; none for the request for the whole twin that comes with a connection.
    pub(crate) send: Option<u16>,
    pub(crate) sent: Instant,
}

/// What an answer is for.
#[derive(Debug)]
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
            get: None,
            getting: false,
        }
    }

    /// The request for the whole twin is due that comes with a connection.
    pub(crate) fn get(&mut self, open: Open) {
        (self.get, self.getting) = (Some(open), true);
    }

    /// When that request was due, while it is not sent.
    pub(super) fn get_due_ns(&self) -> Option<u64> {
        self.get.as_ref().map(Open::due_ns)
    }

    /// It is sent now.
    pub(super) fn take_get(&mut self) -> Option<Open> {
        self.get.take()
    }

    /// That request is due, or under way.
    pub(crate) fn is_getting(&self) -> bool {
        self.getting
    }

    /// It ends without having been sent.
    pub(crate) fn give_up_get(&mut self) -> Option<Open> {
        let open = self.get.take()?;
        self.getting = false;
        Some(open)
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
    pub(crate) fn sent(&mut self, open: Open, send: Option<u16>, sent: Instant) {
        self.open.push_back(Request { rid: self.next_rid, open, send, sent });
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
        self.getting &= request.send.is_some();
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
    use crate::measure::{Key, Layout, Operation, Outcome, Recorder};

    /// Requests of a device, each due at a nanosecond of its own. All of them end with the test.
    struct Asked {
        requests: Requests,
        recorder: Recorder,
    }

    impl Drop for Asked {
        fn drop(&mut self) {
            while let Some(request) = self.requests.lost() {
                request.open.ended(&mut self.recorder, Outcome::Unfinished, 0, false);
            }
        }
    }

    impl Asked {
        fn new(count: u64, now: Instant) -> Asked {
            let layout = Layout::new(1, 1, Duration::from_secs(60));
            let (mut requests, mut recorder) =
                (Requests::new(), Recorder::new(layout, std::rc::Rc::new(crate::stalls::Stalls::new(now))));
            let key = Key { operation: Operation::TwinReport, fleet: 0, phase: 0 };
            for seq in 0..count {
                let sent = now + Duration::from_secs(seq);
                requests.sent(Open::due(&mut recorder, key, seq), Some(0), sent);
            }
            Asked { requests, recorder }
        }

        fn end(&mut self, request: Request) -> u64 {
            request.open.ended(&mut self.recorder, Outcome::Lost, 0, false);
            request.rid
        }
    }

    #[test]
    fn an_answer_ends_its_request_and_no_other() {
        let mut asked = Asked::new(12, crate::clock::now());
        for rid in ["11", "0", "5"] {
            let Answered::Open(request) = asked.requests.answered(rid) else { panic!("{rid}") };
            assert_eq!(request.open.due_ns().to_string(), rid);
            asked.end(request);
            assert!(matches!(asked.requests.answered(rid), Answered::Late), "{rid} was answered once");
        }
        assert_eq!(asked.requests.open.len(), 9);
    }

    #[test]
    fn what_was_never_asked_is_unknown() {
        let mut asked = Asked::new(3, crate::clock::now());
        let requests = &mut asked.requests;
        let huge = "9".repeat(70_000);
        for rid in ["3", "-1", "+1", "01", "", "x", "1 ", "18446744073709551615", "ä", huge.as_str()] {
            assert!(matches!(requests.answered(rid), Answered::Unknown), "{rid:.20}");
        }
        assert_eq!(requests.open.len(), 3);
    }

    #[test]
    fn requests_expire_in_their_order() {
        let now = crate::clock::now();
        let mut asked = Asked::new(3, now);
        let minute = Duration::from_secs(60);
        assert_eq!(asked.requests.expires(minute), Some(now + minute));
        let at = now + minute + Duration::from_secs(1);
        for rid in [0, 1] {
            let request = asked.requests.expired(at, minute).unwrap();
            assert_eq!(asked.end(request), rid);
        }
        assert!(asked.requests.expired(at, minute).is_none());
        assert!(matches!(asked.requests.answered("0"), Answered::Late));
        let request = asked.requests.lost().unwrap();
        assert_eq!(asked.end(request), 2);
        assert_eq!((asked.requests.is_empty(), asked.requests.expires(minute)), (true, None));
    }
}
