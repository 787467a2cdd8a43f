//! The JavaScript object that receives what happens during a reply.

use std::ops::ControlFlow;

use godwit::{Piece, Progress};
use godwit_wire::FinishReason;
use wasm_bindgen::prelude::*;

use crate::error::WebError;
use crate::model::to_js;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** Receives what happens during a reply. A method that throws stops the reply. */
export interface ReplyListener {
  /** Whether the caller has stopped the reply. */
  isStopped(): boolean;
  /** Receives how many of the prompt's new tokens are computed, and their total. */
  onPrompt(done: number, total: number): void;
  /** Receives a part of a reply: its text, and the token ids that it decodes. */
  onText(index: number, text: string, ids: Uint32Array): void;
  /** Receives why a reply ended, unless it is the last one. */
  onEnd(index: number, reason: FinishReason): void;
}
"#;

#[wasm_bindgen]
extern "C" {
    /// Receives what happens during a reply.
    #[wasm_bindgen(typescript_type = "ReplyListener")]
    pub type ReplyListener;

    #[wasm_bindgen(method, catch, js_name = isStopped)]
    fn is_stopped(this: &ReplyListener) -> Result<bool, JsValue>;

    #[wasm_bindgen(method, catch, js_name = onPrompt)]
    fn on_prompt(this: &ReplyListener, done: f64, total: f64) -> Result<(), JsValue>;

    #[wasm_bindgen(method, catch, js_name = onText)]
    fn on_text(this: &ReplyListener, index: u32, text: &str, ids: &[u32]) -> Result<(), JsValue>;

    #[wasm_bindgen(method, catch, js_name = onEnd)]
    fn on_end(this: &ReplyListener, index: u32, reason: JsValue) -> Result<(), JsValue>;
}

impl ReplyListener {
    /// Whether the caller wants no more.
    pub fn wants_no_more(&self) -> bool {
        self.is_stopped().unwrap_or(true)
    }

    /// Sends how much of the prompt is computed. Returns whether the reply goes on.
    pub fn prompt(&self, now: Progress) -> ControlFlow<()> {
        match self.on_prompt(now.done as f64, now.total as f64) {
            Ok(()) if !self.wants_no_more() => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    }

    /// Sends a part of a reply. Returns whether the reply goes on.
    pub fn text(&self, index: u32, piece: &Piece) -> ControlFlow<()> {
        match self.on_text(index, &piece.text, piece.token.as_slice()) {
            Ok(()) if !self.wants_no_more() => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    }

    /// Sends why a reply ended. Returns whether the other replies go on.
    ///
    /// # Errors
    /// The conversion to a JavaScript value fails. No cause of that is known.
    pub fn end(&self, index: u32, reason: FinishReason) -> Result<ControlFlow<()>, WebError> {
        let reason = to_js(&reason)?.js_value();
        Ok(match self.on_end(index, reason) {
            Ok(()) if !self.wants_no_more() => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        })
    }
}
