//! A session, the model of it, and the check that both agree.

use super::*;

/// Runs a future to its end. None: it was interrupted, and dropped.
pub(super) fn drive<T>(future: impl Future<Output = Result<T, Error>>) -> Option<Result<T, Error>> {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(result) = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            return Some(result);
        }
        if interrupt::has_struck() {
            return None;
        }
        std::thread::yield_now();
    }
}

pub(super) struct Saved {
    pub(super) bytes: Vec<u8>,
    pub(super) tokens: Vec<u32>,
    pub(super) first: usize,
}

/// A session under test, and what it should hold.
pub(super) struct Tested<'a> {
    pub(super) engines: &'a Engines,
    pub(super) session: Session,
    pub(super) tokens: Vec<u32>,
    pub(super) files: Vec<Saved>,
    /// Tokens that were compared.
    pub(super) compared: usize,
    /// Whether an operation was interrupted.
    pub(super) struck: bool,
}

pub(super) type Outcome = Result<(), TestCaseError>;

impl<'a> Tested<'a> {
    pub(super) fn new(engines: &'a Engines) -> Self {
        let session = block_on(engines.tested.session()).expect("a session");
        Self {
            engines,
            session,
            tokens: Vec::new(),
            files: Vec::new(),
            compared: 0,
            struck: false,
        }
    }

    /// Does something, and compares what is left of it.
    pub(super) fn act(&mut self, Action { op, interruption }: &Action) -> Outcome {
        if let &Some((points, kind)) = interruption {
            interrupt::arm(points, kind);
        }
        match op {
            &Op::Prefill {
                count,
                seed,
                passes,
            } => self.prefill(&text(count, seed), passes),
            &Op::Next { sampling, count } => self.next(&samplings()[sampling], count),
            &Op::Truncate(parts) => {
                interrupt::disarm();
                self.session.truncate(self.tokens.len() * parts / 100);
                self.tokens.truncate(self.tokens.len() * parts / 100);
                Ok(())
            }
            &Op::KeepPrefix { parts, count, seed } => {
                let mut wanted = self.tokens[..self.tokens.len() * parts / 100].to_vec();
                wanted.extend(text(count, seed));
                let kept = self.session.keep_prefix(&wanted);
                prop_assert!(self.tokens[..kept] == wanted[..kept]);
                self.tokens.truncate(kept);
                self.prefill(&wanted[kept..], 9)
            }
            &Op::Save(parts) => self.save(self.tokens.len() * parts / 100 / 32 * 32),
            &Op::Resume { file, damage } => self.resume(file, damage),
            &Op::Score { count, seed } => {
                let (text, mut count) = (text(count, seed), 0);
                let result = drive(self.session.score(&text, &mut |_, _| count += 1));
                if let Some(Ok(())) = result {
                    prop_assert_eq!(count, text.len());
                }
                self.appended(&text, result)
            }
            Op::Logits => {
                let result = drive(self.session.logits());
                self.unchanged(result.map(|result| result.map(|_| ())))
            }
            Op::Plan => {
                let result = drive(self.session.plan_text());
                self.unchanged(result.map(|result| result.map(|_| ())))
            }
            &Op::Calibrate { count, seed } => {
                let text = text(count, seed);
                let result = drive(self.session.calibrate(&text, &mut InputSquares::default()));
                if let (Some(Err(Error::Gpu(error))), true) = (&result, self.engines.is_small)
                    && error.is_out_of_memory()
                    && !interrupt::has_struck()
                {
                    // The sums may have no room beside the KV cache: then the context stays.
                    interrupt::disarm();
                    prop_assert_eq!(self.session.tokens(), &self.tokens[..]);
                    return Ok(());
                }
                if self.session.tokens() != self.tokens {
                    self.tokens.clear();
                }
                self.appended(&text, result)
            }
            &Op::Noise(count) => {
                let end = self.tokens.len() + count;
                let result = drive(self.session.fill_with_noise(end));
                self.check(&result, count)?;
                let kept = self.tokens.len() / 32 * 32;
                let found = self.session.tokens();
                if found != self.tokens {
                    prop_assert!(
                        found[..kept] == self.tokens[..kept]
                            && found[kept..].iter().all(|&id| id == 0)
                    );
                    self.session.truncate(kept);
                    self.tokens.truncate(kept);
                }
                Ok(())
            }
        }
    }

    /// After something whose result must be good, unless it was interrupted or there is a reason.
    pub(super) fn check<T: std::fmt::Debug>(
        &mut self,
        result: &Option<Result<T, Error>>,
        added: usize,
    ) -> Outcome {
        let interrupted = interrupt::disarm();
        self.struck |= interrupted;
        match result {
            None | Some(Ok(_) | Err(Error::Stopped)) => {}
            Some(Err(Error::ContextFull { .. })) => {
                prop_assert!(self.tokens.len() + added > CONTEXT as usize)
            }
            Some(Err(Error::Empty)) => prop_assert!(self.tokens.is_empty()),
            Some(Err(error)) => prop_assert!(interrupted, "{error}"),
        }
        Ok(())
    }

    pub(super) fn unchanged(&mut self, result: Option<Result<(), Error>>) -> Outcome {
        self.check(&result, 1)?;
        prop_assert_eq!(self.session.tokens(), &self.tokens[..]);
        Ok(())
    }

    /// After reading a text: all of it is there, or as much as was done.
    pub(super) fn appended(&mut self, text: &[u32], result: Option<Result<(), Error>>) -> Outcome {
        self.check(&result, text.len())?;
        let found = self.session.tokens();
        prop_assert!(found.starts_with(&self.tokens), "{result:?}");
        prop_assert!(text.starts_with(&found[self.tokens.len()..]), "{result:?}");
        if let Some(Ok(())) = result {
            prop_assert_eq!(found.len(), self.tokens.len() + text.len());
        }
        self.tokens = found.to_vec();
        Ok(())
    }

    pub(super) fn prefill(&mut self, text: &[u32], passes: usize) -> Outcome {
        let mut left = passes;
        let result = drive(self.session.prefill(text, &mut |_| {
            left -= 1;
            if left == 0 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        }));
        self.appended(text, result)
    }

    /// Chooses tokens; a fresh session chooses the same.
    pub(super) fn next(&mut self, sampling: &Sampling, count: usize) -> Outcome {
        let begin = self.tokens.len();
        for _ in 0..count {
            let result = drive(self.session.next(sampling));
            self.check(&result, 1)?;
            if let Some(Ok(token)) = result {
                self.tokens.push(token);
            }
            prop_assert_eq!(self.session.tokens(), &self.tokens[..]);
        }
        let (text, chosen) = self.tokens.split_at(begin);
        if chosen.is_empty() {
            return Ok(());
        }
        let mut fresh = block_on(self.engines.fresh.session()).expect("a session");
        block_on(fresh.prefill(text, &mut crate::unwatched)).expect("room");
        for (i, &token) in chosen.iter().enumerate() {
            let expected = block_on(fresh.next(sampling)).expect("a token");
            prop_assert_eq!(token, expected, "token {} after {}", i, begin);
        }
        self.compared += chosen.len();
        Ok(())
    }

    pub(super) fn save(&mut self, first: usize) -> Outcome {
        let (mut bytes, end) = (Vec::new(), self.tokens.len());
        let mut go = crate::unwatched;
        let result =
            drive(
                self.session
                    .save(&mut bytes, first..end, serde_json::Value::Null, &mut go),
            );
        if let Some(Ok(())) = result {
            self.files.push(Saved {
                bytes,
                tokens: self.tokens.clone(),
                first,
            });
        }
        self.unchanged(result)
    }

    pub(super) fn resume(&mut self, file: usize, damage: Damage) -> Outcome {
        let Some(Saved {
            bytes,
            tokens,
            first,
        }) = self.files.iter().rev().nth(file)
        else {
            interrupt::disarm();
            return Ok(());
        };
        let (mut bytes, first) = (bytes.clone(), *first);
        match damage {
            Damage::None | Damage::Stopped => {}
            Damage::Cut(parts) => bytes.truncate(bytes.len() * parts / 100),
            Damage::Flipped(parts) => {
                let at = bytes.len() * parts / 100;
                bytes[at] ^= 0x10;
            }
        }
        let mut progress = |_| match damage {
            Damage::Stopped => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        };
        let result = drive(self.session.resume(&mut &bytes[..], None, &mut progress));
        let interrupted = interrupt::disarm();
        self.struck |= interrupted;
        let found = self.session.tokens();
        match result {
            Some(Ok(_)) => {
                prop_assert!(matches!(damage, Damage::None));
                prop_assert_eq!(found, &tokens[..]);
            }
            result => {
                let follows = self.tokens.len() >= first && self.tokens[..first] == tokens[..first];
                prop_assert!(
                    interrupted || !follows || !matches!(damage, Damage::None),
                    "{result:?}"
                );
                prop_assert!(
                    found == self.tokens || follows && found == &tokens[..first],
                    "{result:?}"
                );
            }
        }
        self.tokens = found.to_vec();
        Ok(())
    }
}
