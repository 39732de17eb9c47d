//! A program that is given its input, writes its answer and ends. What it leaves running is not waited for.

use std::io::{self, Cursor, Read, Write};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::interrupt::Group;

/// How often a silent program is looked at.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);
/// How long a program's last words may be under way after its end, where what it left running keeps the pipe open.
const ARRIVAL: Duration = Duration::from_secs(2);
/// How long a program may go on after its answer turned out to be none: it may be about to say why.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of what it said that an error repeats: the last ones.
const SAID: usize = 1500;
const PIECE: usize = 1 << 16;

/// A program under way; reading is of its standard output, up to its own end.
pub(super) struct Program {
    child: Child,
    group: Group,
    ended: Option<(ExitStatus, Instant)>,
    output: Receiver<Vec<u8>>,
    piece: Cursor<Vec<u8>>,
    said: Arc<Mutex<Vec<u8>>>,
    /// Disconnected when nothing more is said.
    silent: Receiver<()>,
}

impl Program {
    /// Starts a shell's command. What it says on standard error is passed on as it comes.
    pub(super) fn start(command: &str, input: Vec<u8>) -> io::Result<Self> {
        let (shell, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
        let mut program = Command::new(shell);
        program.args([flag, command]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (mut child, group) = Group::start(&mut program)?;
        let (to, from, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        // Either side may fill its pipe. A program that reads no further has its own reasons.
        thread::spawn(move || to.map(|mut to| to.write_all(&input)));
        let (send, output) = sync_channel(4);
        thread::spawn(move || {
            let Some(mut from) = from else { return };
            let mut piece = vec![0; PIECE];
            while let Ok(read @ 1..) = from.read(&mut piece)
                && send.send(piece[..read].to_vec()).is_ok()
            {}
        });
        let said = Arc::default();
        let silent = listen(errors, Arc::clone(&said));
        Ok(Program { child, group, ended: None, output, piece: Cursor::default(), said, silent })
    }

    /// Waits for its end, and tells how it was: `None` where it had to be stopped, as one is whose answer is none and that
    /// goes on. Where it failed or its answer is none, also what it said last, and what it left running is ended.
    pub(super) fn end(mut self, answered: bool) -> io::Result<(Option<ExitStatus>, String)> {
        let deadline = Instant::now() + PATIENCE;
        while self.ended()?.is_none() && (answered || Instant::now() < deadline) {
            // More is let go: a full pipe would hold it up.
            if self.output.recv_timeout(BETWEEN_LOOKS) == Err(RecvTimeoutError::Disconnected) {
                thread::sleep(BETWEEN_LOOKS);
            }
        }
        let status = self.ended.map(|(status, _)| status);
        if answered && status.is_some_and(|status| status.success()) {
            return Ok((status, String::new()));
        }
        self.group.end();
        if status.is_none() {
            self.child.kill()?;
            self.child.wait()?;
        }
        let _ = self.silent.recv_timeout(ARRIVAL);
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        Ok((status, String::from_utf8_lossy(&said).trim().to_owned()))
    }

    /// When its end was seen.
    fn ended(&mut self) -> io::Result<Option<Instant>> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait()?.map(|status| (status, Instant::now()));
        }
        Ok(self.ended.map(|(_, at)| at))
    }
}

impl Read for Program {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.piece.read(buffer)?;
            if read > 0 {
                return Ok(read);
            }
            let late = self.ended()?.is_some_and(|at| at.elapsed() >= ARRIVAL);
            match self.output.recv_timeout(BETWEEN_LOOKS) {
                Ok(piece) if !late => self.piece = Cursor::new(piece),
                Err(RecvTimeoutError::Timeout) if !late => {}
                _ => return Ok(0),
            }
        }
    }
}

/// Passes on what a program says, and keeps the last of it.
fn listen(errors: Option<ChildStderr>, said: Arc<Mutex<Vec<u8>>>) -> Receiver<()> {
    let (end, silent) = sync_channel(0);
    thread::spawn(move || {
        let (_end, Some(mut errors)) = (end, errors) else { return };
        let mut piece = vec![0; PIECE];
        while let Ok(read @ 1..) = errors.read(&mut piece) {
            // Nobody may be there to read it.
            let _ = io::stderr().lock().write_all(&piece[..read]);
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            said.extend(&piece[..read]);
            let over = said.len().saturating_sub(SAID);
            said.drain(..over);
        }
    });
    silent
}
