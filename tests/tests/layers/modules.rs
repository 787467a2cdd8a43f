//! The modules of a crate, and what each refers to.

use super::*;

/// A use of one top-level module by another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reference {
    pub(super) from: String,
    pub(super) to: String,
    /// The path as it is written, and the file.
    pub(super) path: String,
    pub(super) file: PathBuf,
}

/// The top-level modules of a crate, and which uses which.
#[derive(Debug, Default)]
pub(super) struct Modules {
    pub(super) names: BTreeSet<String>,
    /// Modules of tests.
    pub(super) of_tests: BTreeSet<String>,
    /// Names that the root exports, and the modules that they are from.
    pub(super) exports: BTreeMap<String, String>,
    pub(super) references: BTreeSet<Reference>,
}

impl Modules {
    /// Reads a crate from its root file on.
    pub(super) fn read(root: &Path) -> Self {
        let file = parse(root);
        let mut all = Self::default();
        for item in &file.items {
            match item {
                Item::Mod(module) if is_of_tests(&module.attrs) => {
                    all.of_tests.insert(module.ident.to_string());
                }
                Item::Mod(module) => {
                    all.names.insert(module.ident.to_string());
                }
                Item::Use(item) => all.export(&item.tree),
                _ => {}
            }
        }
        let folder = root.parent().expect("a folder").to_owned();
        for name in all.names.clone() {
            all.read_module(&folder, vec![name]);
        }
        all
    }

    /// Notes what a `use` of the root exports.
    pub(super) fn export(&mut self, tree: &UseTree) {
        let mut paths = Vec::new();
        use_paths(tree, &mut Vec::new(), &mut paths);
        for path in paths {
            let module = path.iter().find(|name| *name != "crate" && *name != "self");
            if let (Some(module), Some(name)) = (module, path.last()) {
                self.exports.insert(name.clone(), module.clone());
            }
        }
    }

    /// Reads the file of a module, and those of the modules in it.
    pub(super) fn read_module(&mut self, folder: &Path, path: Vec<String>) {
        let name = path.last().expect("a name");
        let (alone, nested) = (
            folder.join(format!("{name}.rs")),
            folder.join(name).join("mod.rs"),
        );
        let file = if alone.exists() { alone } else { nested };
        let parsed = parse(&file);
        let mut visitor = Visitor {
            modules: self,
            file,
            path: path.clone(),
            children: Vec::new(),
        };
        visitor.visit_file(&parsed);
        let children = std::mem::take(&mut visitor.children);
        for child in children {
            let inside = child[..child.len() - 1].iter().skip(path.len() - 1);
            let folder = inside.fold(folder.to_owned(), |folder, name| folder.join(name));
            self.read_module(&folder, child);
        }
    }

    /// Notes a path that is written in a module.
    pub(super) fn refer(&mut self, module: &[String], file: &Path, path: &[String]) {
        let supers = path.iter().take_while(|name| *name == "super").count();
        let rest = &path[supers..];
        let top = match rest.first().map(String::as_str) {
            Some("crate") if supers == 0 => rest.get(1),
            Some(_) if supers >= module.len() => rest.first(),
            _ => None,
        };
        let Some(top) = top else { return };
        let known = |name: &String| self.names.contains(name);
        let to = if known(top) {
            Some(top)
        } else {
            self.exports.get(top).filter(|name| known(name))
        };
        let Some(to) = to else {
            assert!(
                self.of_tests.contains(top),
                "{}: `{}` is no module",
                file.display(),
                path.join("::")
            );
            return;
        };
        if *to != module[0] {
            let (from, path) = (module[0].clone(), path.join("::"));
            self.references.insert(Reference {
                from,
                to: to.clone(),
                path,
                file: file.into(),
            });
        }
    }

    /// What contradicts the order of the layers.
    pub(super) fn causes(&self, layers: &[&str]) -> Vec<String> {
        let mut causes = Vec::new();
        let table: BTreeSet<String> = layers.iter().map(|name| (*name).to_owned()).collect();
        for name in self.names.symmetric_difference(&table) {
            causes.push(format!(
                "the module `{name}` is in the table or in the crate, but not in both"
            ));
        }
        let height = |name: &str| layers.iter().position(|layer| *layer == name);
        let mut reported = BTreeSet::new();
        for Reference {
            from,
            to,
            path,
            file,
        } in &self.references
        {
            if height(to) < height(from) || !reported.insert((from, to)) {
                continue;
            }
            let cycle = match self.way(to, from) {
                Some(way) => format!("; a cycle: {from} -> {}", way.join(" -> ")),
                None => String::new(),
            };
            let file = file.display();
            causes.push(format!(
                "`{from}` uses `{to}`, which is above it: `{path}` in {file}{cycle}"
            ));
        }
        causes
    }

    /// The shortest way from a module to another, along what uses what.
    pub(super) fn way(&self, from: &str, to: &str) -> Option<Vec<String>> {
        let mut before: BTreeMap<&str, &str> = BTreeMap::new();
        let mut queue = VecDeque::from([from]);
        while let Some(at) = queue.pop_front() {
            if at == to {
                let mut way = vec![at.to_owned()];
                let mut at = at;
                while at != from {
                    at = before[at];
                    way.insert(0, at.to_owned());
                }
                return Some(way);
            }
            for reference in self
                .references
                .iter()
                .filter(|reference| reference.from == at)
            {
                if reference.to != from && !before.contains_key(reference.to.as_str()) {
                    before.insert(&reference.to, at);
                    queue.push_back(&reference.to);
                }
            }
        }
        None
    }
}

pub(super) fn parse(file: &Path) -> syn::File {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()));
    let parsed = syn::parse_file(&text.expect("a module's file"));
    parsed
        .map_err(|error| format!("{}: {error}", file.display()))
        .expect("Rust")
}

/// Whether an item is compiled for tests alone: `cfg(test)`, or `cfg(all(test, …))`.
pub(super) fn is_of_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let Ok(list) = attribute.meta.require_list() else {
            return false;
        };
        let condition = list.tokens.to_string().replace(' ', "");
        let all = condition
            .strip_prefix("all(")
            .and_then(|rest| rest.strip_suffix(')'))
            .unwrap_or(&condition);
        list.path.is_ident("cfg") && all.split(',').any(|part| part == "test")
    })
}

/// The paths of a `use`, from its root to each leaf.
pub(super) fn use_paths(tree: &UseTree, prefix: &mut Vec<String>, paths: &mut Vec<Vec<String>>) {
    let mut leaf = |name: Option<String>| paths.push(prefix.iter().cloned().chain(name).collect());
    match tree {
        UseTree::Name(name) => leaf(Some(name.ident.to_string())),
        UseTree::Rename(name) => leaf(Some(name.ident.to_string())),
        UseTree::Glob(_) => leaf(None),
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            use_paths(&path.tree, prefix, paths);
            prefix.pop();
        }
        UseTree::Group(group) => group
            .items
            .iter()
            .for_each(|tree| use_paths(tree, prefix, paths)),
    }
}

/// Visits the code of a file.
pub(super) struct Visitor<'a> {
    pub(super) modules: &'a mut Modules,
    pub(super) file: PathBuf,
    /// The module that is being visited.
    pub(super) path: Vec<String>,
    /// Modules with files of their own.
    pub(super) children: Vec<Vec<String>>,
}

impl Visitor<'_> {
    pub(super) fn refer(&mut self, path: &[String]) {
        self.modules.refer(&self.path, &self.file, path);
    }
}

impl<'ast> Visit<'ast> for Visitor<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Const(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Mod(item) => &item.attrs,
            Item::Struct(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !is_of_tests(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_of_tests(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        self.path.push(module.ident.to_string());
        match module.content {
            Some(_) => visit::visit_item_mod(self, module),
            None => self.children.push(self.path.clone()),
        }
        self.path.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let mut paths = Vec::new();
        use_paths(&item.tree, &mut Vec::new(), &mut paths);
        paths.iter().for_each(|path| self.refer(path));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string())
            .collect();
        self.refer(&names);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        // What a macro takes has no grammar: paths are found as they are written.
        let text = called.tokens.to_string().replace(' ', "");
        for (at, _) in text.match_indices("crate::") {
            let is_end =
                |letter: char| !(letter.is_alphanumeric() || letter == '_' || letter == ':');
            let path = text[at..].split(is_end).next().unwrap_or_default();
            let names: Vec<String> = path.split("::").map(str::to_owned).collect();
            self.refer(&names);
        }
        visit::visit_macro(self, called);
    }
}
