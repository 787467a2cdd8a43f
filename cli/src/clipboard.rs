//! The clipboard, through the programs that systems have for it.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// A program that takes a text for the clipboard on its stdin.
struct Program {
    name: &'static str,
    args: &'static [&'static str],
    /// The variable of the environment without which it can't work.
    needs: Option<&'static str>,
}

const PROGRAMS: [Program; 6] = [
    Program {
        name: "wl-copy",
        args: &[],
        needs: Some("WAYLAND_DISPLAY"),
    },
    Program {
        name: "xclip",
        args: &["-selection", "clipboard"],
        needs: Some("DISPLAY"),
    },
    Program {
        name: "xsel",
        args: &["--clipboard", "--input"],
        needs: Some("DISPLAY"),
    },
    Program {
        name: "termux-clipboard-set",
        args: &[],
        needs: Some("TERMUX_VERSION"),
    },
    #[cfg(target_os = "macos")]
    Program {
        name: "pbcopy",
        args: &[],
        needs: None,
    },
    // In the Windows Subsystem for Linux too.
    #[cfg(not(target_os = "macos"))]
    Program {
        name: "clip.exe",
        args: &[],
        needs: None,
    },
    // Inside of tmux, where none of the others works.
    Program {
        name: "tmux",
        args: &["load-buffer", "-w", "-"],
        needs: Some("TMUX"),
    },
];

/// Copies a text to the clipboard; returns the program that took it.
///
/// # Errors
/// There is no clipboard, or none that can be reached.
pub fn copy(text: &str) -> anyhow::Result<&'static str> {
    let is_there = |variable: &str| std::env::var_os(variable).is_some_and(|v| !v.is_empty());
    let usable = PROGRAMS
        .iter()
        .filter(|program| program.needs.is_none_or(is_there));
    for program in usable {
        if give(program, text).is_ok_and(|is_taken| is_taken) {
            return Ok(program.name);
        }
    }
    Err(anyhow::Error::msg(
        "there is no clipboard: on Linux, install wl-clipboard (Wayland) or xclip (X11); /save \
         FILE keeps the conversation in a file",
    ))
}

fn give(program: &Program, text: &str) -> std::io::Result<bool> {
    let mut child = Command::new(program.name)
        .args(program.args)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(text.as_bytes())?;
    }
    Ok(child.wait()?.success())
}
