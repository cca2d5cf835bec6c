//! Names to addresses, looked up once for all who ask at the same time. Each worker has a [`Resolver`]; `dial` asks it.
//!
//! The system's resolver takes a thread for each lookup. If every device had its own, most would wait for a thread, and that
//! queue of ours would be measured as the network's.

use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;

use crate::clock;

type LookupFn = fn(&str, u16) -> io::Result<Vec<SocketAddr>>;

/// Looks up one name at a time, and remembers nothing: who asks later asks the system again, as devices would.
#[derive(Debug)]
pub struct Resolver {
    look_up: LookupFn,
    /// The latest lookup: whoever asks for the same before it has ended waits for it.
    latest: RefCell<Option<Lookup>>,
}

#[derive(Debug)]
struct Lookup {
    host: String,
    port: u16,
    answer: watch::Receiver<Option<Answer>>,
}

/// What the system said.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) found: Result<Arc<[SocketAddr]>, Arc<io::Error>>,
    /// When it said so. Those who wait may have their turn later.
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

    /// The addresses of `host`. Dropping this does not stop the lookup, which others may be waiting for.
    ///
    /// # Errors
    /// The runtime is shutting down; what the system says is in the answer.
    pub(super) async fn resolve(&self, host: &str, port: u16) -> io::Result<Answer> {
        let mut answer = self.join(host, port);
        let answer = answer.wait_for(Option::is_some).await.map_err(io::Error::other)?;
        answer.clone().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The lookup of `host` that is under way, or a new one.
    fn join(&self, host: &str, port: u16) -> watch::Receiver<Option<Answer>> {
        let mut latest = self.latest.borrow_mut();
        let running = latest.as_ref().filter(|lookup| {
            lookup.host == host
                && lookup.port == port
                && lookup.answer.borrow().is_none()
                && lookup.answer.has_changed().is_ok()
        });
        if let Some(lookup) = running {
            return lookup.answer.clone();
        }
        let (sender, answer) = watch::channel(None);
        let (look_up, name) = (self.look_up, host.to_owned());
        tokio::task::spawn_blocking(move || {
            let found = look_up(&name, port).map(Arc::from).map_err(Arc::new);
            // Everyone who asked may have given up.
            drop(sender.send(Some(Answer { found, at: clock::now() })));
        });
        *latest = Some(Lookup { host: host.to_owned(), port, answer: answer.clone() });
        answer
    }
}

/// An error that several are sender, for one of them: its number must not be lost, by which our own shortages are known.
pub(super) fn clone_error(error: &Arc<io::Error>) -> io::Error {
    match error.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::new(error.kind(), Arc::clone(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::testing::soon;
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
    async fn all_who_ask_at_once_are_answered_by_one_lookup() {
        static LOOKUPS: AtomicU32 = AtomicU32::new(0);
        static GATE: Mutex<()> = Mutex::const_new(());
        let resolver = Rc::new(Resolver::new(|_, port| {
            LOOKUPS.fetch_add(1, Ordering::SeqCst);
            drop(GATE.blocking_lock());
            Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
        }));
        let asked = Rc::new(Cell::new(0));
        let ask = |port| {
            let (resolver, asked) = (Rc::clone(&resolver), Rc::clone(&asked));
            tokio::task::spawn_local(async move {
                asked.set(asked.get() + 1);
                resolver.resolve("hub", port).await.unwrap()
            })
        };
        let gate = GATE.lock().await;
        let mut asking: Vec<_> = (0..500).map(|_| ask(1)).collect();
        while asked.get() < asking.len() {
            tokio::task::yield_now().await;
        }
        // The one who began it may go.
        asking.remove(0).abort();
        drop(gate);
        let mut answered = Vec::new();
        for asking in asking {
            answered.push(asking.await.unwrap());
        }
        assert_eq!(LOOKUPS.load(Ordering::SeqCst), 1);
        assert!(answered.iter().all(|answer| answer.at == answered[0].at));
        // Later, and for something else, the system is asked again.
        ask(1).await.unwrap();
        ask(2).await.unwrap();
        assert_eq!(LOOKUPS.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn a_lookup_without_an_answer_times_out_and_is_not_begun_again_meanwhile() {
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
    async fn what_a_lookup_lacks_on_this_machine_is_told_as_ours() {
        let resolver = Resolver::new(|_, _| Err(Errno::EMFILE.into()));
        let error = dial(&endpoint("hub", 1), &resolver, 0, soon()).await.unwrap_err();
        assert_eq!((error.step, error.class, error.culprit()), (Step::Dns, "fd_limit", Culprit::Us));

        let resolver = Resolver::new(|_, _| Err(io::Error::other("no such name")));
        let error = dial(&endpoint("hub", 1), &resolver, 0, soon()).await.unwrap_err();
        assert_eq!((error.class, error.is_timeout()), ("dns", false));
        assert_eq!(error.to_string(), "the host name could not be resolved: no such name");
    }
}
