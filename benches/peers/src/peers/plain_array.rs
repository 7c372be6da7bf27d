//! A mapped array of atomic words with nothing but a bounds check: what an array costs at least.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::MmapRaw;

use crate::worker::Cells;
use crate::workload::Result;

#[derive(Debug)]
pub(crate) struct PlainArray {
    map: MmapRaw,
    length: usize,
}

impl PlainArray {
    pub(crate) fn open(directory: &Path, entries: u64) -> Result<PlainArray> {
        let mut options = std::fs::OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(directory.join("plain"))?;
        file.set_len(entries * 8)?;
        Ok(PlainArray { map: MmapRaw::map_raw(&file)?, length: usize::try_from(entries)? })
    }

    #[expect(unsafe_code, reason = "the floor that arrays are measured against is a bare mapping")]
    fn cells(&self) -> &[AtomicU64] {
        // SAFETY: the map is aligned to pages, is `length` words long as the file was made, lives as long as `self`,
        // and every process that maps the file, which lies in a directory of this run, uses it as atomic words.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().cast::<AtomicU64>(), self.length) }
    }
}

impl Cells for PlainArray {
    fn get(&self, place: u64) -> Result<u64> {
        let cell = self.cells().get(place as usize).ok_or("out of bounds")?;
        Ok(cell.load(Ordering::Acquire))
    }

    fn set(&self, place: u64, value: u64) -> Result<()> {
        let cell = self.cells().get(place as usize).ok_or("out of bounds")?;
        cell.store(value, Ordering::Release);
        Ok(())
    }
}
