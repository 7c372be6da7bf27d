//! CSV files.

use std::path::Path;

use anyhow::{Context, Result};
use fastrand::Rng;

/// Returns the rows of a file without its headings: the key, then the other columns.
pub(crate) fn read(path: &Path) -> Result<impl Iterator<Item = Result<(String, Vec<String>)>>> {
    let reader = csv::Reader::from_path(path).with_context(|| format!("opening {}", path.display()))?;
    Ok(reader.into_records().map(|record| {
        let record = record?;
        let mut columns = record.iter().map(str::to_owned);
        Ok((columns.next().context("a row without columns")?, columns.collect()))
    }))
}

/// Writes made-up places, always the same ones.
pub(crate) fn make_up(path: &Path, rows: u32) -> Result<()> {
    let mut random = Rng::with_seed(1);
    let mut writer = csv::Writer::from_path(path)?;
    writer.write_record(["code", "name", "latitude", "longitude", "inhabitants"])?;
    for row in 0..rows {
        let name: String = (0..random.usize(2..5)).map(|_| syllable(&mut random)).collect();
        writer.write_record([
            // The multiplier is odd, so that no two codes are equal.
            format!("P{:08X}", row.wrapping_mul(0x9E37_79B1)),
            name[..1].to_uppercase() + &name[1..],
            format!("{:.4}", random.f64() * 180.0 - 90.0),
            format!("{:.4}", random.f64() * 360.0 - 180.0),
            random.u32(10..1_000_000).to_string(),
        ])?;
    }
    Ok(writer.flush()?)
}

fn syllable(random: &mut Rng) -> String {
    let mut letter = |letters: &[u8]| letters[random.usize(0..letters.len())];
    [letter(b"bdfgklmnprstvz"), letter(b"aeiou")].map(char::from).iter().collect()
}
