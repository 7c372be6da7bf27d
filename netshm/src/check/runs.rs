//! The run heap, walked from its start.

use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;

use super::{Report, use_name};
use crate::error::Result;
use crate::heap::class_of;
use crate::layout::header::RESERVE;
use crate::layout::run::{RUN_HEADER, RunAt, RunHead, Use};
use crate::layout::{CLASSES, LogAt, Offset, WORD};
use crate::region::Region;
use crate::store::Store;
use crate::store::open::Member;

/// One run.
struct Run {
    at: u64,
    bytes: u64,
    /// `None` while it is free.
    content: Option<(Use, u32)>,
    free: bool,
    /// True if a list or a chain leads to it.
    listed: bool,
    /// True if something refers to its content.
    referenced: bool,
}

/// All runs, in the order of their addresses.
pub(super) struct RunMap<'a> {
    region: &'a Region,
    runs: Vec<Run>,
}

impl<'a> RunMap<'a> {
    /// Walks the heap; the meta stripe is locked.
    pub(super) fn read(store: &'a Store, members: &[Member], report: &mut Report) -> Result<Self> {
        let region = store.region();
        let geometry = region.geometry();
        let pagesize = geometry.pagesize;
        let end_at = geometry.stripe(geometry.meta()).top();
        let end = region.field(end_at).load(Relaxed);
        let mut map = RunMap { region, runs: Vec::new() };
        report.overhead += geometry.data_start();
        if end < geometry.data_start() || !end.is_multiple_of(pagesize) || region.word(end).is_err() {
            report.finding(end_at.bytes(), "the end of the managed area is wrong");
            return Ok(map);
        }
        let (mut at, mut previous_free) = (geometry.data_start(), false);
        let mut previous_bytes = 0;
        while at <= end {
            let head = RunHead(region.word(at)?.load(Relaxed));
            if head.previous_free() != previous_free {
                report.finding(at, "a run does not know whether the one before it is free");
            }
            if previous_free && region.word(at - 8)?.load(Relaxed).wrapping_mul(pagesize) != previous_bytes {
                report.finding(at - 8, "the size at the end of a free run is wrong");
            }
            if at == end {
                if head.pages() != 0 || head.is_free() {
                    report.finding(at, "the end of the runs is not marked");
                }
                break;
            }
            let bytes = head.pages().saturating_mul(pagesize);
            if bytes == 0 || bytes > end - at {
                report.finding(at, "a run's size is out of range; what follows it cannot be checked");
                break;
            }
            if head.is_free() && previous_free {
                report.finding(at, "two free runs lie side by side");
            }
            let content = Use::from_word(region.word(RunAt(at).use_word().bytes())?.load(Relaxed));
            if head.is_free() {
                report.free += bytes;
            } else if content.is_none() {
                report.finding(at, "a run is used for something unknown");
            }
            let content = if head.is_free() { None } else { content };
            map.runs.push(Run { at, bytes, content, free: head.is_free(), listed: false, referenced: false });
            (previous_free, previous_bytes, at) = (head.is_free(), bytes, at + bytes);
        }
        report.overhead += pagesize;
        // Bytes of the file past the managed area: growth that was interrupted.
        report.free += report.size.saturating_sub(end + pagesize);
        map.read_lists(report)?;
        map.read_members(members, report);
        map.read_slots(report)?;
        Ok(map)
    }

    fn find(&mut self, at: u64) -> Option<&mut Run> {
        let index = self.runs.binary_search_by_key(&at, |run| run.at).ok()?;
        Some(&mut self.runs[index])
    }

    /// Checks the lists of free runs.
    fn read_lists(&mut self, report: &mut Report) -> Result<()> {
        let region = self.region;
        let geometry = region.geometry();
        let lists = geometry.stripe(geometry.meta());
        let bits = region.field(lists.classes()).load(Relaxed);
        for class in (0..CLASSES).filter(|class| bits & 1 << class != 0) {
            let (mut at, mut previous) = (region.field(lists.class(class)).load(Relaxed), 0);
            while at != 0 {
                match self.find(at) {
                    Some(run) if run.free && !run.listed && class_of(run.bytes / geometry.pagesize) == class => {
                        run.listed = true;
                    }
                    _ => {
                        report.finding(at, format!("list {class} of free runs leads astray"));
                        break;
                    }
                }
                if region.word(RunAt(at).previous().bytes())?.load(Relaxed) != previous {
                    report.finding(at, "a free run does not lead back to the one before it in its list");
                }
                (previous, at) = (at, region.word(RunAt(at).next().bytes())?.load(Relaxed));
            }
        }
        for run in &self.runs {
            if run.free && !run.listed {
                report.finding(run.at, "a free run is in no list");
            }
        }
        Ok(())
    }

    /// Checks the schemas and default values of members.
    fn read_members(&mut self, members: &[Member], report: &mut Report) {
        for member in members {
            let schema_at = member.geometry.part().schema_at();
            let schema = Some(self.region.field(schema_at).load(Relaxed));
            let schema = schema.filter(|at| member.index.is_some() || *at >= member.geometry.data_start());
            for content in [schema, member.default_run()].into_iter().flatten() {
                match self.find(content.wrapping_sub(RUN_HEADER)) {
                    Some(run) if matches!(run.content, Some((Use::Schema, _))) && !run.referenced => {
                        run.referenced = true;
                        report.overhead += run.bytes;
                    }
                    _ => report.finding(
                        schema_at.bytes(),
                        "the text of the schema, or a default value, is not where it should be",
                    ),
                }
            }
        }
    }

    /// Checks what slots have: log segments, and runs on their way.
    fn read_slots(&mut self, report: &mut Report) -> Result<()> {
        let region = self.region;
        let geometry = region.geometry();
        let reserve = region.field(RESERVE).load(Relaxed);
        if reserve != 0 {
            self.take_log(reserve, report);
        }
        for slot in 0..geometry.slots {
            let mut link = region.field(geometry.log(slot).link()).load(Relaxed);
            while link != 0 && self.take_log(link, report) {
                link = region.word(LogAt(link).link().bytes())?.load(Relaxed);
            }
            let at = geometry.slot(slot);
            // Runs on their way to a stripe that has them already are that stripe's.
            let adopted = region.field(at.adopted()).load(Relaxed) != 0;
            let mut transit = if adopted { 0 } else { region.field(at.transit()).load(Relaxed) };
            while transit != 0 && self.take_moving(transit, report) {
                transit = region.word(RunAt(transit).next().bytes())?.load(Relaxed);
            }
            let mut release = region.field(at.release()).load(Relaxed);
            while release != 0 && self.take_moving(release, report) {
                let mut chained = region.word(RunAt(release).chain_next().bytes())?.load(Relaxed);
                while chained != 0 && self.take_moving(chained, report) {
                    chained = region.word(RunAt(chained).chain_next().bytes())?.load(Relaxed);
                }
                release = region.word(RunAt(release).release().bytes())?.load(Relaxed);
            }
        }
        Ok(())
    }

    fn take_log(&mut self, segment: u64, report: &mut Report) -> bool {
        let at = segment.wrapping_sub(RUN_HEADER);
        match self.find(at) {
            Some(run) if matches!(run.content, Some((Use::Log, _))) && !run.referenced => {
                (run.listed, run.referenced) = (true, true);
                report.logs += run.bytes;
                true
            }
            _ => {
                report.finding(segment, "a link between log segments leads astray");
                false
            }
        }
    }

    fn take_moving(&mut self, at: u64, report: &mut Report) -> bool {
        match self.find(at) {
            Some(run) if !run.free && !run.referenced => {
                (run.listed, run.referenced) = (true, true);
                report.free += run.bytes;
                true
            }
            _ => {
                report.finding(at, "a list of runs on their way leads astray");
                false
            }
        }
    }

    /// Checks the chain of a stripe's runs. Returns its chunks, with their lengths in bytes.
    pub(super) fn take_chain(&mut self, stripe: u32, report: &mut Report) -> Vec<(RunAt, u64)> {
        let region = self.region;
        let mut chunks = Vec::new();
        let (mut at, mut previous) = (region.field(region.geometry().stripe(stripe).runs()).load(Relaxed), 0);
        while at != 0 {
            match self.find(at) {
                Some(run) if !run.listed && matches!(run.content, Some((_, owner)) if owner == stripe) => {
                    run.listed = true;
                    if matches!(run.content, Some((Use::Chunk, _))) {
                        run.referenced = true;
                        chunks.push((RunAt(at), run.bytes));
                    }
                }
                _ => {
                    report.finding(at, format!("the chain of the runs of stripe {stripe} leads astray"));
                    break;
                }
            }
            let Ok(words) = region.words(at, RUN_HEADER / WORD) else { break };
            let word = |place: Offset| words[((place.bytes() - at) / WORD) as usize].load(Relaxed);
            if word(RunAt(at).chain_previous()) != previous {
                report.finding(at, "a run does not lead back to the one before it in its stripe's chain");
            }
            (previous, at) = (at, word(RunAt(at).chain_next()));
        }
        chunks
    }

    /// Notes a reference to the content of a run. Returns the bytes of the run, if it may be referred to.
    pub(super) fn refer(&mut self, content_at: u64, content: Use, stripe: u32) -> Option<u64> {
        let run = self.find(content_at.wrapping_sub(RUN_HEADER))?;
        let sound = run.content == Some((content, stripe)) && run.listed && !run.referenced;
        run.referenced |= sound;
        sound.then_some(run.bytes)
    }

    /// Returns where the contents of the runs lie that a stripe uses for `content`.
    pub(super) fn contents(&self, content: Use, stripe: u32) -> impl Iterator<Item = Range<u64>> {
        let runs = self.runs.iter().filter(move |run| run.content == Some((content, stripe)));
        runs.map(|run| run.at + RUN_HEADER..run.at + run.bytes)
    }

    /// Reports runs that are neither free nor used by anybody.
    pub(super) fn report_lost(&self, report: &mut Report) {
        for run in &self.runs {
            if !run.free && !run.referenced {
                report.lost += run.bytes;
                let chained = if run.listed { "" } else { " that is in no chain" };
                report.finding(run.at, format!("{}{chained} is lost: {} bytes", use_name(run.content), run.bytes));
            }
        }
    }
}
