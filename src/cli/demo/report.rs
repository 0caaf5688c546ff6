//! What each step of the demonstration did, as a table.

use crate::cli::Result;
use crate::cli::output::Output;
use crate::cli::progress::rate;
use crate::cli::units::Sizes;
use std::time::Duration;

/// One step.
pub(super) struct Row {
    pub(super) step: &'static str,
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// Bytes that were not there before, and what they take in the store.
    pub(super) written: Option<(u64, u64)>,
    pub(super) elapsed: Duration,
}

/// Prints the steps under their headings.
pub(super) fn print_rows(out: &mut Output, rows: &[Row], sizes: Sizes) -> Result<()> {
    out.line(line(["step", "files", "bytes", "new", "stored", "dedup", "seconds", "speed"]))?;
    rows.iter().try_for_each(|row| {
        let [new, stored, dedup] = written(row, sizes);
        let (files, seconds) = (row.files.to_string(), format!("{:.2}", row.elapsed.as_secs_f64()));
        let (bytes, speed) = (sizes.format(row.bytes), rate(sizes, row.bytes, row.elapsed));
        out.line(line([row.step, &files, &bytes, &new, &stored, &dedup, &seconds, &speed]))
    })
}

fn written(row: &Row, sizes: Sizes) -> [String; 3] {
    let Some((new, stored)) = row.written else { return [const { String::new() }; 3] };
    // Directories count as new bytes too, so a tiny tree can have more of them than files have.
    let known = row.bytes.saturating_sub(new) as f64 / row.bytes.max(1) as f64 * 100.0;
    [sizes.format(new), sizes.format(stored), format!("{known:.1}%")]
}

fn line([step, files, bytes, new, stored, dedup, seconds, speed]: [&str; 8]) -> String {
    let text = format!(
        "{step:<16} {files:>8} {bytes:>10} {new:>10} {stored:>10} {dedup:>7} {seconds:>8} {speed:>12}"
    );
    text.trim_end().to_owned()
}
