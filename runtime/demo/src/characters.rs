//! Two characters, forked from one prompt, who talk to each other without end.

use anyhow::Context as _;
use godwit::Sampling;
use godwit::scheduler::{
    Budget, Event, Mode, Request, RequestId, Scheduler, SequenceId, SequenceOptions, StepReport,
};

/// What both know.
const PROMPT: &str = "Anna keeps a lighthouse on a small island. Ben is a sailor who waits there \
                      for the storm to pass. They sit by the fire and talk in short sentences.\n\
                      Anna: The wind has turned again.\nBen: Then I stay another night.\n";
const NAMES: [&str; 2] = ["Anna", "Ben"];
/// Tokens of a line.
const LINE: usize = 40;

pub struct Characters {
    scheduler: Scheduler,
    sequences: [SequenceId; 2],
    /// Tokens of what both know.
    known: usize,
    /// Whose turn it is.
    turn: usize,
    speaking: Option<RequestId>,
    /// The line that is being spoken.
    line: String,
    tokens: u64,
    /// Pipelines and buffers that were made before the first frame.
    ready: [u64; 2],
}

impl Characters {
    /// Reads what both know, and forks the characters from it.
    pub fn new(mut scheduler: Scheduler) -> anyhow::Result<Self> {
        let ready = made(&scheduler);
        let first = scheduler.open(&SequenceOptions::default());
        let prompt = tokens(&scheduler, PROMPT)?;
        let known = prompt.len();
        scheduler.submit(first, Request::new(prompt).max_tokens(0))?;
        while scheduler.has_work() {
            pollster::block_on(scheduler.step(Budget::default()))?;
            pollster::block_on(scheduler.wait())?;
            while scheduler.next_event().is_some() {}
        }
        let second = scheduler.fork(first, known)?;
        Ok(Self {
            scheduler,
            sequences: [first, second],
            known,
            turn: 0,
            speaking: None,
            line: String::new(),
            tokens: 0,
            ready,
        })
    }

    pub fn set_mode(&mut self, mode: Mode) {
        self.scheduler.set_mode(mode);
    }

    /// Tokens that were spoken so far.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Pipelines and buffers that were made since the warm-up.
    pub fn made_since_ready(&self) -> [u64; 2] {
        let now = made(&self.scheduler);
        [now[0] - self.ready[0], now[1] - self.ready[1]]
    }

    /// One frame: a slice of the model's work, and what was said.
    pub fn frame(&mut self) -> anyhow::Result<StepReport> {
        if self.speaking.is_none() {
            self.speak()?;
        }
        let report = pollster::block_on(self.scheduler.step(Budget::default()))?;
        while let Some(event) = self.scheduler.next_event() {
            match event {
                Event::Piece { piece, .. } => {
                    self.tokens += u64::from(piece.token.is_some());
                    self.line += &piece.text;
                }
                Event::Finished { request, .. } if self.speaking == Some(request) => {
                    self.speaking = None;
                    self.turn = 1 - self.turn;
                }
                Event::Failed { error, .. } => return Err(error.into()),
                _ => {}
            }
        }
        Ok(report)
    }

    /// The next character hears the last line, and begins to answer.
    fn speak(&mut self) -> anyhow::Result<()> {
        let (name, other) = (NAMES[self.turn], NAMES[1 - self.turn]);
        let sequence = self.sequences[self.turn];
        let heard = match self.line.trim() {
            "" => format!("{name}:"),
            line => format!("{other}: {line}\n{name}:"),
        };
        let prompt = tokens(&self.scheduler, &heard)?;
        let held = self.scheduler.tokens(sequence)?.len();
        if held + prompt.len() + LINE + 1 > crate::CONTEXT as usize {
            self.scheduler.truncate(sequence, self.known)?;
        }
        let request = Request::new(prompt)
            .sampling(Sampling::default().seed(self.tokens))
            .max_tokens(LINE)
            .stop(vec!["\n".into()]);
        self.line.clear();
        self.speaking = Some(self.scheduler.submit(sequence, request)?);
        Ok(())
    }
}

fn tokens(scheduler: &Scheduler, text: &str) -> anyhow::Result<Vec<u32>> {
    let tokenizer = scheduler.engine().model().tokenizer();
    tokenizer.encode_prompt(text).context("a line of the demo")
}

fn made(scheduler: &Scheduler) -> [u64; 2] {
    let work = scheduler.engine().gpu().host_work();
    [work.pipelines, work.buffers]
}
