//! The corpus: bytes that were thought of or found by fuzzing, in `tests/corpus`, a folder for each of
//! [`crate::fuzzed`]'s functions. `tests/fuzz` searches on from them.

use std::path::PathBuf;

/// One folder of it.
pub fn folder(kind: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(kind)
}

/// The files of a folder whose names begin so, by name.
///
/// # Panics
///
/// If there are none, or one cannot be read.
pub fn files(kind: &str, prefix: &str) -> Vec<(String, Vec<u8>)> {
    let folder = folder(kind);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("an entry"))
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .filter(|(name, _)| name.starts_with(prefix))
        .map(|(name, path)| (name, std::fs::read(path).expect("a readable file")))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} has no file {prefix}…", folder.display());
    files
}
