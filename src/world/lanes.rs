//! The lanes: threads that post for the one thread that decides, each one request at a time and so on a
//! connection of its own. They know no buffer and no fate, and end when the world does.

use super::{Answer, UnderWay};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

type Job = Box<dyn FnOnce() + Send>;

/// As many as were ever needed at once.
#[derive(Debug)]
pub(super) struct Lanes {
    give: Sender<Job>,
    take: Arc<Mutex<Receiver<Job>>>,
    idle: Arc<AtomicUsize>,
}

impl Lanes {
    pub(super) fn none_yet() -> Lanes {
        let (give, take) = mpsc::channel();
        let take = Arc::new(Mutex::new(take));
        let idle = Arc::default();
        Lanes { give, take, idle }
    }

    /// Hands the posting to a lane, a new one if all are busy; where the system gives no thread, it is
    /// done here.
    pub(super) fn begin(&self, post: impl FnOnce() -> Answer + Send + 'static) -> UnderWay {
        let is_one_idle = self.idle.load(Ordering::Acquire) > 0;
        if is_one_idle {
            self.idle.fetch_sub(1, Ordering::AcqRel);
        } else if self.open().is_err() {
            return UnderWay::Done(post());
        }
        let (tell, hear) = mpsc::channel();
        let idle = Arc::clone(&self.idle);
        let job = move || {
            let answer = post();
            // Before it is told, so that whoever begins the next one finds this lane.
            idle.fetch_add(1, Ordering::AcqRel);
            // Nobody may want to know any more: the round has ended over a full disk.
            let _ = tell.send(answer);
        };
        // It cannot fail while `take` is there.
        let _ = self.give.send(Box::new(job));
        UnderWay::InLane(hear)
    }

    fn open(&self) -> io::Result<()> {
        let take = Arc::clone(&self.take);
        let next = move || {
            let take = take.lock().unwrap_or_else(PoisonError::into_inner);
            take.recv()
        };
        let work = move || {
            while let Ok(job) = next() {
                job();
            }
        };
        thread::Builder::new().spawn(work).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::time::Duration;

    fn answer() -> Answer {
        Answer {
            reply: Ok(super::super::Reply::default()),
            at: Duration::ZERO,
        }
    }

    #[test]
    fn what_is_begun_at_once_is_done_at_once_and_a_lane_that_is_done_is_used_again() {
        let lanes = Lanes::none_yet();
        for round in 0..10 {
            let all_there = Arc::new(Barrier::new(3));
            let begun: Vec<UnderWay> = (0..3)
                .map(|_| {
                    let all_there = Arc::clone(&all_there);
                    lanes.begin(move || {
                        all_there.wait();
                        answer()
                    })
                })
                .collect();
            for request in begun {
                let UnderWay::InLane(lane) = request else {
                    panic!("it was done by the one that began it")
                };
                lane.recv().unwrap();
            }
            assert_eq!(lanes.idle.load(Ordering::Acquire), 3, "round {round}");
        }
    }
}
