//! Text files, cut into pieces, and the words in them.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Bytes in a piece, up to the next end of a line.
const PIECE: u64 = 512 << 10;

/// Work for one process: parts of files.
pub(crate) type Piece = Vec<Part>;

/// A part of a file: the path, then where the part starts and ends.
pub(crate) type Part = (String, (u64, u64));

pub(crate) fn length(piece: &Piece) -> u64 {
    piece.iter().map(|(_, (start, end))| end - start).sum()
}

/// Reads the texts of a piece, one after the other.
pub(crate) fn read(piece: &Piece) -> impl Iterator<Item = Result<String>> {
    piece.iter().map(|(path, (start, end))| {
        let mut bytes = Vec::new();
        let mut file = File::open(path).with_context(|| format!("opening {path}"))?;
        file.seek(SeekFrom::Start(*start))?;
        file.take(end - start).read_to_end(&mut bytes).with_context(|| format!("reading {path}"))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    })
}

/// Returns the words of a text, in lower case.
pub(crate) fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// Returns the pieces of all text files under the paths.
pub(crate) fn pieces(paths: &[PathBuf]) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    for path in paths {
        let failed = || format!("reading {}", path.display());
        if path.is_dir() {
            visit(path, &mut pieces).with_context(failed)?;
        } else {
            cut(path, &mut pieces).with_context(failed)?;
        }
    }
    Ok(pieces)
}

/// Goes through a directory, but not into hidden ones or build results.
fn visit(directory: &Path, pieces: &mut Vec<Piece>) -> Result<()> {
    let mut entries = fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        if name.as_encoded_bytes().starts_with(b".") || name == "target" {
            continue;
        }
        if kind.is_dir() {
            visit(&entry.path(), pieces)?;
        } else if kind.is_file() && is_text(&entry.path())? {
            cut(&entry.path(), pieces)?;
        }
    }
    Ok(())
}

/// Takes a file without a NUL byte near its start for text, as git does.
fn is_text(path: &Path) -> Result<bool> {
    let mut start = Vec::new();
    File::open(path)?.take(8000).read_to_end(&mut start)?;
    Ok(!start.contains(&0))
}

/// Adds a file to the last piece, and cuts it where pieces become too long.
fn cut(path: &Path, pieces: &mut Vec<Piece>) -> Result<()> {
    let name = path.to_str().context("a path that is not UTF-8")?;
    let mut file = BufReader::new(File::open(path)?);
    let length = file.get_ref().metadata()?.len();
    let mut start = 0;
    while start < length {
        let room = pieces.last().map_or(0, |piece| PIECE.saturating_sub(self::length(piece)));
        if room == 0 {
            pieces.push(Piece::new());
            continue;
        }
        let mut end = length.min(start + room);
        file.seek(SeekFrom::Start(end))?;
        end += file.skip_until(b'\n')? as u64;
        pieces.last_mut().context("a piece with room")?.push((name.to_owned(), (start, end)));
        start = end;
    }
    Ok(())
}
