//! Says what takes long.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How long work may take before anything is said.
const PATIENCE: Duration = Duration::from_secs(1);

/// Does `work`. If it takes more than a second, standard error says so, and how long it took.
pub fn said<T>(what: &str, work: impl FnOnce() -> T) -> T {
    watched(PATIENCE, work, |done| match done {
        None => eprintln!("patchvisor: {what} ..."),
        Some(time) => eprintln!("patchvisor: {what} took {:.1} s", time.as_secs_f64()),
    })
}

/// Does `work`, and calls `say` when `patience` is over, then with the time when it is done.
fn watched<T>(
    patience: Duration,
    work: impl FnOnce() -> T,
    say: impl Fn(Option<Duration>) + Sync,
) -> T {
    let began = Instant::now();
    let (done, is_done) = channel::<()>();
    std::thread::scope(|scope| {
        let say = &say;
        scope.spawn(move || {
            if is_done.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                say(None);
                // The sender goes when the work is done.
                let _ = is_done.recv();
                say(Some(began.elapsed()));
            }
        });
        let result = work();
        drop(done);
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_work_that_takes_long_is_said() {
        let (say, said) = channel();
        let say = |done: Option<Duration>| say.send(done.is_some()).unwrap();
        // It takes until something is said of it.
        let work = || said.recv_timeout(Duration::from_secs(60));
        assert_eq!(watched(Duration::from_millis(10), work, say), Ok(false));
        assert_eq!(said.try_recv(), Ok(true));
        watched(Duration::from_secs(60), || (), say);
        assert!(said.try_recv().is_err());
    }
}
