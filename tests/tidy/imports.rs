//! The import graph of the files, and its circles. It reads the same paths as the layer check and follows each to the file that
//! defines the name, through `super`, re-exports and modules that a `use` brings into scope.

use crate::source::{Path, Source};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// For each file, the files that define the names it uses, with the line of the first use.
pub struct Imports {
    edges: BTreeMap<String, BTreeMap<String, usize>>,
}

/// Longest chain of re-exports that is followed.
const REEXPORTS_MAX: usize = 8;

impl Imports {
    /// Reads the product part of every source.
    pub fn new(sources: &[&Source]) -> Imports {
        let tree = Tree::new(sources);
        let mut edges = BTreeMap::new();
        for source in sources {
            let mut targets: BTreeMap<String, usize> = BTreeMap::new();
            for (path, target) in tree.targets(source) {
                // A parent that only re-exports the names of a child does not depend on the child.
                if path.is_reexport && target.starts_with(&children_of(&source.path)) {
                    continue;
                }
                if target != source.path {
                    targets.entry(target).or_insert(path.line);
                }
            }
            edges.insert(source.path.clone(), targets);
        }
        Imports { edges }
    }

    /// Returns one complaint, the shortest circle, for each group of files that import each other.
    pub fn circles(&self) -> Vec<String> {
        let mut reported: BTreeSet<&str> = BTreeSet::new();
        let mut complaints = Vec::new();
        for file in self.edges.keys() {
            if reported.contains(file.as_str()) {
                continue;
            }
            let Some(circle) = self.shortest_circle(file) else { continue };
            let steps: Vec<String> = circle
                .iter()
                .zip(circle.iter().skip(1).chain(circle.first()))
                .map(|(from, to)| format!("{from}:{} imports {to}", self.edges[*from][*to]))
                .collect();
            reported.extend(&circle);
            complaints.push(format!("import circle: {}", steps.join(", ")));
        }
        complaints
    }

    /// The files on the shortest circle through `start`.
    fn shortest_circle<'a>(&'a self, start: &'a str) -> Option<Vec<&'a str>> {
        let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
        let mut queue = VecDeque::from([start]);
        while let Some(file) = queue.pop_front() {
            for next in self.edges.get(file).into_iter().flat_map(BTreeMap::keys) {
                if next == start {
                    let mut circle = vec![file];
                    while let Some(&before) = came_from.get(circle[circle.len() - 1]) {
                        circle.push(before);
                    }
                    circle.reverse();
                    return Some(circle);
                }
                if !came_from.contains_key(next.as_str()) {
                    came_from.insert(next, file);
                    queue.push_back(next);
                }
            }
        }
        None
    }
}

/// The folder of a file's child modules: `src/plan/` for `src/plan/mod.rs` and for `src/plan.rs`.
fn children_of(path: &str) -> String {
    match path.strip_suffix("/mod.rs") {
        Some(folder) => format!("{folder}/"),
        None if matches!(path, "src/lib.rs" | "src/main.rs") => "src/".to_owned(),
        None => format!("{}/", path.trim_end_matches(".rs")),
    }
}

fn module_of(source: &Source) -> Vec<String> {
    source.module().into_iter().map(str::to_owned).collect()
}

/// The modules of the crate.
struct Tree<'a> {
    /// By module path.
    files: BTreeMap<Vec<String>, File<'a>>,
}

struct File<'a> {
    source: &'a Source,
    paths: Vec<Path>,
    defines: BTreeSet<String>,
}

impl<'a> Tree<'a> {
    fn new(sources: &[&'a Source]) -> Tree<'a> {
        // `lib.rs` and `main.rs` are both the crate root; names come from the library.
        let files = sources
            .iter()
            .filter(|source| source.path != "src/main.rs")
            .map(|source| {
                (module_of(source), File { source, paths: source.paths(), defines: source.definitions() })
            })
            .collect();
        Tree { files }
    }

    /// Every path of `source` that leads to a file of the crate, with that file.
    fn targets(&self, source: &Source) -> Vec<(Path, String)> {
        let module = module_of(source);
        let mut targets = Vec::new();
        for path in source.paths() {
            if let Some(target) = self.follow(&module, &path.segments, 0) {
                targets.push((path, target.source.path.clone()));
            }
        }
        targets
    }

    /// The file that defines the name at the end of a path in `module`.
    fn follow<'s>(&'s self, module: &[String], segments: &[String], depth: usize) -> Option<&'s File<'a>> {
        let mut at = module.to_vec();
        let mut rest = segments;
        let is_local = !matches!(rest.first()?.as_str(), "crate" | "super" | "self");
        if is_local {
            // Other first segments are crates, types or names that a `use` already counted.
            at.push(rest.first()?.clone());
            self.files.get(&at)?;
            at.pop();
        }
        while let Some(segment) = rest.first() {
            match segment.as_str() {
                "crate" => at.clear(),
                "super" => {
                    at.pop()?;
                }
                "self" => {}
                _ => break,
            }
            rest = &rest[1..];
        }
        while let Some(segment) = rest.first() {
            at.push(segment.clone());
            if !self.files.contains_key(&at) {
                at.pop();
                break;
            }
            rest = &rest[1..];
        }
        let file = self.files.get(&at)?;
        match rest.first() {
            Some(name) if name != "*" => Some(self.definer(&at, name, depth).unwrap_or(file)),
            _ => Some(file),
        }
    }

    /// The file that defines `name`, a name in scope of `module`.
    fn definer<'s>(&'s self, module: &[String], name: &str, depth: usize) -> Option<&'s File<'a>> {
        let file = self.files.get(module)?;
        if file.defines.contains(name) {
            return Some(file);
        }
        if depth == REEXPORTS_MAX {
            return None;
        }
        let imports = || file.paths.iter().filter(|path| path.is_use);
        let named = imports()
            .filter(|path| path.name == name)
            .find_map(|path| self.follow(module, &path.segments, depth + 1));
        named.or_else(|| {
            imports()
                .filter(|path| path.name == "*")
                .filter_map(|path| self.follow(module, &path.segments, depth + 1))
                .find(|file| file.defines.contains(name))
        })
    }
}
