//! The errors between a name and a model on the disk.

use std::io;
use std::path::Path;

use godwit::low_level::explained;

/// Why a model could not be had by its name.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// Not the form of a name.
    #[error("`{text}` is no model's name: {cause}; write OWNER/REPO[:QUANT][@REVISION]")]
    Name {
        /// The text.
        text: String,
        /// The cause.
        cause: &'static str,
    },
    /// No name and no known model.
    #[error(
        "`{text}` is neither a file nor a known model.{near} Write OWNER/REPO, or one of `godwit \
         list --known`"
    )]
    Unknown {
        /// The text.
        text: String,
        /// Known names that are near it, in a sentence behind a space; may be empty.
        near: String,
    },
    /// A variable of the environment that makes no sense.
    #[error("{variable}: {cause}")]
    Setting {
        /// The environment variable.
        variable: &'static str,
        /// The cause.
        cause: String,
    },
    /// Nothing of the kind on the hub.
    #[error(
        "the hub has no {0}: check the spelling, and the revision if one is given; if it is \
         private, set HF_TOKEN"
    )]
    Missing(String),
    /// A licence to accept, or a token that is wanted.
    #[error("{what} is not open to all: accept its terms at {page}, then {token}")]
    Gated {
        /// The request, or its object.
        what: String,
        /// The repository's page.
        page: String,
        /// Advice about the token.
        token: &'static str,
    },
    /// The repository holds nothing that could be the model.
    #[error("{repo} holds no model: neither a whole GGUF file, nor config.json with safetensors")]
    NoModel {
        /// The repository.
        repo: String,
    },
    /// No model of that quantisation.
    #[error("{repo} has no {quant}; it has\n{there}")]
    NoQuant {
        /// The repository.
        repo: String,
        /// The quantisation.
        quant: String,
        /// The models that exist.
        there: String,
    },
    /// More than one.
    #[error(
        "{repo} has more than one model that is meant; say which, as {repo}:QUANT or \
         {repo}:FILE\n{there}"
    )]
    Ambiguous {
        /// The repository.
        repo: String,
        /// The models that exist.
        there: String,
    },
    /// The network is not to be used, and the model is not here.
    #[error(
        "`{0}` is not downloaded, and HF_HUB_OFFLINE is set; unset it, or pull the model first"
    )]
    Offline(String),
    /// Not in the cache, where the command wants nothing else.
    #[error("`{0}` is not downloaded; `godwit list` shows what is")]
    NotHere(String),
    /// The hub said something that can't be true, or is not safe to follow.
    #[error("what the hub says of {what} is refused: {cause}")]
    Refused {
        /// The request, or its object.
        what: String,
        /// The cause.
        cause: String,
    },
    /// The bytes are not those that were announced.
    #[error("{file}: {cause}; what was downloaded of it is removed")]
    Damaged {
        /// The file.
        file: String,
        /// The cause.
        cause: String,
    },
    /// The hub or the way to it fails, again and again.
    #[error("{what}: {cause}{}", attempts(*tries))]
    Network {
        /// The request, or its object.
        what: String,
        /// The cause.
        cause: String,
        /// The number of attempts.
        tries: u32,
    },
    /// The model is not in the cache, and the hub does not answer.
    #[error("`{name}` is not downloaded, and the hub can't be reached. ({cause})")]
    Unreachable {
        /// The model's name.
        name: String,
        /// The error of the network.
        cause: Box<HubError>,
    },
    /// The disk is too small.
    #[error(
        "{folder} has {free} left, and {need} are to be downloaded; make room there, or set \
         HF_HUB_CACHE to a folder \
         on a larger disk"
    )]
    Space {
        /// The folder.
        folder: String,
        /// Bytes to download, in words.
        need: String,
        /// Free bytes, in words.
        free: String,
    },
    /// Nothing but beginnings of files.
    #[error(
        "`{what}` is not downloaded; {bytes} of an interrupted download are there: `godwit rm \
         {repo}` removes them"
    )]
    OnlyParts {
        /// The request, or its object.
        what: String,
        /// The repository.
        repo: String,
        /// Bytes of the parts, in words.
        bytes: String,
    },
    /// Another process has the files that were to be removed.
    #[error(
        "{0} is in use: another godwit runs or downloads it; end that first, or wait until it is \
         done"
    )]
    InUse(String),
    /// A folder of the cache can't be used.
    #[error("{0}; HF_HUB_CACHE names another folder")]
    Folder(#[from] godwit::errors::FileError),
    /// A file of the cache can't be written or read.
    #[error("can't {doing} {path}: {}{}", explained(error), goes_on(error))]
    Io {
        /// The operation.
        doing: &'static str,
        /// The path.
        path: String,
        /// The system's error.
        error: io::Error,
    },
    /// A MODEL that is no file, and can't be had as a name either.
    #[error("there is no file {path}, and as the name of a model: {cause}")]
    NoFile {
        /// The path.
        path: String,
        /// The cause.
        cause: Box<HubError>,
    },
    /// A MODEL that is no file, was not said to be a name, and looks like a path.
    #[error(
        "there is no file {path}, but a folder {folder}: correct the path; if the repository \
         {path} on the hub is \
         meant, add --yes, or run `godwit pull {path}` first"
    )]
    LikePath {
        /// The path.
        path: String,
        /// The folder.
        folder: String,
    },
    /// A person did not want the download.
    #[error("there is no file {0}, and nothing was downloaded")]
    Declined(String),
    /// Ctrl-C or a termination signal.
    #[error("stopped")]
    Stopped,
}

impl HubError {
    /// For `map_err`: what was being done to a file.
    pub fn io(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        move |error| Self::Io {
            doing,
            path: path.display().to_string(),
            error,
        }
    }
}

/// What is said of a disk that has no room, beside what to do.
fn goes_on(error: &io::Error) -> &'static str {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    match error.kind() {
        StorageFull | QuotaExceeded | FileTooLarge => {
            " (HF_HUB_CACHE names one); a download goes on where it stopped, at the next pull"
        }
        _ => "",
    }
}

fn attempts(count: u32) -> String {
    if count > 1 {
        format!(" (tried {count} times)")
    } else {
        String::new()
    }
}
