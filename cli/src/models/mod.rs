//! The commands about downloaded models: `pull`, `list`, `show` and `rm`.

mod show;

use std::path::Path;

use godwit::low_level::checkpoint::open_checkpoint_to_inspect;
use godwit::{Access, RopeOverride};
use godwit_hub::{Settings, named};
use serde_json::json;

use crate::args::{ListArgs, PullArgs, RmArgs, ShowArgs};
use crate::output::{self, Output};
use crate::progress::downloading;
use crate::stop::Stop;

/// `godwit pull`.
pub fn pull(args: &PullArgs) -> anyhow::Result<()> {
    let settings = Settings::from_env()?;
    let name = named(&args.name, &settings)?;
    let stop = Stop::listen()?;
    let stopped = || stop.requested();
    let pulled = godwit_hub::pull(&name, &settings, &mut |_| Ok(()), &stopped, &downloading)?;
    let mut out = Output::new();
    if args.plain.json {
        return out.json(&json!({
            "name": name.to_string(), "path": pulled.path, "quant": pulled.model.handle(),
            "commit": pulled.commit,
            "files": pulled.model.files.iter().map(|file| &file.path).collect::<Vec<_>>(),
            "bytes": pulled.model.bytes(),
        }));
    }
    out.path(&pulled.path)
}

/// `godwit rm`.
pub fn remove(args: &RmArgs) -> anyhow::Result<()> {
    let settings = Settings::from_env()?;
    let name = named(&args.name, &settings)?;
    let freed = godwit_hub::remove(&name, &settings.cache)?;
    let mut out = Output::new();
    match args.plain.json {
        true => out.json(&json!({ "name": name.to_string(), "freed_bytes": freed })),
        false => out.line(&format!(
            "{name} is removed: {} freed",
            output::bytes(freed)
        )),
    }
}

/// `godwit list`.
pub fn list(args: &ListArgs) -> anyhow::Result<()> {
    if args.known {
        show::known(args.plain.json)
    } else {
        show::list(&Settings::from_env()?.cache, args.plain.json)
    }
}

/// `godwit show`.
pub fn show(args: &ShowArgs) -> anyhow::Result<()> {
    let path = Path::new(&args.name);
    if path.exists() || path.is_symlink() {
        let checkpoint = open_checkpoint_to_inspect(path, Access::default())?;
        return crate::inspect::show(&checkpoint, &RopeOverride::default(), args.plain.json);
    }
    let settings = Settings::from_env()?;
    show::show(&named(&args.name, &settings)?, &settings, args.plain.json)
}
