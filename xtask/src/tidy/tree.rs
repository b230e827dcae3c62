//! The files of the workspace in memory, so that each check is a function of texts.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Folders that are not sources, wherever they are.
const SKIPPED_FOLDERS: [&str; 3] = [".git", "node_modules", "target"];
/// Files that a developer keeps for himself; `.gitignore` names the same.
const PRIVATE_FILES: [&str; 2] = [".env.local", "secrets.env"];

/// Every file, sorted by path.
#[derive(Debug, Default)]
pub(super) struct Tree {
    files: Vec<File>,
}

/// One file.
#[derive(Debug)]
pub(super) struct File {
    /// From the workspace root, with `/`.
    pub(super) path: String,
    /// `None` when it is not UTF-8.
    pub(super) text: Option<String>,
    pub(super) size_bytes: usize,
}

impl Tree {
    pub(super) fn load(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        tree.load_folder(root, "")?;
        tree.files.sort_by(|left, right| left.path.cmp(&right.path));
        Ok(tree)
    }

    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| File {
            path: (*path).to_owned(),
            text: Some((*text).to_owned()),
            size_bytes: text.len(),
        });
        Self {
            files: files.collect(),
        }
    }

    pub(super) fn files(&self) -> &[File] {
        &self.files
    }

    /// Path and text of every text file.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .filter_map(|file| Some((file.path.as_str(), file.text.as_deref()?)))
    }

    /// Path and text of every text file whose name ends so.
    pub(super) fn texts_ending<'a>(&'a self, end: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.texts().filter(move |(path, _)| path.ends_with(end))
    }

    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.texts().find(|(own, _)| *own == path).map(|(_, text)| text)
    }

    /// Whether this is a file or a folder; the empty path is the root.
    pub(super) fn contains(&self, path: &str) -> bool {
        self.files.iter().any(|file| {
            file.path
                .strip_prefix(path)
                .is_some_and(|rest| rest.is_empty() || path.is_empty() || rest.starts_with('/'))
        })
    }

    fn load_folder(&mut self, folder: &Path, prefix: &str) -> Result<()> {
        for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
            let entry = entry.with_context(|| format!("list {}", folder.display()))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            let kind = entry.file_type().with_context(|| format!("look at {path}"))?;
            if kind.is_dir() {
                if !SKIPPED_FOLDERS.contains(&name.as_str()) {
                    self.load_folder(&entry.path(), &format!("{path}/"))?;
                }
            } else if kind.is_file() && !PRIVATE_FILES.iter().any(|end| name.ends_with(end)) {
                let bytes = fs::read(entry.path()).with_context(|| format!("read {path}"))?;
                let size_bytes = bytes.len();
                self.files.push(File {
                    path,
                    text: String::from_utf8(bytes).ok(),
                    size_bytes,
                });
            }
        }
        Ok(())
    }
}
