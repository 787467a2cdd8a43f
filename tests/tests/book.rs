//! The documentation: mdBook builds it without warnings, every page is in the summary, every link
//! leads somewhere, and every file and test that a page names exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};
use std::{fs, io};

use mdbook_driver::MDBook;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// Pages outside the book, which link into it.
const TOP_LEVEL: [&str; 3] = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"];
/// Folders of the repository. A word in code that begins with one of them is a path.
const FOLDERS: [&str; 6] = ["cli/", "docs/", "runtime/", "shaders/", "tests/", "web/"];
/// Folders that builds write.
const BUILT: [&str; 1] = ["web/dist"];
/// Pages that name files, tests and variants as they were on the day of writing.
const DATED: [&str; 2] = ["docs/notes", "CHANGELOG.md"];

/// What a page's Markdown contains, as far as the tests need it.
struct Page {
    /// The path from the repository's root, with forward slashes.
    path: String,
    /// Targets of links and images.
    links: Vec<String>,
    /// Identifiers of the headings, by GitHub's rule.
    anchors: BTreeSet<String>,
    /// Words of code, inline and in blocks.
    words: Vec<Vec<String>>,
}

static PAGES: LazyLock<BTreeMap<String, Page>> = LazyLock::new(|| {
    let mut files = TOP_LEVEL.map(PathBuf::from).to_vec();
    let mut folders = vec![PathBuf::from("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("docs/ is readable") {
            let path = folder.join(entry.expect("docs/ is readable").file_name());
            match path.extension() {
                _ if root().join(&path).is_dir() => folders.push(path),
                Some(extension) if extension == "md" => files.push(path),
                _ => {}
            }
        }
    }
    files
        .iter()
        .map(|file| read(file))
        .map(|page| (page.path.clone(), page))
        .collect()
});

/// The repository's root.
fn root() -> PathBuf {
    // At run time, so that the compiled test can check another working tree.
    let tests = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let tests = tests.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    tests
        .parent()
        .expect("tests/ is a folder of the repository")
        .to_path_buf()
}

fn read(file: &Path) -> Page {
    let text = fs::read_to_string(root().join(file)).expect("a page is UTF-8");
    let mut page = Page {
        path: file.to_str().expect("paths are UTF-8").replace('\\', "/"),
        links: Vec::new(),
        anchors: BTreeSet::new(),
        words: Vec::new(),
    };
    let mut heading = None;
    let mut is_code_block = false;
    let options =
        Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_FOOTNOTES;
    for event in Parser::new_ext(&text, options) {
        match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                page.links.push(dest_url.into_string());
            }
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                let id = github_anchor(&heading.take().unwrap_or_default());
                assert!(
                    page.anchors.insert(id.clone()),
                    "{}: two headings are #{id}",
                    page.path
                );
            }
            Event::Start(Tag::CodeBlock(_)) => is_code_block = true,
            Event::End(TagEnd::CodeBlock) => is_code_block = false,
            Event::Text(text) if is_code_block => page.words.extend(text.lines().map(words)),
            Event::Text(text) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
            }
            Event::Code(text) => {
                page.words.push(words(&text));
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
            }
            _ => {}
        }
    }
    page
}

fn words(code: &str) -> Vec<String> {
    code.split_whitespace().map(str::to_owned).collect()
}

/// The identifier that GitHub gives a heading.
fn github_anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading
        .to_lowercase()
        .chars()
        .filter(kept)
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// Resolves `.` and `..` of a path from the repository's root; `None` where it leads outside.
fn normalised(path: &Path) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(parts.pop()?),
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.join("/"))
}

/// Fails with all problems at once.
fn report(problems: &[String]) {
    let list = problems.iter().fold(String::new(), |mut list, problem| {
        let _ = write!(list, "\n  {problem}");
        list
    });
    assert!(problems.is_empty(), "{} problems:{list}", problems.len());
}

/// A log that a test reads.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .expect("no test panics while it logs")
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_book_builds_without_warnings_and_has_every_anchor() {
    let output = tempfile::tempdir().expect("a temporary folder");
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        let mut book =
            MDBook::load(root().join("docs")).expect("docs/book.toml and SUMMARY.md load");
        book.config.build.build_dir = output.path().into();
        book.build().expect("the book builds");
    });
    let warnings = log.0.lock().expect("no test panics while it logs").clone();
    assert_eq!(
        String::from_utf8_lossy(&warnings),
        "",
        "mdBook warns of something"
    );

    // Links are checked by GitHub's identifiers. mdBook has to give headings the same ones.
    let mut problems = Vec::new();
    for page in PAGES.values() {
        let Some(in_book) = page
            .path
            .strip_prefix("docs/")
            .filter(|path| *path != "SUMMARY.md")
        else {
            continue;
        };
        let in_book = Path::new(in_book).with_extension("html");
        let html = match in_book.file_name() {
            Some(name) if name == "README.html" => in_book.with_file_name("index.html"),
            _ => in_book,
        };
        let html = fs::read_to_string(output.path().join(html)).expect("each page is in the book");
        let missing = page
            .anchors
            .iter()
            .filter(|id| !html.contains(&format!("id=\"{id}\"")));
        problems.extend(missing.map(|id| format!("{}: mdBook has no #{id}", page.path)));
    }
    report(&problems);
}

#[test]
fn every_page_is_in_the_summary() {
    let summary = &PAGES["docs/SUMMARY.md"];
    let listed: BTreeSet<_> = summary
        .links
        .iter()
        .map(|link| format!("docs/{link}"))
        .collect();
    let pages = PAGES
        .keys()
        .filter(|path| path.starts_with("docs/") && *path != &summary.path);
    let missing = pages.filter(|path| !listed.contains(*path));
    report(
        &missing
            .map(|path| format!("{path} is not in docs/SUMMARY.md"))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn every_link_leads_somewhere() {
    let mut problems = Vec::new();
    for page in PAGES.values() {
        for link in page.links.iter().filter(|link| !link.contains("://")) {
            let (target, anchor) = link.split_once('#').unwrap_or((link, ""));
            let folder = Path::new(&page.path)
                .parent()
                .expect("a page is in a folder");
            let target = match target {
                "" => Some(page.path.clone()),
                _ => normalised(&folder.join(target)),
            };
            let Some(target) = target.filter(|target| root().join(target).exists()) else {
                problems.push(format!("{}: {link} does not exist", page.path));
                continue;
            };
            if page.path.starts_with("docs/") && !target.starts_with("docs/") {
                problems.push(format!("{}: {link} leads out of the book", page.path));
            }
            let has_anchor = PAGES
                .get(&target)
                .is_some_and(|page| page.anchors.contains(anchor));
            if !anchor.is_empty() && !has_anchor {
                problems.push(format!(
                    "{}: {link} names no heading of {target}",
                    page.path
                ));
            }
        }
    }
    report(&problems);
}

#[test]
fn every_file_and_test_that_a_page_names_exists() {
    let mut problems = Vec::new();
    let is_current = |page: &&Page| !DATED.iter().any(|dated| page.path.starts_with(dated));
    for page in PAGES.values().filter(is_current) {
        for words in &page.words {
            let missing = words
                .iter()
                .filter_map(|word| path_in(word))
                .filter(|path| {
                    !BUILT.iter().any(|built| path.starts_with(built))
                        && !root().join(path).exists()
                });
            problems.extend(missing.map(|path| format!("{}: no {path}", page.path)));
            let is_cargo = words.iter().any(|word| word == "cargo");
            for pair in words.windows(2).filter(|_| is_cargo) {
                if let Some(folder) =
                    target_folder(&pair[0]).filter(|_| !exists(&pair[0], &pair[1]))
                {
                    problems.push(format!("{}: no {} in any {folder}/", page.path, pair[1]));
                }
            }
        }
    }
    report(&problems);
}

/// The path that a word of code names, without punctuation and line numbers. Placeholders in
/// capitals, patterns and variables name no file.
fn path_in(word: &str) -> Option<&str> {
    let word = word.trim_matches(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '.'));
    let word = word.trim_end_matches(['.', ',']);
    let word = word.split(':').next()?;
    FOLDERS.iter().find(|folder| word.starts_with(**folder))?;
    let is_placeholder = |part: &str| {
        let name = part.split('.').next().unwrap_or_default();
        part.contains(['*', '$', '<', '…', '{'])
            || (name.chars().all(|c| c.is_ascii_uppercase()) && !part.ends_with(".md"))
    };
    (!word.split('/').any(is_placeholder)).then_some(word)
}

/// The folder of a package where cargo finds what this option selects.
fn target_folder(option: &str) -> Option<&'static str> {
    match option {
        "--test" => Some("tests"),
        "--example" => Some("examples"),
        "--bench" => Some("benches"),
        _ => None,
    }
}

/// Whether a package of the workspace has this test, example or benchmark.
fn exists(option: &str, name: &str) -> bool {
    let folder = target_folder(option).unwrap_or_default();
    let name = name.trim_matches(|c: char| !c.is_alphanumeric() && c != '_');
    if name.chars().all(|c| c.is_ascii_uppercase() || c == '_') {
        return true;
    }
    ["tests", "cli", "runtime", "shaders", "web"]
        .iter()
        .any(|package| {
            let folder = root().join(package).join(folder);
            folder.join(format!("{name}.rs")).exists() || folder.join(name).join("main.rs").exists()
        })
}
