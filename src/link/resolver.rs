//! Resolves host names. Each worker has a [`Resolver`], which `dial` uses; tasks that ask for the same name during a lookup
//! share its answer.
//!
//! The system's resolver blocks a thread for each lookup. If every device had its own lookup, most would wait for a
//! thread, and the load generator's own queue would be measured as network time.

use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;

use crate::clock;

type LookupFn = fn(&str, u16) -> io::Result<Vec<SocketAddr>>;

/// Looks up one name at a time, and does not cache answers: a later request asks the system again, as devices would.
#[derive(Debug)]
pub struct Resolver {
    look_up: LookupFn,
    /// The latest lookup of each name. Requests for the same name wait for it until it ends.
    latest: RefCell<Vec<Lookup>>,
}

#[derive(Debug)]
struct Lookup {
    host: String,
    port: u16,
    answer: watch::Receiver<Option<Answer>>,
}

/// The system's answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) found: Result<Arc<[SocketAddr]>, Arc<io::Error>>,
    /// When the answer arrived. Waiting tasks may run later.
    pub(super) at: Instant,
}

impl Default for Resolver {
    fn default() -> Resolver {
        Resolver::new(|host, port| (host, port).to_socket_addrs().map(Iterator::collect))
    }
}

impl Resolver {
    pub(super) fn new(look_up: LookupFn) -> Resolver {
        Resolver { look_up, latest: RefCell::default() }
    }

    /// Returns the addresses of `host`. Dropping this future does not stop the lookup, because others may wait for it.
    ///
    /// # Errors
    /// The runtime is shutting down. Errors from the lookup itself are in the answer.
    pub(super) async fn resolve(&self, host: &str, port: u16) -> io::Result<Answer> {
        let mut answer = self.join(host, port);
        let answer = answer.wait_for(Option::is_some).await.map_err(io::Error::other)?;
        answer.clone().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Returns the running lookup for `host`, or starts one.
    fn join(&self, host: &str, port: u16) -> watch::Receiver<Option<Answer>> {
        let mut latest = self.latest.borrow_mut();
        let known = latest.iter().position(|lookup| lookup.host == host && lookup.port == port);
        let is_running =
            |lookup: &&Lookup| lookup.answer.borrow().is_none() && lookup.answer.has_changed().is_ok();
        if let Some(running) = known.map(|known| &latest[known]).filter(is_running) {
            return running.answer.clone();
        }
        let (sender, answer) = watch::channel(None);
        let (look_up, name) = (self.look_up, host.to_owned());
        tokio::task::spawn_blocking(move || {
            let found = look_up(&name, port).map(Arc::from).map_err(Arc::new);
            // Ignore the error: all waiting tasks may have given up.
            drop(sender.send(Some(Answer { found, at: clock::now() })));
        });
        let lookup = Lookup { host: host.to_owned(), port, answer: answer.clone() };
        match known {
            Some(known) => latest[known] = lookup,
            None => latest.push(lookup),
        }
        answer
    }
}

/// Copies a shared error for one of its receivers. The copy keeps the error number, which identifies local shortages.
pub(super) fn clone_error(error: &Arc<io::Error>) -> io::Error {
    match error.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::new(error.kind(), Arc::clone(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::testing::test_deadline;
    use crate::link::{Culprit, Endpoint, Step, dial};
    use nix::errno::Errno;
    use std::cell::Cell;
    use std::rc::Rc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::Mutex;

    fn endpoint(host: &str, port: u16) -> Endpoint {
        Endpoint { host: host.to_owned(), port, ..Endpoint::default() }
    }

    #[tokio::test(flavor = "local")]
    async fn concurrent_requests_share_one_lookup() {
        static LOOKUPS: AtomicU32 = AtomicU32::new(0);
        static GATE: Mutex<()> = Mutex::const_new(());
        let resolver = Rc::new(Resolver::new(|_, port| {
            LOOKUPS.fetch_add(1, Ordering::SeqCst);
            drop(GATE.blocking_lock());
            Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
        }));
        let started = Rc::new(Cell::new(0));
        let ask = |port| {
            let (resolver, started) = (Rc::clone(&resolver), Rc::clone(&started));
            tokio::task::spawn_local(async move {
                started.set(started.get() + 1);
                resolver.resolve("hub", port).await.unwrap()
            })
        };
        let gate = GATE.lock().await;
        let mut requests: Vec<_> = (0..500).map(|_| ask(1)).collect();
        while started.get() < requests.len() {
            tokio::task::yield_now().await;
        }
        // The task that started the lookup may be aborted.
        requests.remove(0).abort();
        drop(gate);
        let mut answered = Vec::new();
        for requests in requests {
            answered.push(requests.await.unwrap());
        }
        assert_eq!(LOOKUPS.load(Ordering::SeqCst), 1);
        assert!(answered.iter().all(|answer| answer.at == answered[0].at));
        // A later request, and one for another port, ask the system again.
        ask(1).await.unwrap();
        ask(2).await.unwrap();
        assert_eq!(LOOKUPS.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn a_stuck_lookup_times_out_and_is_not_repeated() {
        static LOOKUPS: AtomicU32 = AtomicU32::new(0);
        static GATE: Mutex<()> = Mutex::const_new(());
        let gate = GATE.lock().await;
        let resolver = Resolver::new(|_, _| {
            LOOKUPS.fetch_add(1, Ordering::SeqCst);
            drop(GATE.blocking_lock());
            Ok(Vec::new())
        });
        for _ in 0..3 {
            let by = clock::now() + std::time::Duration::from_millis(20);
            let error = dial(&endpoint("hub", 1), &resolver, 0, by).await.unwrap_err();
            assert_eq!((error.step, error.class, error.culprit()), (Step::Dns, "dns", Culprit::Network));
            assert!(error.is_timeout() && !error.is_refused(), "{error}");
            assert_eq!(error.steps.dns, None);
        }
        assert_eq!(LOOKUPS.load(Ordering::SeqCst), 1);
        drop(gate);
    }

    #[tokio::test]
    async fn a_local_shortage_in_a_lookup_is_the_generators_fault() {
        let resolver = Resolver::new(|_, _| Err(Errno::EMFILE.into()));
        let error = dial(&endpoint("hub", 1), &resolver, 0, test_deadline()).await.unwrap_err();
        assert_eq!((error.step, error.class, error.culprit()), (Step::Dns, "fd_limit", Culprit::Generator));

        let resolver = Resolver::new(|_, _| Err(io::Error::other("no such name")));
        let error = dial(&endpoint("hub", 1), &resolver, 0, test_deadline()).await.unwrap_err();
        assert_eq!((error.class, error.is_timeout()), ("dns", false));
        assert_eq!(error.to_string(), "the host name could not be resolved: no such name");
    }
}
