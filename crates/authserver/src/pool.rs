//! Threads for what blocks: a fixed number for each back-end, so that one that hangs holds up no other.

use crate::Answer;
use mio::Waker;
use std::io;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Questions that wait for a thread. More would be answered too late anyway.
const QUEUE: usize = 256;

type Question = Box<dyn FnOnce() -> Answer + Send>;

/// The threads of one back-end. They end with the pool.
pub struct Pool {
    questions: SyncSender<(u64, Question)>,
}

/// Where answers go: to the loop.
#[derive(Clone)]
pub struct Answers {
    pub sender: Sender<(u64, Answer)>,
    pub waker: Arc<Waker>,
}

impl Pool {
    pub fn new(name: &str, threads: usize, answers: &Answers) -> io::Result<Self> {
        let (questions, taken) = sync_channel::<(u64, Question)>(QUEUE);
        let taken = Arc::new(Mutex::new(taken));
        for _ in 0..threads.max(1) {
            let (taken, answers) = (Arc::clone(&taken), answers.clone());
            std::thread::Builder::new().name(name.to_owned()).spawn(move || work(&taken, &answers))?;
        }
        Ok(Self { questions })
    }

    /// Asks; the answer comes under `ticket`. False: too many wait already.
    pub fn ask(&self, ticket: u64, question: impl FnOnce() -> Answer + Send + 'static) -> bool {
        match self.questions.try_send((ticket, Box::new(question))) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}

fn work(questions: &Mutex<Receiver<(u64, Question)>>, answers: &Answers) {
    loop {
        let next = questions.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((ticket, question)) = next else { return };
        if answers.sender.send((ticket, question())).is_err() {
            return;
        }
        let _ = answers.waker.wake();
    }
}
