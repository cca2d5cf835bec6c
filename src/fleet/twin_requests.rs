//! The twin requests of one device that wait for an answer. Each has a request id and ends once. Owned by `messages`, created
//! once the device has first subscribed to the answers.

use super::open::Open;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The open requests of a device, over any number of connections.
#[derive(Debug)]
pub(crate) struct TwinRequests {
    /// Id of the next request. Ids are never reused, so an answer cannot be matched to another request.
    next_rid: u64,
    /// Sent requests in sending order, which is the order of their ids.
    open: VecDeque<TwinRequest>,
    /// Whether this connection has subscribed to the answers.
    pub(crate) listening: bool,
    /// The time since which the device has not been subscribed to the answers, if requests are waiting for the subscription. This
    /// wait does not count as the load generator's lag.
    pub(super) not_listening_from_ns: Option<u64>,
    /// This connection's request for the whole twin, while it is due and not sent.
    pending_get: Option<Open>,
    /// Whether this connection's request for the whole twin is due or was sent, and has not ended.
    get_open: bool,
}

/// A sent request.
#[derive(Debug)]
pub(crate) struct TwinRequest {
    rid: u64,
    pub(crate) open: Open,
    /// Index of the send in its fleet. `None` for a connection's request for the whole twin.
    pub(crate) send: Option<u16>,
    pub(crate) sent: Instant,
}

/// The request that an answer belongs to.
#[derive(Debug)]
pub(crate) enum AnswerMatch {
    /// An open request, which ends with the answer.
    Pending(TwinRequest),
    /// A request that had already ended.
    Late,
    /// No request had this id.
    Unknown,
}

impl TwinRequests {
    /// Returns an empty set of requests. The device counts as not subscribed to the answers from the start of the run.
    pub(crate) fn new() -> TwinRequests {
        TwinRequests {
            next_rid: 0,
            open: VecDeque::new(),
            listening: false,
            not_listening_from_ns: Some(0),
            pending_get: None,
            get_open: false,
        }
    }

    /// Adds this connection's due request for the whole twin.
    pub(crate) fn set_get(&mut self, open: Open) {
        (self.pending_get, self.get_open) = (Some(open), true);
    }

    /// Returns when the request for the whole twin was due, if it has not been sent.
    pub(super) fn get_due_ns(&self) -> Option<u64> {
        self.pending_get.as_ref().map(Open::due_ns)
    }

    /// Takes the request for the whole twin in order to send it.
    pub(super) fn take_get(&mut self) -> Option<Open> {
        self.pending_get.take()
    }

    /// Returns true if the request for the whole twin is due or was sent, and has not ended.
    pub(crate) fn is_get_open(&self) -> bool {
        self.get_open
    }

    /// Takes the request for the whole twin if it has not been sent. The caller must end it.
    pub(crate) fn give_up_get(&mut self) -> Option<Open> {
        let open = self.pending_get.take()?;
        self.get_open = false;
        Some(open)
    }

    /// Handles the end of the connection.
    pub(crate) fn stop_listening(&mut self, now_ns: u64) {
        self.listening = false;
        self.not_listening_from_ns.get_or_insert(now_ns);
    }

    /// Returns the id of the next request.
    pub(crate) fn next_rid(&self) -> u64 {
        self.next_rid
    }

    /// Adds a request that was sent with the id from [`next_rid`](TwinRequests::next_rid).
    pub(crate) fn sent(&mut self, open: Open, send: Option<u16>, sent: Instant) {
        self.open.push_back(TwinRequest { rid: self.next_rid, open, send, sent });
        self.next_rid += 1;
    }

    /// Matches an answer to its request. The id must be exactly as it was sent: `7`, not `07` or `+7`.
    pub(crate) fn match_answer(&mut self, rid: &str) -> AnswerMatch {
        let number = rid.parse::<u64>().ok().filter(|number| *number < self.next_rid);
        let Some(number) = number.filter(|_| rid == "0" || !rid.starts_with(['0', '+'])) else {
            return AnswerMatch::Unknown;
        };
        let place = self.open.binary_search_by_key(&number, |request| request.rid).ok();
        match place.and_then(|place| self.open.remove(place)) {
            Some(request) => AnswerMatch::Pending(self.ended(request)),
            None => AnswerMatch::Late,
        }
    }

    fn ended(&mut self, request: TwinRequest) -> TwinRequest {
        self.get_open &= request.send.is_some();
        request
    }

    /// Removes the next request that has waited for `timeout` or longer.
    pub(crate) fn pop_expired(&mut self, now: Instant, timeout: Duration) -> Option<TwinRequest> {
        let request = self.open.pop_front_if(|request| request.sent + timeout <= now)?;
        Some(self.ended(request))
    }

    /// Returns when `pop_expired` will next find a request.
    pub(crate) fn next_expiry(&self, timeout: Duration) -> Option<Instant> {
        self.open.front().map(|request| request.sent + timeout)
    }

    /// Removes the next request, whose answer can no longer arrive.
    pub(crate) fn pop_lost(&mut self) -> Option<TwinRequest> {
        let request = self.open.pop_front()?;
        Some(self.ended(request))
    }

    /// Returns true if no request waits for its answer.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Key, Layout, Operation, Outcome, Recorder};

    /// The requests of a device. The n-th is due at n nanoseconds. Dropping the bench ends them all.
    struct Bench {
        requests: TwinRequests,
        recorder: Recorder,
    }

    impl Drop for Bench {
        fn drop(&mut self) {
            while let Some(request) = self.requests.pop_lost() {
                request.open.ended(&mut self.recorder, Outcome::Unfinished, 0, false);
            }
        }
    }

    impl Bench {
        fn new(count: u64, now: Instant) -> Bench {
            let layout = Layout::new(1, 1, Duration::from_secs(60));
            let (mut requests, mut recorder) = (
                TwinRequests::new(),
                Recorder::new(layout, std::rc::Rc::new(crate::stalls::Stalls::new(now))),
            );
            let key = Key { operation: Operation::TwinReport, fleet: 0, phase: 0 };
            for seq in 0..count {
                let sent = now + Duration::from_secs(seq);
                requests.sent(Open::due(&mut recorder, key, seq), Some(0), sent);
            }
            Bench { requests, recorder }
        }

        fn end(&mut self, request: TwinRequest) -> u64 {
            request.open.ended(&mut self.recorder, Outcome::Lost, 0, false);
            request.rid
        }
    }

    #[test]
    fn answer_ends_its_own_request() {
        let mut bench = Bench::new(12, crate::clock::now());
        for rid in ["11", "0", "5"] {
            let AnswerMatch::Pending(request) = bench.requests.match_answer(rid) else { panic!("{rid}") };
            assert_eq!(request.open.due_ns().to_string(), rid);
            bench.end(request);
            assert!(matches!(bench.requests.match_answer(rid), AnswerMatch::Late), "{rid} was answered once");
        }
        assert_eq!(bench.requests.open.len(), 9);
    }

    #[test]
    fn answer_without_a_request_is_unknown() {
        let mut bench = Bench::new(3, crate::clock::now());
        let requests = &mut bench.requests;
        let huge = "9".repeat(70_000);
        for rid in ["3", "-1", "+1", "01", "", "x", "1 ", "18446744073709551615", "ä", huge.as_str()] {
            assert!(matches!(requests.match_answer(rid), AnswerMatch::Unknown), "{rid:.20}");
        }
        assert_eq!(requests.open.len(), 3);
    }

    #[test]
    fn requests_expire_in_sending_order() {
        let now = crate::clock::now();
        let mut bench = Bench::new(3, now);
        let minute = Duration::from_secs(60);
        assert_eq!(bench.requests.next_expiry(minute), Some(now + minute));
        let at = now + minute + Duration::from_secs(1);
        for rid in [0, 1] {
            let request = bench.requests.pop_expired(at, minute).unwrap();
            assert_eq!(bench.end(request), rid);
        }
        assert!(bench.requests.pop_expired(at, minute).is_none());
        assert!(matches!(bench.requests.match_answer("0"), AnswerMatch::Late));
        let request = bench.requests.pop_lost().unwrap();
        assert_eq!(bench.end(request), 2);
        assert_eq!((bench.requests.is_empty(), bench.requests.next_expiry(minute)), (true, None));
    }
}
